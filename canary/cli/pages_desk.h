/* canary/cli/pages_desk.h — questions to Cloudflare Pages, each waited for.
 *
 * A desk has a loop of its own and lives for as long as its questions; the token is found once and
 * may outlive many of them. Blocking; owned by one thread. */
#pragma once
#include <stdio.h>

#include "canary/cli/options.h"
#include "canary/platform/cloudflare.h"

struct pages_token {
    char text[CLOUDFLARE_TOKEN_MAX + 2]; /* explicit_bzero it after use */
};

/* From --token-file or CLOUDFLARE_API_TOKEN; one from a file is masked on `commands` first (NULL:
 * not in a job). CLI_DONE, or CLI_DENIED: `note` says why. */
int pages_find_token(const struct cli_options *options, FILE *commands,
                     struct pages_token *ret_token, struct note *note);

struct pages_desk;

/* Project and account by the options or the environment, the base by the environment. CLI_DONE,
 * CLI_USAGE or CLI_FAILED; `note` says why. Gives the desk to the caller, who closes it. */
int pages_desk_open(const struct cli_options *options, const struct pages_token *token,
                    struct pages_desk **ret_desk, struct note *note);
/* Asks and waits; on_done came once when this is OK. As provider_start. */
MUST_USE enum err pages_desk_ask(struct pages_desk *desk, const struct platform_ask *ask,
                                 platform_on_done *on_done, void *context);
void pages_desk_close(struct pages_desk *desk); /* NULL is fine */
