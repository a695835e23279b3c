#include "canary/cli/options.h"

#include <string.h>

#include "conf/conf_number.h"
#include "proxy/base/bytes.h"
#include "proxy/base/check.h"

enum {
    TIMEOUT_DEFAULT_MS = 10000,
    TIMEOUT_MAX_MS = 7 * 24 * 3600 * 1000,
    WAIT_DEFAULT_MS = 120 * 1000,
    WAIT_MAX_MS = 3600 * 1000,
    LIMIT_DEFAULT = 20,
    PAD = 26
};

struct option {
    enum cli_option bit;
    struct cli_option_text text;
};

static const struct option options[] = {
    {CLI_OPTION_SERVICE,
     {"--service", 's', "NAME", "which service; needed where there are several"}},
    {CLI_OPTION_REASON, {"--reason", 'r', "TEXT", "why; kept in the audit trail"}},
    {CLI_OPTION_DEPLOYMENT,
     {"--deployment", 'd', "ID", "its name (default: from a pages.dev host, else a hash)"}},
    {CLI_OPTION_STEPS, {"--steps", 0, "LIST", "as 1%,5%,pause,100% (default: as configured)"}},
    {CLI_OPTION_WAIT_END, {"--wait", 'w', NULL, "until it has ended; the exit code says how"}},
    {CLI_OPTION_INSTANT, {"--instant", 0, NULL, "all at once instead of in steps"}},
    {CLI_OPTION_FULL, {"--full", 0, NULL, "past all steps, to the bake at 100 %"}},
    {CLI_OPTION_DRY_RUN, {"--dry-run", 'n', NULL, "say what would happen, change nothing"}},
    {CLI_OPTION_PROJECT, {"--project", 'p', "NAME", "the Pages project"}},
    {CLI_OPTION_ACCOUNT, {"--account", 0, "ID", "the account (default CLOUDFLARE_ACCOUNT_ID)"}},
    {CLI_OPTION_TO,
     {"--to", 0, "ID|URL|COMMIT",
      "where to (default: the last good production deployment before the live one)"}},
    {CLI_OPTION_EXPECT_CURRENT,
     {"--expect-current", 0, "ID|COMMIT", "refuse unless this one is live"}},
    {CLI_OPTION_ENVIRONMENT, {"--environment", 0, "NAME", "production (default) or preview"}},
    {CLI_OPTION_WAIT,
     {"--wait", 0, "[=TIME]", "how long to wait until it is live (default 120s; 0: not at all)"}},
    {CLI_OPTION_GITHUB,
     {"--github", 0, NULL,
      "write a job's outputs, summary and annotations (as when GITHUB_ACTIONS=true)"}},
    {CLI_OPTION_LIMIT, {"--limit", 0, "COUNT", "how many, 1 to 1000 (default 20)"}},
    {CLI_OPTION_AUDIT, {"--audit", 0, NULL, "the audit trail instead of the rollbacks"}},
    {CLI_OPTION_SUMMARY,
     {"--summary", 0, "PERIOD", "how many, how well and how fast, by day, week or month"}},
    {CLI_OPTION_SVG, {"--svg", 0, NULL, "the chart of weight and failures over time"}},
    {CLI_OPTION_EXPORT, {"--export", 0, NULL, "write everything to a file beside the state file"}},
    {CLI_OPTION_VERIFY, {"--verify", 0, NULL, "check that nobody changed the audit trail"}},
    {CLI_OPTION_HEADER,
     {"--header", 'H', "'NAME: VALUE'", "a header of the request; may be repeated"}},
    {CLI_OPTION_CLIENT, {"--client", 0, "ADDRESS", "the client's address"}},
    {CLI_OPTION_COUNTERS, {"--counters", 0, NULL, "also the counters, once a second"}},
    {CLI_OPTION_ONCE, {"--once", '1', NULL, "one frame as text, then the end; for scripts"}},
    {CLI_OPTION_JSON, {"--json", 0, NULL, "for programs: JSON"}},
    {CLI_OPTION_ADMIN,
     {"--admin", 0, "URL",
      "where Serin listens (default SERIN_ADMIN, then " CLI_ADMIN_DEFAULT "); unix:/path too"}},
    {CLI_OPTION_TOKEN_FILE,
     {"--token-file", 0, "FILE", "the token (default: from the environment)"}},
    {CLI_OPTION_TIMEOUT, {"--timeout", 0, "TIME", "how long to wait for an answer (default 10s)"}},
};

const struct cli_option_text *cli_verb_option_at(const struct cli_verb *verb, size_t index)
{
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if ((verb->options & (unsigned)options[i].bit) != 0 && index-- == 0) {
            return &options[i].text;
        }
    }
    return NULL;
}

