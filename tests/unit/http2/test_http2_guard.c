#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http2/http2_guard.h"

enum { SECOND = 1000 * 1000 };

/* How many of them are let through at once. */
static unsigned burst_of(struct http2_guard *guard, enum metric_http2_violation kind,
                         uint64_t now_us)
{
    unsigned count = 0;
    while (http2_guard_spend(guard, kind, now_us)) {
        count++;
        assert_true(count < 100000);
    }
    return count;
}

static void every_budget_has_an_end_and_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < HTTP2_BUDGETS; i++) {
        enum metric_http2_violation kind = (enum metric_http2_violation)i;
        struct http2_guard guard = {.continuations = 0};
        unsigned burst = burst_of(&guard, kind, SECOND);
        assert_in_range(burst, 16, 5000);
        assert_false(http2_guard_spend(&guard, kind, SECOND));
        assert_true(http2_guard_spend(&guard, kind, SECOND + UINT64_C(100) * SECOND));
    }
}

static void an_honest_pace_is_never_stopped(void **state)
{
    (void)state;
    static const struct {
        enum metric_http2_violation kind;
        unsigned per_second;
    } cases[] = {
        {METRIC_HTTP2_RAPID_RESET, 30},
        {METRIC_HTTP2_PING, 15},
        {METRIC_HTTP2_SETTINGS, 1},
        {METRIC_HTTP2_PRIORITY, 90},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct http2_guard guard = {.continuations = 0};
        for (unsigned second = 1; second < 600; second++) {
            for (unsigned at = 0; at < cases[i].per_second; at++) {
                assert_true(http2_guard_spend(&guard, cases[i].kind, (uint64_t)second * SECOND));
            }
        }
    }
}

static void what_is_earned_may_be_spent(void **state)
{
    (void)state;
    struct http2_guard guard = {.continuations = 0};
    for (unsigned i = 0; i < 100000; i++) {
        http2_guard_earn(&guard, METRIC_HTTP2_WINDOW_UPDATE, 2);
        assert_true(http2_guard_spend(&guard, METRIC_HTTP2_WINDOW_UPDATE, 1));
        assert_true(http2_guard_spend(&guard, METRIC_HTTP2_WINDOW_UPDATE, 1));
    }
    unsigned burst = burst_of(&guard, METRIC_HTTP2_WINDOW_UPDATE, 1);
    http2_guard_earn(&guard, METRIC_HTTP2_WINDOW_UPDATE, 1000000);
    assert_in_range(burst_of(&guard, METRIC_HTTP2_WINDOW_UPDATE, 1), burst, burst + 2);
}

static void windows_given_back_for_every_4_KiB_are_earned(void **state)
{
    enum { FRAME = 16384 };
    (void)state;
    struct http2_guard guard = {.continuations = 0};
    for (unsigned i = 0; i < 10000; i++) {
        http2_guard_earn_data(&guard, FRAME);
        for (unsigned at = 0; at < FRAME; at += 4096) {
            assert_true(http2_guard_spend(&guard, METRIC_HTTP2_WINDOW_UPDATE, 1));
            assert_true(http2_guard_spend(&guard, METRIC_HTTP2_WINDOW_UPDATE, 1));
        }
    }
}

static size_t put_frame(char *out, unsigned type, unsigned flags, size_t size)
{
    const unsigned char head[HTTP2_FRAME_HEAD_SIZE] = {0, (unsigned char)(size >> 8),
                                                       (unsigned char)size, (unsigned char)type,
                                                       (unsigned char)flags};
    memcpy(out, head, sizeof head);
    memset(out + sizeof head, 0, size);
    return sizeof head + size;
}

/* After how many frames it objects, in bites of this size; 0: never within 10,000. */
static size_t patience(unsigned type, unsigned flags, size_t size, size_t bite,
                       enum metric_http2_violation *ret_kind)
{
    struct http2_guard guard;
    char frame[HTTP2_FRAME_HEAD_SIZE + 300];
    size_t frame_size = put_frame(frame, type, flags, size);
    http2_guard_init(&guard, 0);
    for (size_t count = 1; count <= 10000; count++) {
        for (size_t at = 0; at < frame_size; at += bite) {
            size_t part = bite < frame_size - at ? bite : frame_size - at;
            *ret_kind = http2_guard_read(&guard, bytes_make(frame + at, part), 1);
            if (*ret_kind != METRIC_HTTP2_COUNT) {
                return count;
            }
        }
    }
    return 0;
}

