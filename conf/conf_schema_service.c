#include <stddef.h>

#include "conf/conf_schema.h"
#include "proxy/base/check.h"

#define MS     UINT64_C(1000)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

#define KEYS(array)          .keys = (array), .key_count = COUNT_OF(array)
#define FROM_TO(least, most) .low = (least), .high = (most)

static const char *const sticky_words[] = {"none", "cookie", "client_ip", "header", NULL};
static const char *const opt_in_words[] = {"off", "trusted", "on", NULL};
static const char *const host_words[] = {"auto", "keep", "origin", NULL};
static const char *const origin_http2_words[] = {"auto", "always", "off", NULL};
static const char *const hide_origin_words[] = {"auto", "off", "on", NULL};
static const char *const forwarded_words[] = {"x_forwarded", "rfc7239", "both", NULL};
static const char *const relative_words[] = {"off", "hold", "rollback", "confirm", NULL};
static const char *const rescue_words[] = {"connect", "reset", "timeout", "500",
                                           "502",     "503",   "504",     NULL};
static const char *const after_bake_words[] = {"alert", "rollback", NULL};
static const char *const on_breach_words[] = {"rollback", "freeze", "alert", NULL};

#define ENDPOINTS                                                                                  \
    .type = CONF_TYPE_ENDPOINT, .offset = offsetof(struct conf_version, endpoints),                \
    .count_offset = offsetof(struct conf_version, endpoint_count), .list_min = 1,                  \
    .list_max = CONF_ENDPOINTS_MAX

static const char *const proxy_protocol_words[] = {"none", "v1", "v2", NULL};

static const struct conf_key version_keys[] = {
    {.name = "deployment",
     .type = CONF_TYPE_DEPLOYMENT,
     .offset = offsetof(struct conf_version, deployment),
     .help = "What this release is called: any name. Left out, it is a hash of the endpoints."},
    {.name = "url",
     ENDPOINTS,
     .flags = CONF_KEY_SINGLE,
     .help = "The one origin: `http://host:port` or `https://host:port`."},
    {.name = "endpoints", ENDPOINTS, .help = "Several origins that serve the same release."},
    {.name = "proxy_protocol",
     .type = CONF_TYPE_CHOICE,
     .offset = offsetof(struct conf_version, proxy_protocol),
     .fallback = "none",
     .choices = proxy_protocol_words,
     .help = "`v1` or `v2`: each connection to these origins begins with a PROXY header that names "
             "the client's address and the one it connected to. Such a connection carries one "
             "request, for the next may be another client's. Health checks say UNKNOWN or LOCAL. A "
             "release that was started at run time has what the file says of the release of its "
             "name, or else of `previous`."},
};

static const struct conf_section version_section = {
    .title = "services.previous and services.current",
    .help = "A release and the origins that serve it: exactly one of `url` and `endpoints`. "
            "Requests keep their own "
            "path, so an origin's URL has none.",
    KEYS(version_keys),
    .size = sizeof(struct conf_version),
    .place_offset = offsetof(struct conf_version, place),
    .either = {"url", "endpoints"},
};

static const struct conf_key sticky_keys[] = {
    {.name = "by",
     .type = CONF_TYPE_CHOICE,
     .offset = offsetof(struct conf_sticky, by),
     .fallback = "cookie",
     .choices = sticky_words,
     .help = "What a client is known by; `none` splits every request by itself."},
    {.name = "name",
     .type = CONF_TYPE_FIELD,
     .offset = offsetof(struct conf_sticky, header),
     .help = "The header field, with `by: header` and only there."},
};

static const struct conf_section sticky_section = {
    .title = "services.sticky",
    .help = "Whether a client stays with its version. A growing weight only adds clients to the "
            "canary, a shrinking one "
            "only takes some away.",
    KEYS(sticky_keys),
    .size = sizeof(struct conf_sticky),
    .place_offset = offsetof(struct conf_sticky, place),
};

