/* Where the RFC leaves a choice, the one that shows nobody what was meant for another is taken, and
 * after it the one that keeps a good answer for the day that the origins fail:
 *
 * - Answers that report a failure (5xx) are never kept, whatever they say, so that none takes the
 *   place of a good one.
 * - An answer to a request with cookies, or with a key or a name in a field, that says nothing of
 * its freshness is not kept, although its status would allow it: it may well be one person's page.
 * - A guessed lifetime does not count for such requests, and requests with Authorization get only
 * what says that anybody may have it.
 * - An answer that ends when the connection does is not kept: a cut one looks the same. */
#include "proxy/cache/cache_policy.h"

#include "proxy/base/check.h"
#include "proxy/cache/cache_fields.h"

enum {
    SECOND_US = 1000000,
    HEURISTIC_PERCENT = 10,         /* of the time since it was modified (RFC 9111 section 4.2.2) */
    HEURISTIC_MAX_S = 24 * 60 * 60, /* no guess is longer */
};

/* ---- the request ---- */

/* Pragma counts only where Cache-Control does not speak (RFC 9111 section 5.4). */
static void read_pragma(const struct fields *fields, struct cache_control *control)
{
    if (fields_find(fields, FIELD_CACHE_CONTROL) == NULL &&
        fields_has_token(fields, FIELD_PRAGMA, BYTES("no-cache"))) {
        control->has |= UINT32_C(1) << CACHE_CONTROL_NO_CACHE;
    }
}

void cache_request_read(const struct request *request, struct cache_request *ret_request)
{
    const struct fields *fields = &request->fields;
    *ret_request = (struct cache_request){
        .request = request,
        .has_authorization = fields_find(fields, FIELD_AUTHORIZATION) != NULL,
        .has_identity = cache_has_foreign_cookie(fields) || cache_has_identity(fields),
        .has_range = fields_find(fields, FIELD_RANGE) != NULL,
    };
    cache_control_read(fields, &ret_request->control);
    read_pragma(fields, &ret_request->control);
    bool is_reading = request->method == METHOD_GET || request->method == METHOD_HEAD;
    bool has_body = request->body != BODY_NONE;
    bool is_for_origin = fields_find(fields, FIELD_IF_MATCH) != NULL ||
                         fields_find(fields, FIELD_IF_UNMODIFIED_SINCE) != NULL ||
                         request->upgrade.size > 0 || cache_has_override(fields);
    ret_request->is_reusable = is_reading && !has_body && !is_for_origin;
    ret_request->is_storing = ret_request->is_reusable && request->method == METHOD_GET &&
                              !ret_request->has_range && !cache_has_nominated(fields) &&
                              !cache_control_has(&ret_request->control, CACHE_CONTROL_NO_STORE);
}

/* ---- what may be kept ---- */

struct bytes cache_admission_text(enum cache_admission admission)
{
    static const struct bytes texts[CACHE_ADMISSION_COUNT] = {
#define CACHE_ADMISSION_TEXT(id, text) [CACHE_ADMIT_##id] = {text, sizeof(text) - 1},
        CACHE_ADMISSION_LIST(CACHE_ADMISSION_TEXT)
#undef CACHE_ADMISSION_TEXT
    };
    CHECK(admission < CACHE_ADMISSION_COUNT);
    return texts[admission];
}

/* Statuses whose meaning a cache can honour. Those that speak of one request only (its range, its
 * conditions, its credentials) are not among them, nor are failures. */
static bool is_understood(unsigned status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 302:
    case 303:
    case 307:
    case 308:
    case 403:
    case 404:
    case 405:
    case 410:
    case 414:
    case 451:
        return true;
    default:
        return false;
    }
}

/* May be kept without a word about its freshness (RFC 9110 section 15.1). */
static bool is_by_default(unsigned status)
{
    switch (status) {
    case 200:
    case 203:
    case 204:
    case 300:
    case 301:
    case 308:
    case 404:
    case 405:
    case 410:
    case 414:
        return true;
    default:
        return false;
    }
}

