/* A worker's seat at an endpoint: the latest used connection first, a cap, and ends that leave
 * nothing behind. */
#include <netinet/in.h>
#include <unistd.h>

#include "proxy/upstream/endpoint.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/loop_play.h"

enum { OPEN_MAX = 3, IDLE_US = 60 * 1000 * 1000, CALLS = 4 };

struct call {
    struct client *client;
    bool is_connected;
    size_t end_count;
    bool has_failed;
    bool is_greedy;      /* takes an idle connection the moment its answer ends */
    struct client *took; /* what it got */
};

static struct loop loop;
static struct endpoint *endpoint;
static struct endpoint_seat *seat;
static struct seat_host host;
static struct call calls[CALLS];
static struct peer origins[CALLS];
static int listening;
static union address address;

static void on_connected(void *call, struct client *client)
{
    (void)client;
    ((struct call *)call)->is_connected = true;
}

static void on_turned_away(void *call)
{
    (void)call;
    fail_msg("nobody waits for another's connection");
}

static void on_response(void *call, const struct response *response)
{
    (void)call;
    (void)response;
}

static void on_body(void *call, struct bytes piece)
{
    (void)call;
    (void)piece;
}

static const struct client_ops ops;

static void on_end(void *object, const struct fields *trailers)
{
    (void)trailers;
    struct call *call = object;
    call->end_count++;
    if (call->is_greedy) {
        call->took = seat_checkout(seat, CLIENT_HTTP1, NULL, false, &ops, call);
    }
}

static void on_drained(void *call)
{
    (void)call;
}

static void on_failed(void *call, enum client_failure failure)
{
    (void)failure;
    ((struct call *)call)->has_failed = true;
}

static const struct client_ops ops = {on_connected, on_turned_away, on_response, on_response,
                                      on_body,      on_end,         on_drained,  on_failed};

static enum err try_connect_by(struct call *call, enum client_speech speech)
{
    loop_enter(&loop);
    struct client_way way = {.route = {&address, 1, 0}, .speech = speech};
    enum err err = seat_connect(seat, &host, &way, 1000000, &ops, call, &call->client);
    loop_leave(&loop);
    return err;
}

static enum err try_connect(struct call *call)
{
    return try_connect_by(call, CLIENT_HTTP1);
}

static void connect_call(size_t i)
{
    assert_int_equal(try_connect(&calls[i]), OK);
    peer_accept(&loop, &origins[i], listening);
    play_until(&loop, calls[i].is_connected);
}

static void send_request(size_t i)
{
    static struct field items[] = {{BYTES("Host"), BYTES("a"), FIELD_HOST}};
    struct request request = {.method = METHOD_GET,
                              .version = HTTP_1_1,
                              .target = BYTES("/"),
                              .upgrade = BYTES(""),
                              .fields = {items, 1},
                              .is_keep_alive = true};
    loop_enter(&loop);
    assert_int_equal(client_send(calls[i].client, &request), OK);
    loop_leave(&loop);
}

/* A whole request and answer on the call's connection, which then goes back. */
static void finish_call(size_t i)
{
    send_request(i);
    peer_send(&loop, &origins[i], "HTTP/1.1 204 None\r\n\r\n");
    play_until(&loop, calls[i].end_count == 1);
    loop_enter(&loop);
    seat_checkin(seat, calls[i].client, IDLE_US);
    loop_leave(&loop);
}

static struct client *checkout(size_t i)
{
    loop_enter(&loop);
    struct client *client = seat_checkout(seat, CLIENT_HTTP1, NULL, false, &ops, &calls[i]);
    loop_leave(&loop);
    return client;
}

static uint64_t connections(enum metric_connection_state state)
{
    return cell_read(&seat->cells->connections[state]);
}

static int set_up(void **state)
{
    (void)state;
    unsigned port;
    play_begin(&loop);
    memset(calls, 0, sizeof calls);
    host = (struct seat_host){.loop = &loop,
                              .settings = {.limits = {4096, 1024, 100}, .streams_max = 100},
                              .open_max = OPEN_MAX};
    list_init(&host.seats);
    listening = play_listen(&port);
    address.v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)port),
                                      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    for (size_t i = 0; i < CALLS; i++) {
        origins[i].fd = -1;
    }
    assert_int_equal(endpoint_create(BYTES("origin"), 2, &endpoint), OK);
    seat = endpoint_seat(endpoint, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_enter(&loop);
    seat_retire(seat);
    loop_leave(&loop);
    play_until(&loop, endpoint_is_unused(endpoint));
    assert_true(list_is_empty(&host.seats));
    assert_int_equal(seat->live_count, 0);
    assert_int_equal(seat->idle_count, 0);
    assert_int_equal(connections(METRIC_CONNECTION_ACTIVE), 0);
    assert_int_equal(connections(METRIC_CONNECTION_IDLE), 0);
    endpoint_unref(endpoint);
    for (size_t i = 0; i < CALLS; i++) {
        peer_close(&origins[i]);
    }
    (void)close(listening);
    play_end(&loop);
    return 0;
}

