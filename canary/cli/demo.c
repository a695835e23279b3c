/* canary/cli/demo.c — see demo.h.
 *
 *   starting -> calm -> broken -> recording -> ending
 *                                    \-> keeping -> ending        any of these -> ending
 *
 * starting: the proxy is asked until it is ready. calm: the load runs. broken: the canary fails
 * since --break-at, and the service is watched until its rollback is over. recording: its record is
 * asked for. keeping: --keep, until a signal. ending: the child ends, then all handles close. */
#include "canary/cli/demo.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "canary/cli/demo_load.h"
#include "canary/cli/demo_options.h"
#include "canary/cli/demo_origin.h"
#include "canary/cli/demo_proxy.h"
#include "canary/cli/demo_report.h"
#include "canary/cli/demo_screen.h"
#include "canary/cli/demo_seen.h"
#include "canary/cli/demo_story.h"
#include "canary/fetch/fetch.h"
#include "proxy/base/check.h"

enum {
    DEMO_TAG = TAG('d', 'e', 'm', 'o'),
    TICK_MS = 100,
    URL_SIZE = 128,
    REPORT_MAX = 64 * 1024,
    ASK_DEADLINE_MS = 2000,
    STARTS_MAX = 3, /* when somebody else took a port meanwhile */
};

enum { EXIT_ROLLED_BACK = 0, EXIT_NOT_ROLLED_BACK = 1, EXIT_USAGE = 2 };

static const double START_MAX_S = 20.0;
static const double END_MAX_S = 3.0;
static const double WEIGHT_PERCENT = 10.0;
static const uint64_t ORIGIN_SEED = 7, LOAD_SEED = 11;
static const char STABLE[] = "v1", CANARY[] = "v2";

enum demo_state {
    DEMO_STARTING,
    DEMO_CALM,
    DEMO_BROKEN,
    DEMO_RECORDING,
    DEMO_KEEPING,
    DEMO_ENDING,
    DEMO_STATE_COUNT
};

static const unsigned ARROWS[DEMO_STATE_COUNT] = {
    [DEMO_STARTING] = 1U << DEMO_CALM | 1U << DEMO_ENDING,
    [DEMO_CALM] = 1U << DEMO_BROKEN | 1U << DEMO_ENDING,
    [DEMO_BROKEN] = 1U << DEMO_RECORDING | 1U << DEMO_ENDING,
    [DEMO_RECORDING] = 1U << DEMO_KEEPING | 1U << DEMO_ENDING,
    [DEMO_KEEPING] = 1U << DEMO_ENDING,
};

static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};

struct demo {
    unsigned tag;
    enum demo_state state;
    struct demo_options options;
    const char *self_path; /* borrowed */
    uv_loop_t loop;
    uv_timer_t ticker;
    uv_signal_t signals[COUNT_OF(SIGNALS)];
    struct demo_origin *origins[ROLE_COUNT];
    struct demo_proxy *proxy; /* NULL only when it could not be started */
    unsigned starts;
    struct fetch *fetch;
    bool is_asking;         /* a call to the admin API is under way */
    struct demo_load *load; /* from calm on */
    struct demo_screen screen;
    struct demo_scene scene;
    struct demo_rates rates;
    bool has_seen; /* scene.seen was read at least once */
    char url[URL_SIZE];
    uint64_t entered_us; /* the present state */
    uint64_t traffic_us; /* the load's start; 0 before */
    bool is_closed;      /* handles are closing */
    int exit_code;
};

static void demo_enter(struct demo *demo, enum demo_state state);

static struct demo *demo_of(void *context)
{
    struct demo *demo = context;
    CHECK(demo->tag == DEMO_TAG);
    return demo;
}

static double seconds_since(uint64_t then_us)
{
    return (double)(uv_hrtime() / 1000 - then_us) / 1e6;
}

static double elapsed_s(const struct demo *demo)
{
    return demo->traffic_us != 0 ? seconds_since(demo->traffic_us) : 0.0;
}

/* ---- telling ---- */

static void show_news(struct demo *demo, size_t count)
{
    const struct demo_events *events = &demo->scene.events;
    CHECK(count <= events->count);
    for (size_t i = events->count - count; i < events->count; i++) {
        demo_screen_event(&demo->screen, &events->list[i]);
    }
}

