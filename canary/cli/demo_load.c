#include "canary/cli/demo_load.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "canary/fetch/fetch.h"
#include "proxy/base/check.h"
#include "proxy/base/hash.h"

enum {
    LOAD_TAG = TAG('d', 'l', 'o', 'd'),
    UNDER_WAY_MAX = 512,
    URL_MAX = 128,
    ANSWER_DEADLINE_MS = 5000,
    BEHIND_US_MAX = 1000000, /* later than this (a stopped process) is not caught up with */
};

/* Gaps between requests vary by this part of their mean. */
static const double JITTER = 0.2;

/* What a shop is asked for. Two in six change something: those cannot be repeated on the stable
 * version when the canary fails them. */
static const struct {
    const char *method;
    const char *path;
} ASKED[] = {{"GET", "/"},      {"GET", "/products"},        {"GET", "/products/7"},
             {"POST", "/cart"}, {"GET", "/search?q=canary"}, {"POST", "/checkout"}};

struct demo_load {
    unsigned tag;
    struct fetch *fetch; /* owned until the timer is closed */
    uv_timer_t timer;
    unsigned port;
    double gap_us;
    double due_us; /* of the next request, on uv_hrtime's clock */
    struct random random;
    size_t under_way;
    bool is_closing;
    struct demo_load_counts counts;
};

static struct demo_load *load_of(void *context)
{
    struct demo_load *load = context;
    CHECK(load->tag == LOAD_TAG);
    return load;
}

static void on_answer(void *context, const struct fetch_answer *answer)
{
    struct demo_load *load = load_of(context);
    load->under_way--;
    if (load->is_closing) {
        return;
    }
    load->counts.answered += answer->err == OK;
    load->counts.lost += answer->err != OK;
    load->counts.bad += answer->err != OK || answer->status >= 500;
}

static void send_one(struct demo_load *load)
{
    char url[URL_MAX];
    size_t asked = random_below(&load->random, COUNT_OF(ASKED));
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", load->port, ASKED[asked].path);
    struct fetch_request request = {
        .method = ASKED[asked].method, .url = url, .deadline_ms = ANSWER_DEADLINE_MS};
    bool is_sent = load->under_way < UNDER_WAY_MAX &&
                   fetch_start(load->fetch, &request, on_answer, load, NULL) == OK;
    load->under_way += is_sent;
    load->counts.skipped += !is_sent;
}

static void on_due(uv_timer_t *timer)
{
    struct demo_load *load = load_of(timer->data);
    double now_us = (double)uv_hrtime() / 1000.0;
    if (now_us > load->due_us + BEHIND_US_MAX) {
        load->due_us = now_us;
    }
    while (load->due_us <= now_us) {
        send_one(load);
        double chance = (double)(random_u64(&load->random) >> 11) * 0x1p-53;
        load->due_us += load->gap_us * (1.0 - JITTER + 2.0 * JITTER * chance);
    }
    uint64_t wait_ms = (uint64_t)((load->due_us - now_us) / 1000.0) + 1;
    (void)uv_timer_start(timer, on_due, wait_ms, 0);
}

enum err demo_load_open(uv_loop_t *loop, unsigned port, double rate, uint64_t seed,
                        struct demo_load **ret_load)
{
    CHECK(rate > 0.0);
    struct demo_load *load = calloc(1, sizeof *load);
    if (load == NULL) {
        return ERR_NOMEM;
    }
    enum err err = fetch_create(loop, &load->fetch);
    if (err != OK) {
        free(load);
        return err;
    }
    load->tag = LOAD_TAG;
    load->port = port;
    load->gap_us = 1e6 / rate;
    load->due_us = (double)uv_hrtime() / 1000.0;
    random_init(&load->random, seed);
    load->timer.data = load;
    (void)uv_timer_init(loop, &load->timer);
    (void)uv_timer_start(&load->timer, on_due, 0, 0);
    *ret_load = load;
    return OK;
}

struct demo_load_counts demo_load_counts(const struct demo_load *load)
{
    return load->counts;
}

static void on_fetch_closed(void *context)
{
    struct demo_load *load = load_of(context);
    CHECK(load->under_way == 0);
    load->tag = 0;
    free(load);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct demo_load *load = load_of(handle->data);
    fetch_close(load->fetch, on_fetch_closed, load);
}

void demo_load_close(struct demo_load *load)
{
    if (load == NULL || load->is_closing) {
        return;
    }
    load->is_closing = true;
    uv_close((uv_handle_t *)&load->timer, on_timer_closed);
}
