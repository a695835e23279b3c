/* One stream and its peer: what is gathered, queued, drained, broken, and what ends when. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/io/tcp_stream.h"
#include "proxy/io/watch.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/loop_play.h"

struct owner {
    struct stream *stream; /* NULL after on_closed */
    size_t read_size;
    size_t end_count;
    enum err why;
    size_t drained_count;
    bool closes_on_read;
};

static struct loop loop;
static struct owner owner;
static struct peer peer;

static struct owner *owner_of(struct stream *stream)
{
    return stream->owner;
}

static void on_read(struct stream *stream, struct bytes bytes)
{
    struct owner *self = owner_of(stream);
    self->read_size += bytes.size;
    if (self->closes_on_read) {
        stream_close(stream);
        stream_close(stream);
    }
}

static void on_end(struct stream *stream, enum err why)
{
    struct owner *self = owner_of(stream);
    self->end_count++;
    self->why = why;
}

static void on_drained(struct stream *stream)
{
    owner_of(stream)->drained_count++;
}

static void on_closed(struct stream *stream)
{
    owner_of(stream)->stream = NULL;
}

static const struct stream_listener listener = {
    .on_read = on_read, .on_end = on_end, .on_drained = on_drained, .on_closed = on_closed};

static void open_stream(struct owner *self, struct peer *other)
{
    int fds[2];
    play_tcp_pair(fds);
    peer_init(other, fds[1]);
    *self = (struct owner){.why = OK};
    loop_enter(&loop);
    assert_int_equal(tcp_stream_open(&loop, fds[0], &self->stream), OK);
    stream_attach(self->stream, &listener, self);
    stream_read_start(self->stream);
    loop_leave(&loop);
}

static void close_stream(struct owner *self)
{
    if (self->stream != NULL) {
        loop_enter(&loop);
        stream_close(self->stream);
        loop_leave(&loop);
        play_until(&loop, self->stream == NULL);
    }
}

static int set_up(void **state)
{
    (void)state;
    play_begin(&loop);
    open_stream(&owner, &peer);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_stream(&owner);
    peer_close(&peer);
    play_end(&loop);
    return 0;
}

static void writes_of_one_event_go_out_in_order(void **state)
{
    (void)state;
    static char large[10000];
    struct bytes pieces[3] = {BYTES("b"), {large, sizeof large}, BYTES("c")};
    (void)memset(large, '.', sizeof large);
    loop_enter(&loop);
    stream_write_one(owner.stream, BYTES("a"));
    stream_write(owner.stream, pieces, 3);
    char *place = stream_reserve(owner.stream, 10);
    memcpy(place, "def", 3);
    stream_commit(owner.stream, 3);
    stream_write_one(owner.stream, BYTES("g\n"));
    peer_look(&peer);
    loop_leave(&loop);
    peer_expect(&loop, &peer, "\n");
    assert_int_equal(peer.size, 2 + sizeof large + 6);
    assert_memory_equal(peer.text, "ab.", 3);
    assert_memory_equal(peer.text + 2 + sizeof large, "cdefg\n", 6);
}

static void two_streams_may_be_written_to_in_turn(void **state)
{
    (void)state;
    static struct owner second;
    static struct peer other;
    open_stream(&second, &other);
    loop_enter(&loop);
    for (int i = 0; i < 10; i++) {
        stream_write_one(owner.stream, BYTES("one "));
        stream_write_one(second.stream, BYTES("two "));
    }
    stream_write_one(second.stream, BYTES("."));
    stream_write_one(owner.stream, BYTES("."));
    loop_leave(&loop);
    peer_expect(&loop, &peer, ".");
    peer_expect(&loop, &other, ".");
    assert_int_equal(peer_count(&peer, "one "), 10);
    assert_int_equal(peer_count(&other, "two "), 10);
    assert_int_equal(peer.size, 41);
    close_stream(&second);
    peer_close(&other);
}

/* Numbers, so that what is lost, doubled or out of order is seen. */
static void fill(uint32_t *numbers, size_t count, uint32_t *next)
{
    for (size_t i = 0; i < count; i++) {
        numbers[i] = (*next)++;
    }
}

