/* A connection and what its clients may do. */
#include "tests/unit/http2/server_stage.h"

/* ---- what is held ---- */

static void what_streams_say_in_a_turn_goes_out_in_one_write(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 10; i++) {
        ask(1 + 2 * i, true);
    }
    size_t before = play.write_count;
    for (unsigned i = 0; i < 10; i++) { /* each in an event of its own, as origins' sockets are */
        loop_enter(&play.loop);
        head(i, BODY_CHUNKED);
        play.calls[i]->ops->body(play.calls[i], BYTES("answer"));
        end(i);
        loop_leave(&play.loop);
    }
    assert_int_equal(play.write_count, before);
    turn();
    assert_int_equal(play.write_count, before + 1);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(frames(HEADERS, 1 + 2 * i), 1);
        assert_int_equal(frames(DATA, 1 + 2 * i), 1);
    }
    assert_int_equal(cell_read(&play.cells.client_connections[METRIC_CONNECTION_IDLE]), 1);
    finish();
}

static void windows_are_given_back_for_what_was_wanted(void **state)
{
    static char piece[16384];
    (void)state;
    begin();
    ask(1, false);
    size_t before = frames(WINDOW_UPDATE, 0);
    for (unsigned i = 0; i < HTTP2_STREAM_WINDOW / sizeof piece; i++) {
        send_frame(DATA, 0, 1, bytes_make(piece, sizeof piece));
    }
    turn();
    assert_int_equal(play.body_size, 0);
    assert_int_equal(frames(WINDOW_UPDATE, 1), 0);
    loop_enter(&play.loop);
    play.calls[0]->ops->want_body(play.calls[0], true);
    loop_leave(&play.loop);
    turn();
    assert_int_equal(play.body_size, HTTP2_STREAM_WINDOW);
    assert_true(frames(WINDOW_UPDATE, 1) > 0);
    send_frame(DATA, END_STREAM, 1, BYTES("last"));
    assert_int_equal(play.end_count, 1);
    assert_true(frames(WINDOW_UPDATE, 0) >= before);
    finish();
    assert_int_equal(play.gone_count, 1);
}

static void a_source_stops_at_the_window_and_goes_on_behind_it(void **state)
{
    static char piece[64 * 1024];
    size_t size;
    (void)state;
    begin();
    ask(1, true);
    loop_enter(&play.loop);
    head(0, BODY_CHUNKED);
    for (unsigned i = 0; i < 2; i++) {
        play.calls[0]->ops->body(play.calls[0], bytes_make(piece, sizeof piece));
    }
    assert_true(play.calls[0]->ops->is_blocked(play.calls[0]));
    loop_leave(&play.loop);
    turn();
    (void)count_frames(DATA, 1, &size);
    assert_int_equal(size, 65535);
    assert_int_equal(play.drained_count, 0);
    send_frame(WINDOW_UPDATE, 0, 0, bytes_make("\0\1\0\0", 4));
    send_frame(WINDOW_UPDATE, 0, 1, bytes_make("\0\1\0\0", 4));
    turn();
    assert_false(play.calls[0]->ops->is_blocked(play.calls[0]));
    assert_int_equal(play.drained_count, 1);
    (void)count_frames(DATA, 1, &size);
    assert_int_equal(size, 2 * sizeof piece - 1);
    finish();
}

static void a_full_socket_stops_the_source_too(void **state)
{
    static char piece[64 * 1024];
    (void)state;
    begin();
    ask(1, true);
    play.is_clogged = true;
    for (unsigned i = 0; i < 2; i++) {
        loop_enter(&play.loop);
        if (i == 0) {
            head(0, BODY_CHUNKED);
        }
        play.calls[0]->ops->body(play.calls[0], bytes_make(piece, sizeof piece / 2));
        loop_leave(&play.loop);
        turn();
    }
    assert_true(play.stream.queued > 0);
    assert_true(play.calls[0]->ops->is_blocked(play.calls[0]));
    play.is_clogged = false;
    play.stream.queued = 0;
    loop_enter(&play.loop);
    play.stream.listener->on_drained(&play.stream);
    loop_leave(&play.loop);
    turn();
    assert_false(play.calls[0]->ops->is_blocked(play.calls[0]));
    finish();
}

