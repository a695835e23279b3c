#include "canary/platform/teller.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/fetch/retry.h"
#include "canary/platform/choice.h"
#include "proxy/base/check.h"
#include "proxy/base/hash.h"
#include "proxy/base/list.h"

enum {
    ROLLBACK_SIZE = 64,
    ASK_DEADLINE_MS = 150000,
    ASK_WAIT_MS = 120000,
    NO_PROVIDER_MS = 30000,
    LOG_DEADLINE_MS = 60000,
};

/* A service's place: who is asked for it. */
struct seat {
    struct list link;
    char service[TELLER_NAME_SIZE];
    struct provider *provider; /* owned; NULL: `why` */
    const char *kind;          /* static; of the provider it had last */
    struct note why;
    bool is_kept; /* seated since the last sweep */
};

enum state { WRITING, WAITING, ASKING };

struct task {
    struct list link;
    struct teller *teller;
    enum state state;
    char rollback[ROLLBACK_SIZE];
    char service[TELLER_NAME_SIZE];
    char deployment[TELLER_NAME_SIZE];
    char current[TELLER_NAME_SIZE];
    char target[TELLER_NAME_SIZE];
    struct note reason;
    char *record; /* owned */
    int64_t first_bad_us;
    struct platform_call *call;
    struct provider *asked; /* borrowed while asking */
    unsigned asks;          /* begun; one that was cancelled may have had its effect */
    unsigned failures;
    uint64_t due_us;
    struct note text; /* of the latest failure */
    bool is_restored; /* from the journal of a process before */
    bool is_dropped;  /* waits for its call to end */
};

struct teller {
    const struct teller_ops *ops;
    void *context;
    uint64_t pause_ms;
    uint64_t now_us; /* of the latest tick */
    struct list seats;
    struct list tasks; /* oldest first */
    size_t task_count;
    struct random random;
    struct note condition;
    struct {
        const char *kind;
        struct platform_counts counts; /* of providers that are gone */
    } gone[TELLER_KINDS_MAX];
    size_t closing; /* providers */
    bool is_closing;
    void (*on_closed)(void *context);
    void *closed_context;
};

/* ---- counts ---- */

static void add_counts(struct platform_counts *sum, const struct platform_counts *counts)
{
    for (size_t i = 0; i < PLATFORM_OPERATION_COUNT; i++) {
        for (size_t j = 0; j < PLATFORM_RESULT_COUNT; j++) {
            sum->requests[i][j] += counts->requests[i][j];
        }
    }
}

static struct platform_counts *gone_of(struct teller *teller, const char *kind)
{
    size_t i = 0;
    while (teller->gone[i].kind != NULL && strcmp(teller->gone[i].kind, kind) != 0) {
        i++;
        CHECK(i < TELLER_KINDS_MAX);
    }
    teller->gone[i].kind = kind;
    return &teller->gone[i].counts;
}

bool teller_counts_at(const struct teller *teller, size_t index, const char **ret_provider,
                      struct platform_counts *ret_counts)
{
    if (index >= TELLER_KINDS_MAX || teller->gone[index].kind == NULL) {
        return false;
    }
    *ret_provider = teller->gone[index].kind;
    *ret_counts = teller->gone[index].counts;
    for (const struct list *link = teller->seats.next; link != &teller->seats; link = link->next) {
        const struct seat *seat = CONTAINER_OF(link, struct seat, link);
        if (seat->provider != NULL && strcmp(seat->kind, *ret_provider) == 0) {
            add_counts(ret_counts, &seat->provider->counts);
        }
    }
    return true;
}

/* ---- closing ---- */

static void task_destroy(struct task *task)
{
    list_remove(&task->link);
    task->teller->task_count--;
    free(task->record);
    free(task);
}

static void finish_closing(struct teller *teller)
{
    if (!teller->is_closing || teller->closing > 0) {
        return;
    }
    while (!list_is_empty(&teller->tasks)) {
        task_destroy(CONTAINER_OF(teller->tasks.next, struct task, link));
    }
    void (*on_closed)(void *) = teller->on_closed;
    void *context = teller->closed_context;
    free(teller);
    if (on_closed != NULL) {
        on_closed(context);
    }
}

