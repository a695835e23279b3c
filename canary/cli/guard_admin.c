/* canary/cli/guard_admin.c — guarded is a service of a running Serin: its canary while it is in
 * use. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "canary/cli/guard.h"
#include "canary/cli/verb.h"
#include "proxy/base/clock.h"

enum { POLL_MS = 500 };

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

/* ---- looking ---- */

static bool is_going_back(const char *phase)
{
    return strcmp(phase, "shifting_back") == 0 || strcmp(phase, "verifying") == 0 ||
           strcmp(phase, "rolled_back") == 0;
}

/* The canary that has weight or a rollout; otherwise the stable version. */
static void read_service(const json_t *service, struct guard_look *ret_look)
{
    const json_t *current = json_object_get(service, "current");
    const json_t *weight = json_object_get(json_object_get(service, "weight"), "set");
    bool is_up =
        json_number_value(weight) > 0 || json_integer_value(json_object_get(service, "steps")) > 0;
    bool is_canary = json_is_object(current) && is_up && !is_going_back(text_of(service, "phase"));
    const json_t *live = is_canary ? current : json_object_get(service, "previous");
    *ret_look = (struct guard_look){.is_known = true, .may_go_back = is_canary};
    ret_look->has_live = text_of(live, "deployment")[0] != '\0';
    platform_text_copy(ret_look->live.id, sizeof ret_look->live.id, text_of(live, "deployment"));
    platform_text_copy(ret_look->live.url, sizeof ret_look->live.url, text_of(live, "url"));
}

static int ask_service(struct client *client, const struct cli_options *options, json_t **ret_json)
{
    char name[VERB_NAME_SIZE];
    char path[VERB_PATH_SIZE];
    int exit = verb_find_service(client, options, name);
    if (exit == CLI_DONE) {
        (void)snprintf(path, sizeof path, "/api/v1/services/%s", name);
        exit = client_call(client, &(struct client_request){.path = path});
    }
    *ret_json = exit == CLI_DONE ? client_json(client) : NULL;
    return exit;
}

static int look(struct guard *guard, bool is_before, struct guard_look *ret_look, struct note *note)
{
    int exit = CLI_FAILED;
    json_t *service = NULL;
    struct client *client = verb_open_client(&guard->serin, &exit);
    (void)is_before;
    note_set(note, "the Serin at %s does not say", guard->options->admin);
    if (client == NULL) {
        return exit;
    }
    exit = ask_service(client, guard->options, &service);
    if (exit == CLI_DONE && json_is_object(service)) {
        read_service(service, ret_look);
    }
    client_destroy(client);
    bool may_pass = exit == CLI_FAILED || exit == CLI_TIMED_OUT;
    return may_pass ? CLI_DONE : exit;
}

/* ---- telling it ---- */

static json_t *failure_to_json(const struct guard *guard, const struct guard_result *result,
                               const char *expected)
{
    char label[DEPLOYMENT_ID_SIZE];
    struct note reason;
    note_set(&reason, "%s; %s", guard->failure.text, result->sentence.text);
    platform_text_copy(label, sizeof label, guard->label[0] != '\0' ? guard->label : expected);
    json_t *body = json_pack("{s:s, s:s}", "reason", reason.text, "mode",
                             guard->options->is_instant ? "instant" : "gradual");
    if (label[0] != '\0') {
        (void)json_object_set_new(body, "deployment", json_string(label));
    }
    if (expected != NULL) {
        (void)json_object_set_new(body, "expect_current", json_string(expected));
    }
    return body;
}

/* Until it has ended, for as long as --wait says. */
static int follow(struct client *client, const struct cli_options *options, char status[],
                  size_t size)
{
    char id[VERB_NAME_SIZE];
    char path[VERB_PATH_SIZE];
    uint64_t until_us = clock_monotonic_us(clock_system()) + options->wait_ms * 1000;
    int exit = CLI_DONE;
    if (!client_escape(text_of(client_json(client), "id"), id, sizeof id)) {
        return CLI_FAILED;
    }
    (void)snprintf(path, sizeof path, "/api/v1/rollbacks/%s", id);
    (void)snprintf(status, size, "%s", text_of(client_json(client), "status"));
    while (exit == CLI_DONE && strcmp(status, "in_progress") == 0 &&
           clock_monotonic_us(clock_system()) < until_us) {
        (void)nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
        exit = client_call(client, &(struct client_request){.path = path});
        (void)snprintf(status, size, "%s", text_of(client_json(client), "status"));
    }
    return exit;
}

/* The record that came back, or the rollback that it began. */
static void take_record(struct client *client, const struct guard *guard,
                        struct guard_result *result)
{
    char status[GUARD_WORD_SIZE] = "";
    struct note found = result->sentence;
    const json_t *record = client_json(client);
    result->is_recorded = true;
    if (!result->was_tried) {
        return;
    }
    if (strcmp(text_of(record, "status"), "dry_run") == 0) {
        note_set(&result->sentence, "%s; it is not in use any more: nothing is rolled back",
                 found.text);
        (void)snprintf(result->word, sizeof result->word, "already");
        result->is_done = true;
        return;
    }
    platform_text_copy(result->to.id, sizeof result->to.id, text_of(record, "target"));
    int exit = follow(client, guard->options, status, sizeof status);
    bool is_waited_for = guard->options->wait_ms > 0;
    bool is_over = strcmp(status, "success") == 0;
    bool is_open = strcmp(status, "in_progress") == 0;
    result->has_rolled_back = true;
    result->is_done = exit == CLI_DONE && (is_over || (is_open && !is_waited_for));
    (void)snprintf(result->word, sizeof result->word, "%s",
                   result->is_done ? "done"
                   : is_open       ? "timed_out"
                                   : "failed");
    note_set(&result->sentence, "%s; the rollback to %s %s", found.text, result->to.id,
             is_over                      ? "is done"
             : is_open && result->is_done ? "has begun"
             : is_open                    ? "has begun, and is not confirmed yet"
                                          : "is not confirmed: see serin status");
}

static void tell_serin(struct guard *guard, const char *expected, struct guard_result *result)
{
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(&guard->serin, &exit);
    if (client == NULL) {
        return;
    }
    json_t *body = failure_to_json(guard, result, expected);
    exit = verb_change_service(client, guard->options, "build-failures", body);
    if (exit == CLI_DONE) {
        take_record(client, guard, result);
    } else if (result->was_tried) {
        struct note found = result->sentence;
        note_set(&result->sentence, "%s; the Serin at %s did not take the rollback", found.text,
                 guard->options->admin);
    }
    client_destroy(client);
}

static void roll_back(struct guard *guard, const struct guard_look *before,
                      const struct guard_look *after, struct guard_result *result)
{
    (void)before;
    (void)snprintf(result->word, sizeof result->word, "failed");
    if (guard->options->is_dry_run) {
        struct note found = result->sentence;
        note_set(&result->sentence, "%s; dry run: it would be rolled back", found.text);
        (void)snprintf(result->word, sizeof result->word, "done");
        result->is_done = true;
        return;
    }
    tell_serin(guard, after->live.id, result);
}

void guard_record(struct guard *guard, struct guard_result *result)
{
    struct guard_result copy = *result;
    copy.was_tried = false; /* whatever was tried, not by this */
    tell_serin(guard, NULL, &copy);
    result->is_recorded = copy.is_recorded;
}

const struct guard_place guard_admin = {look, roll_back};
