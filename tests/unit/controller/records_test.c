/* Records on their way to the file and back. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/controller/controller_state.h"

static struct record make_record(void)
{
    struct record record;
    record_init(&record);
    (void)snprintf(record.id, sizeof record.id, "rb-1");
    (void)snprintf(record.actor, sizeof record.actor, "judge");
    note_set(&record.reason_text, "too many failures");
    record.trigger = RECORD_ERROR_RATE;
    record.reason = JUDGE_REASON_ABSOLUTE;
    record.mode = RECORD_GRADUAL;
    record.status = RECORD_IN_PROGRESS;
    record.is_quarantining = true;
    record.decided_wall_us = 1795412345678901;
    record.first_bad_wall_us = 1795412344000000;
    record.weight_ppm = 250000;
    record.bad_origin = 12;
    record.bad_client = 3;
    record_stamp(&record, RECORD_DETECT, 0.5);
    record_stamp(&record, RECORD_DECIDE, 0.75);
    return record;
}

static struct steward *make_steward(struct conf_service *conf)
{
    static const struct steward empty;
    struct steward *steward = malloc(sizeof *steward);
    assert_non_null(steward);
    *steward = empty;
    steward->conf = conf;
    (void)snprintf(steward->recorded.id, sizeof steward->recorded.id, "rb-1");
    (void)snprintf(steward->recorded.deployment, sizeof steward->recorded.deployment, "c1");
    (void)snprintf(steward->recorded.target, sizeof steward->recorded.target, "s1");
    return steward;
}

static void record_comes_back_as_it_was(void **state)
{
    (void)state;
    char name[] = "shop";
    struct conf_service conf = {.name = name};
    struct steward *steward = make_steward(&conf);
    struct record record = make_record();
    struct record back;
    struct history_rollback row;
    char *evidence = record_evidence(&record);
    record_to_history(&record, steward, evidence, &row);
    assert_string_equal(row.deployment, "c1");
    assert_string_equal(row.target, "s1");
    assert_true(record_from_history(&row, &back));
    assert_string_equal(back.id, "rb-1");
    assert_string_equal(back.actor, "judge");
    assert_string_equal(back.reason_text.text, "too many failures");
    assert_int_equal(back.trigger, record.trigger);
    assert_int_equal(back.reason, record.reason);
    assert_int_equal(back.mode, record.mode);
    assert_int_equal(back.status, record.status);
    assert_true(back.is_quarantining);
    assert_true(back.decided_wall_us == record.decided_wall_us);
    assert_true(back.first_bad_wall_us == record.first_bad_wall_us);
    assert_int_equal(back.weight_ppm, 250000);
    assert_int_equal(back.bad_origin, 12);
    assert_int_equal(back.bad_client, 3);
    assert_true(fabs(back.phase_s[RECORD_DECIDE] - 0.75) < 1e-12);
    assert_true(isnan(back.phase_s[RECORD_SHIFT]));
    assert_true(isnan(back.last_client_bad_s));
    free(evidence);
    free(steward);
}

/* A rollback that a restart goes on with is written again, whole. */
static void evidence_survives_a_restart(void **state)
{
    (void)state;
    struct record record = make_record();
    struct record back;
    record.has_evidence = true;
    record.evidence = (struct judge_result){
        .log_absolute = 9.5, .log_relative = -(double)INFINITY, .log_not_found = 1.5, .phi = 2.5};
    record.counts = (struct judge_tally){
        .canary_count = 40, .canary_failed = 12, .canary_not_found = 7, .stable_count = 300};
    char *evidence = record_evidence(&record);
    struct history_rollback row = {.id = "rb-1",
                                   .reason = "r",
                                   .reason_code = "absolute",
                                   .trigger = "error_rate",
                                   .actor = "judge",
                                   .mode = "gradual",
                                   .status = "in_progress",
                                   .evidence = evidence};
    assert_true(record_from_history(&row, &back));
    char *again = record_evidence(&back);
    assert_string_equal(again, evidence);
    free(again);
    free(evidence);
}

static void evidence_without_sense_costs_only_itself(void **state)
{
    (void)state;
    static const char *const texts[] = {NULL, "", "{", "[]", "{\"weight_ppm\":\"x\"}", "17"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct record back;
        struct history_rollback row = {.id = "rb-1",
                                       .service = "shop",
                                       .at_us = 5,
                                       .reason = "r",
                                       .reason_code = "nonsense",
                                       .trigger = "manual",
                                       .actor = "a",
                                       .mode = "instant",
                                       .status = "in_progress",
                                       .evidence = texts[i]};
        assert_true(record_from_history(&row, &back));
        assert_true(back.first_bad_wall_us == 5);
        assert_int_equal(back.weight_ppm, 0);
        assert_int_equal(back.reason, JUDGE_REASON_NONE);
    }
}

static void row_of_another_program_is_not_guessed_at(void **state)
{
    (void)state;
    struct record back;
    struct history_rollback good = {.id = "rb-1",
                                    .reason = "r",
                                    .trigger = "manual",
                                    .actor = "a",
                                    .mode = "instant",
                                    .status = "in_progress"};
    struct history_rollback rows[] = {good, good, good, good};
    rows[0].trigger = "moon";
    rows[1].mode = "sideways";
    rows[2].status = "maybe";
    rows[3].id = "an id that is much longer than any that was ever made by this program";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_false(record_from_history(&rows[i], &back));
    }
    assert_true(record_from_history(&good, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_comes_back_as_it_was),
        cmocka_unit_test(evidence_survives_a_restart),
        cmocka_unit_test(evidence_without_sense_costs_only_itself),
        cmocka_unit_test(row_of_another_program_is_not_guessed_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
