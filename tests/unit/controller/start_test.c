/* Rollouts that are started at run time: what is written first, what comes in between, what a
 * restart and a reload find. */
#include <arpa/inet.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/controller_bench.h"

#define STABLE                                                                                     \
    "  - name: shop\n"                                                                             \
    "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"
#define CANARY(weight)                                                                             \
    "    current: {deployment: c1, endpoints: ['http://127.0.0.1:2']}\n"                           \
    "    weight: " weight "\n"
#define CHECKED "    health: {path: /, interval: 1h, timeout: 1s}\n"
#define ROLLOUT "/api/v1/services/shop/rollout"
#define C2      "{\"deployment\":\"c2\",\"url\":\"http://127.0.0.1:3\"}"
#define C3      "{\"deployment\":\"c3\",\"url\":\"http://127.0.0.1:4\"}"

static int open_bench(void **state)
{
    static struct bench bench;
    bench_open(&bench);
    *state = &bench;
    return 0;
}

static int close_bench(void **state)
{
    bench_close(*state);
    return 0;
}

static void begin(struct bench *bench, const char *services)
{
    bench_configure(bench, "", services);
    assert_int_equal(bench_start(bench), OK);
}

static void assert_versions(struct bench *bench, const char *current, const char *previous)
{
    const struct steward *steward = bench_steward(bench, "shop");
    assert_string_equal(steward_deployment(steward, ROLE_CURRENT), current);
    assert_string_equal(steward_deployment(steward, ROLE_PREVIOUS), previous);
}

static const struct rollout *rollout_of(struct bench *bench)
{
    return &bench_steward(bench, "shop")->engine.rollout;
}

static unsigned start(struct bench *bench, const char *body)
{
    return bench_status(bench, METHOD_POST, ROLLOUT, body);
}

static bool is_answered(void *context)
{
    return ((const struct answer *)context)->status != 0;
}

static void fixed_split_gives_way_to_a_canary_without_weight(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("10%") CHECKED);
    uint64_t salt = bench_steward(bench, "shop")->rollout;
    assert_int_equal(start(bench, C2), 202);
    assert_versions(bench, "c2", "s1");
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
    assert_int_equal(rollout_of(bench)->phase, ROLLOUT_PROGRESSING);
    assert_int_equal(rollout_of(bench)->ascent.step, 0);
    assert_true(bench_steward(bench, "shop")->rollout != salt);
    assert_int_equal(start(bench, C3), 409);
}

/* A crash at any moment of a start finds the service as it was, or on its way. */
static void state_file_never_says_that_a_start_is_idle(void **state)
{
    struct bench *bench = *state;
    char text[256];
    begin(bench, STABLE CHECKED);
    bench_stop(bench);
    bench_look_up(bench, "CREATE TABLE seen (phase TEXT, current TEXT)", text);
    bench_look_up(bench,
                  "CREATE TRIGGER see AFTER UPDATE ON service BEGIN INSERT INTO seen VALUES"
                  " (NEW.phase, NEW.current_deployment); END",
                  text);
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(start(bench, C2), 202);
    bench_stop(bench);
    bench_look_up(bench, "SELECT count(*) FROM seen WHERE current = 'c2' AND phase = 'progressing'",
                  text);
    assert_string_not_equal(text, "0");
    bench_look_up(bench, "SELECT count(*) FROM seen WHERE current = 'c2' AND phase = 'idle'", text);
    assert_string_equal(text, "0");
}

static void version_with_all_traffic_becomes_the_stable_one(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("100%") CHECKED);
    const struct version *winner = bench_steward(bench, "shop")->versions[ROLE_CURRENT].version;
    assert_int_equal(start(bench, C2), 202);
    assert_versions(bench, "c2", "c1");
    assert_ptr_equal(bench_steward(bench, "shop")->versions[ROLE_PREVIOUS].version, winner);
}

static void canary_that_is_there_starts_from_where_it_stands(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("10%") CHECKED);
    uint64_t salt = bench_steward(bench, "shop")->rollout;
    assert_int_equal(start(bench, "{\"deployment\":\"c1\",\"url\":\"http://127.0.0.1:2\","
                                  "\"steps\":[5,\"50%\",\"100%\"]}"),
                     202);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
    assert_int_equal(rollout_of(bench)->ascent.step, 1);
    assert_int_equal(rollout_of(bench)->ascent.ladder.count, 3);
    assert_true(bench_steward(bench, "shop")->rollout == salt); /* nobody is moved */
    assert_false(bench_steward(bench, "shop")->lineup.is_started);
}