static void who_writes_before_it_reads_is_read_up_to_a_bound(void **state)
{
    (void)state;
    begin();
    play.is_wanted = true;
    ask(1, true);
    play.is_clogged = true;
    loop_enter(&play.loop);
    head(0, BODY_CHUNKED);
    play.calls[0]->ops->body(play.calls[0], BYTES("answer"));
    loop_leave(&play.loop);
    turn();
    assert_true(play.stream.queued > 0);
    assert_true(play.stream.is_reading);
    ask(3, false);
    send_frame(DATA, END_STREAM, 3, BYTES("body"));
    assert_int_equal(play.end_count, 1);
    send_frame(RST_STREAM, 0, 1, bytes_make("\0\0\0\x08", 4));
    assert_int_equal(play.gone_count, 1);
    for (unsigned i = 0; i < 150; i++) { /* within the budget */
        send_frame(PING, 0, 0, BYTES("12345678"));
    }
    assert_false(play.stream.is_reading);
    assert_int_equal(frames(PING, 0), 0);
    play.is_clogged = false;
    play.stream.queued = 0;
    loop_enter(&play.loop);
    play.stream.listener->on_drained(&play.stream);
    loop_leave(&play.loop);
    turn();
    assert_true(play.stream.is_reading);
    assert_int_equal(frames(PING, 0), 150);
    finish();
}

static void a_stream_that_was_reset_is_gone_at_once(void **state)
{
    (void)state;
    begin();
    ask(1, true);
    send_frame(RST_STREAM, 0, 1, bytes_make("\0\0\0\x08", 4));
    assert_int_equal(play.gone_count, 1);
    assert_int_equal(cell_read(&play.cells.client_connections[METRIC_CONNECTION_IDLE]), 1);
    finish();
}

static void blocks_are_used_again(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < 15; i++) {
        ask(1 + 2 * i, true);
        loop_enter(&play.loop);
        head(i, BODY_NONE);
        end(i);
        loop_leave(&play.loop);
        turn();
    }
    assert_int_equal(play.host.spare_count, 1);
    finish();
}

static void silence_ends_the_connection(void **state)
{
    (void)state;
    begin();
    play_turn(&play.loop, 59000);
    assert_int_equal(frames(GOAWAY, 0), 0);
    play_turn(&play.loop, 2000);
    assert_int_equal(frames(GOAWAY, 0), 1);
    play_turn(&play.loop, 3000);
    assert_true(play.is_closed);
    finish();
}

static void who_takes_nothing_loses_the_stream(void **state)
{
    static char piece[64 * 1024];
    (void)state;
    begin();
    ask(1, true);
    ask(3, true);
    loop_enter(&play.loop);
    head(0, BODY_CHUNKED);
    play.calls[0]->ops->body(play.calls[0], bytes_make(piece, sizeof piece));
    play.calls[0]->ops->body(play.calls[0], bytes_make(piece, sizeof piece));
    loop_leave(&play.loop);
    play_turn(&play.loop, 29000);
    assert_int_equal(frames(RST_STREAM, 1), 0);
    play_turn(&play.loop, 2000);
    assert_int_equal(frames(RST_STREAM, 1), 1);
    assert_int_equal(play.gone_count, 1);
    assert_non_null(play.calls[1]); /* who waits for the origin owes nothing */
    assert_int_equal(cell_read(&play.cells.http2_violations[METRIC_HTTP2_STALLED]), 1);
    finish();
}

/* The request's body goes on and on; its answer waits for a window that never comes. */
static void who_asks_on_must_take_the_answer_all_the_same(void **state)
{
    static char piece[64 * 1024];
    (void)state;
    begin();
    play.is_wanted = true;
    ask(1, false);
    loop_enter(&play.loop);
    head(0, BODY_CHUNKED);
    play.calls[0]->ops->body(play.calls[0], bytes_make(piece, sizeof piece));
    play.calls[0]->ops->body(play.calls[0], bytes_make(piece, sizeof piece));
    loop_leave(&play.loop);
    for (unsigned i = 0; i < 25; i++) {
        play_turn(&play.loop, 1000);
        send_frame(DATA, 0, 1, BYTES("more"));
    }
    assert_int_equal(frames(RST_STREAM, 1), 0);
    for (unsigned i = 0; i < 8; i++) {
        play_turn(&play.loop, 1000);
        send_frame(DATA, 0, 1, BYTES("more"));
    }
    assert_int_equal(frames(RST_STREAM, 1), 1);
    assert_int_equal(play.gone_count, 1);
    finish();
}