static const struct conf_key origin_tls_keys[] = {
    {.name = "ca",
     .type = CONF_TYPE_FILE,
     .offset = offsetof(struct conf_origin_tls, ca),
     .help =
         "PEM file of the authorities whose certificates are accepted. Left out, the system's."},
    {.name = "verify",
     .type = CONF_TYPE_SWITCH,
     .offset = offsetof(struct conf_origin_tls, is_verified),
     .fallback = "on",
     .help = "Whether the certificate must lead to one of them and carry the endpoint's name. "
             "`off` believes whoever answers: for a test bench, never across a network."},
    {.name = "name",
     .type = CONF_TYPE_HOST,
     .offset = offsetof(struct conf_origin_tls, name),
     .help = "The name that the certificate must carry and that is asked for (SNI). Left out, the "
             "endpoint's host; needed where endpoints are given by address."},
};

static const struct conf_section origin_tls_section = {
    .title = "services.origin_tls",
    .help = "How `https` endpoints are spoken to: TLS 1.2 or 1.3, sessions resumed, "
            "each endpoint over connections of its own. It holds for health checks and for "
            "versions that are started at run time too.",
    KEYS(origin_tls_keys),
    .size = sizeof(struct conf_origin_tls),
    .place_offset = offsetof(struct conf_origin_tls, place),
};

static const struct conf_key outlier_keys[] = {
    {.name = "consecutive",
     .type = CONF_TYPE_COUNT,
     .offset = offsetof(struct conf_outlier, consecutive),
     FROM_TO(1, 1000),
     .fallback = "5",
     .help = "Failures in a row that eject an endpoint."},
    {.name = "eject",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_outlier, eject_us),
     FROM_TO(100 * MS, HOUR),
     .fallback = "30s",
     .help = "For how long."},
    {.name = "max_ejected",
     .type = CONF_TYPE_RATE,
     .offset = offsetof(struct conf_outlier, max_ejected_ppm),
     FROM_TO(0, CONF_PPM),
     .fallback = "50%",
     .help = "At most this share of a version's endpoints, rounded down; never the last one."},
};

static const struct conf_section outlier_section = {
    .title = "services.outlier",
    .help = "Endpoints that keep failing get no requests for a while.",
    KEYS(outlier_keys),
    .size = sizeof(struct conf_outlier),
};

static const struct conf_key health_keys[] = {
    {.name = "path",
     .type = CONF_TYPE_URL_PATH,
     .offset = offsetof(struct conf_health, path),
     .fallback = "/",
     .help = "What is asked for, with GET."},
    {.name = "interval",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_health, interval_us),
     FROM_TO(100 * MS, HOUR),
     .fallback = "2s",
     .help = "Between two checks of an endpoint."},
    {.name = "timeout",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_health, timeout_us),
     FROM_TO(10 * MS, HOUR),
     .fallback = "1s",
     .help = "For one check, at most `interval`."},
    {.name = "healthy",
     .type = CONF_TYPE_COUNT,
     .offset = offsetof(struct conf_health, healthy),
     FROM_TO(1, 100),
     .fallback = "2",
     .help = "Good answers in a row that bring an endpoint back."},
    {.name = "unhealthy",
     .type = CONF_TYPE_COUNT,
     .offset = offsetof(struct conf_health, unhealthy),
     FROM_TO(1, 100),
     .fallback = "3",
     .help = "Bad answers in a row that take it out."},
    {.name = "status",
     .type = CONF_TYPE_STATUSES,
     .offset = offsetof(struct conf_health, statuses),
     .count_offset = offsetof(struct conf_health, status_count),
     .list_min = 1,
     .list_max = CONF_STATUSES_MAX,
     .fallback = "200-399",
     .help = "Statuses, and ranges of them, that are a good answer."},
    {.name = "contains",
     .type = CONF_TYPE_WORD,
     .offset = offsetof(struct conf_health, contains),
     .help =
         "Bytes that the first 64 KiB of a good answer's body contain, as they are: no pattern, "
         "and the origin is not asked for compression."},
};

