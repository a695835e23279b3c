/* The writing half.
 *
 *      history_write -> queue -> batch on the pool -> committed: callbacks
 *                         ^            |
 *                         +---- failed: kept, tried again later; those somebody waits for are told
 * and gone
 */
#include "canary/history/history_private.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"

enum {
    HISTORY_TAG = TAG('h', 'i', 's', 't'),
    BATCH_MAX = 256,
    STALL_MS = 3000, /* a job that runs longer is told as a condition */
};

static struct history *history_of(void *context)
{
    struct history *history = context;
    CHECK(history->tag == HISTORY_TAG);
    return history;
}

static struct change *change_of(struct list *link)
{
    return CONTAINER_OF(link, struct change, link);
}

static struct store_options store_options_of(const struct history *history)
{
    return (struct store_options){.path = history->path, .page_count_max = history->page_count_max};
}

/* ---- life ---- */

static enum err init_handles(struct history *history)
{
    if (uv_timer_init(history->loop, &history->timer) != 0) {
        return ERR_IO;
    }
    history->timer.data = history;
    history->job.data = history;
    history->reader.job.data = history;
    return OK;
}

static void note_failure(struct history *history, const struct note *note)
{
    struct note trouble = *note;
    if (trouble.text[0] == '\0') {
        note_set(&trouble, "state file %s: out of memory", history->path);
    }
    if (!history->is_failing || strcmp(history->trouble.text, trouble.text) != 0) {
        log_error("%s; changes wait in memory", trouble.text);
    }
    history->trouble = trouble;
    history->is_failing = true;
    history->retry_at_ms = uv_now(history->loop) + history->retry_ms;
}

enum err history_create(const struct history_options *options, struct history **ret_history)
{
    struct history *history = calloc(1, sizeof *history);
    if (history == NULL) {
        return ERR_NOMEM;
    }
    history->tag = HISTORY_TAG;
    history->loop = options->loop;
    history->queue_max = options->queue_max != 0 ? options->queue_max : HISTORY_QUEUE_DEFAULT;
    history->retry_ms = options->retry_ms != 0 ? options->retry_ms : HISTORY_RETRY_DEFAULT_MS;
    history->deadline_ms =
        options->deadline_ms != 0 ? options->deadline_ms : HISTORY_DEADLINE_DEFAULT_MS;
    history->page_count_max = options->page_count_max;
    list_init(&history->queue);
    list_init(&history->running);
    reader_init(&history->reader);
    history->path = strdup(options->path);
    if (history->path == NULL || init_handles(history) != OK) {
        free(history->path);
        free(history);
        return ERR_NOMEM;
    }
    /* Jansson draws its hash seed when first used, and that is not to happen on two threads at
     * once. */
    json_object_seed(0);
    struct store_options store_options = store_options_of(history);
    struct note note = {""};
    if (store_open(&store_options, &history->store, &note) != OK) {
        note_failure(history, &note);
        history_arm(history);
    }
    *ret_history = history;
    return OK;
}

const char *history_path(const struct history *history)
{
    return history->path;
}

enum err history_load(struct history *history, int64_t now_us, struct history_state *ret_state)
{
    CHECK(!history->is_running);
    if (history->store == NULL) {
        return ERR_IO;
    }
    struct note note = {""};
    enum err err = store_load(history->store, now_us, ret_state, &note);
    if (err == ERR_IO) {
        note_failure(history, &note);
        history_arm(history);
    }
    return err;
}

/* ---- the queue ---- */

static void enqueue(struct history *history, struct change *change)
{
    list_push_back(&history->queue, &change->link);
    history->queued++;
}

static void discard(struct history *history, struct change *change)
{
    CHECK(history->queued > 0);
    history->queued--;
    change_destroy(change);
}

static void overtake_older(struct history *history, const struct change *newer)
{
    struct list *link = history->queue.next;
    while (link != &history->queue) {
        struct change *older = change_of(link);
        link = link->next;
        history->stats.coalesced_count += change_overtake(older, newer);
        if (!older->is_once && change_is_empty(older)) {
            discard(history, older);
        }
    }
}

/* Gives up audit parts, oldest first, until a place is free. States are never given up: they only
 * get overtaken. */
