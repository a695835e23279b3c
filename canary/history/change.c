#include "canary/history/change.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/history/history_json.h"
#include "proxy/base/check.h"

/* Every part of a change at its longest. */
enum { ARENA_MAX = 6 * HISTORY_DETAIL_MAX + 32 * (HISTORY_TEXT_MAX + ARENA_CHUNK_SIZE) };

static const char detail_omitted[] = "{\"omitted\":\"it was too large\"}";

static size_t cut_length(const char *text, size_t size_max)
{
    size_t size = strnlen(text, size_max + 1);
    if (size <= size_max) {
        return size;
    }
    size = size_max;
    /* Back over the continuation bytes of a character that would be cut in two. */
    while (size > size_max - 3 && ((unsigned char)text[size] & 0xC0) == 0x80) {
        size--;
    }
    return size;
}

const char *change_copy_text(struct arena *arena, const char *text, size_t size_max)
{
    size_t size = cut_length(text, size_max);
    char *copy = arena_alloc(arena, size + 1);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

/* Texts the tables say are NOT NULL: an absent one becomes empty. */
static bool copy_text(struct arena *arena, const char **text)
{
    *text = change_copy_text(arena, *text != NULL ? *text : "", HISTORY_TEXT_MAX);
    return *text != NULL;
}

static bool copy_optional(struct arena *arena, const char **text)
{
    return *text == NULL || copy_text(arena, text);
}

static bool copy_detail(struct arena *arena, const char **detail)
{
    if (*detail == NULL) {
        return true;
    }
    bool is_too_long = strnlen(*detail, HISTORY_DETAIL_MAX + 1) > HISTORY_DETAIL_MAX;
    const char *kept = is_too_long ? detail_omitted : *detail;
    *detail = change_copy_text(arena, kept, HISTORY_DETAIL_MAX);
    return *detail != NULL;
}

static bool copy_service(struct arena *arena, struct history_service *service)
{
    return copy_text(arena, &service->name) && copy_text(arena, &service->current_deployment) &&
           copy_text(arena, &service->previous_deployment) && copy_text(arena, &service->phase) &&
           copy_detail(arena, &service->detail);
}

static bool copy_rollback(struct arena *arena, struct history_rollback *rollback)
{
    const char **texts[] = {&rollback->id,      &rollback->service, &rollback->deployment,
                            &rollback->target,  &rollback->reason,  &rollback->reason_code,
                            &rollback->trigger, &rollback->actor,   &rollback->mode,
                            &rollback->status};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        if (!copy_text(arena, texts[i])) {
            return false;
        }
    }
    return copy_detail(arena, &rollback->evidence) && copy_optional(arena, &rollback->incident);
}

static bool copy_quarantine(struct arena *arena, struct history_quarantine *quarantine)
{
    return copy_text(arena, &quarantine->service) && copy_text(arena, &quarantine->deployment) &&
           copy_text(arena, &quarantine->reason);
}

static bool copy_key(struct arena *arena, struct history_key *key)
{
    return copy_text(arena, &key->key) && copy_text(arena, &key->fingerprint) &&
           copy_text(arena, &key->rollback_id);
}

static bool copy_audit(struct arena *arena, struct history_audit *audit)
{
    return copy_text(arena, &audit->actor) && copy_text(arena, &audit->action) &&
           copy_optional(arena, &audit->service) && copy_detail(arena, &audit->detail);
}

/* When the record was last added to: its begin and its duration so far. */
static int64_t changed_at_us(const struct history_rollback *rollback)
{
    bool has_duration = isfinite(rollback->duration_s) && fabs(rollback->duration_s) < 1e9;
    return rollback->at_us + (has_duration ? (int64_t)(rollback->duration_s * 1e6) : 0);
}

/* The trail's row for a record that changed and brought none of its own. */
static bool audit_rollback(struct change *change)
{
    const struct history_rollback *rollback = &change->rollback;
    json_t *detail = json_pack("{s:o, s:o}", "id", history_text_to_json(rollback->id), "deployment",
                               history_text_to_json(rollback->deployment));
    char *text = detail != NULL ? json_dumps(detail, JSON_COMPACT) : NULL;
    json_decref(detail);
    char action[64];
    (void)snprintf(action, sizeof action, "rollback.%.48s", rollback->status);
    change->audit = (struct history_audit){
        .at_us = changed_at_us(rollback),
        .actor = rollback->actor,
        .action = action,
        .service = rollback->service,
        .detail = text,
    };
    bool is_copied = text != NULL && copy_audit(&change->arena, &change->audit);
    free(text);
    return is_copied;
}