static const struct conf_section health_section = {
    .title = "services.health",
    .help = "Active checks of every endpoint. When all of the canary fail while the stable version "
            "has a live one, the "
            "canary's weight goes to 0 at once.",
    KEYS(health_keys),
    .size = sizeof(struct conf_health),
    .place_offset = offsetof(struct conf_health, place),
};

#define ROLLOUT(type_, member) .type = (type_), .offset = offsetof(struct conf_rollout, member)

static const struct conf_key rollout_keys[] = {
    {.name = "steps",
     ROLLOUT(CONF_TYPE_STEP, steps_ppm),
     .count_offset = offsetof(struct conf_rollout, step_count),
     .place_offset = offsetof(struct conf_rollout, steps_place),
     .list_min = 1,
     .list_max = CONF_STEPS_MAX,
     FROM_TO(1, CONF_PPM),
     .fallback = "1%, 5%, 25%, 50%, 100%",
     .help = "The canary's weights, each larger than the one before, the last one 100%. The word "
             "`pause` between two of them waits there for `serin resume`."},
    {.name = "min_time",
     ROLLOUT(CONF_TYPE_DURATION, min_time_us),
     FROM_TO(0, 30 * DAY),
     .fallback = "60s",
     .help = "How long each step takes at least. It ends when it is this old and the judge has "
             "found the canary `healthy` at this weight."},
    {.name = "max_time",
     ROLLOUT(CONF_TYPE_DURATION, max_time_us),
     FROM_TO(SECOND, 30 * DAY),
     .fallback = "24h",
     .help = "A step that is not found healthy in this time pauses the rollout and alerts. Without "
             "traffic nothing is promoted."},
    {.name = "bake",
     ROLLOUT(CONF_TYPE_DURATION, bake_us),
     FROM_TO(0, 30 * DAY),
     .fallback = "10m",
     .help = "How long the canary is watched at 100%, with the previous version ready, before the "
             "rollout has succeeded."},
    {.name = "after_bake",
     ROLLOUT(CONF_TYPE_CHOICE, after_bake),
     .fallback = "alert",
     .choices = after_bake_words,
     .help = "What a breach does after that: `alert` only tells, `rollback` still shifts back."},
};

static const struct conf_section rollout_section = {
    .title = "services.rollout",
    .help = "How a new canary gets its traffic: step by step, each proven before the next. With "
            "`health`, every endpoint of the canary must first pass `healthy` checks in a row; "
            "after 5 minutes without that the rollout pauses.",
    KEYS(rollout_keys),
    .size = sizeof(struct conf_rollout),
    .place_offset = offsetof(struct conf_rollout, place),
};

static const struct conf_key move_keys[] = {
    {.name = "deadline",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_move, deadline_us),
     FROM_TO(100 * MS, HOUR),
     .fallback = "10s",
     .help = "After each step down: event streams and other tunnels that go are cut by then, and "
             "WebSockets that did not come to the end of a frame."},
    {.name = "jitter",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_move, jitter_us),
     FROM_TO(0, HOUR),
     .fallback = "5s",
     .help = "Over which they are spread, so that clients do not all come again at once; at most "
             "`deadline`. WebSockets are closed within it, the others in the last part of "
             "`deadline` that is as long."},
};

static const struct conf_section move_section = {
    .title = "services.rollback.move",
    .help = "Connections that may last for hours leave a canary whose weight falls, as many of "
            "them as the weight lost: WebSockets are closed with 1012 (service restart) between "
            "two frames, event streams (`text/event-stream`) and other upgraded connections are "
            "cut. Their clients come again and are split anew. Other requests end where they "
            "began.",
    KEYS(move_keys),
    .size = sizeof(struct conf_move),
    .place_offset = offsetof(struct conf_move, place),
};

