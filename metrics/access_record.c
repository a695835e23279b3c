#include "metrics/access_record.h"

#include <time.h>

#include "proxy/base/clock.h"

static void append(struct buf *line, struct bytes text)
{
    (void)buf_append(line, text);
}

/* --- JSON ----------------------------------------------------------------------------------- */

static bool is_plain_json(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\') {
            return false;
        }
    }
    return true;
}

/* Nearly all strings need no escape: they are copied in one piece. */
static void append_json_text(struct buf *line, struct bytes text)
{
    if (!is_plain_json(text)) {
        (void)buf_append_json(line, text);
        return;
    }
    append(line, BYTES("\""));
    append(line, text);
    append(line, BYTES("\""));
}

static void json_text(struct buf *line, struct bytes key, struct bytes text)
{
    append(line, key);
    if (text.size == 0) {
        append(line, BYTES("null"));
    } else {
        append_json_text(line, text);
    }
}

static void json_count(struct buf *line, struct bytes key, uint64_t value)
{
    append(line, key);
    (void)buf_append_u64(line, value);
}

/* Seconds with six digits after the point. */
static void json_seconds(struct buf *line, struct bytes key, uint64_t value_us)
{
    char fraction[7] = {'.'};
    uint64_t rest = value_us % 1000000;
    for (size_t i = sizeof fraction - 1; i > 0; i--) {
        fraction[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    append(line, key);
    (void)buf_append_u64(line, value_us / 1000000);
    append(line, bytes_make(fraction, sizeof fraction));
}

static struct bytes role_text(const struct access_record *record)
{
    bool is_routed = record->role < METRIC_ROLE_COUNT;
    return is_routed ? metric_role_text(record->role) : BYTES("");
}

static struct bytes failure_text(const struct access_record *record)
{
    bool has_failed = record->failure < METRIC_FAILURE_COUNT;
    return has_failed ? metric_failure_text(record->failure) : BYTES("");
}

static struct bytes cache_text(const struct access_record *record)
{
    return record->cache < METRIC_CACHE_COUNT ? metric_cache_text(record->cache) : BYTES("");
}

static void json_status(struct buf *line, unsigned status)
{
    if (status == 0) {
        append(line, BYTES(",\"status\":null"));
    } else {
        json_count(line, BYTES(",\"status\":"), status);
    }
}

static void json_grpc_status(struct buf *line, int status)
{
    if (status < 0) {
        append(line, BYTES(",\"grpc_status\":null"));
    } else {
        json_count(line, BYTES(",\"grpc_status\":"), (uint64_t)status);
    }
}

static struct bytes ending_text(enum access_ending ending)
{
    switch (ending) {
    case ACCESS_ENDING_MOVED:
        return BYTES("moved");
    case ACCESS_ENDING_CUT:
        return BYTES("cut");
    case ACCESS_ENDING_DRAINED:
        return BYTES("drained");
    case ACCESS_ENDING_NONE:
    case ACCESS_ENDING_COUNT:
        break;
    }
    return BYTES("");
}

static void json_upstream(struct buf *line, const struct access_record *record)
{
    json_text(line, BYTES(",\"endpoint\":"), record->endpoint);
    json_count(line, BYTES(",\"attempts\":"), record->attempts);
    json_text(line, BYTES(",\"failure\":"), failure_text(record));
    append(line, record->is_rescued ? BYTES(",\"rescued\":true") : BYTES(",\"rescued\":false"));
    json_text(line, BYTES(",\"ended\":"), ending_text(record->ending));
    json_text(line, BYTES(",\"cache\":"), cache_text(record));
    if (record->upstream_duration_us < 0) {
        append(line, BYTES(",\"upstream_duration_s\":null"));
    } else {
        json_seconds(line, BYTES(",\"upstream_duration_s\":"),
                     (uint64_t)record->upstream_duration_us);
    }
}

void access_record_write_json(const struct access_record *record, struct buf *line)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(record->wall_us, time);
    json_text(line, BYTES("{\"time\":"), bytes_of(time));
    json_text(line, BYTES(",\"client\":"), record->client);
    json_text(line, BYTES(",\"method\":"), record->method);
    json_text(line, BYTES(",\"target\":"), record->target);
    json_text(line, BYTES(",\"protocol\":"), record->protocol);
    json_text(line, BYTES(",\"host\":"), record->host);
    json_status(line, record->status);
    json_grpc_status(line, record->grpc_status);
    json_count(line, BYTES(",\"request_bytes\":"), record->request_bytes);
    json_count(line, BYTES(",\"response_bytes\":"), record->response_bytes);
    json_seconds(line, BYTES(",\"duration_s\":"), record->duration_us);
    json_text(line, BYTES(",\"service\":"), record->service);
    json_text(line, BYTES(",\"role\":"), role_text(record));
    json_upstream(line, record);
    json_text(line, BYTES(",\"request_id\":"), record->request_id);
    json_text(line, BYTES(",\"referer\":"), record->referer);
    json_text(line, BYTES(",\"user_agent\":"), record->user_agent);
    append(line, BYTES("}\n"));
}

/* --- combined ------------------------------------------------------------------------------- */

static bool is_plain_combined(unsigned char byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static void append_hex(struct buf *line, unsigned char byte)
{
    static const char digits[] = "0123456789ABCDEF";
    const char escape[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    append(line, bytes_make(escape, sizeof escape));
}

static void combined_text(struct buf *line, struct bytes text)
{
    if (text.size == 0) {
        append(line, BYTES("-"));
        return;
    }
    size_t start = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (!is_plain_combined(byte)) {
            append(line, bytes_slice(text, start, i - start));
            append_hex(line, byte);
            start = i + 1;
        }
    }
    append(line, bytes_slice(text, start, text.size - start));
}

/* [23/Nov/2026:05:25:00 +0000], whatever the locale. */
static void combined_time(struct buf *line, int64_t wall_us)
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;
    if (gmtime_r(&seconds, &tm) == NULL) {
        append(line, BYTES("[-]"));
        return;
    }
    (void)buf_printf(line, "[%02d/%s/%04d:%02d:%02d:%02d +0000]", tm.tm_mday, months[tm.tm_mon],
                     tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void combined_request_line(struct buf *line, const struct access_record *record)
{
    append(line, BYTES("\""));
    combined_text(line, record->method);
    if (record->method.size > 0) {
        append(line, BYTES(" "));
        combined_text(line, record->target);
        append(line, BYTES(" "));
        combined_text(line, record->protocol);
    }
    append(line, BYTES("\""));
}

void access_record_write_combined(const struct access_record *record, struct buf *line)
{
    combined_text(line, record->client);
    append(line, BYTES(" - - "));
    combined_time(line, record->wall_us);
    append(line, BYTES(" "));
    combined_request_line(line, record);
    (void)buf_printf(line, " %03u ", record->status);
    (void)buf_append_u64(line, record->response_bytes);
    append(line, BYTES(" \""));
    combined_text(line, record->referer);
    append(line, BYTES("\" \""));
    combined_text(line, record->user_agent);
    append(line, BYTES("\"\n"));
}
