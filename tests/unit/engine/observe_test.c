/* Policies that look on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/engine/engine.h"
#include "canary/engine/observe.h"
#include "proxy/base/check.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/traffic.h"

enum { TICK_MS = 100 };

static struct observe_policy policy(const char *name, double limit)
{
    CHECK(strlen(name) <= OBSERVE_NAME_MAX);
    struct observe_policy made = {.judge = JUDGE_CONFIG_DEFAULT, .instant_above = 0.5};
    (void)snprintf(made.name, sizeof made.name, "%s", name);
    made.judge.limit = limit;
    made.judge.relative = JUDGE_RELATIVE_OFF;
    return made;
}

struct play {
    struct observe observe;
    struct traffic traffic;
    int64_t now_ms;
};

static void open_play(struct play *play, const struct observe_policy *policies, size_t count)
{
    *play = (struct play){.now_ms = 1000};
    observe_init(&play->observe);
    assert_int_equal(observe_configure(&play->observe, policies, count), OK);
    traffic_init(&play->traffic, 7, 100.0, 0.5);
    observe_look(&play->observe, play->now_ms, 0, &play->traffic.counts);
}

static void run(struct play *play, double seconds)
{
    for (int i = 0; i < (int)(seconds * 10.0); i++) {
        play->now_ms += TICK_MS;
        traffic_tick(&play->traffic, 0.1);
        observe_look(&play->observe, play->now_ms, 1000 * play->now_ms, &play->traffic.counts);
    }
}

static void strict_policy_breaches_where_a_lax_one_does_not(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("strict", 0.02), policy("lax", 0.4)};
    struct play play;
    open_play(&play, policies, 2);
    play.traffic.canary.fail_ratio = 0.2;
    play.traffic.rescued = 0.5;
    run(&play, 60);
    const struct observed *strict = &play.observe.list[0];
    const struct observed *lax = &play.observe.list[1];
    assert_true(strict->has_breached);
    assert_int_equal(observed_verdict(strict), JUDGE_BREACH);
    assert_int_equal(strict->breach.reason, JUDGE_REASON_ABSOLUTE);
    assert_false(strict->breach.is_instant);
    assert_true(strict->breach.after_s > 0 && strict->breach.after_s < 60);
    assert_true(strict->breach.failed > 0 && strict->breach.failed < 200);
    assert_true(strict->breach.client_bad > 0 && strict->breach.client_bad < strict->breach.failed);
    assert_true(strict->breach.bad_per_s > 1 && strict->breach.bad_per_s < 20);
    assert_int_equal(strict->breach.wall_us, 1000 * strict->breach.at_ms);
    assert_false(lax->has_breached);
    observe_finish(&play.observe);
}

static void breach_is_news_once_and_keeps_its_numbers(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("strict", 0.02)};
    struct play play;
    open_play(&play, policies, 1);
    play.traffic.canary.fail_ratio = 1.0;
    run(&play, 10);
    struct observed *strict = &play.observe.list[0];
    assert_true(strict->is_news);
    assert_true(strict->breach.is_instant);
    struct observe_breach breach = strict->breach;
    strict->is_news = false;
    run(&play, 10);
    assert_false(strict->is_news);
    assert_memory_equal(&strict->breach, &breach, sizeof breach);
    observe_finish(&play.observe);
}

static void start_counts_anew_and_lets_a_breach_go(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("strict", 0.02)};
    struct play play;
    open_play(&play, policies, 1);
    play.traffic.canary.fail_ratio = 1.0;
    run(&play, 10);
    assert_true(play.observe.list[0].has_breached);
    play.traffic.canary.fail_ratio = 0.0;
    observe_start(&play.observe, play.now_ms);
    assert_false(play.observe.list[0].has_breached);
    assert_true(observed_tally(&play.observe.list[0]).canary_failed == 0.0);
    run(&play, 60);
    assert_int_equal(observed_verdict(&play.observe.list[0]), JUDGE_HEALTHY);
    observe_finish(&play.observe);
}

static void policy_without_latency_does_not_see_it(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("errors", 0.05), policy("all", 0.05)};
    policies[1].is_latency_judged = true;
    struct play play;
    open_play(&play, policies, 2);
    play.traffic.canary.latency_us = 80000;
    play.traffic.stable.latency_us = 10000;
    run(&play, 120);
    assert_false(play.observe.list[0].has_breached);
    assert_true(play.observe.list[1].has_breached);
    assert_int_equal(play.observe.list[1].breach.reason, JUDGE_REASON_LATENCY);
    observe_finish(&play.observe);
}

/* The same numbers, the same counts at the same times: what an observer finds is what the judge
 * that acts would have found. */
