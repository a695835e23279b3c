/* Taking old rows out: one job of the writing half, between two batches. */
#include <stdlib.h>

#include "canary/history/history_private.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "proxy/base/log.h"

static void run_retain(uv_work_t *job)
{
    struct history *history = job->data;
    struct retaining *retaining = &history->retaining;
    retaining->err = OK;
    if (history->store == NULL) {
        struct store_options options = {.path = history->path,
                                        .page_count_max = history->page_count_max};
        retaining->err = store_open(&options, &history->store, &retaining->note);
    }
    if (retaining->err == OK) {
        retaining->err = store_retain(history->store, retaining->before_us, retaining->now_us,
                                      &retaining->result, &retaining->note);
    }
}

static void on_retain_done(uv_work_t *job, int status)
{
    struct history *history = job->data;
    struct retaining *retaining = &history->retaining;
    (void)status;
    history->is_running = false;
    if (retaining->err != OK && retaining->note.text[0] == '\0') {
        note_set(&retaining->note, "old rows stay: %s", err_text(retaining->err));
    }
    if (retaining->err != OK) {
        log_warn("%s", retaining->note.text);
    }
    history->retain_trouble = retaining->err != OK ? retaining->note : (struct note){{0}};
    history_on_read *on_done = retaining->on_done;
    json_t *result = retaining->result;
    void *context = retaining->context;
    enum err err = retaining->err;
    *retaining = (struct retaining){0};
    on_done(context, err, result);
    json_decref(result);
    history_advance(history);
}

bool history_start_retain(struct history *history)
{
    struct retaining *retaining = &history->retaining;
    if (retaining->on_done == NULL || retaining->is_started) {
        return false;
    }
    history->is_running = true;
    retaining->is_started = true;
    history->running_since_ms = uv_now(history->loop);
    int failed = uv_queue_work(history->loop, &history->job, run_retain, on_retain_done);
    CHECK(failed == 0);
    history_arm(history);
    return true;
}

void history_stop_retain(struct history *history)
{
    struct retaining *retaining = &history->retaining;
    history_on_read *on_done = retaining->on_done;
    if (on_done != NULL && !retaining->is_started) {
        void *context = retaining->context;
        *retaining = (struct retaining){0};
        on_done(context, ERR_CLOSED, NULL);
    }
}

enum err history_retain(struct history *history, int64_t before_us, int64_t now_us,
                        history_on_read *on_done, void *context)
{
    CHECK(on_done != NULL);
    if (history->is_closing) {
        return ERR_CLOSED;
    }
    if (history->retaining.on_done != NULL) {
        return ERR_EXISTS;
    }
    history->retaining = (struct retaining){
        .before_us = before_us, .now_us = now_us, .on_done = on_done, .context = context};
    history_advance(history);
    return OK;
}
