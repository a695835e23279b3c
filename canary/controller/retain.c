/* canary/controller/retain.c — once an hour, and at the start: has the history take out what is
 * older than `history.keep`. A failure is a condition of the history's until the next try. */
#include "canary/controller/controller_state.h"
#include "proxy/base/log.h"

#define RETAIN_US UINT64_C(3600000000)

static void on_retained(void *context, enum err err, json_t *result)
{
    struct controller *controller = context;
    bool has_more = json_is_true(json_object_get(result, "has_more"));
    controller->retain_us = controller->loop->now_us + (has_more ? 0 : RETAIN_US);
    if (err == OK && json_integer_value(json_object_get(result, "rows")) > 0) {
        log_info("history: %lld rows older than history.keep are now in %s",
                 (long long)json_integer_value(json_object_get(result, "rows")),
                 json_string_value(json_object_get(result, "path")));
    }
}

void controller_retain_tick(struct controller *controller)
{
    uint64_t keep_us = controller->base->conf->history.keep_us;
    if (keep_us == 0 || controller->loop->now_us < controller->retain_us) {
        return;
    }
    controller->retain_us = controller->loop->now_us + RETAIN_US;
    int64_t now_us = clock_wall_us(controller->clock);
    enum err err = history_retain(controller->history, now_us - (int64_t)keep_us, now_us,
                                  on_retained, controller);
    if (err != OK && err != ERR_EXISTS) {
        log_error("history: old rows stay: %s", err_text(err));
    }
}
