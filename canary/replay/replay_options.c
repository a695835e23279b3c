#include "canary/replay/replay_options.h"

#include <string.h>

#include "conf/conf_number.h"
#include "proxy/base/bytes.h"
#include "proxy/base/check.h"

const char REPLAY_USAGE[] =
    "usage: serin replay [OPTION...] [RECORDING]\n"
    "\n"
    "What policies would have done with what was recorded, when, and how many bad answers it\n"
    "would have cost, beside what really happened. RECORDING is a file of `serin recording`, or -\n"
    "for standard input; left out, the recording of the Serin that runs is fetched.\n"
    "\n"
    "  -c, --config FILE          the policies of this configuration (`rollback` and `observe`);\n"
    "                             left out, those that held when the recording was fetched\n"
    "  -p, --policy NAME:KEY=VALUE,...\n"
    "                             one more policy, with the keys of `observe`; what it leaves out\n"
    "                             is as in `rollback`; may be repeated\n"
    "  -s, --service NAME         which service to fetch, or which one the file must be of\n"
    "      --json                 for programs\n"
    "      --admin URL            where Serin listens (default SERIN_ADMIN, then\n"
    "                             http://127.0.0.1:9901); https:// and unix:/path too\n"
    "      --admin-ca FILE        whom to trust for https:// (default SERIN_ADMIN_CA, then the\n"
    "                             system's authorities)\n"
    "      --admin-cert FILE      our own certificate for https://, its key in the same file\n"
    "                             (default SERIN_ADMIN_CERT)\n"
    "      --token-file FILE      the token (default SERIN_TOKEN)\n"
    "      --timeout TIME         how long to wait for an answer (default 10s)\n"
    "\n"
    "A row of the recording is a second, and the judge that acts looks ten times as often: what "
    "is\n"
    "replayed can be some seconds late. What comes after a policy's breach is not what would have\n"
    "happened, so nothing after it is counted for it.\n";

enum { TIMEOUT_DEFAULT_MS = 10000, TIMEOUT_MAX_MS = 24 * 3600 * 1000 };

enum option_id {
    CONFIG,
    POLICY,
    SERVICE,
    JSON,
    ADMIN,
    ADMIN_CA,
    ADMIN_CERT,
    TOKEN_FILE,
    TIMEOUT,
    HELP
};

struct option {
    enum option_id id;
    const char *name;
    char letter; /* 0: none */
    bool has_value;
};

static const struct option OPTIONS[] = {
    {CONFIG, "--config", 'c', true},       {POLICY, "--policy", 'p', true},
    {SERVICE, "--service", 's', true},     {JSON, "--json", 0, false},
    {ADMIN, "--admin", 0, true},           {ADMIN_CA, "--admin-ca", 0, true},
    {ADMIN_CERT, "--admin-cert", 0, true}, {TOKEN_FILE, "--token-file", 0, true},
    {TIMEOUT, "--timeout", 0, true},       {HELP, "--help", 'h', false},
};

/* "--name", "--name=value", "-x", "-xvalue"; `ret_value` is what stands in the same word. */
static const struct option *find_option(const char *word, const char **ret_value)
{
    *ret_value = NULL;
    for (size_t i = 0; i < COUNT_OF(OPTIONS); i++) {
        const struct option *option = &OPTIONS[i];
        size_t size = strlen(option->name);
        if (strncmp(word, option->name, size) == 0 && (word[size] == '\0' || word[size] == '=')) {
            *ret_value = word[size] == '=' ? word + size + 1 : NULL;
            return option;
        }
        if (option->letter != 0 && word[1] == option->letter) {
            *ret_value = word[2] != '\0' ? word + 2 : NULL;
            return option;
        }
    }
    return NULL;
}

static enum err take_timeout(struct replay_options *options, const char *value, struct note *note)
{
    uint64_t timeout_us = 0;
    enum err err = conf_number_parse(CONF_TYPE_DURATION, bytes_of(value), NULL, &timeout_us);
    if (err != OK || timeout_us < 1000 || timeout_us / 1000 > TIMEOUT_MAX_MS) {
        note_set(note, "--timeout is a time like 500ms or 10s, at most 1d");
        return ERR_SYNTAX;
    }
    options->timeout_ms = timeout_us / 1000;
    return OK;
}

static enum err take_policy(struct replay_options *options, const char *value, struct note *note)
{
    if (options->policy_count == REPLAY_ADHOC_MAX) {
        note_set(note, "--policy may be given %d times", REPLAY_ADHOC_MAX);
        return ERR_SYNTAX;
    }
    options->policies[options->policy_count++] = value;
    return OK;
}

static enum err take_option(struct replay_options *options, enum option_id id, const char *value,
                            struct note *note)
{
    switch (id) {
    case CONFIG:
        options->config = value;
        return OK;
    case POLICY:
        return take_policy(options, value, note);
    case SERVICE:
        options->service = value;
        return OK;
    case JSON:
        options->is_json = true;
        return OK;
    case ADMIN:
        options->admin = value;
        return OK;
    case ADMIN_CA:
        options->admin_ca = value;
        return OK;
    case ADMIN_CERT:
        options->admin_cert = value;
        return OK;
    case TOKEN_FILE:
        options->token_file = value;
        return OK;
    case TIMEOUT:
        return take_timeout(options, value, note);
    case HELP:
        options->is_help = true;
        return OK;
    }
    return ERR_SYNTAX;
}

static enum err read_option(int argc, char *const *argv, int *at, struct replay_options *options,
                            struct note *note)
{
    const char *value = NULL;
    const struct option *option = find_option(argv[*at], &value);
    if (option == NULL) {
        note_set(note, "replay has no option %s", argv[*at]);
        return ERR_SYNTAX;
    }
    if (!option->has_value && value != NULL) {
        note_set(note, "%s takes no value", option->name);
        return ERR_SYNTAX;
    }
    if (option->has_value && value == NULL) {
        if (*at + 1 == argc) {
            note_set(note, "%s needs a value", option->name);
            return ERR_SYNTAX;
        }
        value = argv[++*at];
    }
    return take_option(options, option->id, value, note);
}

enum err replay_options_parse(int argc, char *const *argv, struct replay_options *ret_options,
                              struct note *note)
{
    struct replay_options options = {.timeout_ms = TIMEOUT_DEFAULT_MS};
    bool is_words_only = false;
    for (int i = 1; i < argc; i++) {
        bool is_option = !is_words_only && argv[i][0] == '-' && argv[i][1] != '\0';
        if (is_option && strcmp(argv[i], "--") == 0) {
            is_words_only = true;
        } else if (is_option) {
            enum err err = read_option(argc, argv, &i, &options, note);
            if (err != OK) {
                return err;
            }
        } else if (options.source != NULL) {
            note_set(note, "one word too many: %s", argv[i]);
            return ERR_SYNTAX;
        } else {
            options.source = argv[i];
        }
    }
    *ret_options = options;
    return OK;
}
