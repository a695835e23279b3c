/* canary/platform/pages.h — the provider for Cloudflare Pages.
 *
 * What is live is what the project calls its canonical deployment. A rollback reads it, finds the
 * target, makes sure that it can be one, posts, and reads again until the target is live. An answer
 * that was lost, or a failure that may have done its work, is never followed by a second post
 * before what is live was read anew. Needs a token with "Pages: Edit"; looking needs "Read". */
#pragma once
#include "canary/platform/cloudflare.h"

enum { PAGES_PROJECT_MAX = 58 };

/* The provider's `loop` and `fetch` (in options) outlive it. ERR_SYNTAX, ERR_IO with a note;
 * ERR_NOMEM. */
MUST_USE enum err pages_create(const struct cloudflare_options *options, const char *project,
                               struct provider **ret_provider, struct note *note);
/* Lower-case letters, digits and '-', not first; pure. */
bool pages_project_is_fit(const char *project);
