/* canary/engine/recording.h — one row of a flight recording: what was counted, and what held then.
 *
 * A row says what was counted since the row before it: rows can be dropped from the front, and what
 * is left still says what it says. It has two forms: bytes for the recorder's ring (some 20 without
 * traffic, 100 to 200 with), and a line of JSON for whoever asks (docs/OPERATING.md has the
 * format). Latencies keep every bucket of the histogram, because the judge's thresholds lie on
 * them. Pure; any thread. */
#pragma once
#include "canary/engine/rollout.h"
#include "metrics/histogram.h"
#include "proxy/base/buf.h"

enum {
    RECORDING_VERSION = 1,
    RECORDING_NAME_MAX = 128,  /* bytes of a deployment's name */
    RECORDING_ROW_MAX = 8192,  /* bytes of an encoded row: more than any takes */
    RECORDING_LINE_MAX = 16384 /* bytes of a row as JSON: the same */
};

/* What the judge was told when the row ended: it holds from there on. */
enum recording_mark {
    RECORDING_MARK_NONE,
    RECORDING_MARK_STEP,   /* the weight changed */
    RECORDING_MARK_START,  /* evidence began anew */
    RECORDING_MARK_REBASE, /* other versions: all began anew, and the row names them */
    RECORDING_MARK_COUNT
};

struct recording_counts {
    uint64_t count, failed, connect_failed; /* as the judge reads them */
    uint64_t not_found;                     /* 404s among those that did not fail */
    uint64_t client_bad;                    /* bad answers that clients saw */
};

struct recording_row {
    uint64_t number; /* rises by one with each row; not in the bytes */
    uint64_t at_ms;  /* when it ended, since the recording began; never less than the row before */
    int64_t wall_ms; /* the same by the wall's clock */
    uint32_t weight_ppm;
    bool is_landed; /* ... in every worker */
    bool is_contained;
    enum rollout_phase phase;
    enum judge_verdict verdict;
    enum judge_reason reason;
    enum recording_mark mark;
    struct recording_counts canary, stable;
    struct histogram canary_latency, stable_latency; /* sums are not kept */
    char current[RECORDING_NAME_MAX + 1];            /* with RECORDING_MARK_REBASE; "": none */
    char previous[RECORDING_NAME_MAX + 1];
};

/* "none", "step", "start", "rebase"; static. */
const char *recording_mark_name(enum recording_mark mark);

/* Writes the row's bytes; returns how many, RECORDING_ROW_MAX at most. */
size_t recording_encode(const struct recording_row *row, char ret_bytes[RECORDING_ROW_MAX]);
/* Reads what recording_encode wrote: the bytes are the recorder's own, and CHECKed. `number` is
 * left at 0. */
void recording_decode(struct bytes bytes, struct recording_row *ret_row);

enum { RECORDING_FRONT_MAX = 32 };

/* What stands in the first RECORDING_FRONT_MAX bytes of a row, or in all if it has less. */
struct recording_front {
    enum recording_mark mark;
    uint64_t at_ms;
    int64_t wall_ms;
};
struct recording_front recording_peek(struct bytes bytes);

/* Appends the row as one line of JSON with its newline. The buf says whether it fitted. */
void recording_write(const struct recording_row *row, struct buf *out);
