/* What the judge promises: fast where it is clear, silent where it is not, and never fooled by a
 * shared outage. The exact numbers are the business of judge_vectors. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "canary/engine/judge.h"
#include "canary/engine/judge_sentence.h"
#include "proxy/base/check.h"
#include "tests/support/traffic.h"

enum { TICK_MS = 100 };

/* A judge, its traffic and its clock. */
struct court {
    struct judge judge;
    struct traffic traffic;
    int64_t now_ms;
};

static void court_open_with(struct court *court, const struct judge_config *config, uint64_t seed,
                            double rate, double weight)
{
    judge_init(&court->judge, config);
    traffic_init(&court->traffic, seed, rate, weight);
    court->now_ms = 0;
    judge_check(&court->judge, 0, &court->traffic.counts);
}

static void court_open(struct court *court, uint64_t seed, double rate, double weight)
{
    court_open_with(court, &JUDGE_CONFIG_DEFAULT, seed, rate, weight);
}

/* 404s are judged too, at 10 %, and come `burst` at a time (0: it is measured); both versions
 * answer 4 % of them for a healthy minute. */
static void court_open_watching_404(struct court *court, uint64_t seed, double burst)
{
    struct judge_config config = JUDGE_CONFIG_DEFAULT;
    config.burst = burst;
    judge_config_watch_not_found(&config, 0.1);
    court_open_with(court, &config, seed, 100.0, 0.2);
    court->traffic.stable.not_found_ratio = 0.04;
    court->traffic.canary.not_found_ratio = 0.04;
}

static struct judge_result court_tick(struct court *court)
{
    court->now_ms += TICK_MS;
    traffic_tick(&court->traffic, TICK_MS / 1000.0);
    return judge_check(&court->judge, court->now_ms, &court->traffic.counts);
}

/* Runs until the verdict is a breach, at most `max_s`; returns the seconds it took, or -1. */
static double court_until_breach(struct court *court, double max_s)
{
    int64_t from_ms = court->now_ms;
    while ((double)(court->now_ms - from_ms) < 1000.0 * max_s) {
        if (court_tick(court).verdict == JUDGE_BREACH) {
            return (double)(court->now_ms - from_ms) / 1000.0;
        }
    }
    return -1.0;
}

static void breach_within_seconds_when_all_canary_requests_fail(void **state)
{
    (void)state;
    /* Given a healthy minute at 100 requests a second and weight 10 %, when every canary request
     * fails, then the breach comes within 3 s for every seed. */
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct court court;
        court_open(&court, seed, 100.0, 0.1);
        court.traffic.stable.fail_ratio = 0.001;
        assert_true(court_until_breach(&court, 60.0) < 0.0);
        court.traffic.canary.fail_ratio = 1.0;
        double delay_s = court_until_breach(&court, 10.0);
        assert_true(delay_s > 0.0);
        assert_true(delay_s < 3.0);
        assert_int_equal(court.judge.result.reason, JUDGE_REASON_ABSOLUTE);
    }
}

static void slight_breach_is_found_in_a_minute(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct court court;
        court_open(&court, seed, 100.0, 0.1);
        court.traffic.stable.fail_ratio = 0.001;
        court.traffic.canary.fail_ratio = 0.001;
        assert_true(court_until_breach(&court, 60.0) < 0.0);
        court.traffic.canary.fail_ratio = 0.08;
        double delay_s = court_until_breach(&court, 120.0);
        assert_true(delay_s > 0.0);
        assert_true(delay_s < 60.0);
    }
}

static void healthy_canary_is_never_rolled_back(void **state)
{
    (void)state;
    const double ratios[] = {0.0, 0.001, 0.01, 0.03};
    for (size_t i = 0; i < COUNT_OF(ratios); i++) {
        struct court court;
        court_open(&court, 100 + i, 50.0, 0.1);
        court.traffic.stable.fail_ratio = ratios[i];
        court.traffic.canary.fail_ratio = ratios[i];
        assert_true(court_until_breach(&court, 3600.0) < 0.0);
    }
}

static void refused_connections_are_the_fast_path(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 3, 50.0, 0.1);
    assert_true(court_until_breach(&court, 30.0) < 0.0);
    uint64_t before = court.traffic.counts.canary_count;
    court.traffic.canary.connect_fail_ratio = 1.0;
    assert_true(court_until_breach(&court, 10.0) > 0.0);
    assert_int_equal(court.judge.result.reason, JUDGE_REASON_CONNECT);
    assert_true(court.traffic.counts.canary_count - before <= 8);
}

