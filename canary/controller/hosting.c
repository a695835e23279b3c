/* canary/controller/hosting.c — the hosting platform is told of a rollback when its shift is over.
 *
 * First the split, then the journal, then the platform: a platform that is down, slow or wrong
 * delays its own acknowledgement and nothing else. What it said goes into the record, the audit
 * trail and the log; when it has said so it is asked for the log of the build, for the report. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "canary/alert/secret.h"
#include "canary/controller/controller_state.h"
#include "canary/fetch/fetch.h"
#include "canary/platform/exec.h"
#include "canary/platform/pages.h"
#include "canary/platform/workers.h"
#include "proxy/base/log.h"

enum { SHORT_ID_SIZE = 8 }; /* of a deployment's id at Pages */

static_assert((int)RECORD_ID_SIZE <= 64, "a task's name holds a record's id");

/* ---- the journal ---- */

struct journalled {
    struct controller *controller;
    char rollback[RECORD_ID_SIZE];
};

/* Without a journal the platform is told all the same: it bears being told twice. */
static void on_journalled(void *context, enum err err)
{
    struct journalled *journalled = context;
    struct controller *controller = journalled->controller;
    if (err != OK) {
        log_error("%s: not in the journal (%s); the platform is told all the same",
                  journalled->rollback, err_text(err));
    }
    if (controller->teller != NULL) {
        teller_written(controller->teller, journalled->rollback);
    }
    free(journalled);
}

static void keep(struct controller *controller, const struct history_platform *platform)
{
    struct journalled *journalled = malloc(sizeof *journalled);
    enum err err = journalled != NULL ? OK : ERR_NOMEM;
    if (err == OK) {
        journalled->controller = controller;
        (void)snprintf(journalled->rollback, sizeof journalled->rollback, "%s", platform->rollback);
        err = history_write(controller->history, &(struct history_change){.platform = platform},
                            HISTORY_DURABLE, on_journalled, journalled);
    }
    if (err != OK) {
        free(journalled);
        log_error("%s: not in the journal: %s", platform->rollback, err_text(err));
        teller_written(controller->teller, platform->rollback);
    }
}

static void journal(void *context, const char *rollback, const char *body)
{
    struct controller *controller = context;
    struct history_platform platform = {.rollback = rollback, .body = body, .ack_s = NAN};
    if (controller->stage == CONTROLLER_CLOSING || controller->history == NULL) {
        return;
    }
    if (body != NULL) {
        keep(controller, &platform);
    } else {
        controller_write(controller, &(struct history_change){.platform = &platform},
                         "the platform's journal", rollback);
    }
}

/* ---- what became of it ---- */

static void failed(void *context, const struct teller_facts *facts, const char *text,
                   uint64_t next_ms)
{
    (void)context;
    log_warn("%s: the platform does not go back from %s: %s; asked again in %.0f s", facts->service,
             facts->deployment, text, (double)next_ms / 1e3);
}

/* The engine's record if it is still this one, and in any case the file's. */
static void acknowledge(struct controller *controller, const struct teller_facts *facts,
                        enum record_platform state)
{
    struct steward *steward = controller_find(controller, facts->service);
    int64_t elapsed_us = clock_wall_us(controller->clock) - facts->first_bad_us;
    struct history_platform platform = {
        .rollback = facts->rollback, .ack_s = (double)NAN, .state = record_platform_name(state)};
    if (state == RECORD_PLATFORM_ACKNOWLEDGED) {
        platform.ack_s = elapsed_us > 0 ? (double)elapsed_us / 1e6 : 0;
    }
    controller_write(controller, &(struct history_change){.platform = &platform},
                     "what the platform said", facts->service);
    if (steward != NULL) {
        struct rollout_actions actions;
        rollout_note_platform(&steward->engine.rollout, facts->rollback, state,
                              controller_now_us(controller), &actions);
        controller_act(controller, steward, &actions, NULL);
    }
}

