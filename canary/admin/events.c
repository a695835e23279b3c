/* Server-sent events (WHATWG HTML section 9.2): changes carry an id and are kept for a while,
 * counters are not. */
#include <stdlib.h>
#include <string.h>

#include "canary/admin/call.h"
#include "canary/admin/routes.h"
#include "canary/admin/views.h"
#include "proxy/base/check.h"

/* Who is called may leave, and a broken stream may take others with it: so nobody walks the list,
 * it is moved over. */
static void send_all(struct admin *admin, struct bytes event, bool is_change)
{
    struct list waiting;
    list_init(&waiting);
    while (!list_is_empty(&admin->subscribers)) {
        list_push_back(&waiting, list_pop_front(&admin->subscribers));
    }
    admin->is_publishing = true;
    for (struct list *link = list_pop_front(&waiting); link != NULL;
         link = list_pop_front(&waiting)) {
        list_push_back(&admin->subscribers, link);
        struct admin_subscriber *subscriber = CONTAINER_OF(link, struct admin_subscriber, link);
        (void)subscriber->on_event(subscriber, event, is_change);
    }
    admin->is_publishing = false;
}

/* Takes `data`. */
static enum err write_event(struct buf *out, uint64_t id, const char *kind, json_t *data)
{
    char *text = data != NULL ? json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(data);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    if (id != 0) {
        (void)buf_printf(out, "id: %llu\n", (unsigned long long)id);
    }
    /* A compact JSON text has no line breaks, so one data line holds it. */
    (void)buf_printf(out, "event: %s\ndata: ", kind);
    (void)buf_append(out, bytes_of(text));
    (void)buf_append(out, BYTES("\n\n"));
    free(text);
    return out->is_failed ? ERR_NOMEM : OK;
}

void admin_publish(struct admin *admin, const char *kind, const char *service, json_t *detail)
{
    CHECK(!admin->is_publishing);
    int64_t now_us = clock_wall_us(admin->options.clock);
    uint64_t id = admin->last_event + 1;
    json_t *data =
        json_pack("{s:s, s:o, s:o, s:o}", "kind", kind, "service", view_text(service), "timestamp",
                  view_time(now_us), "detail", detail != NULL ? detail : json_null());
    struct buf *kept = &admin->kept[id % ADMIN_EVENTS_KEPT];
    buf_clear(kept);
    admin->last_event = id;
    if (write_event(kept, id, kind, data) != OK) {
        buf_clear(kept);
        return;
    }
    send_all(admin, buf_bytes(kept), true);
}

void admin_tick(struct admin *admin)
{
    if (admin->subscriber_count == 0) {
        return;
    }
    const struct admin_options *options = &admin->options;
    struct buf event;
    buf_init(&event, ADMIN_ANSWER_MAX);
    json_t *counters = view_counters(options->ops, options->context, clock_wall_us(options->clock));
    if (write_event(&event, 0, "counters", counters) == OK) {
        send_all(admin, buf_bytes(&event), false);
    }
    buf_finish(&event);
}

void admin_subscribe(struct admin *admin, struct admin_subscriber *subscriber, uint64_t last_event)
{
    list_init(&subscriber->link);
    list_push_back(&admin->subscribers, &subscriber->link);
    admin->subscriber_count++;
    uint64_t oldest =
        admin->last_event >= ADMIN_EVENTS_KEPT ? admin->last_event - ADMIN_EVENTS_KEPT + 1 : 1;
    /* An id of an earlier process is beyond ours; it gets nothing twice and misses nothing of ours.
     */
    bool is_ours = last_event > 0 && last_event <= admin->last_event;
    uint64_t id = is_ours ? last_event + 1 : admin->last_event + 1;
    id = id < oldest ? oldest : id;
    for (; id <= admin->last_event; id++) {
        const struct buf *kept = &admin->kept[id % ADMIN_EVENTS_KEPT];
        if (buf_size(kept) > 0 && !subscriber->on_event(subscriber, buf_bytes(kept), true)) {
            return;
        }
    }
}

void admin_unsubscribe(struct admin *admin, struct admin_subscriber *subscriber)
{
    if (list_is_empty(&subscriber->link)) {
        return;
    }
    list_remove(&subscriber->link);
    admin->subscriber_count--;
}

void call_end_streams(struct admin *admin)
{
    CHECK(!admin->is_publishing);
    while (!list_is_empty(&admin->subscribers)) {
        struct list *link = admin->subscribers.next;
        struct admin_subscriber *subscriber = CONTAINER_OF(link, struct admin_subscriber, link);
        subscriber->on_revoked(subscriber);
        CHECK(admin->subscribers.next != link);
    }
}

void route_events(struct admin_call *call)
{
    if (call->admin->subscriber_count >= ADMIN_STREAMS_MAX) {
        call_problem(call, 503, NULL, "There are %d event streams already.", ADMIN_STREAMS_MAX);
        return;
    }
    struct admin_answer answer = {
        .status = 200,
        .content_type = "text/event-stream",
        .body = BYTES("retry: 2000\n: serin\n\n"),
        .is_stream = call->request->method != METHOD_HEAD,
    };
    const struct field *last = fields_find_name(call->request->fields, BYTES("last-event-id"));
    if (last != NULL) {
        (void)bytes_to_u64(last->value, &answer.last_event);
    }
    call_answer(call, &answer);
}
