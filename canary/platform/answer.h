/* canary/platform/answer.h — what Cloudflare's API answers, read leniently. Pure but for memory.
 *
 * Fields that are missing, null or of another kind are as good as empty; a deployment without a
 * usable id does not exist. Texts that were cut in the middle of a character, or have a NUL in them
 * (commit messages, what builds print), make an answer no less readable. Nothing here trusts a
 * text: see deployment.h. */
#pragma once
#include <jansson.h>

#include "canary/platform/deployment.h"
#include "proxy/base/buf.h"

enum {
    ANSWER_CODE_NOT_FOUND = 8000009,
    ANSWER_CODE_ALREADY_LIVE = 8000039, /* a rollback to what is live */
    ANSWER_MESSAGE_SIZE = 200,
    ANSWER_LOG_MAX = 1 << 20,
};

/* The envelope. */
struct answer {
    json_t *root; /* owned */
    bool is_success;
    int64_t code; /* of the first error; 0: none */
    char message[ANSWER_MESSAGE_SIZE];
    json_t *result; /* borrowed from root; NULL: none */
    uint64_t total; /* of a list; UINT64_MAX: not said */
    uint64_t per_page;
};

/* ERR_SYNTAX: no JSON object with a `success` in it; `ret_answer` is untouched then. */
MUST_USE enum err answer_parse(struct bytes body, struct answer *ret_answer);
void answer_finish(struct answer *answer);

/* ERR_NOT_FOUND: it is no deployment. */
MUST_USE enum err answer_deployment(const json_t *value,
                                    struct platform_deployment *ret_deployment);
/* The live deployment of a project. ERR_NOT_FOUND: it has none; ERR_SYNTAX: it is no project. */
MUST_USE enum err answer_live(const json_t *project, struct platform_deployment *ret_deployment);
/* The lines of a build log, "TIME LINE"; of what is more than ANSWER_LOG_MAX the end. ERR_SYNTAX,
 * ERR_NOMEM. */
MUST_USE enum err answer_log(const json_t *result, struct buf *out);

/* A Worker's deployment: one or two versions. */
struct answer_split {
    char id[DEPLOYMENT_ID_SIZE];
    char created[DEPLOYMENT_WORD_SIZE];
    char message[DEPLOYMENT_TEXT_SIZE];
    char versions[2][DEPLOYMENT_ID_SIZE]; /* the larger share first */
    double percents[2];
    size_t version_count;
};
/* ERR_NOT_FOUND: it is none. */
MUST_USE enum err answer_split(const json_t *value, struct answer_split *ret_split);
