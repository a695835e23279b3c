/* One connection to an origin that says what the test makes it say. */
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/http1/http1_client.h"
#include "tests/support/loop_play.h"

enum { NO_FAILURE = -1 };

/* Who uses the connection, and who keeps it: notes what it hears. */
struct user {
    struct client_keeper keeper;
    struct client *client; /* NULL after on_closed */
    bool is_connected;
    unsigned status;
    size_t inform_count;
    size_t end_count;
    size_t trailer_count;
    size_t body_size;
    size_t stop_after; /* wants no more once so many bytes have come; 0: never */
    int failure;
    bool has_idle_ended;
    char body[256 * 1024];
};

static struct loop loop;
static struct user user;
static struct peer origin;
static int listening;
static const struct framing_limits limits = {4096, 1024, 100};

static void on_connected(void *call, struct client *client)
{
    struct user *self = call;
    assert_ptr_equal(self->client, client);
    self->is_connected = true;
}

static void on_turned_away(void *call)
{
    (void)call;
    fail_msg("nobody else waits");
}

static void on_inform(void *call, const struct response *response)
{
    struct user *self = call;
    assert_true(response->status < 200);
    self->inform_count++;
}

static void on_head(void *call, const struct response *response)
{
    struct user *self = call;
    assert_int_equal(self->status, 0);
    self->status = response->status;
}

static void on_body(void *call, struct bytes piece)
{
    struct user *self = call;
    assert_true(self->body_size + piece.size <= sizeof self->body);
    memcpy(self->body + self->body_size, piece.data, piece.size);
    self->body_size += piece.size;
    if (self->stop_after > 0 && self->body_size >= self->stop_after) {
        client_want(self->client, false);
    }
}

static void on_end(void *call, const struct fields *trailers)
{
    struct user *self = call;
    self->end_count++;
    self->trailer_count = trailers != NULL ? trailers->count : 0;
}

static void on_drained(void *call)
{
    (void)call;
}

static void on_failed(void *call, enum client_failure failure)
{
    struct user *self = call;
    assert_int_equal(self->failure, NO_FAILURE);
    self->failure = (int)failure;
}

static const struct client_ops ops = {on_connected, on_turned_away, on_inform,  on_head,
                                      on_body,      on_end,         on_drained, on_failed};

static void on_idle_ended(struct client_keeper *keeper, struct http1_client *client)
{
    (void)client;
    CONTAINER_OF(keeper, struct user, keeper)->has_idle_ended = true;
}

static void on_closed(struct client_keeper *keeper, struct http1_client *client)
{
    (void)client;
    CONTAINER_OF(keeper, struct user, keeper)->client = NULL;
}

static void begin_call(void)
{
    user.status = 0;
    user.inform_count = 0;
    user.end_count = 0;
    user.trailer_count = 0;
    user.body_size = 0;
    user.stop_after = 0;
    user.failure = NO_FAILURE;
}

static void connect_to(unsigned port)
{
    union address address = {.v4 = {.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)port),
                                    .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}}};
    memset(&user, 0, sizeof user);
    user.keeper = (struct client_keeper){on_idle_ended, on_closed};
    begin_call();
    loop_enter(&loop);
    struct client_way way = {.route = {&address, 1, 0}};
    assert_int_equal(http1_client_connect(&loop, &way, &limits, 2000000, &user.keeper, &ops, &user,
                                          &user.client),
                     OK);
    loop_leave(&loop);
}

static void send_request(enum method method, enum body_kind body)
{
    static struct field items[] = {{BYTES("Host"), BYTES("a"), FIELD_HOST}};
    struct request request = {.method = method,
                              .version = HTTP_1_1,
                              .target = BYTES("/"),
                              .upgrade = BYTES(""),
                              .fields = {items, 1},
                              .body = body,
                              .content_length = body == BODY_LENGTH ? 4 : 0,
                              .is_keep_alive = true};
    loop_enter(&loop);
    assert_int_equal(client_send(user.client, &request), OK);
    loop_leave(&loop);
    peer_expect(&loop, &origin, "\r\n\r\n");
    peer_clear(&origin);
}

