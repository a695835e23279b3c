/* conf/conf_diff.h — what a reload would change.
 *
 * Services are matched by name, listeners by address; every other key by its place in the schema. A
 * diff borrows from both confs and must be destroyed before either. Made and used by control. */
#pragma once
#include "conf/conf.h"

/* What of a service is new. A service that was added or removed has all of them. */
enum {
    CONF_PART_PREVIOUS = 1 << 0, /* deployment or endpoints of the stable version */
    CONF_PART_CURRENT = 1 << 1,  /* the same of the canary, or it came or went */
    CONF_PART_WEIGHT = 1 << 2,   /* the number in the file: an operator's change (actor "config") */
    CONF_PART_ROUTES = 1 << 3,   /* hosts or paths */
    CONF_PART_SETTINGS = 1 << 4, /* anything else */
    CONF_PART_ALL = (1 << 5) - 1
};

struct conf_service_change {
    const struct conf_service *before; /* NULL: added */
    const struct conf_service *after;  /* NULL: removed */
    unsigned parts;
};

struct conf_listener_change {
    const struct conf_listener *before; /* NULL: to be opened */
    const struct conf_listener *after;  /* NULL: to be closed */
};

enum { CONF_CHANGED_KEY_SIZE = 64 };

/* A key for the log: "timeouts.connect", or with a service "rollback.every". */
struct conf_key_change {
    const char *service; /* NULL: at the top of the file */
    bool needs_restart;  /* the running process keeps the old value */
    char key[CONF_CHANGED_KEY_SIZE];
};

struct conf_diff {
    struct conf_listener_change *listeners; /* only those that come or go; owned */
    size_t listener_count;
    struct conf_service_change *services; /* only those that differ; removed ones first; owned */
    size_t service_count;
    struct conf_key_change *keys; /* of the file and of services that are in both; owned */
    size_t key_count;
    bool needs_restart; /* one of the keys does */
};

/* ERR_NOMEM only. Gives the diff to the caller. */
MUST_USE enum err conf_diff_create(const struct conf *before, const struct conf *after,
                                   struct conf_diff **ret_diff);
void conf_diff_destroy(struct conf_diff *diff);
/* Is there nothing to do? */
static inline bool conf_diff_is_empty(const struct conf_diff *diff)
{
    return diff->listener_count == 0 && diff->service_count == 0 && diff->key_count == 0;
}
