/* canary/controller/incidents.c — each rollback gets a report, beside all that matters more.
 *
 * Failures are taken out of the workers' rings after the engines were asked, so that describing
 * them delays no decision. A report follows its rollback's record: written when it begins, when the
 * weight is 0, and when it has ended, and again whenever the record changes after that. What cannot
 * be written is tried again; a report that a crash left unfinished is finished after the restart.
 */
#include <math.h>
#include <stdlib.h>

#include "canary/controller/controller_state.h"
#include "proxy/base/log.h"

enum {
    TAKE_MAX = 512,     /* failures of one worker and service in a tick */
    LINES_MAX = 64,     /* of all services in a tick: so many of them are described, */
    LINES_EACH_MIN = 4, /* ... and of each service so many at least */
    RETRY_US = 5 * 1000000,
    BEFORE_US = 60 * 1000000, /* shown of the flight recording before the first failure, */
    AFTER_US = 30 * 1000000,  /* ... and after the last change of the record */
};

static_assert((int)INCIDENT_ID_SIZE >= (int)RECORD_ID_SIZE, "a record's id names its report");
static_assert((int)INCIDENT_SERVICE_SIZE > (int)CONF_NAME_MAX, "a service's name fits");

/* ---- the queue ---- */

/* Takes the work. */
static void wait_in_line(struct controller *controller, struct incident_work *work)
{
    if (incident_queue_add(&controller->works, work) != OK) {
        log_warn("%s: its incident report is not complete: too many wait", work->service);
        incident_work_destroy(work);
    }
}

/* Takes a work that could not be written and whose incident is present no longer. */
static void wait_again(struct controller *controller, struct incident_work *work)
{
    buf_clear(&work->access_new);
    enum err err = incident_queue_return(&controller->works, work);
    if (err == ERR_LIMIT) {
        log_warn("%s: its incident report is not complete: too many wait", work->service);
    }
    if (err != OK) {
        incident_work_destroy(work);
    }
}

/* ---- failures ---- */

static uint64_t lost_count(const struct controller *controller, const struct steward *steward)
{
    uint64_t lost = 0;
    for (size_t i = 0; i < crew_worker_count(controller->crew); i++) {
        const struct failure_ring *ring = service_failures_of(steward->service, i);
        lost += ring != NULL ? failure_ring_dropped(ring) : 0;
    }
    return lost;
}

/* Counting a failure costs little, describing one as JSON does not, and this thread rolls back. */
static size_t lines_each(const struct controller *controller)
{
    size_t count = controller->steward_count > 0 ? controller->steward_count : 1;
    size_t each = LINES_MAX / count;
    return each > LINES_EACH_MIN ? each : LINES_EACH_MIN;
}

static void take_failures(struct controller *controller, struct steward *steward, int64_t wall_us)
{
    size_t lines_left = lines_each(controller);
    for (size_t i = 0; i < crew_worker_count(controller->crew); i++) {
        struct failure_ring *ring = service_failures_of(steward->service, i);
        if (ring != NULL) {
            witness_take(steward->witness, ring, TAKE_MAX, wall_us, &lines_left);
        }
    }
    struct incident *incident = witness_incident(steward->witness);
    if (incident != NULL) {
        incident_set_lost(incident, lost_count(controller, steward) - steward->lost_before);
    }
}

/* A witness as the configuration wants it. One that has an incident to finish stays as it is. */
static void keep_witness(struct controller *controller, struct steward *steward)
{
    const struct conf_incidents *conf = &controller->base->conf->incidents;
    struct incident *incident =
        steward->witness != NULL ? witness_incident(steward->witness) : NULL;
    bool is_unlike = steward->witness != NULL &&
                     (!conf->is_on || witness_describe_max(steward->witness) != conf->failures);
    bool is_awaited = incident != NULL && (!incident_is_complete(incident) ||
                                           (conf->is_on && incident_is_dirty(incident)));
    if (is_unlike && !is_awaited) {
        witness_destroy(steward->witness);
        steward->witness = NULL;
    }
    if (steward->witness == NULL && conf->is_on) {
        (void)!witness_create((size_t)conf->failures, &steward->witness);
    }
}