static void what_the_kernel_does_not_take_is_queued_and_drained(void **state)
{
    (void)state;
    enum { COUNT = 1024 };
    uint32_t numbers[COUNT];
    uint32_t next = 0;
    while (!stream_is_blocked(owner.stream)) {
        fill(numbers, COUNT, &next);
        loop_enter(&loop);
        stream_write_one(owner.stream, bytes_make((const char *)numbers, sizeof numbers));
        loop_leave(&loop);
    }
    for (int i = 0; i < 100; i++) { /* more than there is to gather at once, behind the queue */
        fill(numbers, COUNT, &next);
        loop_enter(&loop);
        stream_write_one(owner.stream, bytes_make((const char *)numbers, sizeof numbers));
        loop_leave(&loop);
    }
    play_settle(&loop);
    assert_int_equal(owner.drained_count, 0);
    uint32_t expected = 0;
    size_t kept = 0;
    while (expected < next) {
        peer.size = kept;
        peer_look(&peer);
        size_t whole = peer.size / sizeof expected;
        for (size_t i = 0; i < whole; i++, expected++) {
            uint32_t number;
            memcpy(&number, peer.text + i * sizeof number, sizeof number);
            assert_int_equal(number, expected);
        }
        kept = peer.size - whole * sizeof expected;
        memmove(peer.text, peer.text + whole * sizeof expected, kept);
        play_step(&loop);
    }
    play_until(&loop, owner.drained_count == 1);
    assert_false(stream_is_blocked(owner.stream));
}

static void fin_follows_what_is_queued(void **state)
{
    (void)state;
    static char bytes[1 << 20];
    loop_enter(&loop);
    stream_write_one(owner.stream, bytes_make(bytes, sizeof bytes));
    stream_write_one(owner.stream, BYTES("last"));
    stream_finish(owner.stream);
    stream_finish(owner.stream);
    loop_leave(&loop);
    size_t total = 0;
    play_until(&loop, (peer_look(&peer), total += peer.size, peer_clear(&peer), peer.has_ended));
    assert_int_equal(total, sizeof bytes + 4);
    peer_send(&loop, &peer, "still heard");
    play_until(&loop, owner.read_size == 11);
}

static void an_end_is_told_once_and_orderly(void **state)
{
    (void)state;
    peer_send(&loop, &peer, "bytes");
    peer_finish(&peer);
    play_until(&loop, owner.end_count == 1);
    assert_int_equal(owner.read_size, 5);
    assert_int_equal(owner.why, OK);
    loop_enter(&loop);
    stream_write_one(owner.stream, BYTES("answer"));
    loop_leave(&loop);
    peer_expect(&loop, &peer, "answer");
    play_settle(&loop);
    assert_int_equal(owner.end_count, 1);
}

static void a_reset_is_told_as_such(void **state)
{
    (void)state;
    peer_reset(&peer);
    play_until(&loop, owner.end_count == 1);
    assert_int_equal(owner.why, ERR_CLOSED);
}

static void a_failed_write_is_told_when_the_event_is_over(void **state)
{
    (void)state;
    static char bytes[8192];
    stream_read_stop(owner.stream);
    peer_reset(&peer);
    play_settle(&loop);
    for (int i = 0; i < 3 && owner.end_count == 0; i++) {
        loop_enter(&loop);
        stream_write_one(owner.stream, bytes_make(bytes, sizeof bytes));
        assert_int_equal(owner.end_count, 0);
        stream_write_one(owner.stream, BYTES("more"));
        loop_leave(&loop);
    }
    assert_int_equal(owner.end_count, 1);
    assert_int_equal(owner.why, ERR_CLOSED);
    assert_true(owner.stream->is_broken);
}

static void a_patient_owner_hears_it_from_reading(void **state)
{
    (void)state;
    static char bytes[8192];
    owner.stream->is_patient = true;
    stream_read_stop(owner.stream);
    assert_int_equal(send(peer.fd, "said before", 11, MSG_NOSIGNAL), 11);
    play_settle(&loop);
    peer_reset(&peer);
    for (int i = 0; i < 3; i++) {
        loop_enter(&loop);
        stream_write_one(owner.stream, bytes_make(bytes, sizeof bytes));
        loop_leave(&loop);
    }
    assert_int_equal(owner.end_count, 0);
    stream_read_start(owner.stream);
    play_until(&loop, owner.end_count == 1);
}

static void a_broken_stream_is_told_once(void **state)
{
    (void)state;
    loop_enter(&loop);
    stream_break(owner.stream);
    stream_break(owner.stream);
    stream_write_one(owner.stream, BYTES("never"));
    assert_int_equal(owner.end_count, 0);
    loop_leave(&loop);
    assert_int_equal(owner.end_count, 1);
    peer_look(&peer);
    assert_int_equal(peer.size, 0);
}

