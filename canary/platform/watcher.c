#include "canary/platform/watcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/fetch/retry.h"
#include "proxy/base/check.h"
#include "proxy/base/hash.h"
#include "proxy/base/list.h"

enum { LOOK_DEADLINE_MS = 20000, LOG_DEADLINE_MS = 20000, NO_PROVIDER_MS = 30000 };

enum state { WAITING, LOOKING, LOGGING };

struct seat;

/* What is being asked; outlives its seat when the seat lets go of it. */
struct question {
    struct seat *seat; /* NULL: nobody wants the answer any more */
};

struct seat {
    struct list link;
    struct watcher *watcher;
    char service[WATCHER_NAME_SIZE];
    struct provider *provider; /* owned; NULL: `why` */
    struct note why;
    enum state state;
    struct question *question; /* NULL while waiting */
    uint64_t every_us;
    uint64_t due_us;
    unsigned failures;
    struct note text;                                /* of the latest failure */
    char logs[WATCHER_LOGS_MAX][DEPLOYMENT_ID_SIZE]; /* to be asked for; the first is under way */
    size_t log_count;
    bool is_kept; /* seated since the last sweep */
};

struct watcher {
    const struct watcher_ops *ops;
    void *context;
    uint64_t spacing_us;
    uint64_t now_us;  /* of the latest tick */
    uint64_t free_us; /* no look before */
    struct list seats;
    struct random random;
    struct note condition;
    const char *gone_kind; /* static; of the providers that are gone: one kind is watched */
    struct platform_counts gone;
    size_t closing; /* providers */
    bool is_closing;
    void (*on_closed)(void *context);
    void *closed_context;
};

static struct seat *seat_of(struct list *link)
{
    return CONTAINER_OF(link, struct seat, link);
}

static struct seat *find_seat(const struct watcher *watcher, const char *service)
{
    for (struct list *link = watcher->seats.next; link != &watcher->seats; link = link->next) {
        if (strcmp(seat_of(link)->service, service) == 0) {
            return seat_of(link);
        }
    }
    return NULL;
}

bool watcher_has(const struct watcher *watcher, const char *service)
{
    return find_seat(watcher, service) != NULL;
}

static void add_counts(struct platform_counts *sum, const struct platform_counts *counts)
{
    for (size_t i = 0; i < PLATFORM_OPERATION_COUNT; i++) {
        for (size_t j = 0; j < PLATFORM_RESULT_COUNT; j++) {
            sum->requests[i][j] += counts->requests[i][j];
        }
    }
}

/* ---- closing ---- */

static void finish_closing(struct watcher *watcher)
{
    if (!watcher->is_closing || watcher->closing > 0) {
        return;
    }
    void (*on_closed)(void *) = watcher->on_closed;
    void *context = watcher->closed_context;
    free(watcher);
    if (on_closed != NULL) {
        on_closed(context);
    }
}

static void on_provider_closed(void *context)
{
    struct watcher *watcher = context;
    watcher->closing--;
    finish_closing(watcher);
}

/* A question under way is answered with PLATFORM_CANCELLED later, and nobody wants to know. */
static void let_go(struct seat *seat)
{
    struct provider *provider = seat->provider;
    struct watcher *watcher = seat->watcher;
    if (seat->question != NULL) {
        seat->question->seat = NULL;
        seat->question = NULL;
    }
    seat->state = WAITING;
    seat->log_count = 0;
    if (provider == NULL) {
        return;
    }
    add_counts(&watcher->gone, &provider->counts);
    watcher->gone_kind = provider->ops->name;
    seat->provider = NULL;
    watcher->closing++;
    provider_close(provider, on_provider_closed, watcher);
}

static void seat_destroy(struct seat *seat)
{
    let_go(seat);
    list_remove(&seat->link);
    free(seat);
}

