/* canary/controller/controller_state.h — the inside of the controller, shared by the files of this
 * room and nobody else. */
#pragma once
#include "canary/admin/admin.h"
#include "canary/admin/server.h"
#include "canary/alert/alerts.h"
#include "canary/controller/controller.h"
#include "canary/controller/progress.h"
#include "canary/controller/steward.h"
#include "canary/history/history.h"
#include "canary/history/keys.h"
#include "canary/incident/incidents.h"
#include "canary/incident/queue.h"
#include "canary/platform/teller.h"
#include "canary/platform/watcher.h"
#include "metrics/access_log.h"
#include "proxy/upstream/prober.h"
#include "proxy/worker/crew.h"

enum {
    CONTROLLER_TICK_MS = 100,
    CONTROLLER_TICKS_PER_SECOND = 10,
    CONTROLLER_LATE_MS = 250,      /* a tick this late is a condition, */
    CONTROLLER_LATE_SHOWN_S = 10,  /* shown for so long */
    CONTROLLER_TICKETS_HOURS = 12, /* a key of TLS session tickets seals so long */
    CONTROLLER_NAMES_MS = 2000,    /* a start or a reload waits so long for look-ups at most */
    CONTROLLER_ADDRESS_SIZE = 80,  /* of the admin address as a link has it */
};

struct quarantined {
    char service[CONF_NAME_MAX + 1];
    char deployment[CONF_DEPLOYMENT_MAX + 1];
    char reason[NOTE_TEXT_MAX];
    int64_t since_us;
};

/* Where a service stood when it was last seen; a version that did not exist is "". */
struct remembered {
    char service[CONF_NAME_MAX + 1];
    char current[CONF_DEPLOYMENT_MAX + 1];
    char previous[CONF_DEPLOYMENT_MAX + 1];
    uint32_t weight_ppm;
    enum rollout_phase phase;
    bool is_phase_known; /* false: another program wrote it */
    uint64_t revision;
    uint64_t salt;
    struct rollout_journal progress; /* only what of it says how far a rollout is */
    struct lineup lineup;            /* owned: what was started at run time; zeros: nothing */
};

/* A configuration that waits for its names to be looked up. */
struct reload {
    struct conf *conf;       /* owned; NULL: none */
    struct admin_call *call; /* to be answered, or NULL */
    char actor[RECORD_ACTOR_SIZE];
    uint64_t until_us;
};

/* What the service manager was told, and is to be told (supervising.c). */
struct supervision {
    const struct notify *notify; /* borrowed; NULL: nobody listens */
    uint64_t fed_us;             /* the last sign of life; monotonic, as all here */
    uint64_t status_us;
    uint64_t reload_us; /* when the last reload began */
    bool is_ready_due;
    bool is_reloading_due;
    bool is_stopping_due;
    bool is_gone_told;    /* that nobody listens is logged */
    bool is_silence_told; /* that a worker is silent is logged */
    char status[NOTIFY_TEXT_MAX];
};

enum controller_stage {
    CONTROLLER_SERVING,
    CONTROLLER_DELAYING,
    CONTROLLER_DRAINING,
    CONTROLLER_CLOSING
};

struct controller {
    struct loop *loop;               /* borrowed */
    const struct clock *clock;       /* borrowed */
    const char *conf_path;           /* borrowed */
    const char *version;             /* borrowed */
    const char *commit;              /* borrowed */
    struct snapshot_base *base;      /* the configuration in force; a reference */
    struct tls_ticket_keys *tickets; /* owned */
    uint64_t tickets_rotated_us;
    struct registry registry;
    struct steward **stewards; /* owned; in the order of the configuration's services */
    size_t steward_count;
    struct crew *crew;
    struct access_log *access_log;
    struct history *history;
    struct keys *keys;
    struct alerts *alerts;
    uint64_t state_failed_us; /* when the state file was last found failing; monotonic */
    uint64_t retain_us;       /* when the history is looked at for old rows; monotonic */
    struct fetch *fetch;      /* for platforms */
    struct teller *teller;
    struct watcher *watcher;
    struct list sights; /* what was seen of the projects that are watched; of this room's own */
    struct incidents *incidents;
    struct incident_queue works; /* reports that wait to be written */
    uint64_t incidents_retry_us; /* after a failure nothing is written before; monotonic */
    struct admin *admin;
    struct admin_server *admin_server;
    char admin_address[CONTROLLER_ADDRESS_SIZE]; /* where that is: a reload does not move it */
    struct resolver *resolver;
    struct address_book *book;
    struct prober *prober;
    uv_timer_t tick_timer;
    uv_timer_t stage_timer;
    uint64_t snapshot_number;
    uint64_t tick_count;
    uint64_t ticked_us;
    uint64_t late_until_us; /* a late tick is shown until then */
    int64_t started_wall_us;
    int64_t reloaded_wall_us;
    struct supervision supervision;
    struct inherited *inherited; /* sockets that were passed, or NULL; borrowed */
    struct list acts;            /* action lists that wait for their write, in order */
    struct list starts;          /* rollouts that begin when they are written down */
    enum controller_stage stage;
    bool is_taking_over; /* a reload is under way: one snapshot at its end */
    bool needs_publish; /* a snapshot could not be made for want of memory: tried again each tick */
    bool needs_watch;   /* the same of names and health checks */
    bool is_history_unread; /* the state file could not be read at the start: canaries began without
                               weight */
    struct reload reload;
    bool has_reload_failed;
    struct note reload_note; /* why */
    struct quarantined
        *quarantined; /* owned: every deployment that was rolled back and not released */
    size_t quarantined_count;
    struct remembered *remembered; /* owned: by the state file at the start, or taken away since */
    size_t remembered_count;
    uint32_t record_serial;
    bool is_started;
    unsigned closing_count;  /* parts that still close */
    uint64_t stage_until_us; /* when the present stage of the drain is over */
};