void controller_keep_witnesses(struct controller *controller)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        keep_witness(controller, controller->stewards[i]);
    }
}

void controller_watch_failures(struct controller *controller, int64_t wall_us)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        struct steward *steward = controller->stewards[i];
        if (steward->witness != NULL) {
            take_failures(controller, steward, wall_us);
        }
    }
}

/* ---- what is told ---- */

void controller_note_moment(struct controller *controller, const char *service, const char *event,
                            const char *text)
{
    const struct steward *steward = controller_find(controller, service);
    /* An alert says again what was told, and a report does not tell of itself. */
    bool is_worth_it = strcmp(event, "alert") != 0 && strncmp(event, "incident.", 9) != 0;
    if (steward != NULL && steward->witness != NULL && is_worth_it) {
        witness_note(steward->witness, clock_wall_us(controller->clock), event, text);
    }
}

void controller_add_build_log(struct controller *controller, const char *rollback,
                              struct bytes text)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        struct witness *witness = controller->stewards[i]->witness;
        struct incident *incident = witness != NULL ? witness_incident(witness) : NULL;
        if (incident != NULL && strcmp(incident_id(incident), rollback) == 0) {
            incident_add_build_log(incident, text);
        }
    }
}

/* ---- records ---- */

static void add_recording(struct controller *controller, const struct steward *steward,
                          int64_t first_bad_us, struct incident_work *work)
{
    int64_t now_us = clock_wall_us(controller->clock);
    uint64_t after_us = now_us > first_bad_us ? (uint64_t)(now_us - first_bad_us) : 0;
    if (controller_recording_around(steward, first_bad_us, BEFORE_US, after_us + AFTER_US,
                                    &work->recording) != OK) {
        buf_clear(&work->recording);
    }
}

/* What is to be written of the present incident, with the flight recording around it; NULL:
 * nothing, or no memory. */
static struct incident_work *make_work(struct controller *controller, struct steward *steward)
{
    struct incident *incident =
        steward->witness != NULL ? witness_incident(steward->witness) : NULL;
    struct incident_work *work = NULL;
    if (incident == NULL || !incident_is_dirty(incident) ||
        incident_make_work(incident, clock_wall_us(controller->clock), &work) != OK) {
        return NULL;
    }
    add_recording(controller, steward, incident_first_bad_us(incident), work);
    return work;
}

/* The rollback before is over, or the service is: what its report still lacks is written in its
 * turn. */
static void let_go(struct controller *controller, struct steward *steward)
{
    struct incident_work *work = make_work(controller, steward);
    if (work != NULL) {
        wait_in_line(controller, work);
    }
}

/* NULL without memory. */
static struct incident *incident_of(struct controller *controller, struct steward *steward,
                                    const struct record *record)
{
    struct incident *incident = witness_incident(steward->witness);
    if (incident != NULL && strcmp(incident_id(incident), record->id) == 0) {
        return incident;
    }
    let_go(controller, steward);
    if (witness_begin(steward->witness, record->id, steward->conf->name,
                      record->first_bad_wall_us) != OK) {
        log_error("%s: no incident report: out of memory", steward->conf->name);
        return NULL;
    }
    incident = witness_incident(steward->witness);
    steward->lost_before = lost_count(controller, steward);
    if (record->decided_wall_us < controller->started_wall_us) {
        incident_set_resumed(incident, controller->started_wall_us);
    }
    return incident;
}

void controller_let_go_incident(struct controller *controller, struct steward *steward)
{
    let_go(controller, steward);
}

static const char *stage_of(const struct record *record)
{
    if (record->status != RECORD_IN_PROGRESS) {
        return "complete";
    }
    return isfinite(record->phase_s[RECORD_SHIFT]) ? "weight_zero" : "breach";
}

void controller_follow_record(struct controller *controller, struct steward *steward,
                              const struct record *record, const struct history_rollback *row)
{
    if (steward->witness == NULL || row->incident == NULL) {
        return;
    }
    struct incident *incident = incident_of(controller, steward, record);
    json_t *json = incident != NULL ? history_rollback_to_json(row) : NULL;
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    if (text != NULL) {
        bool is_over = record->status != RECORD_IN_PROGRESS;
        incident_set_record(incident, text, stage_of(record),
                            is_over ? clock_wall_us(controller->clock) : 0);
    }
    free(text);
    json_decref(json);
}