static void show(struct demo *demo)
{
    struct demo_scene *scene = &demo->scene;
    if (demo->load == NULL || !demo->has_seen) {
        return;
    }
    scene->elapsed_s = elapsed_s(demo);
    scene->clients = demo_load_counts(demo->load);
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        scene->rates[role] = demo_rates_of(&demo->rates, role);
    }
    demo_screen_show(&demo->screen, scene);
}

/* The story ends before its end: why, what the proxy said last, and exit code 1. */
static void give_up(struct demo *demo, const char *format, ...) PRINTF_LIKE(2, 3);

static void give_up(struct demo *demo, const char *format, ...)
{
    struct note why;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why.text, sizeof why.text, format, arguments);
    va_end(arguments);
    struct buf tail;
    buf_init(&tail, REPORT_MAX);
    if (demo->proxy != NULL) {
        demo_proxy_log_tail(demo->proxy, &tail);
    }
    (void)fprintf(stderr, "serin demo: %s\n%.*s", why.text, BYTES_ARGS(buf_bytes(&tail)));
    buf_finish(&tail);
    demo->exit_code = EXIT_NOT_ROLLED_BACK;
    demo_enter(demo, DEMO_ENDING);
}

static void report(struct demo *demo, const struct demo_record *record, struct bytes json)
{
    show(demo);
    struct demo_load_counts clients = demo_load_counts(demo->load);
    struct buf text;
    buf_init(&text, REPORT_MAX);
    if (demo->options.is_json) {
        text.is_failed |= demo_report_json(json, &clients, &text) != OK;
    } else {
        (void)buf_append_byte(&text, '\n');
        demo_report_text(record, &clients, &text);
    }
    if (demo->options.is_kept) {
        (void)buf_printf(&text,
                         "\nStill up, until Ctrl-C:\n"
                         "  curl -i http://127.0.0.1:%u/\n"
                         "  curl http://127.0.0.1:%u/api/v1/status\n"
                         "  configuration and logs: %s\n\n",
                         demo_proxy_port(demo->proxy), demo_proxy_admin_port(demo->proxy),
                         demo_proxy_folder(demo->proxy));
    }
    demo_screen_text(&demo->screen, buf_bytes(&text));
    demo->exit_code = !text.is_failed && strcmp(record->status, "success") == 0
                          ? EXIT_ROLLED_BACK
                          : EXIT_NOT_ROLLED_BACK;
    buf_finish(&text);
}

/* ---- asking the admin API ---- */

static void on_ready(struct demo *demo, const struct fetch_answer *answer)
{
    if (answer->err == OK && answer->status == 200) {
        demo_enter(demo, DEMO_CALM);
    }
}

static void on_service(struct demo *demo, const struct fetch_answer *answer)
{
    struct demo_seen seen;
    if (answer->err != OK || demo_seen_read(answer->body, &seen) != OK) {
        return;
    }
    size_t news = demo->has_seen ? demo_story_follow(&demo->scene.seen, &seen, elapsed_s(demo),
                                                     &demo->scene.events)
                                 : 0;
    demo->scene.seen = seen;
    demo->has_seen = true;
    demo_rates_add(&demo->rates, &seen, elapsed_s(demo));
    show_news(demo, news);
    if (demo->state == DEMO_BROKEN && demo_story_is_over(&seen)) {
        demo_enter(demo, DEMO_RECORDING);
    }
}

static void on_record(struct demo *demo, const struct fetch_answer *answer)
{
    struct demo_record record;
    if (answer->err != OK || demo_record_read(answer->body, &record) != OK ||
        !demo_record_is_over(&record)) {
        return;
    }
    report(demo, &record, answer->body);
    demo_enter(demo, demo->options.is_kept ? DEMO_KEEPING : DEMO_ENDING);
}

static void on_answer(void *context, const struct fetch_answer *answer)
{
    struct demo *demo = demo_of(context);
    demo->is_asking = false;
    switch (demo->state) {
    case DEMO_STARTING:
        on_ready(demo, answer);
        return;
    case DEMO_CALM:
    case DEMO_BROKEN:
    case DEMO_KEEPING:
        on_service(demo, answer);
        return;
    case DEMO_RECORDING:
        on_record(demo, answer);
        return;
    case DEMO_ENDING:
    case DEMO_STATE_COUNT:
        return;
    }
}

