#include "canary/alert/outbox.h"

#include "canary/fetch/retry.h"
#include "proxy/base/check.h"

enum { MS = 1000 };

const char *alert_result_text(enum alert_result result)
{
    static const char *const texts[ALERT_RESULT_COUNT] = {"delivered", "failed", "refused",
                                                          "dropped", "expired"};
    CHECK(result < ALERT_RESULT_COUNT);
    return texts[result];
}

void outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){.count = 0};
}

static size_t place_of(const struct outbox *outbox, size_t index)
{
    return (outbox->first + index) % OUTBOX_MAX;
}

struct event *outbox_take(struct outbox *outbox)
{
    if (outbox->count == 0) {
        return NULL;
    }
    struct event *event = outbox->events[outbox->first];
    outbox->events[outbox->first] = NULL;
    outbox->first = place_of(outbox, 1);
    outbox->count--;
    return event;
}

void outbox_finish(struct outbox *outbox)
{
    while (outbox->count > 0) {
        event_unref(outbox_take(outbox));
    }
}

/* The first one is under way and cannot be called back: the one behind it goes. */
static struct event *take_oldest(struct outbox *outbox)
{
    if (!outbox->is_busy || !outbox->has_head) {
        return outbox_take(outbox);
    }
    struct event *head = outbox_take(outbox);
    struct event *oldest = outbox_take(outbox);
    outbox->first = (outbox->first + OUTBOX_MAX - 1) % OUTBOX_MAX;
    outbox->events[outbox->first] = head;
    outbox->count++;
    return oldest;
}

struct event *outbox_push(struct outbox *outbox, struct event *event)
{
    struct event *gone = NULL;
    if (outbox->count == OUTBOX_MAX) {
        gone = take_oldest(outbox);
        outbox->counts[ALERT_DROPPED]++;
    }
    outbox->events[place_of(outbox, outbox->count)] = event_ref(event);
    outbox->count++;
    return gone;
}

bool outbox_has(const struct outbox *outbox, const struct event *event)
{
    for (size_t i = 0; i < outbox->count; i++) {
        if (outbox->events[place_of(outbox, i)] == event) {
            return true;
        }
    }
    return false;
}

struct event *outbox_at(const struct outbox *outbox, size_t index)
{
    return index < outbox->count ? outbox->events[place_of(outbox, index)] : NULL;
}

uint64_t outbox_expiry_us(uint64_t now_us, int64_t age_us)
{
    uint64_t lived_us = age_us > 0 ? (uint64_t)age_us : 0;
    uint64_t lived_max_us = OUTBOX_LIFE_US - OUTBOX_LIFE_LEFT_MIN_US;
    return now_us + OUTBOX_LIFE_US - (lived_us < lived_max_us ? lived_us : lived_max_us);
}

struct event *outbox_expire(struct outbox *outbox, uint64_t now_us)
{
    if (outbox->count == 0 || (outbox->is_busy && outbox->has_head) ||
        now_us < outbox->events[outbox->first]->expires_us) {
        return NULL;
    }
    outbox->counts[ALERT_EXPIRED]++;
    return outbox_take(outbox);
}

bool outbox_is_ready(const struct outbox *outbox, uint64_t now_us)
{
    return !outbox->is_busy && now_us >= outbox->due_us;
}

uint64_t outbox_ready_us(const struct outbox *outbox)
{
    return outbox->is_busy ? UINT64_MAX : outbox->due_us;
}

struct event *outbox_first(const struct outbox *outbox)
{
    return outbox->count > 0 ? outbox->events[outbox->first] : NULL;
}

void outbox_begin(struct outbox *outbox, bool is_for_event)
{
    CHECK(!outbox->is_busy);
    CHECK(!is_for_event || outbox->count > 0);
    outbox->is_busy = true;
    outbox->has_head = is_for_event;
}

static uint64_t wait_us(unsigned failed_attempts, uint64_t asked_us, struct random *random)
{
    uint64_t own_us =
        MS * fetch_backoff_ms(failed_attempts, OUTBOX_WAIT_MIN_MS, OUTBOX_WAIT_MAX_MS, random);
    uint64_t asked_max_us = MS * (uint64_t)OUTBOX_ASKED_MAX_MS;
    asked_us = asked_us > asked_max_us ? asked_max_us : asked_us;
    return asked_us > own_us ? asked_us : own_us;
}

struct event *outbox_end(struct outbox *outbox, enum alert_result result, uint64_t asked_us,
                         struct random *random, uint64_t now_us)
{
    CHECK(outbox->is_busy);
    CHECK(result <= ALERT_REFUSED);
    bool has_head = outbox->has_head;
    outbox->is_busy = false;
    outbox->has_head = false;
    outbox->counts[result]++;
    if (result == ALERT_FAILED) {
        outbox->failed_attempts++;
        outbox->due_us = now_us + wait_us(outbox->failed_attempts, asked_us, random);
        return NULL;
    }
    outbox->failed_attempts = 0;
    outbox->due_us = now_us;
    return has_head ? outbox_take(outbox) : NULL;
}

void outbox_break_off(struct outbox *outbox)
{
    outbox->is_busy = false;
    outbox->has_head = false;
}
