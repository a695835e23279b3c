#include "canary/alert/alerts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/alert/channel.h"
#include "proxy/base/check.h"
#include "proxy/base/log.h"

enum { ALERTS_TAG = TAG('a', 'l', 'r', 't'), ORIGIN_SIZE = 128 };

static_assert((int)ALERTS_ACTIVE_MAX == (int)CHANNEL_ACTIVE_MAX, "a reminder holds the board");

struct alerts {
    unsigned tag;
    struct channel_host host;
    struct fetch *fetch;
    char origin[ORIGIN_SIZE];
    void (*write)(void *context, int64_t seq, const char *body);
    void *write_context;
    uv_timer_t timer;
    struct list channels; /* of struct channel, in the order of the configuration */
    size_t channel_count;
    size_t open_channels;                    /* with those that still close */
    struct event *active[ALERTS_ACTIVE_MAX]; /* references; in the order in which they fired */
    size_t active_count;
    int64_t last_seq;
    struct note condition;
    bool is_full; /* told once that the board is */
    bool is_closing;
    unsigned open_parts;
    void (*on_closed)(void *context);
    void *closed_context;
};

static struct alerts *alerts_of(void *context)
{
    struct alerts *alerts = context;
    CHECK(alerts->tag == ALERTS_TAG);
    return alerts;
}

static struct channel *channel_at(struct list *link)
{
    return CONTAINER_OF(link, struct channel, link);
}

/* ---- the journal ---- */

static json_t *pending_of(const struct alerts *alerts, const struct event *event)
{
    json_t *pending = json_array();
    for (struct list *link = alerts->channels.next; link != &alerts->channels; link = link->next) {
        if (outbox_has(&channel_at(link)->outbox, event)) {
            (void)json_array_append_new(pending, json_string(channel_at(link)->key));
        }
    }
    return pending;
}

/* Without memory the journal says what it said before: the event is delivered once too often. */
static void journal(struct alerts *alerts, struct event *event)
{
    json_t *pending = pending_of(alerts, event);
    if (!event->is_active && json_array_size(pending) == 0) {
        json_decref(pending);
        if (event->is_written) {
            event->is_written = false;
            alerts->write(alerts->write_context, event->seq, NULL);
        }
        return;
    }
    json_t *body = event_to_json(event);
    (void)json_object_set_new(body, "pending", pending);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text != NULL) {
        event->is_written = true;
        alerts->write(alerts->write_context, event->seq, text);
    }
    free(text);
}

/* A channel is through with the event; takes the reference. */
static void let_go(struct alerts *alerts, struct event *event)
{
    if (event != NULL) {
        journal(alerts, event);
        event_unref(event);
    }
}

/* ---- looking after the channels ---- */

static void on_timer(uv_timer_t *timer);

/* Looks again on the loop's next turn. */
static void look_soon(struct alerts *alerts)
{
    if (!alerts->is_closing) {
        (void)uv_timer_start(&alerts->timer, on_timer, 0, 0);
    }
}

static void expire(struct alerts *alerts, struct channel *channel)
{
    uint64_t now_us = clock_monotonic_us(alerts->host.clock);
    struct event *event = outbox_expire(&channel->outbox, now_us);
    for (; event != NULL; event = outbox_expire(&channel->outbox, now_us)) {
        log_error("alert channel %s: an alert of %s is too old to be sent", channel->label,
                  event->service[0] != '\0' ? event->service : "this process");
        let_go(alerts, event);
    }
}

