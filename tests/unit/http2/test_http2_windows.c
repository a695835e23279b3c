/* The connection's window, and resets that cross. */
#include "tests/unit/http2/server_stage.h"

/* The sum of what the client was allowed beyond what it may send at first. */
static size_t allowed(unsigned stream)
{
    size_t sum = 0;
    for (size_t at = 0; at < play.sent_size;) {
        const unsigned char *frame = (const unsigned char *)play.sent + at;
        if (frame[3] == WINDOW_UPDATE && frame[8] == stream) {
            sum += (size_t)frame[10] << 16 | (size_t)frame[11] << 8 | frame[12];
        }
        at += FRAME_HEAD + ((size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2]);
    }
    return sum;
}

/* Streams whose handlers want nothing, and all that they may send. */
static void ask_in_vain(unsigned count)
{
    static char piece[16384];
    for (unsigned i = 0; i < count; i++) {
        ask(1 + 2 * i, false);
        for (size_t size = 0; size < HTTP2_STREAM_WINDOW; size += sizeof piece) {
            send_frame(DATA, 0, 1 + 2 * i, bytes_make(piece, sizeof piece));
        }
    }
}

static void a_stream_goes_on_while_others_stand_still(void **state)
{
    static char piece[16384];
    enum { FIRST_WINDOW = 65535, HELD = 3 * HTTP2_STREAM_WINDOW };
    (void)state;
    begin();
    ask_in_vain(3);
    play.is_wanted = true;
    ask(7, false);
    for (size_t size = 0; size < 2 << 20; size += sizeof piece) {
        assert_true(FIRST_WINDOW + allowed(0) >= HELD + size + sizeof piece);
        send_frame(DATA, 0, 7, bytes_make(piece, sizeof piece));
        turn();
        size_t left = FIRST_WINDOW + allowed(0) - size - sizeof piece;
        assert_true(left <= HTTP2_CONNECTION_WINDOW); /* what stands still counts */
    }
    assert_int_equal(play.body_size, 2 << 20);
    finish();
}

static void who_may_not_send_owes_nothing(void **state)
{
    (void)state;
    begin();
    ask_in_vain(HTTP2_CONNECTION_WINDOW / HTTP2_STREAM_WINDOW);
    play.is_wanted = true;
    ask(21, false);
    play_turn(&play.loop, 40000);
    assert_int_equal(frames(HEADERS, 21) + frames(RST_STREAM, 21), 0);
    loop_enter(&play.loop);
    play.calls[0]->ops->want_body(play.calls[0], true);
    loop_leave(&play.loop);
    play_turn(&play.loop, 29000);
    assert_int_equal(frames(HEADERS, 21), 0);
    play_turn(&play.loop, 2000);
    assert_int_equal(frames(HEADERS, 21), 1); /* 408 */
    finish();
}

static void what_comes_behind_a_reset_holds_no_window(void **state)
{
    static char piece[16384];
    enum { FIRST_WINDOW = 65535, HELD = 3 * HTTP2_STREAM_WINDOW };
    (void)state;
    begin();
    ask_in_vain(3);
    ask(7, false);
    send_frame(HEADERS, END_HEADERS, 7, BYTES("")); /* trailers, and no end */
    assert_int_equal(frames(RST_STREAM, 7), 1);
    for (size_t size = 0; size < HTTP2_STREAM_WINDOW; size += sizeof piece) {
        send_frame(DATA, 0, 7, bytes_make(piece, sizeof piece)); /* was on its way */
    }
    turn();
    size_t left = FIRST_WINDOW + allowed(0) - HELD - HTTP2_STREAM_WINDOW;
    assert_in_range(left, sizeof piece, HTTP2_STREAM_WINDOW);
    finish();
}

static void resets_that_cross_are_nobodys_fault(void **state)
{
    enum { STREAMS = 20, ROUNDS = 8 }; /* so many cancels are within the budget */
    (void)state;
    begin();
    for (unsigned round = 0, id = 1; round < ROUNDS; round++) {
        unsigned first = id;
        play.call_count = 0;
        play.is_clogged = true;
        send_frame(PING, 0, 0, BYTES("12345678"));
        turn();
        assert_true(play.stream.queued > 0);
        for (unsigned i = 0; i < STREAMS; i++, id += 2) {
            ask(id, true);
            loop_enter(&play.loop);
            head(i, BODY_CHUNKED);
            cut(i);
            loop_leave(&play.loop);
        }
        turn();
        for (unsigned i = 0; i < STREAMS; i++) {
            send_frame(RST_STREAM, 0, first + 2 * i, bytes_make("\0\0\0\x08", 4));
        }
        play.is_clogged = false;
        play.stream.queued = 0;
        loop_enter(&play.loop);
        play.stream.listener->on_drained(&play.stream);
        loop_leave(&play.loop);
        turn();
    }
    assert_int_equal(frames(GOAWAY, 0), 0);
    assert_int_equal(cell_read(&play.cells.http2_violations[METRIC_HTTP2_PROTOCOL]), 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_goes_on_while_others_stand_still),
        cmocka_unit_test(who_may_not_send_owes_nothing),
        cmocka_unit_test(what_comes_behind_a_reset_holds_no_window),
        cmocka_unit_test(resets_that_cross_are_nobodys_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
