/* canary/controller/recording.c — flight recordings: kept by each steward, shown as lines of JSON.
 *
 * A document is a line that says what it is, a line for each row, and a line that says how many
 * there were and after which row to ask for more. Documents of one recording that follow each other
 * are the recording. */
#include <stdlib.h>

#include "canary/controller/controller_state.h"
#include "canary/policy/policy.h"
#include "conf/conf_policy.h"

_Static_assert((int)CONF_DEPLOYMENT_MAX <= (int)RECORDING_NAME_MAX, "names fit into a row");

enum { PAGE_SIZE_MAX = 1024 * 1024 };

enum err steward_record(struct steward *steward, const struct conf_recorder *conf)
{
    if (!conf->is_on) {
        recorder_destroy(steward->recorder);
        steward->recorder = NULL;
        return OK;
    }
    if (steward->recorder != NULL) {
        return recorder_resize(steward->recorder, conf->keep_us, conf->size);
    }
    return recorder_create(conf->keep_us, conf->size, &steward->recorder);
}

void steward_record_look(struct steward *steward, uint64_t now_us, int64_t wall_us)
{
    if (steward->recorder == NULL) {
        return;
    }
    struct recorder_look look = {
        .now_us = now_us,
        .wall_us = wall_us,
        .canary = &steward->versions[ROLE_CURRENT].reading,
        .stable = &steward->versions[ROLE_PREVIOUS].reading,
        .current = steward_deployment(steward, ROLE_CURRENT),
        .previous = steward_deployment(steward, ROLE_PREVIOUS),
        .weight_ppm = steward->published_ppm,
        .is_landed = steward->landed_revision == steward->published_revision,
        .is_contained = steward_contained_count(steward) > 0,
        .phase = steward->engine.rollout.phase,
        .verdict = steward->engine.finding.verdict,
        .reason = steward->engine.finding.reason,
    };
    recorder_look(steward->recorder, &look);
}

static json_t *policies_to_json(const struct conf_service *conf)
{
    struct conf_policy own = conf_policy_own(&conf->rollback);
    json_t *list = json_array();
    bool is_whole = list != NULL && json_array_append_new(list, policy_to_json(&own)) == 0;
    for (size_t i = 0; i < conf->observe_count && is_whole; i++) {
        is_whole = json_array_append_new(list, policy_to_json(&conf->observe[i])) == 0;
    }
    if (!is_whole) {
        json_decref(list);
        return NULL;
    }
    return list;
}

static json_t *shift_to_json(const struct conf_rollback *conf)
{
    json_t *list = json_array();
    for (size_t i = 0; i < conf->shift_count && list != NULL; i++) {
        if (json_array_append_new(list, json_integer(conf->shift_ppm[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *name_to_json(const char *name)
{
    return name[0] != '\0' ? json_string(name) : json_null();
}

static enum err write_head(const struct steward *steward, uint64_t after, struct buf *out)
{
    struct recorder_facts facts = recorder_facts(steward->recorder);
    const struct conf_rollback *rollback = &steward->conf->rollback;
    char current[RECORDING_NAME_MAX + 1];
    char previous[RECORDING_NAME_MAX + 1];
    recorder_names(steward->recorder, after + 1, current, previous);
    json_t *head = json_pack("{s:i, s:s, s:I, s:o, s:o, s:o, s:o, s:I, s:I}", "serin_recording",
                             RECORDING_VERSION, "service", steward->conf->name, "begun_unix_ms",
                             (json_int_t)(facts.begun_wall_us / 1000), "current",
                             name_to_json(current), "previous", name_to_json(previous), "policies",
                             policies_to_json(steward->conf), "shift_ppm", shift_to_json(rollback),
                             "every_ms", (json_int_t)(rollback->every_us / 1000), "not_found_ppm",
                             (json_int_t)steward->conf->failures.not_found_ppm);
    char *text = head != NULL ? json_dumps(head, JSON_COMPACT) : NULL;
    json_decref(head);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    (void)buf_append(out, bytes_of(text));
    (void)buf_append_byte(out, '\n');
    free(text);
    return OK;
}

/* `is_last`: what comes after these rows is not part of it. */
static enum err write_document(const struct steward *steward, uint64_t after, size_t row_max,
                               bool is_last, struct buf *out)
{
    enum err err = write_head(steward, after, out);
    if (err != OK) {
        return err;
    }
    size_t count = 0;
    uint64_t last = recorder_write(steward->recorder, after, row_max, PAGE_SIZE_MAX, out, &count);
    (void)buf_printf(out, "{\"rows\":%zu,\"next\":", count);
    if (!is_last && count > 0 && last < recorder_facts(steward->recorder).last) {
        (void)buf_append_u64(out, last);
    } else {
        (void)buf_append(out, BYTES("null"));
    }
    (void)buf_append(out, BYTES("}\n"));
    return out->is_failed ? ERR_NOMEM : OK;
}

enum err view_recording(void *context, const struct admin_recording *page, struct buf *out)
{
    const struct steward *steward = controller_find(context, page->service);
    if (steward == NULL) {
        return ERR_NOT_FOUND;
    }
    if (steward->recorder == NULL) {
        return ERR_STATE;
    }
    uint64_t since =
        page->since_us > 0 ? recorder_find(steward->recorder, page->since_us) : page->after;
    uint64_t after = since > page->after ? since : page->after;
    return write_document(steward, after, page->row_max, false, out);
}

enum err controller_recording_around(const struct steward *steward, int64_t wall_us,
                                     uint64_t before_us, uint64_t after_us, struct buf *out)
{
    if (steward->recorder == NULL) {
        return ERR_STATE;
    }
    uint64_t first = recorder_find(steward->recorder, wall_us - (int64_t)before_us);
    uint64_t end = recorder_find(steward->recorder, wall_us + (int64_t)after_us);
    uint64_t most = end >= first ? end - first + 1 : 1;
    return write_document(
        steward, first, most < ADMIN_RECORDING_MAX ? (size_t)most : ADMIN_RECORDING_MAX, true, out);
}
