/* canary/fetch/fetch.h — outgoing calls of the control plane: curl_multi on the loop.
 *
 * One call is one request with a deadline and a bound on its answer; nothing here blocks, name
 * resolution included. A server's certificate is always verified. Redirects are not followed,
 * proxies of the environment not used, nothing is retried but a GET whose pooled connection turned
 * out closed. Owned by one loop (control's, or the CLI's own); all functions on its thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/base/bytes.h"
#include "proxy/base/err.h"

struct fetch;
struct fetch_call;

enum { FETCH_BODY_DEFAULT = 1 << 20, FETCH_DEADLINE_DEFAULT_MS = 10000, FETCH_HEADERS_MAX = 16 };

struct fetch_request {
    const char *method;         /* NULL: GET */
    const char *url;            /* http:// or https:// */
    const char *unix_path;      /* connect there instead of to the URL's host, or NULL */
    const char *ca;             /* PEM: the only authorities to trust; NULL: the system's */
    const char *certificate;    /* PEM: ours, with its key; NULL: none */
    const char *const *headers; /* "Name: value" lines; no CR, LF */
    size_t header_count;        /* to FETCH_HEADERS_MAX */
    struct bytes body;          /* data NULL: none */
    uint64_t deadline_ms;       /* 0: default; for all of it, resolving included */
    size_t body_max;            /* 0: default; a longer answer is ERR_LIMIT */
    /* Each piece of a 2xx answer as it comes, instead of collecting it (event streams); false ends
     * the call with ERR_CLOSED. NULL: collect. With it body_max does not apply. */
    bool (*on_data)(void *context, struct bytes data);
};

struct fetch_answer {
    enum err
        err; /* OK: there is a status. ERR_TIMEOUT, ERR_LIMIT, ERR_CLOSED (cancelled), ERR_IO */
    unsigned status;          /* 0 without an answer */
    struct bytes body;        /* as far as it came */
    const char *content_type; /* NULL when there was none */
    const char *etag;         /* NULL when there was none */
    const char *retry_after;  /* NULL when there was none */
    const char *ratelimit;    /* the Ratelimit field, NULL when there was none */
    const char *ray;          /* CF-Ray: what the operator of that API wants to know */
    const char *error;        /* what went wrong, for a human; "" when nothing did */
    uint64_t elapsed_us;
};

/* Everything in `answer` is borrowed during the call. Called exactly once per fetch_start that
 * returned OK, never from inside it; the call is gone afterwards. New calls may be started from
 * here. */
typedef void fetch_on_done(void *context, const struct fetch_answer *answer);

/* Borrows the loop for life. ERR_NOMEM. */
MUST_USE enum err fetch_create(uv_loop_t *loop, struct fetch **ret_fetch);
/* Loads libcurl, which reads files, so that no call has to: for whoever knows that there will be
 * calls. Any number of times. ERR_NOMEM; ERR_IO with a note: it cannot be loaded. */
MUST_USE enum err fetch_prepare(struct fetch *fetch, struct note *note);
/* Copies what it needs; prepares where nobody did. ERR_SYNTAX: the URL or a header is not
 * acceptable. ERR_NOMEM, ERR_CLOSED, ERR_IO (libcurl). `ret_call` may be NULL; it is valid until
 * on_done. */
MUST_USE enum err fetch_start(struct fetch *fetch, const struct fetch_request *request,
                              fetch_on_done *on_done, void *context, struct fetch_call **ret_call);
/* Ends a call: on_done comes with ERR_CLOSED, later on the loop (with its own outcome when it had
 * just ended). Not from on_data, which says so by its answer. */
void fetch_cancel(struct fetch_call *call);
/* Ends all calls (their on_done come with ERR_CLOSED), closes the handles, calls `on_closed` (may
 * be NULL), frees. Not from on_data. */
void fetch_close(struct fetch *fetch, void (*on_closed)(void *context), void *context);