static void deployment_at_pages_dev_is_named_by_its_host(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CHECKED);
    assert_int_equal(start(bench, "{\"url\":\"http://d7a3f2b.showcase.pages.dev\"}"), 202);
    assert_versions(bench, "d7a3f2b", "s1");
    assert_int_equal(bench_status(bench, METHOD_POST, ROLLOUT "/abort", "{}"), 200);
    assert_int_equal(start(bench, "{\"url\":\"http://showcase.pages.dev\"}"), 202);
    assert_memory_equal(steward_deployment(bench_steward(bench, "shop"), ROLE_CURRENT), "ep-", 3);
}

static void quarantine_refuses_until_release(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("10%") CHECKED);
    controller_note_quarantine(bench->controller, "shop", "c2", "it was bad", 1, false);
    struct answer answer = bench_ask(bench, METHOD_POST, ROLLOUT, C2, NULL);
    assert_int_equal(answer.status, 422);
    assert_string_equal(json_string_value(json_object_get(answer.body, "field")), "deployment");
    bench_forget(&answer);
    assert_versions(bench, "c1", "s1");
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/shop/quarantine/c2/release",
                                  "{\"reason\":\"mended\"}"),
                     200);
    assert_int_equal(start(bench, C2), 202);
}

static void what_cannot_be_written_is_not_started(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("10%") CHECKED);
    void *lock = bench_lock(bench);
    struct answer answer;
    struct answer other;
    bench_ask_later(bench, METHOD_POST, ROLLOUT, C2, &answer);
    assert_int_equal(answer.status, 0);
    assert_versions(bench, "c1", "s1");
    bench_ask_later(bench, METHOD_POST, ROLLOUT, C3, &other);
    assert_int_equal(other.status, 409); /* one is being written */
    bench_forget(&other);
    bench_run_until(bench, is_answered, &answer);
    assert_int_equal(answer.status, 503);
    bench_forget(&answer);
    bench_unlock(lock);
    assert_versions(bench, "c1", "s1");
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
    bench_stop(bench);
    assert_int_equal(bench_start(bench), OK);
    assert_versions(bench, "c1", "s1");
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
}

static void change_in_between_goes_first(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("10%") CHECKED);
    void *lock = bench_lock(bench);
    struct answer answer;
    bench_ask_later(bench, METHOD_POST, ROLLOUT, C2, &answer);
    bench_set_weight(bench, "5");
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &answer);
    assert_int_equal(answer.status, 409);
    bench_forget(&answer);
    assert_versions(bench, "c1", "s1");
    bench_stop(bench);
    assert_int_equal(bench_start(bench), OK);
    assert_versions(bench, "c1", "s1");
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 50000);
}

static void reload_in_between_goes_first(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("10%") CHECKED);
    void *lock = bench_lock(bench);
    struct answer answer;
    bench_ask_later(bench, METHOD_POST, ROLLOUT, C2, &answer);
    bench_reload(bench, "  - name: blog\n"
                        "    previous: {deployment: b1, endpoints: ['http://127.0.0.1:1']}\n");
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &answer);
    assert_int_equal(answer.status, 409);
    bench_forget(&answer);
    bench_reload(bench, STABLE CANARY("10%") CHECKED);
    assert_versions(bench, "c1", "s1");
}

static void end_in_between_leaves_it_to_the_next_start(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("10%") CHECKED);
    struct answer answer;
    bench_ask_later(bench, METHOD_POST, ROLLOUT, C2, &answer);
    bench_stop(bench);
    assert_int_equal(answer.status, 202);
    bench_forget(&answer);
    assert_int_equal(bench_start(bench), OK);
    assert_versions(bench, "c2", "s1");
    assert_int_equal(rollout_of(bench)->phase, ROLLOUT_PROGRESSING);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
}

