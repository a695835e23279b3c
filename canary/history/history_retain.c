/* Taking old rows out: a walk over the whole chain beside the writing half, then one job of that,
 * between two batches. */
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

/* Tells what came of it; nothing is asked for any more then. */
static void finish(struct history *history)
{
    struct retaining *retaining = &history->retaining;
    if (retaining->err != OK && retaining->note.text[0] == '\0') {
        note_set(&retaining->note, "old rows stay: %s", err_text(retaining->err));
    }
    if (retaining->err != OK && !retaining->is_of_before) {
        log_warn("%s", retaining->note.text);
    }
    bool is_trouble = retaining->err != OK && !retaining->is_of_before;
    history->retain_trouble = is_trouble ? retaining->note : (struct note){{0}};
    history_on_read *on_done = retaining->on_done;
    json_t *result = retaining->result;
    void *context = retaining->context;
    enum err err = retaining->err;
    *retaining = (struct retaining){0};
    on_done(context, err, result);
    json_decref(result);
}

static void on_retain_done(uv_work_t *job, int status)
{
    struct history *history = job->data;
    (void)status;
    history->is_running = false;
    finish(history);
    history_advance(history);
}

/* ---- the walk ---- */

static json_t *nothing_done(void)
{
    return json_pack("{s:i, s:i, s:s, s:b}", "rows", 0, "rollbacks", 0, "path", "", "has_more", 0);
}

/* A connection of its own: neither the lists that people ask for wait for it, nor any write. */
static void run_check(uv_work_t *job)
{
    struct history *history = job->data;
    struct retaining *retaining = &history->retaining;
    struct store_options options = {.path = history->path, .is_reader = true};
    struct store *store = NULL;
    bool may_retain = false;
    retaining->err = store_open(&options, &store, &retaining->note);
    if (retaining->err == OK) {
        retaining->err =
            store_may_retain(store, retaining->before_us, &may_retain, &retaining->note);
    }
    store_close(store);
    if (retaining->err == OK && !may_retain) {
        retaining->result = nothing_done();
        retaining->err = retaining->result != NULL ? OK : ERR_NOMEM;
    }
}

static void on_checked(uv_work_t *job, int status)
{
    struct history *history = job->data;
    struct retaining *retaining = &history->retaining;
    (void)status;
    retaining->is_checking = false;
    retaining->is_checked = true;
    if (history->is_closing) {
        history_stop_retain(history);
    } else if (retaining->is_of_before) {
        retaining->err = ERR_IO;
        finish(history);
    } else if (retaining->err != OK || retaining->result != NULL) {
        finish(history);
    }
    history_advance(history);
}

static void start_check(struct history *history)
{
    struct retaining *retaining = &history->retaining;
    retaining->is_checking = true;
    retaining->check_job.data = history;
    int failed = uv_queue_work(history->loop, &retaining->check_job, run_check, on_checked);
    CHECK(failed == 0);
}

bool history_start_retain(struct history *history)
{
    struct retaining *retaining = &history->retaining;
    if (retaining->on_done == NULL || retaining->is_checking || retaining->is_started) {
        return false;
    }
    if (!retaining->is_checked) {
        start_check(history);
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

void history_forget_retain(struct history *history)
{
    struct retaining *retaining = &history->retaining;
    history->retain_trouble = (struct note){{0}};
    retaining->is_of_before = retaining->is_checking;
    retaining->is_checked = false;
}

void history_stop_retain(struct history *history)
{
    struct retaining *retaining = &history->retaining;
    history_on_read *on_done = retaining->on_done;
    if (on_done != NULL && !retaining->is_checking && !retaining->is_started) {
        void *context = retaining->context;
        json_decref(retaining->result);
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
