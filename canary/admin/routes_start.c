/* The route that starts a rollout. */
#include <stdio.h>

#include "canary/admin/body.h"
#include "canary/admin/precondition.h"
#include "canary/admin/routes.h"
#include "conf/conf_value.h"
#include "proxy/base/check.h"

/* The request's lists, as the op is given them. */
struct lists {
    const char *urls[CONF_ENDPOINTS_MAX];
    uint32_t steps_ppm[CONF_STEPS_MAX];
};

/* "5%", "pause", or a percentage as for the weight. */
static bool read_step(const json_t *step, uint32_t *ret_step_ppm, struct note *note)
{
    char number[32];
    if (json_is_number(step)) {
        (void)snprintf(number, sizeof number, "%.10g%%", json_number_value(step));
        return conf_step_parse(bytes_of(number), note, ret_step_ppm) == OK;
    }
    if (json_is_string(step)) {
        return conf_step_parse(bytes_of(json_string_value(step)), note, ret_step_ppm) == OK;
    }
    note_set(note, "is neither a rate as in 5%% nor the word pause");
    return false;
}

static bool read_steps(struct admin_call *call, const json_t *steps, struct lists *lists,
                       struct admin_start *start)
{
    size_t index;
    json_t *step;
    size_t count = json_array_size(steps);
    if (steps != NULL && (count == 0 || count > CONF_STEPS_MAX)) {
        call_problem(call, 422, "steps", "\"steps\" has 1 to %d elements.", CONF_STEPS_MAX);
        return false;
    }
    json_array_foreach(steps, index, step)
    {
        struct note note = {""};
        if (!read_step(step, &lists->steps_ppm[index], &note)) {
            call_problem(call, 422, "steps", "Step %zu %s.", index + 1, note.text);
            return false;
        }
    }
    start->steps_ppm = lists->steps_ppm;
    start->step_count = count;
    return true;
}

static bool read_endpoints(struct admin_call *call, const json_t *endpoints, struct lists *lists,
                           struct admin_start *start)
{
    size_t index;
    json_t *url;
    size_t count = json_array_size(endpoints);
    if (count == 0 || count > CONF_ENDPOINTS_MAX) {
        call_problem(call, 422, "endpoints", "\"endpoints\" has 1 to %d elements.",
                     CONF_ENDPOINTS_MAX);
        return false;
    }
    json_array_foreach(endpoints, index, url)
    {
        if (!json_is_string(url) || json_string_length(url) > BODY_STRING_MAX) {
            call_problem(call, 422, "endpoints", "Endpoint %zu is not a URL.", index + 1);
            return false;
        }
        lists->urls[index] = json_string_value(url);
    }
    start->url_count = count;
    start->url_field = "endpoints";
    return true;
}

static bool read_place(struct admin_call *call, const json_t *url, const json_t *endpoints,
                       struct lists *lists, struct admin_start *start)
{
    if ((url != NULL) == (endpoints != NULL)) {
        call_problem(call, 422, "url",
                     "Either \"url\" or \"endpoints\" must say where the "
                     "deployment is.");
        return false;
    }
    start->urls = lists->urls;
    if (endpoints != NULL) {
        return read_endpoints(call, endpoints, lists, start);
    }
    lists->urls[0] = json_string_value(url);
    start->url_count = 1;
    start->url_field = "url";
    return true;
}

void route_start_rollout(struct admin_call *call)
{
    enum { DEPLOYMENT, URL, ENDPOINTS, STEPS, COUNT };
    struct body_member members[COUNT] = {
        [DEPLOYMENT] = {"deployment", BODY_STRING, false, NULL},
        [URL] = {"url", BODY_STRING, false, NULL},
        [ENDPOINTS] = {"endpoints", BODY_ARRAY, false, NULL},
        [STEPS] = {"steps", BODY_ARRAY, false, NULL},
    };
    json_t *document = NULL;
    if (!body_read(call, members, COUNT, &document)) {
        return;
    }
    struct lists lists;
    char fingerprint[PRECONDITION_FINGERPRINT_SIZE];
    precondition_fingerprint(call, fingerprint);
    struct admin_start start = {
        .service = call->parameters[0],
        .deployment = json_string_value(members[DEPLOYMENT].value),
        .fingerprint = fingerprint,
        .actor = call->actor,
    };
    bool is_sound =
        read_place(call, members[URL].value, members[ENDPOINTS].value, &lists, &start) &&
        read_steps(call, members[STEPS].value, &lists, &start) &&
        precondition_key(call, &start.key) &&
        precondition_revision(call, &start.has_revision, &start.revision);
    if (is_sound) {
        call->admin->options.ops->start(call->admin->options.context, call, &start);
    }
    json_decref(document);
}
