#include "canary/history/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/history/history.h"

struct key_entry {
    char key[KEY_SIZE_MAX];
    char fingerprint[KEY_SIZE_MAX];
    char rollback_id[KEY_SIZE_MAX];
    int64_t at_us;
};

/* A ring: rollbacks are rare, a walk over a thousand short texts is nothing. */
struct keys {
    struct key_entry entries[KEYS_MAX];
    size_t next;
    size_t count;
};

enum err keys_create(struct keys **ret_keys)
{
    struct keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL) {
        return ERR_NOMEM;
    }
    *ret_keys = keys;
    return OK;
}

void keys_destroy(struct keys *keys)
{
    free(keys);
}

static struct key_entry *find(struct keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->entries[i].key, key) == 0) {
            return &keys->entries[i];
        }
    }
    return NULL;
}

static bool is_expired(const struct key_entry *entry, int64_t now_us)
{
    return entry->at_us < now_us - (int64_t)HISTORY_KEY_LIFE_S * 1000000;
}

enum keys_answer keys_find(struct keys *keys, const char *key, const char *fingerprint,
                           int64_t now_us, const char **ret_rollback_id)
{
    const struct key_entry *entry = find(keys, key);
    if (entry == NULL || is_expired(entry, now_us)) {
        return KEYS_UNKNOWN;
    }
    if (strcmp(entry->fingerprint, fingerprint) != 0) {
        return KEYS_MISUSED;
    }
    if (ret_rollback_id != NULL) {
        *ret_rollback_id = entry->rollback_id;
    }
    return KEYS_REPLAY;
}

static bool fits(const char *text)
{
    return strnlen(text, KEY_SIZE_MAX) < KEY_SIZE_MAX;
}

enum err keys_add(struct keys *keys, const char *key, const char *fingerprint,
                  const char *rollback_id, int64_t at_us)
{
    if (!fits(key) || !fits(fingerprint) || !fits(rollback_id)) {
        return ERR_LIMIT;
    }
    struct key_entry *entry = find(keys, key);
    if (entry != NULL && !is_expired(entry, at_us)) {
        return ERR_EXISTS;
    }
    if (entry == NULL) {
        entry = &keys->entries[keys->next];
        keys->next = (keys->next + 1) % KEYS_MAX;
        keys->count += keys->count < KEYS_MAX ? 1 : 0;
    }
    (void)snprintf(entry->key, sizeof entry->key, "%s", key);
    (void)snprintf(entry->fingerprint, sizeof entry->fingerprint, "%s", fingerprint);
    (void)snprintf(entry->rollback_id, sizeof entry->rollback_id, "%s", rollback_id);
    entry->at_us = at_us;
    return OK;
}

void keys_visit(const struct keys *keys, int64_t now_us,
                void (*visit)(void *context, const char *key, const char *fingerprint,
                              const char *rollback_id, int64_t at_us),
                void *context)
{
    size_t oldest = keys->count < KEYS_MAX ? 0 : keys->next;
    for (size_t i = 0; i < keys->count; i++) {
        const struct key_entry *entry = &keys->entries[(oldest + i) % KEYS_MAX];
        if (!is_expired(entry, now_us)) {
            visit(context, entry->key, entry->fingerprint, entry->rollback_id, entry->at_us);
        }
    }
}
