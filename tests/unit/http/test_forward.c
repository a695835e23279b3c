/* What crosses the proxy, what stays behind, and what comes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/forward.h"
#include "tests/support/alloc_fail.h"

enum { ITEMS_MAX = 48 };

struct play {
    struct field in_items[ITEMS_MAX];
    struct field out_items[ITEMS_MAX];
    struct arena arena;
    struct random random;
    struct request in;
    struct request out;
    struct forward_facts facts;
};

static int begin(void **state)
{
    static struct play play;
    play = (struct play){.in = {.method = METHOD_GET,
                                .version = HTTP_1_1,
                                .target = BYTES("/"),
                                .authority = BYTES("shop.example"),
                                .upgrade = BYTES(""),
                                .is_keep_alive = true},
                         .facts = {.peer_address = BYTES("192.0.2.7"),
                                   .scheme = BYTES("https"),
                                   .origin_authority = BYTES("origin.example:81"),
                                   .is_host_kept = true,
                                   .client_fields = FORWARD_CLIENT_X}};
    play.in.fields.items = play.in_items;
    arena_init(&play.arena, 64 * 1024);
    random_init(&play.random, 7);
    *state = &play;
    return 0;
}

static int end(void **state)
{
    struct play *play = *state;
    arena_finish(&play->arena);
    return 0;
}

static void add(struct play *play, const char *name, const char *value)
{
    assert_true(play->in.fields.count < ITEMS_MAX);
    struct bytes text = bytes_of(name);
    play->in_items[play->in.fields.count++] =
        (struct field){text, bytes_of(value), field_id_of(text)};
}

static enum err try_forward(struct play *play)
{
    return forward_request(&play->in, &play->facts, &play->random, play->out_items, ITEMS_MAX,
                           &play->arena, &play->out);
}

static void forward(struct play *play)
{
    assert_int_equal(try_forward(play), OK);
}

/* The values of all fields with this name, joined by '|'; "" when there is none. */
static const char *values(const struct fields *fields, const char *name)
{
    static char text[512];
    size_t at = 0;
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (bytes_equal_nocase(field->name, bytes_of(name))) {
            assert_true(at + field->value.size + 2 < sizeof text);
            text[at] = '|';
            at += at > 0 ? 1 : 0;
            memcpy(text + at, field->value.data, field->value.size);
            at += field->value.size;
        }
    }
    text[at] = '\0';
    return text;
}

#define assert_out(play, name, expected)                                                           \
    assert_string_equal(values(&(play)->out.fields, name), expected)

static void end_to_end_fields_cross_in_order(void **state)
{
    struct play *play = *state;
    add(play, "Host", "shop.example");
    add(play, "Accept", "a");
    add(play, "Cookie", "serin=1");
    add(play, "accept", "b");
    add(play, "Serin-Version", "current");
    forward(play);
    assert_int_equal(play->out.fields.items[0].id, FIELD_HOST);
    assert_out(play, "host", "shop.example");
    assert_out(play, "accept", "a|b");
    assert_out(play, "cookie", "serin=1");
    assert_out(play, "serin-version", "current");
}

static void hop_by_hop_fields_stay_behind(void **state)
{
    static const char *const names[] = {"Connection",
                                        "Keep-Alive",
                                        "Proxy-Connection",
                                        "Proxy-Authorization",
                                        "TE",
                                        "Upgrade",
                                        "Transfer-Encoding",
                                        "Content-Length",
                                        "HTTP2-Settings",
                                        "Proxy-Authenticate",
                                        "Trailer",
                                        "Expect"};
    struct play *play = *state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        add(play, names[i], "x");
    }
    forward(play);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_out(play, names[i], "");
    }
}