static void restart_finds_versions_steps_and_salt(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CHECKED);
    assert_int_equal(start(bench, "{\"deployment\":\"c2\",\"endpoints\":[\"http://127.0.0.1:3\","
                                  "\"http://127.0.0.1:4\"],\"steps\":[\"5%\",\"pause\",100]}"),
                     202);
    uint64_t salt = bench_steward(bench, "shop")->rollout;
    bench_stop(bench);
    assert_int_equal(bench_start(bench), OK);
    assert_versions(bench, "c2", "s1");
    const struct steward *steward = bench_steward(bench, "shop");
    assert_int_equal(steward->versions[ROLE_CURRENT].endpoint_count, 2);
    assert_true(steward->rollout == salt);
    assert_int_equal(rollout_of(bench)->ascent.ladder.count, 2);
    assert_true(rollout_of(bench)->ascent.ladder.has_gate[0]);
    assert_true(steward->lineup.is_started);
}

/* Its versions are known to the state file alone. */
static void rollback_of_what_was_started_goes_on_after_a_crash(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CHECKED);
    assert_int_equal(start(bench, C2), 202);
    bench_stop(bench);
    struct history_rollback rollback = {
        .id = "rb-1",
        .service = "shop",
        .at_us = clock_wall_us(clock_system()),
        .deployment = "c2",
        .target = "s1",
        .reason = "it was bad",
        .reason_code = "absolute",
        .trigger = "error_rate",
        .actor = "judge",
        .mode = "gradual",
        .status = "in_progress",
        .duration_s = (double)NAN,
        .evidence = "{\"weight_ppm\":100000,\"quarantining\":true}",
    };
    for (size_t i = 0; i < HISTORY_PHASE_COUNT; i++) {
        rollback.phase_s[i] = (double)NAN;
    }
    bench_write(bench, &(struct history_change){.rollback = &rollback});
    assert_int_equal(bench_start(bench), OK);
    assert_versions(bench, "c2", "s1");
    assert_int_equal(rollout_of(bench)->phase, ROLLOUT_SHIFTING_BACK);
    assert_true(rollout_of(bench)->is_quarantined);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
}

/* A file that another program, or a disk, has damaged. */
static void versions_that_cannot_be_read_leave_the_files(void **state)
{
    struct bench *bench = *state;
    struct history_service service = {
        .name = "shop",
        .current_deployment = "c2",
        .previous_deployment = "s1",
        .phase = "progressing",
        .revision = 41,
        .detail = "{\"versions\":{\"current\":7}}",
    };
    bench_write(bench, &(struct history_change){.service = &service});
    begin(bench, STABLE CANARY("10%") CHECKED);
    assert_versions(bench, "c1", "s1");
    assert_false(bench_steward(bench, "shop")->lineup.is_started);
}

static void file_that_changed_meanwhile_wins_at_the_start(void **state)
{
    struct bench *bench = *state;
    char text[256];
    begin(bench, STABLE CHECKED);
    assert_int_equal(start(bench, C2), 202);
    bench_stop(bench);
    begin(bench, STABLE CANARY("10%") CHECKED);
    assert_versions(bench, "c1", "s1");
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
    bench_stop(bench);
    bench_look_up(bench, "SELECT count(*) || actor FROM audit WHERE action='deployment.overrule'",
                  text);
    assert_string_equal(text, "1config");
}

static void service_that_comes_back_has_what_was_started(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CHECKED);
    assert_int_equal(start(bench, C2), 202);
    bench_reload(bench, "  - name: blog\n"
                        "    previous: {deployment: b1, endpoints: ['http://127.0.0.1:1']}\n");
    bench_reload(bench, STABLE CHECKED);
    assert_versions(bench, "c2", "s1");
    assert_int_equal(rollout_of(bench)->phase, ROLLOUT_PROGRESSING);
}

static void weight_of_the_file_is_not_that_of_what_was_started(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("10%") CHECKED);
    assert_int_equal(start(bench, C2), 202);
    bench_reload(bench, STABLE CANARY("40%") CHECKED);
    assert_versions(bench, "c2", "s1");
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
    assert_int_equal(rollout_of(bench)->phase, ROLLOUT_PROGRESSING);
}

static void check_says_which_versions_would_be_in_force(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CANARY("10%") CHECKED);
    assert_int_equal(start(bench, C2), 202);
    struct answer answer = bench_ask(bench, METHOD_POST, "/api/v1/config:check", "", NULL);
    json_t *service = json_array_get(json_object_get(answer.body, "services"), 0);
    assert_string_equal(json_string_value(json_object_get(service, "current")), "c2");
    assert_true(json_is_true(json_object_get(service, "started")));
    bench_forget(&answer);
}

