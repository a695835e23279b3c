/* The verbs that lead a rollout. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "canary/cli/verb.h"
#include "proxy/base/clock.h"

int verb_run_pause(const struct cli_options *options)
{
    return verb_post_and_show(options, "rollout/pause", NULL, verb_show_changed);
}

int verb_run_resume(const struct cli_options *options)
{
    return verb_post_and_show(options, "rollout/resume", NULL, verb_show_changed);
}

int verb_run_promote(const struct cli_options *options)
{
    return verb_post_and_show(options, "rollout/promote",
                              json_pack("{s:b}", "full", options->is_full), verb_show_changed);
}

int verb_run_abort(const struct cli_options *options)
{
    return verb_post_and_show(options, "rollout/abort", NULL, verb_show_changed);
}

/* ---- waiting ---- */

enum {
    WAIT_EVERY_MS = 500,
    WAIT_CALL_MS = 10000,
    WAIT_SILENCE_US = 60000000 /* how long Serin may be away: time enough for a restart */
};

/* The exit code that the rollout has ended with, or -1. */
static int rollout_exit(const json_t *service)
{
    const char *phase = json_string_value(json_object_get(service, "phase"));
    bool is_running = json_integer_value(json_object_get(service, "steps")) > 0;
    if (phase == NULL) {
        return CLI_FAILED;
    }
    if (strcmp(phase, "succeeded") == 0) {
        return CLI_DONE;
    }
    bool is_under_way =
        is_running || strcmp(phase, "shifting_back") == 0 || strcmp(phase, "verifying") == 0;
    return is_under_way ? -1 : CLI_FAILED;
}

/* Asks again and again; `ret_is_over` says that the service's last answer is worth showing. A Serin
 * that is away for a while is waited for: the rollout goes on where it was. */
static int wait_for_end(struct client *client, const char *path, uint64_t deadline_us,
                        bool *ret_is_over)
{
    uint64_t heard_us = clock_monotonic_us(clock_system());
    bool is_silent = false;
    for (;;) {
        int exit =
            client_call(client, &(struct client_request){.path = path, .bears_silence = is_silent});
        uint64_t now_us = clock_monotonic_us(clock_system());
        is_silent = client_was_silent(client);
        if (exit == CLI_DONE) {
            heard_us = now_us;
            exit = rollout_exit(client_json(client));
            if (exit >= 0) {
                *ret_is_over = true;
                return exit;
            }
        } else if (!is_silent) {
            return exit;
        }
        if (now_us >= deadline_us) {
            (void)fprintf(stderr, "serin: the rollout has not ended in this time\n");
            return CLI_TIMED_OUT;
        }
        if (now_us - heard_us >= WAIT_SILENCE_US) {
            (void)fprintf(stderr,
                          "serin: no answer for a minute; how the rollout ends is not known\n");
            return CLI_TIMED_OUT;
        }
        struct timespec pause = {0, WAIT_EVERY_MS * 1000000L};
        (void)nanosleep(&pause, NULL);
    }
}

/* Until the rollout of the service that `path` is about ends; its last state is shown. */
static int wait_and_show(const struct cli_options *options, const char *name, uint64_t deadline_us)
{
    struct cli_options each = *options;
    each.timeout_ms = WAIT_CALL_MS;
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(&each, &exit);
    if (client == NULL) {
        return exit;
    }
    char path[VERB_PATH_SIZE];
    bool is_over = false;
    (void)snprintf(path, sizeof path, "/api/v1/services/%s", name);
    exit = wait_for_end(client, path, deadline_us, &is_over);
    if (is_over && verb_print_answer(client, options, verb_show_changed) != CLI_DONE) {
        exit = CLI_FAILED;
    }
    client_destroy(client);
    return exit;
}

static uint64_t deadline_of(const struct cli_options *options)
{
    return options->has_timeout ? clock_monotonic_us(clock_system()) + options->timeout_ms * 1000
                                : UINT64_MAX;
}

int verb_run_wait(const struct cli_options *options)
{
    uint64_t deadline_us = deadline_of(options);
    struct cli_options each = *options;
    each.timeout_ms = WAIT_CALL_MS;
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(&each, &exit);
    if (client == NULL) {
        return exit;
    }
    char name[VERB_NAME_SIZE];
    exit = verb_find_service(client, options, name);
    client_destroy(client);
    return exit == CLI_DONE ? wait_and_show(options, name, deadline_us) : exit;
}

/* ---- starting ---- */

/* "1%,5%,pause,100%" as the API wants it; NULL: there is an empty one, or no memory. */
static json_t *steps_to_json(const char *text)
{
    json_t *steps = json_array();
    struct bytes rest = bytes_of(text);
    struct bytes step;
    while (steps != NULL && bytes_next(&rest, ',', &step)) {
        step = bytes_trim(step);
        json_t *one = step.size > 0 ? json_stringn(step.data, step.size) : NULL;
        if (one == NULL || json_array_append_new(steps, one) != 0) {
            json_decref(steps);
            steps = NULL;
        }
    }
    return steps;
}

static json_t *start_to_json(const struct cli_options *options)
{
    json_t *body = json_pack("{s:s}", "url", options->argument);
    int failed = body == NULL;
    if (failed == 0 && options->deployment != NULL) {
        failed = json_object_set_new(body, "deployment", json_string(options->deployment));
    }
    if (failed == 0 && options->steps != NULL) {
        failed = json_object_set_new(body, "steps", steps_to_json(options->steps));
    }
    if (failed != 0) {
        json_decref(body);
        return NULL;
    }
    return body;
}

/* With --wait and --json only the end is printed: one document. */
static int start(struct client *client, const struct cli_options *options, const char *name,
                 json_t *body)
{
    char path[VERB_PATH_SIZE];
    (void)snprintf(path, sizeof path, "/api/v1/services/%s/rollout", name);
    int exit =
        client_call(client, &(struct client_request){.method = "POST", .path = path, .body = body});
    if (exit == CLI_DONE && !(options->is_waiting && options->is_json)) {
        exit = verb_print_answer(client, options, verb_show_changed);
    }
    return exit;
}

int verb_run_start(const struct cli_options *options)
{
    uint64_t deadline_us = deadline_of(options);
    json_t *body = start_to_json(options);
    if (body == NULL) {
        (void)fprintf(stderr,
                      "serin: --steps are weights and pauses as in 1%%,5%%,pause,100%%; all "
                      "texts are UTF-8\n");
        return CLI_USAGE;
    }
    struct cli_options first = *options;
    first.timeout_ms = options->is_waiting ? WAIT_CALL_MS : options->timeout_ms;
    int exit = CLI_FAILED;
    char name[VERB_NAME_SIZE];
    struct client *client = verb_open_client(&first, &exit);
    if (client != NULL) {
        exit = verb_find_service(client, options, name);
        if (exit == CLI_DONE) {
            exit = start(client, options, name, body);
        }
        client_destroy(client);
    }
    json_decref(body);
    return exit == CLI_DONE && options->is_waiting ? wait_and_show(options, name, deadline_us)
                                                   : exit;
}
