/* tests/unit/exchange/test_outcome.c — every way an attempt can end counts as the contract says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proxy/base/check.h"
#include "proxy/exchange/outcome.h"

enum { NONE = METRIC_FAILURE_COUNT };

struct outcome_case {
    struct attempt_facts facts;
    const char *counts; /* the letters of n, e, x that tick */
    unsigned failure;
    unsigned client_status;
};

/* With a list of failing statuses of the service's own. */
static void assert_listed(const struct outcome_case *row)
{
    struct attempt_facts facts = row->facts;
    facts.is_judged = true;
    struct outcome judged = outcome_of(&facts);
    assert_int_equal(judged.is_request, strchr(row->counts, 'n') != NULL);
    assert_int_equal(judged.is_failure, strchr(row->counts, 'e') != NULL);
    assert_int_equal(judged.is_connect, strchr(row->counts, 'x') != NULL);
    assert_int_equal(judged.failure, row->failure);
    assert_int_equal(judged.client_status, row->client_status);
    /* what the judge does not look at is still counted for the operator and answered alike */
    facts.is_judged = false;
    struct outcome unjudged = outcome_of(&facts);
    assert_false(unjudged.is_request || unjudged.is_failure || unjudged.is_connect);
    assert_int_equal(unjudged.failure, row->failure);
    assert_int_equal(unjudged.client_status, row->client_status);
}

/* With the default list: all from 500 on. */
static void assert_case(const struct outcome_case *row)
{
    struct outcome_case listed = *row;
    listed.facts.is_failing_status = row->facts.status >= 500;
    assert_listed(&listed);
}

static void attempts_without_an_answer_count_as_the_table_says(void **state)
{
    (void)state;
    const struct outcome_case cases[] = {
        {{.end = ATTEMPT_CONNECT_FAILED}, "nex", METRIC_FAILURE_CONNECT, 502},
        {{.end = ATTEMPT_CONNECT_TIMEOUT}, "nex", METRIC_FAILURE_CONNECT, 504},
        {{.end = ATTEMPT_TLS_FAILED}, "nex", METRIC_FAILURE_TLS, 502},
        {{.end = ATTEMPT_HEAD_TIMEOUT}, "nex", METRIC_FAILURE_TIMEOUT, 504},
        {{.end = ATTEMPT_HEAD_TIMEOUT, .is_reused = true}, "nex", METRIC_FAILURE_TIMEOUT, 504},
        {{.end = ATTEMPT_HEAD_TIMEOUT, .has_response_bytes = true},
         "nex",
         METRIC_FAILURE_TIMEOUT,
         504},
        {{.end = ATTEMPT_RESET}, "nex", METRIC_FAILURE_RESET, 502},
        {{.end = ATTEMPT_RESET, .is_reused = true}, "ne", METRIC_FAILURE_RESET, 502},
        {{.end = ATTEMPT_RESET, .is_stream_reset = true}, "ne", METRIC_FAILURE_RESET, 502},
        {{.end = ATTEMPT_RESET, .is_unprocessed = true}, "ne", METRIC_FAILURE_RESET, 502},
        {{.end = ATTEMPT_RESET, .is_body_late = true}, "ne", METRIC_FAILURE_RESET, 502},
        {{.end = ATTEMPT_HEAD_TIMEOUT, .is_body_late = true}, "nex", METRIC_FAILURE_TIMEOUT, 504},
        {{.end = ATTEMPT_RESET, .is_unprocessed = true, .is_retried = true},
         "",
         METRIC_FAILURE_RESET,
         502},
        {{.end = ATTEMPT_RESET, .is_reused = true, .is_retried = true},
         "",
         METRIC_FAILURE_RESET,
         502},
        {{.end = ATTEMPT_RESET, .has_response_bytes = true},
         "ne",
         METRIC_FAILURE_BAD_RESPONSE,
         502},
        {{.end = ATTEMPT_BAD_RESPONSE, .has_response_bytes = true},
         "ne",
         METRIC_FAILURE_BAD_RESPONSE,
         502},
        {{.end = ATTEMPT_CLIENT_GONE}, "", NONE, 0},
        {{.end = ATTEMPT_REFUSED}, "", NONE, 503},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_case(&cases[i]);
    }
}