void watcher_close(struct watcher *watcher, void (*on_closed)(void *context), void *context)
{
    if (watcher == NULL) {
        on_closed(context);
        return;
    }
    watcher->on_closed = on_closed;
    watcher->closed_context = context;
    watcher->closing++; /* ourselves, until all seats are gone */
    watcher->is_closing = true;
    while (!list_is_empty(&watcher->seats)) {
        seat_destroy(seat_of(watcher->seats.next));
    }
    watcher->closing--;
    finish_closing(watcher);
}

/* ---- seats ---- */

enum err watcher_seat(struct watcher *watcher, const char *service, struct provider *provider,
                      uint64_t every_us, const char *why)
{
    struct seat *seat = find_seat(watcher, service);
    if (seat == NULL) {
        seat = calloc(1, sizeof *seat);
        if (seat == NULL) {
            return ERR_NOMEM;
        }
        seat->watcher = watcher;
        (void)snprintf(seat->service, sizeof seat->service, "%s", service);
        list_push_back(&watcher->seats, &seat->link);
    }
    let_go(seat);
    seat->is_kept = true;
    seat->provider = provider;
    seat->every_us = every_us;
    seat->failures = 0;
    seat->due_us = 0;
    note_set(&seat->why, "%s", why != NULL ? why : "");
    return OK;
}

void watcher_sweep(struct watcher *watcher)
{
    for (struct list *link = watcher->seats.next; link != &watcher->seats;) {
        struct seat *seat = seat_of(link);
        link = link->next;
        if (!seat->is_kept) {
            seat_destroy(seat);
            continue;
        }
        seat->is_kept = false;
    }
}

bool watcher_want_log(struct watcher *watcher, const char *service, const char *deployment)
{
    struct seat *seat = find_seat(watcher, service);
    bool is_fit = seat != NULL && seat->provider != NULL && seat->log_count < WATCHER_LOGS_MAX &&
                  platform_id_is_plain(deployment);
    for (size_t i = 0; is_fit && i < seat->log_count; i++) {
        is_fit = strcmp(seat->logs[i], deployment) != 0;
    }
    if (is_fit) {
        (void)snprintf(seat->logs[seat->log_count++], DEPLOYMENT_ID_SIZE, "%s", deployment);
    }
    return is_fit;
}

/* ---- asking ---- */

/* A tenth of the interval by chance, so that many Serins do not ask in step. */
static uint64_t next_pause_us(struct seat *seat)
{
    return seat->every_us + random_u64(&seat->watcher->random) % (seat->every_us / 10 + 1);
}

static void fail(struct seat *seat, const char *text, uint64_t asked_ms)
{
    seat->failures++;
    uint64_t pause_ms = fetch_backoff_ms(seat->failures, seat->every_us / 1000,
                                         WATCHER_PAUSE_MAX_MS, &seat->watcher->random);
    pause_ms = asked_ms > pause_ms ? asked_ms : pause_ms;
    seat->due_us = seat->watcher->now_us + pause_ms * 1000;
    note_set(&seat->text, "%s", text);
}

static void on_looked(struct seat *seat, const struct platform_answer *answer)
{
    struct watcher *watcher = seat->watcher;
    if (answer->result != PLATFORM_DONE) {
        fail(seat, answer->text, answer->retry_after_ms);
        return;
    }
    seat->failures = 0;
    seat->due_us = watcher->now_us + next_pause_us(seat);
    watcher->ops->looked(watcher->context, seat->service, answer);
}

static void on_logged(struct seat *seat, const struct platform_answer *answer)
{
    struct watcher *watcher = seat->watcher;
    char deployment[DEPLOYMENT_ID_SIZE];
    struct bytes log = answer->result == PLATFORM_DONE ? answer->log : (struct bytes){0};
    memcpy(deployment, seat->logs[0], sizeof deployment);
    seat->log_count--;
    memmove(seat->logs[0], seat->logs[1], seat->log_count * sizeof seat->logs[0]);
    watcher->ops->logged(watcher->context, seat->service, deployment, log);
}

static void on_done(void *context, const struct platform_answer *answer)
{
    struct question *question = context;
    struct seat *seat = question->seat;
    free(question);
    if (seat == NULL) {
        return;
    }
    enum state state = seat->state;
    seat->question = NULL;
    seat->state = WAITING;
    if (state == LOGGING) {
        on_logged(seat, answer);
    } else {
        on_looked(seat, answer);
    }
}