static void on_provider_closed(void *context)
{
    struct teller *teller = context;
    teller->closing--;
    finish_closing(teller);
}

static void let_go(struct teller *teller, struct seat *seat)
{
    if (seat->provider == NULL) {
        return;
    }
    struct provider *provider = seat->provider;
    add_counts(gone_of(teller, seat->kind), &provider->counts);
    seat->provider = NULL;
    teller->closing++;
    provider_close(provider, on_provider_closed, teller);
}

void teller_close(struct teller *teller, void (*on_closed)(void *context), void *context)
{
    teller->on_closed = on_closed;
    teller->closed_context = context;
    teller->closing++; /* ourselves, until all seats are gone */
    teller->is_closing = true;
    while (!list_is_empty(&teller->seats)) {
        struct seat *seat = CONTAINER_OF(list_pop_front(&teller->seats), struct seat, link);
        let_go(teller, seat);
        free(seat);
    }
    teller->closing--;
    finish_closing(teller);
}

/* ---- tasks ---- */

static struct teller_facts facts_of(const struct task *task)
{
    return (struct teller_facts){
        .rollback = task->rollback,
        .service = task->service,
        .deployment = task->deployment,
        .current = task->current,
        .target = task->target,
        .reason = task->reason.text,
        .record = task->record,
        .first_bad_us = task->first_bad_us,
    };
}

static struct task *find_task(const struct teller *teller, const char *rollback)
{
    for (struct list *link = teller->tasks.next; link != &teller->tasks; link = link->next) {
        struct task *task = CONTAINER_OF(link, struct task, link);
        if (strcmp(task->rollback, rollback) == 0 && !task->is_dropped) {
            return task;
        }
    }
    return NULL;
}

bool teller_knows(const struct teller *teller, const char *rollback)
{
    return find_task(teller, rollback) != NULL;
}

static void task_end(struct task *task, enum teller_outcome outcome, const char *text)
{
    struct teller *teller = task->teller;
    struct teller_facts facts = facts_of(task);
    teller->ops->ended(teller->context, &facts, outcome, text);
    if (task->state == ASKING) {
        task->is_dropped = true;
        provider_cancel(task->call, task->asked);
        return;
    }
    task_destroy(task);
}

/* `deployment` NULL: whichever; never the task `except`. */
static void drop(struct teller *teller, const char *service, const char *deployment,
                 const char *except, const char *why)
{
    for (struct list *link = teller->tasks.next; link != &teller->tasks;) {
        struct task *task = CONTAINER_OF(link, struct task, link);
        link = link->next;
        bool is_meant = strcmp(task->service, service) == 0 && !task->is_dropped &&
                        (deployment == NULL || strcmp(task->deployment, deployment) == 0) &&
                        (except == NULL || strcmp(task->rollback, except) != 0);
        if (is_meant) {
            task_end(task, TELLER_GIVEN_UP, why);
        }
    }
}

void teller_drop(struct teller *teller, const char *service, const char *deployment)
{
    drop(teller, service, deployment, NULL, "the deployment was released");
}

static void copy(char *ret_text, size_t size, const char *text)
{
    (void)snprintf(ret_text, size, "%s", text != NULL ? text : "");
}

static enum err task_create(struct teller *teller, const struct teller_facts *facts,
                            struct task **ret_task)
{
    struct task *task = calloc(1, sizeof *task);
    char *record = strdup(facts->record != NULL ? facts->record : "{}");
    if (task == NULL || record == NULL) {
        free(task);
        free(record);
        return ERR_NOMEM;
    }
    task->teller = teller;
    task->record = record;
    task->first_bad_us = facts->first_bad_us;
    copy(task->rollback, sizeof task->rollback, facts->rollback);
    copy(task->service, sizeof task->service, facts->service);
    copy(task->deployment, sizeof task->deployment, facts->deployment);
    copy(task->current, sizeof task->current, facts->current);
    copy(task->target, sizeof task->target, facts->target);
    note_set(&task->reason, "%s", facts->reason != NULL ? facts->reason : "");
    list_push_back(&teller->tasks, &task->link);
    teller->task_count++;
    *ret_task = task;
    return OK;
}