/* What an answer says of its freshness. */
struct freshness {
    uint64_t lifetime_s;
    bool is_explicit;
    bool is_heuristic;
};

static uint64_t seconds_between(int64_t from_s, int64_t to_s)
{
    return to_s > from_s ? (uint64_t)(to_s - from_s) : 0;
}

static int64_t date_of(const struct fields *fields, int64_t wall_s)
{
    int64_t date_s = wall_s;
    (void)cache_read_date(fields, FIELD_DATE, wall_s, &date_s);
    return date_s;
}

static uint64_t bounded(uint64_t seconds)
{
    return seconds < CACHE_SECONDS_MAX ? seconds : CACHE_SECONDS_MAX;
}

/* A date that cannot be read, `0` above all, is in the past (RFC 9111 section 5.3). */
static uint64_t lifetime_of_expires(const struct fields *fields, int64_t wall_s)
{
    int64_t expires_s;
    if (!cache_read_date(fields, FIELD_EXPIRES, wall_s, &expires_s)) {
        return 0;
    }
    return bounded(seconds_between(date_of(fields, wall_s), expires_s));
}

static uint64_t guess_lifetime(const struct fields *fields, int64_t wall_s)
{
    int64_t modified_s;
    if (!cache_read_date(fields, FIELD_LAST_MODIFIED, wall_s, &modified_s)) {
        return 0;
    }
    uint64_t unchanged_s = seconds_between(modified_s, date_of(fields, wall_s));
    uint64_t guess_s = unchanged_s / 100 * HEURISTIC_PERCENT;
    return guess_s < HEURISTIC_MAX_S ? guess_s : HEURISTIC_MAX_S;
}

static struct freshness read_freshness(const struct response *response,
                                       const struct cache_control *control, int64_t wall_s)
{
    const struct fields *fields = &response->fields;
    if (cache_control_has(control, CACHE_CONTROL_S_MAXAGE)) {
        return (struct freshness){control->seconds[CACHE_CONTROL_S_MAXAGE], true, false};
    }
    if (cache_control_has(control, CACHE_CONTROL_MAX_AGE)) {
        return (struct freshness){control->seconds[CACHE_CONTROL_MAX_AGE], true, false};
    }
    if (fields_find(fields, FIELD_EXPIRES) != NULL) {
        return (struct freshness){lifetime_of_expires(fields, wall_s), true, false};
    }
    bool may_guess =
        is_by_default(response->status) || cache_control_has(control, CACHE_CONTROL_PUBLIC);
    uint64_t guess_s = may_guess ? guess_lifetime(fields, wall_s) : 0;
    return (struct freshness){guess_s, false, guess_s > 0};
}

/* Says itself that a shared cache may keep it (RFC 9111 section 3.5). */
static bool is_shared(const struct cache_control *control)
{
    return cache_control_has(control, CACHE_CONTROL_PUBLIC) ||
           cache_control_has(control, CACHE_CONTROL_S_MAXAGE) ||
           cache_control_has(control, CACHE_CONTROL_MUST_REVALIDATE);
}

/* Of an answer whose status is understood (RFC 9111 section 5.2.2.3). */
static bool forbids_storing(const struct cache_control *control)
{
    return cache_control_has(control, CACHE_CONTROL_NO_STORE) &&
           !cache_control_has(control, CACHE_CONTROL_MUST_UNDERSTAND);
}

static bool varies_by_anything(const struct fields *fields)
{
    return fields_has_token(fields, FIELD_VARY, BYTES("*"));
}