static void shared_outage_is_suspicious_and_rolls_nothing_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct court court;
        court_open(&court, seed, 200.0, 0.1);
        assert_true(court_until_breach(&court, 30.0) < 0.0);
        court.traffic.canary.fail_ratio = 0.5;
        court.traffic.stable.fail_ratio = 0.5;
        assert_true(court_until_breach(&court, 60.0) < 0.0);
        assert_int_equal(court.judge.result.verdict, JUDGE_SUSPICIOUS);
        assert_int_equal(court.judge.result.reason, JUDGE_REASON_SHARED_OUTAGE);
    }
}

static void slow_canary_is_a_latency_breach(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 5, 200.0, 0.2);
    court.traffic.stable.latency_us = 40000;
    court.traffic.canary.latency_us = 40000;
    assert_true(court_until_breach(&court, 60.0) < 0.0);
    court.traffic.canary.latency_us = 200000;
    double delay_s = court_until_breach(&court, 30.0);
    assert_true(delay_s > 0.0);
    assert_int_equal(court.judge.result.reason, JUDGE_REASON_LATENCY);
}

static void canary_that_lost_its_files_is_a_relative_breach_of_404s(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct court court;
        court_open_watching_404(&court, seed, 0.0);
        assert_true(court_until_breach(&court, 60.0) < 0.0);
        uint64_t before = court.traffic.counts.canary_not_found;
        int64_t broke_ms = court.now_ms;
        court.traffic.canary.not_found_ratio = 0.6;
        double delay_s = court_until_breach(&court, 30.0);
        assert_true(delay_s > 0.0);
        assert_true(delay_s < 8.0);
        assert_int_equal(court.judge.result.reason, JUDGE_REASON_RELATIVE);
        assert_true(court.judge.result.is_not_found);
        struct note note;
        judge_sentence(&court.judge, &note);
        assert_non_null(strstr(note.text, "canary answered 404 to "));
        assert_non_null(strstr(note.text, "limit 10 %, stable to "));
        struct judge_excursion excursion = judge_excursion(&court.judge, JUDGE_REASON_RELATIVE);
        assert_true(excursion.has_failure);
        double found = (double)(court.traffic.counts.canary_not_found - before);
        assert_true(excursion.counts.canary_failed >= found - 3.0);
        assert_true(excursion.first_failure_ms >= broke_ms - 10000);
        assert_true(excursion.first_failure_ms <= broke_ms + 1000);
    }
}

static void more_404s_below_the_limit_only_hold_the_weight(void **state)
{
    (void)state;
    struct court court;
    court_open_watching_404(&court, 1, 0.0);
    court.traffic.stable.not_found_ratio = 0.01;
    court.traffic.canary.not_found_ratio = 0.05;
    bool was_held = false;
    for (int i = 0; i < 6000; i++) {
        struct judge_result result = court_tick(&court);
        assert_int_not_equal(result.verdict, JUDGE_BREACH);
        was_held |= result.verdict == JUDGE_SUSPICIOUS && result.is_not_found;
    }
    assert_true(was_held);
}

static void as_many_404s_as_stable_are_no_evidence_however_many(void **state)
{
    (void)state;
    const double ratios[] = {0.0, 0.02, 0.1, 0.3, 0.9, 1.0};
    for (size_t i = 0; i < COUNT_OF(ratios); i++) {
        struct court court;
        court_open_watching_404(&court, 20 + i, 0.0);
        court.traffic.stable.not_found_ratio = ratios[i];
        court.traffic.canary.not_found_ratio = ratios[i];
        assert_true(court_until_breach(&court, 1800.0) < 0.0);
    }
}

/* Both lose the same file, and it is back on stable a few seconds before it is on the canary. */
static void files_that_both_lost_for_a_while_roll_nothing_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct court court;
        /* without the help that measured clusters are */
        court_open_watching_404(&court, seed, 1.0);
        assert_true(court_until_breach(&court, 60.0) < 0.0);
        court.traffic.stable.not_found_ratio = 0.7;
        court.traffic.canary.not_found_ratio = 0.7;
        assert_true(court_until_breach(&court, 30.0) < 0.0);
        court.traffic.stable.not_found_ratio = 0.04;
        assert_true(court_until_breach(&court, 2.0) < 0.0);
        court.traffic.canary.not_found_ratio = 0.04;
        assert_true(court_until_breach(&court, 60.0) < 0.0);
    }
}

