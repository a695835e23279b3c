#include "proxy/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "proxy/base/check.h"
#include "proxy/base/clock.h"

enum { LINE_MAX_SIZE = 2048, RING_SIZE = 256 * 1024 };

/* The lock is held for a memcpy, never for a system call. */
static struct {
    pthread_mutex_t lock; /* rank 9: a leaf, nothing is locked under it */
    pthread_cond_t has_work;
    pthread_cond_t has_drained;
    pthread_t thread;
    char *ring; /* owned while running */
    size_t head, tail;
    bool is_running;
    bool is_stopping;
    bool has_finished;
    uint64_t dropped;
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_int least_level = LOG_LEVEL_INFO;
static atomic_bool is_to_journal;

static void write_all(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, data, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return;
        }
        data += written;
        size -= (size_t)written;
    }
}

static size_t copy_out(char *to, size_t limit)
{
    size_t size = logger.head - logger.tail;
    size = size < limit ? size : limit;
    for (size_t i = 0; i < size; i++) {
        to[i] = logger.ring[(logger.tail + i) % RING_SIZE];
    }
    logger.tail += size;
    return size;
}

static void *run(void *unused)
{
    (void)unused;
    char chunk[8192];
    pthread_mutex_lock(&logger.lock);
    for (;;) {
        while (logger.head == logger.tail && !logger.is_stopping) {
            pthread_cond_wait(&logger.has_work, &logger.lock);
        }
        size_t size = copy_out(chunk, sizeof chunk);
        if (size == 0) {
            break;
        }
        pthread_mutex_unlock(&logger.lock);
        write_all(chunk, size);
        pthread_mutex_lock(&logger.lock);
    }
    logger.has_finished = true;
    pthread_cond_signal(&logger.has_drained);
    pthread_mutex_unlock(&logger.lock);
    return NULL;
}

/* Whether standard error is what systemd has connected to its journal: $JOURNAL_STREAM names device
 * and inode of that, and stays in the environment when somebody leads it elsewhere. */
static bool finds_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    if (stream == NULL || fstat(STDERR_FILENO, &status) != 0) {
        return false;
    }
    char ours[64];
    (void)snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)status.st_dev,
                   (uintmax_t)status.st_ino);
    return strcmp(stream, ours) == 0;
}

enum err log_start(void)
{
    CHECK(!logger.is_running);
    atomic_store_explicit(&is_to_journal, finds_journal(), memory_order_relaxed);
    logger.ring = malloc(RING_SIZE);
    if (logger.ring == NULL) {
        return ERR_NOMEM;
    }
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&logger.has_work, NULL);
    (void)pthread_cond_init(&logger.has_drained, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    logger.head = logger.tail = 0;
    logger.is_stopping = logger.has_finished = false;
    if (pthread_create(&logger.thread, NULL, run, NULL) != 0) {
        free(logger.ring);
        logger.ring = NULL;
        return ERR_IO;
    }
    pthread_mutex_lock(&logger.lock);
    logger.is_running = true;
    pthread_mutex_unlock(&logger.lock);
    return OK;
}

void log_stop(unsigned wait_ms)
{
    pthread_mutex_lock(&logger.lock);
    if (!logger.is_running) {
        pthread_mutex_unlock(&logger.lock);
        return;
    }
    logger.is_running = false;
    logger.is_stopping = true;
    pthread_cond_signal(&logger.has_work);
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    int status = 0;
    while (!logger.has_finished && status == 0) {
        status = pthread_cond_timedwait(&logger.has_drained, &logger.lock, &until);
    }
    bool has_finished = logger.has_finished;
    pthread_mutex_unlock(&logger.lock);
    /* A writer stuck in write(2) is left behind with its ring: the process is ending anyway. */
    if (has_finished) {
        (void)pthread_join(logger.thread, NULL);
        free(logger.ring);
        logger.ring = NULL;
    } else {
        (void)pthread_detach(logger.thread);
    }
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&least_level, (int)level, memory_order_relaxed);
}

/* Returns false when nobody runs the ring. */
static bool enqueue(const char *line, size_t size)
{
    pthread_mutex_lock(&logger.lock);
    bool is_running = logger.is_running;
    if (is_running && RING_SIZE - (logger.head - logger.tail) >= size) {
        for (size_t i = 0; i < size; i++) {
            logger.ring[(logger.head + i) % RING_SIZE] = line[i];
        }
        logger.head += size;
        pthread_cond_signal(&logger.has_work);
    } else if (is_running) {
        logger.dropped++;
    }
    pthread_mutex_unlock(&logger.lock);
    return is_running;
}

/* What a line begins with; the journal has times and priorities of its own. Gives its size. */
static int begin_line(char *line, size_t room, enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    static const int priorities[] = {7, 6, 4, 3}; /* syslog(3) */
    if (atomic_load_explicit(&is_to_journal, memory_order_relaxed)) {
        return snprintf(line, room, "<%d>%s ", priorities[level], names[level]);
    }
    char time[CLOCK_TEXT_SIZE];
    clock_format(clock_wall_us(clock_system()), time);
    return snprintf(line, room, "%s %s ", time, names[level]);
}

/* A line is a line: whatever text came from outside cannot start another. */
static void flatten(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = '?';
        }
    }
}

void log_write(enum log_level level, const char *format, ...)
{
    if ((int)level < atomic_load_explicit(&least_level, memory_order_relaxed)) {
        return;
    }
    char line[LINE_MAX_SIZE];
    int prefix = begin_line(line, sizeof line, level);
    CHECK(prefix > 0);
    size_t room = sizeof line - (size_t)prefix - 1;
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + prefix, room, format, arguments);
    va_end(arguments);
    CHECK(wanted >= 0);
    size_t size = (size_t)wanted < room ? (size_t)wanted : room - 1;
    flatten(line + prefix, size);
    line[(size_t)prefix + size] = '\n';
    size += (size_t)prefix + 1;
    if (!enqueue(line, size)) {
        write_all(line, size);
    }
}

uint64_t log_dropped_count(void)
{
    pthread_mutex_lock(&logger.lock);
    uint64_t dropped = logger.dropped;
    pthread_mutex_unlock(&logger.lock);
    return dropped;
}