/* What the message itself forbids, whatever it says of freshness. */
static enum cache_admission admit_message(const struct cache_request *request,
                                          const struct response *response,
                                          const struct cache_rules *rules)
{
    if (!request->is_storing) {
        bool is_refused = cache_control_has(&request->control, CACHE_CONTROL_NO_STORE);
        return is_refused ? CACHE_ADMIT_REQUEST : CACHE_ADMIT_METHOD;
    }
    if (response->status == 206 || fields_find(&response->fields, FIELD_CONTENT_RANGE) != NULL) {
        return CACHE_ADMIT_PARTIAL;
    }
    if (!is_understood(response->status)) {
        return CACHE_ADMIT_STATUS;
    }
    if (response->body == BODY_UNTIL_CLOSE) {
        return CACHE_ADMIT_UNBOUNDED;
    }
    if (varies_by_anything(&response->fields)) {
        return CACHE_ADMIT_VARY;
    }
    if (fields_find(&response->fields, FIELD_SET_COOKIE) != NULL && !rules->is_set_cookie_stored &&
        !cache_control_withholds(&response->fields, field_id_name(FIELD_SET_COOKIE))) {
        return CACHE_ADMIT_SET_COOKIE;
    }
    return CACHE_ADMIT_STORED;
}

static enum cache_admission admit_directives(const struct cache_request *request, unsigned status,
                                             const struct cache_control *control,
                                             const struct freshness *freshness)
{
    if (forbids_storing(control)) {
        return CACHE_ADMIT_NO_STORE;
    }
    if (control->is_private_whole) {
        return CACHE_ADMIT_PRIVATE;
    }
    if (request->has_authorization && !is_shared(control)) {
        return CACHE_ADMIT_AUTHORIZATION;
    }
    bool is_permitted = freshness->is_explicit || cache_control_has(control, CACHE_CONTROL_PUBLIC);
    if (!is_permitted && !is_by_default(status)) {
        return CACHE_ADMIT_FRESHNESS;
    }
    return !is_permitted && request->has_identity ? CACHE_ADMIT_COOKIE : CACHE_ADMIT_STORED;
}

/* ---- age ---- */

/* The first member of the first line; what is no number counts as not said (RFC 9111
 * section 5.1). */
static uint64_t read_age_s(const struct fields *fields)
{
    const struct field *field = fields_find(fields, FIELD_AGE);
    struct bytes first = {NULL, 0};
    uint64_t age_s = 0;
    if (field == NULL) {
        return 0;
    }
    first = bytes_trim(bytes_slice(field->value, 0, bytes_find(field->value, ',')));
    if (bytes_to_u64(first, &age_s)) {
        return bounded(age_s);
    }
    /* Too many digits for 64 bits are a number all the same. */
    bool is_number = first.size > 0;
    for (size_t i = 0; i < first.size; i++) {
        is_number &= first.data[i] >= '0' && first.data[i] <= '9';
    }
    return is_number ? CACHE_SECONDS_MAX : 0;
}

uint64_t cache_initial_age_us(const struct fields *fields, const struct cache_times *times)
{
    CHECK(times->response_us >= times->request_us);
    int64_t wall_s = times->wall_us / SECOND_US;
    uint64_t apparent_us = seconds_between(date_of(fields, wall_s), wall_s) * SECOND_US;
    uint64_t told_us = read_age_s(fields) * SECOND_US + (times->response_us - times->request_us);
    return apparent_us > told_us ? apparent_us : told_us;
}

static uint64_t age_us(const struct cache_meta *meta, uint64_t now_us)
{
    uint64_t resident_us = now_us > meta->response_us ? now_us - meta->response_us : 0;
    return meta->initial_age_us + resident_us;
}

uint64_t cache_age_s(const struct cache_meta *meta, uint64_t now_us)
{
    return bounded(age_us(meta, now_us) / SECOND_US);
}

int64_t cache_ttl_s(const struct cache_meta *meta, uint64_t now_us)
{
    return (int64_t)(meta->lifetime_us / SECOND_US) - (int64_t)cache_age_s(meta, now_us);
}

