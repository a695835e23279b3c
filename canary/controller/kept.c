/* canary/controller/kept.c — what is kept of versions' answers (proxy/cache) follows their fate.
 *
 * As soon as a canary is shifted back, and again when it is rolled back, its entries are dropped: a
 * number changes, and no worker finds them any more. What they took is freed by the next ticks, a
 * few chains of the table at a time, so that neither a rollback nor a worker waits for it.
 *
 * So does a purge of everything. A purge of some pages has to look at all entries: at so many in a
 * tick, one purge after the other, and it is answered when it has seen them all. */
#include "canary/controller/controller_state.h"
#include "proxy/base/log.h"
#include "router/matcher.h"

enum {
    CHAINS_A_TICK = 1024,
    EVICTIONS_A_TICK = 1024,
    LOOKS_A_TICK = 16384, /* at entries */
    PURGES_MAX = 16       /* under way, of a service */
};

static uint64_t realm_of(const struct steward_version *version)
{
    return version->version != NULL
               ? atomic_load_explicit(&version->version->cache_realm, memory_order_relaxed)
               : 0;
}

static bool is_going_back(enum rollout_phase phase)
{
    return phase == ROLLOUT_SHIFTING_BACK || phase == ROLLOUT_ROLLED_BACK;
}

void controller_follow_kept(struct steward *steward)
{
    enum rollout_phase phase = steward->engine.rollout.phase;
    bool is_news = phase != steward->kept_phase;
    struct version *canary = steward->versions[ROLE_CURRENT].version;
    steward->kept_phase = phase;
    if (is_news && is_going_back(phase) && canary != NULL) {
        version_drop_cached(canary, steward->service);
    }
}

static void sweep(struct steward *steward)
{
    struct cache_store *store = steward->service->cache;
    if (store == NULL) {
        return;
    }
    const uint64_t realms[ROLE_COUNT] = {realm_of(&steward->versions[ROLE_CURRENT]),
                                         realm_of(&steward->versions[ROLE_PREVIOUS])};
    if (memcmp(realms, steward->kept_realms, sizeof realms) != 0) {
        memcpy(steward->kept_realms, realms, sizeof realms);
        cache_store_drop(store);
    }
    (void)cache_store_sweep(store, realms, ROLE_COUNT, CHAINS_A_TICK);
    (void)cache_store_shrink(store, EVICTIONS_A_TICK);
}

/* ---- purging ---- */

struct purge {
    struct bytes host; /* empty: any */
    struct bytes path; /* without its star */
    bool is_prefix;
    bool has_query;
};

static bool is_condemned(const struct cache_entry *entry, const void *context)
{
    const struct purge *purge = context;
    if (purge->host.size > 0 &&
        !bytes_equal_nocase(purge->host, matcher_host_of(entry->authority))) {
        return false;
    }
    if (purge->is_prefix) {
        return bytes_starts_with(entry->target, purge->path);
    }
    return bytes_equal(purge->path,
                       purge->has_query ? entry->target : matcher_path_of(entry->target));
}

static struct purge read_purge(const char *host, const char *wished_path)
{
    struct bytes path = bytes_of(wished_path);
    struct purge purge = {
        .host = bytes_of(host != NULL ? host : ""),
        .is_prefix = path.data[path.size - 1] == '*',
        .has_query = bytes_find(path, '?') < path.size,
    };
    purge.path = bytes_slice(path, 0, path.size - purge.is_prefix);
    return purge;
}

/* One that is under way. */
struct kept_purge {
    struct kept_purge *next;
    struct admin_call *call; /* owned until it is answered */
    struct cache_walk walk;
    char *path; /* owned, as all names */
    char *host; /* NULL: any */
    char *actor;
};

static void destroy_purge(struct kept_purge *purge)
{
    if (purge != NULL) {
        free(purge->path);
        free(purge->host);
        free(purge->actor);
        free(purge);
    }
}

static struct kept_purge *create_purge(struct admin_call *call, const struct admin_purge *wish)
{
    struct kept_purge *purge = calloc(1, sizeof *purge);
    if (purge == NULL) {
        return NULL;
    }
    purge->call = call;
    purge->path = strdup(wish->path);
    purge->host = wish->host != NULL ? strdup(wish->host) : NULL;
    purge->actor = strdup(wish->actor);
    if (purge->path == NULL || purge->actor == NULL ||
        (wish->host != NULL && purge->host == NULL)) {
        destroy_purge(purge);
        return NULL;
    }
    return purge;
}