static char *body_of(const struct teller_facts *facts)
{
    json_t *record = json_loads(facts->record != NULL ? facts->record : "{}", 0, NULL);
    json_t *body =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o}", "service", facts->service, "deployment",
                  facts->deployment, "current", facts->current, "target", facts->target, "reason",
                  facts->reason, "first_bad_us", (json_int_t)facts->first_bad_us, "record",
                  record != NULL ? record : json_object());
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return text;
}

enum err teller_begin(struct teller *teller, const struct teller_facts *facts)
{
    struct task *task = NULL;
    char *body = body_of(facts);
    enum err err = body != NULL ? task_create(teller, facts, &task) : ERR_NOMEM;
    if (err != OK) {
        free(body);
        return err;
    }
    task->state = WRITING;
    drop(teller, facts->service, NULL, facts->rollback, "a later rollback took its place");
    if (teller->task_count > TELLER_TASKS_MAX) {
        struct task *oldest = CONTAINER_OF(teller->tasks.next, struct task, link);
        if (!oldest->is_dropped) {
            task_end(oldest, TELLER_GIVEN_UP, "too many rollbacks wait for their platforms");
        }
    }
    teller->ops->journal(teller->context, task->rollback, body);
    free(body);
    return OK;
}

void teller_written(struct teller *teller, const char *rollback)
{
    struct task *task = find_task(teller, rollback);
    if (task != NULL && task->state == WRITING) {
        task->state = WAITING;
    }
}

void teller_restore(struct teller *teller, const char *rollback, const char *body)
{
    json_t *json = json_loads(body, 0, NULL);
    json_t *record = json_object_get(json, "record");
    char *record_text = json_is_object(record) ? json_dumps(record, JSON_COMPACT) : NULL;
    struct teller_facts facts = {
        .rollback = rollback,
        .service = json_string_value(json_object_get(json, "service")),
        .deployment = json_string_value(json_object_get(json, "deployment")),
        .current = json_string_value(json_object_get(json, "current")),
        .target = json_string_value(json_object_get(json, "target")),
        .reason = json_string_value(json_object_get(json, "reason")),
        .record = record_text,
        .first_bad_us = json_integer_value(json_object_get(json, "first_bad_us")),
    };
    bool is_whole = facts.service != NULL && facts.current != NULL && facts.target != NULL;
    struct task *task = NULL;
    if (!is_whole) {
        teller->ops->journal(teller->context, rollback, NULL);
    } else if (task_create(teller, &facts, &task) == OK) {
        task->is_restored = true;
        task->state = WAITING;
    }
    free(record_text);
    json_decref(json);
}

enum err teller_write_again(const struct teller *teller,
                            void (*write)(void *context, const char *rollback, const char *body),
                            void *context)
{
    enum err err = OK;
    for (struct list *link = teller->tasks.next; link != &teller->tasks; link = link->next) {
        const struct task *task = CONTAINER_OF(link, struct task, link);
        if (task->is_dropped) {
            continue;
        }
        struct teller_facts facts = facts_of(task);
        char *body = body_of(&facts);
        if (body != NULL) {
            write(context, task->rollback, body);
        } else {
            err = ERR_NOMEM;
        }
        free(body);
    }
    return err;
}

/* ---- seats ---- */

static struct seat *find_seat(const struct teller *teller, const char *service)
{
    for (struct list *link = teller->seats.next; link != &teller->seats; link = link->next) {
        struct seat *seat = CONTAINER_OF(link, struct seat, link);
        if (strcmp(seat->service, service) == 0) {
            return seat;
        }
    }
    return NULL;
}

bool teller_has(const struct teller *teller, const char *service)
{
    return find_seat(teller, service) != NULL;
}

