/* canary/platform/deployment.h — a deployment as a platform tells of it. Plain values; pure.
 *
 * All texts come from outside: they are cut to fit and carry no control characters and no command
 * of a runner, so that they may be printed, logged and put into a workflow command. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DEPLOYMENT_ID_SIZE = 64,
    DEPLOYMENT_URL_SIZE = 256,
    DEPLOYMENT_TEXT_SIZE = 160,
    DEPLOYMENT_WORD_SIZE = 40,
    DEPLOYMENT_MATCH_MIN = 7, /* characters of an id or commit that mean one */
};

struct platform_deployment {
    char id[DEPLOYMENT_ID_SIZE]; /* letters, digits, '-' and '_': fit for a path */
    char short_id[DEPLOYMENT_WORD_SIZE];
    char url[DEPLOYMENT_URL_SIZE]; /* the immutable one */
    char environment[DEPLOYMENT_WORD_SIZE];
    char branch[DEPLOYMENT_TEXT_SIZE];
    char commit[DEPLOYMENT_ID_SIZE];
    char message[DEPLOYMENT_TEXT_SIZE];
    char created[DEPLOYMENT_WORD_SIZE]; /* RFC 3339 */
    char stage[DEPLOYMENT_WORD_SIZE];
    char status[DEPLOYMENT_WORD_SIZE]; /* of that stage */
    int64_t created_us;                /* 0: unknown */
    bool is_skipped;
};

/* Copies at most size - 1 bytes of UTF-8, whole characters only; controls (C0, DEL, C1), line and
 * direction marks become one '?' each, and so do what is no UTF-8 and the bracket of "##[". NULL is
 * "". */
void platform_text_copy(char *ret_text, size_t size, const char *text);
/* Microseconds since 1970 of an RFC 3339 date and time; 0 when it cannot be read. */
int64_t platform_time_parse(const char *text);
/* Whether it may stand in a path as it is: 1 to DEPLOYMENT_ID_SIZE - 1 of the id's characters. */
bool platform_id_is_plain(const char *text);

/* Built and deployed, to production: what can be live, and what can be rolled back to. */
bool deployment_is_good(const struct platform_deployment *deployment);
bool deployment_has_failed(const struct platform_deployment *deployment);
/* One word for people: success, failure, canceled, skipped, building, queued. */
const char *deployment_state(const struct platform_deployment *deployment);

/* Whether `text` names it: its id or short id, the beginning of its id (DEPLOYMENT_MATCH_MIN
 * characters or more), or its URL (scheme and a final slash do not matter). Case does not. */
bool deployment_is_named(const struct platform_deployment *deployment, const char *text);
/* Whether `text` is its commit, or the beginning of it. */
bool deployment_is_of_commit(const struct platform_deployment *deployment, const char *text);
