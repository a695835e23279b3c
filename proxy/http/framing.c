#include "proxy/http/framing.h"

#include "proxy/base/check.h"
#include "proxy/http/authority.h"
#include "proxy/http/token.h"

/* What one walk over the fields finds of those that frame a message or steer its connection. */
struct seen {
    const struct field *length; /* the first of each; how many there are stands beside it */
    const struct field *coding;
    const struct field *host;
    const struct field *upgrade;
    unsigned length_count;
    unsigned coding_count;
    unsigned host_count;
    unsigned upgrade_count;
    bool says_close;
    bool says_keep_alive;
    bool says_upgrade;
    bool expects_continue;
    bool expects_other;
    bool accepts_trailers;
};

struct length {
    enum body_kind body; /* by the fields alone: NONE, LENGTH or CHUNKED */
    uint64_t size;
};

static void look_at_connection(struct seen *seen, struct bytes value)
{
    struct bytes option;
    while (token_next(&value, &option)) {
        if (bytes_equal_nocase(option, BYTES("keep-alive"))) {
            seen->says_keep_alive = true;
        } else if (bytes_equal_nocase(option, BYTES("close"))) {
            seen->says_close = true;
        } else if (bytes_equal_nocase(option, BYTES("upgrade"))) {
            seen->says_upgrade = true;
        }
    }
}

static void look_at_te(struct seen *seen, struct bytes value)
{
    struct bytes coding;
    while (token_next(&value, &coding)) {
        if (bytes_equal_nocase(coding, BYTES("trailers"))) {
            seen->accepts_trailers = true;
        }
    }
}

static void look_at_expect(struct seen *seen, struct bytes value)
{
    if (bytes_equal_nocase(value, BYTES("100-continue"))) {
        seen->expects_continue = true;
    } else {
        seen->expects_other = true;
    }
}

static void count(const struct field *field, const struct field **first, unsigned *field_count)
{
    *first = *first != NULL ? *first : field;
    (*field_count)++;
}

static void look(const struct fields *fields, struct seen *seen)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        switch (field->id) {
        case FIELD_CONTENT_LENGTH:
            count(field, &seen->length, &seen->length_count);
            break;
        case FIELD_TRANSFER_ENCODING:
            count(field, &seen->coding, &seen->coding_count);
            break;
        case FIELD_HOST:
            count(field, &seen->host, &seen->host_count);
            break;
        case FIELD_UPGRADE:
            count(field, &seen->upgrade, &seen->upgrade_count);
            break;
        case FIELD_CONNECTION:
            look_at_connection(seen, field->value);
            break;
        case FIELD_TE:
            look_at_te(seen, field->value);
            break;
        case FIELD_EXPECT:
            look_at_expect(seen, field->value);
            break;
        default:
            break;
        }
    }
}

/* Why a Transfer-Encoding that is not plain `chunked` is refused: a list of sound codings that are
 * not ours is 501, anything crooked is 400 (RFC 9112 section 6.1). */
static enum reject_reason judge_codings(const struct fields *fields)
{
    bool has_other = false;
    for (size_t i = 0; i < fields->count; i++) {
        struct bytes rest = fields->items[i].value;
        struct bytes element;
        while (fields->items[i].id == FIELD_TRANSFER_ENCODING && bytes_next(&rest, ',', &element)) {
            struct bytes coding = bytes_trim(element);
            coding = bytes_trim(bytes_slice(coding, 0, bytes_find(coding, ';')));
            if (!token_is_all(coding, TOKEN_TCHAR)) {
                return REJECT_TRANSFER_ENCODING;
            }
            has_other = has_other || !bytes_equal_nocase(coding, BYTES("chunked"));
        }
    }
    return has_other ? REJECT_CODING_UNSUPPORTED : REJECT_TRANSFER_ENCODING;
}

