#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http2/http2_head.h"

static const struct framing_limits limits = {.head_max = 4096, .line_max = 512, .fields_max = 20};

/* Lines "name|value", each with a newline behind it; In values ^ stands for CR, $ for LF, ~ for
 * NUL; _ for a blank. */
static void add_lines(struct http2_head *head, const char *lines)
{
    static char copy[8192];
    (void)snprintf(copy, sizeof copy, "%s", lines);
    for (char *at = copy; *at != '\0'; at++) {
        *at = *at == '_' ? ' ' : *at;
    }
    struct bytes rest = bytes_of(copy);
    struct bytes line;
    while (bytes_next(&rest, '\n', &line)) {
        size_t bar = bytes_find(line, '|');
        if (bar == line.size) {
            continue; /* behind the last */
        }
        struct bytes value = bytes_slice(line, bar + 1, line.size - bar - 1);
        for (char *at = copy + (value.data - copy); at < value.data + value.size; at++) {
            *at = (char)(*at == '^' ? '\r' : *at == '~' ? '\0' : *at == '$' ? '\n' : *at);
        }
        http2_head_add(head, bytes_slice(line, 0, bar), value);
    }
}

static enum reject_reason judge(const char *lines, bool is_last, struct arena *arena,
                                struct request *ret_request)
{
    struct http2_head head;
    struct reject reject = {0, REJECT_NONE};
    http2_head_init(&head, HTTP2_REQUEST_HEAD, arena, &limits);
    add_lines(&head, lines);
    enum err err = http2_head_finish(&head, is_last, ret_request, &reject);
    assert_int_equal(err == OK, reject.reason == REJECT_NONE);
    return reject.reason;
}

#define GET  ":method|GET\n:scheme|https\n:path|/a?b\n:authority|shop.test\n"
#define POST ":method|POST\n:scheme|https\n:path|/\n:authority|shop.test\n"

static void a_sound_head_becomes_a_request(void **state)
{
    (void)state;
    struct arena arena;
    struct request request;
    arena_init(&arena, 1 << 20);
    assert_int_equal(judge(GET "accept|*/*\nx-odd|\n", true, &arena, &request), REJECT_NONE);
    assert_int_equal(request.method, METHOD_GET);
    assert_int_equal(request.version, HTTP_2);
    assert_int_equal(request.body, BODY_NONE);
    assert_true(request.is_keep_alive);
    assert_true(bytes_equal(request.target, BYTES("/a?b")));
    assert_true(bytes_equal(request.authority, BYTES("shop.test")));
    assert_int_equal(request.upgrade.size, 0);
    assert_int_equal(request.fields.count, 3);
    assert_int_equal(request.fields.items[0].id, FIELD_HOST);
    assert_true(bytes_equal(request.fields.items[0].value, BYTES("shop.test")));
    assert_true(bytes_equal(request.fields.items[1].name, BYTES("accept")));
    arena_finish(&arena);
}

static void the_body_is_framed_by_length_and_end(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool is_last;
        enum reject_reason reason;
        enum body_kind body;
    } cases[] = {
        {POST, true, REJECT_NONE, BODY_NONE},
        {POST, false, REJECT_NONE, BODY_CHUNKED},
        {GET, false, REJECT_NONE, BODY_CHUNKED},
        {POST "content-length|0\n", true, REJECT_NONE, BODY_LENGTH},
        {POST "content-length|7\n", false, REJECT_NONE, BODY_LENGTH},
        {POST "content-length|7\n", true, REJECT_CONTENT_LENGTH, BODY_NONE},
        {POST "content-length|7\ncontent-length|7\n", false, REJECT_CONTENT_LENGTH, BODY_NONE},
        {POST "content-length|+7\n", false, REJECT_CONTENT_LENGTH, BODY_NONE},
        {POST "content-length|7,7\n", false, REJECT_CONTENT_LENGTH, BODY_NONE},
        {POST "content-length|\n", false, REJECT_CONTENT_LENGTH, BODY_NONE},
        {POST "content-length|99999999999999999999\n", false, REJECT_CONTENT_LENGTH, BODY_NONE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena arena;
        struct request request = {.body = BODY_UNTIL_CLOSE};
        arena_init(&arena, 1 << 20);
        assert_int_equal(judge(cases[i].lines, cases[i].is_last, &arena, &request),
                         cases[i].reason);
        if (cases[i].reason == REJECT_NONE) {
            assert_int_equal(request.body, cases[i].body);
        }
        arena_finish(&arena);
    }
}