static int set_up(void **state)
{
    (void)state;
    unsigned port;
    play_begin(&loop);
    listening = play_listen(&port);
    connect_to(port);
    peer_accept(&loop, &origin, listening);
    play_until(&loop, user.is_connected);
    send_request(METHOD_GET, BODY_NONE);
    return 0;
}

static void close_client(void)
{
    if (user.client != NULL) {
        loop_enter(&loop);
        client_close(user.client);
        loop_leave(&loop);
        play_until(&loop, user.client == NULL);
    }
}

static int tear_down(void **state)
{
    (void)state;
    close_client();
    peer_close(&origin);
    (void)close(listening);
    play_end(&loop);
    return 0;
}

/* Puts the next call on the connection, which has to be reusable. */
static void call_again(void)
{
    assert_true(http1_client_is_reusable(http1_client_of(user.client)));
    loop_enter(&loop);
    http1_client_rest(http1_client_of(user.client), 0);
    http1_client_take(http1_client_of(user.client), &ops, &user);
    loop_leave(&loop);
    begin_call();
    send_request(METHOD_GET, BODY_NONE);
}

static void answers_may_come_in_any_two_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t trailer_count;
    } answers[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabcdef", 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n4;x\r\ncdef\r\n0\r\n\r\n",
         0},
        {"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: "
         "chunked\r\n\r\n"
         "6\r\nabcdef\r\n0\r\nX-Sum: 1\r\n\r\n",
         1},
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        size_t size = strlen(answers[i].text);
        for (size_t cut = 1; cut < size; cut++) {
            peer_send_bytes(&loop, &origin, bytes_make(answers[i].text, cut));
            play_settle(&loop);
            peer_send_bytes(&loop, &origin, bytes_make(answers[i].text + cut, size - cut));
            play_until(&loop, user.end_count == 1);
            assert_int_equal(user.status, 200);
            assert_int_equal(user.body_size, 6);
            assert_memory_equal(user.body, "abcdef", 6);
            assert_int_equal(user.trailer_count, answers[i].trailer_count);
            call_again();
        }
    }
}

static void an_answer_without_length_ends_with_the_connection(void **state)
{
    (void)state;
    peer_send(&loop, &origin, "HTTP/1.1 200 OK\r\n\r\nabc");
    play_until(&loop, user.body_size == 3);
    assert_int_equal(user.end_count, 0);
    peer_close(&origin);
    play_until(&loop, user.end_count == 1);
    assert_false(http1_client_is_reusable(http1_client_of(user.client)));
}

static void what_breaks_off_is_told_at_once(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum client_failure failure;
    } rows[] = {
        {"", CLIENT_RESET},
        {"HTTP/1.1 20", CLIENT_RESET},
        {"HTTP/1.1 200 OK\r\nContent-Le", CLIENT_RESET},
        {"HTTP/1.1 100 Continue\r\n\r\n", CLIENT_RESET},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", CLIENT_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", CLIENT_TRUNCATED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: ",
         CLIENT_TRUNCATED},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        peer_send(&loop, &origin, rows[i].text);
        peer_close(&origin);
        play_until(&loop, user.failure != NO_FAILURE);
        assert_int_equal(user.failure, rows[i].failure);
        assert_false(http1_client_is_reusable(http1_client_of(user.client)));
        assert_int_equal(tear_down(NULL), 0);
        assert_int_equal(set_up(NULL), 0);
    }
}

static void what_is_malformed_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum reject_reason reason;
    } rows[] = {
        {"HTTP/2.0 200 OK\r\n\r\n", REJECT_STATUS_LINE},
        {"HTTP/1.1 099 OK\r\n\r\n", REJECT_STATUS_LINE},
        {"\r\nHTTP/1.1 200 OK\r\n\r\n", REJECT_STATUS_LINE},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
         REJECT_CONTENT_LENGTH},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         REJECT_LENGTH_AND_CODING},
        {"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
         REJECT_UNASKED_UPGRADE},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz", REJECT_CHUNK_SIZE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        peer_send(&loop, &origin, rows[i].text);
        play_until(&loop, user.failure != NO_FAILURE);
        assert_int_equal(user.failure, CLIENT_MALFORMED);
        assert_int_equal(user.client->reject.reason, rows[i].reason);
        assert_int_equal(user.client->reject.status, 502);
        assert_int_equal(tear_down(NULL), 0);
        assert_int_equal(set_up(NULL), 0);
    }
}