static void the_latest_used_is_given_out_first(void **state)
{
    (void)state;
    assert_null(checkout(0));
    for (size_t i = 0; i < 3; i++) {
        connect_call(i);
    }
    finish_call(1);
    finish_call(0);
    finish_call(2);
    assert_int_equal(connections(METRIC_CONNECTION_IDLE), 3);
    static const size_t order[] = {2, 0, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_ptr_equal(checkout(order[i]), calls[order[i]].client);
        assert_true(calls[order[i]].client->is_reused);
        calls[order[i]].end_count = 0;
    }
    assert_null(checkout(0));
    assert_int_equal(connections(METRIC_CONNECTION_ACTIVE), 3);
    for (size_t i = 0; i < 3; i++) {
        finish_call(i);
    }
}

static void the_cap_counts_what_is_not_on_its_way_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPEN_MAX; i++) {
        connect_call(i);
    }
    assert_int_equal(try_connect(&calls[3]), ERR_LIMIT);
    loop_enter(&loop);
    seat_drop(seat, calls[0].client);
    loop_leave(&loop);
    connect_call(3);
    finish_call(1);
    finish_call(2);
    finish_call(3);
}

#define says(i, frames) peer_send_bytes(&loop, &origins[i], bytes_make(frames, sizeof(frames) - 1))

static void connect_shared(size_t i)
{
    assert_int_equal(try_connect_by(&calls[i], CLIENT_HTTP2), OK);
    peer_accept(&loop, &origins[i], listening);
    says(i, "\0\0\0\x04\0\0\0\0\0"); /* SETTINGS */
    play_until(&loop, calls[i].is_connected);
    send_request(i);
}

static void close_call(size_t i)
{
    loop_enter(&loop);
    seat_drop(seat, calls[i].client);
    loop_leave(&loop);
}

/* Answers on a connection that takes no more calls may last for hours. */
static void the_cap_counts_shared_ones_until_their_last_answer(void **state)
{
    static const char goaway[] = "\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0";
    (void)state;
    host.open_max = 1;
    connect_shared(0);
    play_settle(&loop);
    peer_send_bytes(&loop, &origins[0], bytes_make(goaway, sizeof goaway - 1));
    play_until(&loop, list_is_empty(&seat->shared));
    assert_int_equal(seat->live_count, 1);
    assert_int_equal(try_connect_by(&calls[1], CLIENT_HTTP2), ERR_LIMIT);
    says(0, "\0\0\x01\x01\x05\0\0\0\x01\x88"); /* 200, the whole answer */
    play_until(&loop, calls[0].end_count == 1);
    close_call(0);
    play_until(&loop, seat->live_count == 0);
    connect_shared(2);
    close_call(2);
}

static void at_the_cap_an_idle_shared_one_makes_room(void **state)
{
    (void)state;
    host.open_max = 1;
    connect_shared(0);
    close_call(0);
    play_until(&loop, seat->idle_count == 1);
    connect_call(1);
    finish_call(1);
}

static void at_the_cap_the_longest_idle_makes_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < OPEN_MAX; i++) {
        connect_call(i);
    }
    for (size_t i = 0; i < OPEN_MAX; i++) {
        finish_call(i);
    }
    connect_call(3);
    peer_expect_end(&loop, &origins[0]);
    peer_look(&origins[1]);
    assert_false(origins[1].has_ended);
    finish_call(3);
}

static void what_was_not_finished_is_not_kept(void **state)
{
    (void)state;
    connect_call(0);
    loop_enter(&loop);
    seat_checkin(seat, calls[0].client, IDLE_US);
    loop_leave(&loop);
    peer_expect_end(&loop, &origins[0]);
    assert_int_equal(seat->idle_count, 0);
}

static void an_idle_connection_ends_with_its_time_or_its_origin(void **state)
{
    (void)state;
    connect_call(0);
    finish_call(0);
    peer_close(&origins[0]);
    play_until(&loop, endpoint_is_unused(endpoint));
    connect_call(1);
    finish_call(1);
    play_turn(&loop, 59000);
    assert_int_equal(seat->idle_count, 1);
    play_turn(&loop, 1000);
    assert_int_equal(seat->idle_count, 0);
    play_until(&loop, endpoint_is_unused(endpoint));
}

