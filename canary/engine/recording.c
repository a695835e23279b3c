/* canary/engine/recording.c — see recording.h.
 *
 * Bytes: numbers as base-128 with the low end first, times and counts first, then both latencies
 * as pairs of (buckets since the last one, count) with the number of pairs before them, then the
 * names. */
#include "canary/engine/recording.h"

#include <string.h>

#include "proxy/base/check.h"

enum { FLAG_LANDED = 1, FLAG_CONTAINED = 2 };

static const char *const MARK_NAMES[] = {"none", "step", "start", "rebase"};
_Static_assert(COUNT_OF(MARK_NAMES) == RECORDING_MARK_COUNT, "a name for each mark");

const char *recording_mark_name(enum recording_mark mark)
{
    CHECK(mark < RECORDING_MARK_COUNT);
    return MARK_NAMES[mark];
}

/* ---- bytes ---- */

struct writer {
    char *bytes;
    size_t size;
};

static void put(struct writer *writer, uint64_t value)
{
    do {
        CHECK(writer->size < RECORDING_ROW_MAX);
        unsigned low = (unsigned)(value & 0x7f);
        value >>= 7;
        writer->bytes[writer->size++] = (char)(low | (value > 0 ? 0x80u : 0));
    } while (value > 0);
}

/* Small either way: 0, -1, 1, -2, ... */
static uint64_t zigzag(int64_t value)
{
    return value < 0 ? ((uint64_t)(-(value + 1)) << 1) + 1 : (uint64_t)value << 1;
}

static int64_t unzigzag(uint64_t value)
{
    int64_t half = (int64_t)(value >> 1);
    return (value & 1) != 0 ? -half - 1 : half;
}

static void put_latency(struct writer *writer, const struct histogram *latency)
{
    unsigned pairs = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        pairs += latency->buckets[i] > 0;
    }
    put(writer, pairs);
    unsigned next = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (latency->buckets[i] > 0) {
            put(writer, i - next);
            put(writer, latency->buckets[i]);
            next = i + 1;
        }
    }
}

static void put_counts(struct writer *writer, const struct recording_counts *counts)
{
    put(writer, counts->count);
    put(writer, counts->failed);
    put(writer, counts->connect_failed);
    put(writer, counts->not_found);
    put(writer, counts->client_bad);
}

static void put_name(struct writer *writer, const char *name)
{
    size_t size = strlen(name);
    put(writer, size);
    CHECK(writer->size + size <= RECORDING_ROW_MAX);
    memcpy(writer->bytes + writer->size, name, size);
    writer->size += size;
}

size_t recording_encode(const struct recording_row *row, char ret_bytes[RECORDING_ROW_MAX])
{
    struct writer writer = {ret_bytes, 0};
    put(&writer, row->mark);
    put(&writer, row->at_ms);
    put(&writer, zigzag(row->wall_ms));
    put(&writer, row->weight_ppm);
    put(&writer, (row->is_landed ? FLAG_LANDED : 0) | (row->is_contained ? FLAG_CONTAINED : 0));
    put(&writer, row->phase);
    put(&writer, row->verdict);
    put(&writer, row->reason);
    put_counts(&writer, &row->canary);
    put_counts(&writer, &row->stable);
    put_latency(&writer, &row->canary_latency);
    put_latency(&writer, &row->stable_latency);
    if (row->mark == RECORDING_MARK_REBASE) {
        put_name(&writer, row->current);
        put_name(&writer, row->previous);
    }
    return writer.size;
}

struct reader {
    struct bytes bytes;
    size_t at;
};

