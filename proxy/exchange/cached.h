/* proxy/exchange/cached.h — an exchange and what is kept of its service (proxy/cache).
 *
 * Two ways: a good answer of a version that goes to its client is kept beside, and a request for
 * which every other way has failed gets what was kept, the decided version's first, then the stable
 * one's, never a rolled-back one's. What is served so is no answer of a version: it counts for no
 * ledger, and the failure that led to it has been counted already.
 *
 *     OPEN, CONNECTING, WAITING -- no way left, but a kept answer --> SERVING --> CLOSED
 *
 * Part of the exchange; one worker's loop. Where `cache` is off all of it costs a comparison. */
#pragma once
#include "proxy/cache/cache_fill.h"
#include "proxy/cache/cache_status.h"
#include "proxy/exchange/exchange_state.h"

struct flight;

/* What an exchange has to do with what is kept; in its arena. */
struct cached {
    unsigned tag;
    struct cache_request request; /* the client's */
    struct cache_fill fill;       /* the answer that is being kept */
    uint64_t mark;                /* of what is being kept */
    struct cache_entry *entry;    /* the answer that is being served; ours */
    uint64_t served;              /* where in its body */
    uint64_t left;                /* bytes of it to go */
    enum metric_cache result;
    /* fresh.c */
    struct cache_entry *asked;  /* the origin is asked whether it still holds; ours */
    enum cache_forward forward; /* why the origin is asked */
    struct flight *flight;      /* others wait for this exchange's answer; NULL: nobody can */
    struct exchange *exchange;  /* whose this is */
    struct list waiting;        /* for another one's */
    uint64_t waits_until_us;    /* for whomever; 0: it has not waited yet */
    bool has_waited;            /* to the end of a flight, or for too long: asks by itself */
};

/* The exchange's, made when there is none; NULL without memory. */
struct cached *cached_of(struct exchange *exchange);
void cached_count(struct exchange *exchange, enum metric_cache result);
struct cache_key_facts cached_key(const struct exchange *exchange, enum role role);
/* A version that is kept apart from its answers: there is none, or it was rolled back. */
bool cached_is_barred(const struct snapshot_service *service, enum role role);
/* What is kept of the version for this request, to be unref'd; NULL: nothing. */
struct cache_entry *cached_find(struct exchange *exchange, enum role role, bool *ret_has_other);
/* What is held against an answer may be the request's fault, or ours: another one may fare better.
 */
bool cached_is_of_request(enum cache_admission admission);
/* Did the version's answer lately turn out to be nothing that is kept? */
bool cached_is_hopeless(const struct exchange *exchange);
/* So it turned out now, by the attempt's answer: that holds for so long. */
void cached_give_hope_up(struct exchange *exchange, uint64_t for_us);
/* Can an answer of this kind, just in, be given to others without asking again? */
bool cached_is_of_use(const struct exchange *exchange, const struct cache_meta *meta);
/* Gives the client what it is to have of the entry: takes that on success. Needs exchange->cached.
 * The exchange may be over then. */
bool cached_serve(struct exchange *exchange, struct cache_entry *entry, enum metric_cache result,
                  struct cache_status status);

/* The answer's head went to the client: is it to be kept too? */
void cached_on_answer(struct exchange *exchange, const struct response *response);
/* More of that answer's body; its end. Only where exchange->cached is not NULL. */
void cached_on_body(struct exchange *exchange, struct bytes piece);
void cached_on_end(struct exchange *exchange);

/* The version's own answer is a failure as caches see it (RFC 5861), and so does every version that
 * takes part: true when a kept answer took its place. The exchange may be over then. */
bool cached_replaces(struct exchange *exchange, const struct response *response);
/* The client took what there was: more of the kept answer. May be the last call. */
void cached_go_on(struct exchange *exchange);
/* The exchange ends: lets go of what is kept and served. */
void cached_end(struct exchange *exchange);
/* What came of looking, for the access log; METRIC_CACHE_COUNT: nobody looked. */
enum metric_cache cached_result(const struct exchange *exchange);
