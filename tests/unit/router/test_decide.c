/* tests/unit/router/test_decide.c — who goes where, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "router/decide.h"

enum { ROLLOUT = 0xabc };

/* One worker's view of one service, and a request to it. */
struct play {
    struct decide_service service;
    struct decide_facts facts;
    struct split_accumulator accumulator;
    struct random random;
    struct bytes cookie;
};

static void play_init(struct play *play, uint32_t weight_ppm, enum sticky_by by)
{
    *play = (struct play){.service = {.weight_ppm = weight_ppm, .sticky = {by, ROLLOUT, {NULL, 0}}},
                          .facts = {.is_live = {true, true}}};
    split_accumulator_init(&play->accumulator, 0, 1);
    random_init(&play->random, 5);
}

static struct decision play_request(struct play *play, struct bytes cookie)
{
    play->cookie = cookie;
    play->facts.cookies = &play->cookie;
    play->facts.cookie_count = cookie.size > 0 ? 1 : 0;
    return decide(&play->service, &play->facts, &play->accumulator, &play->random);
}

static struct bytes cookie_of(uint32_t bucket, char text[64])
{
    int size = snprintf(text, 64, "theme=dark; serin=%016x.%u; x=y", ROLLOUT, bucket);
    return bytes_make(text, (size_t)size);
}

static void assert_decision(struct decision decision, enum role role, enum decide_reason reason,
                            bool is_judged)
{
    assert_string_equal(decide_reason_text(decision.reason), decide_reason_text(reason));
    assert_int_equal(decision.role, role);
    assert_int_equal(decision.is_judged, is_judged);
}

static void weight_decides_when_nothing_else_does(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 100000, STICKY_NONE);
    int canary_count = 0;
    for (int n = 0; n < 1000; n++) {
        struct decision decision = play_request(&play, BYTES(""));
        assert_decision(decision, decision.role, DECIDE_WEIGHT, true);
        assert_false(decision.sets_cookie);
        canary_count += decision.role == ROLE_CURRENT;
    }
    assert_int_equal(canary_count, 100);
}

static void new_client_gets_a_bucket_of_the_version_it_was_dealt(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 250000, STICKY_COOKIE);
    int canary_count = 0;
    for (int n = 0; n < 1000; n++) {
        struct decision decision = play_request(&play, BYTES("theme=dark"));
        assert_true(decision.sets_cookie);
        assert_int_equal(split_pick(250000, decision.bucket), decision.role);
        canary_count += decision.role == ROLE_CURRENT;
    }
    assert_int_equal(canary_count, 250);
}

static void cookie_is_given_only_while_both_versions_have_weight(void **state)
{
    (void)state;
    const uint32_t weights[] = {0, SPLIT_TOTAL};
    for (size_t i = 0; i < COUNT_OF(weights); i++) {
        struct play play;
        play_init(&play, weights[i], STICKY_COOKIE);
        struct decision decision = play_request(&play, BYTES(""));
        assert_decision(decision, i == 0 ? ROLE_PREVIOUS : ROLE_CURRENT, DECIDE_WEIGHT, true);
        assert_false(decision.sets_cookie);
    }
}

static void client_with_a_cookie_leaves_the_accumulator_alone(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 300000, STICKY_COOKIE);
    uint32_t before = play.accumulator.filled;
    char text[64];
    struct decision decision = play_request(&play, cookie_of(299999, text));
    assert_decision(decision, ROLE_CURRENT, DECIDE_STICKY, true);
    assert_int_equal(decision.bucket, 299999);
    assert_false(decision.sets_cookie);
    assert_decision(play_request(&play, cookie_of(300000, text)), ROLE_PREVIOUS, DECIDE_STICKY,
                    true);
    assert_int_equal(play.accumulator.filled, before);
}

static void cookie_of_another_rollout_is_none(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 500000, STICKY_COOKIE);
    struct decision decision = play_request(&play, BYTES("serin=0000000000000abd.1"));
    assert_int_equal(decision.reason, DECIDE_WEIGHT);
    assert_true(decision.sets_cookie);
}

