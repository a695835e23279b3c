/* Rollbacks that are to be told: journalled first, asked again, ended once. A provider of the
 * test's own says what it is told to say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/platform/teller.h"

enum { SECOND_US = 1000000 };

struct platform_call {
    platform_on_done *on_done;
    void *context;
};

/* One question at a time, answered by the test. */
struct fake {
    struct provider provider; /* first */
    struct platform_call call;
    bool is_asked;
    int asked;
    char target[64];
    char expected[64];
    char record[128];
    int cancelled;
    void (*on_closed)(void *context);
    void *closed_context;
};

struct bench {
    struct teller *teller;
    struct fake fakes[2];
    char kept[64]; /* whose body the journal has */
    char body[1024];
    int journalled;
    int failed;
    uint64_t next_ms;
    int ended;
    enum teller_outcome outcome;
    char rollback[64];
    int closed;
};

static enum err fake_start(struct provider *provider, const struct platform_ask *ask,
                           platform_on_done *on_done, void *context,
                           struct platform_call **ret_call)
{
    struct fake *fake = (struct fake *)(void *)provider;
    assert_false(fake->is_asked);
    assert_int_equal(ask->operation, PLATFORM_ROLL_BACK);
    fake->is_asked = true;
    fake->asked++;
    fake->call = (struct platform_call){on_done, context};
    (void)snprintf(fake->target, sizeof fake->target, "%s", ask->target);
    (void)snprintf(fake->expected, sizeof fake->expected, "%s", ask->expect_current);
    (void)snprintf(fake->record, sizeof fake->record, "%.*s", BYTES_ARGS(ask->record));
    *ret_call = &fake->call;
    return OK;
}

static void fake_say(struct fake *fake, enum platform_result result, const char *live,
                     uint64_t retry_after_ms)
{
    struct platform_deployment deployment = {.environment = "production"};
    assert_true(fake->is_asked);
    fake->is_asked = false;
    platform_text_copy(deployment.id, sizeof deployment.id, live);
    fake->call.on_done(fake->call.context,
                       &(struct platform_answer){.result = result,
                                                 .text = "as it was said",
                                                 .live = live != NULL ? &deployment : NULL,
                                                 .retry_after_ms = retry_after_ms});
}

static void fake_cancel(struct platform_call *call)
{
    struct fake *fake = (struct fake *)(void *)((char *)call - offsetof(struct fake, call));
    fake->cancelled++;
}

static void fake_close(struct provider *provider, void (*on_closed)(void *context), void *context)
{
    struct fake *fake = (struct fake *)(void *)provider;
    if (fake->is_asked) {
        fake_say(fake, PLATFORM_CANCELLED, NULL, 0);
    }
    on_closed(context);
}

static const struct provider_ops fake_ops = {
    .name = "fake", .start = fake_start, .cancel = fake_cancel, .close = fake_close};

static void on_journal(void *context, const char *rollback, const char *body)
{
    struct bench *bench = context;
    bench->journalled++;
    (void)snprintf(bench->kept, sizeof bench->kept, "%s", body != NULL ? rollback : "");
    (void)snprintf(bench->body, sizeof bench->body, "%s", body != NULL ? body : "");
}

static void on_failed(void *context, const struct teller_facts *facts, const char *text,
                      uint64_t next_ms)
{
    struct bench *bench = context;
    (void)facts;
    (void)text;
    bench->failed++;
    bench->next_ms = next_ms;
}

static void on_ended(void *context, const struct teller_facts *facts, enum teller_outcome outcome,
                     const char *text)
{
    struct bench *bench = context;
    (void)text;
    if (strcmp(bench->kept, facts->rollback) == 0) {
        bench->kept[0] = '\0';
    }
    bench->ended++;
    bench->outcome = outcome;
    (void)snprintf(bench->rollback, sizeof bench->rollback, "%s", facts->rollback);
}

static void on_closed(void *context)
{
    struct bench *bench = context;
    bench->closed++;
}

