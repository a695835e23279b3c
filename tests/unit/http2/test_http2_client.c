/* Calls that share a connection to an origin that says, frame by frame, what the test makes it say.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/http2/http2_client_state.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/loop_play.h"

enum { CALLS = 4, NO_FAILURE = -1, SECOND_US = 1000000 };

/* Frames, each with its head. */
#define SETTINGS                "\0\0\0\x04\0\0\0\0\0"
#define SETTINGS_ACK            "\0\0\0\x04\x01\0\0\0\0"
#define STREAMS(count)          "\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0" count
#define HEAD_200(stream, flags) "\0\0\x01\x01" flags "\0\0\0" stream "\x88"
#define DATA_ABC(stream, flags) "\0\0\x03\0" flags "\0\0\0" stream "abc"
#define RESET(stream, code)     "\0\0\x04\x03\0\0\0\0" stream "\0\0\0" code
#define GOAWAY(last)            "\0\0\x08\x07\0\0\0\0\0\0\0\0" last "\0\0\0\0"
#define WINDOW(stream, size)    "\0\0\x04\x08\0\0\0\0" stream "\0\0" size "\0"
#define CANCEL                  "\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08"
#define LAST                    "\x05" /* END_STREAM, END_HEADERS */
#define MORE                    "\x04"

struct call {
    struct client *client; /* NULL: over */
    bool is_connected;
    bool is_turned_away;
    bool closes_at_head; /* gives the client up in on_head */
    bool is_sated;       /* wants no more after each piece */
    unsigned status;
    size_t body_size;
    size_t end_count;
    size_t trailer_count;
    size_t drained_count;
    int failure;
};

static struct loop loop;
static struct http2_keeper keeper;
static struct http2_client *connection; /* NULL after on_closed */
static struct call calls[CALLS];
static struct peer origin;
static int listening;
static unsigned port;
static struct {
    size_t ready;
    size_t idle;
    size_t busy;
    size_t ended;
    size_t closing;
    size_t violations;
} told;

static struct http2_client_settings settings;

/* ---- who keeps the connection ---- */

static struct client *on_http1(struct http2_keeper *self, struct http2_client *client,
                               struct stream *stream, bool is_announced,
                               const struct client_ops *ops, void *call)
{
    (void)self;
    (void)client;
    (void)stream;
    (void)is_announced;
    (void)ops;
    (void)call;
    fail_msg("nothing was agreed on");
    return NULL;
}

static void on_ready(struct http2_keeper *self, struct http2_client *client)
{
    (void)self;
    (void)client;
    told.ready++;
}

static void on_idle(struct http2_keeper *self, struct http2_client *client)
{
    (void)self;
    assert_true(http2_client_is_idle(client));
    told.idle++;
}

static void on_busy(struct http2_keeper *self, struct http2_client *client)
{
    (void)self;
    (void)client;
    told.busy++;
}

static void on_ended(struct http2_keeper *self, struct http2_client *client)
{
    (void)self;
    assert_false(http2_client_is_idle(client));
    told.ended++;
}

static void on_closing(struct http2_keeper *self, struct http2_client *client)
{
    (void)self;
    (void)client;
    told.closing++;
}

static void on_closed(struct http2_keeper *self, struct http2_client *client)
{
    (void)self;
    (void)client;
    assert_int_equal(told.ended, 1);
    assert_int_equal(told.closing, 1);
    connection = NULL;
}

static void on_violation(struct http2_keeper *self, enum metric_http2_violation kind)
{
    (void)self;
    (void)kind;
    told.violations++;
}

/* ---- who calls ---- */

static void give_up(struct call *call)
{
    struct client *client = call->client;
    call->client = NULL;
    client_close(client);
}

static void on_connected(void *object, struct client *client)
{
    struct call *call = object;
    assert_ptr_equal(call->client, client);
    call->is_connected = true;
}

static void on_turned_away(void *object)
{
    struct call *call = object;
    call->client = NULL;
    call->is_turned_away = true;
}

static void on_inform(void *call, const struct response *response)
{
    (void)call;
    assert_true(response->status < 200);
}

static void on_head(void *object, const struct response *response)
{
    struct call *call = object;
    call->status = response->status;
    if (call->closes_at_head) {
        give_up(call);
    }
}

