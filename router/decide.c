#include "router/decide.h"

#include "proxy/base/check.h"
#include "router/cookie.h"

/* A client's wish, with ROLE_COUNT for none. */
struct client {
    enum role wish;
    bool has_bucket;
    uint32_t bucket;
};

const char *decide_reason_text(enum decide_reason reason)
{
    static const char *const texts[] = {
#define DECIDE_REASON_TEXT(id, text) text,
        DECIDE_REASON_LIST(DECIDE_REASON_TEXT)
#undef DECIDE_REASON_TEXT
    };
    CHECK(reason < DECIDE_REASON_COUNT);
    return texts[reason];
}

static enum role role_wished(struct bytes value)
{
    if (bytes_equal_nocase(value, BYTES("current"))) {
        return ROLE_CURRENT;
    }
    return bytes_equal_nocase(value, BYTES("previous")) ? ROLE_PREVIOUS : ROLE_COUNT;
}

static bool hears_wishes(const struct decide_service *service, const struct decide_facts *facts)
{
    if (service->is_quarantined || facts->is_contained) {
        return false;
    }
    return service->wishes == WISHES_OF_ALL ||
           (service->wishes == WISHES_OF_TRUSTED && facts->is_trusted);
}

/* The first readable cookie of each kind counts; whatever else the field holds is passed over. */
static void read_cookies(const struct decide_service *service, struct bytes field, bool hears,
                         struct client *client)
{
    struct cookie cookie;
    while (cookie_next(&field, &cookie)) {
        if (service->sticky.by == STICKY_COOKIE && !client->has_bucket &&
            bytes_equal(cookie.name, BYTES("serin"))) {
            client->has_bucket = sticky_parse(&service->sticky, cookie.value, &client->bucket);
        } else if (hears && client->wish == ROLE_COUNT &&
                   bytes_equal(cookie.name, BYTES("serin-version"))) {
            client->wish = role_wished(cookie.value);
        }
    }
}

/* Most requests carry cookies of others only: those fields are left alone after one search. */
static bool is_ours(struct bytes field)
{
    return field.size > 0 && memmem(field.data, field.size, "serin", 5) != NULL;
}

static struct client read_client(const struct decide_service *service,
                                 const struct decide_facts *facts)
{
    struct client client = {.wish = ROLE_COUNT};
    bool hears = hears_wishes(service, facts);
    if (hears && facts->version_header.size > 0) {
        client.wish = role_wished(facts->version_header);
    }
    if (hears || service->sticky.by == STICKY_COOKIE) {
        for (size_t i = 0; i < facts->cookie_count; i++) {
            if (is_ours(facts->cookies[i])) {
                read_cookies(service, facts->cookies[i], hears, &client);
            }
        }
    }
    if (service->sticky.by == STICKY_CLIENT_IP && facts->client_address.size > 0) {
        client.has_bucket = true;
        client.bucket = sticky_bucket_of_address(&service->sticky, facts->client_address);
    } else if (service->sticky.by == STICKY_HEADER && facts->sticky_header.size > 0) {
        client.has_bucket = true;
        client.bucket = sticky_bucket_of_header(&service->sticky, facts->sticky_header);
    }
    return client;
}

/* May the role answer for the other one? A deployment that was rolled back to nothing may not. */
static bool may_take_over(const struct decide_service *service, const struct decide_facts *facts,
                          enum role role)
{
    bool is_banned = role == ROLE_CURRENT && service->is_quarantined && service->weight_ppm == 0;
    return facts->is_live[role] && !is_banned;
}

/* Keeps to the version the client has, unless that cannot answer. */
static struct decision stay(const struct decide_service *service, const struct decide_facts *facts,
                            struct decision decision)
{
    if (facts->is_live[decision.role]) {
        return decision;
    }
    enum role other = role_other(decision.role);
    if (may_take_over(service, facts, other)) {
        decision.role = other;
        decision.reason = DECIDE_ONLY_LIVE;
    } else {
        decision.reason = DECIDE_NONE_LIVE;
        decision.is_judged = false;
    }
    return decision;
}

static struct decision deal(const struct decide_service *service,
                            struct split_accumulator *accumulator, struct random *random)
{
    struct decision decision = {.reason = DECIDE_WEIGHT, .is_judged = true};
    decision.role = split_deal(accumulator, service->weight_ppm);
    if (service->sticky.by == STICKY_COOKIE && split_is_mixed(service->weight_ppm)) {
        decision.sets_cookie = true;
        decision.bucket = sticky_draw(service->weight_ppm, decision.role, random);
    }
    return decision;
}

/* With a version that cannot answer there is nothing to deal: the other has it all, or it had it
 * anyway. */
static struct decision leave_to_live(const struct decide_service *service,
                                     const struct decide_facts *facts)
{
    struct decision decision = {.reason = DECIDE_WEIGHT, .is_judged = true};
    if (service->weight_ppm == 0 || service->weight_ppm == SPLIT_TOTAL) {
        decision.role = service->weight_ppm == 0 ? ROLE_PREVIOUS : ROLE_CURRENT;
    } else {
        decision.role = facts->is_live[ROLE_PREVIOUS] ? ROLE_CURRENT : ROLE_PREVIOUS;
    }
    return stay(service, facts, decision);
}

struct decision decide(const struct decide_service *service, const struct decide_facts *facts,
                       struct split_accumulator *accumulator, struct random *random)
{
    struct client client = read_client(service, facts);
    if (client.wish != ROLE_COUNT) {
        bool is_in = client.wish == ROLE_CURRENT;
        return stay(service, facts,
                    (struct decision){.role = client.wish,
                                      .reason = is_in ? DECIDE_OPT_IN : DECIDE_OPT_OUT});
    }
    if (client.has_bucket) {
        return stay(service, facts,
                    (struct decision){.role = split_pick(service->weight_ppm, client.bucket),
                                      .reason = DECIDE_STICKY,
                                      .is_judged = true,
                                      .bucket = client.bucket});
    }
    if (facts->is_live[ROLE_CURRENT] && facts->is_live[ROLE_PREVIOUS]) {
        return deal(service, accumulator, random);
    }
    return leave_to_live(service, facts);
}

struct decision decide_contained(struct decision decision)
{
    CHECK(decision.role == ROLE_CURRENT);
    decision.role = ROLE_PREVIOUS;
    decision.reason = DECIDE_CONTAINED;
    decision.sets_cookie = false;
    return decision;
}