static void own_cookie_is_found_behind_foreign_and_broken_ones(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 500000, STICKY_COOKIE);
    struct bytes fields[] = {BYTES("a=b"), BYTES("serin=0000000000000abd.1; serin=x; serin"),
                             BYTES("serin=\"0000000000000abc.3\"; serin=0000000000000abc.999999")};
    play.facts.cookies = fields;
    play.facts.cookie_count = COUNT_OF(fields);
    struct decision decision = decide(&play.service, &play.facts, &play.accumulator, &play.random);
    assert_decision(decision, ROLE_CURRENT, DECIDE_STICKY, true);
    assert_int_equal(decision.bucket, 3);
}

/* The version of one client under a way of being remembered; a new client keeps the cookie it is
 * given. */
static enum role role_of_client(struct play *play, uint32_t i, uint32_t *bucket)
{
    char text[64];
    const char address[4] = {10, 0, (char)(i >> 8), (char)i};
    int size = snprintf(text, sizeof text, "user-%u", i);
    play->facts.client_address = bytes_make(address, sizeof address);
    play->facts.sticky_header = bytes_make(text, (size_t)size);
    char cookie[64];
    bool is_known = play->service.sticky.by == STICKY_COOKIE && *bucket < SPLIT_TOTAL;
    struct decision decision =
        play_request(play, is_known ? cookie_of(*bucket, cookie) : BYTES(""));
    if (decision.sets_cookie) {
        *bucket = decision.bucket;
    }
    return decision.role;
}

static void canary_keeps_its_clients_when_weight_grows(void **state)
{
    (void)state;
    enum { CLIENTS = 500 };
    const uint32_t weights[] = {1000, 10000, 50000, 250000, 500000, 999999, SPLIT_TOTAL};
    const enum sticky_by ways[] = {STICKY_COOKIE, STICKY_CLIENT_IP, STICKY_HEADER};
    for (size_t way = 0; way < COUNT_OF(ways); way++) {
        struct play play;
        play_init(&play, 0, ways[way]);
        bool is_canary[CLIENTS] = {false};
        uint32_t buckets[CLIENTS];
        for (uint32_t i = 0; i < CLIENTS; i++) {
            buckets[i] = SPLIT_TOTAL;
        }
        for (size_t step = 0; step < COUNT_OF(weights); step++) {
            play.service.weight_ppm = weights[step];
            for (uint32_t i = 0; i < CLIENTS; i++) {
                bool is_now = role_of_client(&play, i, &buckets[i]) == ROLE_CURRENT;
                assert_true(is_now || !is_canary[i]);
                is_canary[i] = is_now;
            }
        }
        /* and when it shrinks, it only loses clients */
        for (size_t step = COUNT_OF(weights); step-- > 0;) {
            play.service.weight_ppm = weights[step];
            for (uint32_t i = 0; i < CLIENTS; i++) {
                bool is_now = role_of_client(&play, i, &buckets[i]) == ROLE_CURRENT;
                assert_true(!is_now || is_canary[i]);
                is_canary[i] = is_now;
            }
        }
    }
}

static void share_of_remembered_clients_is_the_weight(void **state)
{
    (void)state;
    enum { CLIENTS = 5000 };
    const enum sticky_by ways[] = {STICKY_CLIENT_IP, STICKY_HEADER};
    for (size_t way = 0; way < COUNT_OF(ways); way++) {
        struct play play;
        play_init(&play, 200000, ways[way]);
        uint32_t unknown = SPLIT_TOTAL;
        int canary_count = 0;
        for (uint32_t i = 0; i < CLIENTS; i++) {
            canary_count += role_of_client(&play, i, &unknown) == ROLE_CURRENT;
        }
        assert_in_range(canary_count, 880, 1120);
    }
}

static void client_without_its_header_is_dealt_and_gets_no_cookie(void **state)
{
    (void)state;
    const enum sticky_by ways[] = {STICKY_CLIENT_IP, STICKY_HEADER};
    for (size_t way = 0; way < COUNT_OF(ways); way++) {
        struct play play;
        play_init(&play, 500000, ways[way]);
        assert_int_equal(play_request(&play, BYTES("")).role, ROLE_CURRENT);
        struct decision decision = play_request(&play, BYTES("serin=0000000000000abc.0"));
        assert_decision(decision, ROLE_PREVIOUS, DECIDE_WEIGHT, true);
        assert_false(decision.sets_cookie);
    }
}

struct wish_case {
    const char *header;
    const char *cookie;
    enum wishes wishes;
    bool is_trusted;
    enum role role;
    enum decide_reason reason;
};

