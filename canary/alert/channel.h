/* canary/alert/channel.h — one place that alerts go to: its outbox, its secrets, the attempt that
 * is under way.
 *
 *   alertmanager  alerts only, and all active ones again each minute
 *   slack, webhook, exec  notices too
 *
 * One attempt at a time, bounded in time and size; what comes of it moves the outbox. A channel
 * that cannot be used (a secret that is not there) fails its attempts like one that does not
 * answer. Owned by alerts.c; control only. */
#pragma once
#include "canary/alert/outbox.h"
#include "canary/command/command.h"
#include "canary/fetch/fetch.h"
#include "proxy/base/clock.h"
#include "proxy/base/list.h"

enum channel_kind {
    CHANNEL_ALERTMANAGER,
    CHANNEL_SLACK,
    CHANNEL_WEBHOOK,
    CHANNEL_EXEC,
    CHANNEL_KIND_COUNT
};

enum { CHANNEL_KEY_SIZE = 40, CHANNEL_LABEL_SIZE = 24, CHANNEL_ACTIVE_MAX = 512 };

struct channel;

/* What a channel needs of its surroundings; outlives it. */
struct channel_host {
    uv_loop_t *loop;
    struct fetch *fetch;
    const struct clock *clock;
    struct random random;
    const char *origin; /* the admin API's address */
    /* The alerts that are active now, borrowed; at most CHANNEL_ACTIVE_MAX. */
    size_t (*active)(void *context, struct event *ret_events[CHANNEL_ACTIVE_MAX]);
    /* An attempt has ended. `done` is an event that this channel is through with (the reference is
     * given), or NULL. Later on the loop, or from inside channel_look. */
    void (*on_attempt)(void *context, struct channel *channel, struct event *done);
    void (*on_closed)(void *context); /* the channel is freed */
    void *context;
};

struct channel {
    unsigned tag;
    struct list link;          /* the owner's */
    struct channel_host *host; /* borrowed */
    enum channel_kind kind;
    char key[CHANNEL_KEY_SIZE]; /* the same after a restart while the configuration names it so */
    char label[CHANNEL_LABEL_SIZE]; /* for people and metrics: "webhook", "webhook-2" */
    char *url;                      /* owned; may be a secret */
    char *signing_key;              /* owned, or NULL */
    char **words;                   /* owned, NULL at its end */
    size_t word_count;
    uint64_t timeout_ms;
    struct note unusable; /* why it cannot be used, or "" */
    struct outbox outbox;
    uint64_t again_us; /* Alertmanager: when active alerts are due again */
    struct fetch_call *call;
    struct command *command;
    bool is_failing;
    struct note trouble; /* what the last attempt said */
    bool is_closing;
};

/* The key of the channel that `conf` describes: its kind and a hash of where it leads. */
void channel_key(const struct conf_alert *conf, char ret_key[CHANNEL_KEY_SIZE]);
const char *channel_kind_text(enum channel_kind kind); /* static */

/* ERR_NOMEM. The secrets are read; one that cannot be is told by `unusable`. */
MUST_USE enum err channel_create(struct channel_host *host, const struct conf_alert *conf,
                                 struct channel **ret_channel);
/* The same channel as another reading of the file has it: secrets and times anew. ERR_NOMEM leaves
 * it as it was. */
MUST_USE enum err channel_configure(struct channel *channel, const struct conf_alert *conf);
/* Does it want to hear of such events? */
bool channel_takes(const struct channel *channel, const struct event *event);
/* Begins an attempt if one is due. */
void channel_look(struct channel *channel, size_t active_count);
/* When to look again, monotonic; UINT64_MAX: when something happens. */
uint64_t channel_due_us(const struct channel *channel, size_t active_count);
/* Breaks off what is under way, then frees and says so; its events are let go. */
void channel_close(struct channel *channel);