/* ---- life (controller.c) ---- */

/* The time that engines and records go by. What waits for sockets goes by the loop's. */
static inline uint64_t controller_now_us(const struct controller *controller)
{
    return clock_monotonic_us(controller->clock);
}
/* One tick: the timer's, or a test's that turns the clock. */
void controller_tick(struct controller *controller);

/* Makes a snapshot of how things stand and hands it to the workers. */
void controller_publish(struct controller *controller);
/* Says the newest names and health checks to the address book and the prober; without memory it is
 * tried again each tick. */
void controller_watch_endpoints(struct controller *controller);
/* Has the names of that configuration looked up beside those in use. ERR_NOMEM. */
MUST_USE enum err controller_look_up_too(struct controller *controller, const struct conf *conf);
/* As many client connections as configuration and descriptors allow. */
void controller_limit_connections(struct controller *controller);
struct steward *controller_find(const struct controller *controller, const char *service);
/* Was the deployment rolled back, and not released since? Also those of configurations before. */
bool controller_is_quarantined(const struct controller *controller, const char *service,
                               const char *deployment);
void controller_note_quarantine(struct controller *controller, const char *service,
                                const char *deployment, const char *reason, int64_t since_us,
                                bool is_released);
/* An id for a record that begins now: sortable by time, unique. */
void controller_make_id(struct controller *controller, char id[RECORD_ID_SIZE]);

/* ---- where things stood (recovery.c) ---- */

/* Reads the state file; gives every service its versions and its engine. ERR_NOMEM. */
MUST_USE enum err controller_begin_services(struct controller *controller);
/* Gives a service that has none yet the versions that a start at run time gave it, where they hold
 * against its configuration. ERR_NOMEM. */
MUST_USE enum err controller_recall_versions(struct controller *controller,
                                             struct steward *steward);
/* The same for a service that a reload brings. */
void controller_begin_service(struct controller *controller, struct steward *steward);
/* Of a canary that is seen for the first time. */
uint32_t controller_first_weight(const struct controller *controller,
                                 const struct steward *steward);
/* May a canary that is seen for the first time begin a rollout by itself? */
bool controller_starts_rollout(const struct controller *controller, const struct steward *steward);
/* Before a reload takes the service away: a rollback that runs is superseded, a raise that waits
 * for its write is taken back. */
void controller_remember(struct controller *controller, struct steward *steward);
void controller_forget_remembered(struct controller *controller);
/* Tells log and trail that the configuration overrules what was started at run time. */
void controller_tell_overruled(struct controller *controller, const struct steward *steward);

/* Once a second: where the state file was lost and is another one now, writes down all that a start
 * must know, or a deployment that was rolled back would be taken for a new one. */
void controller_renew_state(struct controller *controller);

/* ---- old rows (retain.c) ---- */

/* Once a second: once an hour has the history take out what is older than it is to be kept. */
void controller_retain_tick(struct controller *controller);

/* ---- incident reports (incidents.c) ---- */

/* ERR_NOMEM. */
MUST_USE enum err controller_open_incidents(struct controller *controller, const struct conf *conf);
/* After a reload. ERR_NOMEM: as it was. */
MUST_USE enum err controller_configure_incidents(struct controller *controller,
                                                 const struct conf *conf);
