/* Where frames end, in whatever pieces they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/websocket.h"

enum { RUN_MAX = 300 * 1024 };

/* Frames with the lengths where the encoding changes, masked and not, and what is around them. */
struct frame {
    uint8_t first;
    uint8_t length_size; /* 0, 2, 8: as it is written, needed or not */
    bool is_masked;
    size_t payload;
};

static const struct frame frames[] = {
    {0x81, 0, false, 0},      {0x81, 0, true, 1},      {0x82, 0, false, 125},
    {0x82, 2, false, 126},    {0x82, 2, true, 0xffff}, {0x82, 8, false, 0x10000},
    {0x01, 0, false, 5},      {0x89, 0, false, 4},     {0x00, 2, false, 300},
    {0x80, 0, true, 0},       {0xc1, 0, false, 7},     {0xf3, 0, true, 9},
    {0x82, 8, true, 3},       {0x82, 2, false, 0},     {0x8a, 0, true, 125},
    {0x82, 8, false, 100000},
};

struct run {
    char *data;
    size_t size;
    size_t ends[COUNT_OF(frames) + 1]; /* positions between frames */
    size_t end_count;
};

static void put(struct run *run, uint8_t byte)
{
    run->data[run->size++] = (char)byte;
}

static void put_frame(struct run *run, const struct frame *frame)
{
    static const uint8_t word[] = {0, 0, 126, 0, 0, 0, 0, 0, 127};
    uint8_t mask = frame->is_masked ? 0x80 : 0;
    put(run, frame->first);
    put(run, mask | (frame->length_size > 0 ? word[frame->length_size] : (uint8_t)frame->payload));
    for (unsigned i = frame->length_size; i > 0; i--) {
        put(run, (uint8_t)(frame->payload >> (8 * (i - 1))));
    }
    for (unsigned i = 0; i < (frame->is_masked ? 4u : 0u); i++) {
        put(run, 0x88); /* would be a Close, were it a header */
    }
    for (size_t i = 0; i < frame->payload; i++) {
        put(run, i % 2 == 0 ? 0x88 : 0x02);
    }
}

static int set_up(void **state)
{
    static struct run run;
    run = (struct run){.data = malloc(RUN_MAX)};
    assert_non_null(run.data);
    run.ends[run.end_count++] = 0;
    for (size_t i = 0; i < COUNT_OF(frames); i++) {
        put_frame(&run, &frames[i]);
        run.ends[run.end_count++] = run.size;
    }
    assert_true(run.size <= RUN_MAX);
    *state = &run;
    return 0;
}

static int tear_down(void **state)
{
    struct run *run = *state;
    free(run->data);
    return 0;
}

static bool is_end(const struct run *run, size_t at)
{
    for (size_t i = 0; i < run->end_count; i++) {
        if (run->ends[i] == at) {
            return true;
        }
    }
    return false;
}

static void each_call_goes_to_the_end_of_its_frame(void **state)
{
    const struct run *run = *state;
    struct websocket_tracker tracker;
    websocket_tracker_init(&tracker);
    size_t at = 0;
    for (size_t i = 1; i < run->end_count; i++) {
        assert_true(websocket_is_between_frames(&tracker));
        at += websocket_pass(&tracker, bytes_make(run->data + at, run->size - at));
        assert_int_equal(at, run->ends[i]);
    }
    assert_true(websocket_is_between_frames(&tracker));
    assert_false(tracker.has_closed);
}

static void pieces_of_any_size_change_nothing(void **state)
{
    const struct run *run = *state;
    static const size_t sizes[] = {1, 2, 3, 5, 7, 11, 64, 127, 4096, 65537};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct websocket_tracker tracker;
        websocket_tracker_init(&tracker);
        for (size_t at = 0; at < run->size;) {
            size_t size = run->size - at < sizes[i] ? run->size - at : sizes[i];
            websocket_pass_all(&tracker, bytes_make(run->data + at, size));
            at += size;
            assert_int_equal(websocket_is_between_frames(&tracker), is_end(run, at));
        }
    }
}

static void a_close_has_passed_with_its_last_byte(void **state)
{
    (void)state;
    static const char close[] = {(char)0x88, (char)0x85, 1, 2, 3, 4, 'h', 'e', 'l', 'l', 'o'};
    struct websocket_tracker tracker;
    websocket_tracker_init(&tracker);
    for (size_t i = 0; i < sizeof close; i++) {
        assert_false(tracker.has_closed);
        assert_int_equal(websocket_pass(&tracker, bytes_make(close + i, 1)), 1);
    }
    assert_true(tracker.has_closed);
    websocket_tracker_init(&tracker);
    websocket_pass_all(&tracker, BYTES("\x88\x00"));
    assert_true(tracker.has_closed);
}

static void the_longest_length_is_taken_for_what_it_is(void **state)
{
    (void)state;
    struct websocket_tracker tracker;
    websocket_tracker_init(&tracker);
    websocket_pass_all(&tracker, BYTES("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"
                                       "abc"));
    assert_false(websocket_is_between_frames(&tracker));
    assert_false(tracker.is_lost);
    assert_true(tracker.payload_left == (UINT64_MAX >> 1) - 3);
}

static void a_length_that_cannot_be_loses_track_for_good(void **state)
{
    (void)state;
    struct websocket_tracker tracker;
    websocket_tracker_init(&tracker);
    struct bytes in = BYTES("\x82\x7f\x80\0\0\0\0\0\0\0"
                            "\x88\x00\x81\x00");
    assert_int_equal(websocket_pass(&tracker, in), in.size);
    assert_true(tracker.is_lost);
    assert_false(websocket_is_between_frames(&tracker));
    websocket_pass_all(&tracker, BYTES("\x88\x00"));
    assert_false(tracker.has_closed);
    assert_false(websocket_is_between_frames(&tracker));
}

static void our_close_is_a_whole_frame_with_its_code(void **state)
{
    (void)state;
    char out[WEBSOCKET_CLOSE_SIZE];
    struct bytes close = websocket_write_close(out, WEBSOCKET_SERVICE_RESTART);
    assert_true(bytes_equal(close, BYTES("\x88\x02\x03\xf4")));
    struct websocket_tracker tracker;
    websocket_tracker_init(&tracker);
    websocket_pass_all(&tracker, close);
    assert_true(tracker.has_closed);
    assert_true(websocket_is_between_frames(&tracker));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_call_goes_to_the_end_of_its_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pieces_of_any_size_change_nothing, set_up, tear_down),
        cmocka_unit_test(a_close_has_passed_with_its_last_byte),
        cmocka_unit_test(the_longest_length_is_taken_for_what_it_is),
        cmocka_unit_test(a_length_that_cannot_be_loses_track_for_good),
        cmocka_unit_test(our_close_is_a_whole_frame_with_its_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
