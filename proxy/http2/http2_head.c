#include "proxy/http2/http2_head.h"

#include "proxy/base/check.h"
#include "proxy/http/authority.h"
#include "proxy/http/reply.h"
#include "proxy/http/scan.h"

enum { ITEMS_AT_FIRST = 16 };

static const struct bytes websocket = {"websocket", sizeof "websocket" - 1};

void http2_head_init(struct http2_head *head, enum http2_head_kind kind, struct arena *arena,
                     const struct framing_limits *limits)
{
    *head = (struct http2_head){.arena = arena,
                                .limits = limits,
                                .kind = kind,
                                .count = kind == HTTP2_REQUEST_HEAD ? 1 : 0,
                                .reason = REJECT_NONE};
}

bool http2_head_is_bomb(const struct http2_head *head)
{
    return head->size > head->limits->head_max * HTTP2_BOMB_FACTOR;
}

static void object(struct http2_head *head, enum reject_reason reason)
{
    if (head->reason == REJECT_NONE) {
        head->reason = reason;
    }
}

/* ---- field by field ---- */

/* RFC 9113 section 8.2.1, and all that framing_scan refuses in HTTP/1.1. */
static enum reject_reason judge_value(struct bytes value)
{
    size_t at = scan_text(value.data, 0, value.size);
    if (at < value.size) {
        return value.data[at] == '\r'   ? REJECT_BARE_CR
               : value.data[at] == '\n' ? REJECT_BARE_LF
                                        : REJECT_CONTROL;
    }
    return bytes_trim(value).size == value.size ? REJECT_NONE : REJECT_FIELD_VALUE;
}

static bool is_lower_token(struct bytes name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] >= 'A' && name.data[i] <= 'Z') {
            return false;
        }
    }
    return token_is_all(name, TOKEN_TCHAR);
}

/* Section 8.2.2: what is about the connection has no place in HTTP/2. */
static enum reject_reason judge_field(enum field_id id, struct bytes value, bool is_response)
{
    switch (id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
    case FIELD_HTTP2_SETTINGS:
        return REJECT_CONNECTION_FIELD;
    case FIELD_TE:
        return !is_response && bytes_equal_nocase(value, BYTES("trailers"))
                   ? REJECT_NONE
                   : REJECT_CONNECTION_FIELD;
    default:
        return REJECT_NONE;
    }
}

/* Room for one more, Host's place included. */
static bool make_room(struct http2_head *head)
{
    if (head->count < head->capacity) {
        return true;
    }
    size_t capacity = head->capacity > 0 ? head->capacity * 2 : ITEMS_AT_FIRST;
    struct field *items = arena_alloc(head->arena, capacity * sizeof *items);
    if (items == NULL) {
        return false;
    }
    if (head->items != NULL) {
        memcpy(items, head->items, head->count * sizeof *items);
    }
    head->items = items;
    head->capacity = capacity;
    return true;
}

static void add_field(struct http2_head *head, struct bytes name, struct bytes value)
{
    head->has_regular = true;
    if (!is_lower_token(name)) {
        object(head, REJECT_FIELD_NAME);
        return;
    }
    enum field_id id = field_id_of(name);
    bool is_trailers = head->kind == HTTP2_TRAILERS;
    enum reject_reason reason = judge_field(id, value, head->kind == HTTP2_RESPONSE_HEAD);
    if (reason != REJECT_NONE) {
        object(head, reason);
        return;
    }
    if (is_trailers && framing_is_trailer_refused(id)) {
        object(head, REJECT_TRAILER);
        return;
    }
    if (is_trailers && framing_is_trailer_dropped(id)) {
        return;
    }
    struct bytes kept_name = id != FIELD_OTHER ? field_id_name(id) : arena_copy(head->arena, name);
    struct bytes kept_value = arena_copy(head->arena, value);
    if (kept_name.data == NULL || kept_value.data == NULL || !make_room(head)) {
        object(head, REJECT_MEMORY);
        return;
    }
    head->items[head->count++] = (struct field){kept_name, kept_value, id};
    head->cookie_count += id == FIELD_COOKIE;
}

