/* canary/alert/outbox.h — what one channel has still to be told, and when it is tried (again).
 *
 * A bounded queue, oldest first, one event under way. A failure is the channel's: it waits, twice
 * as long each time, with jitter, or for as long as the receiver asks. A refusal is the
 * event's: it is given up. A full outbox gives its oldest event up; an event that is too old is not
 * sent any more. Pure: time and randomness are arguments. Embedded in a channel; control only. */
#pragma once
#include "canary/alert/event.h"
#include "proxy/base/hash.h"

enum {
    OUTBOX_MAX = 256,
    OUTBOX_WAIT_MIN_MS = 1000,
    OUTBOX_WAIT_MAX_MS = 60 * 1000,
    OUTBOX_ASKED_MAX_MS = 15 * 60 * 1000, /* a receiver may ask for so long at most */
};
/* An event that is older than this is history; */
#define OUTBOX_LIFE_US (UINT64_C(24) * 3600 * 1000000)
/* but a process that takes it over from the one before tries for so long at least: how old it is
 * then, only the wall clock knows, and that may have been set meanwhile. */
#define OUTBOX_LIFE_LEFT_MIN_US (UINT64_C(3600) * 1000000)

/* What became of an event, and the label values of serin_alerts_total. */
enum alert_result {
    ALERT_DELIVERED,
    ALERT_FAILED,  /* one attempt; it is tried again */
    ALERT_REFUSED, /* the receiver does not take this message */
    ALERT_DROPPED, /* the queue was full */
    ALERT_EXPIRED, /* it could not be delivered within a day */
    ALERT_RESULT_COUNT
};
const char *alert_result_text(enum alert_result result); /* static */

struct outbox {
    struct event *events[OUTBOX_MAX]; /* a ring of references */
    size_t first, count;
    bool is_busy;             /* an attempt is under way, */
    bool has_head;            /* and it is for the first event */
    unsigned failed_attempts; /* in a row */
    uint64_t due_us;          /* not before; monotonic */
    uint64_t counts[ALERT_RESULT_COUNT];
};

void outbox_init(struct outbox *outbox);
/* Lets all events go. */
void outbox_finish(struct outbox *outbox);

/* Takes a reference of its own. Gives the reference of the event that had to go to the caller, or
 * NULL. */
struct event *outbox_push(struct outbox *outbox, struct event *event);
bool outbox_has(const struct outbox *outbox, const struct event *event);
/* Oldest first (borrowed); NULL past the end. */
struct event *outbox_at(const struct outbox *outbox, size_t index);
/* When an event that is `age_us` old by the wall clock (which may say anything) expires. */
uint64_t outbox_expiry_us(uint64_t now_us, int64_t age_us);
/* The first event if it has lived too long: gives its reference to the caller, or NULL. */
struct event *outbox_expire(struct outbox *outbox, uint64_t now_us);

/* May an attempt begin? */
bool outbox_is_ready(const struct outbox *outbox, uint64_t now_us);
/* When the next may; UINT64_MAX while one is under way. */
uint64_t outbox_ready_us(const struct outbox *outbox);
/* The first event (borrowed), or NULL when there is none. */
struct event *outbox_first(const struct outbox *outbox);
/* Gives the first event's reference to the caller, or NULL when there is none. */
struct event *outbox_take(struct outbox *outbox);
/* An attempt begins: for the first event, or for something of the channel's own. */
void outbox_begin(struct outbox *outbox, bool is_for_event);
/* And ends, by ALERT_DELIVERED, ALERT_FAILED or ALERT_REFUSED. `asked_us` is the receiver's wish
 * after a failure, 0 for none. Gives the reference of an event that is done with to the caller, or
 * NULL. */
struct event *outbox_end(struct outbox *outbox, enum alert_result result, uint64_t asked_us,
                         struct random *random, uint64_t now_us);
/* The attempt was broken off by ourselves; nothing is counted. */
void outbox_break_off(struct outbox *outbox);