static void look(struct alerts *alerts)
{
    uint64_t due_us = UINT64_MAX;
    for (struct list *link = alerts->channels.next; link != &alerts->channels; link = link->next) {
        struct channel *channel = channel_at(link);
        expire(alerts, channel);
        channel_look(channel, alerts->active_count);
        uint64_t channel_us = channel_due_us(channel, alerts->active_count);
        due_us = channel_us < due_us ? channel_us : due_us;
    }
    if (due_us == UINT64_MAX) {
        (void)uv_timer_stop(&alerts->timer);
        return;
    }
    uint64_t now_us = clock_monotonic_us(alerts->host.clock);
    uint64_t wait_ms = due_us > now_us ? (due_us - now_us) / 1000 + 1 : 1;
    uv_update_time(alerts->host.loop);
    (void)uv_timer_start(&alerts->timer, on_timer, wait_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
    look(alerts_of(timer->data));
}

static void on_attempt(void *context, struct channel *channel, struct event *done)
{
    struct alerts *alerts = alerts_of(context);
    (void)channel;
    let_go(alerts, done);
    look_soon(alerts);
}

static size_t list_active(void *context, struct event *ret_events[CHANNEL_ACTIVE_MAX])
{
    struct alerts *alerts = alerts_of(context);
    for (size_t i = 0; i < alerts->active_count; i++) {
        ret_events[i] = alerts->active[i];
    }
    return alerts->active_count;
}

/* ---- events ---- */

/* Sortable, and never one that an earlier process gave: its wall clock lies behind. */
static int64_t next_seq(struct alerts *alerts)
{
    int64_t wall_us = clock_wall_us(alerts->host.clock);
    alerts->last_seq = wall_us > alerts->last_seq ? wall_us : alerts->last_seq + 1;
    return alerts->last_seq;
}

/* To every channel that wants it, then to the journal. */
static void tell(struct alerts *alerts, struct event *event)
{
    event->expires_us = outbox_expiry_us(clock_monotonic_us(alerts->host.clock), 0);
    for (struct list *link = alerts->channels.next; link != &alerts->channels; link = link->next) {
        struct channel *channel = channel_at(link);
        if (channel_takes(channel, event)) {
            let_go(alerts, outbox_push(&channel->outbox, event));
        }
    }
    journal(alerts, event);
    look_soon(alerts);
}

static bool find_active(const struct alerts *alerts, const struct event_facts *facts,
                        size_t *ret_index)
{
    for (size_t i = 0; i < alerts->active_count; i++) {
        if (event_is_about(alerts->active[i], facts)) {
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static void out_of_memory(const char *what)
{
    log_error("out of memory: an alert is in this log only: %s", what);
}

void alerts_raise(struct alerts *alerts, const struct event_facts *facts)
{
    size_t index;
    if (find_active(alerts, facts, &index)) {
        return;
    }
    if (alerts->active_count == ALERTS_ACTIVE_MAX) {
        if (!alerts->is_full) {
            log_error("%d alerts are active, more are not told to anybody", ALERTS_ACTIVE_MAX);
        }
        alerts->is_full = true;
        return;
    }
    struct event *event =
        event_create(facts, EVENT_FIRING, next_seq(alerts), clock_wall_us(alerts->host.clock));
    if (event == NULL) {
        out_of_memory(facts->summary);
        return;
    }
    event->is_active = true;
    alerts->active[alerts->active_count++] = event;
    tell(alerts, event);
}

void alerts_resolve(struct alerts *alerts, const struct event *fired, const char *summary)
{
    size_t index = 0;
    while (index < alerts->active_count && alerts->active[index] != fired) {
        index++;
    }
    CHECK(index < alerts->active_count);
    struct event *event = alerts->active[index];
    struct event *resolution = event_create_resolution(event, summary, next_seq(alerts),
                                                       clock_wall_us(alerts->host.clock));
    if (resolution == NULL) {
        out_of_memory(summary); /* it stays active, and is resolved by the next look at it */
        return;
    }
    alerts->active_count--;
    memmove(&alerts->active[index], &alerts->active[index + 1],
            (alerts->active_count - index) * sizeof alerts->active[0]);
    alerts->is_full = false;
    event->is_active = false;
    tell(alerts, resolution);
    let_go(alerts, event);
    event_unref(resolution);
}

void alerts_notice(struct alerts *alerts, const struct event_facts *facts)
{
    struct event *event =
        event_create(facts, EVENT_NOTICE, next_seq(alerts), clock_wall_us(alerts->host.clock));
    if (event == NULL) {
        out_of_memory(facts->summary);
        return;
    }
    tell(alerts, event);
    event_unref(event);
}

size_t alerts_active_count(const struct alerts *alerts)
{
    return alerts->active_count;
}

const struct event *alerts_active_at(const struct alerts *alerts, size_t index)
{
    CHECK(index < alerts->active_count);
    return alerts->active[index];
}

bool alerts_is_active(const struct alerts *alerts, const struct event_facts *facts)
{
    size_t index;
    return find_active(alerts, facts, &index);
}

/* ---- the configuration ---- */

static struct channel *find_channel(struct list *channels, const char *key)
{
    for (struct list *link = channels->next; link != channels; link = link->next) {
        if (strcmp(channel_at(link)->key, key) == 0) {
            return channel_at(link);
        }
    }
    return NULL;
}

static void drop_channel(struct alerts *alerts, struct channel *channel)
{
    list_remove(&channel->link);
    outbox_break_off(&channel->outbox);
    while (outbox_first(&channel->outbox) != NULL) {
        let_go(alerts, outbox_take(&channel->outbox));
    }
    channel_close(channel);
}

/* The channels in the order of the file: those of before from `old`, others new. */
static enum err gather(struct alerts *alerts, const struct conf *conf, struct list *old,
                       struct list *ret_channels)
{
    for (size_t i = 0; i < conf->alert_count; i++) {
        char key[CHANNEL_KEY_SIZE];
        channel_key(&conf->alerts[i], key);
        struct channel *channel = find_channel(old, key);
        bool is_new = channel == NULL;
        enum err err = is_new ? channel_create(&alerts->host, &conf->alerts[i], &channel)
                              : channel_configure(channel, &conf->alerts[i]);
        if (err != OK) {
            return err;
        }
        alerts->open_channels += is_new;
        list_remove(&channel->link);
        list_push_back(ret_channels, &channel->link);
    }
    return OK;
}

static void label_channels(struct alerts *alerts)
{
    unsigned counts[CHANNEL_KIND_COUNT] = {0};
    alerts->channel_count = 0;
    for (struct list *link = alerts->channels.next; link != &alerts->channels; link = link->next) {
        struct channel *channel = channel_at(link);
        const char *kind = channel_kind_text(channel->kind);
        if (++counts[channel->kind] == 1) {
            (void)snprintf(channel->label, sizeof channel->label, "%s", kind);
        } else {
            (void)snprintf(channel->label, sizeof channel->label, "%s-%u", kind,
                           counts[channel->kind]);
        }
        alerts->channel_count++;
        if (channel->unusable.text[0] != '\0') {
            log_error("alert channel %s: %s", channel->label, channel->unusable.text);
        }
    }
}

static void append_all(struct list *to, struct list *from)
{
    while (!list_is_empty(from)) {
        list_push_back(to, list_pop_front(from));
    }
}

enum err alerts_configure(struct alerts *alerts, const struct conf *conf)
{
    struct list old;
    struct list now;
    list_init(&old);
    list_init(&now);
    append_all(&old, &alerts->channels);
    enum err err = gather(alerts, conf, &old, &now);
    append_all(&alerts->channels, &now);
    if (err != OK) {
        /* Those that came in stay: nothing is lost by them. */
        append_all(&alerts->channels, &old);
    }
    while (!list_is_empty(&old)) {
        struct channel *channel = channel_at(old.next);
        log_info("alert channel %s: is not in the configuration any more", channel->label);
        drop_channel(alerts, channel);
    }
    label_channels(alerts);
    look_soon(alerts);
    return err;
}

/* ---- after a start ---- */

static void restore_pending(struct alerts *alerts, struct event *event, const json_t *pending)
{
    for (size_t i = 0; i < json_array_size(pending); i++) {
        const char *key = json_string_value(json_array_get(pending, i));
        struct channel *channel = key != NULL ? find_channel(&alerts->channels, key) : NULL;
        if (channel != NULL) {
            let_go(alerts, outbox_push(&channel->outbox, event));
        }
    }
}

static enum err restore(struct alerts *alerts, int64_t seq, const char *body)
{
    json_t *json = json_loads(body, 0, NULL);
    struct event *event = NULL;
    enum err err = json != NULL ? event_from_json(json, seq, &event) : ERR_SYNTAX;
    if (err == OK) {
        int64_t age_us = clock_wall_us(alerts->host.clock) - event_at_us(event);
        event->expires_us = outbox_expiry_us(clock_monotonic_us(alerts->host.clock), age_us);
        restore_pending(alerts, event, json_object_get(json, "pending"));
        event->is_active = event->is_active && alerts->active_count < ALERTS_ACTIVE_MAX;
        if (event->is_active) {
            alerts->active[alerts->active_count++] = event_ref(event);
        }
        journal(alerts, event);
        event_unref(event);
    }
    json_decref(json);
    return err;
}

void alerts_restore(struct alerts *alerts, int64_t seq, const char *body)
{
    alerts->last_seq = seq > alerts->last_seq ? seq : alerts->last_seq;
    enum err err = restore(alerts, seq, body);
    if (err != OK) {
        log_error("an alert of the process before cannot be gone on with: %s", err_text(err));
    }
    if (err == ERR_SYNTAX) {
        alerts->write(alerts->write_context, seq, NULL);
    }
    look_soon(alerts);
}

void alerts_write_again(struct alerts *alerts)
{
    for (size_t i = 0; i < alerts->active_count; i++) {
        journal(alerts, alerts->active[i]);
    }
    for (struct list *link = alerts->channels.next; link != &alerts->channels; link = link->next) {
        const struct outbox *outbox = &channel_at(link)->outbox;
        for (size_t i = 0; outbox_at(outbox, i) != NULL; i++) {
            journal(alerts, outbox_at(outbox, i));
        }
    }
}

/* ---- what is told ---- */

size_t alerts_channel_count(const struct alerts *alerts)
{
    return alerts->channel_count;
}

void alerts_channel_at(const struct alerts *alerts, size_t index,
                       struct alerts_channel *ret_channel)
{
    struct list *link = alerts->channels.next;
    while (index-- > 0) {
        link = link->next;
    }
    CHECK(link != &alerts->channels);
    const struct channel *channel = channel_at(link);
    *ret_channel = (struct alerts_channel){.label = channel->label};
    memcpy(ret_channel->counts, channel->outbox.counts, sizeof ret_channel->counts);
}

const char *alerts_condition(struct alerts *alerts)
{
    const struct channel *first = NULL;
    size_t failing = 0;
    for (struct list *link = alerts->channels.next; link != &alerts->channels; link = link->next) {
        const struct channel *channel = channel_at(link);
        if (channel->is_failing || channel->unusable.text[0] != '\0') {
            first = first != NULL ? first : channel;
            failing++;
        }
    }
    if (first == NULL) {
        return NULL;
    }
    bool is_unusable = first->unusable.text[0] != '\0';
    char others[48] = "";
    if (failing > 1) {
        (void)snprintf(others, sizeof others, "; %zu more channels fail", failing - 1);
    }
    note_set(&alerts->condition, "alert channel %s: %.300s (%zu events wait)%s", first->label,
             is_unusable ? first->unusable.text : first->trouble.text, first->outbox.count, others);
    return alerts->condition.text;
}

/* ---- life ---- */

static void finish_closing(struct alerts *alerts)
{
    void (*on_closed)(void *) = alerts->on_closed;
    void *context = alerts->closed_context;
    for (size_t i = 0; i < alerts->active_count; i++) {
        event_unref(alerts->active[i]);
    }
    alerts->tag = 0;
    free(alerts);
    if (on_closed != NULL) {
        on_closed(context);
    }
}

static void on_part_closed(void *context)
{
    struct alerts *alerts = alerts_of(context);
    CHECK(alerts->open_parts > 0);
    if (--alerts->open_parts == 0) {
        finish_closing(alerts);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

static void close_rest(struct alerts *alerts)
{
    if (alerts->is_closing && alerts->open_channels == 0) {
        fetch_close(alerts->fetch, on_part_closed, alerts);
        uv_close((uv_handle_t *)&alerts->timer, on_timer_closed);
    }
}

static void on_channel_closed(void *context)
{
    struct alerts *alerts = alerts_of(context);
    CHECK(alerts->open_channels > 0);
    alerts->open_channels--;
    close_rest(alerts);
}

enum err alerts_create(const struct alerts_options *options, struct alerts **ret_alerts)
{
    struct alerts *alerts = calloc(1, sizeof *alerts);
    if (alerts == NULL) {
        return ERR_NOMEM;
    }
    enum err err = fetch_create(options->loop, &alerts->fetch);
    if (err != OK) {
        free(alerts);
        return err;
    }
    alerts->tag = ALERTS_TAG;
    alerts->write = options->write;
    alerts->write_context = options->context;
    list_init(&alerts->channels);
    alerts->host = (struct channel_host){
        .loop = options->loop,
        .fetch = alerts->fetch,
        .clock = options->clock,
        .origin = alerts->origin,
        .active = list_active,
        .on_attempt = on_attempt,
        .on_closed = on_channel_closed,
        .context = alerts,
    };
    random_init(&alerts->host.random, options->seed);
    int failed = uv_timer_init(options->loop, &alerts->timer);
    CHECK(failed == 0);
    alerts->timer.data = alerts;
    *ret_alerts = alerts;
    return OK;
}

void alerts_name(struct alerts *alerts, const char *origin)
{
    (void)snprintf(alerts->origin, sizeof alerts->origin, "%s", origin);
}

void alerts_close(struct alerts *alerts, void (*on_closed)(void *context), void *context)
{
    CHECK(!alerts->is_closing);
    alerts->on_closed = on_closed;
    alerts->closed_context = context;
    alerts->open_parts = 2;
    (void)uv_timer_stop(&alerts->timer);
    while (!list_is_empty(&alerts->channels)) {
        struct channel *channel = channel_at(list_pop_front(&alerts->channels));
        channel_close(channel);
    }
    alerts->is_closing = true;
    close_rest(alerts);
}
