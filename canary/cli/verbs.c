/* What each verb asks and how it shows the answer. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "canary/cli/completion.h"
#include "canary/cli/guard.h"
#include "canary/cli/pages.h"
#include "canary/cli/verb.h"
#include "conf/conf_number.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"

enum { EVENT_MAX = 4 * 1024 * 1024 };

/* ---- looking ---- */

/* The service that was named, or all of them. */
static int show_some(const struct cli_options *options, enum err (*show)(json_t *, struct buf *),
                     enum err (*show_one)(json_t *, struct buf *))
{
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(options, &exit);
    if (client == NULL) {
        return exit;
    }
    char name[VERB_NAME_SIZE];
    char path[VERB_PATH_SIZE] = "/api/v1/status";
    bool is_one = options->service != NULL;
    exit = is_one ? verb_find_service(client, options, name) : CLI_DONE;
    if (exit == CLI_DONE && is_one) {
        (void)snprintf(path, sizeof path, "/api/v1/services/%s", name);
    }
    if (exit == CLI_DONE) {
        exit = client_call(client, &(struct client_request){.path = path});
    }
    if (exit == CLI_DONE) {
        exit = verb_print_answer(client, options, is_one ? show_one : show);
    }
    client_destroy(client);
    return exit;
}

static int run_status(const struct cli_options *options)
{
    return show_some(options, show_status, verb_show_changed);
}

/* What of the history is asked for; false: options that do not go together. */
static bool history_path(const struct cli_options *options, char path[VERB_PATH_SIZE])
{
    char name[VERB_NAME_SIZE] = "";
    bool is_one = options->service != NULL && client_escape(options->service, name, sizeof name);
    if (options->is_audit + options->is_verified + options->is_exported +
            (options->summary != NULL) >
        1) {
        (void)fprintf(stderr, "serin: only one of --audit, --export, --summary and --verify\n");
        return false;
    }
    if (options->is_verified || options->is_exported) {
        (void)snprintf(path, VERB_PATH_SIZE, "/api/v1/audit/%s",
                       options->is_verified ? "verify" : "export");
        return true;
    }
    (void)snprintf(path, VERB_PATH_SIZE, "/api/v1/%s?limit=%u%s%s%s%s",
                   options->is_audit ? "audit" : "rollbacks", options->limit,
                   is_one ? "&service=" : "", name, options->summary != NULL ? "&summary=" : "",
                   options->summary != NULL ? options->summary : "");
    return true;
}

static int print_history(struct client *client, const struct cli_options *options)
{
    if (!options->is_verified) {
        return verb_print_answer(client, options,
                                 options->is_audit          ? show_audit
                                 : options->is_exported     ? show_export
                                 : options->summary != NULL ? show_summary
                                                            : show_history);
    }
    int exit = verb_print_answer(client, options, show_verification);
    bool is_intact = json_is_true(json_object_get(client_json(client), "intact"));
    return exit == CLI_DONE && !is_intact ? CLI_FAILED : exit;
}

static int run_history(const struct cli_options *options)
{
    char path[VERB_PATH_SIZE];
    int exit = CLI_FAILED;
    if (!history_path(options, path)) {
        return CLI_USAGE;
    }
    struct client *client = verb_open_client(options, &exit);
    if (client == NULL) {
        return exit;
    }
    exit = client_call(client, &(struct client_request){
                                   .method = options->is_exported ? "POST" : NULL, .path = path});
    if (exit == CLI_DONE) {
        exit = print_history(client, options);
    }
    client_destroy(client);
    return exit;
}

/* A header that comes again has a list of values. Takes `value`. */
static void add_header(json_t *headers, const char *name, json_t *value)
{
    json_t *before = json_object_get(headers, name);
    if (before == NULL) {
        (void)json_object_set_new(headers, name, value);
    } else if (json_is_array(before)) {
        (void)json_array_append_new(before, value);
    } else {
        (void)json_object_set_new(headers, name, json_pack("[O, o]", before, value));
    }
}

static json_t *headers_to_json(const struct cli_options *options)
{
    json_t *headers = json_object();
    for (size_t i = 0; i < options->header_count; i++) {
        struct bytes line = bytes_of(options->headers[i]);
        size_t cut = bytes_find(line, ':');
        struct bytes name = bytes_slice(line, 0, cut);
        struct bytes value = bytes_trim(bytes_slice(line, cut + 1, line.size - cut - 1));
        char name_text[VERB_NAME_SIZE];
        (void)snprintf(name_text, sizeof name_text, "%.*s", BYTES_ARGS(name));
        add_header(headers, name_text, json_stringn(value.data, value.size));
    }
    return headers;
}

