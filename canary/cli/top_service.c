#include "canary/cli/top_service.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "canary/cli/figure.h"
#include "proxy/base/check.h"

enum {
    INDENT = 4,
    SENTENCE_LINES_MAX = 3,
    BAR_COLUMNS = 16,
    BAR_FROM_COLUMNS = 110, /* narrower lines have no bar */
    NARROW_COLUMNS = 68,    /* narrower windows have two lines where others have one */
    EVIDENCE_BAR_COLUMNS = 16,
    STEP_COLUMNS = 13, /* "  [12.3456 %]" */
    LINE_NAME_COLUMNS = 20,
    LINE_PHASE_COLUMNS = 14,
};

static const char *const ROLE_WORDS[ROLE_COUNT] = {
    [ROLE_CURRENT] = "canary", [ROLE_PREVIOUS] = "stable"};

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "-";
}

static json_int_t count_of(const json_t *object, const char *name)
{
    return json_integer_value(json_object_get(object, name));
}

static double set_percent(const json_t *service)
{
    return json_number_value(json_object_get(json_object_get(service, "weight"), "set"));
}

static enum sheet_ink phase_ink(const char *phase)
{
    static const struct {
        const char *phase;
        enum sheet_ink ink;
    } inks[] = {
        {"progressing", INK_GREEN}, {"baking", INK_GREEN},       {"succeeded", INK_GREEN},
        {"paused", INK_YELLOW},     {"frozen", INK_YELLOW},      {"shifting_back", INK_RED},
        {"verifying", INK_YELLOW},  {"rolled_back", INK_YELLOW}, {"rollback_failed", INK_RED},
    };
    for (size_t i = 0; i < COUNT_OF(inks); i++) {
        if (strcmp(inks[i].phase, phase) == 0) {
            return inks[i].ink;
        }
    }
    return INK_PLAIN;
}

/* ---- the parts ---- */

static bool is_narrow(const struct sheet *sheet)
{
    return sheet->columns < NARROW_COLUMNS;
}

static void next_line_if_narrow(struct sheet *sheet)
{
    if (is_narrow(sheet)) {
        sheet_end(sheet);
        sheet_put(sheet, INK_PLAIN, "%*s", INDENT - 2, "");
    }
}

/* On the next line where it would be cut. */
static void put_mark(enum sheet_ink ink, const char *text, struct sheet *sheet)
{
    if (sheet_width(text) > sheet->columns_left) {
        sheet_end(sheet);
        sheet_put(sheet, INK_PLAIN, "%*s", INDENT - 2, "");
    }
    sheet_put(sheet, ink, "%s", text);
}

static void title(const struct top_block *block, struct sheet *sheet)
{
    char set[FIGURE_SIZE];
    char realised[FIGURE_SIZE];
    const json_t *service = block->service;
    const json_t *weight = json_object_get(service, "weight");
    const char *phase = text_of(service, "phase");
    const char *mark = sheet->look.is_unicode ? "▶ " : "> ";
    sheet_put(sheet, INK_BOLD, "%s%s", block->is_chosen ? mark : "  ", text_of(service, "name"));
    sheet_put(sheet, phase_ink(phase), "  %s", phase);
    if (count_of(service, "steps") > 0) {
        sheet_put(sheet, INK_PLAIN, "  step %lld of %lld", (long long)count_of(service, "step"),
                  (long long)count_of(service, "steps"));
    }
    next_line_if_narrow(sheet);
    sheet_put(sheet, INK_PLAIN, "  weight ");
    sheet_put(sheet, INK_BOLD, "%s", figure_percent(json_object_get(weight, "set"), set));
    sheet_put(sheet, INK_PLAIN, " set, %s realised",
              figure_measured(json_object_get(weight, "realised"), realised));
    if (json_is_true(json_object_get(service, "contained"))) {
        put_mark(INK_RED, "  contained", sheet);
    }
    if (json_is_true(json_object_get(json_object_get(service, "mirror"), "active"))) {
        put_mark(INK_PLAIN, "  mirroring", sheet);
    }
    sheet_end(sheet);
}

static void put_rate(struct sheet *sheet, struct top_rate rate, bool is_wide)
{
    if (!rate.is_known) {
        sheet_put(sheet, INK_DIM, is_wide ? "        - requests/s" : "      -/s");
    } else {
        sheet_put(sheet, INK_PLAIN, is_wide ? " %8.1f requests/s" : " %6.1f/s",
                  rate.requests_per_s);
    }
    if (!rate.is_known || isnan(rate.failed_ratio)) {
        sheet_put(sheet, INK_DIM, "      - %% failed");
    } else {
        sheet_put(sheet, rate.failed_ratio > 0 ? INK_RED : INK_PLAIN, "  %5.1f %% failed",
                  100 * rate.failed_ratio);
    }
}

