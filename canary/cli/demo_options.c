#include "canary/cli/demo_options.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"

const char DEMO_USAGE[] =
    "usage: serin demo [options]\n"
    "\n"
    "Two versions of a site, clients, and Serin between them: the new version breaks and is "
    "rolled\n"
    "back. Everything runs on loopback and is gone afterwards.\n"
    "\n"
    "  --seconds N     give up after N seconds (10 to 3600; default 60, and what --look says)\n"
    "  --break-at S    the canary breaks after S seconds (default 5, with --look 20; earlier in a\n"
    "                  short story)\n"
    "  --fail-rate P   it answers P % of its requests with 500 (default 30); from 50 on the\n"
    "                  traffic goes back at once instead of in steps\n"
    "  --persist       it fails at any load, not only at the load that broke it\n"
    "  --rate R        requests per second (10 to 500; default 200)\n"
    "  --look S        stay up for S seconds after the story, for its dashboard (1 to 3600)\n"
    "  --keep          stay up after the story, until Ctrl-C\n"
    "  --json          print only the record, as JSON\n"
    "\n"
    "Exit code: 0 rolled back, 1 not rolled back, 2 usage.\n";

static const double SECONDS_DEFAULT = 60.0;
static const double BREAK_AT_DEFAULT_S = 5.0;
/* Time to open the dashboard's address and to see a canary that is well. */
static const double BREAK_AT_LOOKED_S = 20.0;
static const double EVERY_MIN_MS = 200.0, EVERY_MAX_MS = 2000.0;
/* A story of `seconds`: this part of it is calm, and what follows has time for so many steps. */
static const double CALM_PART = 0.2, CALM_PART_LOOKED = 1.0 / 3.0;
static const double STEPS_IN_REST = 16.0;

struct option {
    const char *name;
    size_t offset;
    bool is_flag;
    double low, high;
    double scale; /* what is written times this is what is kept */
};

#define NUMBER(text, member, least, most, factor)                                                  \
    {                                                                                              \
        .name = (text), .offset = offsetof(struct demo_options, member), .low = (least),           \
        .high = (most), .scale = (factor)                                                          \
    }
#define FLAG(text, member)                                                                         \
    {                                                                                              \
        .name = (text), .offset = offsetof(struct demo_options, member), .is_flag = true           \
    }

static const struct option OPTIONS[] = {
    NUMBER("--seconds", seconds, 10.0, 3600.0, 1.0),
    NUMBER("--break-at", break_at_s, 0.5, 3600.0, 1.0),
    NUMBER("--fail-rate", fail_ratio, 1.0, 100.0, 0.01),
    NUMBER("--rate", rate, 10.0, 500.0, 1.0),
    NUMBER("--look", look_s, 1.0, 3600.0, 1.0),
    FLAG("--persist", is_persistent),
    FLAG("--keep", is_kept),
    FLAG("--json", is_json),
    FLAG("--help", is_help),
    FLAG("-h", is_help),
};

static const struct option *option_find(const char *text, size_t size)
{
    for (size_t i = 0; i < COUNT_OF(OPTIONS); i++) {
        if (strlen(OPTIONS[i].name) == size && memcmp(OPTIONS[i].name, text, size) == 0) {
            return &OPTIONS[i];
        }
    }
    return NULL;
}

static enum err number_read(const struct option *option, const char *text, double *ret_number,
                            struct note *note)
{
    char *end = NULL;
    double number = text != NULL ? strtod(text, &end) : 0.0;
    if (text == NULL || end == text || strcmp(*end == '%' ? end + 1 : end, "") != 0 ||
        !isfinite(number)) {
        note_set(note, "%s needs a number", option->name);
        return ERR_SYNTAX;
    }
    if (number < option->low || number > option->high) {
        note_set(note, "%s is from %g to %g", option->name, option->low, option->high);
        return ERR_RANGE;
    }
    *ret_number = number * option->scale;
    return OK;
}

/* Reads the argument at `*index` and, where it is a word of its own, its value after it. */
static enum err argument_read(int argc, char *const *argv, int *index, struct demo_options *options,
                              struct note *note)
{
    const char *text = argv[*index];
    const char *equals = strchr(text, '=');
    const struct option *option =
        option_find(text, equals != NULL ? (size_t)(equals - text) : strlen(text));
    if (option == NULL || (option->is_flag && equals != NULL)) {
        note_set(note, "there is no option %s", text);
        return ERR_SYNTAX;
    }
    char *place = (char *)options + option->offset;
    if (option->is_flag) {
        *(bool *)(void *)place = true;
        return OK;
    }
    const char *value = NULL;
    if (equals != NULL) {
        value = equals + 1;
    } else if (*index + 1 < argc) {
        value = argv[++*index];
    }
    return number_read(option, value, (double *)(void *)place, note);
}

enum err demo_options_parse(int argc, char *const *argv, struct demo_options *ret_options,
                            struct note *note)
{
    struct demo_options options = {
        .seconds = NAN, .break_at_s = NAN, .fail_ratio = 0.3, .rate = 200.0};
    for (int i = 1; i < argc; i++) {
        enum err err = argument_read(argc, argv, &i, &options, note);
        if (err != OK) {
            return err;
        }
    }
    if (isnan(options.seconds)) {
        options.seconds = SECONDS_DEFAULT + options.look_s;
    }
    if (isnan(options.break_at_s)) {
        bool is_looked = options.look_s > 0.0;
        options.break_at_s = fmin(is_looked ? BREAK_AT_LOOKED_S : BREAK_AT_DEFAULT_S,
                                  options.seconds * (is_looked ? CALM_PART_LOOKED : CALM_PART));
    }
    if (options.break_at_s >= options.seconds) {
        note_set(note, "--break-at %g lies behind the end, --seconds %g", options.break_at_s,
                 options.seconds);
        return ERR_RANGE;
    }
    double rest_ms = (options.seconds - options.break_at_s) * 1000.0;
    options.every_ms = (unsigned)fmin(fmax(rest_ms / STEPS_IN_REST, EVERY_MIN_MS), EVERY_MAX_MS);
    *ret_options = options;
    return OK;
}
