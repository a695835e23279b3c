/* Several addresses of one name: who is tried when, and who wins. */
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/check.h"
#include "proxy/io/tcp_race.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/loop_play.h"

enum { FILLERS_MAX = 8 };

static struct loop loop;
static struct peer peer;
static struct stream *stream;
static size_t connected_count;
static enum err connected;
static bool is_closed;

static void on_read(struct stream *from, struct bytes bytes)
{
    (void)from;
    (void)bytes;
}

static void on_end(struct stream *from, enum err why)
{
    (void)from;
    (void)why;
}

static void on_drained(struct stream *from)
{
    (void)from;
}

static void on_connected(struct stream *from, enum err err)
{
    (void)from;
    connected_count++;
    connected = err;
}

static void on_closed(struct stream *from)
{
    (void)from;
    is_closed = true;
}

static const struct stream_listener listener = {on_read, on_end, on_drained, on_connected,
                                                on_closed};

static int set_up(void **state)
{
    (void)state;
    play_begin(&loop);
    stream = NULL;
    connected_count = 0;
    is_closed = false;
    return 0;
}

static void close_stream(void)
{
    loop_enter(&loop);
    stream_close(stream);
    loop_leave(&loop);
    play_until(&loop, is_closed);
    stream = NULL;
}

static int tear_down(void **state)
{
    (void)state;
    if (stream != NULL) {
        close_stream();
    }
    play_end(&loop);
    return 0;
}

static union address at(unsigned port)
{
    return (union address){.v4 = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
}

/* Nobody listens there. */
static union address refusing(void)
{
    unsigned port = 0;
    (void)close(play_listen(&port));
    return at(port);
}

/* Listens, and takes nobody any more: the kernel drops what asks for more than the backlog has. */
struct deaf {
    int listening;
    int fillers[FILLERS_MAX];
    union address address;
};

static void deafen(struct deaf *deaf)
{
    unsigned port = 0;
    deaf->listening = play_listen(&port);
    deaf->address = at(port);
    assert_int_equal(listen(deaf->listening, 0), 0);
    for (size_t i = 0; i < FILLERS_MAX; i++) {
        deaf->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(deaf->fillers[i], &deaf->address.any, sizeof deaf->address.v4);
    }
}

static void undeafen(struct deaf *deaf)
{
    for (size_t i = 0; i < FILLERS_MAX; i++) {
        (void)close(deaf->fillers[i]);
    }
    (void)close(deaf->listening);
}

static enum err connect_to(const union address *addresses, size_t count, size_t first)
{
    struct tcp_route route = {addresses, count, first};
    loop_enter(&loop);
    enum err err = tcp_stream_connect(&loop, &route, &listener, NULL, &stream);
    loop_leave(&loop);
    return err;
}

/* ---- plays ---- */

static void a_refusal_goes_on_to_the_next_at_once(void **state)
{
    (void)state;
    unsigned port = 0;
    int listening = play_listen(&port);
    union address addresses[] = {refusing(), refusing(), at(port)};
    assert_int_equal(connect_to(addresses, 3, 0), OK);
    loop_enter(&loop);
    tcp_stream_send_ahead(stream, BYTES("ahead of all"));
    loop_leave(&loop);
    peer_accept(&loop, &peer, listening);
    play_until(&loop, connected_count == 1);
    assert_int_equal(connected, OK);
    peer_expect(&loop, &peer, "ahead of all");
    peer_close(&peer);
}

static void one_that_is_silent_costs_a_pause(void **state)
{
    (void)state;
    struct deaf deaf;
    unsigned port = 0;
    int listening = play_listen(&port);
    deafen(&deaf);
    union address addresses[] = {deaf.address, at(port)};
    assert_int_equal(connect_to(addresses, 2, 0), OK);
    play_settle(&loop); /* the clock stands still */
    assert_int_equal(connected_count, 0);
    play_turn(&loop, TCP_RACE_STAGGER_MS + 2 * DEADLINE_TICK_MS);
    peer_accept(&loop, &peer, listening);
    play_until(&loop, connected_count == 1);
    assert_int_equal(connected, OK);
    undeafen(&deaf);
    peer_close(&peer);
}

static void the_first_may_be_any(void **state)
{
    (void)state;
    unsigned port = 0;
    int listening = play_listen(&port);
    union address addresses[] = {refusing(), at(port), refusing()};
    assert_int_equal(connect_to(addresses, 3, 2), OK);
    peer_accept(&loop, &peer, listening);
    play_until(&loop, connected_count == 1);
    assert_int_equal(connected, OK);
    peer_close(&peer);
}

static void who_is_refused_everywhere_is_told_so_in_an_event(void **state)
{
    (void)state;
    union address addresses[] = {refusing(), refusing()};
    assert_int_equal(connect_to(addresses, 2, 0), OK);
    assert_int_equal(connected_count, 0);
    play_until(&loop, connected_count == 1);
    assert_int_equal(connected, ERR_CLOSED);
}

static void a_race_can_be_left(void **state)
{
    (void)state;
    struct deaf deaf;
    deafen(&deaf);
    union address addresses[] = {deaf.address, deaf.address, deaf.address};
    assert_int_equal(connect_to(addresses, 3, 0), OK);
    play_turn(&loop, TCP_RACE_STAGGER_MS + 2 * DEADLINE_TICK_MS);
    close_stream();
    assert_int_equal(connected_count, 0);
    undeafen(&deaf);
}

static void want_of_memory_is_told(void **state)
{
    (void)state;
    unsigned port = 0;
    int listening = play_listen(&port);
    union address addresses[] = {refusing(), at(port)};
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        enum err err = connect_to(addresses, 2, 0);
        bool was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_NOMEM : OK);
        if (!was_refused) {
            break;
        }
    }
    play_until(&loop, connected_count == 1);
    (void)close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_refusal_goes_on_to_the_next_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_is_silent_costs_a_pause, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_may_be_any, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_refused_everywhere_is_told_so_in_an_event, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_race_can_be_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(want_of_memory_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
