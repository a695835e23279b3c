#include "canary/incident/incidents.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"
#include "proxy/base/log.h"

enum { READ_MAX = 16 * 1024 * 1024 };

struct incidents {
    struct incidents_options options;
    char *path; /* owned; NULL: off */
    size_t keep;
    uv_work_t job;
    struct incident_work *work; /* owned; NULL: no work is under way */
    char *work_path;            /* owned: the configuration may change meanwhile */
    size_t work_keep;
    enum err work_err;
    struct note work_note;
    struct note condition; /* "": none */
    struct incidents_counts counts;
    size_t read_count;
    bool is_looking;
    uv_work_t look_job;
    char *look_path; /* owned */
    char unfinished[INCIDENTS_UNFINISHED_MAX][INCIDENT_ID_SIZE];
    size_t unfinished_count;
    bool is_closing;
    void (*on_closed)(void *context);
    void *closed_context;
};

/* A file that is being read for somebody. */
struct reading {
    uv_work_t job;
    struct incidents *incidents; /* borrowed: it waits for the job */
    char *path;                  /* owned */
    char id[INCIDENT_ID_SIZE];
    enum folder_file file;
    incidents_on_read *on_read;
    void *context;
    struct buf text;
    enum err err;
};

enum err incidents_create(const struct incidents_options *options, struct incidents **ret_incidents)
{
    struct incidents *incidents = calloc(1, sizeof *incidents);
    if (incidents == NULL) {
        return ERR_NOMEM;
    }
    incidents->options = *options;
    *ret_incidents = incidents;
    return OK;
}

enum err incidents_configure(struct incidents *incidents, const char *path, size_t keep)
{
    char *copy = path != NULL ? strdup(path) : NULL;
    if (path != NULL && copy == NULL) {
        return ERR_NOMEM;
    }
    free(incidents->path);
    incidents->path = copy;
    incidents->keep = keep;
    incidents->condition.text[0] = '\0';
    return OK;
}

const char *incidents_path(const struct incidents *incidents)
{
    return incidents->path;
}

bool incidents_is_on(const struct incidents *incidents)
{
    return incidents->path != NULL;
}

const char *incidents_condition(const struct incidents *incidents)
{
    return incidents != NULL && incidents->condition.text[0] != '\0' ? incidents->condition.text
                                                                     : NULL;
}

struct incidents_counts incidents_counts(const struct incidents *incidents)
{
    return incidents != NULL ? incidents->counts : (struct incidents_counts){0};
}

/* ---- ending ---- */

static void close_if_idle(struct incidents *incidents)
{
    bool is_idle = incidents->work == NULL && incidents->read_count == 0 && !incidents->is_looking;
    if (!incidents->is_closing || !is_idle) {
        return;
    }
    void (*on_closed)(void *) = incidents->on_closed;
    void *context = incidents->closed_context;
    free(incidents->path);
    free(incidents);
    on_closed(context);
}

void incidents_close(struct incidents *incidents, void (*on_closed)(void *context), void *context)
{
    incidents->is_closing = true;
    incidents->on_closed = on_closed;
    incidents->closed_context = context;
    close_if_idle(incidents);
}

/* ---- writing ---- */

bool incidents_is_busy(const struct incidents *incidents)
{
    return incidents->work != NULL || incidents->is_looking || incidents->path == NULL ||
           incidents->is_closing;
}

static void run_work(uv_work_t *job)
{
    struct incidents *incidents = job->data;
    incidents->work_err = folder_write(incidents->work_path, incidents->work,
                                       incidents->options.log, &incidents->work_note);
    folder_prune(incidents->work_path, incidents->work_keep);
}

static void note_result(struct incidents *incidents)
{
    bool was_failing = incidents->condition.text[0] != '\0';
    if (incidents->work_err == OK) {
        incidents->counts.written++;
        incidents->condition.text[0] = '\0';
        return;
    }
    incidents->counts.failed++;
    note_set(&incidents->condition, "incident reports cannot be written: %s",
             incidents->work_note.text);
    if (!was_failing) {
        log_error("%s", incidents->condition.text);
    }
}