/* The kernel has it, but the loop was not told yet: this turn is an old one. */
static void what_was_said_out_of_turn_is_never_an_answer(void **state)
{
    (void)state;
    static const char stray[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    connect_call(0);
    connect_call(1);
    connect_call(2);
    for (size_t i = 0; i < 3; i++) {
        finish_call(i);
    }
    play_settle(&loop);
    assert_int_equal(send(origins[2].fd, stray, sizeof stray - 1, 0), sizeof stray - 1);
    assert_int_equal(shutdown(origins[1].fd, SHUT_WR), 0);
    loop.asked_us -= 2 * (uint64_t)LOOP_LATE_US;
    loop_enter(&loop);
    struct client *client = seat_checkout(seat, CLIENT_HTTP1, NULL, false, &ops, &calls[3]);
    assert_ptr_equal(client, calls[0].client);
    assert_int_equal(connections(METRIC_CONNECTION_IDLE), 0);
    assert_int_equal(seat->live_count, 1);
    calls[3].client = client;
    seat_drop(seat, client);
    loop_leave(&loop);
    play_until(&loop, endpoint_is_unused(endpoint));
}

/* What cannot be repeated would fail on it. */
static void a_shared_one_that_has_just_ended_is_not_given_out(void **state)
{
    (void)state;
    connect_shared(0);
    close_call(0);
    play_until(&loop, seat->idle_count == 1);
    play_settle(&loop);
    assert_int_equal(seat_prospect(seat, CLIENT_HTTP2, NULL, false), SEAT_TAKES);
    assert_int_equal(shutdown(origins[0].fd, SHUT_WR), 0);
    loop.asked_us -= 2 * (uint64_t)LOOP_LATE_US;
    loop_enter(&loop);
    assert_int_equal(seat_prospect(seat, CLIENT_HTTP2, NULL, false), SEAT_DIALS);
    assert_null(seat_checkout(seat, CLIENT_HTTP2, NULL, false, &ops, &calls[1]));
    loop_leave(&loop);
    play_until(&loop, endpoint_is_unused(endpoint));
}

/* Both have come when the loop looks; the call is told first. */
static void news_that_wait_for_their_turn_are_seen(void **state)
{
    (void)state;
    connect_call(0);
    connect_call(1);
    finish_call(0);
    play_settle(&loop);
    send_request(1);
    peer_expect(&loop, &origins[1], "\r\n\r\n");
    calls[1].is_greedy = true;
    assert_int_equal(send(origins[1].fd, "HTTP/1.1 204 N\r\n\r\n", 18, 0), 18);
    assert_int_equal(send(origins[0].fd, "HTTP/1.1 204 N\r\n\r\n", 18, 0), 18);
    play_until(&loop, calls[1].end_count == 1);
    assert_null(calls[1].took);
    assert_int_equal(seat->idle_count, 0);
    loop_enter(&loop);
    seat_drop(seat, calls[1].client);
    loop_leave(&loop);
    play_until(&loop, endpoint_is_unused(endpoint));
}

static void a_retired_seat_keeps_nothing_that_comes_back(void **state)
{
    (void)state;
    connect_call(0);
    connect_call(1);
    finish_call(1);
    loop_enter(&loop);
    seat_retire(seat);
    loop_leave(&loop);
    peer_expect_end(&loop, &origins[1]);
    finish_call(0);
    peer_expect_end(&loop, &origins[0]);
    assert_null(checkout(0));
}

static void without_memory_no_connection_is_counted(void **state)
{
    (void)state;
    size_t turn = 0;
    for (;; turn++) {
        (void)alloc_fail_begin(turn);
        enum err err = try_connect(&calls[0]);
        if (!alloc_fail_end()) {
            assert_int_equal(err, OK);
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_int_equal(seat->live_count, 0);
        play_until(&loop, endpoint_is_unused(endpoint));
    }
    assert_true(turn > 0);
    loop_enter(&loop);
    seat_drop(seat, calls[0].client);
    loop_leave(&loop);
}

static void without_memory_no_endpoint_is_made(void **state)
{
    (void)state;
    for (size_t turn = 0;; turn++) {
        struct endpoint *other = NULL;
        (void)alloc_fail_begin(turn);
        enum err err = endpoint_create(BYTES("other"), 2, &other);
        if (!alloc_fail_end()) {
            assert_int_equal(err, OK);
            endpoint_unref(other);
            return;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_null(other);
    }
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(the_latest_used_is_given_out_first),
        PLAY(the_cap_counts_what_is_not_on_its_way_out),
        PLAY(the_cap_counts_shared_ones_until_their_last_answer),
        PLAY(at_the_cap_an_idle_shared_one_makes_room),
        PLAY(at_the_cap_the_longest_idle_makes_room),
        PLAY(what_was_not_finished_is_not_kept),
        PLAY(an_idle_connection_ends_with_its_time_or_its_origin),
        PLAY(what_was_said_out_of_turn_is_never_an_answer),
        PLAY(a_shared_one_that_has_just_ended_is_not_given_out),
        PLAY(news_that_wait_for_their_turn_are_seen),
        PLAY(a_retired_seat_keeps_nothing_that_comes_back),
        PLAY(without_memory_no_connection_is_counted),
        PLAY(without_memory_no_endpoint_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
