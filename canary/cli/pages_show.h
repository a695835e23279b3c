/* canary/cli/pages_show.h — what a platform answered, as a table, lines, JSON or Markdown. Pure but
 * for memory. */
#pragma once
#include <jansson.h>

#include "canary/platform/provider.h"
#include "proxy/base/buf.h"

/* What is shown beside the answer. Texts are borrowed. */
struct pages_shown {
    const char *project;
    const char *environment;
    const char *reason; /* the annotation's sentence */
    bool is_dry_run;
};

/* The deployments; the live one is marked. ERR_NOMEM. */
MUST_USE enum err pages_show_list(const struct platform_answer *answer, struct buf *out);
/* From, to, and how it went. ERR_NOMEM. */
MUST_USE enum err pages_show_rollback(const struct platform_answer *answer,
                                      const struct pages_shown *shown, struct buf *out);
/* For programs. NULL: no memory. The caller owns it. */
json_t *pages_list_json(const struct platform_answer *answer, const struct pages_shown *shown);
json_t *pages_rollback_json(const struct platform_answer *answer, const struct pages_shown *shown);
/* A job's summary. ERR_NOMEM. */
MUST_USE enum err pages_show_summary(const struct platform_answer *answer,
                                     const struct pages_shown *shown, struct buf *out);
/* The outputs rolled-back, result, from-deployment-id, to-deployment-id, url. ERR_NOMEM,
 * ERR_SYNTAX. */
MUST_USE enum err pages_show_outputs(const struct platform_answer *answer,
                                     const struct pages_shown *shown, const char *delimiter,
                                     struct buf *out);
/* A rollback was done now. */
bool pages_has_rolled_back(const struct platform_answer *answer, const struct pages_shown *shown);