/* Left out where it would be cut. */
static void put_flight(json_int_t count, struct sheet *sheet)
{
    char text[FIGURE_SIZE];
    (void)snprintf(text, sizeof text, "  %lld in flight", (long long)count);
    if (sheet_width(text) <= sheet->columns_left) {
        sheet_put(sheet, INK_DIM, "%s", text);
    }
}

static void version(const struct top_block *block, enum role role, struct sheet *sheet)
{
    const json_t *one = json_object_get(block->service, role_text(role));
    if (!json_is_object(one)) {
        return;
    }
    double canary = set_percent(block->service);
    double percent = role == ROLE_CURRENT ? canary : 100.0 - canary;
    bool is_wide = sheet->columns >= BAR_FROM_COLUMNS;
    unsigned name_columns = is_wide ? 18 : 16;
    struct top_rate rate = top_rates_of(block->rates, text_of(block->service, "name"), role);
    bool is_failing = rate.is_known && rate.failed_ratio > 0;
    sheet_put(sheet, INK_DIM, "%*s%s  ", INDENT, "", ROLE_WORDS[role]);
    sheet_column(sheet, INK_PLAIN, text_of(one, "deployment"), name_columns);
    sheet_put(sheet, INK_PLAIN, " ");
    if (is_wide) {
        enum sheet_ink calm = role == ROLE_CURRENT ? INK_YELLOW : INK_GREEN;
        sheet_bar(sheet, is_failing ? INK_RED : calm, percent, BAR_COLUMNS);
    }
    sheet_put(sheet, INK_BOLD, " %6.4g %%", percent);
    next_line_if_narrow(sheet);
    put_rate(sheet, rate, is_wide);
    const json_t *endpoints = json_object_get(one, "endpoints");
    json_int_t live = count_of(endpoints, "live");
    sheet_put(sheet, live == 0 ? INK_RED : INK_DIM, "  %lld of %lld up", (long long)live,
              (long long)count_of(endpoints, "all"));
    put_flight(count_of(one, "in_flight"), sheet);
    sheet_end(sheet);
}

static void put_verdict(const struct top_block *block, struct sheet *sheet)
{
    const char *verdict = text_of(block->service, "verdict");
    const char *reason = json_string_value(json_object_get(block->service, "reason"));
    sheet_put(sheet, sheet_verdict_ink(verdict), "%s", verdict);
    if (reason != NULL) {
        sheet_put(sheet, sheet_verdict_ink(verdict), " (%s)", reason);
    }
}

static void verdict(const struct top_block *block, struct sheet *sheet)
{
    const char *sentence = json_string_value(json_object_get(block->service, "sentence"));
    sheet_put(sheet, INK_PLAIN, "%*s", INDENT, "");
    put_verdict(block, sheet);
    if (sentence == NULL || sentence[0] == '\0') {
        sheet_end(sheet);
        return;
    }
    sheet_put(sheet, INK_PLAIN, ": ");
    sheet_words(sheet, INK_PLAIN, sentence, INDENT, SENTENCE_LINES_MAX);
}

/* What a rollback waits for. */
static void verification(const struct top_block *block, struct sheet *sheet)
{
    const json_t *looks = json_object_get(block->service, "verification");
    if (!json_is_object(looks)) {
        return;
    }
    const char *trouble = json_string_value(json_object_get(looks, "trouble"));
    sheet_put(sheet, INK_YELLOW, "%*sverification: %lld of %lld good looks%s", INDENT, "",
              (long long)count_of(looks, "good_looks"), (long long)count_of(looks, "needed"),
              trouble != NULL ? ": " : "");
    sheet_words(sheet, INK_YELLOW, trouble != NULL ? trouble : "", INDENT, SENTENCE_LINES_MAX);
}