static int run_explain(const struct cli_options *options)
{
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(options, &exit);
    if (client == NULL) {
        return exit;
    }
    bool has_scheme = strstr(options->argument, "://") != NULL;
    char url[VERB_PATH_SIZE];
    (void)snprintf(url, sizeof url, "%s%s", has_scheme ? "" : "http://", options->argument);
    json_t *body = json_pack("{s:s, s:o}", "url", url, "headers", headers_to_json(options));
    if (body != NULL && options->client != NULL) {
        (void)json_object_set_new(body, "client", json_string(options->client));
    }
    exit = client_call(client, &(struct client_request){
                                   .method = "POST", .path = "/api/v1/explain", .body = body});
    json_decref(body);
    if (exit == CLI_DONE) {
        exit = verb_print_answer(client, options, show_explanation);
    }
    client_destroy(client);
    return exit;
}

/* ---- events ---- */

struct event_reader {
    const struct cli_options *options;
    struct buf line;
    bool is_counters; /* the event that is being read */
};

static void print_event(struct event_reader *reader, struct bytes data)
{
    if (reader->is_counters && !reader->options->has_counters) {
        return;
    }
    if (reader->options->is_json) {
        (void)printf("%.*s\n", BYTES_ARGS(data));
        return;
    }
    json_t *event = json_loadb(data.data, data.size, 0, NULL);
    struct buf text;
    buf_init(&text, EVENT_MAX);
    if (event != NULL && show_event(event, &text) == OK) {
        struct bytes shown = buf_bytes(&text);
        (void)fwrite(shown.data, 1, shown.size, stdout);
    }
    buf_finish(&text);
    json_decref(event);
}

static void read_event_line(struct event_reader *reader, struct bytes line)
{
    static const struct bytes event = {"event: ", 7};
    static const struct bytes data = {"data: ", 6};
    if (bytes_starts_with(line, event)) {
        reader->is_counters = bytes_equal(line, BYTES("event: counters"));
    } else if (bytes_starts_with(line, data)) {
        print_event(reader, bytes_slice(line, data.size, line.size - data.size));
    }
}

static bool on_event_data(void *context, struct bytes data)
{
    struct event_reader *reader = context;
    if (buf_append(&reader->line, data) != OK) {
        return false;
    }
    struct bytes waiting = buf_bytes(&reader->line);
    for (size_t cut = bytes_find(waiting, '\n'); cut < waiting.size;
         cut = bytes_find(waiting, '\n')) {
        read_event_line(reader, bytes_slice(waiting, 0, cut));
        buf_consume(&reader->line, cut + 1);
        waiting = buf_bytes(&reader->line);
    }
    return fflush(stdout) == 0;
}

static int run_events(const struct cli_options *options)
{
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(options, &exit);
    if (client == NULL) {
        return exit;
    }
    struct event_reader reader = {.options = options};
    buf_init(&reader.line, EVENT_MAX);
    exit = client_call(client, &(struct client_request){.path = "/api/v1/events",
                                                        .on_data = on_event_data,
                                                        .context = &reader});
    if (exit == CLI_DONE) {
        (void)fprintf(stderr, "serin: the stream has ended\n");
        exit = CLI_FAILED;
    }
    buf_finish(&reader.line);
    client_destroy(client);
    return exit;
}

/* ---- the flight recording ---- */

/* After which row the page's last line says that there are more; false: none. */
static bool read_next(struct bytes page, uint64_t *ret_next)
{
    size_t end = page.size > 0 && page.data[page.size - 1] == '\n' ? page.size - 1 : page.size;
    size_t start = end;
    while (start > 0 && page.data[start - 1] != '\n') {
        start--;
    }
    json_t *line = json_loadb(page.data + start, end - start, 0, NULL);
    json_int_t next = json_integer_value(json_object_get(line, "next"));
    json_decref(line);
    *ret_next = next > 0 ? (uint64_t)next : 0;
    return next > 0;
}

static int print_pages(struct client *client, const char *name)
{
    uint64_t after = 0;
    bool has_more = true;
    while (has_more) {
        char path[VERB_PATH_SIZE];
        (void)snprintf(path, sizeof path, "/api/v1/services/%s/recording?after=%llu", name,
                       (unsigned long long)after);
        int exit = client_call(client, &(struct client_request){.path = path, .is_text = true});
        if (exit != CLI_DONE) {
            return exit;
        }
        struct bytes page = client_body(client);
        if (fwrite(page.data, 1, page.size, stdout) != page.size) {
            (void)fprintf(stderr, "serin: cannot write the recording\n");
            return CLI_FAILED;
        }
        has_more = read_next(page, &after);
    }
    return CLI_DONE;
}

