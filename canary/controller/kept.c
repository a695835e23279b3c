/* canary/controller/kept.c — what is kept of versions' answers (proxy/cache) follows their fate.
 *
 * As soon as a canary is shifted back, and again when it is rolled back, its entries are dropped: a
 * number changes, and no worker finds them any more. What they took is freed by the next ticks, a
 * few chains of the table at a time, so that neither a rollback nor a worker waits for it. */
#include "canary/controller/controller_state.h"
#include "proxy/base/log.h"
#include "router/matcher.h"

enum { CHAINS_A_TICK = 1024 };

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

void controller_sweep_kept(struct steward *steward)
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

static struct purge read_purge(const struct admin_purge *wish)
{
    struct bytes path = bytes_of(wish->path);
    struct purge purge = {
        .host = bytes_of(wish->host != NULL ? wish->host : ""),
        .is_prefix = path.data[path.size - 1] == '*',
        .has_query = bytes_find(path, '?') < path.size,
    };
    purge.path = bytes_slice(path, 0, path.size - purge.is_prefix);
    return purge;
}

void controller_purge(void *context, struct admin_call *call, const struct admin_purge *wish)
{
    struct controller *controller = context;
    struct steward *steward = controller_find(controller, wish->service);
    struct admin_reply reply = {.result = ADMIN_DONE};
    if (steward == NULL || !steward->conf->cache.is_on) {
        reply = (struct admin_reply){.result = steward == NULL ? ADMIN_UNKNOWN : ADMIN_CONFLICT,
                                     .detail = steward == NULL ? "There is no such service."
                                                               : "The service keeps nothing.",
                                     .field = "service"};
        admin_reply(call, &reply);
        return;
    }
    struct purge purge = read_purge(wish);
    size_t count = steward->service->cache != NULL
                       ? cache_store_purge(steward->service->cache, is_condemned, &purge)
                       : 0;
    struct note text;
    note_set(&text, "%zu kept answers of %s%s", count, wish->host != NULL ? wish->host : "",
             wish->path);
    log_info("%s: purged %s (by %s)", wish->service, text.text, wish->actor);
    controller_audit(controller, wish->actor, "cache.purge", wish->service, text.text);
    reply.body = json_pack("{s:I}", "purged", (json_int_t)count);
    admin_reply(call, &reply);
    json_decref(reply.body);
}
