#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/upstream/prober.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/stub_origin.h"

#define WELL    BYTES("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
#define UNWELL  BYTES("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
#define ENDLESS BYTES("HTTP/1.1 200 OK\r\n\r\n")

enum { INTERVAL_US = 20 * 1000, PATIENT_US = 5 * 1000 * 1000, HASTY_US = 100 * 1000 };

static const struct framing_limits limits = {16 * 1024, 8 * 1024, 100};

struct bench {
    struct loop loop;
    struct stub_origin origin;
    struct prober *prober;
    struct endpoint *endpoint;
    struct conf_statuses statuses;
    struct conf_health health;
    unsigned changed_count;
    bool is_healthy; /* as last told */
    char reason[128];
    bool is_dropping; /* the callback takes the endpoint away */
    bool is_closed;
};

static void on_changed(void *context, struct endpoint *endpoint, bool is_healthy,
                       const char *reason)
{
    struct bench *bench = context;
    bench->changed_count++;
    bench->is_healthy = is_healthy;
    assert_ptr_equal(endpoint, bench->endpoint);
    assert_int_equal(endpoint_is_healthy(endpoint), is_healthy);
    (void)snprintf(bench->reason, sizeof bench->reason, "%s", reason);
    if (bench->is_dropping) {
        assert_int_equal(prober_set(bench->prober, NULL, 0), OK);
    }
}

static void set_up(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    assert_int_equal(loop_init(&bench->loop), OK);
    stub_origin_open(&bench->origin, &bench->loop);
    bench->origin.answer = WELL;
    assert_int_equal(endpoint_create(BYTES("origin:80"), 1, &bench->endpoint), OK);
    assert_int_equal(prober_create(&bench->loop, &limits, on_changed, bench, &bench->prober), OK);
    bench->statuses = (struct conf_statuses){200, 299};
    bench->health = (struct conf_health){
        .is_on = true,
        .path = "/healthz",
        .interval_us = INTERVAL_US,
        .timeout_us = PATIENT_US,
        .healthy = 2,
        .unhealthy = 3,
        .statuses = &bench->statuses,
        .status_count = 1,
    };
}

static void on_prober_closed(void *context)
{
    struct bench *bench = context;
    bench->is_closed = true;
}

static void tear_down(struct bench *bench)
{
    prober_close(bench->prober, on_prober_closed, bench);
    stub_origin_close(&bench->origin);
    loop_shutdown(&bench->loop);
    loop_run(&bench->loop);
    assert_true(bench->is_closed);
    assert_int_equal(bench->endpoint->reference_count, 1);
    endpoint_unref(bench->endpoint);
    loop_finish(&bench->loop);
}

static enum err set_addresses(struct bench *bench, const union address *addresses, size_t count)
{
    const struct prober_target target = {
        .endpoint = bench->endpoint,
        .authority = BYTES("shop.example:8080"),
        .addresses = addresses,
        .address_count = count,
        .health = &bench->health,
    };
    return prober_set(bench->prober, &target, 1);
}

static void set(struct bench *bench)
{
    assert_int_equal(set_addresses(bench, &bench->origin.address, 1), OK);
}

static struct prober_facts facts_of(const struct bench *bench)
{
    struct prober_facts facts;
    assert_true(prober_find(bench->prober, bench->endpoint, &facts));
    return facts;
}

static void run_until_changed(struct bench *bench, unsigned wanted)
{
    while (bench->changed_count < wanted) {
        (void)loop_turn(&bench->loop, true);
    }
}

static void run_until_probed(struct bench *bench, uint64_t wanted)
{
    while (facts_of(bench).probe_count < wanted) {
        (void)loop_turn(&bench->loop, true);
    }
}

static void endpoint_that_answers_stays_healthy(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);

    set(&bench);
    assert_true(endpoint_is_healthy(bench.endpoint));
    assert_false(facts_of(&bench).is_decided);
    run_until_probed(&bench, 2);

    struct prober_facts facts = facts_of(&bench);
    assert_true(facts.is_healthy);
    assert_true(facts.is_decided);
    assert_int_equal(facts.good_in_row, 2);
    assert_int_equal(facts.last_status, 200);
    assert_int_equal(bench.changed_count, 0);
    tear_down(&bench);
}