#define CONNECT ":method|CONNECT\n:scheme|https\n:path|/chat\n:authority|shop.test\n:protocol|"

/* RFC 8441 */
static void a_connect_for_a_websocket_becomes_an_upgrade(void **state)
{
    (void)state;
    for (unsigned is_last = 0; is_last < 2; is_last++) {
        struct arena arena;
        struct request request;
        arena_init(&arena, 1 << 20);
        assert_int_equal(judge(CONNECT "WebSocket\nsec-websocket-version|13\nte|trailers\n",
                               is_last, &arena, &request),
                         REJECT_NONE);
        assert_int_equal(request.method, METHOD_GET);
        assert_int_equal(request.version, HTTP_2);
        assert_int_equal(request.body, BODY_NONE);
        assert_true(bytes_equal(request.upgrade, BYTES("websocket")));
        assert_true(bytes_equal(request.target, BYTES("/chat")));
        assert_false(request.accepts_trailers);
        arena_finish(&arena);
    }
}

static void what_could_be_read_in_two_ways_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        enum reject_reason reason;
    } cases[] = {
        /* pseudo-header fields: RFC 9113 section 8.3 */
        {":scheme|https\n:path|/\n:authority|a\n", REJECT_PSEUDO_FIELD},
        {":method|GET\n:path|/\n:authority|a\n", REJECT_PSEUDO_FIELD},
        {":method|GET\n:scheme|https\n:authority|a\n", REJECT_PSEUDO_FIELD},
        {GET ":path|/twice\n", REJECT_PSEUDO_FIELD},
        {GET ":method|PUT\n", REJECT_PSEUDO_FIELD},
        {GET ":authority|shop.test\n", REJECT_PSEUDO_FIELD},
        {GET ":status|200\n", REJECT_PSEUDO_FIELD},
        {GET ":protocol|websocket\n", REJECT_PSEUDO_FIELD},
        {GET ":unknown|x\n", REJECT_PSEUDO_FIELD},
        {GET ":|x\n", REJECT_PSEUDO_FIELD},
        {GET ":PATH|/x\n", REJECT_PSEUDO_FIELD},
        {":method|GET\n:scheme|https\naccept|*\n:path|/\n:authority|a\n", REJECT_PSEUDO_FIELD},
        {":method|GET\n:scheme|ftp\n:path|/\n:authority|a\n", REJECT_PSEUDO_FIELD},
        {":method|GET\n:scheme|\n:path|/\n:authority|a\n", REJECT_PSEUDO_FIELD},
        {":method|\n:scheme|https\n:path|/\n:authority|a\n", REJECT_METHOD_SYNTAX},
        {":method|GET_/\n:scheme|https\n:path|/\n:authority|a\n", REJECT_METHOD_SYNTAX},
        {":method|get\n:scheme|https\n:path|/\n:authority|a\n", REJECT_METHOD_UNKNOWN},
        {":method|CONNECT\n:authority|a:1\n", REJECT_METHOD_CONNECT},
        {CONNECT "connect-udp\n", REJECT_PROTOCOL_UNKNOWN},
        {CONNECT "h2c\n", REJECT_PROTOCOL_UNKNOWN},
        {CONNECT "\n", REJECT_PSEUDO_FIELD},
        {CONNECT "websocket,_h2c\n", REJECT_PSEUDO_FIELD},
        {CONNECT "websocket\n:protocol|websocket\n", REJECT_PSEUDO_FIELD},
        {CONNECT "websocket\ncontent-length|0\n", REJECT_CONTENT_LENGTH},
        {CONNECT "websocket\ncontent-length|5\n", REJECT_CONTENT_LENGTH},
        {CONNECT "websocket\nupgrade|websocket\n", REJECT_CONNECTION_FIELD},
        {":method|CONNECT\n:scheme|https\n:authority|a\n:protocol|websocket\n",
         REJECT_PSEUDO_FIELD},
        {":method|CONNECT\n:path|/\n:authority|a\n:protocol|websocket\n", REJECT_PSEUDO_FIELD},
        {":method|CONNECT\n:scheme|https\n:path|*\n:authority|a\n:protocol|websocket\n",
         REJECT_TARGET},
        {":method|CONNECT\n:scheme|https\n:path|/\n:authority|a\n", REJECT_METHOD_CONNECT},
        /* the target */
        {":method|GET\n:scheme|https\n:path|\n:authority|a\n", REJECT_TARGET},
        {":method|GET\n:scheme|https\n:path|a\n:authority|a\n", REJECT_TARGET},
        {":method|GET\n:scheme|https\n:path|*\n:authority|a\n", REJECT_TARGET},
        {":method|GET\n:scheme|https\n:path|http://b/\n:authority|a\n", REJECT_TARGET},
        {":method|GET\n:scheme|https\n:path|/_HTTP/1.1\n:authority|a\n", REJECT_TARGET},
        {":method|GET\n:scheme|https\n:path|/#x\n:authority|a\n", REJECT_TARGET},
        {":method|GET\n:scheme|https\n:path|/^$X: y\n:authority|a\n", REJECT_BARE_CR},
        /* who is meant */
        {":method|GET\n:scheme|https\n:path|/\n", REJECT_HOST_MISSING},
        {":method|GET\n:scheme|https\n:path|/\n:authority|\n", REJECT_HOST_INVALID},
        {":method|GET\n:scheme|https\n:path|/\n:authority|u@a\n", REJECT_HOST_INVALID},
        {":method|GET\n:scheme|https\n:path|/\n:authority|a/b\n", REJECT_HOST_INVALID},
        {":method|GET\n:scheme|https\n:path|/\n:authority|a,b\nhost|a,b\nhost|a\n",
         REJECT_HOST_DUPLICATE},
        {GET "host|other.test\n", REJECT_HOST_MISMATCH},
        {GET "host|shop.test:8443\n", REJECT_HOST_MISMATCH},
        {GET "host|shop.test:80\n", REJECT_HOST_MISMATCH},
        {GET "host|\n", REJECT_HOST_INVALID},
        /* names and values: section 8.2.1 */
        {GET "Accept|x\n", REJECT_FIELD_NAME},
        {GET "x y|x\n", REJECT_FIELD_NAME},
        {GET "|x\n", REJECT_FIELD_NAME},
        {GET "x:y|x\n", REJECT_FIELD_NAME},
        {GET "x\x80|x\n", REJECT_FIELD_NAME},
        {GET "x|a^b\n", REJECT_BARE_CR},
        {GET "x|a$b\n", REJECT_BARE_LF},
        {GET "x|a~b\n", REJECT_CONTROL},
        {GET "x|a\x7f\n", REJECT_CONTROL},
        {GET "x|_a\n", REJECT_FIELD_VALUE},
        {GET "x|a\t\n", REJECT_FIELD_VALUE},
        /* what is about the connection: section 8.2.2 */
        {GET "connection|close\n", REJECT_CONNECTION_FIELD},
        {GET "keep-alive|timeout=5\n", REJECT_CONNECTION_FIELD},
        {GET "proxy-connection|keep-alive\n", REJECT_CONNECTION_FIELD},
        {GET "transfer-encoding|chunked\n", REJECT_CONNECTION_FIELD},
        {GET "upgrade|websocket\n", REJECT_CONNECTION_FIELD},
        {GET "http2-settings|AAMAAABkAAQAAP\n", REJECT_CONNECTION_FIELD},
        {GET "te|gzip\n", REJECT_CONNECTION_FIELD},
        {GET "te|trailers, gzip\n", REJECT_CONNECTION_FIELD},
        {GET "expect|the-unexpected\n", REJECT_EXPECTATION},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena arena;
        struct request request;
        arena_init(&arena, 1 << 20);
        enum reject_reason reason = judge(cases[i].lines, true, &arena, &request);
        if (reason != cases[i].reason) {
            fail_msg("%s: %s", cases[i].lines, reason == REJECT_NONE ? "-" : reject_label(reason));
        }
        arena_finish(&arena);
    }
}