static const struct teller_ops ops = {on_journal, on_failed, on_ended};
static const struct teller_facts facts = {.rollback = "rb-1",
                                          .service = "shop",
                                          .deployment = "bad",
                                          .current = "bad-0001",
                                          .target = "good-001",
                                          .reason = "it hurts",
                                          .record = "{\"id\":\"rb-1\"}",
                                          .first_bad_us = 5};

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    bench->fakes[0].provider.ops = &fake_ops;
    bench->fakes[1].provider.ops = &fake_ops;
    struct teller_options options = {.ops = &ops, .context = bench, .pause_ms = 1000};
    assert_int_equal(teller_create(&options, &bench->teller), OK);
    assert_int_equal(teller_seat(bench->teller, "shop", &bench->fakes[0].provider, NULL), OK);
    teller_sweep(bench->teller);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    teller_close(bench->teller, on_closed, bench);
    assert_int_equal(bench->closed, 1);
    free(bench);
    return 0;
}

static void nothing_is_asked_before_the_journal_has_it(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(teller_begin(bench->teller, &facts), OK);
    assert_string_equal(bench->kept, "rb-1");
    teller_tick(bench->teller, SECOND_US);
    assert_int_equal(bench->fakes[0].asked, 0);
    teller_written(bench->teller, "rb-1");
    teller_tick(bench->teller, SECOND_US);
    assert_int_equal(bench->fakes[0].asked, 1);
    assert_string_equal(bench->fakes[0].target, "good-001");
    assert_string_equal(bench->fakes[0].expected, "bad-0001");
    assert_string_equal(bench->fakes[0].record, "{\"id\":\"rb-1\"}");
    fake_say(&bench->fakes[0], PLATFORM_DONE, "bad-0001", 0);
    assert_int_equal(bench->ended, 1);
    assert_int_equal(bench->outcome, TELLER_ACKNOWLEDGED);
    assert_string_equal(bench->kept, "");
    assert_false(teller_knows(bench->teller, "rb-1"));
}

static void begin_and_ask(struct bench *bench)
{
    assert_int_equal(teller_begin(bench->teller, &facts), OK);
    teller_written(bench->teller, "rb-1");
    teller_tick(bench->teller, SECOND_US);
}

static void failures_are_asked_again_with_growing_pauses(void **state)
{
    struct bench *bench = *state;
    static const enum platform_result results[] = {PLATFORM_FAILED, PLATFORM_DENIED,
                                                   PLATFORM_TIMED_OUT, PLATFORM_REFUSED};
    uint64_t now_us = SECOND_US;
    uint64_t before_ms = 0;
    begin_and_ask(bench);
    for (int i = 0; i < 4; i++) {
        fake_say(&bench->fakes[0], results[i], "bad-0001", 0);
        assert_int_equal(bench->failed, i + 1);
        assert_true(bench->next_ms > before_ms);
        assert_non_null(teller_condition(bench->teller));
        before_ms = bench->next_ms;
        teller_tick(bench->teller, now_us + bench->next_ms * 1000 - 1);
        assert_int_equal(bench->fakes[0].asked, i + 1);
        now_us += bench->next_ms * 1000;
        teller_tick(bench->teller, now_us);
        assert_int_equal(bench->fakes[0].asked, i + 2);
    }
    fake_say(&bench->fakes[0], PLATFORM_RATE_LIMITED, NULL, 250000);
    assert_int_equal(bench->next_ms, 250000);
    teller_tick(bench->teller, now_us + 250 * (uint64_t)SECOND_US);
    /* Something of ours may have arrived: what is live now is its doing. */
    fake_say(&bench->fakes[0], PLATFORM_ALREADY, "good-001", 0);
    assert_int_equal(bench->outcome, TELLER_ACKNOWLEDGED);
    assert_null(teller_condition(bench->teller));
}

static void platform_that_is_down_for_an_hour_is_asked_until_it_is_back(void **state)
{
    struct bench *bench = *state;
    uint64_t now_us = SECOND_US;
    begin_and_ask(bench);
    while (now_us < 3600 * (uint64_t)SECOND_US) {
        fake_say(&bench->fakes[0], PLATFORM_FAILED, NULL, 0);
        assert_non_null(teller_condition(bench->teller));
        assert_true(bench->next_ms <= TELLER_PAUSE_MAX_MS);
        now_us += bench->next_ms * 1000;
        teller_tick(bench->teller, now_us);
    }
    assert_true(bench->failed >= 12); /* never longer than five minutes without a try, */
    assert_true(bench->failed <= 60); /* ... and no storm */
    assert_int_equal(bench->ended, 0);
    fake_say(&bench->fakes[0], PLATFORM_DONE, "good-001", 0);
    assert_int_equal(bench->outcome, TELLER_ACKNOWLEDGED);
    assert_null(teller_condition(bench->teller));
}