static void interim_answers_have_an_end(void **state)
{
    (void)state;
    for (int i = 0; i < 17; i++) {
        peer_send(&loop, &origin, "HTTP/1.1 102 Wait\r\n\r\n");
    }
    play_until(&loop, user.failure == CLIENT_MALFORMED);
    assert_int_equal(user.inform_count, 16);
}

static void answers_without_bodies_keep_the_connection(void **state)
{
    (void)state;
    peer_send(&loop, &origin, "HTTP/1.1 204 None\r\n\r\n");
    play_until(&loop, user.end_count == 1);
    call_again();
    peer_send(&loop, &origin, "HTTP/1.1 304 Same\r\nContent-Length: 10\r\n\r\n");
    play_until(&loop, user.end_count == 1);
    assert_true(http1_client_is_reusable(http1_client_of(user.client)));
    loop_enter(&loop);
    http1_client_rest(http1_client_of(user.client), 0);
    http1_client_take(http1_client_of(user.client), &ops, &user);
    loop_leave(&loop);
    begin_call();
    send_request(METHOD_HEAD, BODY_NONE);
    peer_send(&loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    play_until(&loop, user.end_count == 1);
    assert_true(user.client->is_reused);
    call_again();
}

static void bytes_behind_an_answer_make_it_the_last(void **state)
{
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab!",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n!",
        "HTTP/1.1 304 Same\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        peer_send(&loop, &origin, answers[i]);
        play_until(&loop, user.end_count == 1);
        assert_false(http1_client_is_reusable(http1_client_of(user.client)));
        assert_int_equal(tear_down(NULL), 0);
        assert_int_equal(set_up(NULL), 0);
    }
}

static void an_idle_connection_that_speaks_or_ends_is_dropped(void **state)
{
    (void)state;
    static const char *const lasts[] = {"HTTP/1.1 408 Slow\r\n\r\n", NULL};
    for (size_t i = 0; i < COUNT_OF(lasts); i++) {
        peer_send(&loop, &origin, "HTTP/1.1 204 None\r\n\r\n");
        play_until(&loop, user.end_count == 1);
        loop_enter(&loop);
        http1_client_rest(http1_client_of(user.client), 60000000);
        loop_leave(&loop);
        if (lasts[i] != NULL) {
            peer_send(&loop, &origin, lasts[i]);
        } else {
            peer_finish(&origin);
        }
        play_until(&loop, user.client == NULL);
        assert_true(user.has_idle_ended);
        assert_int_equal(tear_down(NULL), 0);
        assert_int_equal(set_up(NULL), 0);
    }
}

static void a_deadline_ends_the_call(void **state)
{
    (void)state;
    loop_enter(&loop);
    client_arm(user.client, 5000000);
    loop_leave(&loop);
    play_turn(&loop, 4000);
    assert_int_equal(user.failure, NO_FAILURE);
    play_turn(&loop, 1000);
    assert_int_equal(user.failure, CLIENT_TIMEOUT);
}

static void a_refused_connection_is_told(void **state)
{
    (void)state;
    unsigned port;
    int fd = play_listen(&port);
    (void)close(fd);
    close_client();
    connect_to(port);
    play_until(&loop, user.failure != NO_FAILURE);
    assert_int_equal(user.failure, CLIENT_REFUSED);
}

