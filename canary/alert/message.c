#include "canary/alert/message.h"

#include <stdio.h>
#include <string.h>

#include "proxy/base/buf.h"
#include "proxy/base/clock.h"

enum { TEXT_MAX = 4096, LINK_SIZE = 512 };

static json_t *time_to_json(int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(wall_us, text);
    return json_string(text);
}

/* Labels and annotations that say nothing are left out: an empty label is none. */
static void set_text(json_t *object, const char *key, const char *text)
{
    if (text[0] != '\0') {
        (void)json_object_set_new(object, key, json_string(text));
    }
}

static void link_to(const struct event *event, const char *origin, char ret_link[LINK_SIZE])
{
    bool has_service = event->service[0] != '\0';
    (void)snprintf(ret_link, LINK_SIZE, "%s/api/v1/%s%s", origin,
                   has_service ? "services/" : "status", event->service);
}

static json_t *labels_of(const struct event *event)
{
    json_t *labels = json_object();
    set_text(labels, "alertname", event->name);
    set_text(labels, "service", event->service);
    set_text(labels, "deployment", event->deployment);
    set_text(labels, "severity", event->severity);
    set_text(labels, "reason", event->reason);
    return labels;
}

static json_t *annotations_of(const struct event *event)
{
    char runbook[EVENT_RUNBOOK_SIZE];
    event_runbook(event, runbook);
    json_t *annotations = json_object();
    set_text(annotations, "summary", event->summary.text);
    set_text(annotations, "runbook", runbook);
    return annotations;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* An end that lies before its begin is refused, and one that is yet to come resolves nothing: where
 * the wall clock was set back, both are now. */
static json_t *alert_of(const struct event *event, const char *origin, int64_t wall_us)
{
    char link[LINK_SIZE];
    link_to(event, origin, link);
    int64_t lasts_us = (int64_t)MESSAGE_LASTS_S * 1000000;
    bool is_resolved = event->state == EVENT_RESOLVED;
    int64_t ends_us = is_resolved ? earlier(event->ends_us, wall_us) : wall_us + lasts_us;
    int64_t starts_us = earlier(event->starts_us, is_resolved ? ends_us : wall_us);
    return json_pack("{s:o, s:o, s:o, s:o, s:s}", "labels", labels_of(event), "annotations",
                     annotations_of(event), "startsAt", time_to_json(starts_us), "endsAt",
                     time_to_json(ends_us), "generatorURL", link);
}

static char *dump(json_t *json)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

char *message_alertmanager(struct event *const *events, size_t count, const char *origin,
                           int64_t wall_us)
{
    json_t *alerts = json_array();
    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(alerts, alert_of(events[i], origin, wall_us)) != 0) {
            json_decref(alerts);
            return NULL;
        }
    }
    return dump(alerts);
}

/* https://api.slack.com/reference/surfaces/formatting#escaping: these three and no others. */
static void append_escaped(struct buf *text, const char *plain)
{
    for (; *plain != '\0'; plain++) {
        switch (*plain) {
        case '&':
            (void)buf_append(text, BYTES("&amp;"));
            break;
        case '<':
            (void)buf_append(text, BYTES("&lt;"));
            break;
        case '>':
            (void)buf_append(text, BYTES("&gt;"));
            break;
        default:
            (void)buf_append_byte(text, *plain);
        }
    }
}

static void append_subject(struct buf *text, const struct event *event)
{
    if (event->service[0] != '\0') {
        append_escaped(text, event->service);
    }
    if (event->deployment[0] != '\0') {
        (void)buf_append(text, BYTES(" ("));
        append_escaped(text, event->deployment);
        (void)buf_append(text, BYTES(")"));
    }
    if (buf_size(text) > 0 && event->service[0] != '\0') {
        (void)buf_append(text, BYTES(": "));
    }
}

char *message_slack(const struct event *event)
{
    static const char *const words[EVENT_STATE_COUNT] = {"FIRING ", "RESOLVED ", ""};
    struct buf text;
    buf_init(&text, TEXT_MAX);
    struct buf subject;
    buf_init(&subject, TEXT_MAX);
    append_subject(&subject, event);
    bool is_notice = event->state == EVENT_NOTICE;
    (void)buf_printf(&text, "*%s%s* ", words[event->state], is_notice ? "Serin" : event->name);
    (void)buf_append(&text, buf_bytes(&subject));
    append_escaped(&text, event->summary.text);
    json_t *json = NULL;
    if (!text.is_failed && !subject.is_failed) {
        struct bytes whole = buf_bytes(&text);
        json = json_pack("{s:s%}", "text", whole.data, whole.size);
    }
    buf_finish(&subject);
    buf_finish(&text);
    return dump(json);
}

char *message_json(const struct event *event, const char *origin)
{
    char id[EVENT_ID_SIZE];
    char link[LINK_SIZE];
    event_id(event, id);
    link_to(event, origin, link);
    json_t *ends = event->ends_us > 0 ? time_to_json(event->ends_us) : json_null();
    return dump(json_pack("{s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:s}", "version", 1, "id", id,
                          "state", event_state_text(event->state), "labels", labels_of(event),
                          "annotations", annotations_of(event), "starts_at",
                          time_to_json(event->starts_us), "ends_at", ends, "link", link));
}
