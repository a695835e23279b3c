#include "canary/incident/failure_line.h"

#include <inttypes.h>
#include <stdlib.h>

#include "canary/incident/incident.h"
#include "proxy/base/clock.h"

static void put_text(struct buf *out, const char *key, struct bytes text)
{
    (void)buf_printf(out, ",\"%s\":", key);
    if (text.size == 0) {
        (void)buf_append(out, BYTES("null"));
    } else {
        (void)buf_append_json(out, text);
    }
}

/* Milliseconds, or null for what did not happen. */
static void put_time(struct buf *out, const char *key, int64_t value_us)
{
    if (value_us < 0) {
        (void)buf_printf(out, ",\"%s\":null", key);
    } else {
        (void)buf_printf(out, ",\"%s\":%" PRId64 ".%03d", key, value_us / 1000,
                         (int)(value_us % 1000));
    }
}

static void put_count(struct buf *out, const char *key, int64_t value)
{
    if (value < 0) {
        (void)buf_printf(out, ",\"%s\":null", key);
    } else {
        (void)buf_printf(out, ",\"%s\":%" PRId64, key, value);
    }
}

static void put_status(struct buf *out, const char *key, unsigned status)
{
    put_count(out, key, status != 0 ? (int64_t)status : -1);
}

static void put_answer(struct buf *out, const char *key, const struct failure_answer *answer)
{
    (void)buf_printf(out, ",\"%s\":{\"answered\":%s", key, answer->status != 0 ? "true" : "false");
    put_status(out, "status", answer->status);
    put_status(out, "grpc_status", answer->grpc_status);
    put_count(out, "bytes", answer->size);
    put_time(out, "connect_ms", answer->connect_us);
    put_time(out, "head_ms", answer->first_byte_us);
    put_time(out, "total_ms", answer->total_us);
    (void)buf_append(out, BYTES("}"));
}

static void put_all(struct buf *out, const struct failure_record *record, bool has_heads)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(record->wall_us, time);
    (void)buf_printf(out, "{\"timestamp\":\"%s\"", time);
    put_text(out, "method", record->method);
    put_text(out, "path", record->path);
    put_text(out, "deployment", record->deployment);
    put_text(out, "endpoint", record->endpoint);
    put_text(out, "failure",
             record->kind < METRIC_FAILURE_COUNT ? metric_failure_text(record->kind) : BYTES(""));
    put_text(out, "error", record->error);
    put_text(out, "request_id", record->request_id);
    put_count(out, "bucket", record->has_bucket ? (int64_t)record->bucket : -1);
    put_status(out, "client_status", record->client_status);
    (void)buf_printf(out, ",\"client_bad\":%s,\"rescued\":%s,\"stale\":%s",
                     record->is_bad_for_client ? "true" : "false",
                     record->is_rescued ? "true" : "false",
                     record->is_from_cache ? "true" : "false");
    put_count(out, "request_bytes", (int64_t)record->request_bytes);
    put_count(out, "response_bytes", (int64_t)record->response_bytes);
    put_time(out, "queue_ms", record->queue_us);
    put_time(out, "total_ms", record->total_us);
    put_answer(out, "canary", &record->canary);
    if (record->is_rescued) {
        put_answer(out, "stable", &record->stable);
    } else {
        (void)buf_append(out, BYTES(",\"stable\":null"));
    }
    put_text(out, "request_head", has_heads ? record->request_head : BYTES(""));
    put_text(out, "response_head", has_heads ? record->response_head : BYTES(""));
    (void)buf_append(out, BYTES("}\n"));
}

char *failure_line_make(const struct failure_record *record)
{
    struct buf out;
    buf_init(&out, INCIDENT_LINE_MAX - 1);
    put_all(&out, record, true);
    if (out.is_failed) {
        buf_clear(&out);
        put_all(&out, record, false);
    }
    (void)buf_append_byte(&out, '\0');
    char *text = !out.is_failed ? strdup(buf_bytes(&out).data) : NULL;
    buf_finish(&out);
    return text;
}
