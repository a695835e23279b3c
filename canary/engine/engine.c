/* canary/engine/engine.c — see engine.h. */
#include "canary/engine/engine.h"

#include <math.h>

#include "canary/engine/judge_sentence.h"
#include "canary/engine/rollout_shift.h"
#include "proxy/base/check.h"

struct engine_config engine_config_default(void)
{
    return (struct engine_config){
        .judge = JUDGE_CONFIG_DEFAULT,
        .is_latency_judged = true,
        .rollout = ROLLOUT_CONFIG_DEFAULT,
    };
}

struct judge_counts engine_counts(const struct version_reading *canary,
                                  const struct version_reading *stable)
{
    return (struct judge_counts){
        .canary_count = canary->ok + canary->err,
        .canary_failed = canary->err,
        .canary_connect_failed = canary->connect_err,
        .stable_count = stable->ok + stable->err,
        .stable_failed = stable->err,
        .stable_connect_failed = stable->connect_err,
        .canary_not_found = canary->not_found,
        .stable_not_found = stable->not_found,
        .client_bad = canary->client_bad,
        .canary_latency = &canary->latency,
        .stable_latency = &stable->latency,
    };
}

static void init_senses(struct engine *engine, const struct engine_config *config)
{
    *engine = (struct engine){.config = *config};
    judge_init(&engine->judge, &config->judge);
    tripwire_init(&engine->tripwire);
    note_set(&engine->sentence, "nothing was seen yet");
}

void engine_init(struct engine *engine, const struct engine_config *config, uint32_t weight_ppm,
                 bool is_quarantined)
{
    init_senses(engine, config);
    rollout_init(&engine->rollout, &config->rollout, weight_ppm, is_quarantined);
}

void engine_recover(struct engine *engine, const struct engine_config *config,
                    const struct rollout_journal *journal, uint64_t now_us, int64_t wall_us)
{
    init_senses(engine, config);
    rollout_recover(&engine->rollout, &config->rollout, journal, now_us, wall_us);
}

static int64_t judge_ms(uint64_t now_us)
{
    return (int64_t)(now_us / 1000);
}

void engine_configure(struct engine *engine, const struct engine_config *config, uint64_t now_us)
{
    if (!judge_config_is_equal(&engine->config.judge, &config->judge)) {
        judge_configure(&engine->judge, &config->judge, judge_ms(now_us));
        rollout_lose_evidence(&engine->rollout);
    }
    if (!config->is_latency_judged) {
        engine->judge.has_latency = false;
    }
    rollout_configure(&engine->rollout, &config->rollout);
    engine->config = *config;
}

struct rollout_journal engine_journal(const struct engine *engine)
{
    const struct rollout *rollout = &engine->rollout;
    return (struct rollout_journal){
        .phase = rollout->phase,
        .weight_ppm = rollout->weight_ppm,
        .revision = rollout->revision,
        .is_quarantined = rollout->is_quarantined,
        .has_record = rollout->has_record,
        .record = rollout->record,
        .is_ascending = rollout->ascent.is_running,
        .ladder = rollout->ascent.ladder,
        .step = rollout->ascent.step,
        .gate = rollout->ascent.gate,
        .waiting_wall_us = rollout->ascent.waiting_wall_us,
    };
}

/* A breach stays what it was found to be, in the same words, however the counts go on: so status,
 * record and alert say the same. */
static bool is_breach_known(const struct engine *engine)
{
    bool is_latched = engine->judge.is_latched || engine->tripwire.is_latched;
    return is_latched && engine->seen.finding.verdict == JUDGE_BREACH;
}

/* What holds the canary back are its failures: they are said too. */
static void say_tripwire(struct engine *engine, const struct tripwire_input *endpoints,
                         uint64_t now_us)
{
    tripwire_sentence(&engine->tripwire, endpoints, engine->finding, now_us, &engine->sentence);
    if (engine->finding.reason == JUDGE_REASON_ABSOLUTE) {
        struct note held = engine->sentence;
        struct note counts;
        judge_sentence_counts(&engine->judge, &counts);
        note_set(&engine->sentence, "%s: %s", held.text, counts.text);
    }
}

static void look(struct engine *engine, const struct engine_input *input, uint64_t now_us)
{
    struct judge_counts counts = input->counts;
    if (!engine->config.is_latency_judged) {
        counts.canary_latency = NULL;
        counts.stable_latency = NULL;
    }
    struct judge_result result = judge_check(&engine->judge, judge_ms(now_us), &counts);
    struct finding judged = {result.verdict, result.reason};
    struct tripwire_input endpoints = input->endpoints;
    endpoints.is_in_use = engine->rollout.weight_ppm > 0 || rollout_is_mirroring(&engine->rollout);
    engine->finding = tripwire_look(&engine->tripwire, &endpoints, judged, now_us);
    bool is_judged =
        engine->finding.verdict == judged.verdict && engine->finding.reason == judged.reason;
    if (is_breach_known(engine)) {
        engine->finding = engine->seen.finding;
        engine->sentence = engine->seen.sentence;
    } else if (is_judged) {
        judge_sentence(&engine->judge, &engine->sentence);
    } else {
        say_tripwire(engine, &endpoints, now_us);
    }
}

/* At 100 % the absolute test alone decides: what stable is still asked proves nothing about the
 * canary, and would hold up the rollout for hours. */