static void fields_that_connection_names_stay_behind(void **state)
{
    struct play *play = *state;
    add(play, "Connection", "close, X-Secret");
    add(play, "connection", "COOKIE,, x-other");
    add(play, "X-Secret", "1");
    add(play, "x-OTHER", "2");
    add(play, "Cookie", "3");
    add(play, "X-Kept", "4");
    forward(play);
    assert_out(play, "x-secret", "");
    assert_out(play, "x-other", "");
    assert_out(play, "cookie", "");
    assert_out(play, "x-kept", "4");
}

/* A client must not take away what we say about it, nor the framing of its own message. */
static void connection_cannot_name_what_the_proxy_says(void **state)
{
    struct play *play = *state;
    add(play, "Host", "shop.example");
    add(play, "Connection",
        "host, content-length, x-forwarded-for, x-forwarded-proto, via, "
        "x-request-id, traceparent");
    play->in.body = BODY_LENGTH;
    play->in.content_length = 5;
    forward(play);
    assert_out(play, "host", "shop.example");
    assert_out(play, "x-forwarded-for", "192.0.2.7");
    assert_out(play, "x-forwarded-proto", "https");
    assert_out(play, "via", "1.1 serin");
    assert_int_equal(strlen(values(&play->out.fields, "x-request-id")), 32);
    assert_int_equal(strlen(values(&play->out.fields, "traceparent")), 55);
    assert_int_equal(play->out.body, BODY_LENGTH);
    assert_int_equal(play->out.content_length, 5);
}

