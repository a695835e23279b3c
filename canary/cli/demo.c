/* canary/cli/demo.c — see demo.h.
 *
 *   starting -> calm -> broken -> recording -> ending
 *                                    \-> keeping -> ending        any of these -> ending
 *
 * starting: the proxy is asked until it is ready. calm: the load runs. broken: the canary fails
 * since --break-at, and the service is watched until its rollback is over. recording: its record is
 * asked for. keeping: --keep, until a signal, or --look, until its time is over. ending: the child
 * ends, then all handles close. */
#include "canary/cli/demo.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "canary/cli/demo_state.h"

enum {
    TICK_MS = 100,
    STARTS_MAX = 3, /* when somebody else took a port meanwhile */
};

static const double START_MAX_S = 20.0;
static const double END_MAX_S = 3.0;
static const double WEIGHT_PERCENT = 10.0;
static const uint64_t ORIGIN_SEED = 7, LOAD_SEED = 11;
static const char STABLE[] = "v1", CANARY[] = "v2";

static const unsigned ARROWS[DEMO_STATE_COUNT] = {
    [DEMO_STARTING] = 1U << DEMO_CALM | 1U << DEMO_ENDING,
    [DEMO_CALM] = 1U << DEMO_BROKEN | 1U << DEMO_ENDING,
    [DEMO_BROKEN] = 1U << DEMO_RECORDING | 1U << DEMO_ENDING,
    [DEMO_RECORDING] = 1U << DEMO_KEEPING | 1U << DEMO_ENDING,
    [DEMO_KEEPING] = 1U << DEMO_ENDING,
};

static const int SIGNALS[DEMO_SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD};

static double seconds_since(uint64_t then_us)
{
    return (double)(uv_hrtime() / 1000 - then_us) / 1e6;
}

double demo_elapsed_s(const struct demo *demo)
{
    return demo->traffic_us != 0 ? seconds_since(demo->traffic_us) : 0.0;
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
        demo_give_up(demo, "%s", note.text);
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
        demo_give_up(demo, "the load could not be started");
        return;
    }
    demo_events_add(&demo->scene.events, 0.0, false, "dashboard: http://127.0.0.1:%u/",
                    demo_proxy_admin_port(demo->proxy));
    demo_events_add(&demo->scene.events, 0.0, false,
                    "%g requests/s arrive at %s: %g %% go to %s (canary), the rest to %s (stable)",
                    demo->options.rate, demo->url, WEIGHT_PERCENT, CANARY, STABLE);
    demo_show_news(demo, 2);
}

static void break_canary(struct demo *demo)
{
    const struct demo_options *options = &demo->options;
    demo_origin_break(demo->origins[ROLE_CURRENT], options->fail_ratio, options->is_persistent);
    demo_events_add(&demo->scene.events, demo_elapsed_s(demo), true,
                    "%s breaks: %g %% of its answers are 500 %s", CANARY,
                    options->fail_ratio * 100.0,
                    options->is_persistent ? "from now on" : "from now on at this load");
    demo_show_news(demo, 1);
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
    for (size_t i = 0; i < DEMO_SIGNALS; i++) {
        uv_close((uv_handle_t *)&demo->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&demo->ticker, NULL);
}

void demo_enter(struct demo *demo, enum demo_state state)
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
    demo_give_up(demo, "the proxy has ended; it said:");
}

static bool is_too_late(const struct demo *demo)
{
    switch (demo->state) {
    case DEMO_STARTING:
        return seconds_since(demo->entered_us) > START_MAX_S;
    case DEMO_CALM:
    case DEMO_BROKEN:
    case DEMO_RECORDING:
        return demo_elapsed_s(demo) > demo->options.seconds;
    case DEMO_KEEPING:
    case DEMO_ENDING:
    case DEMO_STATE_COUNT:
        break;
    }
    return false;
}

static bool has_looked_enough(const struct demo *demo)
{
    return demo->state == DEMO_KEEPING && !demo->options.is_kept &&
           seconds_since(demo->entered_us) > demo->options.look_s;
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
    if (!demo->screen.has_written_all || has_looked_enough(demo)) {
        demo_enter(demo, DEMO_ENDING);
        return;
    }
    if (demo_proxy_reap(demo->proxy)) {
        miss_proxy(demo);
        return;
    }
    if (is_too_late(demo)) {
        demo_give_up(demo, demo->state == DEMO_STARTING
                               ? "the proxy was not ready in time; it said:"
                               : "the canary was not rolled back in time");
        return;
    }
    if (demo->state == DEMO_CALM && demo_elapsed_s(demo) >= demo->options.break_at_s) {
        demo_enter(demo, DEMO_BROKEN);
    }
    demo_ask(demo);
    if (demo->state != DEMO_KEEPING || demo->screen.is_live) {
        demo_show(demo);
    }
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
    for (size_t i = 0; i < DEMO_SIGNALS; i++) {
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
    for (size_t i = 0; i < DEMO_SIGNALS && err == OK; i++) {
        err = uv_signal_start(&demo->signals[i], on_signal, SIGNALS[i]) == 0 ? OK : ERR_IO;
    }
    return err;
}

static int run(struct demo *demo)
{
    if (uv_loop_init(&demo->loop) != 0) {
        (void)fprintf(stderr, "serin demo: out of memory\n");
        return DEMO_EXIT_NOT_ROLLED_BACK;
    }
    demo_screen_init(&demo->screen, demo->options.is_json);
    enum err err = open_all(demo);
    if (err == OK) {
        start_proxy(demo);
    } else {
        demo_give_up(demo, "could not be set up: %s", err_text(err));
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
        return DEMO_EXIT_USAGE;
    }
    if (options.is_help) {
        (void)fputs(DEMO_USAGE, stdout);
        return DEMO_EXIT_ROLLED_BACK;
    }
    struct demo *demo = calloc(1, sizeof *demo);
    if (demo == NULL) {
        (void)fprintf(stderr, "serin demo: out of memory\n");
        return DEMO_EXIT_NOT_ROLLED_BACK;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    demo->tag = DEMO_TAG;
    demo->state = DEMO_STARTING;
    demo->options = options;
    demo->self_path = self_path;
    demo->entered_us = uv_hrtime() / 1000;
    demo->exit_code = DEMO_EXIT_NOT_ROLLED_BACK;
    int code = run(demo);
    free(demo);
    return code;
}