/* Section 8.3: only those of such a head, each once, before all others. */
static void add_pseudo(struct http2_head *head, struct bytes name, struct bytes value)
{
    static const struct bytes names[HTTP2_PSEUDO_COUNT] = {
        {":method", sizeof ":method" - 1},     {":scheme", sizeof ":scheme" - 1},
        {":path", sizeof ":path" - 1},         {":authority", sizeof ":authority" - 1},
        {":protocol", sizeof ":protocol" - 1}, {":status", sizeof ":status" - 1}};
    static const enum http2_head_kind kinds[HTTP2_PSEUDO_COUNT] = {
        [HTTP2_STATUS] = HTTP2_RESPONSE_HEAD}; /* the others are a request's */
    size_t at = 0;
    while (at < HTTP2_PSEUDO_COUNT && !bytes_equal(names[at], name)) {
        at++;
    }
    if (head->has_regular || at == HTTP2_PSEUDO_COUNT || kinds[at] != head->kind ||
        head->has_pseudo[at]) {
        object(head, REJECT_PSEUDO_FIELD);
        return;
    }
    head->has_pseudo[at] = true;
    head->pseudo[at] = arena_copy(head->arena, value);
    if (head->pseudo[at].data == NULL) {
        object(head, REJECT_MEMORY);
    }
}

static enum reject_reason judge_size(const struct http2_head *head, struct bytes name,
                                     struct bytes value)
{
    bool is_path = bytes_equal(name, BYTES(":path"));
    if (name.size + value.size + 2 > head->limits->line_max) {
        return is_path ? REJECT_TARGET_TOO_LONG : REJECT_FIELD_TOO_LONG;
    }
    size_t pseudo_max = HTTP2_PROTOCOL + head->has_pseudo[HTTP2_PROTOCOL]; /* the four come first */
    if (head->field_count > head->limits->fields_max + pseudo_max) {
        return REJECT_TOO_MANY_FIELDS;
    }
    return head->size > head->limits->head_max ? REJECT_HEAD_TOO_LONG : REJECT_NONE;
}

void http2_head_add(struct http2_head *head, struct bytes name, struct bytes value)
{
    head->size += name.size + value.size + HTTP2_FIELD_OVERHEAD;
    head->field_count++;
    if (head->reason != REJECT_NONE) {
        return;
    }
    enum reject_reason reason = judge_size(head, name, value);
    if (reason == REJECT_NONE) {
        reason = judge_value(value);
    }
    if (reason != REJECT_NONE) {
        object(head, reason);
    } else if (name.size > 0 && name.data[0] == ':') {
        add_pseudo(head, name, value);
    } else {
        add_field(head, name, value);
    }
}

/* ---- the whole head ---- */

static void drop_item(struct http2_head *head, size_t at)
{
    memmove(&head->items[at], &head->items[at + 1], (head->count - at - 1) * sizeof *head->items);
    head->count--;
}

/* Section 8.3.1: :authority is what counts; a Host beside it must name the same place. */
static enum reject_reason place_host(struct http2_head *head)
{
    struct authority by_host;
    struct authority by_authority;
    bool is_secure = bytes_equal_nocase(head->pseudo[HTTP2_SCHEME], BYTES("https"));
    size_t host = 0;
    for (size_t i = head->count; i-- > 1;) {
        if (head->items[i].id == FIELD_HOST && host != 0) {
            return REJECT_HOST_DUPLICATE;
        }
        host = head->items[i].id == FIELD_HOST ? i : host;
    }
    bool has_authority = head->has_pseudo[HTTP2_AUTHORITY];
    if (!has_authority && host == 0) {
        return REJECT_HOST_MISSING;
    }
    struct bytes authority =
        has_authority ? head->pseudo[HTTP2_AUTHORITY] : head->items[host].value;
    if (!authority_split(authority, &by_authority) ||
        (host != 0 && !authority_split(head->items[host].value, &by_host))) {
        return REJECT_HOST_INVALID;
    }
    if (host != 0 &&
        !authority_equal(&by_authority, &by_host, is_secure ? BYTES("443") : BYTES("80"))) {
        return REJECT_HOST_MISMATCH;
    }
    if (host != 0) {
        drop_item(head, host);
    }
    head->items[0] = (struct field){field_id_name(FIELD_HOST), authority, FIELD_HOST};
    return REJECT_NONE;
}

