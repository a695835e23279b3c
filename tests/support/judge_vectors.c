/* tests/support/judge_vectors.c — replays recorded judge vectors and compares every number.
 *
 *     judge_vectors FILE        exit 0: all equal; 1: differences, each printed; 2: the file cannot
 * be read
 *
 * The file says in `doc` what its kinds mean; `tolerance` is absolute and in nats (or the unit of
 * the column). */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/engine/judge.h"

enum { EXIT_DIFFERENT = 1, EXIT_UNREADABLE = 2, COLUMN_COUNT = 12 };

/* What the replay of one file has found so far. */
struct replay {
    double tolerance;
    double worst; /* largest difference seen */
    unsigned differences;
    unsigned compared;
    const char *id; /* of the vector at hand; borrowed from the file */
};

static double number(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : -INFINITY;
}

static double number_at(const json_t *row, size_t index)
{
    return number(json_array_get(row, index));
}

static uint64_t whole_at(const json_t *row, size_t index)
{
    const json_t *value = json_array_get(row, index);
    if (json_is_integer(value)) {
        return (uint64_t)json_integer_value(value);
    }
    return json_is_real(value) ? (uint64_t)json_real_value(value) : 0;
}

static void compare(struct replay *replay, const char *what, size_t at, double expected, double got)
{
    replay->compared++;
    if (expected == got) {
        return;
    }
    double difference = fabs(expected - got);
    if (difference <= replay->tolerance) {
        replay->worst = fmax(replay->worst, difference);
        return;
    }
    replay->differences++;
    printf("%s[%zu] %s: expected %.17g, got %.17g\n", replay->id, at, what, expected, got);
}

/* One field of the configuration by the name it has in the files. */
struct field {
    const char *name;
    size_t offset;
};

#define FIELD(name, member)                                                                        \
    {                                                                                              \
        name, offsetof(struct judge_config, member)                                                \
    }
static const struct field FIELDS[] = {
    FIELD("alpha", alpha),
    FIELD("share_abs", share_absolute),
    FIELD("share_rel", share_relative),
    FIELD("share_lat", share_latency),
    FIELD("share_hard", share_connect),
    FIELD("g0", mass_start),
    FIELD("rho", mass_per_day),
    FIELD("g_step", mass_per_step),
    FIELD("cap", cap),
    FIELD("cap_rate", cap_rate),
    FIELD("cap_rate_rec", cap_rate_recovering),
    FIELD("recovery_ms", recovering_ms),
    FIELD("burst", burst),
    FIELD("theta0", limit),
    FIELD("theta_hard", connect_limit),
    FIELD("rel_ratio", relative_factor),
    FIELD("rel_margin", relative_margin),
    FIELD("promote_ratio", promote_factor),
    FIELD("promote_margin", promote_margin),
    FIELD("alpha_promote", promote_alpha),
    FIELD("guard_alpha", guard_alpha),
    FIELD("guard_wait_ms", guard_wait_ms),
    FIELD("block_max_ms", block_ms_max),
    FIELD("lat_ratio", latency_factor),
    FIELD("lat_margin_us", latency_margin_us),
};

static void config_set(struct replay *replay, struct judge_config *config, const char *name,
                       const json_t *value)
{
    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++) {
        if (strcmp(FIELDS[i].name, name) == 0) {
            double given = number(value);
            memcpy((char *)config + FIELDS[i].offset, &given, sizeof(given));
            return;
        }
    }
    if (strcmp(name, "strict") == 0) {
        config->is_strict = json_is_true(value);
    } else if (strcmp(name, "rel_action") == 0) {
        config->relative = (enum judge_relative)json_integer_value(value);
    } else if (strcmp(name, "warm") == 0) {
        config->warm_count = (uint64_t)json_integer_value(value);
    } else {
        replay->differences++;
        printf("%s: unknown configuration key \"%s\"\n", replay->id, name);
    }
}

static void config_override(struct replay *replay, struct judge_config *config, json_t *overrides)
{
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(overrides, name, value)
    {
        config_set(replay, config, name, value);
    }
}