static void ask(struct demo *demo)
{
    if (demo->is_asking) {
        return;
    }
    char path[URL_SIZE];
    if (demo->state == DEMO_STARTING) {
        (void)snprintf(path, sizeof path, "/readyz");
    } else if (demo->state == DEMO_RECORDING) {
        (void)snprintf(path, sizeof path, "/api/v1/rollbacks?limit=1");
    } else {
        (void)snprintf(path, sizeof path, "/api/v1/services/%s", DEMO_SERVICE);
    }
    char url[2 * URL_SIZE];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", demo_proxy_admin_port(demo->proxy),
                   path);
    struct fetch_request request = {.url = url, .deadline_ms = ASK_DEADLINE_MS};
    demo->is_asking = fetch_start(demo->fetch, &request, on_answer, demo, NULL) == OK;
}

/* ---- the states ---- */

static void start_proxy(struct demo *demo)
{
    demo_proxy_destroy(demo->proxy);
    demo->proxy = NULL;
    demo->starts++;
    struct demo_proxy_options options = {
        .self_path = demo->self_path,
        .stable_port = demo_origin_port(demo->origins[ROLE_PREVIOUS]),
        .canary_port = demo_origin_port(demo->origins[ROLE_CURRENT]),
        .stable_name = STABLE,
        .canary_name = CANARY,
        .weight_percent = WEIGHT_PERCENT,
        .every_ms = demo->options.every_ms,
    };
    struct note note = {{0}};
    if (demo_proxy_start(&options, &demo->proxy, &note) != OK) {
        give_up(demo, "%s", note.text);
        return;
    }
    (void)snprintf(demo->url, sizeof demo->url, "http://127.0.0.1:%u",
                   demo_proxy_port(demo->proxy));
    demo->scene.url = demo->url;
}

static void start_traffic(struct demo *demo)
{
    unsigned port = demo_proxy_port(demo->proxy);
    demo->traffic_us = uv_hrtime() / 1000;
    if (demo_load_open(&demo->loop, port, demo->options.rate, LOAD_SEED, &demo->load) != OK) {
        give_up(demo, "the load could not be started");
        return;
    }
    demo_events_add(&demo->scene.events, 0.0, false,
                    "%g requests/s arrive at %s: %g %% go to %s (canary), the rest to %s (stable)",
                    demo->options.rate, demo->url, WEIGHT_PERCENT, CANARY, STABLE);
    show_news(demo, 1);
}

static void break_canary(struct demo *demo)
{
    const struct demo_options *options = &demo->options;
    demo_origin_break(demo->origins[ROLE_CURRENT], options->fail_ratio, options->is_persistent);
    demo_events_add(&demo->scene.events, elapsed_s(demo), true,
                    "%s breaks: %g %% of its answers are 500 %s", CANARY,
                    options->fail_ratio * 100.0,
                    options->is_persistent ? "from now on" : "from now on at this load");
    show_news(demo, 1);
}

static void begin_end(struct demo *demo)
{
    demo_load_close(demo->load);
    demo->load = NULL;
    if (demo->fetch != NULL) {
        fetch_close(demo->fetch, NULL, NULL);
    }
    demo->fetch = NULL;
    demo_proxy_stop(demo->proxy, false);
}

static void close_all(struct demo *demo)
{
    if (demo->is_closed) {
        return;
    }
    demo->is_closed = true;
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        demo_origin_close(demo->origins[role]);
    }
    for (size_t i = 0; i < COUNT_OF(SIGNALS); i++) {
        uv_close((uv_handle_t *)&demo->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&demo->ticker, NULL);
}

static void demo_enter(struct demo *demo, enum demo_state state)
{
    if (state == demo->state && state == DEMO_ENDING) {
        return;
    }
    CHECK((ARROWS[demo->state] & 1U << state) != 0);
    demo->state = state;
    demo->entered_us = uv_hrtime() / 1000;
    if (state == DEMO_CALM) {
        start_traffic(demo);
    } else if (state == DEMO_BROKEN) {
        break_canary(demo);
    } else if (state == DEMO_ENDING) {
        begin_end(demo);
    }
}

/* The child has ended though nobody asked it to. */
static void miss_proxy(struct demo *demo)
{
    if (demo->state == DEMO_STARTING && demo->starts < STARTS_MAX) {
        start_proxy(demo);
        return;
    }
    give_up(demo, "the proxy has ended; it said:");
}

static bool is_too_late(const struct demo *demo)
{
    switch (demo->state) {
    case DEMO_STARTING:
        return seconds_since(demo->entered_us) > START_MAX_S;
    case DEMO_CALM:
    case DEMO_BROKEN:
    case DEMO_RECORDING:
        return elapsed_s(demo) > demo->options.seconds;
    case DEMO_KEEPING:
    case DEMO_ENDING:
    case DEMO_STATE_COUNT:
        break;
    }
    return false;
}