/* Section 8.2.3: joined by "; " in the first one's place. */
static enum reject_reason join_cookies(struct http2_head *head)
{
    size_t size = 0;
    if (head->cookie_count < 2) {
        return REJECT_NONE;
    }
    for (size_t i = 1; i < head->count; i++) {
        size += head->items[i].id == FIELD_COOKIE ? head->items[i].value.size + 2 : 0;
    }
    if (size + sizeof "cookie" > head->limits->line_max) {
        return REJECT_FIELD_TOO_LONG;
    }
    char *text = arena_alloc(head->arena, size);
    if (text == NULL) {
        return REJECT_MEMORY;
    }
    size_t used = 0;
    size_t kept = 1;
    struct field *joined = NULL;
    for (size_t i = 1; i < head->count; i++) {
        struct field field = head->items[i];
        if (field.id != FIELD_COOKIE || joined == NULL) {
            head->items[kept] = field;
            joined = field.id == FIELD_COOKIE ? &head->items[kept] : joined;
            kept++;
        }
        if (field.id == FIELD_COOKIE) {
            memcpy(text + used, field.value.data, field.value.size);
            memcpy(text + used + field.value.size, "; ", 2);
            used += field.value.size + 2;
        }
    }
    head->count = kept;
    CHECK(joined != NULL);
    joined->value = bytes_make(text, used - 2);
    return REJECT_NONE;
}

/* RFC 8441 section 4; the registry of upgrade tokens compares without case. */
static enum reject_reason judge_protocol(struct bytes protocol)
{
    if (!token_is_all(protocol, TOKEN_TCHAR)) {
        return REJECT_PSEUDO_FIELD;
    }
    return bytes_equal_nocase(protocol, websocket) ? REJECT_NONE : REJECT_PROTOCOL_UNKNOWN;
}

/* The request line's part (section 8.3.1). */
static enum reject_reason judge_line(const struct http2_head *head, enum method *ret_method)
{
    struct bytes method = head->pseudo[HTTP2_METHOD];
    struct bytes scheme = head->pseudo[HTTP2_SCHEME];
    struct bytes path = head->pseudo[HTTP2_PATH];
    if (!head->has_pseudo[HTTP2_METHOD]) {
        return REJECT_PSEUDO_FIELD;
    }
    if (!token_is_all(method, TOKEN_TCHAR)) {
        return REJECT_METHOD_SYNTAX;
    }
    bool is_connect = bytes_equal(method, BYTES("CONNECT"));
    if (is_connect && !head->has_pseudo[HTTP2_PROTOCOL]) {
        return REJECT_METHOD_CONNECT;
    }
    if (!is_connect && head->has_pseudo[HTTP2_PROTOCOL]) {
        return REJECT_PSEUDO_FIELD;
    }
    if (!head->has_pseudo[HTTP2_SCHEME] || !head->has_pseudo[HTTP2_PATH]) {
        return REJECT_PSEUDO_FIELD;
    }
    if (!bytes_equal_nocase(scheme, BYTES("http")) && !bytes_equal_nocase(scheme, BYTES("https"))) {
        return REJECT_PSEUDO_FIELD;
    }
    if (path.size == 0 || (path.data[0] != '/' && !bytes_equal(path, BYTES("*")))) {
        return REJECT_TARGET;
    }
    if (is_connect) {
        *ret_method = METHOD_GET;
        return judge_protocol(head->pseudo[HTTP2_PROTOCOL]);
    }
    return method_of(method, ret_method) ? REJECT_NONE : REJECT_METHOD_UNKNOWN;
}

/* The GET that becomes of it has no body, so none may be announced: what follows is the tunnel's.
 */
static enum reject_reason frame_tunnel(struct request *request)
{
    request->upgrade = websocket;
    request->accepts_trailers = false;
    return request->body == BODY_NONE ? REJECT_NONE : REJECT_CONTENT_LENGTH;
}

/* A body without a length goes on as chunked; one that was announced has to come. */
static enum reject_reason frame_body(struct request *request, bool is_last)
{
    if (!is_last) {
        request->body = request->body == BODY_NONE ? BODY_CHUNKED : request->body;
        return REJECT_NONE;
    }
    bool is_missing = request->body == BODY_LENGTH && request->content_length > 0;
    return is_missing ? REJECT_CONTENT_LENGTH : REJECT_NONE;
}