static void on_body(void *object, struct bytes piece)
{
    struct call *call = object;
    call->body_size += piece.size;
    if (call->is_sated) {
        client_want(call->client, false);
    }
}

static void on_end(void *object, const struct fields *trailers)
{
    struct call *call = object;
    call->end_count++;
    call->trailer_count = trailers->count;
    give_up(call);
}

static void on_drained(void *object)
{
    ((struct call *)object)->drained_count++;
}

static void on_failed(void *object, enum client_failure failure)
{
    struct call *call = object;
    assert_int_equal(call->failure, NO_FAILURE);
    call->failure = (int)failure;
    give_up(call);
}

static const struct client_ops ops = {on_connected, on_turned_away, on_inform,  on_head,
                                      on_body,      on_end,         on_drained, on_failed};

static enum err try_connect(struct call *call)
{
    union address address = {.v4 = {.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)port),
                                    .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}}};
    struct client_way way = {.route = {&address, 1, 0}, .speech = CLIENT_HTTP2};
    *call = (struct call){.failure = NO_FAILURE};
    loop_enter(&loop);
    enum err err = http2_client_connect(&loop, &way, &settings, 2 * SECOND_US, &keeper, &ops, call,
                                        &call->client);
    loop_leave(&loop);
    if (err == OK) {
        connection = http2_client_of(call->client);
    }
    return err;
}

static void join(size_t i)
{
    calls[i] = (struct call){.failure = NO_FAILURE};
    loop_enter(&loop);
    assert_int_equal(
        http2_client_call(connection, &ops, &calls[i], 2 * SECOND_US, &calls[i].client), OK);
    loop_leave(&loop);
}

static enum err try_send(size_t i, enum body_kind body)
{
    static struct field items[] = {{BYTES("Host"), BYTES("a"), FIELD_HOST}};
    struct request request = {.method = body == BODY_NONE ? METHOD_GET : METHOD_POST,
                              .version = HTTP_1_1,
                              .target = BYTES("/"),
                              .upgrade = BYTES(""),
                              .fields = {items, 1},
                              .body = body};
    loop_enter(&loop);
    enum err err = client_send(calls[i].client, &request);
    loop_leave(&loop);
    return err;
}

static void send_request(size_t i, enum body_kind body)
{
    assert_int_equal(try_send(i, body), OK);
    play_settle(&loop);
}

#define says(frames) peer_send_bytes(&loop, &origin, bytes_make(frames, sizeof(frames) - 1))

static bool has_sent(struct bytes frame)
{
    for (size_t at = 0; at + frame.size <= origin.size; at++) {
        if (memcmp(origin.text + at, frame.data, frame.size) == 0) {
            return true;
        }
    }
    return false;
}

#define expect_frame(text)                                                                         \
    do {                                                                                           \
        struct bytes wanted = bytes_make(text, sizeof(text) - 1);                                  \
        uint64_t give_up_ms = play_now_ms() + PLAY_PATIENCE_MS;                                    \
        while (!has_sent(wanted)) {                                                                \
            assert_true(play_now_ms() < give_up_ms);                                               \
            play_step(&loop);                                                                      \
            peer_look(&origin);                                                                    \
        }                                                                                          \
    } while (0)

static int set_up(void **state)
{
    (void)state;
    play_begin(&loop);
    memset(calls, 0, sizeof calls);
    memset(&told, 0, sizeof told);
    settings = (struct http2_client_settings){{4096, 1024, 100}, 3, 0};
    keeper = (struct http2_keeper){on_http1, on_ready,   on_idle,   on_busy,
                                   on_ended, on_closing, on_closed, on_violation};
    listening = play_listen(&port);
    assert_int_equal(try_connect(&calls[0]), OK);
    peer_accept(&loop, &origin, listening);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < CALLS; i++) {
        if (calls[i].client != NULL) {
            loop_enter(&loop);
            give_up(&calls[i]);
            loop_leave(&loop);
        }
    }
    peer_close(&origin);
    play_until(&loop, connection == NULL);
    (void)close(listening);
    play_end(&loop);
    return 0;
}

static void begin(void)
{
    says(SETTINGS SETTINGS_ACK);
    play_until(&loop, calls[0].is_connected);
    send_request(0, BODY_NONE);
}

/* ---- being made ---- */