static void what_is_sound_is_not_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        GET "host|shop.test\n",
        GET "host|SHOP.test:443\n",
        ":method|GET\n:scheme|https\n:path|/\nhost|shop.test\n",
        ":method|OPTIONS\n:scheme|http\n:path|*\n:authority|a\n",
        ":method|GET\n:scheme|HTTP\n:path|/\n:authority|[::1]:8080\n",
        ":authority|a\n:path|/\n:scheme|https\n:method|DELETE\n",
        GET "te|trailers\n",
        GET "expect|100-continue\n",
        GET "x|caf\xc3\xa9 a\tb\n",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena arena;
        struct request request;
        arena_init(&arena, 1 << 20);
        enum reject_reason reason = judge(cases[i], true, &arena, &request);
        if (reason != REJECT_NONE) {
            fail_msg("%s: %s", cases[i], reject_label(reason));
        }
        assert_int_equal(request.fields.items[0].id, FIELD_HOST);
        for (size_t at = 1; at < request.fields.count; at++) {
            assert_int_not_equal(request.fields.items[at].id, FIELD_HOST);
        }
        arena_finish(&arena);
    }
}

static void crumbs_of_a_cookie_become_one(void **state)
{
    (void)state;
    struct arena arena;
    struct request request;
    arena_init(&arena, 1 << 20);
    assert_int_equal(
        judge(GET "cookie|a=1\nx|y\ncookie|b=2\ncookie|c=3\nz|y\n", true, &arena, &request),
        REJECT_NONE);
    assert_int_equal(request.fields.count, 4);
    assert_true(bytes_equal(request.fields.items[1].value, BYTES("a=1; b=2; c=3")));
    assert_int_equal(request.fields.items[1].id, FIELD_COOKIE);
    assert_true(bytes_equal(request.fields.items[2].name, BYTES("x")));
    assert_true(bytes_equal(request.fields.items[3].name, BYTES("z")));
    arena_finish(&arena);
}

