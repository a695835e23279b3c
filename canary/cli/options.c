#include "canary/cli/options.h"

#include <ctype.h>
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

/* What becomes of an option's value. */
struct option {
    enum cli_option bit;
    struct cli_option_text text;
    enum { KEEP_TEXT, KEEP_FILLED, KEEP_FLAG, KEEP_READ } keep;
    size_t offset; /* of the member, but for KEEP_READ */
    enum err (*read)(const char *value, struct cli_options *options, struct note *note);
};

#define TEXT(member)   KEEP_TEXT, offsetof(struct cli_options, member), NULL
#define FILLED(member) KEEP_FILLED, offsetof(struct cli_options, member), NULL
#define FLAG(member)   KEEP_FLAG, offsetof(struct cli_options, member), NULL
#define READ(function) KEEP_READ, 0, function

static enum err read_limit(const char *value, struct cli_options *options, struct note *note)
{
    uint64_t limit = 0;
    if (!bytes_to_u64(bytes_of(value), &limit) || limit == 0 || limit > CLI_LIMIT_MAX) {
        note_set(note, "--limit is a number from 1 to %d", CLI_LIMIT_MAX);
        return ERR_SYNTAX;
    }
    options->limit = (unsigned)limit;
    return OK;
}

static enum err read_period(const char *value, struct cli_options *options, struct note *note)
{
    static const char *const periods[] = {"day", "week", "month"};
    for (size_t i = 0; i < COUNT_OF(periods); i++) {
        if (strcmp(value, periods[i]) == 0) {
            options->summary = periods[i];
            return OK;
        }
    }
    note_set(note, "--summary is day, week or month");
    return ERR_SYNTAX;
}

static enum err read_timeout(const char *value, struct cli_options *options, struct note *note)
{
    uint64_t timeout_us = 0;
    enum err err = conf_number_parse(CONF_TYPE_DURATION, bytes_of(value), NULL, &timeout_us);
    if (err != OK || timeout_us < 1000 || timeout_us / 1000 > TIMEOUT_MAX_MS) {
        note_set(note, "--timeout is a time like 500ms or 10s, at most 7d");
        return ERR_SYNTAX;
    }
    options->timeout_ms = timeout_us / 1000;
    return OK;
}

/* A time, or seconds as a plain number; NULL: it was given without one. */
static enum err read_wait(const char *value, struct cli_options *options, struct note *note)
{
    uint64_t seconds = 0;
    uint64_t wait_us = 0;
    if (value == NULL) {
        return OK;
    }
    if (bytes_to_u64(bytes_of(value), &seconds) && seconds <= WAIT_MAX_MS / 1000) {
        options->wait_ms = seconds * 1000;
        return OK;
    }
    enum err err = conf_number_parse(CONF_TYPE_DURATION, bytes_of(value), NULL, &wait_us);
    if (err != OK || wait_us / 1000 > WAIT_MAX_MS) {
        note_set(note, "--wait is a time like 90s or 2m, at most 1h");
        return ERR_SYNTAX;
    }
    options->wait_ms = wait_us / 1000;
    return OK;
}

static enum err add_header(const char *value, struct cli_options *options, struct note *note)
{
    const char *colon = strchr(value, ':');
    if (colon == NULL || colon == value || strpbrk(value, "\r\n") != NULL) {
        note_set(note, "--header is 'NAME: VALUE'");
        return ERR_SYNTAX;
    }
    if (options->header_count == CLI_HEADERS_MAX) {
        note_set(note, "--header may be given %d times", CLI_HEADERS_MAX);
        return ERR_SYNTAX;
    }
    options->headers[options->header_count++] = value;
    return OK;
}

