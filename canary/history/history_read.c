/* The reading half: requests wait in line, one at a time runs on the pool, on a connection that
 * only reads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/history/history_private.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"

enum read_kind {
    READ_ROLLBACKS,
    READ_ROLLBACK,
    READ_AUDIT,
    READ_SUMMARY,
    READ_VERIFY,
    READ_EXPORT
};

struct read_request {
    struct list link;
    enum read_kind kind;
    char *service; /* owned or NULL */
    char *before;  /* owned or NULL */
    char *name;    /* id or path; owned or NULL */
    size_t limit;
    enum history_period period;
    history_on_read *on_read; /* NULL: was told ERR_TIMEOUT */
    void *context;
    uint64_t deadline_ms;
    enum err err;
    json_t *result; /* owned */
};

static void request_destroy(struct read_request *request)
{
    if (request == NULL) {
        return;
    }
    free(request->service);
    free(request->before);
    free(request->name);
    json_decref(request->result);
    free(request);
}

/* Calls back at most once, whatever happens first. */
static void request_tell(struct read_request *request, enum err err, json_t *result)
{
    history_on_read *on_read = request->on_read;
    request->on_read = NULL;
    if (on_read != NULL) {
        on_read(request->context, err, result);
    }
}

void reader_init(struct reader *reader)
{
    list_init(&reader->queue);
}

bool reader_is_waiting(const struct reader *reader)
{
    return reader->running != NULL || !list_is_empty(&reader->queue);
}

static enum err read_from(struct store *store, struct read_request *request)
{
    struct history_query query = {request->service, request->before, request->limit,
                                  request->period};
    struct note note = {""};
    switch (request->kind) {
    case READ_ROLLBACKS:
        return store_rollbacks(store, &query, &request->result, &note);
    case READ_ROLLBACK:
        return store_rollback(store, request->name, &request->result, &note);
    case READ_AUDIT:
        return store_audit(store, &query, &request->result, &note);
    case READ_SUMMARY:
        return store_summary(store, &query, &request->result, &note);
    case READ_VERIFY:
        return store_verify(store, &request->result, &note);
    case READ_EXPORT:
        return store_export(store, request->name, &request->result, &note);
    }
    return ERR_UNSUPPORTED;
}

static void run_read(uv_work_t *job)
{
    struct history *history = job->data;
    struct reader *reader = &history->reader;
    struct read_request *request = reader->running;
    request->err = OK;
    if (reader->job_is_anew) {
        store_close(reader->store);
        reader->store = NULL;
    }
    if (reader->store == NULL) {
        struct store_options options = {.path = history->path, .is_reader = true};
        struct note note = {""};
        request->err = store_open(&options, &reader->store, &note);
    }
    if (request->err == OK) {
        request->err = read_from(reader->store, request);
    }
    if (request->err == ERR_IO) {
        store_close(reader->store);
        reader->store = NULL;
    }
}

static void start_read(struct history *history);

static void on_read_done(uv_work_t *job, int status)
{
    struct history *history = job->data;
    (void)status;
    struct read_request *request = history->reader.running;
    history->reader.running = NULL;
    request_tell(request, request->err, request->err == OK ? request->result : NULL);
    request_destroy(request);
    start_read(history);
    if (history->is_closing) {
        history_advance(history);
    }
}

static void start_read(struct history *history)
{
    struct reader *reader = &history->reader;
    if (reader->running != NULL || list_is_empty(&reader->queue)) {
        return;
    }
    reader->running = CONTAINER_OF(list_pop_front(&reader->queue), struct read_request, link);
    reader->queued--;
    reader->job_is_anew = reader->is_stale;
    reader->is_stale = false;
    int failed = uv_queue_work(history->loop, &reader->job, run_read, on_read_done);
    CHECK(failed == 0);
    history_arm(history);
}

static bool copy_optional(char **to, const char *from)
{
    if (from == NULL) {
        return true;
    }
    *to = strdup(from);
    return *to != NULL;
}

