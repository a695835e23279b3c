/* Rollbacks by day, week or month: how many, how well they ended, how long they took. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "canary/history/history_json.h"
#include "canary/history/store_row.h"

enum { PERIODS_DEFAULT = 50, DAYS_OF_WEEK = 7, SUNDAY_TO_MONDAY = 6 };

/* Seconds of the rollbacks that succeeded. */
struct samples {
    double *values; /* owned */
    size_t count;
    size_t capacity;
};

struct period {
    int64_t from_us;
    int64_t rollbacks, success, failed, superseded, in_progress;
    struct samples durations; /* to the end of the last phase */
    struct samples shifts;    /* until no new request got the canary */
};

struct summary {
    struct period now;
    struct period total;
    json_t *periods; /* newest first */
    size_t limit;
};

static void period_finish(struct period *period)
{
    free(period->durations.values);
    free(period->shifts.values);
    *period = (struct period){0};
}

static bool add_sample(struct samples *samples, double value)
{
    if (!isfinite(value)) {
        return true;
    }
    if (samples->count == samples->capacity) {
        size_t capacity = samples->capacity > 0 ? 2 * samples->capacity : 64;
        double *more = realloc(samples->values, capacity * sizeof *more);
        if (more == NULL) {
            return false;
        }
        samples->values = more;
        samples->capacity = capacity;
    }
    samples->values[samples->count++] = value;
    return true;
}

static int compare(const void *a, const void *b)
{
    const double left = *(const double *)a;
    const double right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Nearest rank: a duration that really was. */
static double quantile(const struct samples *samples, double share)
{
    size_t rank = (size_t)ceil(share * (double)samples->count);
    return samples->values[rank > 0 ? rank - 1 : 0];
}

static json_t *samples_to_json(struct samples *samples)
{
    if (samples->count == 0) {
        return json_null();
    }
    qsort(samples->values, samples->count, sizeof samples->values[0], compare);
    double sum = 0;
    for (size_t i = 0; i < samples->count; i++) {
        sum += samples->values[i];
    }
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "mean", sum / (double)samples->count, "p50",
                     quantile(samples, 0.5), "p90", quantile(samples, 0.9), "p99",
                     quantile(samples, 0.99), "max", samples->values[samples->count - 1]);
}

static json_t *period_to_json(struct period *period)
{
    int64_t ended = period->success + period->failed;
    json_t *rate = ended > 0 ? json_real((double)period->success / (double)ended) : json_null();
    return json_pack(
        "{s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "from",
        period->from_us != 0 ? history_time_to_json(period->from_us) : json_null(), "rollbacks",
        (json_int_t)period->rollbacks, "success", (json_int_t)period->success, "failed",
        (json_int_t)period->failed, "superseded", (json_int_t)period->superseded, "in_progress",
        (json_int_t)period->in_progress, "success_rate", rate, "duration_s",
        samples_to_json(&period->durations), "shift_s", samples_to_json(&period->shifts));
}

/* When the period of that time began, UTC; weeks begin on Monday (ISO 8601). */
static int64_t begin_of(int64_t at_us, enum history_period kind)
{
    time_t at_s = (time_t)(at_us / 1000000);
    struct tm date;
    if (gmtime_r(&at_s, &date) == NULL) {
        return 0;
    }
    date.tm_hour = 0;
    date.tm_min = 0;
    date.tm_sec = 0;
    if (kind == HISTORY_WEEK) {
        date.tm_mday -= (date.tm_wday + SUNDAY_TO_MONDAY) % DAYS_OF_WEEK;
    } else if (kind == HISTORY_MONTH) {
        date.tm_mday = 1;
    }
    return (int64_t)timegm(&date) * 1000000;
}

static enum err close_period(struct summary *summary)
{
    if (summary->now.rollbacks > 0 && json_array_size(summary->periods) < summary->limit) {
        json_t *json = period_to_json(&summary->now);
        if (json == NULL || json_array_append_new(summary->periods, json) != 0) {
            return ERR_NOMEM;
        }
    }
    period_finish(&summary->now);
    return OK;
}

static enum err count_row(struct period *period, sqlite3_stmt *statement)
{
    const char *status = text_at(statement, 1);
    period->rollbacks++;
    period->failed += strcmp(status, "failed") == 0;
    period->superseded += strcmp(status, "superseded") == 0;
    period->in_progress += strcmp(status, "in_progress") == 0;
    if (strcmp(status, "success") != 0) {
        return OK;
    }
    period->success++;
    bool is_null = sqlite3_column_type(statement, 2) == SQLITE_NULL;
    double duration_s = is_null ? (double)NAN : sqlite3_column_double(statement, 2);
    bool has_no_shift = sqlite3_column_type(statement, 3) == SQLITE_NULL;
    double shift_s = has_no_shift ? (double)NAN : sqlite3_column_double(statement, 3);
    bool is_added =
        add_sample(&period->durations, duration_s) && add_sample(&period->shifts, shift_s);
    return is_added ? OK : ERR_NOMEM;
}

/* Newest first; beyond the limit only the total goes on. */
static enum err take_row(struct summary *summary, sqlite3_stmt *statement, enum history_period kind)
{
    int64_t begin_us = begin_of(sqlite3_column_int64(statement, 0), kind);
    enum err err = OK;
    if (summary->now.rollbacks > 0 && summary->now.from_us != begin_us) {
        err = close_period(summary);
    }
    summary->now.from_us = begin_us;
    if (err == OK) {
        err = count_row(&summary->now, statement);
    }
    return err == OK ? count_row(&summary->total, statement) : err;
}

static enum err read_rows(struct store *store, const struct history_query *query,
                          struct summary *summary, struct note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(store,
                           "SELECT at_us, status, duration_s, shift_s FROM rollback WHERE"
                           " status <> 'dry_run' AND (?1 IS NULL OR service = ?1)"
                           " ORDER BY at_us DESC",
                           &statement, note);
    if (err != OK) {
        return err;
    }
    (void)sqlite3_bind_text(statement, 1, query->service, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    for (; err == OK && code == SQLITE_ROW; code = sqlite3_step(statement)) {
        err = take_row(summary, statement, query->period);
    }
    if (err == OK && code != SQLITE_DONE) {
        err = store_failed(store, "cannot be read", note);
    }
    (void)sqlite3_finalize(statement);
    return err == OK ? close_period(summary) : err;
}

enum err store_summary(struct store *store, const struct history_query *query, json_t **ret_result,
                       struct note *note)
{
    static const char *const names[] = {"day", "week", "month"};
    struct summary summary = {
        .periods = json_array(),
        .limit = query->limit > 0 ? query->limit : PERIODS_DEFAULT,
    };
    enum err err = summary.periods != NULL ? read_rows(store, query, &summary, note) : ERR_NOMEM;
    json_t *result = NULL;
    if (err == OK) {
        result = json_pack("{s:s, s:O, s:o}", "period", names[query->period], "periods",
                           summary.periods, "total", period_to_json(&summary.total));
        err = result != NULL ? OK : ERR_NOMEM;
    }
    json_decref(summary.periods);
    period_finish(&summary.now);
    period_finish(&summary.total);
    if (err == OK) {
        *ret_result = result;
    }
    return err;
}