/* Latency counts stand in the file as [[bucket, count]...], new since the check before. */
static void histogram_add(struct histogram *histogram, const json_t *pairs)
{
    size_t index = 0;
    json_t *pair = NULL;
    json_array_foreach(pairs, index, pair)
    {
        uint64_t bucket = whole_at(pair, 0);
        if (bucket < HISTOGRAM_BUCKETS) {
            histogram->buckets[bucket] += whole_at(pair, 1);
        }
    }
}

/* A judge that is fed one vector. */
struct stand {
    struct judge judge;
    struct histogram canary_latency, stable_latency;
    struct judge_result result;
    size_t check_count;
    int first_breach;
};

static void stand_check(struct stand *stand, const json_t *op)
{
    struct judge_counts counts = {
        .canary_count = whole_at(op, 2),
        .canary_failed = whole_at(op, 3),
        .stable_count = whole_at(op, 4),
        .stable_failed = whole_at(op, 5),
        .canary_connect_failed = whole_at(op, 6),
        .stable_connect_failed = whole_at(op, 7),
    };
    if (json_array_size(op) >= 10 && json_is_array(json_array_get(op, 8))) {
        histogram_add(&stand->canary_latency, json_array_get(op, 8));
        histogram_add(&stand->stable_latency, json_array_get(op, 9));
        counts.canary_latency = &stand->canary_latency;
        counts.stable_latency = &stand->stable_latency;
    }
    stand->result = judge_check(&stand->judge, (int64_t)number_at(op, 1), &counts);
    if (stand->result.verdict == JUDGE_BREACH && stand->first_breach < 0) {
        stand->first_breach = (int)stand->check_count;
    }
    stand->check_count++;
}

static void compare_row(struct replay *replay, const json_t *row, const struct judge_result *result)
{
    static const char *const COLUMNS[COLUMN_COUNT] = {
        "check",   "verdict", "reason",     "log_abs",    "log_abs_ok",   "log_hard",
        "log_rel", "log_lat", "log_ni_rel", "log_ni_abs", "canary count", "phi"};
    const double got[COLUMN_COUNT] = {number_at(row, 0),
                                      (double)result->verdict,
                                      (double)result->reason,
                                      result->log_absolute,
                                      result->log_absolute_allowed,
                                      result->log_connect,
                                      result->log_relative,
                                      result->log_latency,
                                      result->log_promote_relative,
                                      result->log_promote_absolute,
                                      (double)result->canary_count,
                                      result->phi};
    for (size_t i = 1; i < COLUMN_COUNT; i++) {
        compare(replay, COLUMNS[i], (size_t)number_at(row, 0), number_at(row, i), got[i]);
    }
}

static void replay_judge(struct replay *replay, json_t *defaults, json_t *vector)
{
    struct judge_config config = JUDGE_CONFIG_DEFAULT;
    config_override(replay, &config, defaults);
    config_override(replay, &config, json_object_get(vector, "config"));
    static struct stand stand;
    stand = (struct stand){.first_breach = -1};
    judge_init(&stand.judge, &config);
    json_t *expected = json_object_get(vector, "expect");
    size_t next_row = 0;
    size_t index = 0;
    json_t *op = NULL;
    json_array_foreach(json_object_get(vector, "ops"), index, op)
    {
        const char *verb = json_string_value(json_array_get(op, 0));
        if (verb != NULL && strcmp(verb, "start") == 0) {
            judge_start(&stand.judge, (int64_t)number_at(op, 1));
        } else if (verb != NULL && strcmp(verb, "step") == 0) {
            judge_step(&stand.judge, (int64_t)number_at(op, 1));
        } else {
            stand_check(&stand, op);
            const json_t *row = json_array_get(expected, next_row);
            if (row != NULL && (size_t)number_at(row, 0) == stand.check_count - 1) {
                compare_row(replay, row, &stand.result);
                next_row++;
            }
        }
    }
    compare(replay, "rows reached", 0, (double)json_array_size(expected), (double)next_row);
    compare(replay, "first_breach", 0, number(json_object_get(vector, "first_breach")),
            (double)stand.first_breach);
}

static void replay_interval(struct replay *replay, const json_t *row, size_t at)
{
    double low = 0.0;
    double high = 0.0;
    judge_interval(number_at(row, 0), number_at(row, 1), number_at(row, 2), &low, &high);
    compare(replay, "low", at, number_at(row, 3), low);
    compare(replay, "high", at, number_at(row, 4), high);
}