static void another_live_deployment_needs_nothing(void **state)
{
    static const enum platform_result results[] = {PLATFORM_REFUSED, PLATFORM_ALREADY};
    static const char *const live[] = {"other-01", "good-001"};
    struct bench *bench = *state;
    for (int i = 0; i < 2; i++) {
        begin_and_ask(bench);
        fake_say(&bench->fakes[0], results[i], live[i], 0);
        assert_int_equal(bench->ended, i + 1);
        assert_int_equal(bench->outcome, TELLER_NOT_NEEDED);
    }
}

static void restart_goes_on_from_the_journal(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(teller_begin(bench->teller, &facts), OK);
    char body[1024];
    (void)snprintf(body, sizeof body, "%s", bench->body);
    teller_close(bench->teller, on_closed, bench);
    struct teller_options options = {.ops = &ops, .context = bench};
    assert_int_equal(teller_create(&options, &bench->teller), OK);
    bench->closed = 0;
    assert_int_equal(teller_seat(bench->teller, "shop", &bench->fakes[1].provider, NULL), OK);
    teller_restore(bench->teller, "rb-1", body);
    teller_restore(bench->teller, "rb-9", "no JSON");
    assert_string_equal(bench->kept, "");
    assert_true(teller_has_untried(bench->teller));
    teller_tick(bench->teller, SECOND_US);
    assert_string_equal(bench->fakes[1].target, "good-001");
    assert_string_equal(bench->fakes[1].record, "{\"id\":\"rb-1\"}");
    fake_say(&bench->fakes[1], PLATFORM_ALREADY, "good-001", 0);
    assert_int_equal(bench->outcome, TELLER_ACKNOWLEDGED);
    assert_false(teller_has_untried(bench->teller));
}

static void journal_that_is_lost_is_written_again(void **state)
{
    struct bench *bench = *state;
    char body[1024];
    assert_int_equal(teller_write_again(bench->teller, on_journal, bench), OK);
    assert_int_equal(bench->journalled, 0);
    begin_and_ask(bench);
    (void)snprintf(body, sizeof body, "%s", bench->body);
    on_journal(bench, "rb-1", NULL);
    assert_int_equal(teller_write_again(bench->teller, on_journal, bench), OK);
    assert_string_equal(bench->kept, "rb-1");
    assert_string_equal(bench->body, body);
    teller_drop(bench->teller, "shop", "bad"); /* while it is asked */
    on_journal(bench, "rb-1", NULL);
    assert_int_equal(teller_write_again(bench->teller, on_journal, bench), OK);
    assert_string_equal(bench->kept, "");
    fake_say(&bench->fakes[0], PLATFORM_CANCELLED, NULL, 0);
}

/* The old provider may have been heard before it was cancelled: that the target is live is due to
 * it. */
static void what_a_cancelled_call_may_have_done_is_acknowledged(void **state)
{
    struct bench *bench = *state;
    begin_and_ask(bench);
    fake_say(&bench->fakes[0], PLATFORM_CANCELLED, NULL, 0);
    assert_int_equal(teller_seat(bench->teller, "shop", &bench->fakes[1].provider, NULL), OK);
    teller_tick(bench->teller, 2 * SECOND_US);
    fake_say(&bench->fakes[1], PLATFORM_ALREADY, "good-001", 0);
    assert_int_equal(bench->outcome, TELLER_ACKNOWLEDGED);
}

static void another_provider_is_asked_what_the_old_one_was(void **state)
{
    struct bench *bench = *state;
    begin_and_ask(bench);
    assert_int_equal(teller_seat(bench->teller, "shop", &bench->fakes[1].provider, NULL), OK);
    teller_sweep(bench->teller);
    assert_int_equal(bench->ended + bench->failed, 0);
    teller_tick(bench->teller, 2 * SECOND_US);
    assert_int_equal(bench->fakes[1].asked, 1);
    fake_say(&bench->fakes[1], PLATFORM_DONE, "bad-0001", 0);
    assert_int_equal(bench->outcome, TELLER_ACKNOWLEDGED);
}

static void provider_that_cannot_be_made_is_a_condition(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(teller_seat(bench->teller, "shop", NULL, "there is no token"), OK);
    assert_non_null(strstr(teller_condition(bench->teller), "there is no token"));
    begin_and_ask(bench);
    assert_int_equal(bench->failed, 1);
    assert_int_equal(bench->ended, 0);
}