/* false with the reason when the fields do not say exactly one thing. */
static bool read_length(const struct fields *fields, const struct seen *seen,
                        enum http_version version, struct length *ret_length,
                        enum reject_reason *ret_reason)
{
    if (seen->coding_count > 0) {
        if (seen->length_count > 0) {
            *ret_reason = REJECT_LENGTH_AND_CODING;
            return false;
        }
        if (version == HTTP_1_0) {
            *ret_reason = REJECT_CODING_IN_HTTP_1_0;
            return false;
        }
        if (seen->coding_count > 1 || !bytes_equal_nocase(seen->coding->value, BYTES("chunked"))) {
            *ret_reason = judge_codings(fields);
            return false;
        }
        *ret_length = (struct length){BODY_CHUNKED, 0};
        return true;
    }
    uint64_t size = 0;
    if (seen->length_count > 1 ||
        (seen->length_count == 1 && !bytes_to_u64(seen->length->value, &size))) {
        *ret_reason = REJECT_CONTENT_LENGTH;
        return false;
    }
    *ret_length = (struct length){seen->length_count == 1 ? BODY_LENGTH : BODY_NONE, size};
    return true;
}

bool framing_refuses_length(const struct fields *fields, enum http_version version,
                            enum reject_reason *ret_reason)
{
    struct seen seen = {0};
    struct length length;
    look(fields, &seen);
    return !read_length(fields, &seen, version, &length, ret_reason);
}

/* Cuts an absolute-form target into authority and origin-form (RFC 9112 section 3.2.2). */
static bool split_absolute(struct request *request, struct bytes *ret_default_port)
{
    struct bytes target = request->target;
    size_t colon = bytes_find(target, ':');
    struct bytes scheme = bytes_slice(target, 0, colon);
    struct bytes rest = bytes_slice(target, colon, target.size - colon);
    if (!bytes_starts_with(rest, BYTES("://"))) {
        return false;
    }
    if (bytes_equal_nocase(scheme, BYTES("http"))) {
        *ret_default_port = BYTES("80");
    } else if (bytes_equal_nocase(scheme, BYTES("https"))) {
        *ret_default_port = BYTES("443");
    } else {
        return false;
    }
    rest = bytes_slice(rest, 3, rest.size - 3);
    size_t end = 0;
    while (end < rest.size && rest.data[end] != '/' && rest.data[end] != '?') {
        end++;
    }
    request->authority = bytes_slice(rest, 0, end);
    request->target = bytes_slice(rest, end, rest.size - end);
    if (request->target.size == 0) {
        request->target = request->method == METHOD_OPTIONS ? BYTES("*") : BYTES("/");
    }
    return true;
}

enum err framing_add_path(struct request *request, struct arena *arena)
{
    struct bytes target = request->target;
    if (target.data[0] != '?') {
        return OK;
    }
    char *whole = arena_alloc(arena, target.size + 1);
    if (whole == NULL) {
        return ERR_NOMEM;
    }
    whole[0] = '/';
    memcpy(whole + 1, target.data, target.size);
    request->target = bytes_make(whole, target.size + 1);
    return OK;
}

/* Host against target: one name or none at all (RFC 9112 section 3.2). */
static bool check_host(struct request *request, const struct seen *seen, struct bytes default_port,
                       enum reject_reason *ret_reason)
{
    struct authority by_host;
    struct authority by_target;
    bool is_absolute = request->authority.size > 0;
    if (seen->host_count > 1) {
        *ret_reason = REJECT_HOST_DUPLICATE;
        return false;
    }
    if (seen->host_count == 0 && request->version != HTTP_1_0) {
        *ret_reason = REJECT_HOST_MISSING;
        return false;
    }
    if (seen->host_count == 1 && !authority_split(seen->host->value, &by_host)) {
        *ret_reason = REJECT_HOST_INVALID;
        return false;
    }
    if (is_absolute && !authority_split(request->authority, &by_target)) {
        *ret_reason = REJECT_TARGET;
        return false;
    }
    if (is_absolute && seen->host_count == 1 &&
        !authority_equal(&by_host, &by_target, default_port)) {
        *ret_reason = REJECT_HOST_MISMATCH;
        return false;
    }
    if (seen->host_count == 1) {
        request->authority = seen->host->value;
    }
    return true;
}