static int run_recording(const struct cli_options *options)
{
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(options, &exit);
    if (client == NULL) {
        return exit;
    }
    char name[VERB_NAME_SIZE];
    exit = verb_find_service(client, options, name);
    if (exit == CLI_DONE) {
        exit = print_pages(client, name);
    }
    client_destroy(client);
    return exit;
}

/* ---- changing ---- */

static bool read_percent(const char *text, double *ret_percent)
{
    char with_unit[64];
    uint64_t ppm = 0;
    struct note note = {""};
    size_t size = strlen(text);
    bool has_unit = size > 0 && text[size - 1] == '%';
    (void)snprintf(with_unit, sizeof with_unit, "%s%s", text, has_unit ? "" : "%");
    enum err err = conf_number_parse(CONF_TYPE_RATE, bytes_of(with_unit), &note, &ppm);
    if (err != OK || size >= sizeof with_unit - 1 || ppm > 1000000) {
        (void)fprintf(stderr, "serin: a weight is a percentage from 0 to 100, not %s\n", text);
        return false;
    }
    *ret_percent = (double)ppm / 10000.0;
    return true;
}

/* Reads the revision first, so that a change in between is noticed and not overwritten. */
static int put_weight(struct client *client, const struct cli_options *options, double percent)
{
    char name[VERB_NAME_SIZE];
    char path[VERB_PATH_SIZE];
    char etag[128];
    int exit = verb_find_service(client, options, name);
    if (exit != CLI_DONE) {
        return exit;
    }
    (void)snprintf(path, sizeof path, "/api/v1/services/%s", name);
    exit = client_call(client, &(struct client_request){.path = path});
    if (exit != CLI_DONE) {
        return exit;
    }
    (void)snprintf(etag, sizeof etag, "%s", client_etag(client));
    (void)snprintf(path, sizeof path, "/api/v1/services/%s/weight", name);
    json_t *body = json_pack("{s:f}", "current", percent);
    exit = client_call(client, &(struct client_request){
                                   .method = "PUT", .path = path, .body = body, .if_match = etag});
    json_decref(body);
    return exit;
}

static enum err show_weight(json_t *service, struct buf *out)
{
    json_t *status = json_pack("{s:[O]}", "services", service);
    enum err err = status != NULL ? show_weights(status, out) : ERR_NOMEM;
    json_decref(status);
    return err;
}

static int run_weight(const struct cli_options *options)
{
    int exit = CLI_FAILED;
    double percent = 0;
    if (options->argument == NULL) {
        return show_some(options, show_weights, show_weight);
    }
    if (!read_percent(options->argument, &percent)) {
        return CLI_USAGE;
    }
    struct client *client = verb_open_client(options, &exit);
    if (client == NULL) {
        return exit;
    }
    exit = put_weight(client, options, percent);
    if (exit == CLI_DONE) {
        exit = verb_print_answer(client, options, verb_show_changed);
    }
    client_destroy(client);
    return exit;
}

static int run_rollback(const struct cli_options *options)
{
    json_t *body =
        json_pack("{s:s, s:s, s:b}", "reason", options->reason, "mode",
                  options->is_instant ? "instant" : "gradual", "dry_run", (int)options->is_dry_run);
    if (body == NULL) {
        (void)fprintf(stderr, "serin: the reason is not UTF-8\n");
        return CLI_USAGE;
    }
    return verb_post_and_show(options, "rollback", body, show_rollback);
}

static int run_release(const struct cli_options *options)
{
    char deployment[VERB_NAME_SIZE];
    char action[VERB_NAME_SIZE + 64];
    json_t *body = json_pack("{s:s}", "reason", options->reason);
    if (body == NULL || !client_escape(options->argument, deployment, sizeof deployment)) {
        (void)fprintf(stderr, "serin: this is no deployment's name, or the reason is not UTF-8\n");
        json_decref(body);
        return CLI_USAGE;
    }
    (void)snprintf(action, sizeof action, "quarantine/%s/release", deployment);
    return verb_post_and_show(options, action, body, verb_show_changed);
}

static enum err show_purged(json_t *answer, struct buf *out)
{
    return buf_printf(out, "purged %lld\n", json_integer_value(json_object_get(answer, "purged")));
}