enum cache_admission cache_admit(const struct cache_request *request,
                                 const struct response *response, const struct cache_rules *rules,
                                 const struct cache_times *times, struct cache_meta *ret_meta)
{
    struct cache_control control;
    struct cache_tag tag;
    const struct fields *fields = &response->fields;
    enum cache_admission admission = admit_message(request, response, rules);
    if (admission != CACHE_ADMIT_STORED) {
        return admission;
    }
    cache_control_read(fields, &control);
    int64_t wall_s = times->wall_us / SECOND_US;
    int64_t modified_s;
    struct freshness freshness = read_freshness(response, &control, wall_s);
    admission = admit_directives(request, response->status, &control, &freshness);
    if (admission != CACHE_ADMIT_STORED) {
        return admission;
    }
    *ret_meta = (struct cache_meta){
        .response_us = times->response_us,
        .initial_age_us = cache_initial_age_us(fields, times),
        .lifetime_us = freshness.lifetime_s * SECOND_US,
        .stale_if_error_s = control.seconds[CACHE_CONTROL_STALE_IF_ERROR],
        .stale_while_revalidate_s = control.seconds[CACHE_CONTROL_STALE_WHILE_REVALIDATE],
        .has_stale_if_error = cache_control_has(&control, CACHE_CONTROL_STALE_IF_ERROR),
        .is_no_cache = control.is_no_cache_whole,
        .is_stale_forbidden = cache_control_has(&control, CACHE_CONTROL_MUST_REVALIDATE) ||
                              cache_control_has(&control, CACHE_CONTROL_PROXY_REVALIDATE),
        .is_s_maxage = cache_control_has(&control, CACHE_CONTROL_S_MAXAGE),
        .is_heuristic = freshness.is_heuristic,
        .is_shared = is_shared(&control),
        .has_validator = cache_read_tag(fields, &tag) ||
                         cache_read_date(fields, FIELD_LAST_MODIFIED, wall_s, &modified_s),
    };
    return CACHE_ADMIT_STORED;
}

/* ---- what may be used ---- */

static struct cache_judgement forwarded(enum cache_verdict verdict, enum cache_forward forward)
{
    return (struct cache_judgement){verdict, forward};
}

static struct cache_judgement answered(enum cache_verdict verdict)
{
    return (struct cache_judgement){verdict, CACHE_FORWARD_NONE};
}

/* By how much the lifetime is over; 0 while it is not. */
static uint64_t staleness_us(const struct cache_meta *meta, uint64_t now_us)
{
    uint64_t age = age_us(meta, now_us);
    return age > meta->lifetime_us ? age - meta->lifetime_us : 0;
}

static bool is_fresh(const struct cache_meta *meta, uint64_t now_us)
{
    return age_us(meta, now_us) < meta->lifetime_us;
}

static bool is_within(uint64_t us, uint32_t limit_s)
{
    return us <= (uint64_t)limit_s * SECOND_US;
}

/* Does what the client says of freshness allow this answer without asking, leaving aside how stale
 * it may be? RFC 9111 section 5.2.1. */
static bool satisfies_client(const struct cache_meta *meta, const struct cache_control *client,
                             uint64_t now_us)
{
    if (cache_control_has(client, CACHE_CONTROL_NO_CACHE)) {
        return false;
    }
    uint64_t age = age_us(meta, now_us);
    if (cache_control_has(client, CACHE_CONTROL_MAX_AGE) &&
        !is_within(age, client->seconds[CACHE_CONTROL_MAX_AGE])) {
        return false;
    }
    uint64_t wanted_us = (uint64_t)client->seconds[CACHE_CONTROL_MIN_FRESH] * SECOND_US;
    return !cache_control_has(client, CACHE_CONTROL_MIN_FRESH) ||
           age + wanted_us < meta->lifetime_us;
}

/* May this client have the answer without the origin's word, were it fresh? */
static bool is_for_client(const struct cache_meta *meta, const struct cache_request *request)
{
    if (request->has_authorization && !meta->is_shared) {
        return false;
    }
    return !request->has_identity || !meta->is_heuristic;
}

/* RFC 9111 section 4.2.4 and RFC 5861 section 3. What allows it by name in the answer itself goes
 * before what s-maxage implies. */
static bool may_be_stale_now(const struct cache_meta *meta, const struct cache_control *client,
                             uint64_t now_us)
{
    uint64_t staleness = staleness_us(meta, now_us);
    if (meta->is_stale_forbidden) {
        return false;
    }
    if (meta->stale_while_revalidate_s > 0 &&
        is_within(staleness, meta->stale_while_revalidate_s)) {
        return true;
    }
    return !meta->is_s_maxage && cache_control_has(client, CACHE_CONTROL_MAX_STALE) &&
           is_within(staleness, client->seconds[CACHE_CONTROL_MAX_STALE]);
}