/* After a start: reports that the process before left unfinished are finished. */
void controller_finish_incidents(struct controller *controller);
/* Has who remembers failures beside each service, as the configuration says; each tick, before the
 * engines are asked. */
void controller_keep_witnesses(struct controller *controller);
/* Takes what workers left of failed requests; each tick, after that. */
void controller_watch_failures(struct controller *controller, int64_t wall_us);
/* The service goes, or another rollback begins: what its report lacks is written in its turn. */
void controller_let_go_incident(struct controller *controller, struct steward *steward);
/* Has a report written if one waits; each tick, after all else. */
void controller_write_incidents(struct controller *controller);
/* Something that a report of the service should tell. */
void controller_note_moment(struct controller *controller, const char *service, const char *event,
                            const char *text);
/* A record was written down: its report follows it. */
void controller_follow_record(struct controller *controller, struct steward *steward,
                              const struct record *record, const struct history_rollback *row);
/* The log of the build of the deployment that a rollback took back, for its report; nothing happens
 * when that rollback is no service's latest. */
void controller_add_build_log(struct controller *controller, const char *rollback,
                              struct bytes text);
void controller_close_incidents(struct controller *controller);

/* ---- alerts (alarm.c) ---- */

enum { CONDITIONS = 8 };

/* Every condition has a name for the metric and a sentence for people. */
struct condition {
    const char *name;
    const char *text; /* NULL: all is well */
};

/* What is broken without traffic noticing (views.c). */
void controller_conditions(struct controller *controller,
                           struct condition ret_conditions[CONDITIONS]);
/* Makes the channels. ERR_NOMEM, ERR_IO. */
MUST_USE enum err controller_open_alerts(struct controller *controller, const struct conf *conf);
/* Links in alerts lead to the admin address as it is spoken to now: with or without TLS. */
void controller_name_alerts(struct controller *controller);
/* After a start, when alerts and services are read back: what holds and was never raised. */
void controller_alarm_begin(struct controller *controller);
/* An engine asks for an alert. */
void controller_alarm(struct controller *controller, const struct steward *steward,
                      const struct rollout_action *action);
/* Tells people of what is no trouble. */
void controller_notice(struct controller *controller, const struct steward *steward,
                       const struct rollout_action *action);
/* The deployment is live at the platform by nobody's doing here. */
void controller_alarm_moved(struct controller *controller, const struct steward *steward,
                            const char *deployment, const char *summary);
/* Once a second: raises what the engines do not ask for, resolves what does not hold any more. */
void controller_alarm_tick(struct controller *controller);

/* ---- the hosting platform (hosting.c) ---- */

/* ERR_NOMEM. A platform that cannot be asked is a condition, no failure. */
MUST_USE enum err controller_open_platforms(struct controller *controller, const struct conf *conf);
/* Providers as the configuration names them; reads their tokens anew. */
void controller_configure_platforms(struct controller *controller, const struct conf *conf);
/* What is under way ends; the journal keeps it. Counts as a part that closes. */
void controller_close_platforms(struct controller *controller);
/* Each tick: a rollback whose shift is over is told. */
void controller_tell_platform(struct controller *controller, struct steward *steward);

/* What the platform may know the version by; there is one. Borrowed from the steward. */
const char *controller_platform_name(const struct steward *steward, enum role role);

/* ---- builds that failed (builds.c) ---- */

/* Is that deployment the canary, with weight or on its way up? NULL is none. */
bool build_is_in_use(const struct steward *steward, const char *deployment);
/* One that rolled nothing back, within the hour, and no other canary since. */
bool build_has_failed_lately(const struct controller *controller, const struct steward *steward);
enum { BUILD_LOG_MAX = 16 * 1024 }; /* of a build's log the end is kept */
/* That build has the record of this id; another observer of it gets no second within the hour.
 * Takes `record` as JSON; NULL: it is the engine's. */
void controller_note_build(struct controller *controller, struct steward *steward,
                           const struct admin_rollback *failure, const char *id, json_t *record);
/* Nothing is rolled back: it goes into history, audit trail, log and alerts; what another observer
 * reported already, into the trail alone. Answers the call, which may be NULL. */
void controller_record_build(struct controller *controller, struct steward *steward,
                             const struct admin_rollback *failure, struct admin_call *call);

/* For nobody who waits: rolled back if `expect_current` is in use, and otherwise recorded. */
void controller_build_failed(struct controller *controller, struct steward *steward,
                             const struct admin_rollback *failure);

/* ---- asking the versions (checks.c) ---- */

/* How that endpoint of the role is asked, as `health` says. Borrows from the steward, the book and
 * `health`. ERR_NOMEM, and whatever its TLS lacks: some of it is filled. */