static int run_purge(const struct cli_options *options)
{
    json_t *body = json_pack("{s:s}", "path", options->argument);
    if (body == NULL) {
        (void)fprintf(stderr, "serin: the path is not UTF-8\n");
        return CLI_USAGE;
    }
    return verb_post_and_show(options, "cache/purge", body, show_purged);
}

static enum err show_nothing(json_t *answer, struct buf *out)
{
    (void)answer;
    return buf_append(out, BYTES("reloaded\n"));
}

static int run_reload(const struct cli_options *options)
{
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(options, &exit);
    if (client == NULL) {
        return exit;
    }
    exit =
        client_call(client, &(struct client_request){.method = "POST", .path = "/api/v1/reload"});
    if (exit == CLI_DONE) {
        exit = verb_print_answer(client, options, show_nothing);
    }
    client_destroy(client);
    return exit;
}

/* ---- the table ---- */

enum {
    ON_SERVICE = CLI_OPTION_COMMON | CLI_OPTION_SERVICE,
    ON_GUARD = CLI_OPTION_SERVICE | CLI_OPTION_REACH | CLI_OPTION_TIMEOUT | CLI_OPTION_PROJECT |
               CLI_OPTION_ACCOUNT | CLI_OPTION_TO | CLI_OPTION_EXPECT_CURRENT |
               CLI_OPTION_DEPLOYMENT | CLI_OPTION_REASON | CLI_OPTION_INSTANT | CLI_OPTION_WAIT |
               CLI_OPTION_DRY_RUN | CLI_OPTION_GITHUB,
};