static void failing_status_counts_at_its_head_and_never_again(void **state)
{
    (void)state;
    for (unsigned status = 500; status <= 599; status++) {
        bool is_edge = (status >= 520 && status <= 527) || status == 530;
        const struct outcome_case first = {{.end = ATTEMPT_HEAD_READ, .status = status},
                                           is_edge ? "nex" : "ne",
                                           is_edge ? METRIC_FAILURE_EDGE_52X
                                                   : METRIC_FAILURE_ORIGIN_5XX,
                                           0};
        assert_case(&first);
        const enum attempt_end later[] = {ATTEMPT_SETTLED, ATTEMPT_DONE, ATTEMPT_CLIENT_GONE};
        for (size_t i = 0; i < COUNT_OF(later); i++) {
            const struct outcome_case again = {
                {.end = later[i], .status = status, .is_counted = true}, "", NONE, 0};
            assert_case(&again);
        }
        const struct outcome_case cut = {
            {.end = ATTEMPT_TRUNCATED, .status = status, .is_counted = true}, "", NONE, 502};
        assert_case(&cut);
    }
}

static void good_status_counts_once_when_it_settled_or_ended(void **state)
{
    (void)state;
    const unsigned statuses[] = {101, 200, 204, 304, 404, 499};
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        unsigned status = statuses[i];
        const struct outcome_case cases[] = {
            {{.end = ATTEMPT_HEAD_READ, .status = status}, "", NONE, 0},
            {{.end = ATTEMPT_SETTLED, .status = status}, "n", NONE, 0},
            {{.end = ATTEMPT_DONE, .status = status}, "n", NONE, 0},
            {{.end = ATTEMPT_DONE, .status = status, .is_counted = true}, "", NONE, 0},
            {{.end = ATTEMPT_CLIENT_GONE, .status = status}, "n", NONE, 0},
            {{.end = ATTEMPT_CLIENT_GONE, .status = status, .is_counted = true}, "", NONE, 0},
        };
        for (size_t c = 0; c < COUNT_OF(cases); c++) {
            assert_case(&cases[c]);
        }
    }
}

static void broken_body_is_a_failure_before_and_after_it_settled(void **state)
{
    (void)state;
    const struct outcome_case cases[] = {
        {{.end = ATTEMPT_TRUNCATED, .status = 200}, "ne", METRIC_FAILURE_BAD_RESPONSE, 502},
        {{.end = ATTEMPT_TRUNCATED, .status = 200, .is_counted = true},
         "ne",
         METRIC_FAILURE_BAD_RESPONSE,
         502},
        {{.end = ATTEMPT_BODY_TIMEOUT, .status = 200}, "ne", METRIC_FAILURE_TIMEOUT, 504},
        {{.end = ATTEMPT_BODY_TIMEOUT, .status = 200, .is_counted = true},
         "ne",
         METRIC_FAILURE_TIMEOUT,
         504},
        {{.end = ATTEMPT_BAD_RESPONSE, .status = 200}, "ne", METRIC_FAILURE_BAD_RESPONSE, 502},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_case(&cases[i]);
    }
}