static void observer_finds_what_the_acting_judge_finds(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct engine engine;
    engine_init(&engine, &config, 500000, false);
    struct observe_policy same = {.judge = config.judge, .is_latency_judged = true};
    struct play play;
    open_play(&play, &same, 1);
    judge_init(&play.observe.list[0].judge, &config.judge);
    play.traffic.canary.fail_ratio = 0.12;
    int64_t breached_ms = 0;
    struct engine_told told = engine.told;
    for (int i = 0; i < 1200; i++) {
        play.now_ms += TICK_MS;
        traffic_tick(&play.traffic, 0.1);
        struct engine_input input = {.wall_us = 1, .counts = play.traffic.counts, .record_id = "r"};
        input.endpoints =
            (struct tripwire_input){.canary_endpoints = 1, .canary_live = 1, .stable_live = 1};
        struct rollout_actions actions;
        engine_tick(&engine, &input, (uint64_t)play.now_ms * 1000, &actions);
        observe_look(&play.observe, play.now_ms, 0, &play.traffic.counts);
        if (engine.judge.is_latched && breached_ms == 0) {
            breached_ms = play.now_ms;
        }
        if (engine.told.stepped != told.stepped) {
            observe_step(&play.observe, play.now_ms);
        }
        told = engine.told;
    }
    assert_true(breached_ms > 0);
    assert_true(play.observe.list[0].has_breached);
    assert_int_equal(play.observe.list[0].breach.at_ms, breached_ms);
    observe_finish(&play.observe);
}

static void other_numbers_begin_anew_the_same_go_on(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("one", 0.02), policy("two", 0.02)};
    struct play play;
    open_play(&play, policies, 2);
    play.traffic.canary.fail_ratio = 1.0;
    run(&play, 10);
    struct observe_policy after[] = {policy("two", 0.02), policy("one", 0.03),
                                     policy("three", 0.02)};
    assert_int_equal(observe_configure(&play.observe, after, 3), OK);
    assert_true(play.observe.list[0].has_breached);
    assert_false(play.observe.list[1].has_breached);
    assert_false(play.observe.list[2].has_breached);
    assert_int_equal(observe_configure(&play.observe, NULL, 0), OK);
    assert_int_equal(play.observe.count, 0);
    observe_look(&play.observe, play.now_ms, 0, &play.traffic.counts);
    observe_finish(&play.observe);
}

static void other_counters_are_only_a_base(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("strict", 0.02)};
    struct play play;
    open_play(&play, policies, 1);
    run(&play, 5);
    observe_rebase(&play.observe);
    play.traffic.counts.canary_count += 1000;
    play.traffic.counts.canary_failed += 1000;
    run(&play, 5);
    assert_false(play.observe.list[0].has_breached);
    observe_finish(&play.observe);
}

static void without_memory_they_stay_as_they_were(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("strict", 0.02)};
    struct observe_policy more[] = {policy("strict", 0.02), policy("lax", 0.4)};
    struct play play;
    open_play(&play, policies, 1);
    assert_true(alloc_fail_begin(0));
    enum err err = observe_configure(&play.observe, more, 2);
    assert_true(alloc_fail_end());
    assert_int_equal(err, ERR_NOMEM);
    assert_int_equal(play.observe.count, 1);
    assert_string_equal(play.observe.list[0].policy.name, "strict");
    observe_finish(&play.observe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_policy_breaches_where_a_lax_one_does_not),
        cmocka_unit_test(breach_is_news_once_and_keeps_its_numbers),
        cmocka_unit_test(start_counts_anew_and_lets_a_breach_go),
        cmocka_unit_test(policy_without_latency_does_not_see_it),
        cmocka_unit_test(observer_finds_what_the_acting_judge_finds),
        cmocka_unit_test(other_numbers_begin_anew_the_same_go_on),
        cmocka_unit_test(other_counters_are_only_a_base),
        cmocka_unit_test(without_memory_they_stay_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