static void probe_says_who_it_is_and_closes(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);

    set(&bench);
    run_until_probed(&bench, 1);

    assert_non_null(strstr(bench.origin.request, "GET /healthz HTTP/1.1\r\n"));
    assert_non_null(strstr(bench.origin.request, "Host: shop.example:8080\r\n"));
    assert_non_null(strstr(bench.origin.request, "User-Agent: serin-health\r\n"));
    assert_non_null(strstr(bench.origin.request, "Connection: close\r\n"));
    while (bench.origin.open_count > 0) {
        (void)loop_turn(&bench.loop, true);
    }
    tear_down(&bench);
}

static void bad_answers_in_a_row_take_it_out_and_good_ones_bring_it_back(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.origin.answer = UNWELL;

    set(&bench);
    run_until_changed(&bench, 1);
    assert_false(bench.is_healthy);
    assert_int_equal(facts_of(&bench).bad_in_row, 3);
    assert_int_equal(facts_of(&bench).last_status, 503);
    assert_string_equal(
        bench.reason,
        "3 health checks in a row failed, the last with status 503 (status not accepted)");

    bench.origin.answer = WELL;
    run_until_changed(&bench, 2);
    assert_true(bench.is_healthy);
    assert_int_equal(facts_of(&bench).good_in_row, 2);
    tear_down(&bench);
}

static void one_bad_answer_among_good_ones_changes_nothing(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    set(&bench);
    for (uint64_t count = 1; count <= 8; count++) {
        bench.origin.answer = count % 3 == 0 ? WELL : UNWELL;
        run_until_probed(&bench, count);
    }
    assert_true(endpoint_is_healthy(bench.endpoint));
    assert_int_equal(bench.changed_count, 0);
    tear_down(&bench);
}

static void whatever_is_no_complete_answer_is_a_bad_one(void **state)
{
    (void)state;
    const struct {
        struct bytes answer;
        bool is_silent;
        const char *text;
    } cases[] = {
        {{NULL, 0}, false, "connection reset"},
        {{NULL, 0}, true, "timeout"},
        {BYTES("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nno"), false, "answer cut short"},
        {BYTES("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nno"), false,
         "malformed answer"},
        {BYTES("good morning\r\n\r\n"), false, "malformed answer"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bench bench;
        set_up(&bench);
        bench.origin.answer = cases[i].answer;
        bench.origin.is_silent = cases[i].is_silent;
        bench.health.timeout_us = cases[i].is_silent ? HASTY_US : PATIENT_US;
        bench.health.unhealthy = 1;

        set(&bench);
        run_until_changed(&bench, 1);

        assert_false(bench.is_healthy);
        assert_string_equal(facts_of(&bench).last_text, cases[i].text);
        tear_down(&bench);
    }
}

static void endpoint_nobody_listens_at_is_taken_out(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    union address dead = stub_origin_dead_address();

    assert_int_equal(set_addresses(&bench, &dead, 1), OK);
    run_until_changed(&bench, 1);

    assert_false(bench.is_healthy);
    assert_int_equal(facts_of(&bench).last_status, 0);
    assert_string_equal(
        bench.reason,
        "3 health checks in a row failed, the last without an answer (no connection)");
    tear_down(&bench);
}

static void next_address_is_asked_where_nobody_listens(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    union address addresses[] = {stub_origin_dead_address(), bench.origin.address};

    assert_int_equal(set_addresses(&bench, addresses, 2), OK);
    run_until_probed(&bench, 3);

    assert_int_equal(facts_of(&bench).good_in_row, 3);
    tear_down(&bench);
}

static void body_without_end_is_cut_and_the_status_counts(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.origin.answer = ENDLESS;
    bench.origin.is_endless = true;

    set(&bench);
    run_until_probed(&bench, 2);

    assert_int_equal(facts_of(&bench).good_in_row, 2);
    tear_down(&bench);
}

static void endpoint_is_never_probed_twice_at_once(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.origin.is_silent = true;
    bench.health.interval_us = 1000;
    bench.health.timeout_us = HASTY_US;

    set(&bench);
    run_until_probed(&bench, 3);

    /* The origin may see the end of one connection only after the start of the next. */
    assert_true(bench.origin.open_max <= 2);
    assert_in_range(bench.origin.request_count, 3, 4);
    tear_down(&bench);
}

static void endpoint_without_address_is_not_probed_until_it_has_one(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);

    assert_int_equal(set_addresses(&bench, NULL, 0), OK);
    (void)loop_turn(&bench.loop, false);
    assert_int_equal(facts_of(&bench).probe_count, 0);
    assert_string_equal(facts_of(&bench).last_text, "");

    set(&bench);
    run_until_probed(&bench, 1);
    assert_int_equal(set_addresses(&bench, NULL, 0), OK);
    tear_down(&bench);
}

