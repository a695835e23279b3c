#include "proxy/upstream/address_book.h"

#include <stdlib.h>

#include "proxy/base/map.h"

enum {
    BOOK_TAG = TAG('b', 'o', 'o', 'k'),
    ENTRY_TAG = TAG('n', 'a', 'm', 'e'),
    HOST_MAX = 255, /* RFC 1035 section 2.3.4 */
    KEY_SIZE = HOST_MAX + sizeof(uint16_t)
};

struct address_book {
    unsigned tag;
    struct loop *loop;         /* borrowed */
    struct resolver *resolver; /* borrowed */
    struct address_book_ops ops;
    void *context; /* borrowed */
    uint64_t resolve_us;
    uint64_t mark;       /* of the latest address_book_set */
    size_t lookup_count; /* under way */
    struct map by_key;
    struct list entries; /* owned */
    struct list waiting; /* for a look-up; entries by their queue link */
};

struct entry {
    unsigned tag;
    struct address_book *book; /* borrowed */
    struct list link;
    struct list queue;        /* in book->waiting, or alone */
    struct deadline deadline; /* when to look it up again */
    struct resolver_lookup *lookup;
    char *host; /* owned */
    uint16_t port;
    bool is_pending;
    enum err err;
    enum err untold; /* why a look-up could not even start: told at the next event */
    enum err told;   /* what on_failed heard last; OK after a success */
    unsigned failure_count;
    uint64_t mark;
    size_t address_count;
    union address addresses[RESOLVER_ADDRESSES_MAX];
};

static struct bytes make_key(struct bytes host, uint16_t port, char key[KEY_SIZE])
{
    memcpy(key, &port, sizeof port);
    memcpy(key + sizeof port, host.data, host.size);
    return bytes_make(key, sizeof port + host.size);
}

static struct entry *find(const struct address_book *book, struct bytes host, uint16_t port)
{
    char key[KEY_SIZE];
    return host.size <= HOST_MAX ? map_get(&book->by_key, make_key(host, port, key)) : NULL;
}

/* ---- looking up ---- */

static uint64_t backoff_us(struct entry *entry)
{
    uint64_t backoff_ms = ADDRESS_BOOK_BACKOFF_MIN_MS;
    for (unsigned i = 1; i < entry->failure_count && backoff_ms < ADDRESS_BOOK_BACKOFF_MAX_MS;
         i++) {
        backoff_ms *= 2;
    }
    if (backoff_ms > ADDRESS_BOOK_BACKOFF_MAX_MS) {
        backoff_ms = ADDRESS_BOOK_BACKOFF_MAX_MS;
    }
    /* Not all names at once when the DNS is back. */
    return (backoff_ms + random_below(&entry->book->loop->random, backoff_ms / 2)) * 1000;
}

static uint64_t hold_us(const struct address_book *book, uint32_t ttl_s)
{
    uint64_t hold = ttl_s == RESOLVER_TTL_NONE ? book->resolve_us : ttl_s * UINT64_C(1000000);
    if (hold < ADDRESS_BOOK_TTL_MIN_S * UINT64_C(1000000)) {
        return ADDRESS_BOOK_TTL_MIN_S * UINT64_C(1000000);
    }
    if (hold > ADDRESS_BOOK_TTL_MAX_S * UINT64_C(1000000)) {
        return ADDRESS_BOOK_TTL_MAX_S * UINT64_C(1000000);
    }
    return hold;
}

static void note_failure(struct entry *entry, enum err err)
{
    entry->err = err;
    entry->is_pending = false;
    entry->failure_count++;
    deadline_arm(&entry->book->loop->wheel, &entry->deadline, backoff_us(entry));
}

static void tell_failure(struct entry *entry, enum err err, const char *reason)
{
    struct address_book *book = entry->book;
    if (entry->told != err) {
        entry->told = err;
        book->ops.on_failed(book->context, bytes_of(entry->host), err, reason);
    }
}

static bool has_changed(const struct entry *entry, const struct resolver_answer *answer)
{
    if (entry->address_count != answer->address_count) {
        return true;
    }
    for (size_t i = 0; i < answer->address_count; i++) {
        if (!address_equal(&entry->addresses[i], &answer->addresses[i])) {
            return true;
        }
    }
    return false;
}

static bool note_success(struct entry *entry, const struct resolver_answer *answer)
{
    struct address_book *book = entry->book;
    bool is_news = has_changed(entry, answer);
    entry->err = OK;
    entry->told = OK;
    entry->is_pending = false;
    entry->failure_count = 0;
    entry->address_count = answer->address_count;
    memcpy(entry->addresses, answer->addresses, answer->address_count * sizeof *answer->addresses);
    deadline_arm(&book->loop->wheel, &entry->deadline, hold_us(book, answer->ttl_s));
    return is_news;
}

static void start_lookups(struct address_book *book);

static void on_answer(void *context, const struct resolver_answer *answer)
{
    struct entry *entry = context;
    CHECK(entry->tag == ENTRY_TAG);
    struct address_book *book = entry->book;
    entry->lookup = NULL;
    book->lookup_count--;
    start_lookups(book);
    if (answer->err != OK) {
        note_failure(entry, answer->err);
        tell_failure(entry, answer->err, answer->reason);
    } else if (note_success(entry, answer)) {
        book->ops.on_changed(book->context);
    }
}

/* Never calls out: it also runs inside address_book_set. */
static void start_lookups(struct address_book *book)
{
    while (book->lookup_count < ADDRESS_BOOK_LOOKUPS_MAX && !list_is_empty(&book->waiting)) {
        struct entry *entry = CONTAINER_OF(list_pop_front(&book->waiting), struct entry, queue);
        enum err err = resolver_start(book->resolver, entry->host, entry->port, on_answer, entry,
                                      &entry->lookup);
        if (err == OK) {
            book->lookup_count++;
        } else {
            entry->untold = err;
            note_failure(entry, err);
        }
    }
}

