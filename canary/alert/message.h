/* canary/alert/message.h — an event as each kind of receiver wants it.
 *
 * Pure; NULL without memory; texts are freed by the caller. Control only. */
#pragma once
#include "canary/alert/event.h"

enum {
    MESSAGE_AGAIN_S = 60,    /* an Alertmanager is told of active alerts this often, */
    MESSAGE_LASTS_S = 4 * 60 /* and takes them for resolved after so long without a word */
};

/* Alertmanager's POST /api/v2/alerts: a list of alerts, labels as they fired. One that fires ends
 * MESSAGE_LASTS_S after `wall_us` unless it is told again, so that a proxy that is gone leaves no
 * alert behind for ever. Nothing begins or is over later than `wall_us`. `origin` is the admin
 * API's address, for generatorURL. */
char *message_alertmanager(struct event *const *events, size_t count, const char *origin,
                           int64_t wall_us);
/* {"text"}: `&`, `<` and `>` are escaped as Slack asks, so that nothing in a sentence becomes a
 * link or calls a channel. */
char *message_slack(const struct event *event);
/* The JSON of webhook and exec. */
char *message_json(const struct event *event, const char *origin);