const struct cli_verb cli_verbs[] = {
    {"status", NULL, ON_SERVICE, 0, "what every service does now, and what is wrong", NULL,
     run_status},
    {"top", NULL, CLI_OPTION_REACH | CLI_OPTION_TIMEOUT | CLI_OPTION_SERVICE | CLI_OPTION_ONCE, 0,
     "everything at a glance, live, with keys to steer",
     "Keys: p pause, r resume, P promote, R roll back (asks why), arrows choose the service, ? "
     "help,\n"
     "q quit. Each action says what it will do, and only y does it. Where standard output is no\n"
     "terminal, and with TERM=dumb, a frame is printed as text each second. NO_COLOR is respected.",
     verb_run_top},
    {"weight", "[PERCENT]", ON_SERVICE, 0, "show or set the canary's share of the traffic",
     "PERCENT is 0 to 100, as 12.5 or 0.25%. Refused when somebody else changed the service\n"
     "in between, or when its deployment was rolled back and not released.",
     run_weight},
    {"rollback", NULL, ON_SERVICE | CLI_OPTION_REASON | CLI_OPTION_INSTANT | CLI_OPTION_DRY_RUN,
     CLI_OPTION_REASON, "shift all traffic back to the stable version",
     "In steps that watch both versions, or with --instant at once.", run_rollback},
    {"start", "URL", ON_SERVICE | CLI_OPTION_DEPLOYMENT | CLI_OPTION_STEPS | CLI_OPTION_WAIT_END, 0,
     "begin a rollout of the deployment at URL",
     "The version that has all traffic becomes the stable one, the deployment is the canary: no\n"
     "weight before it passed its health checks, then step by step on evidence. Refused while\n"
     "another rollout runs, and when the deployment was rolled back and not released.\n"
     "With --wait: ends as the verb wait does, and --timeout is for all of it.",
     verb_run_start},
    {"pause", NULL, ON_SERVICE, 0, "hold the rollout where it is", NULL, verb_run_pause},
    {"resume", NULL, ON_SERVICE, 0, "go on with a paused or frozen rollout", NULL, verb_run_resume},
    {"promote", NULL, ON_SERVICE | CLI_OPTION_FULL, 0,
     "take the rollout's next step now, without waiting for evidence",
     "At 100 % it begins the bake, while baking it ends it.", verb_run_promote},
    {"wait", NULL, ON_SERVICE, 0, "wait until the rollout has ended",
     "Ends with 0 when it succeeded, 1 when it was rolled back or aborted, 5 when --timeout (here\n"
     "for all of it; none when not given) has passed. A paused rollout is waited for.",
     verb_run_wait},
    {"abort", NULL, ON_SERVICE, 0, "shift back and end the rollout, without quarantine", NULL,
     verb_run_abort},
    {"drill", NULL, ON_SERVICE | CLI_OPTION_WAIT_END, 0, "rehearse a rollback, and time it",
     "Failures that are made up go to a judge and a rollout of their own; workers get the split\n"
     "that they have once more, the platform is only looked at. No request, weight or quarantine\n"
     "is touched. Refused while a rollout or a rollback runs; dropped when one begins.\n"
     "With --wait: 0 when it met `rto_target`, 1 when it was slower, failed or was dropped, and\n"
     "--timeout is for all of it.",
     verb_run_drill},
    {"release", "DEPLOYMENT", ON_SERVICE | CLI_OPTION_REASON, CLI_OPTION_REASON,
     "let a deployment that was rolled back be tried again", NULL, run_release},
    {"purge", "PATH", ON_SERVICE, 0, "forget answers that were kept for when the origins fail",
     "PATH is one path with any query, or /a?b with that one; '/img/*' is all beneath, '*' is all.",
     run_purge},
    {"history", NULL,
     ON_SERVICE | CLI_OPTION_LIMIT | CLI_OPTION_AUDIT | CLI_OPTION_VERIFY | CLI_OPTION_SUMMARY |
         CLI_OPTION_EXPORT,
     0, "the rollbacks, newest first",
     "--verify walks the whole audit trail, row by row, as the running Serin sees it; with a row "
     "that\n"
     "was changed, moved or taken out it names the first one and exits 1.",
     run_history},
    {"incident", "[ID]", CLI_OPTION_COMMON | CLI_OPTION_SVG, 0,
     "the report of a rollback: what failed, for whom, what was decided",
     "In Markdown; ID is the rollback's, the newest one's when left out.", verb_run_incident},
    {"recording", NULL, ON_SERVICE, 0, "print what was counted, second by second, for serin replay",
     "Lines of JSON, as the API gives them, with or without --json. The recording is kept in "
     "memory\n"
     "for `recorder.keep` (6h), and lost when the process ends.",
     run_recording},
    {"explain", "URL", CLI_OPTION_COMMON | CLI_OPTION_HEADER | CLI_OPTION_CLIENT, 0,
     "where a request would go, and why", "Nothing is sent to any origin.", run_explain},
    {"events", NULL, CLI_OPTION_COMMON | CLI_OPTION_COUNTERS, 0, "watch changes as they happen",
     NULL, run_events},
    {"reload", NULL, CLI_OPTION_COMMON, 0, "load the configuration file again",
     "A file with errors changes nothing; every error is listed.", run_reload},
    {"guard", "-- COMMAND...", ON_GUARD, 0,
     "run a build or deploy command, and roll back if it fails with its work live",
     "Output, signals and exit code are the command's (127: not found, 128+N: ended by signal N).\n"
     "With --project it guards a Cloudflare Pages project, asking Cloudflare's API as serin pages\n"
     "does; otherwise a service of a running Serin. When the command fails, what is live is "
     "rolled\n"
     "back only if it went live while the command ran, or is the one that --expect-current names\n"
     "(then nothing else is). Otherwise the failure is only recorded: in the history of the Serin\n"
     "that runs, and in a job's outputs and summary. Put -- before COMMAND. Its words are not\n"
     "repeated in what guard says.",
     guard_run},
    {"pages", "list|rollback",
     CLI_OPTION_PROJECT | CLI_OPTION_ACCOUNT | CLI_OPTION_TOKEN_FILE | CLI_OPTION_TO |
         CLI_OPTION_EXPECT_CURRENT | CLI_OPTION_ENVIRONMENT | CLI_OPTION_LIMIT | CLI_OPTION_REASON |
         CLI_OPTION_WAIT | CLI_OPTION_DRY_RUN | CLI_OPTION_GITHUB | CLI_OPTION_JSON |
         CLI_OPTION_TIMEOUT,
     CLI_OPTION_PROJECT, "the deployments of a Cloudflare Pages project, or back to a good one",
     "Asks Cloudflare's API, no Serin: CLOUDFLARE_API_TOKEN (Pages: Edit; Read to list),\n"
     "CLOUDFLARE_ACCOUNT_ID, and CLOUDFLARE_API_BASE_URL where it is not the usual one.\n"
     "A rollback never goes to a preview, a failed or a skipped deployment, and is done when the\n"
     "project says that its target is live. With --expect-current it leaves a project alone that\n"
     "shows something else. --timeout is for all of it (default: a minute more than --wait).",
     pages_run},
    {"completion", "bash|zsh|fish", 0, 0, "what a shell needs to complete serin's words",
     "bash: source <(serin completion bash). zsh: the same in ~/.zshrc, after compinit.\n"
     "fish: serin completion fish | source. Names of services are asked of the Serin that runs.",
     completion_run},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
