/* canary/alert/event.h — one thing that channels are told: an alert fires, an alert is resolved, or
 * a notice.
 *
 * Immutable but for its two marks, counted: every outbox that still has it and the board share it.
 * An alert is known by name, service and deployment; its labels stay those with which it fired, so
 * that a receiver sees one alert that ends, never two. Control only. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "proxy/base/err.h"

enum event_state { EVENT_FIRING, EVENT_RESOLVED, EVENT_NOTICE, EVENT_STATE_COUNT };

enum { EVENT_WORD_MAX = 48, EVENT_ID_SIZE = 24, EVENT_RUNBOOK_SIZE = 96 };

/* What is told, as the caller knows it; all texts are borrowed and cut where they are too long. */
struct event_facts {
    const char *name;       /* "SerinRollback" */
    const char *service;    /* NULL: it concerns the process */
    const char *deployment; /* NULL: none */
    const char *severity;   /* "critical", "warning", "info" */
    const char *reason;     /* one word of the judge's, or NULL */
    const char *summary;    /* a sentence with its numbers */
};

struct event {
    unsigned ref_count;
    int64_t seq; /* grows, also over restarts */
    enum event_state state;
    char name[EVENT_WORD_MAX + 1];
    char service[CONF_NAME_MAX + 1];
    char deployment[CONF_DEPLOYMENT_MAX + 1];
    char severity[EVENT_WORD_MAX + 1];
    char reason[EVENT_WORD_MAX + 1];
    struct note summary;
    int64_t starts_us;   /* wall clock */
    int64_t ends_us;     /* 0 unless resolved */
    uint64_t expires_us; /* monotonic: from then on it is history, and not sent any more */
    bool is_active;      /* on the board: fired and not resolved */
    bool is_written;     /* the journal has it */
};

/* Gives one reference to the caller; NULL without memory. It does not expire until the caller says
 * when. */
struct event *event_create(const struct event_facts *facts, enum event_state state, int64_t seq,
                           int64_t wall_us);
/* What ends `fired`, with the same labels. NULL without memory. */
struct event *event_create_resolution(const struct event *fired, const char *summary, int64_t seq,
                                      int64_t wall_us);
struct event *event_ref(struct event *event);
void event_unref(struct event *event); /* NULL is fine */

/* The same alert, whatever its state? */
bool event_is_same(const struct event *a, const struct event *b);
bool event_is_about(const struct event *event, const struct event_facts *facts);
/* When it happened: its end, or its start. */
int64_t event_at_us(const struct event *event);
const char *event_state_text(enum event_state state); /* "firing", …; static */
/* "al-18c9…": the same on every attempt and after a restart. */
void event_id(const struct event *event, char ret_id[EVENT_ID_SIZE]);
/* Where the manual says what to do about it. */
void event_runbook(const struct event *event, char ret_text[EVENT_RUNBOOK_SIZE]);

/* As the journal keeps it, without the channels that wait for it; NULL without memory. */
json_t *event_to_json(const struct event *event);
/* The way back. ERR_SYNTAX: it is none. ERR_NOMEM. */
MUST_USE enum err event_from_json(const json_t *json, int64_t seq, struct event **ret_event);
