#include "proxy/cache/cache_fill.h"

static enum cache_admission admission_of(enum err err)
{
    switch (err) {
    case ERR_LIMIT:
        return CACHE_ADMIT_TOO_LARGE;
    case ERR_UNSUPPORTED:
        return CACHE_ADMIT_VARY;
    default:
        return CACHE_ADMIT_NOMEM;
    }
}

/* What is kept of the head, with the site's name for the origin's. */
static enum err make_fields(const struct cache_fill_facts *facts, struct arena *arena,
                            char date[REPLY_DATE_SIZE], struct fields *ret_fields)
{
    size_t room = facts->response->fields.count + CACHE_STORED_ADDED_MAX;
    struct field *items = arena_alloc(arena, room * sizeof *items);
    if (items == NULL) {
        return ERR_NOMEM;
    }
    enum err err = cache_stored_fields(facts->response, facts->rules, &facts->times, date, items,
                                       room, ret_fields);
    return err == OK && facts->reverse != NULL ? reverse_fields(ret_fields, facts->reverse, arena)
                                               : err;
}

static enum err make_entry(const struct cache_fill_facts *facts, struct arena *arena,
                           struct cache_parts *parts, struct cache_entry **ret_entry)
{
    char date[REPLY_DATE_SIZE];
    const struct response *response = facts->response;
    enum err err = cache_key_make(&facts->key, cache_store_seed(facts->store), arena, &parts->key);
    if (err == OK) {
        err = cache_vary_make(&response->fields, &facts->request->request->fields, arena,
                              &parts->vary);
    }
    if (err == OK) {
        err = make_fields(facts, arena, date, &parts->fields);
    }
    uint64_t expected = response->body == BODY_LENGTH ? response->content_length : 0;
    return err == OK ? cache_entry_create(facts->store, parts, expected, ret_entry) : err;
}

enum cache_admission cache_fill_begin(const struct cache_fill_facts *facts, struct arena *arena,
                                      struct cache_fill *fill)
{
    *fill = (struct cache_fill){.entry = NULL};
    struct cache_parts parts = {
        .realm = facts->begun_realm,
        .authority = facts->key.authority,
        .target = facts->key.target,
        .status = facts->response->status,
        .received_wall_us = facts->times.wall_us,
    };
    enum cache_admission admission =
        cache_admit(facts->request, facts->response, facts->rules, &facts->times, &parts.meta);
    if (admission != CACHE_ADMIT_STORED) {
        return admission;
    }
    if (facts->response->body == BODY_LENGTH && facts->response->content_length > facts->body_max) {
        return CACHE_ADMIT_TOO_LARGE;
    }
    enum err err = make_entry(facts, arena, &parts, &fill->entry);
    if (err != OK) {
        return admission_of(err);
    }
    fill->realm = facts->realm;
    fill->begun_era = facts->begun_era;
    fill->body_max = facts->body_max;
    return CACHE_ADMIT_STORED;
}

bool cache_fill_is_varied(const struct cache_fill *fill)
{
    return fill->entry != NULL && fill->entry->vary.size > 0;
}

bool cache_fill_append(struct cache_fill *fill, struct bytes piece)
{
    if (cache_entry_append(fill->entry, piece, fill->body_max) != OK) {
        cache_fill_abandon(fill);
        return false;
    }
    return true;
}

bool cache_fill_finish(struct cache_fill *fill, const struct fields *request)
{
    struct cache_entry *entry = fill->entry;
    bool is_dropped = atomic_load_explicit(fill->realm, memory_order_relaxed) != entry->realm;
    fill->entry = NULL;
    if (is_dropped) {
        cache_entry_unref(entry);
        return false;
    }
    return cache_store_put_since(entry->store, entry, request, fill->begun_era) == OK;
}

void cache_fill_abandon(struct cache_fill *fill)
{
    cache_entry_unref(fill->entry);
    fill->entry = NULL;
}