MUST_USE enum err controller_target(const struct controller *controller,
                                    const struct steward *steward, enum role role, size_t index,
                                    const struct conf_health *health,
                                    struct prober_target *ret_target);

/* ---- rehearsals (drills.c) ---- */

/* The admin's op. */
void controller_drill(void *context, struct admin_call *call, const struct admin_drill *wish);
/* Each tick, when the service's own actions are done. */
void controller_drill_tick(struct controller *controller, struct steward *steward, uint64_t now_us,
                           int64_t wall_us);
/* Once a second: begins what is due, or says why not. */
void controller_drill_schedule(struct controller *controller, struct steward *steward);
/* What runs is recorded as dropped; the reason is for people. */
void controller_drop_drill(struct controller *controller, struct steward *steward, const char *why);
void controller_drop_drills(struct controller *controller, const char *why);
/* The record of one that runs, or of the last; gives the value. NULL: it is another one's. */
json_t *controller_drill_find(const struct steward *steward, const char *id);

/* ---- projects that are watched (watching.c) ---- */

/* A provider for the API at Cloudflare. ERR_SYNTAX and ERR_IO with a note, ERR_NOMEM. */
MUST_USE enum err controller_make_cloudflare(struct controller *controller,
                                             const struct conf_cloudflare *conf, bool is_pages,
                                             struct provider **ret_provider, struct note *note);

/* ERR_NOMEM. */
MUST_USE enum err controller_open_watch(struct controller *controller);
/* Has the projects looked at that the configuration says, and forgets the others. */
void controller_configure_watch(struct controller *controller, const struct conf *conf);
/* What a process before has seen, as the state file kept it. */
void controller_restore_watch(struct controller *controller, const struct history_watch *kept);
/* The state file has lost what was seen: writes it down again. */
void controller_renew_watch(struct controller *controller);
/* Is that deployment live at the platform by nobody's doing here? */
bool controller_has_moved(const struct controller *controller, const char *service,
                          const char *deployment);
/* After the watcher is closed. */
void controller_finish_watch(struct controller *controller);

/* ---- doing (acts.c) ---- */

/* Whom a list is carried out for. */
struct act_for {
    struct admin_call
        *call; /* answered at the end: with the service, or with the record; or NULL */
    bool shows_record;
    bool is_accepted;              /* what was asked for is under way, not done */
    const struct history_key *key; /* written with the record, or NULL; borrowed during the call */
};

/* Carries the list out in its order; a write towards risk is waited for, by this list alone. `whom`
 * may be NULL. */
void controller_act(struct controller *controller, struct steward *steward,
                    const struct rollout_actions *actions, const struct act_for *whom);
/* The steward is about to be destroyed: lists that wait for their write are not gone on with. */
void controller_forget(struct controller *controller, const struct steward *steward);
/* A change to the history, in the next batch; `what` and `service` are for the log when that
 * fails. */
void controller_write(struct controller *controller, const struct history_change *change,
                      const char *what, const char *service);
/* Where the service stands, as the history keeps it; borrows from the steward. */
void controller_fill_state(const struct controller *controller, const struct steward *steward,
                           struct history_service *ret_state);
/* The service's state to the history, in the next batch. */
void controller_write_state(struct controller *controller, const struct steward *steward);
/* A command of the configuration or of a recovery, without anybody who waits. */
void controller_command(struct controller *controller, struct steward *steward,
                        const struct rollout_command *command);
/* One line for the audit trail; `service` may be NULL. */
void controller_audit(struct controller *controller, const char *actor, const char *action,
                      const char *service, const char *text);

/* ---- other versions (start.c) ---- */

struct deployment {
    bool is_canary_new;
    bool
        is_starting; /* a rollout of it follows at once, and is on disk: no state is written here */
    uint32_t weight_ppm; /* of the canary to begin with */
    uint64_t salt;       /* of the stickiness, for a new canary */
    const char *actor;
};

/* The steward has adopted other versions: its engine begins anew with them. */
void controller_deploy(struct controller *controller, struct steward *steward,
                       const struct deployment *deployment);
/* Versions, by a reload, are others now: starts that wait for their write are refused. */
void controller_forget_starts(struct controller *controller);
/* The admin's op. */
void controller_start(void *context, struct admin_call *call, const struct admin_start *wish);
/* The same for nobody who waits: OK, it is being written down. ERR_STATE: not now; ERR_DENIED: not
 * this one; `ret_why` says more. A start that comes to nothing later is logged. */
MUST_USE enum err controller_start_alone(struct controller *controller,
                                         const struct admin_start *wish, struct note *ret_why);