static void too_many_nominated_names_are_a_limit(void **state)
{
    struct play *play = *state;
    add(play, "Connection", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p");
    assert_int_equal(try_forward(play), OK);
    add(play, "Connection", "q");
    assert_int_equal(try_forward(play), ERR_LIMIT);
}

static void a_stranger_cannot_say_whom_it_speaks_for(void **state)
{
    struct play *play = *state;
    add(play, "X-Forwarded-For", "10.0.0.1");
    add(play, "X-Forwarded-Proto", "ftp");
    add(play, "X-Forwarded-Host", "evil.example");
    add(play, "X-Forwarded-Port", "1");
    add(play, "Forwarded", "for=10.0.0.1");
    forward(play);
    assert_out(play, "x-forwarded-for", "192.0.2.7");
    assert_out(play, "x-forwarded-proto", "https");
    assert_out(play, "x-forwarded-host", "shop.example");
    assert_out(play, "x-forwarded-port", "");
    assert_out(play, "forwarded", "");
}

static void a_trusted_peer_is_continued(void **state)
{
    struct play *play = *state;
    play->facts.is_peer_trusted = true;
    play->facts.client_fields = FORWARD_CLIENT_X | FORWARD_CLIENT_RFC7239;
    add(play, "X-Forwarded-For", "198.51.100.1");
    add(play, "X-Forwarded-For", "198.51.100.2, 198.51.100.3");
    add(play, "X-Forwarded-Proto", "http");
    add(play, "X-Forwarded-Host", "www.example");
    add(play, "X-Forwarded-Port", "80");
    add(play, "Forwarded", "for=198.51.100.1");
    forward(play);
    assert_out(play, "x-forwarded-for", "198.51.100.1, 198.51.100.2, 198.51.100.3, 192.0.2.7");
    assert_out(play, "x-forwarded-proto", "http");
    assert_out(play, "x-forwarded-host", "www.example");
    assert_out(play, "x-forwarded-port", "80");
    assert_out(play, "forwarded",
               "for=198.51.100.1, for=192.0.2.7;proto=https;host=\"shop.example\"");
}

static void forwarded_quotes_what_is_no_token(void **state)
{
    struct play *play = *state;
    play->facts.client_fields = FORWARD_CLIENT_RFC7239;
    play->facts.peer_address = BYTES("2001:db8::1");
    play->in.authority = BYTES("[::1]:8080");
    forward(play);
    assert_out(play, "forwarded", "for=\"[2001:db8::1]\";proto=https;host=\"[::1]:8080\"");
    assert_out(play, "x-forwarded-for", "");
}

static void host_is_kept_or_the_origins_own(void **state)
{
    struct play *play = *state;
    add(play, "Host", "shop.example");
    play->facts.is_host_kept = false;
    forward(play);
    assert_out(play, "host", "origin.example:81");
    forward_set_host(&play->out, BYTES("other.example"));
    assert_out(play, "host", "other.example");
    play->facts.is_host_kept = true;
    play->in.version = HTTP_1_0;
    play->in.authority = BYTES("");
    play->in.fields.count = 0;
    forward(play);
    assert_out(play, "host", "origin.example:81");
    assert_out(play, "x-forwarded-host", "");
    assert_out(play, "via", "1.0 serin");
}

static void a_sound_request_id_is_kept_and_another_replaced(void **state)
{
    struct play *play = *state;
    char long_id[FORWARD_REQUEST_ID_MAX + 2];
    memset(long_id, 'a', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    const char *const bad[] = {"", "a b", "a\"b", "a,b", "a;b", "<x>", "\xe9", long_id};
    add(play, "X-Request-Id", "Ab.9_:/+=@~-");
    forward(play);
    assert_out(play, "x-request-id", "Ab.9_:/+=@~-");
    play->in_items[0].value = bytes_of(long_id + 1);
    forward(play);
    assert_out(play, "x-request-id", long_id + 1);
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        play->in_items[0].value = bytes_of(bad[i]);
        forward(play);
        assert_int_equal(strlen(values(&play->out.fields, "x-request-id")), 32);
    }
    play->in_items[0].value = BYTES("a");
    add(play, "X-Request-Id", "b");
    forward(play);
    assert_int_equal(strlen(values(&play->out.fields, "x-request-id")), 32);
}

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"

static void a_sound_trace_is_passed_with_its_state(void **state)
{
    static const char *const sound[] = {"00-" TRACE "-01", "00-" TRACE "-00", "cc-" TRACE "-01",
                                        "cc-" TRACE "-01-what-ever"};
    struct play *play = *state;
    add(play, "traceparent", "");
    add(play, "tracestate", "a=b");
    add(play, "tracestate", "c=d");
    play->in.fields.count = 2;
    for (size_t i = 0; i < COUNT_OF(sound); i++) {
        play->in_items[0].value = bytes_of(sound[i]);
        forward(play);
        assert_out(play, "traceparent", sound[i]);
        assert_out(play, "tracestate", "a=b");
    }
}

static void a_broken_trace_is_started_anew_without_state(void **state)
{
    static const char *const broken[] = {
        "",
        "00-" TRACE,
        "00-" TRACE "-01-more",
        "cc-" TRACE "-01.",
        "ff-" TRACE "-01",
        "00-" TRACE "-0G",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    };
    struct play *play = *state;
    add(play, "traceparent", "");
    add(play, "tracestate", "a=b");
    for (size_t i = 0; i < COUNT_OF(broken); i++) {
        play->in_items[0].value = bytes_of(broken[i]);
        forward(play);
        const char *made = values(&play->out.fields, "traceparent");
        assert_int_equal(strlen(made), 55);
        assert_string_not_equal(made, broken[i]);
        assert_memory_equal(made, "00-", 3);
        assert_string_equal(made + 52, "-01");
        assert_out(play, "tracestate", "");
    }
}

static void trailers_and_expectations_cross_where_they_mean_something(void **state)
{
    struct play *play = *state;
    add(play, "Trailer", "Grpc-Status");
    add(play, "Expect", "100-continue");
    play->in.body = BODY_CHUNKED;
    play->in.expects_continue = true;
    play->in.accepts_trailers = true;
    play->in.upgrade = BYTES("websocket");
    play->in.is_keep_alive = false;
    forward(play);
    assert_out(play, "trailer", "Grpc-Status");
    assert_out(play, "expect", "100-continue");
    assert_true(play->out.accepts_trailers);
    assert_true(play->out.is_keep_alive);
    assert_true(bytes_equal(play->out.upgrade, BYTES("websocket")));
}

static void a_request_that_does_not_fit_is_a_limit(void **state)
{
    struct play *play = *state;
    for (size_t i = 0; i < ITEMS_MAX - FORWARD_FIELDS_ADDED_MAX; i++) {
        add(play, "A", "b");
    }
    assert_int_equal(try_forward(play), OK);
    add(play, "A", "b");
    assert_int_equal(try_forward(play), ERR_LIMIT);
}

static void what_only_the_edge_may_say_stays_behind_there(void **state)
{
    struct play *play = *state;
    add(play, "CF-Connecting-IP", "6.6.6.6");
    add(play, "cf-ipcountry", "XX");
    add(play, "CF-", "short");
    add(play, "CFx", "no");
    forward(play);
    assert_out(play, "cf-connecting-ip", "6.6.6.6");
    play->facts.is_behind_edge = true;
    play->facts.is_peer_trusted = true;
    forward(play);
    assert_null(fields_find_name(&play->out.fields, BYTES("cf-connecting-ip")));
    assert_null(fields_find_name(&play->out.fields, BYTES("cf-ipcountry")));
    assert_out(play, "cf-", "short");
    assert_out(play, "cfx", "no");
}

static void forwarding_without_memory_says_so(void **state)
{
    struct play *play = *state;
    play->facts.client_fields = FORWARD_CLIENT_X | FORWARD_CLIENT_RFC7239;
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        enum err err = try_forward(play);
        bool was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_NOMEM : OK);
        arena_finish(&play->arena);
        if (!was_refused) {
            break;
        }
    }
    for (size_t max = 0; max < 4096; max += 8) {
        arena_init(&play->arena, max);
        enum err err = try_forward(play);
        assert_true(err == OK || err == ERR_NOMEM);
        arena_finish(&play->arena);
    }
    arena_init(&play->arena, 64 * 1024);
}