/* The user stops in mid-chunk; the rest, and the end of the stream, wait for it. */
static void what_is_not_wanted_waits(void **state)
{
    (void)state;
    user.stop_after = 2;
    peer_send(
        &loop, &origin,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n");
    peer_close(&origin);
    play_until(&loop, user.body_size == 2);
    play_settle(&loop);
    assert_int_equal(user.body_size, 2);
    assert_int_equal(user.end_count, 0);
    user.stop_after = 0;
    loop_enter(&loop);
    client_want(user.client, true);
    loop_leave(&loop);
    play_until(&loop, user.end_count == 1);
    assert_memory_equal(user.body, "abcd", 4);
    assert_int_equal(user.failure, NO_FAILURE);
}

static void an_end_that_was_not_wanted_is_met_later(void **state)
{
    (void)state;
    user.stop_after = 2;
    peer_send(&loop, &origin,
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n");
    peer_close(&origin);
    play_until(&loop, user.body_size == 2);
    play_settle(&loop);
    assert_int_equal(user.failure, NO_FAILURE);
    user.stop_after = 0;
    loop_enter(&loop);
    client_want(user.client, true);
    loop_leave(&loop);
    play_until(&loop, user.failure == CLIENT_TRUNCATED);
    assert_int_equal(user.body_size, 4);
}

static void an_answer_before_the_request_has_ended_is_the_last(void **state)
{
    (void)state;
    peer_send(&loop, &origin, "HTTP/1.1 204 None\r\n\r\n");
    play_until(&loop, user.end_count == 1);
    loop_enter(&loop);
    http1_client_rest(http1_client_of(user.client), 0);
    http1_client_take(http1_client_of(user.client), &ops, &user);
    loop_leave(&loop);
    begin_call();
    send_request(METHOD_POST, BODY_LENGTH);
    peer_send(&loop, &origin, "HTTP/1.1 413 Enough\r\nContent-Length: 0\r\n\r\n");
    play_until(&loop, user.end_count == 1);
    assert_int_equal(user.status, 413);
    assert_false(http1_client_is_reusable(http1_client_of(user.client)));
}

/* The origin answers and resets while we still write: the write fails before the answer is read. */
static void an_answer_is_read_although_writing_failed(void **state)
{
    (void)state;
    static char bytes[8192];
    peer_send(&loop, &origin, "HTTP/1.1 204 None\r\n\r\n");
    play_until(&loop, user.end_count == 1);
    loop_enter(&loop);
    http1_client_rest(http1_client_of(user.client), 0);
    http1_client_take(http1_client_of(user.client), &ops, &user);
    loop_leave(&loop);
    begin_call();
    send_request(METHOD_POST, BODY_CHUNKED);
    struct bytes answer = BYTES("HTTP/1.1 413 Enough\r\nContent-Length: 2\r\n\r\nno");
    assert_int_equal(send(origin.fd, answer.data, answer.size, MSG_NOSIGNAL), answer.size);
    loop_enter(&loop);
    client_send_body(user.client, bytes_make(bytes, sizeof bytes));
    loop_leave(&loop);
    peer_close(&origin); /* with bytes unread: a reset behind the answer */
    for (int i = 0; i < 3; i++) {
        loop_enter(&loop);
        client_send_body(user.client, bytes_make(bytes, sizeof bytes));
        loop_leave(&loop);
    }
    play_until(&loop, user.end_count == 1 || user.failure != NO_FAILURE);
    assert_int_equal(user.status, 413);
    assert_int_equal(user.end_count, 1);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(answers_may_come_in_any_two_pieces),
        PLAY(an_answer_without_length_ends_with_the_connection),
        PLAY(what_breaks_off_is_told_at_once),
        PLAY(what_is_malformed_is_refused),
        PLAY(interim_answers_have_an_end),
        PLAY(answers_without_bodies_keep_the_connection),
        PLAY(bytes_behind_an_answer_make_it_the_last),
        PLAY(an_idle_connection_that_speaks_or_ends_is_dropped),
        PLAY(a_deadline_ends_the_call),
        PLAY(a_refused_connection_is_told),
        PLAY(what_is_not_wanted_waits),
        PLAY(an_end_that_was_not_wanted_is_met_later),
        PLAY(an_answer_before_the_request_has_ended_is_the_last),
        PLAY(an_answer_is_read_although_writing_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