static void limits_hold_and_a_bomb_is_seen(void **state)
{
    (void)state;
    char value[600];
    struct arena arena;
    struct http2_head head;
    struct request request;
    struct reject reject;
    arena_init(&arena, 1 << 20);
    memset(value, 'x', sizeof value);
    static const enum reject_reason reasons[] = {REJECT_FIELD_TOO_LONG, REJECT_HEAD_TOO_LONG,
                                                 REJECT_TOO_MANY_FIELDS, REJECT_TARGET_TOO_LONG};
    for (size_t i = 0; i < COUNT_OF(reasons); i++) {
        http2_head_init(&head, HTTP2_REQUEST_HEAD, &arena, &limits);
        add_lines(&head, GET);
        size_t size = i == 1 ? 400 : i == 2 ? 1 : sizeof value;
        size_t count = i == 1 ? 11 : i == 2 ? 21 : 1;
        for (size_t field = 0; field < count; field++) {
            http2_head_add(&head, i == 3 ? BYTES(":path") : BYTES("x"), bytes_make(value, size));
        }
        assert_int_equal(http2_head_finish(&head, true, &request, &reject), ERR_SYNTAX);
        assert_int_equal(reject.reason, reasons[i]);
        assert_false(http2_head_is_bomb(&head));
    }
    size_t used = arena.total;
    for (size_t field = 0; field < 40; field++) {
        http2_head_add(&head, BYTES("x"), bytes_make(value, sizeof value));
    }
    assert_true(http2_head_is_bomb(&head));
    assert_int_equal(arena.total, used);
    arena_finish(&arena);
}

static void trailers_are_held_to_the_same_rules(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        enum reject_reason reason;
        size_t count;
    } cases[] = {
        {"x-sum|1\ngrpc-status|0\n", REJECT_NONE, 2},
        {"authorization|x\ncookie|a=b\nx|y\n", REJECT_NONE, 1},
        {":status|200\n", REJECT_PSEUDO_FIELD, 0},
        {":path|/\n", REJECT_PSEUDO_FIELD, 0},
        {"content-length|1\n", REJECT_TRAILER, 0},
        {"host|a\n", REJECT_TRAILER, 0},
        {"transfer-encoding|chunked\n", REJECT_CONNECTION_FIELD, 0},
        {"x|a$b\n", REJECT_BARE_LF, 0},
        {"X|a\n", REJECT_FIELD_NAME, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena arena;
        struct http2_head head;
        struct fields trailers = {NULL, 0};
        struct reject reject = {0, REJECT_NONE};
        arena_init(&arena, 1 << 20);
        http2_head_init(&head, HTTP2_TRAILERS, &arena, &limits);
        add_lines(&head, cases[i].lines);
        enum err err = http2_head_finish_trailers(&head, &trailers, &reject);
        assert_int_equal(err == OK, cases[i].reason == REJECT_NONE);
        assert_int_equal(reject.reason, cases[i].reason);
        assert_int_equal(trailers.count, cases[i].count);
        arena_finish(&arena);
    }
}

