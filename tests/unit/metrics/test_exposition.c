#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "tests/support/alloc_fail.h"
#include "tests/unit/metrics/sample.h"

enum { TEXT_MAX = 1 << 20 };

struct fixture {
    struct sample *sample;
    struct buf text;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    fixture.sample = sample_create();
    buf_init(&fixture.text, TEXT_MAX);
    *state = &fixture;
    return fixture.sample != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    sample_destroy(fixture->sample);
    buf_finish(&fixture->text);
    return 0;
}

static const char *written(struct fixture *fixture)
{
    assert_int_equal(exposition_write(sample_exposition(fixture->sample), &fixture->text), OK);
    assert_int_equal(buf_append_byte(&fixture->text, '\0'), OK);
    return buf_bytes(&fixture->text).data;
}

static size_t occurrences(const char *text, const char *what)
{
    size_t count = 0;
    for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what)) {
        count++;
    }
    return count;
}

static void every_family_is_announced_once_and_in_catalog_order(void **state)
{
    const char *text = written(*state);
    const char *last = text;
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        char line[128];
        int size = snprintf(line, sizeof line, "# TYPE %.*s ",
                            BYTES_ARGS(metric_info((enum metric)metric)->name));
        assert_in_range(size, 1, sizeof line - 1);
        assert_int_equal(occurrences(text, line), 1);
        const char *place = strstr(text, line);
        assert_true(place > last);
        last = place;
    }
}

static void samples_say_what_was_counted(void **state)
{
    static const char *const lines[] = {
        "serin_requests_total{service=\"showcase\",code=\"200\",method=\"GET\"} 2\n",
        "serin_requests_total{service=\"showcase\",code=\"502\",method=\"POST\"} 2\n",
        "serin_requests_total{service=\"showcase\",code=\"none\",method=\"GET\"} 2\n",
        "serin_request_duration_seconds_count{service=\"showcase\"} 6\n",
        "serin_client_bad_responses_total{service=\"showcase\",role=\"current\"} 2\n",
        "serin_upstream_requests_total{service=\"showcase\",role=\"previous\","
        "endpoint=\"http://10.0.0.2:80\",code=\"none\"} 2\n",
        "serin_upstream_failures_total{service=\"showcase\",role=\"current\",kind=\"connect\"} 2\n",
        "serin_upstream_failures_total{service=\"showcase\",role=\"previous\",kind=\"tls\"} 0\n",
        "serin_upstream_connections{service=\"showcase\",role=\"previous\",state=\"idle\"} 2\n",
        "serin_upstream_connections{service=\"showcase\",role=\"current\",state=\"idle\"} 0\n",
        "serin_endpoint_up{service=\"showcase\",role=\"current\",endpoint=\"http://10.0.0.1:80\"} "
        "0\n",
        "serin_weight_ratio{service=\"showcase\",role=\"current\",kind=\"set\"} 0.1\n",
        "serin_weight_ratio{service=\"showcase\",role=\"current\",kind=\"realised\"} NaN\n",
        "serin_verdict{service=\"showcase\",verdict=\"ok\"} 1\n",
        "serin_verdict{service=\"showcase\",verdict=\"breach\"} 0\n",
        "serin_evidence_log_e{service=\"showcase\",test=\"absolute\"} -Inf\n",
        "serin_rollout_phase{service=\"showcase\",phase=\"rolled_back\"} 1\n",
        "serin_rollbacks_total{service=\"showcase\",trigger=\"error_rate\",status=\"success\"} 1\n",
        "serin_rollback_phase_duration_seconds_sum{service=\"showcase\",phase=\"shift\"} "
        "2.300000\n",
        "serin_last_rollback_timestamp_seconds{service=\"showcase\"} 1795411543.25\n",
        "serin_deployment_info{service=\"showcase\",role=\"current\",deployment=\"d7a3f2b\","
        "url=\"http://10.0.0.1:80\"} 1\n",
        "serin_client_connections{state=\"idle\"} 2\n",
        "serin_rejected_requests_total{reason=\"length_and_coding\"} 2\n",
        "serin_access_log_dropped_total 12\n",
        "serin_history_lost_total{part=\"audit\"} 7\n",
        "serin_history_lost_total{part=\"change\"} 2\n",
        "serin_history_waiting 5\n",
        "serin_condition{condition=\"history_unwritable\"} 1\n",
        "serin_build_info{version=\"0.1.0\",commit=\"8c5373f\"} 1\n",
    };
    const char *text = written(*state);
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        if (strstr(text, lines[i]) == NULL) {
            fail_msg("missing: %s", lines[i]);
        }
    }
}

static void what_never_happened_has_no_sample(void **state)
{
    const char *text = written(*state);
    /* The second service saw nothing, and only one of two services was ever rolled back. */
    assert_int_equal(occurrences(text, "serin_requests_total{"), 3);
    assert_int_equal(occurrences(text, "serin_upstream_requests_total{"), 2);
    assert_int_equal(occurrences(text, "serin_last_rollback_timestamp_seconds{"), 1);
    assert_int_equal(occurrences(text, "serin_deployment_info{"), 3);
}

static void a_text_that_does_not_fit_fails_at_every_size(void **state)
{
    struct fixture *fixture = *state;
    size_t size = strlen(written(fixture));
    for (size_t max = 0; max < size; max += 97) {
        struct buf text;
        buf_init(&text, max);
        assert_int_equal(exposition_write(sample_exposition(fixture->sample), &text), ERR_LIMIT);
        assert_true(buf_size(&text) <= max);
        buf_finish(&text);
    }
}

static void labels_that_do_not_fit_fail_the_text(void **state)
{
    struct fixture *fixture = *state;
    static char endless[128 * 1024];
    memset(endless, 'x', sizeof endless);
    struct exposition exposition = *sample_exposition(fixture->sample);
    exposition.version = bytes_make(endless, sizeof endless);
    assert_int_equal(exposition_write(&exposition, &fixture->text), ERR_LIMIT);
}

static void a_text_without_memory_fails_whichever_allocation_is_refused(void **state)
{
    struct fixture *fixture = *state;
    size_t turn = 0;
    for (bool was_refused = true; was_refused; turn++) {
        struct buf text;
        buf_init(&text, TEXT_MAX);
        (void)alloc_fail_begin(turn);
        enum err err = exposition_write(sample_exposition(fixture->sample), &text);
        was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_LIMIT : OK);
        buf_finish(&text);
    }
    assert_true(turn > 3);
}

#define exposition_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        exposition_test(every_family_is_announced_once_and_in_catalog_order),
        exposition_test(samples_say_what_was_counted),
        exposition_test(what_never_happened_has_no_sample),
        exposition_test(a_text_that_does_not_fit_fails_at_every_size),
        exposition_test(a_text_without_memory_fails_whichever_allocation_is_refused),
        exposition_test(labels_that_do_not_fit_fail_the_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
