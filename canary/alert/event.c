#include "canary/alert/event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/bytes.h"
#include "proxy/base/check.h"

static const char *const state_texts[EVENT_STATE_COUNT] = {"firing", "resolved", "notice"};

#define COPY(to, from) (void)snprintf((to), sizeof(to), "%s", (from) != NULL ? (from) : "")

static bool is_utf8(const char *text, size_t size)
{
    json_t *json = json_stringn(text, size);
    json_decref(json);
    return json != NULL;
}

/* A sentence may have been cut inside a character, or hold what an operator typed: it must still
 * become JSON, or it could never be told. */
static void mend(char *text)
{
    enum { CHARACTER_MAX = 4 };
    size_t size = strlen(text);
    for (size_t cut = 0; cut < CHARACTER_MAX && cut <= size; cut++) {
        if (is_utf8(text, size - cut)) {
            text[size - cut] = '\0';
            return;
        }
    }
    for (size_t i = 0; i < size; i++) {
        text[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    }
}

struct event *event_create(const struct event_facts *facts, enum event_state state, int64_t seq,
                           int64_t wall_us)
{
    struct event *event = calloc(1, sizeof *event);
    if (event == NULL) {
        return NULL;
    }
    event->ref_count = 1;
    event->seq = seq;
    event->state = state;
    event->starts_us = wall_us;
    event->expires_us = UINT64_MAX;
    COPY(event->name, facts->name);
    COPY(event->service, facts->service);
    COPY(event->deployment, facts->deployment);
    COPY(event->severity, facts->severity);
    COPY(event->reason, facts->reason);
    note_set(&event->summary, "%s", facts->summary);
    char *texts[] = {event->name,     event->service, event->deployment,
                     event->severity, event->reason,  event->summary.text};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        mend(texts[i]);
    }
    return event;
}

struct event *event_create_resolution(const struct event *fired, const char *summary, int64_t seq,
                                      int64_t wall_us)
{
    struct event *event = malloc(sizeof *event);
    if (event == NULL) {
        return NULL;
    }
    *event = *fired;
    event->ref_count = 1;
    event->seq = seq;
    event->state = EVENT_RESOLVED;
    event->is_active = false;
    event->is_written = false;
    event->expires_us = UINT64_MAX;
    /* The wall clock may have been set back meanwhile. */
    event->ends_us = wall_us > fired->starts_us ? wall_us : fired->starts_us + 1;
    note_set(&event->summary, "%s", summary);
    mend(event->summary.text);
    return event;
}

struct event *event_ref(struct event *event)
{
    event->ref_count++;
    return event;
}

void event_unref(struct event *event)
{
    if (event == NULL) {
        return;
    }
    CHECK(event->ref_count > 0);
    if (--event->ref_count == 0) {
        free(event);
    }
}

bool event_is_same(const struct event *a, const struct event *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->service, b->service) == 0 &&
           strcmp(a->deployment, b->deployment) == 0;
}

static bool is_text(const char *has, const char *wanted)
{
    return strcmp(has, wanted != NULL ? wanted : "") == 0;
}

bool event_is_about(const struct event *event, const struct event_facts *facts)
{
    return is_text(event->name, facts->name) && is_text(event->service, facts->service) &&
           is_text(event->deployment, facts->deployment);
}

int64_t event_at_us(const struct event *event)
{
    return event->ends_us > 0 ? event->ends_us : event->starts_us;
}

const char *event_state_text(enum event_state state)
{
    CHECK(state < EVENT_STATE_COUNT);
    return state_texts[state];
}

void event_id(const struct event *event, char ret_id[EVENT_ID_SIZE])
{
    (void)snprintf(ret_id, EVENT_ID_SIZE, "al-%" PRIx64, (uint64_t)event->seq);
}

void event_runbook(const struct event *event, char ret_text[EVENT_RUNBOOK_SIZE])
{
    int size = snprintf(ret_text, EVENT_RUNBOOK_SIZE, "docs/OPERATING.md#");
    for (int i = 0; event->name[i] != '\0' && size + 1 < EVENT_RUNBOOK_SIZE; i++) {
        ret_text[size++] = byte_lower(event->name[i]);
    }
    ret_text[size] = '\0';
}

json_t *event_to_json(const struct event *event)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b}", "state",
                     event_state_text(event->state), "name", event->name, "service", event->service,
                     "deployment", event->deployment, "severity", event->severity, "reason",
                     event->reason, "summary", event->summary.text, "starts_us",
                     (json_int_t)event->starts_us, "ends_us", (json_int_t)event->ends_us, "active",
                     event->is_active ? 1 : 0);
}

static bool find_state(const char *text, enum event_state *ret_state)
{
    for (size_t i = 0; i < EVENT_STATE_COUNT; i++) {
        if (strcmp(text, state_texts[i]) == 0) {
            *ret_state = (enum event_state)i;
            return true;
        }
    }
    return false;
}

enum err event_from_json(const json_t *json, int64_t seq, struct event **ret_event)
{
    struct event_facts facts = {0};
    const char *state_text = NULL;
    json_int_t starts_us = 0;
    json_int_t ends_us = 0;
    int is_active = 0;
    enum event_state state;
    int failed = json_unpack((json_t *)json, "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b}",
                             "state", &state_text, "name", &facts.name, "service", &facts.service,
                             "deployment", &facts.deployment, "severity", &facts.severity, "reason",
                             &facts.reason, "summary", &facts.summary, "starts_us", &starts_us,
                             "ends_us", &ends_us, "active", &is_active);
    if (failed != 0 || !find_state(state_text, &state) || starts_us <= 0) {
        return ERR_SYNTAX;
    }
    struct event *event = event_create(&facts, state, seq, starts_us);
    if (event == NULL) {
        return ERR_NOMEM;
    }
    event->ends_us = ends_us;
    event->is_active = is_active != 0 && state == EVENT_FIRING;
    event->is_written = true;
    *ret_event = event;
    return OK;
}
