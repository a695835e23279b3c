/* proxy/upstream/address_book.h — the present addresses of every endpoint that the configuration
 * names.
 *
 * An address stands for itself. A name is looked up when it enters the book and again when its TTL
 * (1 s to 1 h) is over, or after `resolve_us` where DNS gives none. When a look-up fails the last
 * known addresses stay and it is tried again, ever more slowly; so a broken DNS takes nobody's
 * traffic. Owned by control; used only by the thread of its loop. */
#pragma once
#include "proxy/io/resolver.h"

struct address_book;

enum {
    ADDRESS_BOOK_TTL_MIN_S = 1,
    ADDRESS_BOOK_TTL_MAX_S = 3600,
    ADDRESS_BOOK_LOOKUPS_MAX = 16, /* at a time; more names wait for their turn */
    ADDRESS_BOOK_BACKOFF_MIN_MS = 500,
    ADDRESS_BOOK_BACKOFF_MAX_MS = 30 * 1000
};

/* host is a lower-case name, or an address without brackets. */
struct address_place {
    struct bytes host;
    uint16_t port;
};

/* Both are called in an event of the loop, never from inside a function of the book, and may call
 * any of them but address_book_destroy. */
struct address_book_ops {
    /* Some name has other addresses than before, or its first: make a new snapshot. */
    void (*on_changed)(void *context);
    /* A look-up failed: told at the first failure in a row, and when the reason changes. Texts are
     * lent. */
    void (*on_failed)(void *context, struct bytes host, enum err err, const char *reason);
};

/* What is known of a place; borrowed until the next event or address_book_set. */
struct address_entry {
    const union address *addresses; /* in address_sort's order */
    size_t address_count;           /* 0: not known yet */
    bool is_pending;                /* a name whose first look-up is not over */
    enum err err;                   /* how the last look-up ended */
};

/* Borrows loop and resolver for life, `ops` is copied. ERR_NOMEM. */
MUST_USE enum err address_book_create(struct loop *loop, struct resolver *resolver,
                                      const struct address_book_ops *ops, void *context,
                                      struct address_book **ret_book);
/* From now on these are the places; doubles are fine, hosts are copied. Who stays keeps addresses
 * and schedule, new names are looked up at once, others are forgotten. ERR_NOMEM, ERR_RANGE
 * (a host longer than 255 bytes): all is as it was. `resolve_us` is conf->resolve_us. */
MUST_USE enum err address_book_set(struct address_book *book, const struct address_place *places,
                                   size_t place_count, uint64_t resolve_us);
/* False when the place is not in the book. */
bool address_book_find(const struct address_book *book, struct bytes host, uint16_t port,
                       struct address_entry *ret_entry);
/* How many names still wait for the end of their first look-up. At 0 a start or a reload need not
 * wait any longer. */
size_t address_book_pending_count(const struct address_book *book);
/* Cancels what is under way and frees the book. NULL is fine. */
void address_book_destroy(struct address_book *book);