static void nothing_is_sent_before_the_origins_settings(void **state)
{
    (void)state;
    expect_frame("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_false(calls[0].is_connected);
    assert_int_equal(told.ready, 0);
    begin();
    assert_int_equal(told.ready, 1);
    says(HEAD_200("\x01", MORE) DATA_ABC("\x01", "\x01"));
    play_until(&loop, calls[0].end_count == 1);
    assert_int_equal(calls[0].status, 200);
    assert_int_equal(calls[0].body_size, 3);
    play_until(&loop, told.idle == 1);
}

static void calls_join_and_more_than_fit_are_turned_away(void **state)
{
    (void)state;
    join(1);
    join(2);
    assert_false(http2_client_may_wait(connection, CLIENT_HTTP2, 3));
    assert_true(http2_client_may_wait(connection, CLIENT_HTTP2, 4));
    assert_false(http2_client_may_wait(connection, CLIENT_HTTP2_OR_1, 4));
    says(STREAMS("\x02"));
    play_until(&loop, calls[2].is_turned_away);
    assert_true(calls[0].is_connected);
    assert_true(calls[1].is_connected);
    assert_int_equal(http2_client_capacity(connection), 2);
    assert_false(http2_client_has_room(connection));
    assert_false(calls[0].client->is_reused);
    assert_false(calls[1].client->is_reused); /* the connection has proved nothing yet */
}

static void an_origin_without_room_refuses(void **state)
{
    (void)state;
    join(1);
    says(STREAMS("\0"));
    play_until(&loop, calls[1].failure == CLIENT_REFUSED);
    assert_int_equal(calls[0].failure, CLIENT_REFUSED);
}

static void each_waits_by_its_own_deadline(void **state)
{
    (void)state;
    play_turn(&loop, 1500);
    join(1);
    play_turn(&loop, 1000);
    play_until(&loop, calls[0].failure == CLIENT_TIMEOUT);
    assert_int_equal(calls[1].failure, NO_FAILURE);
    says(SETTINGS);
    play_until(&loop, calls[1].is_connected);
}

static void nobody_waiting_is_nobody_connecting(void **state)
{
    (void)state;
    loop_enter(&loop);
    give_up(&calls[0]);
    loop_leave(&loop);
    play_until(&loop, connection == NULL);
}

/* ---- ends ---- */

static void ends_of_one_call_are_no_ends_of_the_other(void **state)
{
    (void)state;
    begin();
    join(1);
    send_request(1, BODY_NONE);
    says(RESET("\x01", "\x02"));
    play_until(&loop, calls[0].failure == CLIENT_STREAM_RESET);
    says(RESET("\x03", "\x07"));
    play_until(&loop, calls[1].failure == CLIENT_UNPROCESSED);
    join(0);
    send_request(0, BODY_NONE);
    says(HEAD_200("\x05", MORE) RESET("\x05", "\x02"));
    play_until(&loop, calls[0].failure == CLIENT_TRUNCATED);
    assert_int_equal(calls[0].status, 200);
    assert_int_equal(told.ended, 0);
}

static void goaway_leaves_what_is_above_it_undone(void **state)
{
    (void)state;
    begin();
    join(1);
    send_request(1, BODY_NONE);
    says(GOAWAY("\x01"));
    play_until(&loop, calls[1].failure == CLIENT_UNPROCESSED);
    assert_int_equal(told.ended, 1);
    assert_int_equal(told.closing, 0);
    assert_false(http2_client_has_room(connection));
    says(HEAD_200("\x01", LAST));
    play_until(&loop, calls[0].end_count == 1);
    play_until(&loop, connection == NULL);
}

static void the_connections_end_is_a_reset_or_a_truncation(void **state)
{
    (void)state;
    begin();
    join(1);
    send_request(1, BODY_NONE);
    says(HEAD_200("\x01", MORE));
    play_until(&loop, calls[0].status == 200);
    peer_close(&origin);
    play_until(&loop, calls[0].failure == CLIENT_TRUNCATED);
    assert_int_equal(calls[1].failure, CLIENT_RESET);
}

/* The origin says what it has done and hangs up for good, all before the loop looks. */
static void what_came_before_a_write_failed_is_read(void **state)
{
    static const char frames[] = HEAD_200("\x01", LAST) GOAWAY("\x03");
    (void)state;
    begin();
    join(1);
    send_request(1, BODY_CHUNKED);
    join(2);
    send_request(2, BODY_CHUNKED);
    assert_int_equal(send(origin.fd, frames, sizeof frames - 1, 0), sizeof frames - 1);
    peer_reset(&origin);
    loop_enter(&loop);
    stream_write_one(connection->stream, BYTES("what finds out"));
    loop_leave(&loop);
    play_until(&loop, calls[1].failure != NO_FAILURE);
    assert_int_equal(calls[0].end_count, 1);
    assert_int_equal(calls[0].status, 200);
    assert_int_equal(calls[1].failure, CLIENT_RESET);
    assert_int_equal(calls[2].failure, CLIENT_UNPROCESSED);
}

static void against_the_rules_is_so_after_goaway_too(void **state)
{
    (void)state;
    begin();
    says(GOAWAY("\x01") DATA_ABC("\0", "\0"));
    play_until(&loop, calls[0].failure != NO_FAILURE);
    assert_int_equal(calls[0].failure, CLIENT_MALFORMED);
    assert_int_equal(told.violations, 1);
}

static void a_whole_answer_outlives_its_connection(void **state)
{
    (void)state;
    begin();
    loop_enter(&loop);
    client_want(calls[0].client, false);
    loop_leave(&loop);
    says(HEAD_200("\x01", MORE) DATA_ABC("\x01", "\x01"));
    play_until(&loop, calls[0].status == 200);
    peer_close(&origin);
    play_until(&loop, connection == NULL);
    assert_int_equal(calls[0].body_size, 0);
    loop_enter(&loop);
    client_want(calls[0].client, true);
    loop_leave(&loop);
    assert_int_equal(calls[0].body_size, 3);
    assert_int_equal(calls[0].end_count, 1);
}

static void what_is_given_up_is_cancelled(void **state)
{
    (void)state;
    begin();
    calls[0].closes_at_head = true;
    says(HEAD_200("\x01", MORE));
    play_until(&loop, calls[0].status == 200);
    expect_frame(CANCEL);
    assert_int_equal(told.ended, 0);
    join(1);
    assert_true(calls[1].client->is_reused);
    send_request(1, BODY_NONE);
    says(HEAD_200("\x03", LAST));
    play_until(&loop, calls[1].end_count == 1);
}

static void a_deadline_ends_its_call_alone(void **state)
{
    (void)state;
    begin();
    loop_enter(&loop);
    client_arm(calls[0].client, SECOND_US);
    loop_leave(&loop);
    join(1);
    play_turn(&loop, 1100);
    play_until(&loop, calls[0].failure == CLIENT_TIMEOUT);
    expect_frame(CANCEL);
    assert_int_equal(calls[1].failure, NO_FAILURE);
}

/* ---- pace ---- */

static void windows_open_as_the_user_takes(void **state)
{
    enum { FRAME = 16384, FRAMES = HTTP2_CALL_WINDOW / FRAME };
    static char data[9 + FRAME] = "\0\x40\0\0\0\0\0\0\x01";
    (void)state;
    begin();
    loop_enter(&loop);
    client_want(calls[0].client, false);
    loop_leave(&loop);
    says(HEAD_200("\x01", MORE));
    for (int i = 0; i < FRAMES; i++) {
        peer_send_bytes(&loop, &origin, bytes_make(data, sizeof data));
    }
    play_settle(&loop);
    peer_look(&origin);
    assert_false(has_sent(BYTES("\0\0\x04\x08\0\0\0\0\x01")));
    loop_enter(&loop);
    client_want(calls[0].client, true);
    loop_leave(&loop);
    expect_frame("\0\0\x04\x08\0\0\0\0\x01");
    play_until(&loop, calls[0].body_size == FRAME * FRAMES);
}

static void what_waited_comes_no_faster_than_it_is_wanted(void **state)
{
    enum { FRAME = 16384, FRAMES = HTTP2_CALL_WINDOW / FRAME };
    static char data[9 + FRAME] = "\0\x40\0\0\0\0\0\0\x01";
    (void)state;
    begin();
    calls[0].is_sated = true;
    says(HEAD_200("\x01", MORE));
    for (int i = 0; i < FRAMES; i++) {
        peer_send_bytes(&loop, &origin, bytes_make(data, sizeof data));
    }
    play_settle(&loop);
    for (size_t size = calls[0].body_size; size < HTTP2_CALL_WINDOW; size = calls[0].body_size) {
        loop_enter(&loop);
        client_want(calls[0].client, true);
        loop_leave(&loop);
        play_until(&loop, calls[0].body_size > size);
        assert_true(calls[0].body_size <= size + FRAME);
    }
}

static void bodies_wait_for_the_origins_window(void **state)
{
    static char body[100000];
    (void)state;
    says("\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0"); /* INITIAL_WINDOW_SIZE 0 */
    play_until(&loop, calls[0].is_connected);
    send_request(0, BODY_CHUNKED);
    loop_enter(&loop);
    client_send_body(calls[0].client, bytes_make(body, sizeof body));
    loop_leave(&loop);
    play_settle(&loop);
    assert_true(client_is_blocked(calls[0].client));
    says(WINDOW("\x01", "\xff"));
    play_settle(&loop);
    assert_true(client_is_blocked(calls[0].client));
    assert_int_equal(calls[0].drained_count, 0);
    says(WINDOW("\x01", "\xff") WINDOW("\0", "\xff"));
    play_until(&loop, calls[0].drained_count == 1);
    assert_false(client_is_blocked(calls[0].client));
}

/* As one does that gives back the windows of stream and connection for every 4 KiB it reads. */
static void a_fast_upload_may_be_answered_by_many_windows(void **state)
{
    enum { FRAME = 16384, FRAMES = 600 };
    static const char body[FRAME];
    (void)state;
    says(SETTINGS SETTINGS_ACK);
    play_until(&loop, calls[0].is_connected);
    send_request(0, BODY_CHUNKED);
    for (size_t i = 0; i < FRAMES; i++) {
        loop_enter(&loop);
        client_send_body(calls[0].client, bytes_make(body, sizeof body));
        loop_leave(&loop);
        play_settle(&loop);
        peer_look(&origin);
        peer_clear(&origin);
        for (size_t at = 0; at < FRAME; at += 4096) {
            says(WINDOW("\x01", "\x10") WINDOW("\0", "\x10"));
        }
        assert_int_equal(calls[0].failure, NO_FAILURE);
    }
    assert_int_equal(told.violations, 0);
}

/* ---- keeping ---- */

static void an_idle_connection_goes_in_time(void **state)
{
    (void)state;
    begin();
    settings.idle_us = SECOND_US;
    says(HEAD_200("\x01", LAST));
    play_until(&loop, told.idle == 1);
    join(1);
    assert_int_equal(told.busy, 1);
    send_request(1, BODY_NONE);
    play_turn(&loop, 1500);
    assert_int_equal(told.ended, 0);
    says(HEAD_200("\x03", LAST));
    play_until(&loop, told.idle == 2);
    play_turn(&loop, 1500);
    play_until(&loop, connection == NULL);
    peer_expect_end(&loop, &origin);
    assert_true(has_sent(BYTES("\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0")));
}

static void an_origin_that_vanished_is_found_out(void **state)
{
    (void)state;
    begin();
    play_turn(&loop, 10100);
    expect_frame("\0\0\x08\x06\0\0\0\0\0");
    says("\0\0\x08\x06\x01\0\0\0\0\0\0\0\0\0\0\0\0");
    play_settle(&loop);
    join(1);
    send_request(1, BODY_NONE);
    play_turn(&loop, 9000);
    assert_int_equal(calls[0].failure, NO_FAILURE);
    play_turn(&loop, 10100);
    play_turn(&loop, 10100);
    play_until(&loop, calls[0].failure == CLIENT_RESET);
}

#define PING     "\0\0\x08\x06\0\0\0\0\0"
#define PING_ACK "\0\0\x08\x06\x01\0\0\0\0\0\0\0\0\0\0\0\0"

static size_t ping_count(void)
{
    static const char frame[] = PING;
    size_t count = 0;
    play_settle(&loop);
    peer_look(&origin);
    for (size_t at = 0; at + sizeof frame - 1 <= origin.size; at++) {
        count += memcmp(origin.text + at, frame, sizeof frame - 1) == 0;
    }
    return count;
}

/* Time goes by until the origin is asked once more; it says that it is there. */
static void acknowledge(size_t pings)
{
    for (size_t i = 0; i < 3 && ping_count() < pings; i++) {
        play_turn(&loop, 5000);
    }
    assert_int_equal(ping_count(), pings);
    says(PING_ACK);
    play_settle(&loop);
}

/* Servers of gRPC take PINGs less than 5 minutes apart for an attack. */
static void an_origin_that_has_nothing_to_say_is_hardly_asked(void **state)
{
    (void)state;
    begin();
    play_turn(&loop, 10100);
    acknowledge(1);
    for (size_t i = 0; i < 30; i++) {
        play_turn(&loop, 10000);
        assert_int_equal(ping_count(), 1);
    }
    play_turn(&loop, 5000);
    acknowledge(2);
    play_turn(&loop, 10100);
    assert_int_equal(calls[0].failure, NO_FAILURE);
}

static void a_word(size_t i)
{
    loop_enter(&loop);
    client_send_body(calls[i].client, BYTES("word"));
    loop_leave(&loop);
    play_settle(&loop);
    play_turn(&loop, 10100);
}

static void an_origin_that_only_listens_is_asked_twice(void **state)
{
    (void)state;
    says(SETTINGS SETTINGS_ACK);
    play_until(&loop, calls[0].is_connected);
    send_request(0, BODY_CHUNKED);
    a_word(0);
    acknowledge(1);
    a_word(0);
    acknowledge(2);
    for (size_t i = 0; i < 5; i++) {
        a_word(0);
        assert_int_equal(ping_count(), 2);
    }
    says(HEAD_200("\x01", MORE));
    play_until(&loop, calls[0].status == 200);
    a_word(0);
    acknowledge(3);
    assert_int_equal(calls[0].failure, NO_FAILURE);
}

/* ---- without memory ---- */

static void every_allocation_may_fail(void **state)
{
    (void)state;
    assert_int_equal(tear_down(NULL), 0);
    for (size_t turn = 0; turn < 200; turn++) {
        play_begin(&loop);
        memset(calls, 0, sizeof calls);
        memset(&told, 0, sizeof told);
        listening = play_listen(&port);
        (void)alloc_fail_begin(turn);
        if (try_connect(&calls[0]) == OK) {
            peer_accept(&loop, &origin, listening);
            says(SETTINGS);
            play_until(&loop, calls[0].is_connected || calls[0].failure != NO_FAILURE);
            if (calls[0].is_connected && try_send(0, BODY_NONE) == OK) {
                play_settle(&loop);
                says(HEAD_200("\x01", MORE) DATA_ABC("\x01", "\x01"));
                play_until(&loop, calls[0].client == NULL);
            }
        } else {
            peer_init(&origin, -1);
            told.ended = 1;
            told.closing = 1;
        }
        bool has_failed = alloc_fail_end();
        assert_int_equal(tear_down(NULL), 0);
        if (!has_failed) {
            assert_int_equal(set_up(NULL), 0);
            return;
        }
    }
    fail_msg("there is no end of allocations");
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(nothing_is_sent_before_the_origins_settings),
        PLAY(calls_join_and_more_than_fit_are_turned_away),
        PLAY(an_origin_without_room_refuses),
        PLAY(each_waits_by_its_own_deadline),
        PLAY(nobody_waiting_is_nobody_connecting),
        PLAY(ends_of_one_call_are_no_ends_of_the_other),
        PLAY(goaway_leaves_what_is_above_it_undone),
        PLAY(the_connections_end_is_a_reset_or_a_truncation),
        PLAY(what_came_before_a_write_failed_is_read),
        PLAY(against_the_rules_is_so_after_goaway_too),
        PLAY(a_whole_answer_outlives_its_connection),
        PLAY(what_is_given_up_is_cancelled),
        PLAY(a_deadline_ends_its_call_alone),
        PLAY(windows_open_as_the_user_takes),
        PLAY(what_waited_comes_no_faster_than_it_is_wanted),
        PLAY(bodies_wait_for_the_origins_window),
        PLAY(a_fast_upload_may_be_answered_by_many_windows),
        PLAY(an_idle_connection_goes_in_time),
        PLAY(an_origin_that_vanished_is_found_out),
        PLAY(an_origin_that_has_nothing_to_say_is_hardly_asked),
        PLAY(an_origin_that_only_listens_is_asked_twice),
        PLAY(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
