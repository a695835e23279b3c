/* canary/controller/recorder.h — a service's flight recorder: what was counted, second by second,
 * for the last hours.
 *
 * Every tick it is shown the readings that the judge got; once a second, and whenever the weight,
 * the phase or the verdict changes or the judge is told something, it closes a row (see
 * canary/engine/recording.h). Rows stand in a ring of bytes whose size and age are bounded; the
 * oldest go first. The ring is memory alone, taken when the recorder is made and touched as it
 * fills: recording waits for nothing and cannot fail. Nothing of it outlives the process. Control
 * only. */
#pragma once
#include "canary/engine/recording.h"
#include "metrics/reading.h"

enum { RECORDER_SIZE_MIN = 64 * 1024 };

struct recorder;

/* Rows older than `keep_us` or beyond `size` bytes (RECORDER_SIZE_MIN at least) are dropped.
 * ERR_NOMEM. */
MUST_USE enum err recorder_create(uint64_t keep_us, size_t size, struct recorder **ret_recorder);
void recorder_destroy(struct recorder *recorder); /* NULL is fine */
/* Other bounds; the newest rows that fit are kept. ERR_NOMEM: it stays as it was. */
MUST_USE enum err recorder_resize(struct recorder *recorder, uint64_t keep_us, size_t size);

/* What a tick saw. Texts and readings are borrowed during the call. */
struct recorder_look {
    uint64_t now_us;
    int64_t wall_us;
    const struct version_reading *canary, *stable;
    const char *current, *previous; /* deployments */
    uint32_t weight_ppm;
    bool is_landed;
    bool is_contained;
    enum rollout_phase phase;
    enum judge_verdict verdict;
    enum judge_reason reason;
};

void recorder_look(struct recorder *recorder, const struct recorder_look *look);
/* The judge was told something after the last look. After RECORDING_MARK_REBASE the next look's
 * readings are only a base; the names are those of the versions from then on. */
void recorder_mark(struct recorder *recorder, enum recording_mark mark, const char *current,
                   const char *previous);

/* ---- reading ---- */

struct recorder_facts {
    uint64_t first, last;  /* row numbers; last < first: there are none */
    int64_t begun_wall_us; /* tells one recording from another of the same service */
    const char *current;   /* deployments when `first` began; "": none */
    const char *previous;  /* borrowed until the next look */
    size_t used, size;     /* bytes */
};
struct recorder_facts recorder_facts(const struct recorder *recorder);

/* Appends the rows numbered above `after`, oldest first, as lines: at most `row_max` of them, and
 * none that begins beyond `size_max` bytes. Returns the number of the last one written (`after`
 * where there was none); `ret_count` rows. A bounded amount of work: about a millisecond for 1,000
 * rows. The buf says whether all fitted. */
uint64_t recorder_write(const struct recorder *recorder, uint64_t after, size_t row_max,
                        size_t size_max, struct buf *out, size_t *ret_count);
/* The number before the first row that ended at `wall_us` or later: what to give to recorder_write;
 * the last row's number where none is. */
uint64_t recorder_find(const struct recorder *recorder, int64_t wall_us);
/* The deployments that held when row `number` began; "": none. Borrows until the next look. */
void recorder_names(const struct recorder *recorder, uint64_t number,
                    char ret_current[RECORDING_NAME_MAX + 1],
                    char ret_previous[RECORDING_NAME_MAX + 1]);