static enum reject_reason judge_answer(const char *lines, bool is_last, bool is_head,
                                       struct arena *arena, struct response *ret_response)
{
    struct http2_head head;
    struct reject reject = {0, REJECT_NONE};
    http2_head_init(&head, HTTP2_RESPONSE_HEAD, arena, &limits);
    add_lines(&head, lines);
    enum err err = http2_head_finish_response(&head, is_last, is_head, ret_response, &reject);
    assert_int_equal(err == OK, reject.reason == REJECT_NONE);
    assert_int_equal(reject.status, err == OK ? 0 : REJECT_STATUS_BAD_RESPONSE);
    return reject.reason;
}

static void an_answers_body_is_framed_by_length_and_end(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool is_last;
        bool is_head;
        enum body_kind body;
        bool has_length;
    } rows[] = {
        {":status|200\n", false, false, BODY_CHUNKED, false},
        {":status|200\n", true, false, BODY_LENGTH, true}, /* of no bytes */
        {":status|200\ncontent-length|3\n", false, false, BODY_LENGTH, true},
        {":status|200\ncontent-length|3\n", true, true, BODY_NONE, true},
        {":status|304\ncontent-length|3\n", true, false, BODY_NONE, true},
        {":status|204\n", true, false, BODY_NONE, false},
        {":status|103\nlink|x\n", false, false, BODY_NONE, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena;
        struct response response;
        arena_init(&arena, 1 << 20);
        assert_int_equal(
            judge_answer(rows[i].lines, rows[i].is_last, rows[i].is_head, &arena, &response),
            REJECT_NONE);
        assert_int_equal(response.version, HTTP_2);
        assert_int_equal(response.body, rows[i].body);
        assert_int_equal(response.has_content_length, rows[i].has_length);
        arena_finish(&arena);
    }
}

static void answers_with_a_fault_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool is_last;
        enum reject_reason reason;
    } rows[] = {
        {"x|y\n", true, REJECT_PSEUDO_FIELD},
        {":status|200\n:status|200\n", true, REJECT_PSEUDO_FIELD},
        {"x|y\n:status|200\n", true, REJECT_PSEUDO_FIELD},
        {":status|200\n:path|/\n", true, REJECT_PSEUDO_FIELD},
        {":status|20\n", true, REJECT_PSEUDO_FIELD},
        {":status|2x0\n", true, REJECT_PSEUDO_FIELD},
        {":status|099\n", true, REJECT_STATUS_LINE},
        {":status|101\n", true, REJECT_UNASKED_UPGRADE},
        {":status|103\n", true, REJECT_STATUS_LINE},
        {":status|200\nconnection|close\n", true, REJECT_CONNECTION_FIELD},
        {":status|200\nte|trailers\n", true, REJECT_CONNECTION_FIELD},
        {":status|200\ncontent-length|3\n", true, REJECT_CONTENT_LENGTH},
        {":status|200\nX|y\n", true, REJECT_FIELD_NAME},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct arena arena;
        struct response response;
        arena_init(&arena, 1 << 20);
        assert_int_equal(judge_answer(rows[i].lines, rows[i].is_last, false, &arena, &response),
                         rows[i].reason);
        arena_finish(&arena);
    }
}

static void without_memory_it_is_refused_as_such(void **state)
{
    (void)state;
    for (size_t max = 0; max < 12 * 1024; max += 512) {
        struct arena arena;
        struct request request;
        arena_init(&arena, max);
        enum reject_reason reason =
            judge(GET "cookie|a=1\ncookie|b=2\nx|y\n", true, &arena, &request);
        assert_true(reason == REJECT_NONE || reason == REJECT_MEMORY);
        assert_true(max > 0 || reason == REJECT_MEMORY);
        arena_finish(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_head_becomes_a_request),
        cmocka_unit_test(the_body_is_framed_by_length_and_end),
        cmocka_unit_test(a_connect_for_a_websocket_becomes_an_upgrade),
        cmocka_unit_test(what_could_be_read_in_two_ways_is_refused),
        cmocka_unit_test(what_is_sound_is_not_refused),
        cmocka_unit_test(crumbs_of_a_cookie_become_one),
        cmocka_unit_test(limits_hold_and_a_bomb_is_seen),
        cmocka_unit_test(trailers_are_held_to_the_same_rules),
        cmocka_unit_test(an_answers_body_is_framed_by_length_and_end),
        cmocka_unit_test(answers_with_a_fault_are_refused),
        cmocka_unit_test(without_memory_it_is_refused_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