static void given_up_while_asked_is_told_once(void **state)
{
    struct bench *bench = *state;
    begin_and_ask(bench);
    teller_drop(bench->teller, "shop", "another");
    assert_int_equal(bench->ended, 0);
    teller_drop(bench->teller, "shop", "bad");
    assert_int_equal(bench->outcome, TELLER_GIVEN_UP);
    assert_int_equal(bench->fakes[0].cancelled, 1);
    teller_drop(bench->teller, "shop", "bad");
    fake_say(&bench->fakes[0], PLATFORM_DONE, "bad-0001", 0);
    assert_int_equal(bench->ended, 1);
}

/* A platform that looks before it acts finds another one live; a command would take that one back.
 */
static void another_deployment_ends_the_tasks_of_a_blind_platform_only(void **state)
{
    static const struct provider_ops blind_ops = {"blind", fake_start, fake_cancel, fake_close,
                                                  true};
    struct bench *bench = *state;
    begin_and_ask(bench);
    fake_say(&bench->fakes[0], PLATFORM_FAILED, NULL, 0);
    teller_overtake(bench->teller, "shop");
    assert_int_equal(bench->ended, 0);
    bench->fakes[1].provider.ops = &blind_ops;
    assert_int_equal(teller_seat(bench->teller, "shop", &bench->fakes[1].provider, NULL), OK);
    teller_overtake(bench->teller, "another");
    assert_int_equal(bench->ended, 0);
    teller_overtake(bench->teller, "shop");
    assert_int_equal(bench->outcome, TELLER_GIVEN_UP);
    assert_string_equal(bench->kept, "");
    teller_tick(bench->teller, 3600 * (uint64_t)SECOND_US);
    assert_int_equal(bench->fakes[1].asked, 0);
}

static void service_without_a_platform_gives_up(void **state)
{
    struct bench *bench = *state;
    begin_and_ask(bench);
    fake_say(&bench->fakes[0], PLATFORM_FAILED, NULL, 0);
    teller_sweep(bench->teller);
    assert_int_equal(bench->outcome, TELLER_GIVEN_UP);
    assert_false(teller_has(bench->teller, "shop"));
    assert_null(teller_condition(bench->teller));
}

static void later_rollback_takes_the_place_of_an_earlier_one(void **state)
{
    struct bench *bench = *state;
    struct teller_facts later = facts;
    later.rollback = "rb-2";
    assert_int_equal(teller_begin(bench->teller, &facts), OK);
    assert_int_equal(teller_begin(bench->teller, &later), OK);
    assert_string_equal(bench->rollback, "rb-1");
    assert_int_equal(bench->outcome, TELLER_GIVEN_UP);
    assert_string_equal(bench->kept, "rb-2");
    assert_true(teller_knows(bench->teller, "rb-2"));
}

static void counts_outlive_their_providers(void **state)
{
    struct bench *bench = *state;
    const char *name = NULL;
    struct platform_counts counts;
    bench->fakes[0].provider.counts.requests[PLATFORM_LOOK][PLATFORM_DONE] = 3;
    bench->fakes[1].provider.counts.requests[PLATFORM_LOOK][PLATFORM_DONE] = 4;
    assert_int_equal(teller_seat(bench->teller, "shop", &bench->fakes[1].provider, NULL), OK);
    assert_true(teller_counts_at(bench->teller, 0, &name, &counts));
    assert_string_equal(name, "fake");
    assert_int_equal(counts.requests[PLATFORM_LOOK][PLATFORM_DONE], 7);
    assert_false(teller_counts_at(bench->teller, 1, &name, &counts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(nothing_is_asked_before_the_journal_has_it),
        TEST(failures_are_asked_again_with_growing_pauses),
        TEST(platform_that_is_down_for_an_hour_is_asked_until_it_is_back),
        TEST(another_live_deployment_needs_nothing),
        TEST(restart_goes_on_from_the_journal),
        TEST(journal_that_is_lost_is_written_again),
        TEST(what_a_cancelled_call_may_have_done_is_acknowledged),
        TEST(another_provider_is_asked_what_the_old_one_was),
        TEST(provider_that_cannot_be_made_is_a_condition),
        TEST(given_up_while_asked_is_told_once),
        TEST(another_deployment_ends_the_tasks_of_a_blind_platform_only),
        TEST(service_without_a_platform_gives_up),
        TEST(later_rollback_takes_the_place_of_an_earlier_one),
        TEST(counts_outlive_their_providers),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