static void listed_status_fails_at_its_head_like_a_5xx(void **state)
{
    (void)state;
    const struct outcome_case cases[] = {
        {{.end = ATTEMPT_HEAD_READ, .status = 429, .is_failing_status = true},
         "ne",
         METRIC_FAILURE_STATUS,
         0},
        {{.end = ATTEMPT_DONE, .status = 429, .is_failing_status = true, .is_counted = true},
         "",
         NONE,
         0},
        {{.end = ATTEMPT_TRUNCATED, .status = 429, .is_failing_status = true, .is_counted = true},
         "",
         NONE,
         502},
        {{.end = ATTEMPT_CLIENT_GONE, .status = 429, .is_failing_status = true, .is_counted = true},
         "",
         NONE,
         0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_listed(&cases[i]);
    }
}

static void unlisted_5xx_is_good_but_keeps_its_kind(void **state)
{
    (void)state;
    const struct outcome_case cases[] = {
        {{.end = ATTEMPT_HEAD_READ, .status = 501}, "", METRIC_FAILURE_ORIGIN_5XX, 0},
        {{.end = ATTEMPT_DONE, .status = 501}, "n", NONE, 0},
        {{.end = ATTEMPT_SETTLED, .status = 501}, "n", NONE, 0},
        {{.end = ATTEMPT_TRUNCATED, .status = 501}, "ne", METRIC_FAILURE_BAD_RESPONSE, 502},
        /* the edge did not reach the origin, whatever the list says */
        {{.end = ATTEMPT_HEAD_READ, .status = 522}, "nex", METRIC_FAILURE_EDGE_52X, 0},
        {{.end = ATTEMPT_HEAD_READ, .status = 530}, "nex", METRIC_FAILURE_EDGE_52X, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_listed(&cases[i]);
    }
}

static void ejection_goes_by_5xx_whatever_the_list_says(void **state)
{
    (void)state;
    struct attempt_facts listed = {
        .end = ATTEMPT_HEAD_READ, .status = 404, .is_failing_status = true};
    struct attempt_facts unlisted = {.end = ATTEMPT_HEAD_READ, .status = 501};
    struct attempt_facts refused = {.end = ATTEMPT_CONNECT_FAILED};
    assert_false(outcome_of(&listed).is_unwell);
    assert_true(outcome_of(&unlisted).is_unwell);
    assert_true(outcome_of(&refused).is_unwell);
}

/* At the head when there is nothing else, at the end, or as one more after it had counted as good.
 */
static void failing_status_of_grpc_counts_when_it_is_known(void **state)
{
    (void)state;
    const enum attempt_end ends[] = {ATTEMPT_HEAD_READ, ATTEMPT_DONE};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        for (unsigned was_good = 0; was_good < 2; was_good++) {
            const struct outcome_case first = {
                {.end = ends[i], .status = 200, .is_failing_rpc = true, .is_counted = was_good},
                "ne",
                METRIC_FAILURE_GRPC_STATUS,
                0};
            assert_case(&first);
        }
        const struct outcome_case again = {
            {.end = ATTEMPT_DONE, .status = 200, .is_counted = true}, "", NONE, 0};
        assert_case(&again);
    }
}

static void a_call_whose_clients_time_is_over_counts_nothing(void **state)
{
    (void)state;
    const enum attempt_end ends[] = {ATTEMPT_HEAD_READ, ATTEMPT_DONE, ATTEMPT_CLIENT_GONE};
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        const struct outcome_case row = {
            {.end = ends[i], .status = 200, .is_no_evidence = true}, "", NONE, 0};
        assert_case(&row);
    }
}

static void a_status_of_grpc_speaks_for_its_endpoint_only_when_it_means_to(void **state)
{
    (void)state;
    struct attempt_facts broken = {
        .end = ATTEMPT_DONE, .status = 200, .is_failing_rpc = true, .is_unwell_rpc = true};
    struct attempt_facts wrong = {.end = ATTEMPT_DONE, .status = 200, .is_failing_rpc = true};
    assert_true(outcome_of(&broken).is_unwell);
    assert_false(outcome_of(&wrong).is_unwell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attempts_without_an_answer_count_as_the_table_says),
        cmocka_unit_test(failing_status_counts_at_its_head_and_never_again),
        cmocka_unit_test(good_status_counts_once_when_it_settled_or_ended),
        cmocka_unit_test(listed_status_fails_at_its_head_like_a_5xx),
        cmocka_unit_test(unlisted_5xx_is_good_but_keeps_its_kind),
        cmocka_unit_test(ejection_goes_by_5xx_whatever_the_list_says),
        cmocka_unit_test(failing_status_of_grpc_counts_when_it_is_known),
        cmocka_unit_test(a_call_whose_clients_time_is_over_counts_nothing),
        cmocka_unit_test(a_status_of_grpc_speaks_for_its_endpoint_only_when_it_means_to),
        cmocka_unit_test(broken_body_is_a_failure_before_and_after_it_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