static const struct conf_key verify_keys[] = {
    {.name = "checks",
     .type = CONF_TYPE_COUNT,
     .offset = offsetof(struct conf_verify, checks),
     FROM_TO(1, 100),
     .fallback = "3",
     .help = "Good looks in a row that confirm a rollback: every endpoint that takes traffic "
             "answers well, and the stable version failed less than `error_rate` of all requests "
             "since the look before."},
    {.name = "path",
     .type = CONF_TYPE_URL_PATH,
     .offset = offsetof(struct conf_verify, path),
     .help = "What is asked for, with GET. Left out: that of `health` where this is on, else `/`."},
    {.name = "status",
     .type = CONF_TYPE_STATUSES,
     .offset = offsetof(struct conf_verify, statuses),
     .count_offset = offsetof(struct conf_verify, status_count),
     .list_min = 1,
     .list_max = CONF_STATUSES_MAX,
     .help = "What is a good answer. Left out: as in `health` where this is on, else 200-499."},
    {.name = "contains",
     .type = CONF_TYPE_WORD,
     .offset = offsetof(struct conf_verify, contains),
     .help = "What its body contains. Left out: as in `health` where the `path` is left out too, "
             "else whatever."},
    {.name = "interval",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_verify, interval_us),
     FROM_TO(100 * MS, HOUR),
     .fallback = "1s",
     .help = "From one look to the next."},
    {.name = "timeout",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_verify, timeout_us),
     FROM_TO(10 * MS, HOUR),
     .fallback = "5s",
     .help = "For one answer, at most `within`."},
    {.name = "within",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_verify, within_us),
     FROM_TO(SECOND, DAY),
     .fallback = "60s",
     .help =
         "Without confirmation by then the rollback has failed: `rollback_failed` and an alert. "
         "Looks go on until it is confirmed."},
};

static const struct conf_section verify_section = {
    .title = "services.rollback.verify",
    .help =
        "When all traffic is back, the stable version is looked at until it is confirmed to "
        "serve well. Its own URLs are asked as by `health`, one round for each look; `off` asks "
        "nothing, and three looks a second apart go by what it answers to others.",
    KEYS(verify_keys),
    .size = sizeof(struct conf_verify),
    .place_offset = offsetof(struct conf_verify, place),
};

#define ROLLBACK(type_, member) .type = (type_), .offset = offsetof(struct conf_rollback, member)

static const struct conf_key rollback_keys[] = {
    {.name = "error_rate",
     ROLLBACK(CONF_TYPE_RATE, error_rate_ppm),
     FROM_TO(100, 900000),
     .fallback = "5%",
     .help = "The most of its requests that a canary may fail: 5xx unless `failures` says "
             "otherwise."},
    {.name = "relative",
     ROLLBACK(CONF_TYPE_CHOICE, relative),
     .fallback = "confirm",
     .choices = relative_words,
     .help = "What being worse than the stable version does: `confirm` breaches once the canary is "
             "proven worse and its "
             "ratio is at `error_rate`; `rollback` breaches also below it; `hold` is only "
             "suspicious; `off` does not "
             "compare."},
    {.name = "latency",
     ROLLBACK(CONF_TYPE_SWITCH, is_latency_judged),
     .fallback = "on",
     .help = "Whether being slower than the stable version is a breach."},
    {.name = "false_alarm",
     ROLLBACK(CONF_TYPE_RATE, false_alarm_ppm),
     FROM_TO(1, 200000),
     .fallback = "1%",
     .help = "The most often that a healthy release may be rolled back. Less needs more failures "
             "before it acts."},
    {.name = "on_breach",
     ROLLBACK(CONF_TYPE_CHOICE, on_breach),
     .fallback = "rollback",
     .choices = on_breach_words,
     .help = "`rollback` shifts the traffic back, `freeze` keeps the weight where it is until an "
             "operator decides, "
             "`alert` only tells."},
    {.name = "shift",
     ROLLBACK(CONF_TYPE_RATE, shift_ppm),
     .count_offset = offsetof(struct conf_rollback, shift_count),
     .place_offset = offsetof(struct conf_rollback, shift_place),
     .list_min = 1,
     .list_max = CONF_SHIFT_MAX,
     FROM_TO(0, CONF_PPM - 1),
     .fallback = "50%, 25%, 10%, 0%",
     .help = "Steps of the way back, as shares of the weight at the breach; each smaller than the "
             "one before, the last "
             "one 0%."},
    {.name = "every",
     ROLLBACK(CONF_TYPE_DURATION, every_us),
     FROM_TO(100 * MS, 10 * MINUTE),
     .fallback = "2s",
     .help = "Between two of these steps."},
    {.name = "max_wait",
     ROLLBACK(CONF_TYPE_DURATION, max_wait_us),
     FROM_TO(0, 10 * MINUTE),
     .fallback = "30s",
     .help = "How long steps may wait in all while the stable version suffers from the traffic "
             "that comes back."},
    {.name = "instant_above",
     ROLLBACK(CONF_TYPE_RATE, instant_above_ppm),
     FROM_TO(10000, CONF_PPM),
     .fallback = "50%",
     .help = "From this ratio of failures on there are no steps: to 0 at once."},
    {.name = "max_bad_responses",
     ROLLBACK(CONF_TYPE_COUNT, max_bad_responses),
     FROM_TO(1, 1000),
     .flags = CONF_KEY_NONE,
     .fallback = "20",
     .help = "How many bad answers of the canary clients may see, beyond what `error_rate` allows, "
             "before the workers hold it back by themselves; shared by the workers, five for each "
             "at least. `off`: they wait for the verdict."},
    {.name = "move",
     ROLLBACK(CONF_TYPE_SECTION, move),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_rollback, move.is_on),
     .fallback = "on",
     .section = &move_section,
     .help = "What becomes of long-lived connections to a canary that loses weight."},
    {.name = "verify",
     ROLLBACK(CONF_TYPE_SECTION, verify),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_rollback, verify.is_on),
     .fallback = "on",
     .section = &verify_section,
     .help = "Confirming that the stable version serves well, when it has all traffic again."},
};