/* ---- writing ---- */

void controller_write_incidents(struct controller *controller)
{
    bool is_waiting = controller_now_us(controller) < controller->incidents_retry_us;
    if (is_waiting || incidents_is_busy(controller->incidents)) {
        return;
    }
    struct incident_work *work = incident_queue_next(&controller->works);
    for (size_t i = 0; i < controller->steward_count && work == NULL; i++) {
        work = make_work(controller, controller->stewards[i]);
    }
    if (work != NULL) {
        incidents_write(controller->incidents, work);
    }
}

/* Its report is written for the first time with all that it is to have. */
static void tell_written(struct controller *controller, const struct incident_work *work)
{
    char text[INCIDENT_ID_SIZE + 64];
    (void)snprintf(text, sizeof text, "the incident report of %s is complete", work->id);
    log_info("%s: %s", work->service, text);
    controller_audit(controller, "serin", "incident.written", work->service, text);
}

static void on_written(void *context, struct incident_work *work, enum err err)
{
    struct controller *controller = context;
    struct steward *steward = controller_find(controller, work->service);
    struct incident *incident =
        steward != NULL && steward->witness != NULL ? witness_incident(steward->witness) : NULL;
    bool is_present = incident != NULL && strcmp(incident_id(incident), work->id) == 0;
    if (err != OK) {
        controller->incidents_retry_us = controller_now_us(controller) + RETRY_US;
    }
    if (is_present) {
        incident_add_access(incident, buf_bytes(&work->access_new), work->access_after);
    }
    if (err == OK && work->is_complete && (!is_present || incident_tell_once(incident))) {
        tell_written(controller, work);
    }
    if (err != OK && is_present) {
        incident_set_dirty(incident);
    }
    if (err != OK && !is_present && controller->stage != CONTROLLER_CLOSING) {
        wait_again(controller, work);
        return;
    }
    incident_work_destroy(work);
}

/* ---- after a restart ---- */

struct unfinished {
    struct controller *controller; /* borrowed */
    char id[INCIDENT_ID_SIZE];
};

static bool is_followed(const struct controller *controller, const char *id)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        const struct rollout *rollout = &controller->stewards[i]->engine.rollout;
        bool is_open = rollout->has_record && rollout->record.status == RECORD_IN_PROGRESS;
        if (is_open && strcmp(rollout->record.id, id) == 0) {
            return true;
        }
    }
    return false;
}

static void on_record_read(void *context, enum err err, json_t *record)
{
    struct unfinished *unfinished = context;
    struct controller *controller = unfinished->controller;
    const char *service = json_string_value(json_object_get(record, "service"));
    char *text = err == OK && service != NULL ? json_dumps(record, JSON_COMPACT) : NULL;
    struct incident_work *work = NULL;
    if (controller->stage == CONTROLLER_CLOSING) {
        free(text);
    } else if (text != NULL && incident_work_of_record(unfinished->id, service, text,
                                                       controller->started_wall_us, &work) == OK) {
        wait_in_line(controller, work);
    } else if (text == NULL) {
        log_warn("the incident report %s stays unfinished: its record cannot be read: %s",
                 unfinished->id, err_text(err));
    }
    free(unfinished);
}

/* Of a rollback that goes on the report does too. */
static void on_unfinished(void *context, const char *id)
{
    struct controller *controller = context;
    struct unfinished *unfinished =
        !is_followed(controller, id) ? malloc(sizeof *unfinished) : NULL;
    if (unfinished == NULL || controller->history == NULL) {
        free(unfinished);
        return;
    }
    unfinished->controller = controller;
    (void)snprintf(unfinished->id, sizeof unfinished->id, "%s", id);
    if (history_read_rollback(controller->history, id, on_record_read, unfinished) != OK) {
        free(unfinished);
    }
}

void controller_finish_incidents(struct controller *controller)
{
    incidents_look_for_unfinished(controller->incidents);
}