static void what_we_asked_for_is_free_of_charge(void **state)
{
    (void)state;
    struct http2_guard guard = {.continuations = 0};
    unsigned burst = burst_of(&guard, METRIC_HTTP2_RAPID_RESET, SECOND);
    struct http2_guard allowed = {.continuations = 0};
    http2_guard_allow(&allowed, METRIC_HTTP2_RAPID_RESET, 7);
    assert_int_equal(burst_of(&allowed, METRIC_HTTP2_RAPID_RESET, SECOND), burst + 7);
}

static void every_frame_is_weighed_however_it_is_cut(void **state)
{
    (void)state;
    static const struct {
        unsigned type;
        unsigned flags;
        size_t size;
        enum metric_http2_violation kind;
    } cases[] = {
        {0, 0, 0, METRIC_HTTP2_EMPTY_DATA},
        {0, 1, 0, METRIC_HTTP2_COUNT},
        {0, 0, 1, METRIC_HTTP2_COUNT},
        {1, 4, 5, METRIC_HTTP2_COUNT},
        {2, 0, 5, METRIC_HTTP2_PRIORITY},
        {3, 0, 4, METRIC_HTTP2_RAPID_RESET},
        {4, 0, 6, METRIC_HTTP2_SETTINGS},
        {4, 1, 0, METRIC_HTTP2_COUNT},
        {6, 0, 8, METRIC_HTTP2_PING},
        {6, 1, 8, METRIC_HTTP2_COUNT},
        {8, 0, 4, METRIC_HTTP2_WINDOW_UPDATE},
        {9, 0, 3, METRIC_HTTP2_CONTINUATION},
        {16, 0, 7, METRIC_HTTP2_PRIORITY},
        {10, 0, 0, METRIC_HTTP2_UNKNOWN_FRAME},
        {255, 0, 300, METRIC_HTTP2_UNKNOWN_FRAME},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        enum metric_http2_violation kind = METRIC_HTTP2_COUNT;
        size_t whole = patience(cases[i].type, cases[i].flags, cases[i].size, 1000, &kind);
        assert_int_equal(kind, cases[i].kind);
        for (size_t bite = 1; bite < 12; bite++) {
            assert_int_equal(patience(cases[i].type, cases[i].flags, cases[i].size, bite, &kind),
                             whole);
            assert_int_equal(kind, cases[i].kind);
        }
    }
}

static void another_head_may_go_on_as_often_again(void **state)
{
    (void)state;
    struct http2_guard guard;
    char bytes[1024];
    http2_guard_init(&guard, 24);
    size_t size = 24;
    memset(bytes, 0, size);
    for (unsigned head = 0; head < 2; head++) {
        size += put_frame(bytes + size, 1, 0, 3);
        for (unsigned i = 0; i < HTTP2_CONTINUATIONS_MAX; i++) {
            size += put_frame(bytes + size, 9, 0, 3);
        }
    }
    assert_int_equal(http2_guard_read(&guard, bytes_make(bytes, size), 1), METRIC_HTTP2_COUNT);
    size = put_frame(bytes, 9, 0, 3);
    assert_int_equal(http2_guard_read(&guard, bytes_make(bytes, size), 1),
                     METRIC_HTTP2_CONTINUATION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_budget_has_an_end_and_comes_back),
        cmocka_unit_test(an_honest_pace_is_never_stopped),
        cmocka_unit_test(what_is_earned_may_be_spent),
        cmocka_unit_test(windows_given_back_for_every_4_KiB_are_earned),
        cmocka_unit_test(what_we_asked_for_is_free_of_charge),
        cmocka_unit_test(every_frame_is_weighed_however_it_is_cut),
        cmocka_unit_test(another_head_may_go_on_as_often_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