/* The four forms of RFC 9112 section 3.2, less authority-form, which only CONNECT has. */
static bool check_target(struct request *request, struct bytes *ret_default_port,
                         enum reject_reason *ret_reason)
{
    struct bytes target = request->target;
    request->authority = BYTES("");
    *ret_default_port = BYTES("80");
    if (request->method == METHOD_CONNECT) {
        *ret_reason = REJECT_METHOD_CONNECT;
        return false;
    }
    if (!token_is_all(target, TOKEN_TARGET)) {
        *ret_reason = REJECT_TARGET;
        return false;
    }
    if (target.data[0] == '/' ||
        (request->method == METHOD_OPTIONS && bytes_equal(target, BYTES("*")))) {
        return true;
    }
    if (!split_absolute(request, ret_default_port) || request->authority.size == 0) {
        *ret_reason = REJECT_TARGET;
        return false;
    }
    return true;
}

static bool check_version(enum http_version version, enum reject_reason *ret_reason)
{
    if (version != HTTP_1_0 && version != HTTP_1_1) {
        *ret_reason = REJECT_VERSION;
        return false;
    }
    return true;
}

/* HTTP/1.1 lives on unless told otherwise, HTTP/1.0 only when asked to (RFC 9112 section 9.3). */
static bool lives_on(const struct seen *seen, enum http_version version)
{
    return !seen->says_close && (version == HTTP_1_1 || seen->says_keep_alive);
}

/* An upgrade to HTTP/2 would be one of our connection, not of the origin's behind it: passed
 * through, it would open a tunnel around everything checked here. RFC 9110 section 7.8 lets us
 * ignore it. */
static bool is_tunnel_protocol(struct bytes upgrade)
{
    struct bytes protocol;
    bool has_any = false;
    while (token_next(&upgrade, &protocol)) {
        struct bytes name = bytes_slice(protocol, 0, bytes_find(protocol, '/'));
        if (!token_is_all(name, TOKEN_TCHAR) || bytes_equal_nocase(name, BYTES("h2c")) ||
            bytes_equal_nocase(name, BYTES("h2")) || bytes_equal_nocase(name, BYTES("HTTP")) ||
            bytes_equal_nocase(name, BYTES("TLS"))) {
            return false;
        }
        has_any = true;
    }
    return has_any;
}

static struct bytes read_upgrade(const struct seen *seen, enum http_version version)
{
    bool is_said = version == HTTP_1_1 && seen->says_upgrade && seen->upgrade_count == 1;
    return is_said && is_tunnel_protocol(seen->upgrade->value) ? seen->upgrade->value : BYTES("");
}

enum err framing_check_request(struct request *request, struct reject *ret_reject)
{
    struct seen seen = {0};
    struct length length;
    struct bytes default_port;
    enum reject_reason reason;
    look(&request->fields, &seen);
    if (!check_version(request->version, &reason) ||
        !check_target(request, &default_port, &reason) ||
        !read_length(&request->fields, &seen, request->version, &length, &reason) ||
        !check_host(request, &seen, default_port, &reason)) {
        *ret_reject = reject_request(reason);
        return ERR_SYNTAX;
    }
    if (seen.expects_other && request->version == HTTP_1_1) {
        *ret_reject = reject_request(REJECT_EXPECTATION);
        return ERR_SYNTAX;
    }
    request->body = length.body;
    request->content_length = length.size;
    request->upgrade = read_upgrade(&seen, request->version);
    request->is_keep_alive = lives_on(&seen, request->version);
    request->expects_continue = seen.expects_continue && request->version == HTTP_1_1;
    request->accepts_trailers = seen.accepts_trailers && request->version == HTTP_1_1;
    return OK;
}

/* Was one of the protocols in the answer asked for, and all of them (RFC 9110 section 7.8)? */
static bool is_asked(struct bytes answered, struct bytes asked)
{
    struct bytes protocol;
    bool has_any = false;
    while (token_next(&answered, &protocol)) {
        struct bytes rest = asked;
        struct bytes offered;
        bool is_offered = false;
        while (token_next(&rest, &offered)) {
            is_offered = is_offered || bytes_equal_nocase(offered, protocol);
        }
        if (!is_offered) {
            return false;
        }
        has_any = true;
    }
    return has_any;
}