static enum reject_reason make_request(struct http2_head *head, bool is_last,
                                       struct request *request)
{
    struct reject reject;
    if (head->reason != REJECT_NONE) {
        return head->reason;
    }
    enum reject_reason reason = judge_line(head, &request->method);
    if (reason == REJECT_NONE && !make_room(head)) {
        reason = REJECT_MEMORY;
    }
    if (reason == REJECT_NONE) {
        reason = place_host(head);
    }
    if (reason == REJECT_NONE) {
        reason = join_cookies(head);
    }
    if (reason != REJECT_NONE) {
        return reason;
    }
    request->version = HTTP_1_1;
    request->target = head->pseudo[HTTP2_PATH];
    request->fields = (struct fields){head->items, head->count};
    if (framing_check_request(request, &reject) != OK) {
        return reject.reason;
    }
    request->version = HTTP_2;
    request->is_secret = head->is_secret;
    request->is_keep_alive = true;
    return head->has_pseudo[HTTP2_PROTOCOL] ? frame_tunnel(request) : frame_body(request, is_last);
}

enum err http2_head_finish(struct http2_head *head, bool is_last, struct request *ret_request,
                           struct reject *ret_reject)
{
    struct request request = {.version = HTTP_1_1};
    CHECK(head->kind == HTTP2_REQUEST_HEAD);
    enum reject_reason reason = make_request(head, is_last, &request);
    if (reason != REJECT_NONE) {
        *ret_reject = reject_request(reason);
        return ERR_SYNTAX;
    }
    *ret_request = request;
    return OK;
}

/* Three digits, and no more is said of them here (section 8.3.2). */
static bool read_status(const struct http2_head *head, unsigned *ret_status)
{
    enum { DIGITS = 3 };
    struct bytes text = head->pseudo[HTTP2_STATUS];
    unsigned status = 0;
    if (!head->has_pseudo[HTTP2_STATUS] || text.size != DIGITS) {
        return false;
    }
    for (size_t i = 0; i < DIGITS; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        status = status * 10 + (unsigned)(text.data[i] - '0');
    }
    *ret_status = status;
    return true;
}

/* Where the body ends is said by the stream; a length that was announced has to come. An answer
 * that may have a body, and ends here, has one of no bytes. */
static enum reject_reason frame_answer(struct response *response, bool is_last)
{
    if (response_is_informational(response)) {
        return is_last ? REJECT_STATUS_LINE : REJECT_NONE;
    }
    if (response->body == BODY_UNTIL_CLOSE) {
        response->body = BODY_CHUNKED;
    }
    if (response->body == BODY_NONE || !is_last) {
        return REJECT_NONE;
    }
    if (response->content_length > 0) {
        return REJECT_CONTENT_LENGTH;
    }
    response->body = BODY_LENGTH;
    response->has_content_length = true;
    return REJECT_NONE;
}

static enum reject_reason make_response(const struct http2_head *head, bool is_last, bool is_head,
                                        struct response *response)
{
    struct framing_asked asked = {.is_head = is_head, .upgrade = BYTES("")};
    struct reject reject;
    if (head->reason != REJECT_NONE) {
        return head->reason;
    }
    if (!read_status(head, &response->status)) {
        return REJECT_PSEUDO_FIELD;
    }
    response->version = HTTP_1_1;
    response->reason = reply_reason(response->status);
    response->fields = (struct fields){head->items, head->count};
    if (framing_check_response(response, &asked, &reject) != OK) {
        return reject.reason;
    }
    response->version = HTTP_2;
    response->is_secret = head->is_secret;
    response->is_keep_alive = true;
    return frame_answer(response, is_last);
}

enum err http2_head_finish_response(struct http2_head *head, bool is_last, bool is_head,
                                    struct response *ret_response, struct reject *ret_reject)
{
    struct response response = {.status = 0};
    CHECK(head->kind == HTTP2_RESPONSE_HEAD);
    enum reject_reason reason = make_response(head, is_last, is_head, &response);
    if (reason != REJECT_NONE) {
        *ret_reject = reject_response(reason);
        return ERR_SYNTAX;
    }
    *ret_response = response;
    return OK;
}

enum err http2_head_finish_trailers(const struct http2_head *head, struct fields *ret_trailers,
                                    struct reject *ret_reject)
{
    CHECK(head->kind == HTTP2_TRAILERS);
    if (head->reason != REJECT_NONE) {
        *ret_reject = reject_request(head->reason);
        return ERR_SYNTAX;
    }
    *ret_trailers = (struct fields){head->items, head->count};
    return OK;
}