/* An answer that runs keeps a request that rests alive: they may talk in turns. */
static void an_answer_under_way_excuses_a_body_that_rests(void **state)
{
    (void)state;
    begin();
    play.is_wanted = true;
    ask(1, false);
    loop_enter(&play.loop);
    head(0, BODY_CHUNKED);
    loop_leave(&play.loop);
    for (unsigned i = 0; i < 3; i++) {
        play_turn(&play.loop, 20000);
        loop_enter(&play.loop);
        play.calls[0]->ops->body(play.calls[0], BYTES("event"));
        loop_leave(&play.loop);
        turn();
    }
    assert_int_equal(frames(RST_STREAM, 1), 0);
    play_turn(&play.loop, 31000);
    assert_int_equal(frames(RST_STREAM, 1), 1);
    finish();
}

/* Trailers with an objection are answered as the HEAD that they belong to. */
static void a_refusal_in_trailers_remembers_the_method(void **state)
{
    (void)state;
    begin();
    play.is_wanted = true;
    send_frame(HEADERS, END_HEADERS, 1, BYTES(HEAD_METHOD));
    assert_int_equal(play.call_count, 1);
    static char block[30 * 5];
    for (size_t at = 0; at < sizeof block; at += 5) { /* more of them than may be */
        memcpy(block + at, "\x00\x01x\x01y", 5);
    }
    size_t size = sizeof block;
    send_frame(HEADERS, END_HEADERS | END_STREAM, 1, bytes_make(block, size));
    turn();
    assert_int_equal(play.gone_count, 1);
    assert_int_equal(frames(HEADERS, 1), 1); /* 431 */
    assert_int_equal(frames(DATA, 1), 0);
    finish();
}

/* ---- tunnels ---- */

static void ask_tunnel(unsigned stream)
{
    send_frame(HEADERS, END_HEADERS, stream, BYTES(CONNECT));
}

static void switch_over(size_t call)
{
    struct response response = {.status = 101, .upgrade = BYTES("websocket"), .body = BODY_NONE};
    loop_enter(&play.loop);
    play.calls[call]->ops->head(play.calls[call], &response);
    play.calls[call]->ops->want_body(play.calls[call], true);
    loop_leave(&play.loop);
    turn();
}

static void a_tunnel_keeps_early_bytes_for_its_handler(void **state)
{
    (void)state;
    begin();
    ask_tunnel(1);
    assert_int_equal(play.call_count, 1);
    send_frame(DATA, 0, 1, BYTES("early"));
    assert_int_equal(play.body_size, 0);
    switch_over(0);
    assert_int_equal(play.body_size, 5);
    assert_int_equal(frames(HEADERS, 1), 1);
    send_frame(DATA, END_STREAM, 1, BYTES("late"));
    assert_int_equal(play.body_size, 9);
    assert_int_equal(play.end_count, 1);
    loop_enter(&play.loop);
    end(0);
    loop_leave(&play.loop);
    turn();
    assert_int_equal(play.host.spare_count, 1);
    finish();
}

static void a_tunnel_may_be_silent_and_half_of_one_for_a_while(void **state)
{
    (void)state;
    begin();
    ask_tunnel(1);
    switch_over(0);
    play_turn(&play.loop, 600 * 1000);
    assert_int_equal(frames(RST_STREAM, 1), 0);
    loop_enter(&play.loop);
    play.calls[0]->ops->finish(play.calls[0]);
    loop_leave(&play.loop);
    turn();
    assert_int_equal(frames(DATA, 1), 1); /* END_STREAM */
    play_turn(&play.loop, 59000);
    assert_int_equal(frames(RST_STREAM, 1), 0);
    play_turn(&play.loop, 2000);
    assert_int_equal(frames(RST_STREAM, 1), 1);
    assert_int_equal(play.gone_count, 1);
    finish();
}

static void a_tunnel_gives_windows_back_as_its_handler_takes(void **state)
{
    static char piece[16384];
    (void)state;
    begin();
    ask_tunnel(1);
    for (unsigned i = 0; i < HTTP2_STREAM_WINDOW / sizeof piece; i++) {
        send_frame(DATA, 0, 1, bytes_make(piece, sizeof piece));
    }
    turn();
    assert_int_equal(frames(WINDOW_UPDATE, 1), 0);
    switch_over(0);
    assert_int_equal(play.body_size, HTTP2_STREAM_WINDOW);
    assert_true(frames(WINDOW_UPDATE, 1) > 0);
    finish();
}