/* ---- the build's log, for the incident report ---- */

struct log_wish {
    struct controller *controller;
    char rollback[RECORD_ID_SIZE];
    char service[CONF_NAME_MAX + 1];
    char deployment[TELLER_NAME_SIZE];
    bool is_preview; /* it was not among the production deployments */
};

static void on_build_log(void *context, const struct platform_answer *answer);

/* Takes the wish. A report without the log is a report all the same: it is asked for once. */
static void ask_build_log(struct log_wish *wish)
{
    enum err err = teller_read_log(wish->controller->teller, wish->service, wish->deployment,
                                   wish->is_preview ? "preview" : "production", on_build_log, wish);
    if (err != OK && err != ERR_UNSUPPORTED && err != ERR_NOT_FOUND) {
        log_info("%s: no build log for the incident report: %s", wish->service, err_text(err));
    }
    if (err != OK) {
        free(wish);
    }
}

static void on_build_log(void *context, const struct platform_answer *answer)
{
    struct log_wish *wish = context;
    struct controller *controller = wish->controller;
    if (controller->stage == CONTROLLER_CLOSING || controller->teller == NULL) {
        free(wish);
        return;
    }
    loop_enter(controller->loop);
    if (answer->result == PLATFORM_REFUSED && !wish->is_preview) {
        wish->is_preview = true;
        ask_build_log(wish);
    } else {
        if (answer->result == PLATFORM_DONE) {
            controller_add_build_log(controller, wish->rollback, answer->log);
        } else {
            log_info("%s: no build log for the incident report: %s", wish->service, answer->text);
        }
        free(wish);
    }
    loop_leave(controller->loop);
}

static void want_build_log(struct controller *controller, const struct teller_facts *facts)
{
    bool is_wanted = controller->base->conf->incidents.is_on;
    struct log_wish *wish = is_wanted ? calloc(1, sizeof *wish) : NULL;
    if (wish == NULL) {
        return;
    }
    wish->controller = controller;
    (void)snprintf(wish->rollback, sizeof wish->rollback, "%s", facts->rollback);
    (void)snprintf(wish->service, sizeof wish->service, "%s", facts->service);
    (void)snprintf(wish->deployment, sizeof wish->deployment, "%s", facts->current);
    ask_build_log(wish);
}

static void ended(void *context, const struct teller_facts *facts, enum teller_outcome outcome,
                  const char *text)
{
    static const struct {
        enum record_platform state;
        enum log_level level;
        const char *event;
    } ends[] = {
        [TELLER_ACKNOWLEDGED] = {RECORD_PLATFORM_ACKNOWLEDGED, LOG_LEVEL_INFO, "platform.ack"},
        [TELLER_NOT_NEEDED] = {RECORD_PLATFORM_NOT_NEEDED, LOG_LEVEL_INFO, "platform.not_needed"},
        [TELLER_GIVEN_UP] = {RECORD_PLATFORM_GIVEN_UP, LOG_LEVEL_WARN, "platform.given_up"},
    };
    struct controller *controller = context;
    if (controller->stage == CONTROLLER_CLOSING) {
        return; /* it is in the journal: the next process looks again */
    }
    loop_enter(controller->loop);
    log_write(ends[outcome].level, "%s: %s (%s)", facts->service, text, ends[outcome].event);
    controller_audit(controller, "serin", ends[outcome].event, facts->service, text);
    acknowledge(controller, facts, ends[outcome].state);
    if (outcome != TELLER_GIVEN_UP) {
        want_build_log(controller, facts);
    }
    loop_leave(controller->loop);
}

static const struct teller_ops ops = {journal, failed, ended};

/* ---- providers ---- */