static void replay_project(struct replay *replay, const json_t *row, size_t at)
{
    double canary = 0.0;
    double stable = 0.0;
    judge_project(number_at(row, 0), number_at(row, 1), number_at(row, 2), number_at(row, 3),
                  number_at(row, 4), &canary, &stable);
    compare(replay, "qc", at, number_at(row, 5), canary);
    compare(replay, "qb", at, number_at(row, 6), stable);
}

static void replay_block(struct replay *replay, const json_t *row, size_t at)
{
    struct judge_block block = {number_at(row, 0), number_at(row, 1), number_at(row, 2),
                                number_at(row, 3)};
    compare(replay, "log e", at, number_at(row, 8),
            judge_block_evidence(&block, number_at(row, 4), number_at(row, 5), number_at(row, 6),
                                 number_at(row, 7)));
}

static void replay_bucket(struct replay *replay, const json_t *row, size_t at)
{
    unsigned bucket = histogram_bucket(whole_at(row, 0));
    compare(replay, "bucket", at, number_at(row, 1), (double)bucket);
    compare(replay, "edge", at, number_at(row, 2), (double)histogram_edge_us(bucket));
}

static void replay_grid(struct replay *replay, const json_t *row, size_t at)
{
    double ratios[JUDGE_GRID_COUNT];
    judge_grid(number_at(row, 0), ratios);
    const json_t *expected = json_array_get(row, 1);
    for (size_t i = 0; i < JUDGE_GRID_COUNT; i++) {
        compare(replay, "p", at, number_at(expected, i), ratios[i]);
    }
}

/* A kind of vector that is a table of cases. */
struct kind {
    const char *name;
    void (*replay_case)(struct replay *replay, const json_t *row, size_t at);
};

static const struct kind KINDS[] = {
    {"conf_seq", replay_interval}, {"project", replay_project}, {"block", replay_block},
    {"bucket", replay_bucket},     {"grid", replay_grid},
};

static void replay_vector(struct replay *replay, json_t *defaults, json_t *vector)
{
    const char *id = json_string_value(json_object_get(vector, "id"));
    const char *name = json_string_value(json_object_get(vector, "kind"));
    replay->id = id != NULL ? id : "?";
    if (name != NULL && strcmp(name, "judge") == 0) {
        replay_judge(replay, defaults, vector);
        return;
    }
    for (size_t i = 0; name != NULL && i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        if (strcmp(KINDS[i].name, name) == 0) {
            size_t at = 0;
            json_t *row = NULL;
            json_array_foreach(json_object_get(vector, "cases"), at, row)
            {
                KINDS[i].replay_case(replay, row, at);
            }
            return;
        }
    }
    replay->differences++;
    printf("%s: unknown kind \"%s\"\n", replay->id, name != NULL ? name : "");
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 2) {
        fprintf(stderr, "usage: judge_vectors FILE\n");
        return EXIT_UNREADABLE;
    }
    json_error_t error;
    json_t *file = json_load_file(arguments[1], 0, &error);
    json_t *vectors = json_object_get(file, "vectors");
    if (!json_is_array(vectors)) {
        fprintf(stderr, "judge_vectors: %s: %s\n", arguments[1],
                file == NULL ? error.text : "no array \"vectors\" in it");
        json_decref(file);
        return EXIT_UNREADABLE;
    }
    struct replay replay = {.tolerance = 1e-9};
    const json_t *tolerance = json_object_get(file, "tolerance");
    if (json_is_number(tolerance)) {
        replay.tolerance = json_number_value(tolerance);
    }
    size_t index = 0;
    json_t *vector = NULL;
    json_array_foreach(vectors, index, vector)
    {
        replay_vector(&replay, json_object_get(file, "defaults"), vector);
    }
    printf("%zu vectors, %u numbers compared, %u different, largest difference within tolerance "
           "%.3g\n",
           json_array_size(vectors), replay.compared, replay.differences, replay.worst);
    json_decref(file);
    return replay.differences > 0 || replay.compared == 0 ? EXIT_DIFFERENT : EXIT_SUCCESS;
}
