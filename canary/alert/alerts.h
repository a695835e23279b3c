/* canary/alert/alerts.h — who is told when something needs a human, and that it was.
 *
 * The board knows which alerts are active: raising one twice, or resolving what is not active,
 * tells nobody anything. Every event goes to the outbox of each channel; channels work by
 * themselves, one attempt at a time each, and nothing here waits for one. What is active or not yet
 * delivered is given to a journal, from which the next process goes on: an event is delivered at
 * least once to each channel, and twice only when the process dies between the delivery and the
 * journal's next batch (its id is the same then). Owned by the controller; control only. */
#pragma once
#include <uv.h>

#include "canary/alert/event.h"
#include "canary/alert/outbox.h"
#include "proxy/base/clock.h"

struct alerts;

enum { ALERTS_ACTIVE_MAX = 512 };

struct alerts_options {
    uv_loop_t *loop;           /* borrowed for life */
    const struct clock *clock; /* borrowed for life */
    uint64_t seed;             /* of the jitter; 0: from the kernel */
    /* Keeps `body` under `seq`, or forgets it (NULL). Must not wait. */
    void (*write)(void *context, int64_t seq, const char *body);
    void *context;
};

/* ERR_NOMEM. */
MUST_USE enum err alerts_create(const struct alerts_options *options, struct alerts **ret_alerts);
/* What links in messages begin with from now on: where the admin API is, "https://…"; copied. */
void alerts_name(struct alerts *alerts, const char *origin);
/* Has the channels that `conf` names from now on. One that was there before keeps its outbox; the
 * outbox of one that is gone is let go. Nothing of `conf` is kept. ERR_NOMEM leaves all as it was.
 */
MUST_USE enum err alerts_configure(struct alerts *alerts, const struct conf *conf);
/* What the journal kept, in the order of `seq`; after the first alerts_configure. */
void alerts_restore(struct alerts *alerts, int64_t seq, const char *body);
/* The journal has lost what it had: gives it again what is active or not yet delivered. */
void alerts_write_again(struct alerts *alerts);

/* An alert holds. Nothing happens when it is active already. */
void alerts_raise(struct alerts *alerts, const struct event_facts *facts);
/* It does not any more; `fired` is one of the active ones, and gone afterwards. */
void alerts_resolve(struct alerts *alerts, const struct event *fired, const char *summary);
/* Something worth to know, that neither holds nor ends; not for an Alertmanager. */
void alerts_notice(struct alerts *alerts, const struct event_facts *facts);

size_t alerts_active_count(const struct alerts *alerts);
/* Borrowed until the next call that changes something. */
const struct event *alerts_active_at(const struct alerts *alerts, size_t index);
bool alerts_is_active(const struct alerts *alerts, const struct event_facts *facts);

/* What a channel did since it was configured. */
struct alerts_channel {
    const char *label;
    uint64_t counts[ALERT_RESULT_COUNT];
};
size_t alerts_channel_count(const struct alerts *alerts);
void alerts_channel_at(const struct alerts *alerts, size_t index,
                       struct alerts_channel *ret_channel);
/* What is wrong with the channels, for the status; NULL: nothing. Valid until the next call. */
const char *alerts_condition(struct alerts *alerts);

/* Breaks off what is under way; what was not delivered stays in the journal. Calls `on_closed` when
 * all handles are closed, and frees. */
void alerts_close(struct alerts *alerts, void (*on_closed)(void *context), void *context);
