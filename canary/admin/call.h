/* canary/admin/call.h — one request under way, and the ways to answer it.
 *
 * Private to canary/admin. A call lives from admin_handle to its answer; while an op or a read has
 * it, it lives on even when its client has gone. Every answer goes through call_answer, once. */
#pragma once
#include "canary/admin/admin.h"
#include "canary/admin/auth.h"
#include "canary/admin/target.h"

struct route;

struct admin {
    struct admin_options options; /* conf is not kept */
    struct auth *auth;            /* owned */
    struct conf_address address;  /* listened on for life, whatever a reload says */
    char *address_text;           /* owned: its text */
    struct list calls;
    size_t call_count;
    struct list subscribers;
    size_t subscriber_count;
    bool is_publishing;
    uint64_t last_event;                /* id of the newest change */
    struct buf kept[ADMIN_EVENTS_KEPT]; /* change n is at n % ADMIN_EVENTS_KEPT */
};

struct admin_call {
    unsigned tag;
    struct list link;
    struct admin *admin;
    struct arena arena; /* texts of this call */
    struct target target;
    const struct route *route;
    const char *parameters[2]; /* what stood for {} in the route's pattern */
    const char *actor;
    enum conf_role role;                 /* of whoever asks; set where a token is asked for */
    const struct admin_request *request; /* only while admin_handle runs */
    admin_on_answer *on_answer;          /* NULL: abandoned */
    void *context;
    bool is_inside; /* admin_handle is on the stack */
    bool is_answered;
};

/* The one that a `void *` came from; checks the tag. */
struct admin_call *call_of(void *context);

/* Each answers the call; it may be gone afterwards. `answer` is borrowed, its Cache-Control and
 * such are the transport's. */
void call_answer(struct admin_call *call, const struct admin_answer *answer);
/* Takes `body`; NULL is out of memory, 503. `etag` may be NULL. */
void call_json(struct admin_call *call, unsigned status, json_t *body, const char *etag);
void call_text(struct admin_call *call, unsigned status, const char *content_type,
               struct bytes body);
/* A problem document; `field` may be NULL. */
void call_problem(struct admin_call *call, unsigned status, const char *field, const char *format,
                  ...) PRINTF_LIKE(4, 5);
/* The service with its ETag; 404 when it is not there. */
void call_service(struct admin_call *call, unsigned status, const char *name);
/* Starts an answer that comes from history; `on_read` is the routes' own. */
void call_refuse_read(struct admin_call *call, enum err err);
/* Every event stream ends (events.c). */
void call_end_streams(struct admin *admin);
