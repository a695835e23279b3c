/* canary/cli/demo_options.h — what `serin demo` was asked for. Pure; any thread. */
#pragma once
#include <stdbool.h>

#include "proxy/base/err.h"

struct demo_options {
    double seconds;     /* the story is given up after these */
    double break_at_s;  /* the canary breaks so long after the first request */
    double fail_ratio;  /* of its answers from then on, 0 to 1 */
    double rate;        /* requests per second, both versions together */
    double look_s;      /* stays up so long after the story; 0: it ends with it */
    unsigned every_ms;  /* between two steps of the shift back */
    bool is_persistent; /* it fails at any load, not only at the one that broke it */
    bool is_kept;       /* stays up after the story */
    bool is_json;       /* only the record, as JSON */
    bool is_help;       /* was asked what the options are */
};

extern const char DEMO_USAGE[];

/* `argv[0]` is the verb. What is not given has its default; a short story has early breaks and
 * quick steps; one to look at breaks late
 * enough for a browser to be there. ERR_SYNTAX (no such option, no number), ERR_RANGE; the note
 * says which. */
MUST_USE enum err demo_options_parse(int argc, char *const *argv, struct demo_options *ret_options,
                                     struct note *note);