static void refuse(struct admin_call *call, enum admin_result result, const char *detail)
{
    struct admin_reply reply = {.result = result, .detail = detail};
    admin_reply(call, &reply);
}

/* Takes the purge. */
static void tell_purged(struct controller *controller, struct steward *steward,
                        struct kept_purge *purge)
{
    struct note text;
    struct admin_reply reply = {.result = ADMIN_DONE};
    size_t count = purge->walk.gone_count;
    note_set(&text, "%zu kept answers of %s%s", count, purge->host != NULL ? purge->host : "",
             purge->path);
    log_info("%s: purged %s (by %s)", steward->conf->name, text.text, purge->actor);
    controller_audit(controller, purge->actor, "cache.purge", steward->conf->name, text.text);
    reply.body = json_pack("{s:I}", "purged", (json_int_t)count);
    admin_reply(purge->call, &reply);
    json_decref(reply.body);
    destroy_purge(purge);
}

/* All goes: nobody finds it any more, and what it took is freed by the next ticks. */
static void purge_all(struct steward *steward, struct cache_store *store, struct kept_purge *purge)
{
    purge->walk = cache_store_begin_purge(store);
    purge->walk.left = 0;
    purge->walk.gone_count = cache_store_usage(store).entries;
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        struct version *version = steward->versions[role].version;
        if (version != NULL) {
            version_drop_cached(version, steward->service);
        }
    }
}

/* Goes on with the oldest. */
static void go_on_purging(struct controller *controller, struct steward *steward)
{
    struct kept_purge *purge = steward->purges;
    if (purge == NULL) {
        return;
    }
    const struct purge wish = read_purge(purge->host, purge->path);
    if (!cache_store_go_on(steward->service->cache, &purge->walk, LOOKS_A_TICK, is_condemned,
                           &wish)) {
        steward->purges = purge->next;
        tell_purged(controller, steward, purge);
    }
}

void controller_sweep_kept(struct controller *controller, struct steward *steward)
{
    if (steward->service->cache != NULL) {
        sweep(steward);
        go_on_purging(controller, steward);
    }
}

void controller_drop_purges(struct steward *steward)
{
    while (steward->purges != NULL) {
        struct kept_purge *purge = steward->purges;
        steward->purges = purge->next;
        refuse(purge->call, ADMIN_BUSY, "The service goes away.");
        destroy_purge(purge);
    }
}

/* Takes the purge. It begins at once, and is often over at once. */
static void begin_purge(struct controller *controller, struct steward *steward,
                        struct kept_purge *purge)
{
    struct cache_store *store = steward->service->cache;
    bool is_of_all = purge->host == NULL && strcmp(purge->path, "*") == 0;
    if (store == NULL || is_of_all) {
        if (store != NULL) {
            purge_all(steward, store, purge);
        }
        tell_purged(controller, steward, purge);
        return;
    }
    purge->walk = cache_store_begin_purge(store);
    bool is_first = steward->purges == NULL;
    struct kept_purge **end = &steward->purges;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = purge;
    if (is_first) {
        go_on_purging(controller, steward);
    }
}

static size_t count_purges(const struct steward *steward)
{
    size_t count = 0;
    for (const struct kept_purge *purge = steward->purges; purge != NULL; purge = purge->next) {
        count++;
    }
    return count;
}

void controller_purge(void *context, struct admin_call *call, const struct admin_purge *wish)
{
    struct controller *controller = context;
    struct steward *steward = controller_find(controller, wish->service);
    if (steward == NULL || !steward->conf->cache.is_on) {
        struct admin_reply reply = {.result = steward == NULL ? ADMIN_UNKNOWN : ADMIN_CONFLICT,
                                    .detail = steward == NULL ? "There is no such service."
                                                              : "The service keeps nothing.",
                                    .field = "service"};
        admin_reply(call, &reply);
        return;
    }
    if (count_purges(steward) >= PURGES_MAX) {
        refuse(call, ADMIN_BUSY, "Other purges of the service are under way.");
        return;
    }
    struct kept_purge *purge = create_purge(call, wish);
    if (purge == NULL) {
        refuse(call, ADMIN_BUSY, "Out of memory.");
        return;
    }
    begin_purge(controller, steward, purge);
}