static void make_room(struct history *history)
{
    struct list *link = history->queue.next;
    while (link != &history->queue && history->queued >= history->queue_max) {
        struct change *older = change_of(link);
        link = link->next;
        if (older->is_once || !older->has_audit) {
            continue;
        }
        older->has_audit = false;
        history->stats.dropped_count++;
        history->dropped_untold++;
        if (change_is_empty(older)) {
            discard(history, older);
        }
    }
}

/* States that nobody waits for may go over the limit: they overtake each other, so there are never
 * more than services, deployments, alerts and running rollbacks, and they are what safety is
 * written in. */
static bool has_room(const struct history *history, const struct change *change)
{
    if (history->queued < history->queue_max) {
        return true;
    }
    bool is_state = change->has_service || change->has_rollback || change->has_quarantine ||
                    change->has_alert || change->has_platform || change->has_watch;
    return is_state && !change->is_once && history->queued < 2 * history->queue_max;
}

/* Its entry in the trail is missed as one that was given up, unless somebody waits, who then has
 * not done it. */
static enum err refuse(struct history *history, const struct history_change *change, bool is_once,
                       enum err err)
{
    bool has_audit = change->audit != NULL || change->rollback != NULL;
    history->stats.refused_count++;
    if (has_audit && !is_once) {
        history->stats.dropped_count++;
        history->dropped_untold++;
    }
    return err;
}

enum err history_write(struct history *history, const struct history_change *change,
                       enum history_durability durability, history_on_written *on_written,
                       void *context)
{
    if (history->is_closing) {
        return ERR_CLOSED;
    }
    struct change *queued = NULL;
    enum err err = change_create(change, &queued);
    if (err != OK) {
        return refuse(history, change, on_written != NULL, err);
    }
    queued->is_durable = durability == HISTORY_DURABLE;
    queued->is_once = on_written != NULL;
    queued->on_written = on_written;
    queued->context = context;
    queued->deadline_ms = uv_now(history->loop) + history->deadline_ms;
    make_room(history);
    if (!has_room(history, queued)) {
        change_destroy(queued);
        return refuse(history, change, on_written != NULL, ERR_LIMIT);
    }
    overtake_older(history, queued);
    enqueue(history, queued);
    history_advance(history);
    return OK;
}

/* The trail itself says where rows are missing. */
static void tell_dropped(struct history *history)
{
    if (history->dropped_untold == 0 || history->queued >= history->queue_max) {
        return;
    }
    char detail[64];
    (void)snprintf(detail, sizeof detail, "{\"count\":%llu}",
                   (unsigned long long)history->dropped_untold);
    struct history_audit audit = {
        .at_us = clock_wall_us(clock_system()),
        .actor = "history",
        .action = "history.dropped",
        .detail = detail,
    };
    struct change *change = NULL;
    if (change_create(&(struct history_change){.audit = &audit}, &change) == OK) {
        history->dropped_untold = 0;
        enqueue(history, change);
    }
}

/* ---- the job ---- */

static void run_batch(uv_work_t *job)
{
    struct history *history = history_of(job->data);
    history->job_err = OK;
    if (history->store == NULL) {
        struct store_options options = store_options_of(history);
        history->job_err = store_open(&options, &history->store, &history->job_note);
    }
    if (history->job_err == OK) {
        history->job_err = store_apply(history->store, &history->running, history->is_durable_batch,
                                       &history->job_note);
    }
    history->job_was_lost = history->store != NULL && store_was_lost(history->store);
    if (history->job_err != OK) {
        /* Opened anew at the next try: what is wrong may be the connection. */
        store_close(history->store);
        history->store = NULL;
    }
}

static void collect_batch(struct history *history)
{
    history->is_durable_batch = false;
    for (size_t i = 0; i < BATCH_MAX && !list_is_empty(&history->queue); i++) {
        struct change *change = change_of(list_pop_front(&history->queue));
        history->is_durable_batch = history->is_durable_batch || change->is_durable;
        list_push_back(&history->running, &change->link);
        CHECK(history->queued > 0);
        history->queued--;
    }
}

static void tell_written(struct change *change, enum err err)
{
    history_on_written *on_written = change->on_written;
    change->on_written = NULL;
    if (on_written != NULL) {
        on_written(change->context, err);
    }
}