static bool is_promotable(const struct engine *engine)
{
    enum judge_verdict verdict = engine->finding.verdict;
    if (verdict == JUDGE_HEALTHY) {
        return true;
    }
    bool is_quiet = verdict == JUDGE_OK || verdict == JUDGE_INSUFFICIENT_DATA;
    double needed = log(1.0 / engine->config.judge.promote_alpha);
    return is_quiet && engine->rollout.weight_ppm == PLAN_WHOLE &&
           engine->judge.result.log_promote_absolute >= needed;
}

/* Of canary answers since the weight last changed, or since copies began: as many as the judge asks
 * for before it speaks, and fewer failures than the limit. */
static bool is_mirror_good(const struct engine *engine)
{
    enum judge_verdict verdict = engine->finding.verdict;
    const struct judge_promote *seen = &engine->judge.promote;
    bool is_quiet =
        verdict == JUDGE_OK || verdict == JUDGE_INSUFFICIENT_DATA || verdict == JUDGE_HEALTHY;
    return is_quiet && seen->canary_count >= (double)engine->config.judge.warm_count &&
           seen->canary_failed < engine->config.judge.limit * seen->canary_count;
}

static void remember(struct engine *engine, const struct engine_input *input)
{
    bool has_latency = input->counts.stable_latency != NULL;
    if (has_latency) {
        engine->stable_latency = *input->counts.stable_latency;
    }
    engine->seen = (struct rollout_input){
        .wall_us = input->wall_us,
        .finding = engine->finding,
        .is_promotable = is_promotable(engine),
        .is_mirror_good = is_mirror_good(engine),
        .is_canary_ready = input->is_canary_ready,
        .is_canary_down = engine->tripwire.is_canary_down,
        .canary_down_since_us = input->canary_down_since_us,
        .excursion = judge_excursion(&engine->judge, engine->finding.reason),
        .evidence = engine->judge.is_latched ? engine->judge.latched_result : engine->judge.result,
        .sentence = engine->sentence,
        .tally = engine->judge.tally,
        .stable_latency = has_latency ? &engine->stable_latency : NULL,
        .stable_live = input->endpoints.stable_live,
        .landed_revision = input->landed_revision,
        .landed_us = input->landed_us,
        .canary_in_flight = input->canary_in_flight,
        .checked = input->checked,
    };
}

/* What was found before a start is not true of what begins now. */
static void forget_finding(struct engine *engine)
{
    engine->finding = (struct finding){JUDGE_INSUFFICIENT_DATA, JUDGE_REASON_NONE};
    note_set(&engine->sentence, "judged anew, nothing was seen yet");
    engine->seen.finding = engine->finding;
    engine->seen.sentence = engine->sentence;
    engine->seen.evidence = (struct judge_result){0};
    engine->seen.is_promotable = false;
}

/* What the rollout asks of the judge is done here, so that the controller need not. */
static void tell_judge(struct engine *engine, const struct rollout_actions *actions,
                       uint64_t now_us)
{
    if (actions->is_judge_started) {
        tripwire_start(&engine->tripwire);
    }
    if (actions->is_judge_rebased) {
        engine->told.rebased++;
        judge_init(&engine->judge, &engine->config.judge);
        engine->seen = (struct rollout_input){
            .tally = engine->judge.tally,
            .stable_live = engine->seen.stable_live,
            .landed_revision = engine->seen.landed_revision,
        };
        engine->finding = (struct finding){JUDGE_INSUFFICIENT_DATA, JUDGE_REASON_NONE};
        note_set(&engine->sentence, "nothing was seen yet");
    } else if (actions->is_judge_started) {
        engine->told.started++;
        judge_start(&engine->judge, judge_ms(now_us));
        forget_finding(engine);
    } else if (actions->is_judge_stepped) {
        engine->told.stepped++;
        judge_step(&engine->judge, judge_ms(now_us));
    }
}

/* A breach that finds no stable version to go to is shown for what it is. */
static void show_outage(struct engine *engine)
{
    if (engine->rollout.is_outage_held) {
        engine->finding = (struct finding){JUDGE_SUSPICIOUS, JUDGE_REASON_SHARED_OUTAGE};
        rollout_outage_sentence(&engine->seen.sentence, &engine->sentence);
    }
}

void engine_tick(struct engine *engine, const struct engine_input *input, uint64_t now_us,
                 struct rollout_actions *ret_actions)
{
    look(engine, input, now_us);
    remember(engine, input);
    engine->seen.record_id = input->record_id;
    rollout_step(&engine->rollout, &engine->seen, now_us, ret_actions);
    engine->seen.record_id = NULL;
    tell_judge(engine, ret_actions, now_us);
    show_outage(engine);
}

enum err engine_command(struct engine *engine, const struct rollout_command *command,
                        const char *record_id, uint64_t now_us, int64_t wall_us,
                        struct rollout_actions *ret_actions, struct note *note)
{
    engine->seen.wall_us = wall_us;
    engine->seen.record_id = record_id;
    enum err err =
        rollout_command(&engine->rollout, command, &engine->seen, now_us, ret_actions, note);
    engine->seen.record_id = NULL;
    if (err == OK) {
        tell_judge(engine, ret_actions, now_us);
    }
    return err;
}