struct back {
    struct response in;
    struct response out;
    struct forward_back_facts facts;
    struct field out_items[ITEMS_MAX];
};

static struct back back_of(enum body_kind body, enum http_version client_version)
{
    return (struct back){
        .in = {.status = 200, .version = HTTP_1_1, .reason = BYTES("OK"), .body = body},
        .facts = {.client_version = client_version, .is_client_keep_alive = true}};
}

static void back_forward(struct back *back)
{
    assert_int_equal(
        forward_response(&back->in, &back->facts, back->out_items, ITEMS_MAX, &back->out), OK);
}

static void responses_lose_hop_by_hop_and_nominated_fields(void **state)
{
    (void)state;
    struct field items[] = {
        {BYTES("Connection"), BYTES("x-gone, Set-Cookie"), FIELD_CONNECTION},
        {BYTES("Keep-Alive"), BYTES("timeout=5"), FIELD_KEEP_ALIVE},
        {BYTES("X-Gone"), BYTES("1"), FIELD_OTHER},
        {BYTES("Set-Cookie"), BYTES("a=b"), FIELD_SET_COOKIE},
        {BYTES("Transfer-Encoding"), BYTES("chunked"), FIELD_TRANSFER_ENCODING},
        {BYTES("Via"), BYTES("1.1 inner"), FIELD_VIA},
        {BYTES("X-Forwarded-For"), BYTES("stays"), FIELD_X_FORWARDED_FOR},
    };
    struct field cookie = {BYTES("Set-Cookie"), BYTES("serin=1"), FIELD_SET_COOKIE};
    struct back back = back_of(BODY_CHUNKED, HTTP_1_1);
    back.in.fields = (struct fields){items, COUNT_OF(items)};
    back.facts.date = BYTES("now");
    back.facts.extra = &cookie;
    back.facts.extra_count = 1;
    back_forward(&back);
    assert_string_equal(values(&back.out.fields, "connection"), "");
    assert_string_equal(values(&back.out.fields, "keep-alive"), "");
    assert_string_equal(values(&back.out.fields, "x-gone"), "");
    assert_string_equal(values(&back.out.fields, "transfer-encoding"), "");
    assert_string_equal(values(&back.out.fields, "set-cookie"), "serin=1");
    assert_string_equal(values(&back.out.fields, "via"), "1.1 inner|1.1 serin");
    assert_string_equal(values(&back.out.fields, "date"), "now");
    assert_string_equal(values(&back.out.fields, "x-forwarded-for"), "stays");
}