static void finish_change(struct history *history, struct change *change)
{
    if (change->result == OK) {
        history->stats.committed_count++;
    } else {
        history->stats.refused_count++;
        log_error("state file %s: a change was refused for its content", history->path);
    }
    tell_written(change, change->result);
    change_destroy(change);
}

/* Back to the front of the queue, less the states that newer changes overtook while the batch was
 * under way. */
static void keep_change(struct history *history, struct change *change)
{
    for (struct list *link = history->queue.next; link != &history->queue; link = link->next) {
        history->stats.coalesced_count += change_overtake(change, change_of(link));
    }
    if (change_is_empty(change)) {
        change_destroy(change);
        return;
    }
    list_push_front(&history->queue, &change->link);
    history->queued++;
}

/* What nobody waits for is kept, in its old order before everything newer; who waits is told. */
static void fail_batch(struct history *history, struct list *batch, enum err err)
{
    struct list told;
    list_init(&told);
    while (!list_is_empty(batch)) {
        struct change *change = change_of(batch->previous);
        list_remove(&change->link);
        if (change->is_once) {
            list_push_front(&told, &change->link);
        } else {
            keep_change(history, change);
        }
    }
    while (!list_is_empty(&told)) {
        struct change *change = change_of(list_pop_front(&told));
        tell_written(change, err == ERR_NOMEM ? ERR_NOMEM : ERR_IO);
        change_destroy(change);
    }
}

static void note_success(struct history *history)
{
    if (history->is_failing) {
        log_info("state file %s: writes work again", history->path);
    }
    history->is_failing = false;
    history->trouble.text[0] = '\0';
    history->is_renewed = history->is_renewed || history->was_lost;
    history->reader.is_stale = history->reader.is_stale || history->was_lost;
    if (history->was_lost) {
        history_forget_retain(history);
    }
    history->was_lost = false;
}

static void on_batch_done(uv_work_t *job, int status)
{
    struct history *history = history_of(job->data);
    (void)status;
    struct list batch;
    list_init(&batch);
    while (!list_is_empty(&history->running)) {
        list_push_back(&batch, list_pop_front(&history->running));
    }
    history->is_running = false;
    if (history->job_err != OK) {
        history->stats.failed_batches++;
        history->was_lost = history->was_lost || history->job_was_lost;
        note_failure(history, &history->job_note);
        fail_batch(history, &batch, history->job_err);
    } else {
        note_success(history);
        tell_dropped(history);
    }
    while (!list_is_empty(&batch)) {
        finish_change(history, change_of(list_pop_front(&batch)));
    }
    history_advance(history);
}

static bool has_waiting(const struct list *list)
{
    for (const struct list *link = list->next; link != list; link = link->next) {
        if (change_of((struct list *)link)->on_written != NULL) {
            return true;
        }
    }
    return false;
}

/* While the file fails, only the clock or somebody who waits starts another try. */
static bool may_start(const struct history *history)
{
    if (history->is_failing) {
        bool is_due = uv_now(history->loop) >= history->retry_at_ms;
        return is_due || has_waiting(&history->queue);
    }
    return !list_is_empty(&history->queue);
}

static void start_batch(struct history *history)
{
    collect_batch(history);
    history->is_running = true;
    history->running_since_ms = uv_now(history->loop);
    history->job_note.text[0] = '\0';
    int failed = uv_queue_work(history->loop, &history->job, run_batch, on_batch_done);
    CHECK(failed == 0);
    history_arm(history);
}

/* ---- deadlines and retries ---- */