static void endpoint_that_stays_keeps_its_health_and_counts(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.origin.answer = UNWELL;
    set(&bench);
    run_until_changed(&bench, 1);
    uint64_t probed = facts_of(&bench).probe_count;

    bench.health.path = "/other";
    bench.health.interval_us = 2 * INTERVAL_US;
    set(&bench);

    assert_int_equal(facts_of(&bench).probe_count, probed);
    assert_false(endpoint_is_healthy(bench.endpoint));
    while (strstr(bench.origin.request, "GET /other ") == NULL) {
        (void)loop_turn(&bench.loop, true);
    }
    tear_down(&bench);
}

static void endpoint_that_goes_is_healthy_again(void **state)
{
    (void)state;
    struct bench bench;
    struct prober_facts facts;
    set_up(&bench);
    bench.origin.answer = UNWELL;
    set(&bench);
    run_until_changed(&bench, 1);

    assert_int_equal(prober_set(bench.prober, NULL, 0), OK);

    assert_true(endpoint_is_healthy(bench.endpoint));
    assert_false(prober_find(bench.prober, bench.endpoint, &facts));
    assert_int_equal(bench.endpoint->reference_count, 1);
    tear_down(&bench);
}

static void endpoint_may_go_from_inside_the_callback(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.origin.answer = UNWELL;
    bench.is_dropping = true;

    set(&bench);
    run_until_changed(&bench, 1);

    assert_int_equal(bench.endpoint->reference_count, 1);
    tear_down(&bench);
}

static void endpoint_may_go_while_it_is_probed(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.origin.is_silent = true;
    set(&bench);
    while (bench.origin.request_count == 0) {
        (void)loop_turn(&bench.loop, true);
    }

    assert_int_equal(prober_set(bench.prober, NULL, 0), OK);

    while (bench.origin.open_count > 0) {
        (void)loop_turn(&bench.loop, true);
    }
    tear_down(&bench);
    assert_int_equal(bench.changed_count, 0);
}

static void close_ends_a_probe_under_way(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.origin.is_silent = true;
    set(&bench);
    while (bench.origin.request_count == 0) {
        (void)loop_turn(&bench.loop, true);
    }
    tear_down(&bench);
}

static struct prober_target target_of(const struct bench *bench, struct endpoint *endpoint,
                                      struct bytes authority, const struct conf_health *health)
{
    return (struct prober_target){.endpoint = endpoint,
                                  .authority = authority,
                                  .addresses = &bench->origin.address,
                                  .address_count = 1,
                                  .health = health};
}

static void of_doubles_the_first_counts(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    struct conf_health other = bench.health;
    other.path = "/second";
    const struct prober_target targets[] = {
        target_of(&bench, bench.endpoint, BYTES("a"), &bench.health),
        target_of(&bench, bench.endpoint, BYTES("b"), &other),
    };

    assert_int_equal(prober_set(bench.prober, targets, 2), OK);
    run_until_probed(&bench, 3);

    assert_non_null(strstr(bench.origin.request, "GET /healthz "));
    tear_down(&bench);
}

/* ---- bodies ---- */

static void body_must_contain_what_is_looked_for(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.health.contains = "k";
    set(&bench);
    run_until_probed(&bench, 2);
    assert_int_equal(facts_of(&bench).good_in_row, 2);

    bench.health.contains = "kk";
    set(&bench);
    run_until_changed(&bench, 1);

    assert_false(bench.is_healthy);
    assert_string_equal(bench.reason, "3 health checks in a row failed, the last with status 200 "
                                      "(body without what it is to contain)");
    tear_down(&bench);
}