static bool copy_trail(struct change *change, const struct history_audit *audit)
{
    change->has_audit = audit != NULL || change->has_rollback;
    if (audit != NULL) {
        change->audit = *audit;
        return copy_audit(&change->arena, &change->audit);
    }
    return !change->has_audit || audit_rollback(change);
}

static bool copy_platform(struct arena *arena, struct history_platform *platform)
{
    return copy_text(arena, &platform->rollback) && copy_detail(arena, &platform->body) &&
           copy_optional(arena, &platform->state);
}

static bool copy_watch(struct arena *arena, struct history_watch *watch)
{
    return copy_text(arena, &watch->service) && copy_detail(arena, &watch->body);
}

static bool copy_parts(struct change *change, const struct history_change *from)
{
    struct arena *arena = &change->arena;
    if (from->service != NULL) {
        change->has_service = true;
        change->service = *from->service;
        if (!copy_service(arena, &change->service)) {
            return false;
        }
    }
    if (from->rollback != NULL) {
        change->has_rollback = true;
        change->rollback = *from->rollback;
        if (!copy_rollback(arena, &change->rollback)) {
            return false;
        }
    }
    if (from->quarantine != NULL) {
        change->has_quarantine = true;
        change->quarantine = *from->quarantine;
        if (!copy_quarantine(arena, &change->quarantine)) {
            return false;
        }
    }
    if (from->key != NULL) {
        change->has_key = true;
        change->key = *from->key;
        if (!copy_key(arena, &change->key)) {
            return false;
        }
    }
    if (from->alert != NULL) {
        change->has_alert = true;
        change->alert = *from->alert;
        if (!copy_detail(arena, &change->alert.body)) {
            return false;
        }
    }
    if (from->platform != NULL) {
        change->has_platform = true;
        change->platform = *from->platform;
        if (!copy_platform(arena, &change->platform)) {
            return false;
        }
    }
    if (from->watch != NULL) {
        change->has_watch = true;
        change->watch = *from->watch;
        if (!copy_watch(arena, &change->watch)) {
            return false;
        }
    }
    return copy_trail(change, from->audit);
}

enum err change_create(const struct history_change *from, struct change **ret_change)
{
    struct change *change = calloc(1, sizeof *change);
    if (change == NULL) {
        return ERR_NOMEM;
    }
    list_init(&change->link);
    arena_init(&change->arena, ARENA_MAX);
    if (!copy_parts(change, from)) {
        change_destroy(change);
        return ERR_NOMEM;
    }
    *ret_change = change;
    return OK;
}

void change_destroy(struct change *change)
{
    if (change == NULL) {
        return;
    }
    list_remove(&change->link);
    arena_finish(&change->arena);
    free(change);
}

bool change_is_empty(const struct change *change)
{
    return !change->has_service && !change->has_rollback && !change->has_quarantine &&
           !change->has_key && !change->has_alert && !change->has_platform && !change->has_watch &&
           !change->has_audit;
}

static bool same_quarantine(const struct change *a, const struct change *b)
{
    return strcmp(a->quarantine.service, b->quarantine.service) == 0 &&
           strcmp(a->quarantine.deployment, b->quarantine.deployment) == 0;
}

size_t change_overtake(struct change *older, const struct change *newer)
{
    if (older->is_once) {
        return 0;
    }
    size_t count = 0;
    if (older->has_service && newer->has_service &&
        strcmp(older->service.name, newer->service.name) == 0) {
        older->has_service = false;
        count++;
    }
    if (older->has_rollback && newer->has_rollback &&
        strcmp(older->rollback.id, newer->rollback.id) == 0) {
        older->has_rollback = false;
        count++;
    }
    if (older->has_quarantine && newer->has_quarantine && same_quarantine(older, newer)) {
        older->has_quarantine = false;
        count++;
    }
    if (older->has_alert && newer->has_alert && older->alert.seq == newer->alert.seq) {
        older->has_alert = false;
        count++;
    }
    if (older->has_platform && newer->has_platform &&
        strcmp(older->platform.rollback, newer->platform.rollback) == 0) {
        older->has_platform = false;
        count++;
    }
    if (older->has_watch && newer->has_watch &&
        strcmp(older->watch.service, newer->watch.service) == 0) {
        older->has_watch = false;
        count++;
    }
    return count;
}
