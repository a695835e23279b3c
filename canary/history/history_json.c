#include "canary/history/history_json.h"

#include <math.h>
#include <string.h>

#include "proxy/base/buf.h"
#include "proxy/base/clock.h"

json_t *history_text_to_json(const char *text)
{
    if (text == NULL) {
        return json_null();
    }
    json_t *string = json_string(text);
    if (string != NULL) {
        return string;
    }
    struct buf repaired;
    buf_init(&repaired, 8 * (size_t)HISTORY_DETAIL_MAX);
    enum err err = buf_append_json(&repaired, bytes_of(text));
    struct bytes bytes = buf_bytes(&repaired);
    string = err == OK ? json_loadb(bytes.data, bytes.size, JSON_DECODE_ANY, NULL) : NULL;
    buf_finish(&repaired);
    return string;
}

json_t *history_detail_to_json(const char *detail)
{
    if (detail == NULL) {
        return json_null();
    }
    json_t *value = json_loads(detail, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    return value != NULL ? value : history_text_to_json(detail);
}

json_t *history_time_to_json(int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(wall_us, text);
    return json_string(text);
}

json_t *history_seconds_to_json(double seconds)
{
    return isfinite(seconds) ? json_real(seconds) : json_null();
}

static json_t *phases_to_json(const double phase_s[HISTORY_PHASE_COUNT])
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "detect_s",
                     history_seconds_to_json(phase_s[HISTORY_DETECT]), "decide_s",
                     history_seconds_to_json(phase_s[HISTORY_DECIDE]), "shift_s",
                     history_seconds_to_json(phase_s[HISTORY_SHIFT]), "drain_s",
                     history_seconds_to_json(phase_s[HISTORY_DRAIN]), "platform_ack_s",
                     history_seconds_to_json(phase_s[HISTORY_PLATFORM_ACK]), "verify_s",
                     history_seconds_to_json(phase_s[HISTORY_VERIFY]));
}

static json_int_t count_of(uint64_t count)
{
    return count > INT64_MAX ? INT64_MAX : (json_int_t)count;
}

json_t *history_rollback_to_json(const struct history_rollback *rollback)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:I, s:I}, s:o, s:o}",
        "id", history_text_to_json(rollback->id), "service",
        history_text_to_json(rollback->service), "timestamp", history_time_to_json(rollback->at_us),
        "deployment", history_text_to_json(rollback->deployment), "target",
        history_text_to_json(rollback->target), "reason", history_text_to_json(rollback->reason),
        "reason_code", history_text_to_json(rollback->reason_code), "trigger",
        history_text_to_json(rollback->trigger), "actor", history_text_to_json(rollback->actor),
        "mode", history_text_to_json(rollback->mode), "duration_s",
        history_seconds_to_json(rollback->duration_s), "status",
        history_text_to_json(rollback->status), "phases", phases_to_json(rollback->phase_s),
        "bad_responses", "origin", count_of(rollback->bad_origin), "client",
        count_of(rollback->bad_client), "evidence", history_detail_to_json(rollback->evidence),
        "incident", history_text_to_json(rollback->incident));
}