const struct cli_verb *cli_verb_find(const char *name)
{
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (strcmp(verb->name, name) == 0) {
            return verb;
        }
    }
    return NULL;
}

/* "--name", "--name=value", "-x", "-xvalue"; `ret_value` is what stands in the same word, or NULL.
 */
static const struct option *find_option(const struct cli_verb *verb, const char *word,
                                        const char **ret_value)
{
    *ret_value = NULL;
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        const struct option *option = &options[i];
        size_t size = strlen(option->text.name);
        if ((verb->options & (unsigned)option->bit) == 0) {
            continue;
        }
        if (strncmp(word, option->text.name, size) == 0 &&
            (word[size] == '\0' || word[size] == '=')) {
            *ret_value = word[size] == '=' ? word + size + 1 : NULL;
            return option;
        }
        if (option->text.letter != 0 && word[0] == '-' && word[1] == option->text.letter) {
            *ret_value = word[2] != '\0' ? word + 2 : NULL;
            return option;
        }
    }
    return NULL;
}

static enum err read_limit(const char *value, unsigned *ret_limit, struct note *note)
{
    uint64_t limit = 0;
    if (!bytes_to_u64(bytes_of(value), &limit) || limit == 0 || limit > CLI_LIMIT_MAX) {
        note_set(note, "--limit is a number from 1 to %d", CLI_LIMIT_MAX);
        return ERR_SYNTAX;
    }
    *ret_limit = (unsigned)limit;
    return OK;
}

static enum err read_period(const char *value, const char **ret_period, struct note *note)
{
    static const char *const periods[] = {"day", "week", "month"};
    for (size_t i = 0; i < COUNT_OF(periods); i++) {
        if (strcmp(value, periods[i]) == 0) {
            *ret_period = periods[i];
            return OK;
        }
    }
    note_set(note, "--summary is day, week or month");
    return ERR_SYNTAX;
}

static enum err read_timeout(const char *value, uint64_t *ret_timeout_ms, struct note *note)
{
    uint64_t timeout_us = 0;
    enum err err = conf_number_parse(CONF_TYPE_DURATION, bytes_of(value), NULL, &timeout_us);
    if (err != OK || timeout_us < 1000 || timeout_us / 1000 > TIMEOUT_MAX_MS) {
        note_set(note, "--timeout is a time like 500ms or 10s, at most 7d");
        return ERR_SYNTAX;
    }
    *ret_timeout_ms = timeout_us / 1000;
    return OK;
}

/* A time, or seconds as a plain number; NULL: it was given without one. */
static enum err read_wait(const char *value, uint64_t *ret_wait_ms, struct note *note)
{
    uint64_t seconds = 0;
    uint64_t wait_us = 0;
    if (value == NULL) {
        return OK;
    }
    if (bytes_to_u64(bytes_of(value), &seconds) && seconds <= WAIT_MAX_MS / 1000) {
        *ret_wait_ms = seconds * 1000;
        return OK;
    }
    enum err err = conf_number_parse(CONF_TYPE_DURATION, bytes_of(value), NULL, &wait_us);
    if (err != OK || wait_us / 1000 > WAIT_MAX_MS) {
        note_set(note, "--wait is a time like 90s or 2m, at most 1h");
        return ERR_SYNTAX;
    }
    *ret_wait_ms = wait_us / 1000;
    return OK;
}

/* A guard that is empty because a variable was would guard nothing. */
static enum err take_text(const char **ret_text, const char *name, const char *value,
                          struct note *note)
{
    if (value[0] == '\0') {
        note_set(note, "%s is empty", name);
        return ERR_SYNTAX;
    }
    *ret_text = value;
    return OK;
}

static enum err add_header(struct cli_options *parsed, const char *value, struct note *note)
{
    const char *colon = strchr(value, ':');
    if (colon == NULL || colon == value || strpbrk(value, "\r\n") != NULL) {
        note_set(note, "--header is 'NAME: VALUE'");
        return ERR_SYNTAX;
    }
    if (parsed->header_count == CLI_HEADERS_MAX) {
        note_set(note, "--header may be given %d times", CLI_HEADERS_MAX);
        return ERR_SYNTAX;
    }
    parsed->headers[parsed->header_count++] = value;
    return OK;
}