static void not_found_is_good_unless_it_is_judged(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 100.0, 0.5);
    court.traffic.canary.not_found_ratio = 1.0;
    assert_true(court_until_breach(&court, 60.0) < 0.0);
    assert_true(isinf(court.judge.result.log_not_found));
}

/* The budget is one, whoever shares it. */
static void shares_of_all_tests_sum_to_one(void **state)
{
    (void)state;
    struct judge_config config = JUDGE_CONFIG_DEFAULT;
    judge_config_watch_not_found(&config, 0.1);
    double sum = config.share_absolute + config.share_relative + config.share_latency +
                 config.share_connect + config.share_not_found;
    assert_true(fabs(sum - 1.0) < 1e-12);
}

static void silence_is_no_verdict(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 0.0, 0.5);
    assert_true(court_until_breach(&court, 3600.0) < 0.0);
    assert_int_equal(court.judge.result.verdict, JUDGE_INSUFFICIENT_DATA);
    struct note note;
    judge_sentence(&court.judge, &note);
    assert_non_null(strstr(note.text, "59 are missing"));
}

static void clean_canary_becomes_healthy(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 100.0, 0.1);
    struct judge_result result = {0};
    while (result.verdict != JUDGE_HEALTHY && court.now_ms < 200000) {
        result = court_tick(&court);
    }
    assert_int_equal(result.verdict, JUDGE_HEALTHY);
    assert_true(result.canary_count > 500);
    assert_true(result.canary_count < 1200);
}

static void changing_the_weight_takes_promotion_back(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 100.0, 0.5);
    while (court_tick(&court).verdict != JUDGE_HEALTHY) {
        assert_true(court.now_ms < 200000);
    }
    judge_step(&court.judge, court.now_ms);
    struct judge_result result = court_tick(&court);
    assert_int_equal(result.verdict, JUDGE_INSUFFICIENT_DATA);
    assert_true(result.canary_count < 59);
}

static void breach_is_latched_until_the_next_start(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 100.0, 0.5);
    court.traffic.canary.fail_ratio = 1.0;
    assert_true(court_until_breach(&court, 5.0) > 0.0);
    court.traffic.canary.fail_ratio = 0.0;
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(court_tick(&court).verdict, JUDGE_BREACH);
    }
    judge_step(&court.judge, court.now_ms);
    assert_int_equal(court_tick(&court).verdict, JUDGE_BREACH);
    judge_start(&court.judge, court.now_ms);
    assert_int_not_equal(court_tick(&court).verdict, JUDGE_BREACH);
}

static void counters_that_start_over_are_no_evidence(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 100.0, 0.5);
    for (int i = 0; i < 100; i++) {
        court_tick(&court);
    }
    court.traffic.counts.canary_count = 40;
    court.traffic.counts.canary_failed = 40;
    struct judge_result before = court.judge.result;
    struct judge_result after = judge_check(&court.judge, court.now_ms, &court.traffic.counts);
    assert_int_equal(after.canary_count, before.canary_count);
    assert_true(court_until_breach(&court, 20.0) < 0.0);
}

static void rebase_takes_larger_counters_without_judging_them(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 100.0, 0.5);
    court_tick(&court);
    court.traffic.counts.canary_count += 100000;
    court.traffic.counts.canary_failed += 100000;
    judge_rebase(&court.judge);
    assert_true(court_until_breach(&court, 20.0) < 0.0);
}

static void one_burst_of_an_instant_is_no_breach(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 1000.0, 0.1);
    assert_true(court_until_breach(&court, 60.0) < 0.0);
    court.traffic.counts.canary_count += 500;
    court.traffic.counts.canary_failed += 500;
    assert_true(court_until_breach(&court, 30.0) < 0.0);
}

static void backward_clock_harms_nobody(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 100.0, 0.2);
    for (int i = 0; i < 600; i++) {
        court_tick(&court);
    }
    court.now_ms -= 30000;
    assert_true(court_until_breach(&court, 60.0) < 0.0);
    assert_true(isfinite(court.judge.result.log_absolute));
}