enum err teller_look(struct teller *teller, const char *service, const struct platform_ask *ask,
                     platform_on_done *on_done, void *context, struct note *note)
{
    const struct seat *seat = find_seat(teller, service);
    CHECK(ask->operation == PLATFORM_LOOK);
    if (seat == NULL) {
        return ERR_NOT_FOUND;
    }
    if (seat->provider == NULL) {
        *note = seat->why;
        return ERR_STATE;
    }
    return provider_start(seat->provider, ask, on_done, context, NULL);
}

void teller_overtake(struct teller *teller, const char *service)
{
    const struct seat *seat = find_seat(teller, service);
    if (seat != NULL && seat->provider != NULL && seat->provider->ops->is_blind) {
        drop(teller, service, NULL, NULL, "another deployment is tried since");
    }
}

enum err teller_seat(struct teller *teller, const char *service, struct provider *provider,
                     const char *why)
{
    struct seat *seat = find_seat(teller, service);
    if (seat == NULL) {
        seat = calloc(1, sizeof *seat);
        if (seat == NULL) {
            return ERR_NOMEM;
        }
        copy(seat->service, sizeof seat->service, service);
        list_push_back(&teller->seats, &seat->link);
    }
    let_go(teller, seat);
    seat->is_kept = true;
    seat->provider = provider;
    note_set(&seat->why, "%s", why != NULL ? why : "");
    if (provider != NULL) {
        seat->kind = provider->ops->name;
        (void)gone_of(teller, seat->kind);
    }
    return OK;
}

const struct provider *teller_provider(const struct teller *teller, const char *service)
{
    const struct seat *seat = find_seat(teller, service);
    return seat != NULL ? seat->provider : NULL;
}

void teller_keep(struct teller *teller, const char *service)
{
    struct seat *seat = find_seat(teller, service);
    CHECK(seat != NULL);
    seat->is_kept = true;
}

void teller_sweep(struct teller *teller)
{
    for (struct list *link = teller->seats.next; link != &teller->seats;) {
        struct seat *seat = CONTAINER_OF(link, struct seat, link);
        link = link->next;
        if (seat->is_kept) {
            seat->is_kept = false;
            continue;
        }
        drop(teller, seat->service, NULL, NULL, "the service has no platform any more");
        let_go(teller, seat);
        list_remove(&seat->link);
        free(seat);
    }
}

/* ---- asking ---- */

static void task_fail(struct task *task, const char *text, uint64_t asked_ms)
{
    struct teller *teller = task->teller;
    task->failures++;
    uint64_t pause_ms =
        fetch_backoff_ms(task->failures, teller->pause_ms, TELLER_PAUSE_MAX_MS, &teller->random);
    pause_ms = asked_ms > pause_ms ? asked_ms : pause_ms;
    task->state = WAITING;
    task->due_us = teller->now_us + pause_ms * 1000;
    note_set(&task->text, "%s", text);
    struct teller_facts facts = facts_of(task);
    teller->ops->failed(teller->context, &facts, text, pause_ms);
}

/* Another deployment was live from the beginning. Where this task asked before, or may have in a
 * process that is gone, the target is live because of that. */
static bool is_not_needed(const struct task *task, const struct platform_answer *answer)
{
    bool is_other = answer->live != NULL && !choice_is_expected(answer->live, task->current);
    bool is_first = task->asks == 1 && task->failures == 0 && !task->is_restored;
    return is_other &&
           (answer->result == PLATFORM_REFUSED || (answer->result == PLATFORM_ALREADY && is_first));
}

static void on_done(void *context, const struct platform_answer *answer)
{
    struct task *task = context;
    struct note note;
    task->call = NULL;
    task->state = WAITING;
    if (task->is_dropped) {
        task_destroy(task);
        return;
    }
    if (is_not_needed(task, answer)) {
        note_set(&note, "%s is live at the platform, not %s", answer->live->id, task->deployment);
        task_end(task, TELLER_NOT_NEEDED, note.text);
    } else if (answer->result == PLATFORM_DONE || answer->result == PLATFORM_ALREADY) {
        task_end(task, TELLER_ACKNOWLEDGED, answer->text);
    } else if (answer->result != PLATFORM_CANCELLED) {
        task_fail(task, answer->text, answer->retry_after_ms);
    }
    /* What was cancelled is due as it was, and asked of whoever has the seat now. */
}

