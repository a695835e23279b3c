/* canary/cli/options.h — the command line, read by one table: verbs, their options, and the help
 * that both make.
 *
 * Pure but for the environment's SERIN_ADMIN, which is passed in. Texts are borrowed from argv. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proxy/base/err.h"

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_REFUSED = 3,
    CLI_DENIED = 4,
    CLI_TIMED_OUT = 5, /* or rate limited */
};

enum { CLI_HEADERS_MAX = 16, CLI_LIMIT_MAX = 1000 };

#define CLI_ADMIN_DEFAULT "http://127.0.0.1:9901"

/* One bit per option; a verb says which it takes. */
enum cli_option {
    CLI_OPTION_ADMIN = 1 << 0,
    CLI_OPTION_TOKEN_FILE = 1 << 1,
    CLI_OPTION_JSON = 1 << 2,
    CLI_OPTION_TIMEOUT = 1 << 3,
    CLI_OPTION_SERVICE = 1 << 4,
    CLI_OPTION_REASON = 1 << 5,
    CLI_OPTION_INSTANT = 1 << 6,
    CLI_OPTION_DRY_RUN = 1 << 7,
    CLI_OPTION_LIMIT = 1 << 8,
    CLI_OPTION_HEADER = 1 << 9,
    CLI_OPTION_CLIENT = 1 << 10,
    CLI_OPTION_COUNTERS = 1 << 11,
    CLI_OPTION_AUDIT = 1 << 12,
    CLI_OPTION_FULL = 1 << 13,
    CLI_OPTION_PROJECT = 1 << 14,
    CLI_OPTION_ACCOUNT = 1 << 15,
    CLI_OPTION_TO = 1 << 16,
    CLI_OPTION_EXPECT_CURRENT = 1 << 17,
    CLI_OPTION_ENVIRONMENT = 1 << 18,
    CLI_OPTION_WAIT = 1 << 19,
    CLI_OPTION_GITHUB = 1 << 20,
    CLI_OPTION_DEPLOYMENT = 1 << 21,
    CLI_OPTION_STEPS = 1 << 22,
    CLI_OPTION_WAIT_END = 1 << 23, /* also --wait: each verb takes one of the two */
    CLI_OPTION_VERIFY = 1 << 24,
    CLI_OPTION_SUMMARY = 1 << 25,
    CLI_OPTION_EXPORT = 1 << 26,
    CLI_OPTION_SVG = 1 << 27,
    CLI_OPTION_ONCE = 1 << 28,
    CLI_OPTION_ADMIN_CA = 1 << 29,
    CLI_OPTION_ADMIN_CERT = 1 << 30,
    /* What every verb that asks a Serin needs to reach it. */
    CLI_OPTION_REACH =
        CLI_OPTION_ADMIN | CLI_OPTION_ADMIN_CA | CLI_OPTION_ADMIN_CERT | CLI_OPTION_TOKEN_FILE,
    CLI_OPTION_COMMON = CLI_OPTION_REACH | CLI_OPTION_JSON | CLI_OPTION_TIMEOUT,
};

struct cli_verb;

struct cli_options {
    const struct cli_verb *verb;
    const char *admin;      /* as given, or from the environment, or the default */
    const char *admin_ca;   /* NULL: SERIN_ADMIN_CA, or the system's */
    const char *admin_cert; /* NULL: SERIN_ADMIN_CERT, or none */
    const char *token_file;
    const char *service;
    const char *reason;
    const char *client;
    const char *deployment; /* NULL: made from the URL */
    const char *steps;      /* NULL: those of the configuration */
    const char *summary;    /* day, week or month; NULL: none */
    const char *headers[CLI_HEADERS_MAX];
    size_t header_count;
    char *const *command; /* of a verb that takes one: its words, ended by NULL */
    const char *argument; /* PERCENT, URL, DEPLOYMENT; NULL: none */
    const char *project;
    const char *account;
    const char *to;
    const char *expect_current;
    const char *environment;
    uint64_t wait_ms; /* for a rollback at the platform to be seen */
    uint64_t timeout_ms;
    bool has_timeout; /* it was given */
    bool has_admin;   /* it was given, here or by the environment */
    unsigned limit;
    bool is_json;
    bool is_instant;
    bool is_dry_run;
    bool is_help;
    bool has_counters;
    bool is_audit;
    bool is_verified;
    bool is_exported;
    bool is_svg;
    bool is_once;
    bool is_full;
    bool is_github;
    bool is_waiting;
};

struct cli_verb {
    const char *name;
    const char
        *argument;       /* "PERCENT", "[PERCENT]" when it may be left out, "-- COMMAND..." when all
                            words from the first one on belong to it, NULL when there is none */
    unsigned options;    /* bits of enum cli_option, the common ones included */
    unsigned required;   /* those that must be given */
    const char *summary; /* one line */
    const char *help;    /* more of it, or NULL */
    int (*run)(const struct cli_options *options);
};

/* An option as people see it. */
struct cli_option_text {
    const char *name;
    char letter;       /* 0: none */
    const char *value; /* what it takes; NULL: nothing; "[...]": only in the same word */
    const char *help;
};

/* A verb that is not in the table below: what main does itself, with options of its own. Its
 * --help is its own too; a test holds it to these. */
enum { CLI_OWN_OPTIONS_MAX = 10 };
struct cli_own_verb {
    const char *name;
    const char *argument; /* "[-c FILE]", or NULL */
    const char *summary;
    struct cli_option_text options[CLI_OWN_OPTIONS_MAX]; /* the one after the last has no name */
};
/* The entry after the last has no name. */
extern const struct cli_own_verb cli_own_verbs[];

#define CLI_EXIT_CODES                                                                             \
    "Exit codes: 0 done, 1 failed, 2 usage, 3 refused,\n4 not authorised, 5 timed out or rate "    \
    "limited."

enum cli_kind {
    CLI_KIND_CLIENT, /* asks a Serin */
    CLI_KIND_JOB,    /* for a job in CI */
    CLI_KIND_SHELL,  /* asks nobody */
};

/* The table; the entry after the last has no name. */
extern const struct cli_verb cli_verbs[];
const struct cli_verb *cli_verb_find(const char *name);
enum cli_kind cli_verb_kind(const struct cli_verb *verb);
/* Its options in the order of the help; NULL after the last. */
const struct cli_option_text *cli_verb_option_at(const struct cli_verb *verb, size_t index);

/* Reads argv[2…] for the verb argv[1] names. ERR_SYNTAX: `note` says what is wrong. With --help
 * nothing else is asked for. `environment_admin` is SERIN_ADMIN or NULL. */
MUST_USE enum err cli_options_parse(int argc, char **argv, const char *environment_admin,
                                    struct cli_options *ret_options, struct note *note);

void cli_print_help(FILE *out);
void cli_print_verb_help(FILE *out, const struct cli_verb *verb);
/* Of a verb that main does itself; it is there. */
void cli_print_own_help(FILE *out, const char *name);