static void tick_end(struct demo *demo)
{
    if (demo->proxy == NULL || demo_proxy_reap(demo->proxy)) {
        close_all(demo);
    } else if (seconds_since(demo->entered_us) > END_MAX_S) {
        demo_proxy_stop(demo->proxy, true);
    }
}

static void on_tick(uv_timer_t *ticker)
{
    struct demo *demo = demo_of(ticker->data);
    if (demo->state == DEMO_ENDING) {
        tick_end(demo);
        return;
    }
    if (demo_proxy_reap(demo->proxy)) {
        miss_proxy(demo);
        return;
    }
    if (is_too_late(demo)) {
        give_up(demo, demo->state == DEMO_STARTING ? "the proxy was not ready in time; it said:"
                                                   : "the canary was not rolled back in time");
        return;
    }
    if (demo->state == DEMO_CALM && elapsed_s(demo) >= demo->options.break_at_s) {
        demo_enter(demo, DEMO_BROKEN);
    }
    ask(demo);
    show(demo);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct demo *demo = demo_of(handle->data);
    if (number == SIGCHLD) {
        on_tick(&demo->ticker);
    } else if (demo->state == DEMO_ENDING) {
        demo_proxy_stop(demo->proxy, true);
    } else {
        bool is_told = demo->state == DEMO_KEEPING || demo->options.is_json;
        demo_screen_text(&demo->screen, is_told ? BYTES("\n") : BYTES("\ninterrupted\n"));
        demo_enter(demo, DEMO_ENDING);
    }
}

/* ---- life ---- */

static enum err open_all(struct demo *demo)
{
    (void)uv_timer_init(&demo->loop, &demo->ticker);
    demo->ticker.data = demo;
    for (size_t i = 0; i < COUNT_OF(SIGNALS); i++) {
        (void)uv_signal_init(&demo->loop, &demo->signals[i]);
        demo->signals[i].data = demo;
    }
    enum err err = fetch_create(&demo->loop, &demo->fetch);
    if (err == OK) {
        err = demo_origin_open(&demo->loop, STABLE, ORIGIN_SEED, &demo->origins[ROLE_PREVIOUS]);
    }
    if (err == OK) {
        err = demo_origin_open(&demo->loop, CANARY, ORIGIN_SEED, &demo->origins[ROLE_CURRENT]);
    }
    for (size_t i = 0; i < COUNT_OF(SIGNALS) && err == OK; i++) {
        err = uv_signal_start(&demo->signals[i], on_signal, SIGNALS[i]) == 0 ? OK : ERR_IO;
    }
    return err;
}

static int run(struct demo *demo)
{
    if (uv_loop_init(&demo->loop) != 0) {
        (void)fprintf(stderr, "serin demo: out of memory\n");
        return EXIT_NOT_ROLLED_BACK;
    }
    demo_screen_init(&demo->screen, demo->options.is_json);
    enum err err = open_all(demo);
    if (err == OK) {
        start_proxy(demo);
    } else {
        give_up(demo, "could not be set up: %s", err_text(err));
    }
    (void)uv_timer_start(&demo->ticker, on_tick, 0, TICK_MS);
    (void)uv_run(&demo->loop, UV_RUN_DEFAULT);
    demo_screen_finish(&demo->screen);
    CHECK(uv_loop_close(&demo->loop) == 0);
    demo_proxy_destroy(demo->proxy);
    return demo->exit_code;
}

int demo_run(int argc, char **argv, const char *self_path)
{
    struct demo_options options;
    struct note note = {{0}};
    if (demo_options_parse(argc, argv, &options, &note) != OK) {
        (void)fprintf(stderr, "serin demo: %s\n%s", note.text, DEMO_USAGE);
        return EXIT_USAGE;
    }
    if (options.is_help) {
        (void)fputs(DEMO_USAGE, stdout);
        return EXIT_ROLLED_BACK;
    }
    struct demo *demo = calloc(1, sizeof *demo);
    if (demo == NULL) {
        (void)fprintf(stderr, "serin demo: out of memory\n");
        return EXIT_NOT_ROLLED_BACK;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    demo->tag = DEMO_TAG;
    demo->state = DEMO_STARTING;
    demo->options = options;
    demo->self_path = self_path;
    demo->entered_us = uv_hrtime() / 1000;
    demo->exit_code = EXIT_NOT_ROLLED_BACK;
    int code = run(demo);
    free(demo);
    return code;
}