/* Is one being written down? */
bool controller_is_starting(const struct controller *controller, const char *service);

/* ---- records (records.c) ---- */

/* The record as the history keeps it; evidence in `evidence` (owned by the caller). Borrows all. */
void record_to_history(const struct record *record, const struct steward *steward,
                       const char *evidence, struct history_rollback *ret_row);
/* What the judge knew, and what a restart needs, as JSON text; NULL when memory is out. Freed by
 * the caller. */
char *record_evidence(const struct record *record);
/* As the API shows it; NULL without memory. Gives the value. */
json_t *record_to_json(const struct record *record, const struct steward *steward);
/* Back from the file. False when it cannot be read. */
bool record_from_history(const struct history_rollback *row, struct record *ret_record);

/* ---- the configuration (reload.c) ---- */

/* Loads the file again and takes it over, at once or when its new names are looked up. Errors are
 * logged and given to `call`, which may be NULL. A reload that still waits gives way. */
void controller_load_again(struct controller *controller, const char *actor,
                           struct admin_call *call);
/* Looks whether a reload waits no longer; each tick. */
void controller_reload_tick(struct controller *controller);
/* A reload that waits is not done. */
void controller_reload_cancel(struct controller *controller, const char *why);

/* ---- verdicts (telling.c) ---- */

/* Tells a verdict that has changed. After the actions of the tick: no shift waits for words. */
void controller_tell_verdict(struct controller *controller, struct steward *steward);
/* Tells log and event stream when workers begin to hold the canary back, and when the last one
 * ends. A hold that was over before anybody looked is told too. */
/* What is kept of a canary that goes back is dropped. Each time its phase may have changed. */
void controller_follow_kept(struct steward *steward);
/* The op of that name. */
void controller_purge(void *context, struct admin_call *call, const struct admin_purge *wish);
/* Frees some of what was dropped, and goes on with purges; each tick. */
void controller_sweep_kept(struct controller *controller, struct steward *steward);
/* Answers purges that are not over: the service goes, or the process ends. */
void controller_drop_purges(struct steward *steward);
void controller_tell_hold(struct controller *controller, struct steward *steward);
/* Warns of services that believe any origin. */
void controller_tell_trust(const struct controller *controller);

/* ---- policies that look on (observing.c) ---- */

/* Logs and publishes, once each, what would have been a breach by one of them. */
void controller_tell_observed(struct controller *controller, struct steward *steward);
/* Borrows the names; returns how many there are. */
size_t controller_view_observed(const struct steward *steward,
                                struct admin_observed ret_observed[ADMIN_OBSERVED_MAX]);

/* ---- the service manager (supervising.c) ---- */

/* Every address accepts, or a reload is over. */
void controller_tell_ready(struct controller *controller);
void controller_tell_reloading(struct controller *controller);
/* The drain begins. */
void controller_tell_stopping(struct controller *controller);
/* Each tick: the status, the watchdog, and what there was no room for. */
void controller_supervise_tick(struct controller *controller);

/* ---- flight recordings (recording.c) ---- */

/* Appends the recording's rows from `before_us` before the moment to `after_us` after it, as one
 * whole document: at most ADMIN_RECORDING_MAX rows and about 1 MiB, the first ones. What it has not
 * yet recorded is not in it. ERR_STATE: the recorder is off; ERR_NOMEM. Takes a few milliseconds at
 * most and touches memory alone. */
MUST_USE enum err controller_recording_around(const struct steward *steward, int64_t wall_us,
                                              uint64_t before_us, uint64_t after_us,
                                              struct buf *out);

/* True when the Idempotency-Key (or NULL) decided the matter: the call is answered, now or later.
 */
bool controller_is_replay(struct controller *controller, struct admin_call *call, const char *key,
                          const char *fingerprint);

/* ---- the admin's ops (ops.c, views.c, recording.c) ---- */

extern const struct admin_ops controller_admin_ops;

bool view_service_at(void *context, size_t index, struct admin_service *ret_service);
bool view_service_find(void *context, const char *name, struct admin_service *ret_service);
void view_process(void *context, struct admin_process *ret_process);
size_t view_conditions(void *context, const char **texts, size_t max);
enum err view_metrics(void *context, struct buf *out);
enum err view_recording(void *context, const struct admin_recording *page, struct buf *out);
void view_incident(void *context, struct admin_call *call, const char *id,
                   enum admin_report report);
json_t *view_record_find(void *context, const char *id);
void view_explain(void *context, const struct admin_explain_query *query,
                  struct admin_explanation *ret_explanation);