static const struct conf_section rollback_section = {
    .title = "services.rollback",
    .help = "When a canary is judged bad, and how its traffic goes back.",
    KEYS(rollback_keys),
    .size = sizeof(struct conf_rollback),
};

static const struct conf_key assets_keys[] = {
    {.name = "paths",
     .type = CONF_TYPE_GLOB,
     .offset = offsetof(struct conf_assets, paths),
     .count_offset = offsetof(struct conf_assets, path_count),
     .list_max = CONF_GLOBS_MAX,
     .help = "Further requests that are for assets, as `[/assets/*, /*.js]`; patterns as in "
             "`failures.exclude_paths`. Browsers say so by themselves on HTTPS pages "
             "(`Sec-Fetch-Dest`), not on plain HTTP ones."},
    {.name = "timeout",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_assets, timeout_us),
     FROM_TO(10 * MS, MINUTE),
     .fallback = "1s",
     .help = "How long the other version may take to answer before the first answer is given."},
};

static const struct conf_section assets_section = {
    .title = "services.rescue.assets",
    .help = "While two releases share the traffic, a page of one may ask the other for its "
            "scripts. A GET or HEAD for an asset (`Sec-Fetch-Dest` is `script`, `style`, `image` "
            "or `font`, or the path is listed) that gets a 404, or a 200 of `text/html`, is sent "
            "to the other version, in either direction. Its 2xx that is no HTML goes to the "
            "client; else the client gets the first answer. It has a budget of its own, earned "
            "like `budget`.",
    KEYS(assets_keys),
    .size = sizeof(struct conf_assets),
};

static const struct conf_key rescue_keys[] = {
    {.name = "when",
     .type = CONF_TYPE_CHOICE,
     .offset = offsetof(struct conf_rescue, when),
     .count_offset = offsetof(struct conf_rescue, when_count),
     .list_min = 1,
     .list_max = CONF_RESCUE_WHEN_MAX,
     .fallback = "connect, reset, timeout, 500, 502, 503, 504",
     .choices = rescue_words,
     .help =
         "What the canary must have done: no connection (`connect`), closed before a byte of "
         "an answer (`reset`), no whole head in time (`timeout`), or answered with one of these "
         "statuses. An answer that is no proper HTTP is a 502."},
    {.name = "budget",
     .type = CONF_TYPE_RATE,
     .offset = offsetof(struct conf_rescue, budget_ppm),
     FROM_TO(0, CONF_PPM),
     .fallback = "20%",
     .help =
         "Rescues per request of the service, in each worker; the canary's weight where that is "
         "more. 100 are saved up at most, and at the start."},
    {.name = "assets",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf_rescue, assets),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_rescue, assets.is_on),
     .fallback = "on",
     .section = &assets_section,
     .help = "Asking the other version for an asset that this one lacks."},
};