static enum err take_option(struct cli_options *parsed, enum cli_option bit, const char *value,
                            struct note *note)
{
    switch (bit) {
    case CLI_OPTION_ADMIN:
        parsed->admin = value;
        parsed->has_admin = true;
        return OK;
    case CLI_OPTION_TOKEN_FILE:
        parsed->token_file = value;
        return OK;
    case CLI_OPTION_SERVICE:
        parsed->service = value;
        return OK;
    case CLI_OPTION_REASON:
        parsed->reason = value;
        return OK;
    case CLI_OPTION_CLIENT:
        parsed->client = value;
        return OK;
    case CLI_OPTION_JSON:
        parsed->is_json = true;
        return OK;
    case CLI_OPTION_INSTANT:
        parsed->is_instant = true;
        return OK;
    case CLI_OPTION_DRY_RUN:
        parsed->is_dry_run = true;
        return OK;
    case CLI_OPTION_COUNTERS:
        parsed->has_counters = true;
        return OK;
    case CLI_OPTION_AUDIT:
        parsed->is_audit = true;
        return OK;
    case CLI_OPTION_EXPORT:
        parsed->is_exported = true;
        return OK;
    case CLI_OPTION_ONCE:
        parsed->is_once = true;
        return OK;
    case CLI_OPTION_SVG:
        parsed->is_svg = true;
        return OK;
    case CLI_OPTION_VERIFY:
        parsed->is_verified = true;
        return OK;
    case CLI_OPTION_SUMMARY:
        return read_period(value, &parsed->summary, note);
    case CLI_OPTION_LIMIT:
        return read_limit(value, &parsed->limit, note);
    case CLI_OPTION_DEPLOYMENT:
        parsed->deployment = value;
        return OK;
    case CLI_OPTION_STEPS:
        parsed->steps = value;
        return OK;
    case CLI_OPTION_WAIT_END:
        parsed->is_waiting = true;
        return OK;
    case CLI_OPTION_FULL:
        parsed->is_full = true;
        return OK;
    case CLI_OPTION_PROJECT:
        return take_text(&parsed->project, "--project", value, note);
    case CLI_OPTION_ACCOUNT:
        return take_text(&parsed->account, "--account", value, note);
    case CLI_OPTION_TO:
        return take_text(&parsed->to, "--to", value, note);
    case CLI_OPTION_EXPECT_CURRENT:
        return take_text(&parsed->expect_current, "--expect-current", value, note);
    case CLI_OPTION_ENVIRONMENT:
        return take_text(&parsed->environment, "--environment", value, note);
    case CLI_OPTION_WAIT:
        return read_wait(value, &parsed->wait_ms, note);
    case CLI_OPTION_GITHUB:
        parsed->is_github = true;
        return OK;
    case CLI_OPTION_TIMEOUT:
        parsed->has_timeout = true;
        return read_timeout(value, &parsed->timeout_ms, note);
    case CLI_OPTION_HEADER:
        return add_header(parsed, value, note);
    case CLI_OPTION_COMMON:
        break;
    }
    return ERR_SYNTAX;
}

static enum err parse_option(int argc, char **argv, int *at, struct cli_options *parsed,
                             unsigned *given, struct note *note)
{
    const char *value = NULL;
    const struct option *option = find_option(parsed->verb, argv[*at], &value);
    if (option == NULL) {
        note_set(note, "%s has no option %s", parsed->verb->name, argv[*at]);
        return ERR_SYNTAX;
    }
    if (option->text.value == NULL && value != NULL) {
        note_set(note, "%s takes no value", option->text.name);
        return ERR_SYNTAX;
    }
    bool needs_value = option->text.value != NULL && option->text.value[0] != '[';
    if (needs_value && value == NULL) {
        if (*at + 1 == argc) {
            note_set(note, "%s needs %s", option->text.name, option->text.value);
            return ERR_SYNTAX;
        }
        value = argv[++*at];
    }
    *given |= (unsigned)option->bit;
    return take_option(parsed, option->bit, value, note);
}

static enum err take_argument(struct cli_options *parsed, const char *word, struct note *note)
{
    if (parsed->verb->argument == NULL || parsed->argument != NULL) {
        note_set(note, "%s: one word too many: %s", parsed->verb->name, word);
        return ERR_SYNTAX;
    }
    parsed->argument = word;
    return OK;
}

static enum err check_complete(const struct cli_options *parsed, unsigned given, struct note *note)
{
    const struct cli_verb *verb = parsed->verb;
    if (verb->argument != NULL && verb->argument[0] != '[' && parsed->argument == NULL) {
        note_set(note, "%s needs %s", verb->name, verb->argument);
        return ERR_SYNTAX;
    }
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        unsigned missing = verb->required & ~given;
        if ((missing & (unsigned)options[i].bit) != 0) {
            note_set(note, "%s needs %s %s", verb->name, options[i].text.name,
                     options[i].text.value);
            return ERR_SYNTAX;
        }
    }
    return OK;
}