static void status_is_told_before_the_body(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.health.contains = "ok";
    bench.origin.answer = UNWELL;
    set(&bench);
    run_until_changed(&bench, 1);
    assert_string_equal(facts_of(&bench).last_text, "status not accepted");
    tear_down(&bench);
}

static void body_without_end_is_searched_as_far_as_it_is_read(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.health.contains = "never";
    bench.origin.answer = ENDLESS;
    bench.origin.is_endless = true;
    set(&bench);
    run_until_probed(&bench, 1);
    assert_string_equal(facts_of(&bench).last_text, "body without what it is to contain");
    tear_down(&bench);
}

/* ---- asking once ---- */

struct asked {
    unsigned count;
    struct prober_answer answer;
};

static void on_answer(void *context, const struct prober_answer *answer)
{
    struct asked *asked = context;
    asked->count++;
    asked->answer = *answer;
}

static struct prober_question *ask(struct bench *bench, const union address *address,
                                   struct asked *asked)
{
    const struct prober_target target = {
        .endpoint = bench->endpoint,
        .authority = BYTES("shop.example:8080"),
        .addresses = address,
        .address_count = 1,
        .health = &bench->health,
    };
    struct prober_question *question = NULL;
    assert_int_equal(prober_ask(bench->prober, &target, on_answer, asked, &question), OK);
    return question;
}

static void question_is_answered_once_and_changes_no_health(void **state)
{
    (void)state;
    struct bench bench;
    struct asked asked = {0};
    set_up(&bench);
    bench.origin.answer = UNWELL;
    for (unsigned i = 1; i <= 4; i++) {
        (void)ask(&bench, &bench.origin.address, &asked);
        while (asked.count < i) {
            (void)loop_turn(&bench.loop, true);
        }
    }
    assert_false(asked.answer.is_good);
    assert_int_equal(asked.answer.status, 503);
    assert_true(endpoint_is_healthy(bench.endpoint));

    bench.origin.answer = WELL;
    (void)ask(&bench, &bench.origin.address, &asked);
    while (asked.count < 5) {
        (void)loop_turn(&bench.loop, true);
    }
    assert_true(asked.answer.is_good);
    assert_non_null(strstr(bench.origin.request, "GET /healthz "));
    tear_down(&bench);
    assert_int_equal(asked.count, 5);
    assert_int_equal(bench.changed_count, 0);
}

static void question_that_reaches_nobody_is_answered(void **state)
{
    (void)state;
    struct bench bench;
    struct asked asked = {0};
    set_up(&bench);
    const union address dead = stub_origin_dead_address();
    (void)ask(&bench, &dead, &asked);
    while (asked.count == 0) {
        (void)loop_turn(&bench.loop, true);
    }
    assert_false(asked.answer.is_good);
    assert_int_equal(asked.answer.status, 0);
    assert_string_equal(asked.answer.text, "no connection");
    tear_down(&bench);
}

static void question_that_is_withdrawn_is_not_answered(void **state)
{
    (void)state;
    struct bench bench;
    struct asked asked = {0};
    set_up(&bench);
    bench.origin.is_silent = true;
    struct prober_question *question = ask(&bench, &bench.origin.address, &asked);
    while (bench.origin.request_count == 0) {
        (void)loop_turn(&bench.loop, true);
    }
    prober_withdraw(question);
    tear_down(&bench);
    assert_int_equal(asked.count, 0);
}

static void close_answers_what_was_asked(void **state)
{
    (void)state;
    struct bench bench;
    struct asked asked = {0};
    set_up(&bench);
    bench.origin.is_silent = true;
    (void)ask(&bench, &bench.origin.address, &asked);
    (void)ask(&bench, &bench.origin.address, &asked);
    while (bench.origin.request_count < 2) {
        (void)loop_turn(&bench.loop, true);
    }
    tear_down(&bench);
    assert_int_equal(asked.count, 2);
    assert_true(asked.answer.is_ours);
}

