/* What the demo asks of the proxy's admin API, and how it is told. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "canary/cli/demo_report.h"
#include "canary/cli/demo_state.h"
#include "canary/cli/demo_story.h"

enum { REPORT_MAX = 64 * 1024, ASK_DEADLINE_MS = 2000 };

/* ---- telling ---- */

void demo_show_news(struct demo *demo, size_t count)
{
    const struct demo_events *events = &demo->scene.events;
    CHECK(count <= events->count);
    for (size_t i = events->count - count; i < events->count; i++) {
        demo_screen_event(&demo->screen, &events->list[i]);
    }
}

void demo_show(struct demo *demo)
{
    struct demo_scene *scene = &demo->scene;
    if (demo->load == NULL || !demo->has_seen) {
        return;
    }
    scene->elapsed_s = demo_elapsed_s(demo);
    scene->clients = demo_load_counts(demo->load);
    for (enum role role = 0; role < ROLE_COUNT; role++) {
        scene->rates[role] = demo_rates_of(&demo->rates, role);
    }
    demo_screen_show(&demo->screen, scene);
}

void demo_give_up(struct demo *demo, const char *format, ...)
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
    demo->exit_code = DEMO_EXIT_NOT_ROLLED_BACK;
    demo_enter(demo, DEMO_ENDING);
}

static bool stays_up(const struct demo *demo)
{
    return demo->options.is_kept || demo->options.look_s > 0.0;
}

/* Where to look while it stays up. */
static void report_place(const struct demo *demo, struct buf *text)
{
    unsigned admin_port = demo_proxy_admin_port(demo->proxy);
    if (demo->options.is_kept) {
        (void)buf_append(text, BYTES("\nStill up, until Ctrl-C:\n"));
    } else {
        (void)buf_printf(text, "\nStill up, for %g s or until Ctrl-C:\n", demo->options.look_s);
    }
    (void)buf_printf(text,
                     "  dashboard: http://127.0.0.1:%u/\n"
                     "  curl -i http://127.0.0.1:%u/\n"
                     "  curl http://127.0.0.1:%u/api/v1/status\n"
                     "  configuration and logs: %s\n\n",
                     admin_port, demo_proxy_port(demo->proxy), admin_port,
                     demo_proxy_folder(demo->proxy));
}

static void report(struct demo *demo, const struct demo_record *record, struct bytes json)
{
    demo_show(demo);
    struct demo_load_counts clients = demo_load_counts(demo->load);
    struct buf text;
    buf_init(&text, REPORT_MAX);
    if (demo->options.is_json) {
        text.is_failed |= demo_report_json(json, &clients, &text) != OK;
    } else {
        (void)buf_append_byte(&text, '\n');
        demo_report_text(record, &clients, &text);
    }
    if (stays_up(demo)) {
        report_place(demo, &text);
    }
    demo_screen_text(&demo->screen, buf_bytes(&text));
    demo->exit_code = !text.is_failed && strcmp(record->status, "success") == 0
                          ? DEMO_EXIT_ROLLED_BACK
                          : DEMO_EXIT_NOT_ROLLED_BACK;
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
    size_t news = demo->has_seen ? demo_story_follow(&demo->scene.seen, &seen, demo_elapsed_s(demo),
                                                     &demo->scene.events)
                                 : 0;
    demo->scene.seen = seen;
    demo->has_seen = true;
    demo_rates_add(&demo->rates, &seen, demo_elapsed_s(demo));
    demo_show_news(demo, news);
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
    demo_enter(demo, stays_up(demo) ? DEMO_KEEPING : DEMO_ENDING);
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

void demo_ask(struct demo *demo)
{
    if (demo->is_asking) {
        return;
    }
    char path[DEMO_URL_SIZE];
    if (demo->state == DEMO_STARTING) {
        (void)snprintf(path, sizeof path, "/readyz");
    } else if (demo->state == DEMO_RECORDING) {
        (void)snprintf(path, sizeof path, "/api/v1/rollbacks?limit=1");
    } else {
        (void)snprintf(path, sizeof path, "/api/v1/services/%s", DEMO_SERVICE);
    }
    char url[2 * DEMO_URL_SIZE];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", demo_proxy_admin_port(demo->proxy),
                   path);
    struct fetch_request request = {.url = url, .deadline_ms = ASK_DEADLINE_MS};
    demo->is_asking = fetch_start(demo->fetch, &request, on_answer, demo, NULL) == OK;
}