enum err controller_make_cloudflare(struct controller *controller,
                                    const struct conf_cloudflare *conf, bool is_pages,
                                    struct provider **ret_provider, struct note *note)
{
    struct conf_secret token = conf->token;
    char *secret = NULL;
    if (token.env == NULL && token.file == NULL) {
        token.env = "CLOUDFLARE_API_TOKEN";
    }
    enum err err = secret_read(&token, &secret, note);
    if (err != OK) {
        return err;
    }
    const char *base = conf->base != NULL ? conf->base : getenv("CLOUDFLARE_API_BASE_URL");
    struct cloudflare_options options = {
        .loop = &controller->loop->uv,
        .fetch = controller->fetch,
        .base = base != NULL && base[0] != '\0' ? base : NULL,
        .account = conf->account != NULL ? conf->account : getenv("CLOUDFLARE_ACCOUNT_ID"),
        .token = secret,
    };
    err = is_pages ? pages_create(&options, conf->name, ret_provider, note)
                   : workers_create(&options, conf->name, ret_provider, note);
    secret_free(secret);
    return err;
}

static void fill_argv(const struct conf_platform_exec *conf, const char *argv[CONF_COMMAND_MAX + 1])
{
    size_t count = 0;
    while (count < conf->command_count && count < CONF_COMMAND_MAX) {
        argv[count] = conf->command[count];
        count++;
    }
    argv[count] = NULL;
}

static enum err make_exec(struct controller *controller, const struct conf_platform_exec *conf,
                          struct provider **ret_provider)
{
    const char *argv[CONF_COMMAND_MAX + 1];
    fill_argv(conf, argv);
    return exec_create(&controller->loop->uv, argv, ret_provider);
}

/* A command that runs is not killed and run again because something else was configured. */
static bool is_same_exec(const struct controller *controller, const struct conf_service *service)
{
    const struct provider *seated = teller_provider(controller->teller, service->name);
    const char *argv[CONF_COMMAND_MAX + 1];
    fill_argv(&service->platform.exec, argv);
    return service->platform.exec.is_on && exec_is(seated, argv);
}

static void seat(struct controller *controller, const struct conf_service *service)
{
    const struct conf_platform *conf = &service->platform;
    struct provider *provider = NULL;
    struct note note = {""};
    if (is_same_exec(controller, service)) {
        teller_keep(controller->teller, service->name);
        return;
    }
    enum err err = conf->exec.is_on
                       ? make_exec(controller, &conf->exec, &provider)
                       : controller_make_cloudflare(
                             controller, conf->pages.is_on ? &conf->pages : &conf->workers,
                             conf->pages.is_on, &provider, &note);
    if (err != OK) {
        log_error("%s: its platform cannot be asked: %s", service->name,
                  note.text[0] != '\0' ? note.text : err_text(err));
    }
    if (teller_seat(controller->teller, service->name, provider,
                    note.text[0] != '\0' ? note.text : err_text(err)) != OK) {
        log_error("%s: out of memory: its platform is not told of anything", service->name);
        provider_close(provider, NULL, NULL);
    }
}

void controller_configure_platforms(struct controller *controller, const struct conf *conf)
{
    for (size_t i = 0; i < conf->service_count; i++) {
        if (conf->services[i].platform.is_on) {
            seat(controller, &conf->services[i]);
        }
    }
    teller_sweep(controller->teller);
    controller_configure_watch(controller, conf);
}

enum err controller_open_platforms(struct controller *controller, const struct conf *conf)
{
    struct teller_options options = {.ops = &ops, .context = controller};
    enum err err = fetch_create(&controller->loop->uv, &controller->fetch);
    if (err == OK) {
        err = teller_create(&options, &controller->teller);
    }
    if (err == OK) {
        err = controller_open_watch(controller);
    }
    if (err == OK) {
        controller_configure_platforms(controller, conf);
    }
    return err;
}

static void on_fetch_closed(void *context)
{
    struct controller *controller = context;
    controller->closing_count--;
}