/* The first word of a command: it and all that follow are not ours to read. */
static bool takes_rest(const struct cli_verb *verb)
{
    return verb->argument != NULL && strstr(verb->argument, "...") != NULL;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

enum err cli_options_parse(int argc, char **argv, const char *environment_admin,
                           struct cli_options *ret_options, struct note *note)
{
    bool has_admin = environment_admin != NULL && environment_admin[0] != '\0';
    struct cli_options parsed = {.verb = argc >= 2 ? cli_verb_find(argv[1]) : NULL,
                                 .admin = has_admin ? environment_admin : CLI_ADMIN_DEFAULT,
                                 .has_admin = has_admin,
                                 .timeout_ms = TIMEOUT_DEFAULT_MS,
                                 .wait_ms = WAIT_DEFAULT_MS,
                                 .limit = LIMIT_DEFAULT};
    if (parsed.verb == NULL) {
        note_set(note, "there is no verb %s", argc >= 2 ? argv[1] : "");
        return ERR_SYNTAX;
    }
    unsigned given = 0;
    bool is_words_only = false;
    for (int i = 2; i < argc; i++) {
        if (!is_words_only && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            parsed.is_help = true;
            *ret_options = parsed;
            return OK;
        }
        if (!is_words_only && strcmp(argv[i], "--") == 0) {
            is_words_only = true;
            continue;
        }
        bool is_word = is_words_only || !is_option(argv[i]);
        if (is_word && takes_rest(parsed.verb)) {
            parsed.argument = argv[i];
            parsed.command = &argv[i];
            break;
        }
        enum err err = !is_word ? parse_option(argc, argv, &i, &parsed, &given, note)
                                : take_argument(&parsed, argv[i], note);
        if (err != OK) {
            return err;
        }
    }
    enum err err = check_complete(&parsed, given, note);
    if (err == OK) {
        *ret_options = parsed;
    }
    return err;
}

/* ---- help ---- */

static void print_verb(FILE *out, const char *name, const char *argument, const char *summary)
{
    char head[64];
    (void)snprintf(head, sizeof head, "%s %s", name, argument != NULL ? argument : "");
    (void)fprintf(out, "  %-*s%s\n", PAD, head, summary);
}

static void print_verbs(FILE *out, enum cli_kind kind)
{
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        if (cli_verb_kind(verb) == kind) {
            print_verb(out, verb->name, verb->argument, verb->summary);
        }
    }
}

enum cli_kind cli_verb_kind(const struct cli_verb *verb)
{
    if ((verb->options & CLI_OPTION_ADMIN) != 0) {
        return CLI_KIND_CLIENT;
    }
    return verb->options != 0 ? CLI_KIND_JOB : CLI_KIND_SHELL;
}

void cli_print_help(FILE *out)
{
    (void)fprintf(out, "usage: serin VERB [OPTION...]\n\n");
    for (const struct cli_own_verb *verb = cli_own_verbs; verb->name != NULL; verb++) {
        print_verb(out, verb->name, verb->argument, verb->summary);
    }
    print_verbs(out, CLI_KIND_SHELL);
    (void)fprintf(out, "\nTalking to a Serin that runs:\n");
    print_verbs(out, CLI_KIND_CLIENT);
    (void)fprintf(out, "\nFor a job in CI, where no Serin runs:\n");
    print_verbs(out, CLI_KIND_JOB);
    (void)fprintf(out, "\nserin VERB --help says more. %s\n", CLI_EXIT_CODES);
}

static void print_option(FILE *out, const struct option *option)
{
    char letter[8] = "";
    char head[64];
    if (option->text.letter != 0) {
        (void)snprintf(letter, sizeof letter, "-%c, ", option->text.letter);
    }
    bool is_joined = option->text.value != NULL && option->text.value[0] == '[';
    (void)snprintf(head, sizeof head, "%s%s%s%s", letter, option->text.name, is_joined ? "" : " ",
                   option->text.value != NULL ? option->text.value : "");
    (void)fprintf(out, "  %-*s %s\n", PAD, head, option->text.help);
}

void cli_print_verb_help(FILE *out, const struct cli_verb *verb)
{
    bool is_last = takes_rest(verb);
    (void)fprintf(out, "usage: serin %s", verb->name);
    if (verb->argument != NULL && !is_last) {
        (void)fprintf(out, " %s", verb->argument);
    }
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if ((verb->required & (unsigned)options[i].bit) != 0) {
            (void)fprintf(out, " %s %s", options[i].text.name, options[i].text.value);
        }
    }
    (void)fprintf(out, " [OPTION...]%s%s\n\n%s.\n", is_last ? " " : "",
                  is_last ? verb->argument : "", verb->summary);
    if (verb->help != NULL) {
        (void)fprintf(out, "%s\n", verb->help);
    }
    (void)fprintf(out, "\n");
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if ((verb->options & (unsigned)options[i].bit) != 0) {
            print_option(out, &options[i]);
        }
    }
}