/* ---- life ---- */

/* Beside the state file, which stays where it is until a restart. ERR_NOMEM. Gives the path. */
static enum err default_path(const char *state, char **ret_path)
{
    const char *slash = strrchr(state, '/');
    size_t size = slash != NULL ? (size_t)(slash - state) + 1 : 0;
    char *path = malloc(size + sizeof "incidents");
    if (path == NULL) {
        return ERR_NOMEM;
    }
    memcpy(path, state, size);
    memcpy(path + size, "incidents", sizeof "incidents");
    *ret_path = path;
    return OK;
}

enum err controller_configure_incidents(struct controller *controller, const struct conf *conf)
{
    const struct conf_incidents *wanted = &conf->incidents;
    char *beside = NULL;
    if (!wanted->is_on) {
        return incidents_configure(controller->incidents, NULL, 0);
    }
    enum err err = OK;
    if (wanted->path == NULL) {
        err = default_path(history_path(controller->history), &beside);
    }
    if (err == OK) {
        err = incidents_configure(controller->incidents, beside != NULL ? beside : wanted->path,
                                  (size_t)wanted->keep);
    }
    free(beside);
    return err;
}

enum err controller_open_incidents(struct controller *controller, const struct conf *conf)
{
    struct incidents_options options = {
        .loop = &controller->loop->uv,
        .log = controller->access_log,
        .on_written = on_written,
        .on_unfinished = on_unfinished,
        .context = controller,
    };
    enum err err = incidents_create(&options, &controller->incidents);
    return err == OK ? controller_configure_incidents(controller, conf) : err;
}

static void on_closed(void *context)
{
    struct controller *controller = context;
    controller->closing_count--;
}

void controller_close_incidents(struct controller *controller)
{
    incident_queue_finish(&controller->works);
    struct incidents *incidents = controller->incidents;
    controller->incidents = NULL;
    if (incidents != NULL) {
        controller->closing_count++;
        incidents_close(incidents, on_closed, controller);
    }
}

/* ---- showing ---- */

struct shown {
    struct admin_call *call;
    enum admin_report report;
};

static void refuse(struct admin_call *call, enum err err)
{
    struct admin_reply reply = {.result = ADMIN_FAILED, .detail = "The report cannot be read."};
    if (err == ERR_NOT_FOUND) {
        reply = (struct admin_reply){.result = ADMIN_UNKNOWN, .detail = "There is no such report."};
    } else if (err == ERR_LIMIT || err == ERR_NOMEM) {
        reply = (struct admin_reply){.result = ADMIN_BUSY,
                                     .detail = "Too many reports are being read."};
    }
    admin_reply(call, &reply);
}

static void on_read(void *context, enum err err, struct bytes text)
{
    static const struct {
        const char *content_type;
        const char *policy;
    } kinds[] = {
        [ADMIN_REPORT_JSON] = {"application/json", NULL},
        [ADMIN_REPORT_MARKDOWN] = {"text/markdown; charset=utf-8", NULL},
        [ADMIN_REPORT_CHART] = {"image/svg+xml", "default-src 'none'; sandbox"},
    };
    struct shown shown = *(struct shown *)context;
    free(context);
    if (err != OK) {
        refuse(shown.call, err);
        return;
    }
    admin_reply_text(shown.call, kinds[shown.report].content_type, kinds[shown.report].policy,
                     text);
}

void view_incident(void *context, struct admin_call *call, const char *id, enum admin_report report)
{
    static const enum folder_file files[] = {[ADMIN_REPORT_JSON] = FOLDER_JSON,
                                             [ADMIN_REPORT_MARKDOWN] = FOLDER_MARKDOWN,
                                             [ADMIN_REPORT_CHART] = FOLDER_CHART};
    struct controller *controller = context;
    struct shown *shown = malloc(sizeof *shown);
    if (shown == NULL) {
        refuse(call, ERR_NOMEM);
        return;
    }
    *shown = (struct shown){call, report};
    enum err err = incidents_read(controller->incidents, id, files[report], on_read, shown);
    if (err != OK) {
        free(shown);
        refuse(call, err);
    }
}