static void excursion_begins_with_the_trouble(void **state)
{
    (void)state;
    /* Given ten minutes with a failure now and then, when the canary breaks, then the excursion
     * dates the first failure to when it broke, or to a stray failure just before, and counts all
     * since. */
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct court court;
        court_open(&court, seed, 100.0, 0.1);
        court.traffic.stable.fail_ratio = 0.005;
        court.traffic.canary.fail_ratio = 0.005;
        court.traffic.rescued = 1.0;
        assert_true(court_until_breach(&court, 600.0) < 0.0);
        int64_t broke_ms = court.now_ms;
        uint64_t failed_before = court.traffic.counts.canary_failed;
        court.traffic.canary.fail_ratio = 0.6;
        assert_true(court_until_breach(&court, 20.0) > 0.0);
        struct judge_excursion excursion = judge_excursion(&court.judge, court.judge.result.reason);
        double failed = (double)(court.traffic.counts.canary_failed - failed_before);
        assert_true(excursion.has_failure);
        assert_true(excursion.first_failure_ms >= broke_ms - 10000);
        assert_true(excursion.first_failure_ms <= broke_ms + 1500);
        assert_true(excursion.counts.canary_failed >= failed);
        assert_true(excursion.counts.canary_failed <= failed + 4.0);
        assert_true(excursion.counts.client_bad == 0.0);
    }
}

/* A machine that is late with its check: the canary broke in the middle of what that saw. */
static void successes_from_before_the_trouble_do_not_hide_its_ratio(void **state)
{
    (void)state;
    struct judge judge;
    struct judge_counts counts = {0};
    judge_init(&judge, &JUDGE_CONFIG_DEFAULT);
    for (int64_t now_ms = 0; now_ms < 10000; now_ms += TICK_MS) {
        counts.canary_count += 4;
        counts.stable_count += 36;
        judge_check(&judge, now_ms, &counts);
    }
    counts.canary_count += 19;
    counts.canary_failed += 2;
    counts.stable_count += 180;
    judge_check(&judge, 10400, &counts);
    int64_t now_ms = 10400;
    while (!judge.is_latched && now_ms < 20000) {
        now_ms += TICK_MS;
        counts.canary_count += 2;
        counts.canary_failed += 2;
        counts.stable_count += 18;
        judge_check(&judge, now_ms, &counts);
    }
    struct judge_excursion excursion = judge_excursion(&judge, judge.result.reason);
    assert_true(judge.is_latched);
    assert_true(excursion.counts.canary_failed < 0.5 * excursion.counts.canary_count);
    assert_true(excursion.later.canary_count >= 3.0);
    assert_true(excursion.later.canary_failed == excursion.later.canary_count);
    assert_true(judge_excursion_has_ratio(&excursion, 1.0));
}

/* Of two requests nothing follows; of three it does. */
static void ratio_is_that_of_enough_requests(void **state)
{
    (void)state;
    struct judge_excursion excursion = {
        .counts = {.canary_count = 10.0, .canary_failed = 4.0},
        .later = {.canary_count = 2.0, .canary_failed = 2.0},
    };
    assert_false(judge_excursion_has_ratio(&excursion, 0.5));
    excursion.later = (struct judge_tally){.canary_count = 3.0, .canary_failed = 2.0};
    assert_true(judge_excursion_has_ratio(&excursion, 0.5));
    excursion.later.canary_failed = 1.0;
    assert_false(judge_excursion_has_ratio(&excursion, 0.5));
    assert_true(judge_excursion_has_ratio(&excursion, 0.4));
    excursion = (struct judge_excursion){.has_failure = false};
    assert_false(judge_excursion_has_ratio(&excursion, 0.01));
}

/* Twice such a limit is no ratio. */
static void trouble_of_stable_is_seen_at_any_limit(void **state)
{
    (void)state;
    static const double limits[] = {0.05, 0.34, 0.5, 0.9};
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        struct judge_config config = JUDGE_CONFIG_DEFAULT;
        struct judge judge;
        struct judge_counts counts = {0};
        config.limit = limits[i];
        judge_init(&judge, &config);
        for (int64_t now_ms = 0; now_ms < 20000; now_ms += TICK_MS) {
            judge_check(&judge, now_ms, &counts);
            counts.stable_count += 10;
        }
        assert_false(judge.has_trouble);
        for (int64_t now_ms = 20000; now_ms < 40000; now_ms += TICK_MS) {
            counts.stable_count += 10;
            counts.stable_failed += 10;
            judge_check(&judge, now_ms, &counts);
        }
        assert_true(judge.has_trouble);
    }
}