static void expire_list(struct history *history, struct list *list, bool is_running,
                        uint64_t now_ms)
{
    struct list expired;
    list_init(&expired);
    for (struct list *link = list->next; link != list;) {
        struct change *change = change_of(link);
        link = link->next;
        if (change->on_written == NULL || now_ms < change->deadline_ms) {
            continue;
        }
        if (is_running) {
            tell_written(change, ERR_TIMEOUT);
            continue;
        }
        list_remove(&change->link);
        history->queued--;
        list_push_back(&expired, &change->link);
    }
    while (!list_is_empty(&expired)) {
        struct change *change = change_of(list_pop_front(&expired));
        tell_written(change, ERR_TIMEOUT);
        change_destroy(change);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct history *history = history_of(timer->data);
    uint64_t now_ms = uv_now(history->loop);
    expire_list(history, &history->queue, false, now_ms);
    expire_list(history, &history->running, true, now_ms);
    reader_expire(history, now_ms);
    bool is_needed = history->is_failing || history->is_running || history->queued > 0 ||
                     reader_is_waiting(&history->reader);
    if (!is_needed) {
        (void)uv_timer_stop(&history->timer);
    }
    history_advance(history);
}

void history_arm(struct history *history)
{
    if (uv_is_active((const uv_handle_t *)&history->timer) ||
        uv_is_closing((const uv_handle_t *)&history->timer)) {
        return;
    }
    (void)uv_timer_start(&history->timer, on_tick, HISTORY_TICK_MS, HISTORY_TICK_MS);
}

/* ---- closing ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct history *history = history_of(handle->data);
    void (*on_closed)(void *) = history->on_closed;
    void *context = history->closed_context;
    history->tag = 0;
    free(history->path);
    free(history);
    if (on_closed != NULL) {
        on_closed(context);
    }
}

/* Off the loop: the last connection of a file copies its log back. */
static void close_stores(uv_work_t *job)
{
    struct history *history = history_of(job->data);
    store_close(history->reader.store);
    store_close(history->store);
    history->reader.store = NULL;
    history->store = NULL;
}

static void on_stores_closed(uv_work_t *job, int status)
{
    struct history *history = history_of(job->data);
    (void)status;
    (void)uv_timer_stop(&history->timer);
    uv_close((uv_handle_t *)&history->timer, on_timer_closed);
}

static void drop_queue(struct history *history)
{
    while (!list_is_empty(&history->queue)) {
        struct change *change = change_of(list_pop_front(&history->queue));
        history->queued--;
        tell_written(change, ERR_CLOSED);
        change_destroy(change);
    }
}

static void advance_closing(struct history *history)
{
    if (!list_is_empty(&history->queue) && !history->is_failing) {
        start_batch(history);
        return;
    }
    if (history->queued > 0) {
        log_error("state file %s: %zu changes are lost", history->path, history->queued);
        drop_queue(history);
    }
    bool is_reading = history->reader.running != NULL || history->retaining.is_checking;
    if (is_reading || history->is_close_job_done) {
        return;
    }
    history->is_close_job_done = true;
    int failed = uv_queue_work(history->loop, &history->job, close_stores, on_stores_closed);
    CHECK(failed == 0);
}

void history_advance(struct history *history)
{
    if (history->is_running) {
        return;
    }
    if (history->is_closing) {
        advance_closing(history);
        return;
    }
    if (may_start(history)) {
        start_batch(history);
    } else if (!history->is_failing && history_start_retain(history)) {
        return;
    } else if (history->queued > 0 || history->is_failing) {
        history_arm(history);
    }
}

void history_close(struct history *history, void (*on_closed)(void *context), void *context)
{
    CHECK(!history->is_closing);
    history->is_closing = true;
    history->on_closed = on_closed;
    history->closed_context = context;
    /* One more try, also for a file that failed before. */
    history->is_failing = false;
    reader_stop(history);
    history_stop_retain(history);
    history_advance(history);
}

/* ---- what is told ---- */

const char *history_condition(struct history *history)
{
    uint64_t now_ms = uv_now(history->loop);
    struct note *text = &history->condition_text;
    if (history->is_running && now_ms - history->running_since_ms >= STALL_MS) {
        note_set(text, "state file %s: a write has not come back for %llu s", history->path,
                 (unsigned long long)((now_ms - history->running_since_ms) / 1000));
        return text->text;
    }
    if (history->is_failing) {
        note_set(text, "%s (%zu changes wait)", history->trouble.text, history->queued);
        return text->text;
    }
    if (history->retain_trouble.text[0] != '\0') {
        return history->retain_trouble.text;
    }
    if (history->dropped_untold > 0) {
        note_set(text, "state file %s: %llu audit entries were given up", history->path,
                 (unsigned long long)history->dropped_untold);
        return text->text;
    }
    return NULL;
}

bool history_take_renewed(struct history *history)
{
    bool is_renewed = history->is_renewed;
    history->is_renewed = false;
    return is_renewed;
}

struct history_stats history_stats(const struct history *history)
{
    struct history_stats stats = history->stats;
    stats.queued = history->queued;
    return stats;
}