static const struct option options[] = {
    {CLI_OPTION_SERVICE,
     {"--service", 's', "NAME", "which service, where there are several"},
     TEXT(service)},
    {CLI_OPTION_REASON, {"--reason", 'r', "TEXT", "why; kept in the audit trail"}, TEXT(reason)},
    {CLI_OPTION_DEPLOYMENT,
     {"--deployment", 'd', "ID", "its name (default: from a pages.dev host, else a hash)"},
     TEXT(deployment)},
    {CLI_OPTION_STEPS,
     {"--steps", 0, "LIST", "as 1%,5%,pause,100% (default: as configured)"},
     TEXT(steps)},
    {CLI_OPTION_WAIT_END,
     {"--wait", 'w', NULL, "until it has ended; the exit code says how"},
     FLAG(is_waiting)},
    {CLI_OPTION_INSTANT,
     {"--instant", 0, NULL, "all at once instead of in steps"},
     FLAG(is_instant)},
    {CLI_OPTION_FULL, {"--full", 0, NULL, "past all steps, to the bake at 100 %"}, FLAG(is_full)},
    {CLI_OPTION_DRY_RUN,
     {"--dry-run", 'n', NULL, "say what would happen, change nothing"},
     FLAG(is_dry_run)},
    {CLI_OPTION_PROJECT, {"--project", 'p', "NAME", "the Pages project"}, FILLED(project)},
    {CLI_OPTION_ACCOUNT,
     {"--account", 0, "ID", "the account (default CLOUDFLARE_ACCOUNT_ID)"},
     FILLED(account)},
    {CLI_OPTION_TO,
     {"--to", 0, "ID|URL|COMMIT",
      "where to (default: the last good production deployment before the live one)"},
     FILLED(to)},
    {CLI_OPTION_EXPECT_CURRENT,
     {"--expect-current", 0, "ID|COMMIT", "refuse unless this one is live"},
     FILLED(expect_current)},
    {CLI_OPTION_ENVIRONMENT,
     {"--environment", 0, "NAME", "production (default) or preview"},
     FILLED(environment)},
    {CLI_OPTION_WAIT,
     {"--wait", 0, "[=TIME]", "how long to wait until it is live (default 120s; 0: not at all)"},
     READ(read_wait)},
    {CLI_OPTION_GITHUB,
     {"--github", 0, NULL,
      "write a job's outputs, summary and annotations (as when GITHUB_ACTIONS=true)"},
     FLAG(is_github)},
    {CLI_OPTION_LIMIT,
     {"--limit", 0, "COUNT", "how many, 1 to 1000 (default 20)"},
     READ(read_limit)},
    {CLI_OPTION_AUDIT,
     {"--audit", 0, NULL, "the audit trail instead of the rollbacks"},
     FLAG(is_audit)},
    {CLI_OPTION_SUMMARY,
     {"--summary", 0, "PERIOD", "how many, how well and how fast, by day, week or month"},
     READ(read_period)},
    {CLI_OPTION_SVG,
     {"--svg", 0, NULL, "the chart of weight and failures over time"},
     FLAG(is_svg)},
    {CLI_OPTION_EXPORT,
     {"--export", 0, NULL, "write everything to a file beside the state file"},
     FLAG(is_exported)},
    {CLI_OPTION_VERIFY,
     {"--verify", 0, NULL, "check that nobody changed the audit trail"},
     FLAG(is_verified)},
    {CLI_OPTION_HEADER,
     {"--header", 'H', "'NAME: VALUE'", "a header of the request; may be repeated"},
     READ(add_header)},
    {CLI_OPTION_CLIENT, {"--client", 0, "ADDRESS", "the client's address"}, TEXT(client)},
    {CLI_OPTION_COUNTERS,
     {"--counters", 0, NULL, "also the counters, once a second"},
     FLAG(has_counters)},
    {CLI_OPTION_ONCE,
     {"--once", '1', NULL, "one frame as text, then the end; for scripts"},
     FLAG(is_once)},
    {CLI_OPTION_JSON, {"--json", 0, NULL, "for programs: JSON"}, FLAG(is_json)},
    {CLI_OPTION_ADMIN,
     {"--admin", 0, "URL",
      "where Serin listens (default SERIN_ADMIN, then " CLI_ADMIN_DEFAULT
      "); https:// and unix:/path too"},
     TEXT(admin)},
    {CLI_OPTION_ADMIN_CA,
     {"--admin-ca", 0, "FILE",
      "whom to trust for https:// (default SERIN_ADMIN_CA, then the system's authorities)"},
     FILLED(admin_ca)},
    {CLI_OPTION_ADMIN_CERT,
     {"--admin-cert", 0, "FILE",
      "our own certificate for https://, its key in the same file (default SERIN_ADMIN_CERT)"},
     FILLED(admin_cert)},
    {CLI_OPTION_TOKEN_FILE,
     {"--token-file", 0, "FILE", "the token (default SERIN_TOKEN; of Pages CLOUDFLARE_API_TOKEN)"},
     TEXT(token_file)},
    {CLI_OPTION_TIMEOUT,
     {"--timeout", 0, "TIME", "how long to wait for an answer (default 10s)"},
     READ(read_timeout)},
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

static enum err take_option(struct cli_options *parsed, const struct option *option,
                            const char *value, struct note *note)
{
    static const bool is_on = true;
    char *place = (char *)parsed + option->offset;
    switch (option->keep) {
    case KEEP_FILLED:
        /* A guard that is empty because a variable was would guard nothing. */
        if (value[0] == '\0') {
            note_set(note, "%s is empty", option->text.name);
            return ERR_SYNTAX;
        }
        memcpy(place, &value, sizeof value);
        return OK;
    case KEEP_TEXT:
        memcpy(place, &value, sizeof value);
        return OK;
    case KEEP_FLAG:
        memcpy(place, &is_on, sizeof is_on);
        return OK;
    case KEEP_READ:
        break;
    }
    return option->read(value, parsed, note);
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
    return take_option(parsed, option, value, note);
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
    parsed.has_admin |= (given & CLI_OPTION_ADMIN) != 0;
    parsed.has_timeout = (given & CLI_OPTION_TIMEOUT) != 0;
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
    (void)fprintf(out, "Serin, a reverse proxy that takes bad releases back by itself.\n\n"
                       "usage: serin VERB [OPTION...]\n\n");
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

static void print_option(FILE *out, const struct cli_option_text *text)
{
    char letter[8] = "";
    char head[64];
    if (text->letter != 0) {
        (void)snprintf(letter, sizeof letter, "-%c, ", text->letter);
    }
    bool is_joined = text->value != NULL && text->value[0] == '[';
    (void)snprintf(head, sizeof head, "%s%s%s%s", letter, text->name, is_joined ? "" : " ",
                   text->value != NULL ? text->value : "");
    (void)fprintf(out, "  %-*s %s\n", PAD, head, text->help);
}

/* A summary of the list of verbs, as a sentence. */
static void print_sentence(FILE *out, const char *summary)
{
    (void)fprintf(out, "%c%s.\n", toupper((unsigned char)summary[0]), summary + 1);
}

void cli_print_own_help(FILE *out, const char *name)
{
    const struct cli_own_verb *verb = cli_own_verbs;
    while (strcmp(verb->name, name) != 0) {
        verb++;
        CHECK(verb->name != NULL);
    }
    (void)fprintf(out, "usage: serin %s%s%s\n\n", verb->name, verb->argument != NULL ? " " : "",
                  verb->argument != NULL ? verb->argument : "");
    print_sentence(out, verb->summary);
    (void)fprintf(out, "\n");
    for (const struct cli_option_text *text = verb->options; text->name != NULL; text++) {
        print_option(out, text);
    }
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
    (void)fprintf(out, " [OPTION...]%s%s\n\n", is_last ? " " : "", is_last ? verb->argument : "");
    print_sentence(out, verb->summary);
    if (verb->help != NULL) {
        (void)fprintf(out, "%s\n", verb->help);
    }
    (void)fprintf(out, "\n");
    for (size_t i = 0; i < COUNT_OF(options); i++) {
        if ((verb->options & (unsigned)options[i].bit) != 0) {
            print_option(out, &options[i].text);
        }
    }
}