static void on_work_done(uv_work_t *job, int status)
{
    struct incidents *incidents = job->data;
    struct incident_work *work = incidents->work;
    (void)status;
    incidents->work = NULL;
    free(incidents->work_path);
    note_result(incidents);
    incidents->options.on_written(incidents->options.context, work, incidents->work_err);
    close_if_idle(incidents);
}

void incidents_write(struct incidents *incidents, struct incident_work *work)
{
    CHECK(!incidents_is_busy(incidents));
    incidents->work_path = strdup(incidents->path);
    if (incidents->work_path == NULL) {
        incidents->options.on_written(incidents->options.context, work, ERR_NOMEM);
        return;
    }
    incidents->work = work;
    incidents->work_keep = incidents->keep;
    incidents->work_note.text[0] = '\0';
    incidents->job.data = incidents;
    int failed = uv_queue_work(incidents->options.loop, &incidents->job, run_work, on_work_done);
    CHECK(failed == 0);
}

/* ---- what was left unfinished ---- */

static void run_look(uv_work_t *job)
{
    struct incidents *incidents = job->data;
    incidents->unfinished_count = folder_find_incomplete(
        incidents->look_path, incidents->unfinished, INCIDENTS_UNFINISHED_MAX);
}

static void on_look_done(uv_work_t *job, int status)
{
    struct incidents *incidents = job->data;
    (void)status;
    incidents->is_looking = false;
    free(incidents->look_path);
    for (size_t i = 0; i < incidents->unfinished_count && !incidents->is_closing; i++) {
        incidents->options.on_unfinished(incidents->options.context, incidents->unfinished[i]);
    }
    close_if_idle(incidents);
}

void incidents_look_for_unfinished(struct incidents *incidents)
{
    incidents->look_path = incidents->path != NULL ? strdup(incidents->path) : NULL;
    if (incidents->look_path == NULL) {
        return;
    }
    incidents->is_looking = true;
    incidents->look_job.data = incidents;
    int failed =
        uv_queue_work(incidents->options.loop, &incidents->look_job, run_look, on_look_done);
    CHECK(failed == 0);
}

/* ---- reading ---- */

static void run_reading(uv_work_t *job)
{
    struct reading *reading = job->data;
    reading->err = folder_read(reading->path, reading->id, reading->file, &reading->text);
}

static void on_reading_done(uv_work_t *job, int status)
{
    struct reading *reading = job->data;
    struct incidents *incidents = reading->incidents;
    (void)status;
    incidents->read_count--;
    reading->on_read(reading->context, reading->err, buf_bytes(&reading->text));
    buf_finish(&reading->text);
    free(reading->path);
    free(reading);
    close_if_idle(incidents);
}

enum err incidents_read(struct incidents *incidents, const char *id, enum folder_file file,
                        incidents_on_read *on_read, void *context)
{
    if (incidents->path == NULL || !folder_is_id(id)) {
        return ERR_NOT_FOUND;
    }
    if (incidents->is_closing || incidents->read_count >= INCIDENTS_READS_MAX) {
        return ERR_LIMIT;
    }
    struct reading *reading = calloc(1, sizeof *reading);
    char *path = strdup(incidents->path);
    if (reading == NULL || path == NULL) {
        free(reading);
        free(path);
        return ERR_NOMEM;
    }
    *reading = (struct reading){
        .incidents = incidents, .path = path, .file = file, .on_read = on_read, .context = context};
    memcpy(reading->id, id, strlen(id) + 1);
    buf_init(&reading->text, READ_MAX);
    reading->job.data = reading;
    incidents->read_count++;
    int failed =
        uv_queue_work(incidents->options.loop, &reading->job, run_reading, on_reading_done);
    CHECK(failed == 0);
    return OK;
}
