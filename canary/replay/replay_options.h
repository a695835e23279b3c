/* canary/replay/replay_options.h — what `serin replay` was asked for. Texts are borrowed from
 * argv. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/err.h"

enum { REPLAY_ADHOC_MAX = 16 };

struct replay_options {
    const char *source; /* a file, "-", or NULL: from the Serin that runs */
    const char *config; /* whose policies; NULL: those that the recording names */
    const char *policies[REPLAY_ADHOC_MAX]; /* as --policy gave them */
    size_t policy_count;
    const char *service;    /* NULL: the only one */
    const char *admin;      /* NULL: the default */
    const char *admin_ca;   /* NULL: as the environment has it */
    const char *admin_cert; /* NULL: as the environment has it */
    const char *token_file; /* NULL: none */
    uint64_t timeout_ms;    /* for each page */
    bool is_json;
    bool is_help;
};

extern const char REPLAY_USAGE[];

/* `argv[0]` is the verb. ERR_SYNTAX; the note says what is wrong. */
MUST_USE enum err replay_options_parse(int argc, char *const *argv,
                                       struct replay_options *ret_options, struct note *note);
