/* canary/controller/supervising.c — what the service manager is told, and when.
 *
 * READY when every address accepts; RELOADING and READY around a reload; STOPPING, with how long it
 * may take, when the drain begins; STATUS where the services stand. WATCHDOG says that control and
 * every worker have gone on since the one before: control asks each worker by a message that its
 * loop must run, and says nothing until all have answered. Words that the manager has no room for
 * are said again at the next tick. */
#include <inttypes.h>

#include "canary/controller/controller_state.h"
#include "proxy/base/log.h"

enum {
    STATUS_EVERY_US = 1000000,
    STATUS_SERVICES_MAX = 3,
    WATCHDOG_SHARE = 3, /* so often within the manager's patience */
    END_US = 10000000,  /* beyond the drain's own deadlines: state is written, logs are flushed */
};

/* True when it was sent, or never will be. */
static bool tell(struct supervision *supervision, const char *text)
{
    if (supervision->notify == NULL) {
        return true;
    }
    enum err err = notify_send(supervision->notify, bytes_of(text));
    if (err == ERR_IO && !supervision->is_gone_told) {
        supervision->is_gone_told = true;
        log_warn("the service manager cannot be told: it does not listen on its socket");
    }
    return err != ERR_AGAIN;
}

static uint64_t monotonic_us(void)
{
    return uv_hrtime() / 1000;
}

/* ---- what is due ---- */

/* In this order, since a reload may be over before the manager had room to hear of its beginning.
 */
static void tell_due(struct controller *controller)
{
    struct supervision *supervision = &controller->supervision;
    char text[NOTIFY_TEXT_MAX];
    if (supervision->is_reloading_due) {
        (void)snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                       supervision->reload_us);
        supervision->is_reloading_due = !tell(supervision, text);
    }
    if (supervision->is_ready_due && !supervision->is_reloading_due) {
        supervision->is_ready_due = !tell(supervision, "READY=1");
    }
    if (supervision->is_stopping_due) {
        const struct conf_timeouts *timeouts = &controller->base->conf->timeouts;
        (void)snprintf(text, sizeof text,
                       "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%" PRIu64,
                       timeouts->drain_delay_us + timeouts->drain_us + END_US);
        supervision->is_stopping_due = !tell(supervision, text);
    }
}

void controller_tell_ready(struct controller *controller)
{
    controller->supervision.is_ready_due = true;
    tell_due(controller);
}

void controller_tell_reloading(struct controller *controller)
{
    controller->supervision.is_reloading_due = true;
    controller->supervision.is_ready_due = false;
    controller->supervision.reload_us = monotonic_us();
    tell_due(controller);
}

void controller_tell_stopping(struct controller *controller)
{
    controller->supervision.is_stopping_due = true;
    controller->supervision.is_ready_due = false;
    controller->supervision.is_reloading_due = false;
    tell_due(controller);
}

/* ---- status ---- */

static void append_service(struct buf *text, const struct steward *steward)
{
    const struct rollout *rollout = &steward->engine.rollout;
    if (steward_has_canary(steward)) {
        (void)buf_printf(text, "; %s: %s, canary %g %%", steward->conf->name,
                         rollout_phase_name(rollout->phase), rollout->weight_ppm / 10000.0);
    } else {
        (void)buf_printf(text, "; %s: no canary", steward->conf->name);
    }
}

/* One line; too long for its buffer it is cut, which nobody minds. */
static void write_status(const struct controller *controller, struct buf *text)
{
    size_t count = controller->steward_count;
    (void)buf_printf(text, "STATUS=%zu service%s", count, count == 1 ? "" : "s");
    for (size_t i = 0; i < count && i < STATUS_SERVICES_MAX; i++) {
        append_service(text, controller->stewards[i]);
    }
    if (count > STATUS_SERVICES_MAX) {
        (void)buf_printf(text, "; and %zu more", count - STATUS_SERVICES_MAX);
    }
    (void)buf_append_byte(text, '\0');
}

static void tell_status(struct controller *controller, uint64_t now_us)
{
    struct supervision *supervision = &controller->supervision;
    if (controller->stage != CONTROLLER_SERVING ||
        now_us < supervision->status_us + STATUS_EVERY_US) {
        return;
    }
    supervision->status_us = now_us;
    struct buf text;
    buf_init(&text, sizeof supervision->status);
    write_status(controller, &text);
    const char *status = buf_bytes(&text).data;
    bool is_whole = !text.is_failed;
    if (is_whole && strcmp(status, supervision->status) != 0 && tell(supervision, status)) {
        (void)snprintf(supervision->status, sizeof supervision->status, "%s", status);
    }
    buf_finish(&text);
}

/* ---- the watchdog ---- */

static void tell_silence(struct supervision *supervision, unsigned worker, uint64_t since_us)
{
    bool is_late = since_us >= supervision->notify->watchdog_us;
    if (is_late && !supervision->is_silence_told) {
        supervision->is_silence_told = true;
        log_error("worker %u has made no progress for %.1f s: the service manager's watchdog gets "
                  "no sign of life",
                  worker, (double)since_us / 1e6);
    }
}

static void feed_watchdog(struct controller *controller, uint64_t now_us)
{
    struct supervision *supervision = &controller->supervision;
    uint64_t every_us = supervision->notify->watchdog_us / WATCHDOG_SHARE;
    unsigned silent = 0;
    if (every_us == 0 || now_us < supervision->fed_us + every_us) {
        return;
    }
    if (!crew_has_pulse(controller->crew, &silent)) {
        tell_silence(supervision, silent, now_us - supervision->fed_us);
    } else if (tell(supervision, "WATCHDOG=1")) {
        if (supervision->is_silence_told) {
            supervision->is_silence_told = false;
            log_info("every worker goes on");
        }
        supervision->fed_us = now_us;
        crew_ask_pulse(controller->crew);
    }
}

void controller_supervise_tick(struct controller *controller)
{
    const struct notify *notify = controller->supervision.notify;
    if (notify == NULL || notify->fd < 0) {
        return;
    }
    uint64_t now_us = monotonic_us();
    tell_due(controller);
    tell_status(controller, now_us);
    feed_watchdog(controller, now_us);
}