static const struct conf_section rescue_section = {
    .title = "services.rescue",
    .help = "A safe request (GET, HEAD or OPTIONS without a body) that the canary failed is sent "
            "once to the stable version before the client got a byte. It counts against the canary "
            "all the same. Nothing is rescued while the stable version suffers, nor what a client "
            "asked of the canary by its own wish.",
    KEYS(rescue_keys),
    .size = sizeof(struct conf_rescue),
};

static const struct conf_key drill_keys[] = {
    {.name = "every",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_drill, every_us),
     FROM_TO(10 * SECOND, 366 * DAY),
     .fallback = "7d",
     .help = "One drill in each period of this length. Periods are counted from the beginning of "
             "1970 in UTC, so `1d` is at midnight and `7d` on Thursdays, whenever the process "
             "began."},
    {.name = "at",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_drill, at_us),
     FROM_TO(0, 366 * DAY),
     .fallback = "0s",
     .help = "How long after the period's beginning; shorter than `every`. With `every: 1d` and "
             "`at: 3h` it is at 3 in the morning, UTC."},
};

static const struct conf_section drill_section = {
    .title = "services.drill",
    .help = "Rollbacks are rehearsed: a judge and a rollout of their own get failures that are "
            "made up, workers get the split that they have once more, the platform is only looked "
            "at. No request, weight, counter or quarantine is touched. A drill that is due while a "
            "rollout or a rollback runs is skipped, and one that runs gives way to them.",
    KEYS(drill_keys),
    .size = sizeof(struct conf_drill),
    .place_offset = offsetof(struct conf_drill, place),
};

#define SERVICE(type_, member) .type = (type_), .offset = offsetof(struct conf_service, member)