/* Weights and pauses in order; only weights are counted by `step`. */
static void ladder(const struct top_block *block, struct sheet *sheet)
{
    const json_t *list = json_object_get(block->detail, "ladder");
    json_int_t step = count_of(block->service, "step");
    json_int_t number = 0;
    if (json_array_size(list) == 0) {
        return;
    }
    sheet_put(sheet, INK_DIM, "%*ssteps ", INDENT, "");
    for (size_t i = 0; i < json_array_size(list); i++) {
        char text[FIGURE_SIZE];
        const json_t *one = json_array_get(list, i);
        if (sheet->columns_left < STEP_COLUMNS) {
            sheet_end(sheet);
            sheet_put(sheet, INK_PLAIN, "%*s", INDENT, "");
        }
        if (!json_is_number(one)) {
            sheet_put(sheet, INK_DIM, "  pause");
            continue;
        }
        number++;
        const char *weight = figure_percent(one, text);
        if (number == step) {
            sheet_put(sheet, INK_BOLD, "  [%s]", weight);
        } else {
            sheet_put(sheet, number < step ? INK_GREEN : INK_DIM, "  %s", weight);
        }
    }
    sheet_end(sheet);
}

/* The test that is nearest to its bar. */
static void evidence(const struct top_block *block, struct sheet *sheet)
{
    const json_t *thresholds = json_object_get(block->detail, "thresholds");
    const json_t *values = json_object_get(block->detail, "evidence");
    const char *nearest = NULL;
    double value = 0;
    double bar = 0;
    for (void *at = json_object_iter((json_t *)thresholds); at != NULL;
         at = json_object_iter_next((json_t *)thresholds, at)) {
        const json_t *found = json_object_get(values, json_object_iter_key(at));
        double threshold = json_number_value(json_object_iter_value(at));
        bool is_nearer = nearest == NULL || json_number_value(found) / threshold > value / bar;
        if (json_is_number(found) && threshold > 0 && is_nearer) {
            nearest = json_object_iter_key(at);
            value = json_number_value(found);
            bar = threshold;
        }
    }
    if (nearest == NULL) {
        return;
    }
    double percent = fmax(100 * value / bar, 0);
    enum sheet_ink ink = percent >= 100 ? INK_RED : percent >= 50 ? INK_YELLOW : INK_GREEN;
    if (is_narrow(sheet)) {
        sheet_put(sheet, ink, "%*s", INDENT - 2, "");
    } else {
        sheet_put(sheet, INK_DIM, "%*sevidence  ", INDENT, "");
        sheet_bar(sheet, ink, percent, EVIDENCE_BAR_COLUMNS);
    }
    sheet_put(sheet, INK_PLAIN, "  %s %.1f of %.1f for a breach", nearest, fmax(value, 0), bar);
    sheet_end(sheet);
}

static void quarantine(const struct top_block *block, struct sheet *sheet)
{
    const json_t *list = json_object_get(block->detail, "quarantine");
    if (json_array_size(list) == 0) {
        return;
    }
    sheet_put(sheet, INK_YELLOW, "%*squarantined:", INDENT, "");
    for (size_t i = 0; i < json_array_size(list); i++) {
        sheet_put(sheet, INK_YELLOW, "%s %s", i > 0 ? "," : "",
                  text_of(json_array_get(list, i), "deployment"));
    }
    sheet_end(sheet);
}

void top_service_block(const struct top_block *block, struct sheet *sheet)
{
    title(block, sheet);
    version(block, ROLE_CURRENT, sheet);
    version(block, ROLE_PREVIOUS, sheet);
    verdict(block, sheet);
    verification(block, sheet);
    ladder(block, sheet);
    evidence(block, sheet);
    quarantine(block, sheet);
}

/* ---- one line ---- */

void top_service_line(const struct top_block *block, struct sheet *sheet)
{
    char set[FIGURE_SIZE];
    const json_t *weight = json_object_get(block->service, "weight");
    const char *phase = text_of(block->service, "phase");
    sheet_put(sheet, INK_PLAIN, "  ");
    sheet_column(sheet, INK_PLAIN, text_of(block->service, "name"), LINE_NAME_COLUMNS);
    sheet_put(sheet, INK_PLAIN, " ");
    sheet_column(sheet, phase_ink(phase), phase, LINE_PHASE_COLUMNS);
    sheet_put(sheet, INK_PLAIN, " %9s  ", figure_percent(json_object_get(weight, "set"), set));
    put_verdict(block, sheet);
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        struct top_rate rate = top_rates_of(block->rates, text_of(block->service, "name"), role);
        if (json_is_object(json_object_get(block->service, role_text(role)))) {
            sheet_put(sheet, INK_DIM, "  %s", ROLE_WORDS[role]);
            put_rate(sheet, rate, false);
        }
    }
    sheet_end(sheet);
}
