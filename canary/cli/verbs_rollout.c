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

/* A Serin that is away for a while is waited for: the rollout goes on where it was. */
struct patience {
    uint64_t deadline_us;
    uint64_t heard_us; /* the last answer */
};

static struct patience have_patience(uint64_t deadline_us)
{
    return (struct patience){deadline_us, clock_monotonic_us(clock_system())};
}

/* Until the next call is due; CLI_TIMED_OUT, and told, when there is to be none. */
static int wait_for_next(const struct client *client, struct patience *patience)
{
    uint64_t now_us = clock_monotonic_us(clock_system());
    if (!client_was_silent(client)) {
        patience->heard_us = now_us;
    }
    if (now_us >= patience->deadline_us) {
        (void)fprintf(stderr, "serin: the rollout has not ended in this time\n");
        return CLI_TIMED_OUT;
    }
    if (now_us - patience->heard_us >= WAIT_SILENCE_US) {
        (void)fprintf(stderr, "serin: no answer for a minute; how the rollout ends is not known\n");
        return CLI_TIMED_OUT;
    }
    struct timespec pause = {0, WAIT_EVERY_MS * 1000000L};
    (void)nanosleep(&pause, NULL);
    return CLI_DONE;
}

/* Asks again and again; `ret_is_over` says that the service's last answer is worth showing. */
static int wait_for_end(struct client *client, const char *path, uint64_t deadline_us,
                        bool *ret_is_over)
{
    struct patience patience = have_patience(deadline_us);
    int waited = CLI_DONE;
    while (waited == CLI_DONE) {
        int exit = client_call(client, &(struct client_request){.path = path});
        if (exit == CLI_DONE) {
            exit = rollout_exit(client_json(client));
            *ret_is_over = exit >= 0;
        }
        if (exit >= 0 && !client_was_silent(client)) {
            return exit;
        }
        waited = wait_for_next(client, &patience);
    }
    return waited;
}

static int find_service(struct client *client, const struct cli_options *options,
                        uint64_t deadline_us, char name[VERB_NAME_SIZE])
{
    struct patience patience = have_patience(deadline_us);
    int exit = verb_find_service(client, options, name);
    while (client_was_silent(client)) {
        int waited = wait_for_next(client, &patience);
        if (waited != CLI_DONE) {
            return waited;
        }
        exit = verb_find_service(client, options, name);
    }
    return exit;
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
    exit = find_service(client, options, deadline_us, name);
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
