/* serin(1), of the tables that make --help. */
#include <string.h>

#include "canary/cli/completion.h"
#include "conf/manual.h"

enum { TERM_SIZE = 128 };

static const char DESCRIPTION[] =
    "Serin is a reverse proxy that makes releases safe: it sends a small share of the traffic to "
    "the new version of a site (the canary), judges it on the answers that real users get while "
    "they get them, and when it is bad shifts all traffic back to the last good version by itself, "
    "within seconds. `serin run` is the proxy, configured by one file, **serin.yaml**(5); other "
    "verbs talk to it through its admin API.";

static void append_option(struct buf *page, const struct cli_option_text *option)
{
    char term[TERM_SIZE];
    char letter[8] = "";
    bool is_joined = option->value != NULL && option->value[0] == '[';
    if (option->letter != 0) {
        (void)snprintf(letter, sizeof letter, "-%c, ", option->letter);
    }
    (void)snprintf(term, sizeof term, "%s%s%s%s", letter, option->name,
                   option->value != NULL && !is_joined ? " " : "",
                   option->value != NULL ? option->value : "");
    manual_term(page, term, NULL);
    manual_plain(page, option->help);
    (void)buf_append_byte(page, '\n');
}

static void append_verb(struct buf *page, const char *name, const char *argument,
                        const char *summary)
{
    char term[TERM_SIZE];
    (void)snprintf(term, sizeof term, "serin %s%s%s", name, argument != NULL ? " " : "",
                   argument != NULL ? argument : "");
    (void)buf_append(page, BYTES(".SS \""));
    manual_plain(page, term);
    (void)buf_append(page, BYTES("\"\n"));
    manual_plain(page, summary);
    (void)buf_append(page, BYTES(".\n"));
}

static void append_own_verbs(struct buf *page)
{
    for (const struct cli_own_verb *verb = cli_own_verbs; verb->name != NULL; verb++) {
        append_verb(page, verb->name, verb->argument, verb->summary);
        for (size_t i = 0; verb->options[i].name != NULL; i++) {
            append_option(page, &verb->options[i]);
        }
    }
}

/* What many verbs take is told once. */
static bool is_common(const struct cli_option_text *option)
{
    static const char *const names[] = {"--admin",      "--admin-ca", "--admin-cert",
                                        "--token-file", "--timeout",  "--json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], option->name) == 0) {
            return true;
        }
    }
    return false;
}

static void append_verbs(struct buf *page)
{
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        const struct cli_option_text *option;
        append_verb(page, verb->name, verb->argument, verb->summary);
        if (verb->help != NULL) {
            manual_plain(page, verb->help);
            (void)buf_append_byte(page, '\n');
        }
        for (size_t i = 0; (option = cli_verb_option_at(verb, i)) != NULL; i++) {
            if (!is_common(option)) {
                append_option(page, option);
            }
        }
    }
}

static void append_common_options(struct buf *page)
{
    const struct cli_verb *verb = cli_verb_find("status");
    const struct cli_option_text *option;
    manual_heading(page, "OPTIONS OF MANY VERBS");
    manual_text(page, "Which of them a verb takes `serin VERB --help` says.");
    for (size_t i = 0; (option = cli_verb_option_at(verb, i)) != NULL; i++) {
        if (is_common(option)) {
            append_option(page, option);
        }
    }
}

void completion_manual(struct buf *page)
{
    manual_begin(page, "SERIN", "1", "serin", "a proxy that rolls bad releases back");
    manual_heading(page, "SYNOPSIS");
    manual_text(page, "`serin` *VERB* [*OPTION*...]");
    manual_heading(page, "DESCRIPTION");
    manual_text(page, DESCRIPTION);
    manual_heading(page, "VERBS");
    append_own_verbs(page);
    append_verbs(page);
    append_common_options(page);
    manual_heading(page, "EXIT STATUS");
    manual_plain(page, CLI_EXIT_CODES "\n");
    manual_heading(page, "ENVIRONMENT");
    manual_term(page, "SERIN_ADMIN", NULL);
    manual_plain(page, "Where a Serin that runs answers, when --admin is not given.\n");
    manual_term(page, "SERIN_ADMIN_CA, SERIN_ADMIN_CERT", NULL);
    manual_plain(page, "Whom to trust and who we are over https://, when --admin-ca and "
                       "--admin-cert are not given.\n");
    manual_term(page, "SERIN_TOKEN", NULL);
    manual_plain(page, "The token, when --token-file is not given.\n");
    manual_term(page, "NO_COLOR", NULL);
    manual_plain(page, "No colours.\n");
    manual_heading(page, "FILES");
    manual_term(page, "./serin.yaml, /etc/serin/serin.yaml", NULL);
    manual_plain(page, "The configuration, when --config is not given.\n");
    manual_heading(page, "SEE ALSO");
    (void)buf_append(page, BYTES("\\fBserin.yaml\\fR(5)\n"));
}