static enum err ask(struct seat *seat, const struct platform_ask *wish, enum state state)
{
    struct question *question = malloc(sizeof *question);
    enum err err = question != NULL ? OK : ERR_NOMEM;
    if (err == OK) {
        question->seat = seat;
        err = provider_start(seat->provider, wish, on_done, question, NULL);
    }
    if (err != OK) {
        free(question);
        return err;
    }
    seat->question = question;
    seat->state = state;
    return OK;
}

static void look(struct seat *seat)
{
    struct watcher *watcher = seat->watcher;
    if (seat->provider == NULL) {
        seat->due_us = watcher->now_us + (uint64_t)NO_PROVIDER_MS * 1000;
        return;
    }
    watcher->free_us = watcher->now_us + watcher->spacing_us;
    struct platform_ask wish = {.operation = PLATFORM_LIST, .deadline_ms = LOOK_DEADLINE_MS};
    enum err err = ask(seat, &wish, LOOKING);
    if (err != OK) {
        fail(seat, err_text(err), 0);
    }
}

/* A log that cannot be asked for is none. */
static void read_log(struct seat *seat)
{
    struct platform_ask wish = {
        .operation = PLATFORM_LOG, .target = seat->logs[0], .deadline_ms = LOG_DEADLINE_MS};
    if (ask(seat, &wish, LOGGING) != OK) {
        on_logged(seat, &(struct platform_answer){.result = PLATFORM_FAILED});
    }
}

void watcher_tick(struct watcher *watcher, uint64_t now_us)
{
    struct seat *next = NULL; /* who waits longest: with many seats all get their turn */
    watcher->now_us = now_us;
    for (struct list *link = watcher->seats.next; link != &watcher->seats; link = link->next) {
        struct seat *seat = seat_of(link);
        if (seat->state != WAITING) {
            continue;
        }
        if (seat->log_count > 0) {
            read_log(seat);
        } else if (seat->due_us <= now_us && (next == NULL || seat->due_us < next->due_us)) {
            next = seat;
        }
    }
    if (next != NULL && watcher->free_us <= now_us) {
        look(next);
    }
}

/* ---- telling ---- */

const char *watcher_condition(struct watcher *watcher)
{
    for (struct list *link = watcher->seats.next; link != &watcher->seats; link = link->next) {
        const struct seat *seat = seat_of(link);
        if (seat->provider == NULL || seat->failures >= WATCHER_FAILURES_SHOWN) {
            note_set(&watcher->condition, "%s: its project is not seen: %s", seat->service,
                     seat->provider == NULL ? seat->why.text : seat->text.text);
            return watcher->condition.text;
        }
    }
    return NULL;
}

void watcher_add_counts(const struct watcher *watcher, const char *kind,
                        struct platform_counts *sum)
{
    if (watcher->gone_kind != NULL && strcmp(watcher->gone_kind, kind) == 0) {
        add_counts(sum, &watcher->gone);
    }
    for (const struct list *link = watcher->seats.next; link != &watcher->seats;
         link = link->next) {
        const struct seat *seat = CONTAINER_OF(link, struct seat, link);
        if (seat->provider != NULL && strcmp(seat->provider->ops->name, kind) == 0) {
            add_counts(sum, &seat->provider->counts);
        }
    }
}

enum err watcher_create(const struct watcher_options *options, struct watcher **ret_watcher)
{
    struct watcher *watcher = calloc(1, sizeof *watcher);
    if (watcher == NULL) {
        return ERR_NOMEM;
    }
    watcher->ops = options->ops;
    watcher->context = options->context;
    watcher->spacing_us =
        (options->spacing_ms != 0 ? options->spacing_ms : WATCHER_SPACING_MS) * UINT64_C(1000);
    list_init(&watcher->seats);
    random_init(&watcher->random, 0);
    *ret_watcher = watcher;
    return OK;
}