static void want_of_memory_in_a_question_is_told_or_answered(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.health.contains = "ok";
    const struct prober_target target = {
        .endpoint = bench.endpoint,
        .authority = BYTES("shop.example:8080"),
        .addresses = &bench.origin.address,
        .address_count = 1,
        .health = &bench.health,
    };
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct asked asked = {0};
        struct prober_question *question = NULL;
        enum err err = prober_ask(bench.prober, &target, on_answer, &asked, &question);
        while (err == OK && asked.count == 0) {
            (void)loop_turn(&bench.loop, true);
        }
        assert_int_equal(asked.count, err == OK ? 1 : 0);
        if (!alloc_fail_end()) {
            break;
        }
    }
    tear_down(&bench);
}

static void want_of_memory_leaves_the_set_as_it_was(void **state)
{
    (void)state;
    struct bench bench;
    struct endpoint *second = NULL;
    struct prober_facts facts;
    set_up(&bench);
    assert_int_equal(endpoint_create(BYTES("second:80"), 1, &second), OK);
    set(&bench);
    const struct prober_target targets[] = {
        target_of(&bench, bench.endpoint, BYTES("a"), &bench.health),
        target_of(&bench, second, BYTES("b"), &bench.health),
    };
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        enum err err = prober_set(bench.prober, targets, 2);
        bool was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_NOMEM : OK);
        assert_int_equal(prober_find(bench.prober, second, &facts), !was_refused);
        assert_true(prober_find(bench.prober, bench.endpoint, &facts));
        if (!was_refused) {
            break;
        }
    }
    assert_int_equal(prober_set(bench.prober, targets, 1), OK);
    assert_int_equal(second->reference_count, 1);
    endpoint_unref(second);
    tear_down(&bench);
}

static void want_of_memory_in_a_probe_is_not_the_origins_fault(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.health.interval_us = 1000;
    set(&bench);
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        run_until_probed(&bench, facts_of(&bench).probe_count + 2);
        if (!alloc_fail_end()) {
            break;
        }
    }
    /* The stub runs out of memory too, and then its answer is missing: once, not in a row. */
    assert_int_equal(bench.changed_count, 0);
    tear_down(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoint_that_answers_stays_healthy),
        cmocka_unit_test(probe_says_who_it_is_and_closes),
        cmocka_unit_test(bad_answers_in_a_row_take_it_out_and_good_ones_bring_it_back),
        cmocka_unit_test(one_bad_answer_among_good_ones_changes_nothing),
        cmocka_unit_test(whatever_is_no_complete_answer_is_a_bad_one),
        cmocka_unit_test(endpoint_nobody_listens_at_is_taken_out),
        cmocka_unit_test(next_address_is_asked_where_nobody_listens),
        cmocka_unit_test(body_without_end_is_cut_and_the_status_counts),
        cmocka_unit_test(endpoint_is_never_probed_twice_at_once),
        cmocka_unit_test(endpoint_without_address_is_not_probed_until_it_has_one),
        cmocka_unit_test(endpoint_that_stays_keeps_its_health_and_counts),
        cmocka_unit_test(endpoint_that_goes_is_healthy_again),
        cmocka_unit_test(endpoint_may_go_from_inside_the_callback),
        cmocka_unit_test(endpoint_may_go_while_it_is_probed),
        cmocka_unit_test(close_ends_a_probe_under_way),
        cmocka_unit_test(of_doubles_the_first_counts),
        cmocka_unit_test(body_must_contain_what_is_looked_for),
        cmocka_unit_test(status_is_told_before_the_body),
        cmocka_unit_test(body_without_end_is_searched_as_far_as_it_is_read),
        cmocka_unit_test(question_is_answered_once_and_changes_no_health),
        cmocka_unit_test(question_that_reaches_nobody_is_answered),
        cmocka_unit_test(question_that_is_withdrawn_is_not_answered),
        cmocka_unit_test(close_answers_what_was_asked),
        cmocka_unit_test(want_of_memory_in_a_question_is_told_or_answered),
        cmocka_unit_test(want_of_memory_leaves_the_set_as_it_was),
        cmocka_unit_test(want_of_memory_in_a_probe_is_not_the_origins_fault),
    };
    return cmocka_run_group_tests_name("prober", tests, NULL, NULL);
}
