/* tests/unit/exchange/test_retry.c — once more only where RFC 9110 section 9.2.2 allows it; never a
 * body cut short in silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/exchange/retry.h"

static const struct attempt_facts stale = {
    .end = ATTEMPT_RESET, .is_reused = true, .is_judged = true};
static const struct retry_facts get = {.is_idempotent = true};

static void assert_answer(struct retry_decision decision, unsigned status)
{
    assert_int_equal(decision.action, RETRY_ANSWER);
    assert_int_equal(decision.status, status);
}

static void stale_connection_is_retried_once(void **state)
{
    (void)state;
    assert_int_equal(retry_decide(&stale, &get).action, RETRY_SAME_VERSION);
    struct retry_facts again = get;
    again.retry_count = 1;
    assert_answer(retry_decide(&stale, &again), 502);
}

static void unsafe_repetitions_get_502(void **state)
{
    (void)state;
    const struct retry_facts post = {.is_idempotent = false};
    const struct retry_facts put_under_way = {.is_idempotent = true, .has_sent_body = true};
    assert_answer(retry_decide(&stale, &post), 502);
    assert_answer(retry_decide(&stale, &put_under_way), 502);
}

static void only_a_silent_pooled_connection_is_stale(void **state)
{
    (void)state;
    struct attempt_facts fresh = stale;
    fresh.is_reused = false;
    assert_answer(retry_decide(&fresh, &get), 502);
    struct attempt_facts begun = stale;
    begun.has_response_bytes = true;
    assert_answer(retry_decide(&begun, &get), 502);
}

static void what_the_origin_did_not_look_at_is_asked_again_whatever_it_is(void **state)
{
    (void)state;
    const struct attempt_facts refused = {.end = ATTEMPT_RESET, .is_unprocessed = true};
    const struct retry_facts post = {.is_idempotent = false};
    const struct retry_facts post_under_way = {.is_idempotent = false, .has_sent_body = true};
    const struct retry_facts post_again = {.is_idempotent = false, .retry_count = 1};
    assert_int_equal(retry_decide(&refused, &post).action, RETRY_SAME_VERSION);
    assert_int_equal(retry_decide(&refused, &get).action, RETRY_SAME_VERSION);
    assert_answer(retry_decide(&refused, &post_under_way), 502);
    assert_answer(retry_decide(&refused, &post_again), 502);
}

static void a_stream_that_was_reset_was_seen(void **state)
{
    (void)state;
    struct attempt_facts reset = stale;
    reset.is_stream_reset = true;
    assert_answer(retry_decide(&reset, &get), 502);
}

static void other_failures_are_answered_by_their_kind(void **state)
{
    (void)state;
    const struct {
        enum attempt_end end;
        unsigned status;
    } cases[] = {
        {ATTEMPT_CONNECT_FAILED, 502}, {ATTEMPT_CONNECT_TIMEOUT, 504}, {ATTEMPT_TLS_FAILED, 502},
        {ATTEMPT_HEAD_TIMEOUT, 504},   {ATTEMPT_BAD_RESPONSE, 502},    {ATTEMPT_TRUNCATED, 502},
        {ATTEMPT_BODY_TIMEOUT, 504},   {ATTEMPT_REFUSED, 503},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct attempt_facts attempt = {.end = cases[i].end, .is_reused = true};
        assert_answer(retry_decide(&attempt, &get), cases[i].status);
        const struct attempt_facts late = {.end = cases[i].end, .status = 500, .is_counted = true};
        assert_answer(retry_decide(&late, &get), cases[i].status);
    }
}

static void answer_that_had_begun_is_cut(void **state)
{
    (void)state;
    const enum attempt_end ends[] = {ATTEMPT_RESET, ATTEMPT_BAD_RESPONSE, ATTEMPT_TRUNCATED,
                                     ATTEMPT_BODY_TIMEOUT, ATTEMPT_HEAD_TIMEOUT};
    struct retry_facts answered = get;
    answered.has_answered = true;
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        const struct attempt_facts attempt = {.end = ends[i], .is_reused = true};
        assert_int_equal(retry_decide(&attempt, &answered).action, RETRY_CUT);
    }
}

static void nothing_is_done_when_nothing_failed_or_nobody_waits(void **state)
{
    (void)state;
    const enum attempt_end fine[] = {ATTEMPT_HEAD_READ, ATTEMPT_SETTLED, ATTEMPT_DONE};
    for (size_t i = 0; i < COUNT_OF(fine); i++) {
        const struct attempt_facts attempt = {.end = fine[i], .status = 503};
        assert_int_equal(retry_decide(&attempt, &get).action, RETRY_GO_ON);
    }
    const struct attempt_facts gone = {.end = ATTEMPT_CLIENT_GONE};
    assert_int_equal(retry_decide(&gone, &get).action, RETRY_DROP);
}

static const struct retry_facts rescuable = {.is_idempotent = true, .rescue_when = ~0u};

static void what_the_canary_failed_is_rescued_by_its_kind(void **state)
{
    (void)state;
    const struct {
        struct attempt_facts attempt;
        enum conf_rescue_when when;
    } cases[] = {
        {{.end = ATTEMPT_CONNECT_FAILED}, CONF_RESCUE_CONNECT},
        {{.end = ATTEMPT_CONNECT_TIMEOUT}, CONF_RESCUE_CONNECT},
        {{.end = ATTEMPT_TLS_FAILED}, CONF_RESCUE_CONNECT},
        {{.end = ATTEMPT_HEAD_TIMEOUT}, CONF_RESCUE_TIMEOUT},
        {{.end = ATTEMPT_RESET}, CONF_RESCUE_RESET},
        {{.end = ATTEMPT_RESET, .has_response_bytes = true}, CONF_RESCUE_502},
        {{.end = ATTEMPT_BAD_RESPONSE}, CONF_RESCUE_502},
        {{.end = ATTEMPT_HEAD_READ, .status = 500}, CONF_RESCUE_500},
        {{.end = ATTEMPT_HEAD_READ, .status = 502}, CONF_RESCUE_502},
        {{.end = ATTEMPT_HEAD_READ, .status = 503}, CONF_RESCUE_503},
        {{.end = ATTEMPT_HEAD_READ, .status = 504}, CONF_RESCUE_504},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct retry_facts only = {.rescue_when = 1u << cases[i].when};
        struct retry_facts others = {.rescue_when = ~(1u << cases[i].when)};
        assert_int_equal(retry_decide(&cases[i].attempt, &only).action, RETRY_OTHER_VERSION);
        assert_int_not_equal(retry_decide(&cases[i].attempt, &others).action, RETRY_OTHER_VERSION);
    }
}

static void nothing_else_is_rescued(void **state)
{
    (void)state;
    const struct attempt_facts attempts[] = {
        {.end = ATTEMPT_HEAD_READ, .status = 200},
        {.end = ATTEMPT_HEAD_READ, .status = 404},
        {.end = ATTEMPT_HEAD_READ, .status = 501},
        {.end = ATTEMPT_SETTLED, .status = 500},
        {.end = ATTEMPT_DONE, .status = 500},
        {.end = ATTEMPT_TRUNCATED, .status = 200},
        {.end = ATTEMPT_BODY_TIMEOUT},
        {.end = ATTEMPT_CLIENT_GONE},
        {.end = ATTEMPT_REFUSED},
    };
    for (size_t i = 0; i < COUNT_OF(attempts); i++) {
        assert_int_not_equal(retry_decide(&attempts[i], &rescuable).action, RETRY_OTHER_VERSION);
    }
}

static void nothing_is_rescued_once_the_client_has_a_byte(void **state)
{
    (void)state;
    struct retry_facts answered = rescuable;
    answered.has_answered = true;
    const struct attempt_facts reset = {.end = ATTEMPT_RESET};
    assert_int_equal(retry_decide(&reset, &answered).action, RETRY_CUT);
}

static void stale_connection_is_no_failure_of_the_canary(void **state)
{
    (void)state;
    assert_int_equal(retry_decide(&stale, &rescuable).action, RETRY_SAME_VERSION);
    struct retry_facts again = rescuable;
    again.retry_count = 1;
    assert_int_equal(retry_decide(&stale, &again).action, RETRY_OTHER_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stale_connection_is_retried_once),
        cmocka_unit_test(unsafe_repetitions_get_502),
        cmocka_unit_test(only_a_silent_pooled_connection_is_stale),
        cmocka_unit_test(what_the_origin_did_not_look_at_is_asked_again_whatever_it_is),
        cmocka_unit_test(a_stream_that_was_reset_was_seen),
        cmocka_unit_test(other_failures_are_answered_by_their_kind),
        cmocka_unit_test(answer_that_had_begun_is_cut),
        cmocka_unit_test(what_the_canary_failed_is_rescued_by_its_kind),
        cmocka_unit_test(nothing_else_is_rescued),
        cmocka_unit_test(nothing_is_rescued_once_the_client_has_a_byte),
        cmocka_unit_test(stale_connection_is_no_failure_of_the_canary),
        cmocka_unit_test(nothing_is_done_when_nothing_failed_or_nobody_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