static void reading_stops_and_goes_on(void **state)
{
    (void)state;
    loop_enter(&loop);
    stream_read_stop(owner.stream);
    loop_leave(&loop);
    peer_send(&loop, &peer, "bytes");
    play_settle(&loop);
    assert_int_equal(owner.read_size, 0);
    loop_enter(&loop);
    stream_read_start(owner.stream);
    loop_leave(&loop);
    play_until(&loop, owner.read_size == 5);
}

static void closing_twice_within_a_call_is_fine(void **state)
{
    (void)state;
    owner.closes_on_read = true;
    peer_send(&loop, &peer, "bytes");
    play_until(&loop, owner.stream == NULL);
    peer_expect_end(&loop, &peer);
    assert_int_equal(owner.end_count, 0);
}

static void what_was_gathered_goes_out_before_the_end(void **state)
{
    (void)state;
    loop_enter(&loop);
    stream_write_one(owner.stream, BYTES("last words"));
    stream_close(owner.stream);
    loop_leave(&loop);
    peer_expect(&loop, &peer, "last words");
    peer_expect_end(&loop, &peer);
    assert_false(peer.is_reset);
}

static void a_reset_of_ours_is_seen_as_such(void **state)
{
    (void)state;
    loop_enter(&loop);
    stream_reset(owner.stream);
    loop_leave(&loop);
    peer_expect_end(&loop, &peer);
    assert_true(peer.is_reset);
}

static void on_no_news(struct watch *watch, uint32_t events)
{
    (void)watch;
    (void)events;
    fail_msg("a watch that was closed is told something");
}

static void on_watch_closed(struct watch *watch)
{
    *watch = (struct watch){.fd = -1};
}

static void a_closed_socket_that_another_process_holds_is_not_heard_of(void **state)
{
    (void)state;
    /* given a socket of which a process that is being started still has a copy, when it is closed
     * here and something comes, then its watch is left alone: its memory is somebody else's now */
    int fds[2];
    play_tcp_pair(fds);
    struct watch watch = {.on_ready = on_no_news, .on_closed = on_watch_closed};
    assert_int_equal(watch_open(&loop, &watch, fds[0], WATCH_EDGES), OK);
    int copy = dup(fds[0]);
    watch_close(&loop, &watch);
    play_settle(&loop);
    assert_int_equal(write(fds[1], "x", 1), 1);
    play_settle(&loop);
    assert_false(watch.is_pending);
    (void)close(copy);
    (void)close(fds[1]);
}

static void a_queue_without_memory_breaks_the_stream(void **state)
{
    (void)state;
    static char bytes[1 << 20];
    (void)alloc_fail_begin(0);
    loop_enter(&loop);
    stream_write_one(owner.stream, bytes_make(bytes, sizeof bytes));
    loop_leave(&loop);
    assert_true(alloc_fail_end());
    assert_int_equal(owner.end_count, 1);
}

static void without_memory_nothing_is_opened(void **state)
{
    (void)state;
    int fds[2];
    play_tcp_pair(fds);
    struct stream *stream = NULL;
    loop_enter(&loop);
    (void)alloc_fail_begin(0);
    assert_int_equal(tcp_stream_open(&loop, fds[0], &stream), ERR_NOMEM);
    assert_true(alloc_fail_end());
    loop_leave(&loop);
    struct peer *other = malloc(sizeof *other);
    assert_non_null(other);
    peer_init(other, fds[1]);
    peer_expect_end(&loop, other);
    peer_close(other);
    free(other);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(writes_of_one_event_go_out_in_order),
        PLAY(two_streams_may_be_written_to_in_turn),
        PLAY(what_the_kernel_does_not_take_is_queued_and_drained),
        PLAY(fin_follows_what_is_queued),
        PLAY(an_end_is_told_once_and_orderly),
        PLAY(a_reset_is_told_as_such),
        PLAY(a_failed_write_is_told_when_the_event_is_over),
        PLAY(a_patient_owner_hears_it_from_reading),
        PLAY(a_broken_stream_is_told_once),
        PLAY(reading_stops_and_goes_on),
        PLAY(closing_twice_within_a_call_is_fine),
        PLAY(what_was_gathered_goes_out_before_the_end),
        PLAY(a_reset_of_ours_is_seen_as_such),
        PLAY(a_closed_socket_that_another_process_holds_is_not_heard_of),
        PLAY(a_queue_without_memory_breaks_the_stream),
        PLAY(without_memory_nothing_is_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