static uint64_t take(struct reader *reader)
{
    uint64_t value = 0;
    unsigned shift = 0;
    unsigned byte;
    do {
        CHECK(reader->at < reader->bytes.size);
        CHECK(shift < 64);
        byte = (unsigned char)reader->bytes.data[reader->at++];
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while ((byte & 0x80) != 0);
    return value;
}

static void take_counts(struct reader *reader, struct recording_counts *counts)
{
    counts->count = take(reader);
    counts->failed = take(reader);
    counts->connect_failed = take(reader);
    counts->not_found = take(reader);
    counts->client_bad = take(reader);
}

static void take_latency(struct reader *reader, struct histogram *latency)
{
    uint64_t pairs = take(reader);
    uint64_t bucket = 0;
    for (uint64_t i = 0; i < pairs; i++) {
        bucket += take(reader);
        CHECK(bucket < HISTOGRAM_BUCKETS);
        latency->buckets[bucket++] = take(reader);
    }
}

static void take_name(struct reader *reader, char ret_name[RECORDING_NAME_MAX + 1])
{
    uint64_t size = take(reader);
    CHECK(size <= RECORDING_NAME_MAX);
    CHECK(size <= reader->bytes.size - reader->at);
    memcpy(ret_name, reader->bytes.data + reader->at, size);
    ret_name[size] = '\0';
    reader->at += size;
}

struct recording_front recording_peek(struct bytes bytes)
{
    struct reader reader = {bytes, 0};
    struct recording_front front = {.mark = (enum recording_mark)take(&reader)};
    front.at_ms = take(&reader);
    front.wall_ms = unzigzag(take(&reader));
    return front;
}

void recording_decode(struct bytes bytes, struct recording_row *ret_row)
{
    struct reader reader = {bytes, 0};
    *ret_row = (struct recording_row){.mark = (enum recording_mark)take(&reader)};
    ret_row->at_ms = take(&reader);
    ret_row->wall_ms = unzigzag(take(&reader));
    ret_row->weight_ppm = (uint32_t)take(&reader);
    uint64_t flags = take(&reader);
    ret_row->is_landed = (flags & FLAG_LANDED) != 0;
    ret_row->is_contained = (flags & FLAG_CONTAINED) != 0;
    ret_row->phase = (enum rollout_phase)take(&reader);
    ret_row->verdict = (enum judge_verdict)take(&reader);
    ret_row->reason = (enum judge_reason)take(&reader);
    take_counts(&reader, &ret_row->canary);
    take_counts(&reader, &ret_row->stable);
    take_latency(&reader, &ret_row->canary_latency);
    take_latency(&reader, &ret_row->stable_latency);
    if (ret_row->mark == RECORDING_MARK_REBASE) {
        take_name(&reader, ret_row->current);
        take_name(&reader, ret_row->previous);
    }
    CHECK(reader.at == bytes.size);
}

/* ---- JSON ---- */

static void write_number(struct buf *out, const char *name, uint64_t value)
{
    (void)buf_append(out, bytes_of(name));
    (void)buf_append_u64(out, value);
}

static void write_word(struct buf *out, const char *name, const char *word)
{
    (void)buf_append(out, bytes_of(name));
    (void)buf_append_byte(out, '"');
    (void)buf_append(out, bytes_of(word));
    (void)buf_append_byte(out, '"');
}

static void write_counts(struct buf *out, const char *name, const struct recording_counts *counts)
{
    write_number(out, name, counts->count);
    write_number(out, ",", counts->failed);
    write_number(out, ",", counts->connect_failed);
    write_number(out, ",", counts->not_found);
    write_number(out, ",", counts->client_bad);
    (void)buf_append_byte(out, ']');
}

static void write_latency(struct buf *out, const char *name, const struct histogram *latency)
{
    const char *between = name;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (latency->buckets[i] > 0) {
            write_number(out, between, i);
            write_number(out, ",", latency->buckets[i]);
            between = ",";
        }
    }
    if (between != name) {
        (void)buf_append_byte(out, ']');
    }
}

static void write_name(struct buf *out, const char *name, const char *deployment)
{
    (void)buf_append(out, bytes_of(name));
    (void)(deployment[0] != '\0' ? buf_append_json(out, bytes_of(deployment))
                                 : buf_append(out, BYTES("null")));
}

void recording_write(const struct recording_row *row, struct buf *out)
{
    write_number(out, "{\"row\":", row->number);
    write_number(out, ",\"ms\":", row->at_ms);
    write_number(out, ",\"unix_ms\":", row->wall_ms > 0 ? (uint64_t)row->wall_ms : 0);
    write_number(out, ",\"weight_ppm\":", row->weight_ppm);
    (void)buf_append(out, row->is_landed ? BYTES(",\"landed\":true") : BYTES(",\"landed\":false"));
    (void)buf_append(out, row->is_contained ? BYTES(",\"contained\":true")
                                            : BYTES(",\"contained\":false"));
    write_word(out, ",\"phase\":", rollout_phase_name(row->phase));
    write_word(out, ",\"verdict\":", judge_verdict_name(row->verdict));
    write_word(out, ",\"reason\":", judge_reason_name(row->reason));
    write_counts(out, ",\"canary\":[", &row->canary);
    write_counts(out, ",\"stable\":[", &row->stable);
    write_latency(out, ",\"canary_latency\":[", &row->canary_latency);
    write_latency(out, ",\"stable_latency\":[", &row->stable_latency);
    if (row->mark != RECORDING_MARK_NONE) {
        write_word(out, ",\"mark\":", recording_mark_name(row->mark));
    }
    if (row->mark == RECORDING_MARK_REBASE) {
        write_name(out, ",\"current\":", row->current);
        write_name(out, ",\"previous\":", row->previous);
    }
    (void)buf_append(out, BYTES("}\n"));
}
