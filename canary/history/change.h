/* canary/history/change.h — a queued change: the room's own copy of what history_write was given.
 *
 * Made by control, carried out by whichever thread runs the batch, freed by control: one at a time.
 * Parts may be taken out while it waits (a newer state overtakes it). Private to canary/history. */
#pragma once
#include "canary/history/history.h"
#include "proxy/base/arena.h"
#include "proxy/base/list.h"

struct change {
    struct list link;
    struct arena arena; /* holds every text below */
    bool has_service, has_rollback, has_quarantine, has_key, has_alert, has_platform;
    bool has_watch, has_audit;
    struct history_service service;
    struct history_rollback rollback;
    struct history_quarantine quarantine;
    struct history_key key;
    struct history_alert alert;
    struct history_platform platform;
    struct history_watch watch;
    struct history_audit audit;
    bool is_durable;
    bool is_once;                   /* written once or failed: somebody waits, or waited */
    history_on_written *on_written; /* NULL: nobody waits (any more) */
    void *context;
    uint64_t deadline_ms; /* loop time; only with on_written */
    enum err result;      /* set by the batch */
};

/* Copies the parts; cuts what is too long. A rollback without an audit part gets one. ERR_NOMEM. */
MUST_USE enum err change_create(const struct history_change *from, struct change **ret_change);
void change_destroy(struct change *change);
bool change_is_empty(const struct change *change);
/* Takes out of `older` the states that `newer` overtakes; returns how many. Never touches a change
 * somebody waits for: its callback is a promise about what was written. */
size_t change_overtake(struct change *older, const struct change *newer);

/* `text` cut at CUT bytes and at a whole character, copied into the arena; NULL when memory is out.
 */
const char *change_copy_text(struct arena *arena, const char *text, size_t size_max);
