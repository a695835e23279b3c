/* tests/unit/alert/alerts_bench.h — the room under a turned clock, a journal in memory, commands as
 * channels. */
#pragma once
#include "canary/alert/alerts.h"

enum { BENCH_ROWS_MAX = 64, BENCH_CHANNELS = 2 };

struct bench_row {
    int64_t seq;
    char *body; /* owned */
};

struct bench {
    uv_loop_t loop;
    struct alerts *alerts;
    struct clock clock;
    uint64_t now_us;
    int64_t wall_us;
    struct bench_row rows[BENCH_ROWS_MAX]; /* by seq */
    size_t row_count;
    size_t write_count;
    struct conf conf;
    struct conf_alert channels[BENCH_CHANNELS];
    const char *words[BENCH_CHANNELS][3];
    char script[BENCH_CHANNELS][256];
    char folder[64];
    int is_closed;
};

/* Channel i appends what it is given to the file "i" of the folder, and fails while "fail" is
 * there. */
void bench_init(struct bench *bench, size_t channel_count);
void bench_finish(struct bench *bench);
/* As after a crash: another process with what the journal holds. */
void bench_restart(struct bench *bench);
/* The journal forgets all. */
void bench_lose(struct bench *bench);
void bench_set_failing(struct bench *bench, bool is_failing);
/* Both clocks go on by so much, and the channels are looked at. */
void bench_turn(struct bench *bench, uint64_t us);
/* Runs the loop until the channel has ended so many attempts. */
void bench_wait(struct bench *bench, size_t channel, uint64_t attempts);
/* The channel's messages so far, as a JSON list; freed by the caller. */
json_t *bench_told(struct bench *bench, size_t channel);
/* "firing resolved …" of them. */
const char *bench_states(struct bench *bench, size_t channel, char text[256]);
struct event_facts bench_facts(const char *name);