static const struct conf_key service_keys[] = {
    {.name = "name",
     SERVICE(CONF_TYPE_NAME, name),
     .flags = CONF_KEY_REQUIRED,
     .help = "Its name in the API, the metrics and the history."},
    {.name = "hosts",
     SERVICE(CONF_TYPE_PATTERN, hosts),
     .count_offset = offsetof(struct conf_service, host_count),
     .place_offset = offsetof(struct conf_service, hosts_place),
     .list_min = 1,
     .list_max = CONF_HOSTS_MAX,
     .fallback = "\"*\"",
     .help = "Host names without a port: exact, `\"*.example.com\"` for all below it, `\"*\"` for "
             "every other. Exact "
             "names win, then the longest wildcard."},
    {.name = "paths",
     SERVICE(CONF_TYPE_PREFIX, paths),
     .count_offset = offsetof(struct conf_service, path_count),
     .list_min = 1,
     .list_max = CONF_PATHS_MAX,
     .fallback = "/",
     .help = "Beginnings of paths, by whole segments: `/api` takes `/api` and `/api/users`, not "
             "`/apis`. The longest "
             "wins."},
    {.name = "previous",
     SERVICE(CONF_TYPE_SECTION, previous),
     .flags = CONF_KEY_REQUIRED,
     .section = &version_section,
     .help = "The stable version: the last known good release."},
    {.name = "current",
     SERVICE(CONF_TYPE_SECTION, current),
     .flag_offset = offsetof(struct conf_service, has_current),
     .section = &version_section,
     .help = "The canary: the release being tried. Left out, there is none and `previous` gets "
             "everything."},
    {.name = "weight",
     SERVICE(CONF_TYPE_RATE, weight_ppm),
     .flag_offset = offsetof(struct conf_service, has_weight),
     .place_offset = offsetof(struct conf_service, weight_place),
     FROM_TO(0, CONF_PPM),
     .help = "The canary's share, in steps of 0.0001%. It is applied once, when this deployment of "
             "`current` is first "
             "seen; later the state decides, and a changed number is an operator's change, which "
             "pauses a rollout. Left out, a new deployment starts a rollout by `rollout`, or stays "
             "at 0% with `rollout: off`."},
    {.name = "mirror",
     SERVICE(CONF_TYPE_RATE, mirror_ppm),
     FROM_TO(1, CONF_PPM),
     .flags = CONF_KEY_NONE,
     .fallback = "none",
     .help =
         "Before a rollout gives the canary weight, this share of the safe requests (GET, HEAD "
         "and OPTIONS without a body) is answered by the stable version as ever and copied to "
         "the canary, whose answers are judged and thrown away. The first weight then waits for "
         "`rollout.min_time` and for enough good answers."},
    {.name = "sticky",
     SERVICE(CONF_TYPE_SECTION, sticky),
     .flags = CONF_KEY_NONE,
     .fallback = "on",
     .section = &sticky_section,
     .help = "Who stays with which version."},
    {.name = "opt_in",
     SERVICE(CONF_TYPE_CHOICE, opt_in),
     .fallback = "on",
     .choices = opt_in_words,
     .help = "Who may choose a version with the header `Serin-Version` or the cookie "
             "`serin-version`: nobody (`off`), only `trusted` proxies, or everyone "
             "(`on`)."},
    {.name = "host",
     SERVICE(CONF_TYPE_CHOICE, host),
     .place_offset = offsetof(struct conf_service, host_place),
     .fallback = "auto",
     .choices = host_words,
     .help = "The Host that origins get: the client's (`keep`), or the endpoint's own name "
             "(`origin`). `auto` keeps it for `http` endpoints and sends `https` ones their own. "
             "Endpoints at `*.pages.dev` answer to their own name alone and always get that."},
    {.name = "origin_tls",
     SERVICE(CONF_TYPE_SECTION, origin_tls),
     .fallback = "on",
     .section = &origin_tls_section,
     .help = "Verification of `https` endpoints."},
    {.name = "origin_http2",
     SERVICE(CONF_TYPE_CHOICE, origin_http2),
     .fallback = "auto",
     .choices = origin_http2_words,
     .help =
         "The protocol of endpoints. `auto`: HTTP/2 where an `https` endpoint chooses it (ALPN), "
         "HTTP/1.1 otherwise and with `http` endpoints. `always`: HTTP/2 alone, with `http` "
         "endpoints without asking first (h2c by prior knowledge); an `https` endpoint that does "
         "not choose it is a failed handshake. `off`: HTTP/1.1. Health checks and mirrored "
         "requests speak the same. Upgrades (WebSocket) are made by HTTP/1.1; with `always` there "
         "are none."},
    {.name = "hide_origin",
     SERVICE(CONF_TYPE_CHOICE, hide_origin),
     .fallback = "auto",
     .choices = hide_origin_words,
     .help =
         "Whether clients are kept from what an endpoint says of its own name. In answers, "
         "`Location` and `Content-Location` at the endpoint's host name the site, as does "
         "`Domain` of a cookie that covers the endpoint; `X-Robots-Tag: noindex` (that alone: "
         "`noindex, nofollow` stays) and `Alt-Svc` go. Of requests, `CF-*` fields go. `auto` is "
         "`on` for endpoints at `*.pages.dev`."},
    {.name = "forwarded",
     SERVICE(CONF_TYPE_CHOICE, forwarded),
     .fallback = "x_forwarded",
     .choices = forwarded_words,
     .help = "How origins learn of the client: `X-Forwarded-For`, `-Proto` and `-Host`, the "
             "standard `Forwarded` of RFC "
             "7239, or both."},
    {.name = "outlier",
     SERVICE(CONF_TYPE_SECTION, outlier),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, outlier.is_on),
     .fallback = "on",
     .section = &outlier_section,
     .help = "Ejection of failing endpoints."},
    {.name = "health",
     SERVICE(CONF_TYPE_SECTION, health),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, health.is_on),
     .fallback = "off",
     .section = &health_section,
     .help = "Active health checks."},
    {.name = "rollout",
     SERVICE(CONF_TYPE_SECTION, rollout),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, rollout.is_on),
     .fallback = "on",
     .section = &rollout_section,
     .help = "Growing the weight in steps, for a new deployment without `weight`."},
    {.name = "rollback",
     SERVICE(CONF_TYPE_SECTION, rollback),
     .fallback = "on",
     .section = &rollback_section,
     .help = "The judge and the way back."},
    {.name = "observe",
     SERVICE(CONF_TYPE_SECTION, observe),
     .count_offset = offsetof(struct conf_service, observe_count),
     .list_max = CONF_OBSERVE_MAX,
     .section = &conf_schema_policy,
     .help = "Policies that are judged on the same traffic beside `rollback` and never act: "
             "what they would have done is shown."},
    {.name = "failures",
     SERVICE(CONF_TYPE_SECTION, failures),
     .fallback = "on",
     .section = &conf_schema_failures,
     .help = "What counts as a failure of a version."},
    {.name = "rescue",
     SERVICE(CONF_TYPE_SECTION, rescue),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, rescue.is_on),
     .fallback = "on",
     .section = &rescue_section,
     .help = "Repeating on the stable version what the canary failed."},
    {.name = "drill",
     SERVICE(CONF_TYPE_SECTION, drill),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, drill.is_on),
     .fallback = "off",
     .section = &drill_section,
     .help = "Rehearsing rollbacks by schedule; `serin drill` does it at once, with or without."},
    {.name = "rto_target",
     SERVICE(CONF_TYPE_DURATION, rto_target_us),
     FROM_TO(MS, DAY),
     .fallback = "120s",
     .help = "How long a rollback may take from the first bad response until all of it is "
             "confirmed: a drill that takes longer, or fails, raises an alert."},
    {.name = "hsts",
     SERVICE(CONF_TYPE_SECTION, hsts),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, hsts.is_on),
     .fallback = "off",
     .section = &conf_schema_hsts,
     .help = "Tells browsers to come by HTTPS only."},
    {.name = "error_pages",
     SERVICE(CONF_TYPE_SECTION, error_pages.items),
     .count_offset = offsetof(struct conf_service, error_pages.count),
     .list_max = CONF_PAGES_MAX,
     .fallback = "",
     .section = &conf_schema_error_page,
     .help = "This service's, before those of all."},
    {.name = "rate_limit",
     SERVICE(CONF_TYPE_SECTION, rate_limit),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, rate_limit.is_on),
     .section = &conf_schema_rate_limit,
     .help = "How often one client may ask. Left out, as often as it likes."},
    {.name = "circuit",
     SERVICE(CONF_TYPE_SECTION, circuit),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, circuit.is_on),
     .fallback = "off",
     .section = &conf_schema_circuit,
     .help = "How much of each version may be in use at a time."},
    {.name = "affinity",
     SERVICE(CONF_TYPE_SECTION, affinity),
     .flags = CONF_KEY_NONE,
     .fallback = "off",
     .section = &conf_schema_affinity,
     .help = "Which endpoint of its version a client stays with; `off`: any of them."},
    {.name = "cache",
     SERVICE(CONF_TYPE_SECTION, cache),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, cache.is_on),
     .fallback = "on",
     .section = &conf_schema_cache,
     .help = "Answers that are kept, for when the origins fail."},
    {.name = "platform",
     SERVICE(CONF_TYPE_SECTION, platform),
     .flags = CONF_KEY_NONE,
     .flag_offset = offsetof(struct conf_service, platform.is_on),
     .section = &conf_schema_platform,
     .help =
         "The platform that hosts the versions, where it is to be rolled back too. Left out, or "
         "`none`: nobody is told."},
};

const struct conf_section conf_schema_service = {
    .title = "services",
    .help =
        "What is served: which hosts and paths, by which versions, and how they share the traffic.",
    KEYS(service_keys),
    .size = sizeof(struct conf_service),
    .place_offset = offsetof(struct conf_service, place),
};
