/* proxy/base/list.h — an intrusive, circular, doubly linked list; the links live in the members.
 *
 * A `struct list` is either a head or a link. A link that is in no list points at itself, so
 * removing it twice is harmless. Never walk a list while calling out to code that may change it.
 * Owned by one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proxy/base/check.h"

struct list {
    struct list *next;
    struct list *previous;
};

static inline void list_init(struct list *list)
{
    list->next = list;
    list->previous = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_remove(struct list *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

static inline void list_insert_before(struct list *place, struct list *link)
{
    link->previous = place->previous;
    link->next = place;
    place->previous->next = link;
    place->previous = link;
}

static inline void list_push_front(struct list *head, struct list *link)
{
    list_insert_before(head->next, link);
}

static inline void list_push_back(struct list *head, struct list *link)
{
    list_insert_before(head, link);
}

/* Takes the first link off, or returns NULL. */
static inline struct list *list_pop_front(struct list *head)
{
    if (list_is_empty(head)) {
        return NULL;
    }
    struct list *link = head->next;
    list_remove(link);
    return link;
}