static bool check_upgrade(struct response *response, const struct seen *seen,
                          const struct framing_asked *asked, enum reject_reason *ret_reason)
{
    response->upgrade = BYTES("");
    if (response->status != 101) {
        return true;
    }
    response->upgrade = read_upgrade(seen, response->version);
    if (!is_asked(response->upgrade, asked->upgrade)) {
        *ret_reason = REJECT_UNASKED_UPGRADE;
        return false;
    }
    return true;
}

static bool has_no_body(const struct response *response, const struct framing_asked *asked)
{
    return asked->is_head || response->status < 200 || response->status == 204 ||
           response->status == 304;
}

enum err framing_check_response(struct response *response, const struct framing_asked *asked,
                                struct reject *ret_reject)
{
    enum { STATUS_MIN = 100, STATUS_MAX = 599 };
    struct seen seen = {0};
    struct length length;
    enum reject_reason reason = REJECT_STATUS_LINE;
    look(&response->fields, &seen);
    if (response->status < STATUS_MIN || response->status > STATUS_MAX ||
        !check_version(response->version, &reason) ||
        !read_length(&response->fields, &seen, response->version, &length, &reason) ||
        !check_upgrade(response, &seen, asked, &reason)) {
        *ret_reject = reject_response(reason);
        return ERR_SYNTAX;
    }
    response->content_length = length.size;
    response->has_content_length = length.body == BODY_LENGTH;
    response->is_keep_alive = lives_on(&seen, response->version);
    if (!has_no_body(response, asked)) {
        response->body = length.body == BODY_NONE ? BODY_UNTIL_CLOSE : length.body;
        response->is_keep_alive = response->is_keep_alive && length.body != BODY_NONE;
        return OK;
    }
    response->body = BODY_NONE;
    /* Neither may announce a body (RFC 9110 section 8.6, RFC 9112 section 6.1). It is not read, and
     * should the origin send it all the same, it must not become the next answer. */
    bool is_announced = length.body == BODY_CHUNKED || length.size > 0;
    if (response->status == 204 && is_announced && !asked->is_head) {
        response->is_keep_alive = false;
    }
    return OK;
}

/* The CHECKs hold the scanner to its word: each line has a colon, and a CRLF at its end. */
size_t framing_split_fields(struct bytes *lines, struct field *items, size_t items_max)
{
    const char *at = lines->data;
    size_t left = lines->size;
    size_t field_count = 0;
    while (left > 0 && field_count < items_max) {
        const char *end = memchr(at, '\r', left);
        CHECK(end != NULL);
        const char *colon = memchr(at, ':', (size_t)(end - at));
        CHECK(colon != NULL);
        size_t line_size = (size_t)(end - at) + 2;
        CHECK(line_size <= left);
        struct field *field = &items[field_count++];
        field->name = bytes_make(at, (size_t)(colon - at));
        field->value = bytes_trim(bytes_make(colon + 1, (size_t)(end - colon) - 1));
        field->id = field_id_of(field->name);
        at += line_size;
        left -= line_size;
    }
    *lines = bytes_make(at, left);
    return field_count;
}

bool framing_is_trailer_refused(enum field_id id)
{
    return id == FIELD_CONTENT_LENGTH || id == FIELD_TRANSFER_ENCODING || id == FIELD_HOST;
}

bool framing_is_trailer_dropped(enum field_id id)
{
    switch (id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_PROXY_AUTHENTICATE:
    case FIELD_PROXY_AUTHORIZATION:
    case FIELD_TE:
    case FIELD_TRAILER:
    case FIELD_UPGRADE:
    case FIELD_HTTP2_SETTINGS:
    case FIELD_EXPECT:
    case FIELD_VIA:
    case FIELD_FORWARDED:
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_FORWARDED_HOST:
    case FIELD_X_REQUEST_ID:
    case FIELD_TRACEPARENT:
    case FIELD_TRACESTATE:
    case FIELD_COOKIE:
    case FIELD_SET_COOKIE:
    case FIELD_SERIN_VERSION:
    case FIELD_CONTENT_TYPE:
    case FIELD_LOCATION:
    case FIELD_DATE:
    case FIELD_AUTHORIZATION:
    case FIELD_IF_MATCH:
        return true;
    default:
        return false;
    }
}