static void on_due(struct deadline *deadline)
{
    struct entry *entry = CONTAINER_OF(deadline, struct entry, deadline);
    CHECK(entry->tag == ENTRY_TAG);
    CHECK(entry->lookup == NULL);
    enum err untold = entry->untold;
    entry->untold = OK;
    list_push_back(&entry->book->waiting, &entry->queue);
    start_lookups(entry->book);
    if (untold != OK) {
        tell_failure(entry, untold, "the look-up could not start");
    }
}

/* ---- who is in the book ---- */

static void entry_destroy(struct entry *entry)
{
    if (entry->lookup != NULL) {
        resolver_cancel(entry->lookup);
        entry->book->lookup_count--;
    }
    deadline_finish(&entry->deadline);
    list_remove(&entry->queue);
    list_remove(&entry->link);
    entry->tag = 0;
    free(entry->host);
    free(entry);
}

static void forget(struct entry *entry)
{
    char key[KEY_SIZE];
    (void)map_remove(&entry->book->by_key, make_key(bytes_of(entry->host), entry->port, key));
    entry_destroy(entry);
}

static enum err add(struct address_book *book, const struct address_place *place,
                    struct list *arrivals, struct entry **ret_entry)
{
    if (place->host.size > HOST_MAX) {
        return ERR_RANGE;
    }
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return ERR_NOMEM;
    }
    *entry = (struct entry){.tag = ENTRY_TAG, .book = book, .port = place->port};
    list_init(&entry->link);
    list_init(&entry->queue);
    deadline_init(&entry->deadline, on_due);
    entry->host = strndup(place->host.data, place->host.size);
    if (entry->host == NULL) {
        entry_destroy(entry);
        return ERR_NOMEM;
    }
    char key[KEY_SIZE];
    enum err err = map_put(&book->by_key, make_key(place->host, place->port, key), entry);
    if (err != OK) {
        entry_destroy(entry);
        return err;
    }
    list_push_back(arrivals, &entry->link);
    *ret_entry = entry;
    return OK;
}

static void welcome(struct entry *entry)
{
    struct ip ip;
    if (ip_parse(bytes_of(entry->host), &ip)) {
        entry->addresses[0] = address_make(&ip, entry->port);
        entry->address_count = 1;
    } else {
        entry->is_pending = true;
        list_push_back(&entry->book->waiting, &entry->queue);
    }
}

static void sweep(struct address_book *book)
{
    struct list *link = book->entries.next;
    while (link != &book->entries) {
        struct entry *entry = CONTAINER_OF(link, struct entry, link);
        link = link->next;
        if (entry->mark != book->mark) {
            forget(entry);
        }
    }
}

enum err address_book_create(struct loop *loop, struct resolver *resolver,
                             const struct address_book_ops *ops, void *context,
                             struct address_book **ret_book)
{
    struct address_book *book = calloc(1, sizeof *book);
    if (book == NULL) {
        return ERR_NOMEM;
    }
    *book = (struct address_book){
        .tag = BOOK_TAG, .loop = loop, .resolver = resolver, .ops = *ops, .context = context};
    map_init(&book->by_key);
    list_init(&book->entries);
    list_init(&book->waiting);
    *ret_book = book;
    return OK;
}

/* New entries are made first and put aside, so that a failure can undo them; then nothing fails. */
enum err address_book_set(struct address_book *book, const struct address_place *places,
                          size_t place_count, uint64_t resolve_us)
{
    CHECK(book->tag == BOOK_TAG);
    struct list arrivals;
    list_init(&arrivals);
    book->mark++;
    for (size_t i = 0; i < place_count; i++) {
        struct entry *entry = find(book, places[i].host, places[i].port);
        enum err err = entry != NULL ? OK : add(book, &places[i], &arrivals, &entry);
        if (err != OK) {
            while (!list_is_empty(&arrivals)) {
                forget(CONTAINER_OF(arrivals.next, struct entry, link));
            }
            return err;
        }
        entry->mark = book->mark;
    }
    loop_enter(book->loop);
    book->resolve_us = resolve_us;
    sweep(book);
    for (struct list *link = list_pop_front(&arrivals); link != NULL;
         link = list_pop_front(&arrivals)) {
        list_push_back(&book->entries, link);
        welcome(CONTAINER_OF(link, struct entry, link));
    }
    start_lookups(book);
    loop_leave(book->loop);
    return OK;
}

bool address_book_find(const struct address_book *book, struct bytes host, uint16_t port,
                       struct address_entry *ret_entry)
{
    const struct entry *entry = find(book, host, port);
    if (entry == NULL) {
        return false;
    }
    *ret_entry = (struct address_entry){entry->addresses, entry->address_count, entry->is_pending,
                                        entry->err};
    return true;
}

size_t address_book_pending_count(const struct address_book *book)
{
    size_t count = 0;
    for (const struct list *link = book->entries.next; link != &book->entries; link = link->next) {
        const struct entry *entry = CONTAINER_OF(link, struct entry, link);
        count += entry->is_pending ? 1 : 0;
    }
    return count;
}

void address_book_destroy(struct address_book *book)
{
    if (book == NULL) {
        return;
    }
    CHECK(book->tag == BOOK_TAG);
    while (!list_is_empty(&book->entries)) {
        forget(CONTAINER_OF(book->entries.next, struct entry, link));
    }
    map_finish(&book->by_key);
    book->tag = 0;
    free(book);
}