static enum err submit(struct history *history, enum read_kind kind,
                       const struct history_query *query, const char *name,
                       history_on_read *on_read, void *context)
{
    struct reader *reader = &history->reader;
    if (history->is_closing) {
        return ERR_CLOSED;
    }
    if (reader->queued >= HISTORY_READS_MAX) {
        return ERR_LIMIT;
    }
    struct read_request *request = calloc(1, sizeof *request);
    if (request == NULL) {
        return ERR_NOMEM;
    }
    list_init(&request->link);
    request->kind = kind;
    request->limit = query->limit;
    request->period = query->period;
    request->on_read = on_read;
    request->context = context;
    request->deadline_ms = uv_now(history->loop) + history->deadline_ms;
    if (!copy_optional(&request->service, query->service) ||
        !copy_optional(&request->before, query->before) || !copy_optional(&request->name, name)) {
        request_destroy(request);
        return ERR_NOMEM;
    }
    list_push_back(&reader->queue, &request->link);
    reader->queued++;
    start_read(history);
    return OK;
}

void reader_expire(struct history *history, uint64_t now_ms)
{
    struct reader *reader = &history->reader;
    struct list expired;
    list_init(&expired);
    for (struct list *link = reader->queue.next; link != &reader->queue;) {
        struct read_request *request = CONTAINER_OF(link, struct read_request, link);
        link = link->next;
        if (now_ms >= request->deadline_ms) {
            list_remove(&request->link);
            reader->queued--;
            list_push_back(&expired, &request->link);
        }
    }
    /* Walking the chain and exporting take as long as they take; the others are lists of bounded
     * length. */
    struct read_request *running = reader->running;
    if (running != NULL && running->kind <= READ_SUMMARY && now_ms >= running->deadline_ms) {
        request_tell(running, ERR_TIMEOUT, NULL);
    }
    while (!list_is_empty(&expired)) {
        struct read_request *request =
            CONTAINER_OF(list_pop_front(&expired), struct read_request, link);
        request_tell(request, ERR_TIMEOUT, NULL);
        request_destroy(request);
    }
}

void reader_stop(struct history *history)
{
    struct reader *reader = &history->reader;
    while (!list_is_empty(&reader->queue)) {
        struct read_request *request =
            CONTAINER_OF(list_pop_front(&reader->queue), struct read_request, link);
        reader->queued--;
        request_tell(request, ERR_CLOSED, NULL);
        request_destroy(request);
    }
}

enum err history_read_rollbacks(struct history *history, const struct history_query *query,
                                history_on_read *on_read, void *context)
{
    return submit(history, READ_ROLLBACKS, query, NULL, on_read, context);
}

enum err history_read_rollback(struct history *history, const char *id, history_on_read *on_read,
                               void *context)
{
    struct history_query query = {0};
    return submit(history, READ_ROLLBACK, &query, id, on_read, context);
}

enum err history_read_audit(struct history *history, const struct history_query *query,
                            history_on_read *on_read, void *context)
{
    return submit(history, READ_AUDIT, query, NULL, on_read, context);
}

enum err history_read_summary(struct history *history, const struct history_query *query,
                              history_on_read *on_read, void *context)
{
    return submit(history, READ_SUMMARY, query, NULL, on_read, context);
}

enum err history_verify(struct history *history, history_on_read *on_read, void *context)
{
    struct history_query query = {0};
    return submit(history, READ_VERIFY, &query, NULL, on_read, context);
}

enum err history_export(struct history *history, const char *path, history_on_read *on_read,
                        void *context)
{
    enum { ROOM = sizeof ".export-2026-11-23T09:00:00.000Z.jsonl" + CLOCK_TEXT_SIZE };
    struct history_query query = {0};
    if (path != NULL) {
        return submit(history, READ_EXPORT, &query, path, on_read, context);
    }
    char time[CLOCK_TEXT_SIZE];
    clock_format(clock_wall_us(clock_system()), time);
    size_t size = strlen(history->path) + ROOM;
    char *own = malloc(size);
    if (own == NULL) {
        return ERR_NOMEM;
    }
    (void)snprintf(own, size, "%s.export-%s.jsonl", history->path, time);
    enum err err = submit(history, READ_EXPORT, &query, own, on_read, context);
    free(own);
    return err;
}