static void on_teller_closed(void *context)
{
    struct controller *controller = context;
    struct fetch *fetch = controller->fetch;
    controller->fetch = NULL;
    fetch_close(fetch, on_fetch_closed, controller);
}

static void on_watcher_closed(void *context)
{
    struct controller *controller = context;
    struct teller *teller = controller->teller;
    controller->teller = NULL;
    if (teller != NULL) {
        teller_close(teller, on_teller_closed, controller);
    } else {
        on_teller_closed(controller);
    }
}

void controller_close_platforms(struct controller *controller)
{
    struct watcher *watcher = controller->watcher;
    if (controller->fetch == NULL) {
        return;
    }
    controller->watcher = NULL;
    controller->closing_count++;
    watcher_close(watcher, on_watcher_closed, controller);
}

/* ---- telling ---- */

/* SHORT_ID.PROJECT.pages.dev; a branch has a host of that form too, which is no deployment's. */
static bool is_own_host(const char *host)
{
    size_t dots = 0;
    for (const char *at = host; *at != '\0'; at++) {
        dots += *at == '.' ? 1 : 0;
    }
    return dots == 3 && bytes_ends_with(bytes_of(host), BYTES(".pages.dev")) &&
           strspn(host, "0123456789abcdefABCDEF") == SHORT_ID_SIZE && host[SHORT_ID_SIZE] == '.';
}

/* Of a deployment's own host at Pages the platform knows the name better than of our label. */
static const char *platform_name(const struct conf_version *version)
{
    bool has_own = version->endpoint_count == 1 && is_own_host(version->endpoints[0].host);
    return has_own ? version->endpoints[0].host : version->deployment;
}

const char *controller_platform_name(const struct steward *steward, enum role role)
{
    return platform_name(steward->lineup.versions[role]);
}

/* The service may have other versions by now than the record. */
static const char *recorded_name(const struct steward *steward, enum role role, const char *label)
{
    const char *name = steward_deployment(steward, role);
    bool is_same = name != NULL && strcmp(name, label) == 0;
    return is_same ? controller_platform_name(steward, role) : label;
}

static void begin(struct controller *controller, struct steward *steward)
{
    const struct record *record = &steward->engine.rollout.record;
    json_t *json = record_to_json(record, steward);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    struct teller_facts facts = {
        .rollback = record->id,
        .service = steward->conf->name,
        .deployment = steward->recorded.deployment,
        .current = recorded_name(steward, ROLE_CURRENT, steward->recorded.deployment),
        .target = recorded_name(steward, ROLE_PREVIOUS, steward->recorded.target),
        .reason = record->reason_text.text,
        .record = text,
        .first_bad_us = record->first_bad_wall_us,
    };
    enum err err = text != NULL ? teller_begin(controller->teller, &facts) : ERR_NOMEM;
    free(text);
    json_decref(json);
    if (err != OK) {
        return; /* the next tick tries again */
    }
    struct rollout_actions actions;
    rollout_note_platform(&steward->engine.rollout, record->id, RECORD_PLATFORM_PENDING,
                          controller_now_us(controller), &actions);
    controller_act(controller, steward, &actions, NULL);
}

void controller_tell_platform(struct controller *controller, struct steward *steward)
{
    const struct rollout *rollout = &steward->engine.rollout;
    const struct record *record = &rollout->record;
    /* A release says that this deployment is good after all: nothing is told of it from then on. */
    bool is_shifted = rollout->has_record && record->is_quarantining && rollout->is_quarantined &&
                      !isnan(record->phase_s[RECORD_SHIFT]) &&
                      strcmp(steward->recorded.id, record->id) == 0;
    bool is_open =
        record->platform == RECORD_PLATFORM_NONE || (record->platform == RECORD_PLATFORM_PENDING &&
                                                     !teller_knows(controller->teller, record->id));
    if (is_shifted && is_open && teller_has(controller->teller, steward->conf->name)) {
        begin(controller, steward);
    }
}