static void a_date_of_the_origin_is_kept(void **state)
{
    (void)state;
    struct field date = {BYTES("Date"), BYTES("then"), FIELD_DATE};
    struct back back = back_of(BODY_LENGTH, HTTP_1_1);
    back.in.fields = (struct fields){&date, 1};
    back.facts.date = BYTES("now");
    back_forward(&back);
    assert_string_equal(values(&back.out.fields, "date"), "then");
}

static void bodies_without_length_are_framed_for_the_client(void **state)
{
    (void)state;
    static const struct {
        enum body_kind in;
        enum http_version client;
        enum body_kind out;
        bool is_keep_alive;
    } cases[] = {
        {BODY_LENGTH, HTTP_1_1, BODY_LENGTH, true},
        {BODY_LENGTH, HTTP_1_0, BODY_LENGTH, true},
        {BODY_NONE, HTTP_1_0, BODY_NONE, true},
        {BODY_CHUNKED, HTTP_1_1, BODY_CHUNKED, true},
        {BODY_CHUNKED, HTTP_1_0, BODY_UNTIL_CLOSE, false},
        {BODY_UNTIL_CLOSE, HTTP_1_1, BODY_CHUNKED, true},
        {BODY_UNTIL_CLOSE, HTTP_1_0, BODY_UNTIL_CLOSE, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct back back = back_of(cases[i].in, cases[i].client);
        back_forward(&back);
        assert_int_equal(back.out.body, cases[i].out);
        assert_int_equal(back.out.is_keep_alive, cases[i].is_keep_alive);
        assert_int_equal(back.out.version, cases[i].client);
    }
}

static void informational_answers_cross_bare(void **state)
{
    (void)state;
    struct field link = {BYTES("Link"), BYTES("</a>"), FIELD_OTHER};
    struct back back = back_of(BODY_NONE, HTTP_1_1);
    back.in.status = 103;
    back.in.has_content_length = true;
    back.in.fields = (struct fields){&link, 1};
    back.facts.date = BYTES("now");
    back_forward(&back);
    assert_int_equal(back.out.fields.count, 1);
    assert_false(back.out.has_content_length);
    assert_true(forward_may_inform(HTTP_1_1));
    assert_false(forward_may_inform(HTTP_1_0));
}

static void a_websocket_by_http_2_gets_a_key_of_ours(void **state)
{
    struct play *play = *state;
    play->in.version = HTTP_2;
    play->in.upgrade = BYTES("websocket");
    add(play, "sec-websocket-key", "the client's");
    add(play, "sec-websocket-version", "13");
    forward(play);
    assert_int_equal(strlen(values(&play->out.fields, "sec-websocket-key")), 24);
    assert_out(play, "sec-websocket-version", "13");
    assert_true(bytes_equal(play->out.upgrade, BYTES("websocket")));
}

static void a_websocket_by_http_1_1_has_its_own_key(void **state)
{
    struct play *play = *state;
    play->in.upgrade = BYTES("websocket");
    add(play, "Sec-WebSocket-Key", "the client's");
    forward(play);
    assert_out(play, "sec-websocket-key", "the client's");
}

static void the_answer_to_our_key_stays_behind(void **state)
{
    (void)state;
    static const enum http_version versions[] = {HTTP_1_1, HTTP_2};
    struct field accept = {BYTES("Sec-WebSocket-Accept"), BYTES("x"), FIELD_SEC_WEBSOCKET_ACCEPT};
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        struct back back = back_of(BODY_NONE, versions[i]);
        back.in.status = 101;
        back.in.fields = (struct fields){&accept, 1};
        back_forward(&back);
        bool is_kept = fields_find(&back.out.fields, FIELD_SEC_WEBSOCKET_ACCEPT) != NULL;
        assert_int_equal(is_kept, versions[i] == HTTP_1_1);
    }
}