static void wishes_are_heard_by_precedence(void **state)
{
    (void)state;
    /* weight 0: without a wish it would be the previous version */
    const struct wish_case cases[] = {
        {"current", "", WISHES_OF_ALL, false, ROLE_CURRENT, DECIDE_OPT_IN},
        {"Current", "", WISHES_OF_ALL, false, ROLE_CURRENT, DECIDE_OPT_IN},
        {"previous", "", WISHES_OF_ALL, false, ROLE_PREVIOUS, DECIDE_OPT_OUT},
        {"", "serin-version=current", WISHES_OF_ALL, false, ROLE_CURRENT, DECIDE_OPT_IN},
        {"", "a=b; serin-version=\"current\"", WISHES_OF_ALL, false, ROLE_CURRENT, DECIDE_OPT_IN},
        {"previous", "serin-version=current", WISHES_OF_ALL, false, ROLE_PREVIOUS, DECIDE_OPT_OUT},
        {"newest", "serin-version=current", WISHES_OF_ALL, false, ROLE_CURRENT, DECIDE_OPT_IN},
        {"newest", "serin-version=newest", WISHES_OF_ALL, false, ROLE_PREVIOUS, DECIDE_WEIGHT},
        {"current, previous", "", WISHES_OF_ALL, false, ROLE_PREVIOUS, DECIDE_WEIGHT},
        {"", "serin-versions=current", WISHES_OF_ALL, false, ROLE_PREVIOUS, DECIDE_WEIGHT},
        {"current", "serin-version=current", WISHES_OF_NONE, true, ROLE_PREVIOUS, DECIDE_WEIGHT},
        {"current", "", WISHES_OF_TRUSTED, false, ROLE_PREVIOUS, DECIDE_WEIGHT},
        {"current", "", WISHES_OF_TRUSTED, true, ROLE_CURRENT, DECIDE_OPT_IN},
        {"", "serin-version=current", WISHES_OF_TRUSTED, false, ROLE_PREVIOUS, DECIDE_WEIGHT},
        {"", "serin-version=current", WISHES_OF_TRUSTED, true, ROLE_CURRENT, DECIDE_OPT_IN},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct play play;
        play_init(&play, 0, STICKY_COOKIE);
        play.service.wishes = cases[i].wishes;
        play.facts.is_trusted = cases[i].is_trusted;
        play.facts.version_header = bytes_of(cases[i].header);
        struct decision decision = play_request(&play, bytes_of(cases[i].cookie));
        assert_decision(decision, cases[i].role, cases[i].reason, cases[i].reason == DECIDE_WEIGHT);
        assert_false(decision.sets_cookie);
    }
}

static void wish_beats_the_bucket_and_leaves_the_accumulator_alone(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 500000, STICKY_COOKIE);
    uint32_t before = play.accumulator.filled;
    play.facts.version_header = BYTES("previous");
    char text[64];
    assert_decision(play_request(&play, cookie_of(0, text)), ROLE_PREVIOUS, DECIDE_OPT_OUT, false);
    assert_decision(play_request(&play, BYTES("")), ROLE_PREVIOUS, DECIDE_OPT_OUT, false);
    assert_int_equal(play.accumulator.filled, before);
}

static void wishes_are_not_heard_in_quarantine_or_containment(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct play play;
        play_init(&play, 0, STICKY_NONE);
        play.service.is_quarantined = i == 0;
        play.facts.is_contained = i == 1;
        play.facts.version_header = BYTES("current");
        assert_decision(play_request(&play, BYTES("serin-version=current")), ROLE_PREVIOUS,
                        DECIDE_WEIGHT, true);
    }
}

static void dead_version_gives_its_share_to_the_other(void **state)
{
    (void)state;
    for (int dead = 0; dead < ROLE_COUNT; dead++) {
        struct play play;
        play_init(&play, 500000, STICKY_COOKIE);
        uint32_t before = play.accumulator.filled;
        enum role live = role_other((enum role)dead);
        play.facts.is_live[dead] = false;
        char text[64];
        for (int n = 0; n < 10; n++) {
            struct decision decision = play_request(&play, BYTES(""));
            assert_decision(decision, live, DECIDE_ONLY_LIVE, true);
            assert_false(decision.sets_cookie);
        }
        /* clients of the dead version move, those of the live one stay as they were */
        uint32_t dead_bucket = dead == ROLE_CURRENT ? 1 : 999999;
        assert_decision(play_request(&play, cookie_of(dead_bucket, text)), live, DECIDE_ONLY_LIVE,
                        true);
        assert_decision(play_request(&play, cookie_of(1000000 - dead_bucket, text)), live,
                        DECIDE_STICKY, true);
        assert_int_equal(play.accumulator.filled, before);
    }
}

