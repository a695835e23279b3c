/* The verb that rehearses a rollback. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "canary/cli/verb.h"
#include "proxy/base/clock.h"

enum { DRILL_LOOK_EVERY_MS = 250, DRILL_CALL_MS = 10000 };

/* The exit code that the drill has ended with, or -1. */
static int drill_exit(const json_t *record)
{
    const char *status = json_string_value(json_object_get(record, "status"));
    const json_t *evidence = json_object_get(record, "evidence");
    if (status == NULL) {
        return CLI_FAILED;
    }
    if (strcmp(status, "in_progress") == 0) {
        return -1;
    }
    return json_is_true(json_object_get(evidence, "in_time")) ? CLI_DONE : CLI_FAILED;
}

/* `ret_is_over` says that the last answer is the record of its end. */
static int wait_for_drill(struct client *client, const char *path, uint64_t deadline_us,
                          bool *ret_is_over)
{
    for (;;) {
        int exit = client_call(client, &(struct client_request){.path = path});
        if (exit != CLI_DONE) {
            return exit;
        }
        exit = drill_exit(client_json(client));
        if (exit >= 0) {
            *ret_is_over = true;
            return exit;
        }
        if (clock_monotonic_us(clock_system()) >= deadline_us) {
            (void)fprintf(stderr, "serin: the drill has not ended in this time\n");
            return CLI_TIMED_OUT;
        }
        struct timespec pause = {0, DRILL_LOOK_EVERY_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
}

static int wait_and_show(struct client *client, const struct cli_options *options)
{
    char id[VERB_NAME_SIZE] = "";
    char path[VERB_PATH_SIZE];
    const char *text = json_string_value(json_object_get(client_json(client), "id"));
    uint64_t deadline_us = options->has_timeout
                               ? clock_monotonic_us(clock_system()) + options->timeout_ms * 1000
                               : UINT64_MAX;
    if (text == NULL || !client_escape(text, id, sizeof id)) {
        (void)fprintf(stderr, "serin: the answer names no drill\n");
        return CLI_FAILED;
    }
    (void)snprintf(path, sizeof path, "/api/v1/rollbacks/%s", id);
    bool is_over = false;
    int exit = wait_for_drill(client, path, deadline_us, &is_over);
    if (is_over && verb_print_answer(client, options, show_rollback) != CLI_DONE) {
        exit = CLI_FAILED;
    }
    return exit;
}

int verb_run_drill(const struct cli_options *options)
{
    struct cli_options each = *options;
    each.timeout_ms = options->is_waiting ? DRILL_CALL_MS : options->timeout_ms;
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(&each, &exit);
    if (client == NULL) {
        return exit;
    }
    exit = verb_change_service(client, options, "drill", NULL);
    if (exit == CLI_DONE) {
        exit = options->is_waiting ? wait_and_show(client, options)
                                   : verb_print_answer(client, options, show_rollback);
    }
    client_destroy(client);
    return exit;
}
