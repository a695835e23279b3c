/* canary/history/keys.h — the Idempotency-Keys that were used lately, in memory.
 *
 * Filled from history_load at the start, asked and added to by whoever starts rollbacks; the file
 * is written by the same change as the rollback. Holds KEYS_MAX, the oldest goes first. Owned by
 * one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/err.h"

struct keys;

enum { KEYS_MAX = 1024, KEY_SIZE_MAX = 128 };

enum keys_answer {
    KEYS_UNKNOWN, /* never seen: go on and add it */
    KEYS_REPLAY,  /* the same request again: answer with the record it made */
    KEYS_MISUSED, /* the key came with another request before: 422 */
};

MUST_USE enum err keys_create(struct keys **ret_keys);
void keys_destroy(struct keys *keys);
/* `ret_rollback_id` (may be NULL) is borrowed until the next keys_add. Keys older than `now_us`
 * less HISTORY_KEY_LIFE_S are unknown. */
enum keys_answer keys_find(struct keys *keys, const char *key, const char *fingerprint,
                           int64_t now_us, const char **ret_rollback_id);
/* Copies all of it. ERR_LIMIT for a text over KEY_SIZE_MAX - 1, ERR_EXISTS. */
MUST_USE enum err keys_add(struct keys *keys, const char *key, const char *fingerprint,
                           const char *rollback_id, int64_t at_us);
/* Each one that is not expired, the oldest first; the texts are borrowed during the call. */
void keys_visit(const struct keys *keys, int64_t now_us,
                void (*visit)(void *context, const char *key, const char *fingerprint,
                              const char *rollback_id, int64_t at_us),
                void *context);
