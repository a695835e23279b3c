/* tests/unit/history/history_bench.h — a history on a real file in a folder of its own, and words
 * to play with it. */
#pragma once
#include "canary/history/history.h"

struct bench {
    uv_loop_t loop;
    struct history *history;
    struct history_options options;
    char folder[64];
    char path[96];
    int written_count; /* callbacks of writes so far */
    enum err written;  /* the last one's */
    int read_count;
    enum err read;
    json_t *result; /* the last read's, owned */
    int is_closed;
};

void bench_init(struct bench *bench);
/* Closes what is open and takes the folder away. */
void bench_finish(struct bench *bench);
void bench_open(struct bench *bench);
void bench_close(struct bench *bench);
void bench_reopen(struct bench *bench);
/* Runs the loop until the queue is empty or the file fails. */
void bench_settle(struct bench *bench);

void on_written(void *context, enum err err);
void on_read(void *context, enum err err, json_t *result);
/* Runs the loop until one more callback has come, gives what it said. */
enum err wait_written(struct bench *bench);
enum err wait_read(struct bench *bench);

struct history_service a_service(const char *name, uint32_t weight_ppm);
struct history_rollback a_rollback(const char *id, const char *status);
struct history_audit an_audit(const char *action, const char *detail);
/* Writes and waits until it is on the disk. */
enum err write_durably(struct bench *bench, const struct history_change *change);
/* Asserts that the chain is whole and returns its rows. */
long long intact_rows(struct bench *bench);
/* Runs SQL on the file from outside. */
void tamper(struct bench *bench, const char *sql);