#define WITH_PLAY(test) cmocka_unit_test_setup_teardown(test, begin, end)

static struct bytes told_besides(struct play *play, const char *forwarded)
{
    struct bytes text;
    play->in.fields.count = 0;
    add(play, "Forwarded", forwarded);
    assert_int_equal(forward_told_besides(&play->in, true, &play->arena, &text), OK);
    return text;
}

/* A client's own element that a trusted proxy passes on, which origins cut up otherwise than we. */
static void what_quotes_hide_is_told_besides(void **state)
{
    struct play *play = *state;
    struct bytes plain = told_besides(play, "for=192.0.2.1;proto=https;host=a");
    assert_true(bytes_equal(plain, BYTES("proto=https;host=a;")));
    plain = told_besides(play, "for=\"[2001:db8::1]:4711\", for=192.0.2.2;Host=\"a:81\"");
    assert_true(bytes_equal(plain, BYTES("Host=\"a:81\";")));
    static const char *const hiding[] = {"for=\"\\\"\";host=b", "for=\"x;host=b\"",
                                         "for=\"x, host=b\"", "for=\"x;host=b",
                                         "for=\"\\\";\\\"\";host=b"};
    for (size_t i = 0; i < COUNT_OF(hiding); i++) {
        struct bytes text = told_besides(play, hiding[i]);
        bool is_told = false;
        for (size_t at = 0; at + 6 <= text.size; at++) {
            is_told |= memcmp(text.data + at, "host=b", 6) == 0;
        }
        assert_true(is_told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLAY(end_to_end_fields_cross_in_order),
        WITH_PLAY(hop_by_hop_fields_stay_behind),
        WITH_PLAY(fields_that_connection_names_stay_behind),
        WITH_PLAY(connection_cannot_name_what_the_proxy_says),
        WITH_PLAY(too_many_nominated_names_are_a_limit),
        WITH_PLAY(a_stranger_cannot_say_whom_it_speaks_for),
        WITH_PLAY(a_trusted_peer_is_continued),
        WITH_PLAY(forwarded_quotes_what_is_no_token),
        WITH_PLAY(what_quotes_hide_is_told_besides),
        WITH_PLAY(host_is_kept_or_the_origins_own),
        WITH_PLAY(a_sound_request_id_is_kept_and_another_replaced),
        WITH_PLAY(a_sound_trace_is_passed_with_its_state),
        WITH_PLAY(a_broken_trace_is_started_anew_without_state),
        WITH_PLAY(trailers_and_expectations_cross_where_they_mean_something),
        WITH_PLAY(a_request_that_does_not_fit_is_a_limit),
        WITH_PLAY(what_only_the_edge_may_say_stays_behind_there),
        WITH_PLAY(forwarding_without_memory_says_so),
        WITH_PLAY(a_websocket_by_http_2_gets_a_key_of_ours),
        WITH_PLAY(a_websocket_by_http_1_1_has_its_own_key),
        cmocka_unit_test(responses_lose_hop_by_hop_and_nominated_fields),
        cmocka_unit_test(a_date_of_the_origin_is_kept),
        cmocka_unit_test(bodies_without_length_are_framed_for_the_client),
        cmocka_unit_test(informational_answers_cross_bare),
        cmocka_unit_test(the_answer_to_our_key_stays_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