static void service_says_what_was_started_and_where_it_is(void **state)
{
    struct bench *bench = *state;
    begin(bench, STABLE CHECKED);
    assert_int_equal(start(bench, C2), 202);
    struct answer answer = bench_ask(bench, METHOD_GET, "/api/v1/services/shop", NULL, NULL);
    json_t *current = json_object_get(answer.body, "current");
    assert_string_equal(json_string_value(json_object_get(current, "url")), "http://127.0.0.1:3");
    assert_true(json_is_true(json_object_get(answer.body, "started")));
    bench_forget(&answer);
}

static void record_can_be_read_before_the_file_has_it(void **state)
{
    struct bench *bench = *state;
    char target[128];
    begin(bench, STABLE CANARY("10%"));
    void *lock = bench_lock(bench);
    for (int turn = 0; turn < 2; turn++) {
        struct answer answer = bench_ask(bench, METHOD_POST, "/api/v1/services/shop/rollback",
                                         turn == 0 ? "{\"reason\":\"x\",\"dry_run\":true}"
                                                   : "{\"reason\":\"x\",\"mode\":\"instant\"}",
                                         NULL);
        assert_int_equal(answer.status, 202);
        (void)snprintf(target, sizeof target, "/api/v1/rollbacks/%s",
                       json_string_value(json_object_get(answer.body, "id")));
        bench_forget(&answer);
        answer = bench_ask(bench, METHOD_GET, target, NULL, NULL);
        assert_int_equal(answer.status, 200);
        assert_string_equal(json_string_value(json_object_get(answer.body, "status")),
                            turn == 0 ? "dry_run" : "in_progress");
        bench_forget(&answer);
    }
    bench_unlock(lock);
}

static bool is_platform_failing(void *context)
{
    const struct bench *bench = context;
    return rollout_of(context)->phase == ROLLOUT_ROLLED_BACK &&
           teller_condition(bench->controller->teller) != NULL;
}

/* The command of the rollback before fails; when it works again it would take back what is tried
 * now. */
static void start_ends_what_a_command_was_still_to_take_back(void **state)
{
    struct bench *bench = *state;
    char text[256];
    begin(bench, STABLE CANARY(
                     "10%") "    rollback: {verify: off}\n"
                            "    platform: {exec: {command: [sh, -c, 'cat >/dev/null; false']}}\n");
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/shop/rollback",
                                  "{\"reason\":\"a\",\"mode\":\"instant\"}"),
                     202);
    bench_run_until(bench, is_platform_failing, bench);
    assert_int_equal(start(bench, C2), 202);
    assert_null(teller_condition(bench->controller->teller));
    bench_stop(bench);
    bench_look_up(bench, "SELECT count(*) FROM platform", text);
    assert_string_equal(text, "0");
    bench_look_up(bench, "SELECT json_extract(evidence, '$.platform') FROM rollback", text);
    assert_string_equal(text, "given_up");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
        TEST(fixed_split_gives_way_to_a_canary_without_weight),
        TEST(state_file_never_says_that_a_start_is_idle),
        TEST(version_with_all_traffic_becomes_the_stable_one),
        TEST(canary_that_is_there_starts_from_where_it_stands),
        TEST(deployment_at_pages_dev_is_named_by_its_host),
        TEST(quarantine_refuses_until_release),
        TEST(what_cannot_be_written_is_not_started),
        TEST(change_in_between_goes_first),
        TEST(reload_in_between_goes_first),
        TEST(end_in_between_leaves_it_to_the_next_start),
        TEST(restart_finds_versions_steps_and_salt),
        TEST(rollback_of_what_was_started_goes_on_after_a_crash),
        TEST(versions_that_cannot_be_read_leave_the_files),
        TEST(file_that_changed_meanwhile_wins_at_the_start),
        TEST(service_that_comes_back_has_what_was_started),
        TEST(weight_of_the_file_is_not_that_of_what_was_started),
        TEST(check_says_which_versions_would_be_in_force),
        TEST(service_says_what_was_started_and_where_it_is),
        TEST(record_can_be_read_before_the_file_has_it),
        TEST(start_ends_what_a_command_was_still_to_take_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