static void task_ask(struct task *task)
{
    struct seat *seat = find_seat(task->teller, task->service);
    if (seat == NULL) {
        task_end(task, TELLER_GIVEN_UP, "the service has no platform any more");
        return;
    }
    if (seat->provider == NULL) {
        task_fail(task, seat->why.text, NO_PROVIDER_MS);
        return;
    }
    struct platform_ask ask = {
        .operation = PLATFORM_ROLL_BACK,
        .target = task->target,
        .expect_current = task->current,
        .reason = task->reason.text,
        .record = bytes_of(task->record),
        .deadline_ms = ASK_DEADLINE_MS,
        .wait_ms = ASK_WAIT_MS,
    };
    enum err err = provider_start(seat->provider, &ask, on_done, task, &task->call);
    if (err != OK) {
        task_fail(task, err_text(err), 0);
        return;
    }
    task->asked = seat->provider;
    task->asks++;
    task->state = ASKING;
}

enum err teller_read_log(struct teller *teller, const char *service, const char *deployment,
                         const char *environment, platform_on_done *then, void *context)
{
    const struct seat *seat = find_seat(teller, service);
    if (seat == NULL || seat->provider == NULL) {
        return ERR_NOT_FOUND;
    }
    struct platform_ask ask = {.operation = PLATFORM_LOG,
                               .target = deployment,
                               .environment = environment,
                               .deadline_ms = LOG_DEADLINE_MS};
    return provider_start(seat->provider, &ask, then, context, NULL);
}

void teller_tick(struct teller *teller, uint64_t now_us)
{
    teller->now_us = now_us;
    for (struct list *link = teller->tasks.next; link != &teller->tasks;) {
        struct task *task = CONTAINER_OF(link, struct task, link);
        link = link->next;
        if (task->state == WAITING && !task->is_dropped && task->due_us <= now_us) {
            task_ask(task);
        }
    }
}

const char *teller_condition(struct teller *teller)
{
    for (struct list *link = teller->tasks.next; link != &teller->tasks; link = link->next) {
        const struct task *task = CONTAINER_OF(link, struct task, link);
        if (task->failures > 0 && !task->is_dropped) {
            note_set(&teller->condition, "%s: the platform does not go back from %s yet: %s",
                     task->service, task->deployment, task->text.text);
            return teller->condition.text;
        }
    }
    for (struct list *link = teller->seats.next; link != &teller->seats; link = link->next) {
        const struct seat *seat = CONTAINER_OF(link, struct seat, link);
        if (seat->provider == NULL) {
            note_set(&teller->condition, "%s: its platform cannot be asked: %s", seat->service,
                     seat->why.text);
            return teller->condition.text;
        }
    }
    return NULL;
}

bool teller_has_untried(const struct teller *teller)
{
    for (struct list *link = teller->tasks.next; link != &teller->tasks; link = link->next) {
        const struct task *task = CONTAINER_OF(link, struct task, link);
        if (task->is_restored && task->failures == 0 && !task->is_dropped) {
            return true;
        }
    }
    return false;
}

enum err teller_create(const struct teller_options *options, struct teller **ret_teller)
{
    struct teller *teller = calloc(1, sizeof *teller);
    if (teller == NULL) {
        return ERR_NOMEM;
    }
    teller->ops = options->ops;
    teller->context = options->context;
    teller->pause_ms = options->pause_ms != 0 ? options->pause_ms : TELLER_PAUSE_MIN_MS;
    list_init(&teller->seats);
    list_init(&teller->tasks);
    random_init(&teller->random, 0);
    *ret_teller = teller;
    return OK;
}