static void wish_for_a_dead_version_is_served_and_not_judged(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 500000, STICKY_NONE);
    play.facts.is_live[ROLE_CURRENT] = false;
    play.facts.version_header = BYTES("current");
    assert_decision(play_request(&play, BYTES("")), ROLE_PREVIOUS, DECIDE_ONLY_LIVE, false);
}

static void dead_canary_without_weight_changes_nothing(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 0, STICKY_COOKIE);
    play.facts.is_live[ROLE_CURRENT] = false;
    assert_decision(play_request(&play, BYTES("")), ROLE_PREVIOUS, DECIDE_WEIGHT, true);
    play_init(&play, SPLIT_TOTAL, STICKY_COOKIE);
    play.facts.is_live[ROLE_PREVIOUS] = false;
    assert_decision(play_request(&play, BYTES("")), ROLE_CURRENT, DECIDE_WEIGHT, true);
}

static void rolled_back_canary_takes_nothing_over(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 0, STICKY_NONE);
    play.facts.is_live[ROLE_PREVIOUS] = false;
    assert_decision(play_request(&play, BYTES("")), ROLE_CURRENT, DECIDE_ONLY_LIVE, true);
    play.service.is_quarantined = true;
    assert_decision(play_request(&play, BYTES("")), ROLE_PREVIOUS, DECIDE_NONE_LIVE, false);
    /* while the shift back is under way it still has weight, and is better than nothing */
    play.service.weight_ppm = 50000;
    assert_decision(play_request(&play, BYTES("")), ROLE_CURRENT, DECIDE_ONLY_LIVE, true);
}

static void nobody_answers_when_both_versions_are_dead(void **state)
{
    (void)state;
    struct play play;
    play_init(&play, 500000, STICKY_COOKIE);
    uint32_t before = play.accumulator.filled;
    play.facts.is_live[ROLE_CURRENT] = false;
    play.facts.is_live[ROLE_PREVIOUS] = false;
    char text[64];
    assert_decision(play_request(&play, BYTES("")), ROLE_PREVIOUS, DECIDE_NONE_LIVE, false);
    assert_decision(play_request(&play, cookie_of(0, text)), ROLE_CURRENT, DECIDE_NONE_LIVE, false);
    play.facts.version_header = BYTES("current");
    assert_decision(play_request(&play, BYTES("")), ROLE_CURRENT, DECIDE_NONE_LIVE, false);
    assert_int_equal(play.accumulator.filled, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_decides_when_nothing_else_does),
        cmocka_unit_test(new_client_gets_a_bucket_of_the_version_it_was_dealt),
        cmocka_unit_test(cookie_is_given_only_while_both_versions_have_weight),
        cmocka_unit_test(client_with_a_cookie_leaves_the_accumulator_alone),
        cmocka_unit_test(cookie_of_another_rollout_is_none),
        cmocka_unit_test(own_cookie_is_found_behind_foreign_and_broken_ones),
        cmocka_unit_test(canary_keeps_its_clients_when_weight_grows),
        cmocka_unit_test(share_of_remembered_clients_is_the_weight),
        cmocka_unit_test(client_without_its_header_is_dealt_and_gets_no_cookie),
        cmocka_unit_test(wishes_are_heard_by_precedence),
        cmocka_unit_test(wish_beats_the_bucket_and_leaves_the_accumulator_alone),
        cmocka_unit_test(wishes_are_not_heard_in_quarantine_or_containment),
        cmocka_unit_test(dead_version_gives_its_share_to_the_other),
        cmocka_unit_test(wish_for_a_dead_version_is_served_and_not_judged),
        cmocka_unit_test(dead_canary_without_weight_changes_nothing),
        cmocka_unit_test(rolled_back_canary_takes_nothing_over),
        cmocka_unit_test(nobody_answers_when_both_versions_are_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