static struct cache_judgement judge_stored(const struct cache_meta *meta,
                                           const struct cache_request *request, uint64_t now_us)
{
    const struct cache_control *client = &request->control;
    bool is_usable = !meta->is_no_cache && is_for_client(meta, request);
    bool is_fresh_now = is_fresh(meta, now_us);
    if (is_usable && satisfies_client(meta, client, now_us)) {
        if (is_fresh_now) {
            return answered(CACHE_FRESH);
        }
        if (may_be_stale_now(meta, client, now_us)) {
            bool is_to_ask = !cache_control_has(client, CACHE_CONTROL_ONLY_IF_CACHED);
            return answered(is_to_ask ? CACHE_STALE_WHILE_REVALIDATE : CACHE_FRESH);
        }
    }
    if (cache_control_has(client, CACHE_CONTROL_ONLY_IF_CACHED)) {
        return answered(CACHE_GATEWAY_TIMEOUT);
    }
    enum cache_forward reason =
        is_fresh_now && is_usable ? CACHE_FORWARD_REQUEST : CACHE_FORWARD_STALE;
    if (!request->is_storing) {
        return forwarded(CACHE_PASS, reason);
    }
    return forwarded(meta->has_validator ? CACHE_STALE_REVALIDATE : CACHE_MISS, reason);
}

struct cache_judgement cache_judge(const struct cache_meta *meta,
                                   const struct cache_request *request,
                                   const struct cache_rules *rules, uint64_t now_us)
{
    enum cache_verdict fetch = request->is_storing ? CACHE_MISS : CACHE_PASS;
    if (!request->is_reusable) {
        bool is_method =
            request->request->method != METHOD_GET && request->request->method != METHOD_HEAD;
        return forwarded(CACHE_PASS, is_method ? CACHE_FORWARD_METHOD : CACHE_FORWARD_BYPASS);
    }
    if (rules->mode == CACHE_FALLBACK) {
        return forwarded(fetch, CACHE_FORWARD_BYPASS);
    }
    if (meta != NULL) {
        return judge_stored(meta, request, now_us);
    }
    if (cache_control_has(&request->control, CACHE_CONTROL_ONLY_IF_CACHED)) {
        return answered(CACHE_GATEWAY_TIMEOUT);
    }
    return forwarded(fetch, CACHE_FORWARD_URI_MISS);
}

/* ---- when the origins fail ---- */

bool cache_is_failure(unsigned status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

/* Does the answer itself insist on being asked about, even now? */
static bool insists_on_origin(const struct cache_meta *meta, const struct cache_rules *rules)
{
    if (rules->is_revalidation_waived) {
        return false;
    }
    return meta->is_no_cache || meta->is_stale_forbidden ||
           (meta->is_s_maxage && !meta->has_stale_if_error);
}

bool cache_may_serve_on_error(const struct cache_meta *meta, const struct cache_request *request,
                              const struct cache_rules *rules, uint64_t now_us)
{
    const struct cache_control *client = &request->control;
    if (!request->is_reusable || (request->has_authorization && !meta->is_shared)) {
        return false;
    }
    if (is_fresh(meta, now_us) && !meta->is_no_cache) {
        return true;
    }
    if (insists_on_origin(meta, rules)) {
        return false;
    }
    uint64_t staleness = staleness_us(meta, now_us);
    uint32_t limit_s = meta->has_stale_if_error ? meta->stale_if_error_s : rules->stale_if_error_s;
    bool is_client_content = !cache_control_has(client, CACHE_CONTROL_STALE_IF_ERROR) ||
                             is_within(staleness, client->seconds[CACHE_CONTROL_STALE_IF_ERROR]);
    return limit_s > 0 && is_within(staleness, limit_s) && is_client_content;
}