static void sentence_tells_the_numbers_of_the_decision(void **state)
{
    (void)state;
    struct court court;
    court_open(&court, 1, 1000.0, 0.1);
    court.traffic.canary.fail_ratio = 0.15;
    assert_true(court_until_breach(&court, 20.0) > 0.0);
    struct note at_breach;
    judge_sentence(&court.judge, &at_breach);
    assert_non_null(strstr(at_breach.text, "canary "));
    assert_non_null(strstr(at_breach.text, "requests failed ("));
    assert_non_null(strstr(at_breach.text, "limit 5 %, stable 0 of "));
    assert_non_null(strstr(at_breach.text, " needed"));
    /* ... and goes on telling them while the latch holds. */
    for (int i = 0; i < 50; i++) {
        court_tick(&court);
    }
    struct note later;
    judge_sentence(&court.judge, &later);
    assert_string_equal(at_breach.text, later.text);
}

static void numbers_are_written_for_people(void **state)
{
    (void)state;
    char text[JUDGE_COUNT_TEXT_SIZE];
    const struct {
        double count;
        const char *text;
    } counts[] = {{0, "0"},
                  {999, "999"},
                  {1620, "1,620"},
                  {1234567, "1,234,567"},
                  {1e30, "1,000,000,000,000,000,000"}};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        judge_count_text(counts[i].count, text);
        assert_string_equal(counts[i].text, text);
    }
    const struct {
        double ratio;
        const char *text;
    } percents[] = {{0, "0 %"},         {0.05, "5 %"},  {0.128, "12.8 %"},
                    {0.0025, "0.25 %"}, {1.0, "100 %"}, {0.1, "10 %"}};
    for (size_t i = 0; i < COUNT_OF(percents); i++) {
        judge_percent_text(percents[i].ratio, text);
        assert_string_equal(percents[i].text, text);
    }
}

static void names_are_those_of_the_api(void **state)
{
    (void)state;
    assert_string_equal(judge_verdict_name(JUDGE_INSUFFICIENT_DATA), "insufficient_data");
    assert_string_equal(judge_verdict_name(JUDGE_HEALTHY), "healthy");
    assert_string_equal(judge_reason_name(JUDGE_REASON_SHARED_OUTAGE), "shared_outage");
    assert_string_equal(judge_reason_name(JUDGE_REASON_HEALTH), "health");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breach_within_seconds_when_all_canary_requests_fail),
        cmocka_unit_test(slight_breach_is_found_in_a_minute),
        cmocka_unit_test(healthy_canary_is_never_rolled_back),
        cmocka_unit_test(refused_connections_are_the_fast_path),
        cmocka_unit_test(shared_outage_is_suspicious_and_rolls_nothing_back),
        cmocka_unit_test(slow_canary_is_a_latency_breach),
        cmocka_unit_test(canary_that_lost_its_files_is_a_relative_breach_of_404s),
        cmocka_unit_test(more_404s_below_the_limit_only_hold_the_weight),
        cmocka_unit_test(as_many_404s_as_stable_are_no_evidence_however_many),
        cmocka_unit_test(files_that_both_lost_for_a_while_roll_nothing_back),
        cmocka_unit_test(not_found_is_good_unless_it_is_judged),
        cmocka_unit_test(shares_of_all_tests_sum_to_one),
        cmocka_unit_test(silence_is_no_verdict),
        cmocka_unit_test(clean_canary_becomes_healthy),
        cmocka_unit_test(changing_the_weight_takes_promotion_back),
        cmocka_unit_test(breach_is_latched_until_the_next_start),
        cmocka_unit_test(counters_that_start_over_are_no_evidence),
        cmocka_unit_test(rebase_takes_larger_counters_without_judging_them),
        cmocka_unit_test(one_burst_of_an_instant_is_no_breach),
        cmocka_unit_test(backward_clock_harms_nobody),
        cmocka_unit_test(excursion_begins_with_the_trouble),
        cmocka_unit_test(successes_from_before_the_trouble_do_not_hide_its_ratio),
        cmocka_unit_test(ratio_is_that_of_enough_requests),
        cmocka_unit_test(trouble_of_stable_is_seen_at_any_limit),
        cmocka_unit_test(sentence_tells_the_numbers_of_the_decision),
        cmocka_unit_test(numbers_are_written_for_people),
        cmocka_unit_test(names_are_those_of_the_api),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