static void a_head_within_a_tunnel_is_an_error_of_the_stream(void **state)
{
    (void)state;
    begin();
    ask_tunnel(1);
    switch_over(0);
    send_frame(HEADERS, END_HEADERS | END_STREAM, 1, BYTES("\x00\x01x\x01y"));
    turn();
    assert_int_equal(frames(RST_STREAM, 1), 1);
    assert_int_equal(play.gone_count, 1);
    finish();
}

static void a_notice_without_an_answer_is_followed_by_the_end(void **state)
{
    (void)state;
    begin();
    ask(1, true);
    loop_enter(&play.loop);
    http2_server_host_drain(&play.host);
    loop_leave(&play.loop);
    turn();
    assert_int_equal(frames(GOAWAY, 0), 1);
    ask(3, true);
    assert_int_equal(play.call_count, 2);
    play_turn(&play.loop, 2000);
    assert_int_equal(frames(GOAWAY, 0), 2);
    ask(5, true);
    assert_int_equal(play.call_count, 2);
    for (size_t i = 0; i < 2; i++) {
        loop_enter(&play.loop);
        head(i, BODY_NONE);
        end(i);
        loop_leave(&play.loop);
    }
    turn();
    play_turn(&play.loop, 3000);
    assert_true(play.is_closed);
    finish();
}

static void without_memory_nothing_is_left_behind(void **state)
{
    struct ip ip = {0};
    (void)state;
    memset(&play, 0, sizeof play);
    play.handler.open = on_open;
    play_begin(&play.loop);
    http2_server_host_init(&play.host, &play.loop, &play.handler, &play.cells, &settings);
    play.stream = (struct stream){.ops = &ops, .loop = &play.loop};
    loop_enter(&play.loop);
    (void)alloc_fail_begin(0);
    assert_int_equal(http2_server_open(&play.host, &play.stream, &ip, 1), ERR_NOMEM);
    assert_true(alloc_fail_end());
    loop_leave(&play.loop);
    assert_true(play.is_closed);
    http2_server_host_finish(&play.host);
    play_end(&play.loop);
}

/* Of a request with a body and its answer, each allocation in turn. */
static void any_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t at = 0;; at++) {
        begin();
        play.is_wanted = at % 2 == 0;
        (void)alloc_fail_begin(at / 2);
        ask(1, false);
        send_frame(DATA, END_STREAM, 1, BYTES("body"));
        if (play.calls[0] != NULL) {
            loop_enter(&play.loop);
            head(0, BODY_CHUNKED);
            play.calls[0]->ops->body(play.calls[0], BYTES("answer"));
            end(0);
            loop_leave(&play.loop);
        }
        turn();
        bool has_failed = alloc_fail_end();
        assert_int_equal(frames(GOAWAY, 0), 0);
        /* Refused with 503 where there was room for that, else reset: never left alone. */
        assert_int_equal(frames(RST_STREAM, 1) + frames(HEADERS, 1) > 0, true);
        assert_true(has_failed || frames(RST_STREAM, 1) == 0);
        ask(3, true);
        assert_non_null(play.calls[play.call_count - 1]);
        finish();
        if (!has_failed) {
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_streams_say_in_a_turn_goes_out_in_one_write),
        cmocka_unit_test(windows_are_given_back_for_what_was_wanted),
        cmocka_unit_test(a_source_stops_at_the_window_and_goes_on_behind_it),
        cmocka_unit_test(a_full_socket_stops_the_source_too),
        cmocka_unit_test(who_writes_before_it_reads_is_read_up_to_a_bound),
        cmocka_unit_test(a_stream_that_was_reset_is_gone_at_once),
        cmocka_unit_test(blocks_are_used_again),
        cmocka_unit_test(silence_ends_the_connection),
        cmocka_unit_test(who_takes_nothing_loses_the_stream),
        cmocka_unit_test(who_asks_on_must_take_the_answer_all_the_same),
        cmocka_unit_test(an_answer_under_way_excuses_a_body_that_rests),
        cmocka_unit_test(a_refusal_in_trailers_remembers_the_method),
        cmocka_unit_test(a_tunnel_keeps_early_bytes_for_its_handler),
        cmocka_unit_test(a_tunnel_may_be_silent_and_half_of_one_for_a_while),
        cmocka_unit_test(a_tunnel_gives_windows_back_as_its_handler_takes),
        cmocka_unit_test(a_head_within_a_tunnel_is_an_error_of_the_stream),
        cmocka_unit_test(a_notice_without_an_answer_is_followed_by_the_end),
        cmocka_unit_test(without_memory_nothing_is_left_behind),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
