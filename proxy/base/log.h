/* proxy/base/log.h — what the process tells its operator, on standard error.
 *
 * One line per event: time, level, then `text`; to systemd's journal, its priority in place of the
 * time. The calling thread formats into a bounded ring and
 * returns; a thread of the log's own writes it out, so that a blocked terminal or a stalled disk
 * delays nobody. When the ring is full the line is dropped and counted. Before log_start and after
 * log_stop lines are written directly (the CLI never starts it). Upper rooms log, lower rooms
 * return errors. Any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/err.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* Starts the writer thread; ERR_NOMEM or ERR_IO leave direct writing in place. Control, once. */
MUST_USE enum err log_start(void);
/* Writes out what is queued (waits at most `wait_ms`) and ends the thread. Control. */
void log_stop(unsigned wait_ms);
/* Lines below `level` are not formatted. Default LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
/* Lines that found the ring full since the start. */
uint64_t log_dropped_count(void);

#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
