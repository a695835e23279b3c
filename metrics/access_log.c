#include "metrics/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "metrics/access_ring.h"
#include "metrics/block.h"
#include "proxy/base/log.h"

enum {
    BATCH_SIZE = 64 * 1024, /* written at once when there is so much */
    BATCH_MAX = BATCH_SIZE + 64 * 1024,
    FLUSH_INTERVAL_MS = 100,
    STALL_RETRY_MS = 1000,
    FILE_MODE = 0640,
    TAIL_SIZE = 128 * 1024, /* of the newest lines, for whoever asks */
};

struct access_log {
    char *path; /* owned; NULL is standard output */
    enum access_log_format format;
    size_t ring_count;
    struct access_ring *rings; /* owned; one per worker */
    int wake_fd;               /* owned; eventfd */
    pthread_t thread;
    atomic_bool is_stopping;
    atomic_bool is_reopen_wanted;
    atomic_bool is_write_failing;
    atomic_bool is_reopen_failing;

    /* The thread's own. */
    int fd;           /* owned unless standard output */
    struct buf batch; /* lines that are not yet written */
    bool is_torn;     /* the file ends in the middle of a line */
    struct cell lost; /* lines that could not be written */

    pthread_mutex_t lock; /* rank 9: a leaf; guards what is below */
    pthread_cond_t has_ended;
    bool is_ended;
    bool is_abandoned; /* the thread frees everything itself */
    char *tail;        /* owned; TAIL_SIZE, a ring */
    uint64_t tail_end; /* bytes put in since the start */
};

static void destroy(struct access_log *log)
{
    for (size_t i = 0; i < log->ring_count; i++) {
        access_ring_finish(&log->rings[i]);
    }
    free(log->rings);
    if (log->path != NULL && log->fd >= 0) {
        (void)close(log->fd);
    }
    if (log->wake_fd >= 0) {
        (void)close(log->wake_fd);
    }
    buf_finish(&log->batch);
    free(log->tail);
    (void)pthread_cond_destroy(&log->has_ended);
    (void)pthread_mutex_destroy(&log->lock);
    free(log->path);
    free(log);
}

static const char *path_text(const struct access_log *log)
{
    return log->path != NULL ? log->path : "standard output";
}

/* The descriptor, or -1 with errno. A pipe that nobody reads yet fails here instead of waiting for
 * a reader. */
static int open_path(const char *path)
{
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, flags, FILE_MODE);
    if (fd < 0) {
        return -1;
    }
    int held = fcntl(fd, F_GETFL);
    if (held < 0 || fcntl(fd, F_SETFL, held & ~O_NONBLOCK) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* --- writing: the log's thread ---------------------------------------------------------------- */

/* Standard output may be non-blocking, because whoever shares it made it so. */
static void wait_writable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    (void)poll(&poll_fd, 1, STALL_RETRY_MS);
}

static bool write_some(struct access_log *log, struct buf *text)
{
    struct bytes left = buf_bytes(text);
    CHECK(left.data != NULL);
    ssize_t written = write(log->fd, left.data, left.size);
    if (written > 0) {
        log->is_torn = left.data[written - 1] != '\n';
        buf_consume(text, (size_t)written);
        return true;
    }
    if (errno == EAGAIN) {
        wait_writable(log->fd);
        return true;
    }
    return errno == EINTR;
}

static uint64_t count_lines(struct bytes text)
{
    uint64_t count = 0;
    for (size_t end = bytes_find(text, '\n'); end < text.size; end = bytes_find(text, '\n')) {
        text = bytes_slice(text, end + 1, text.size - end - 1);
        count++;
    }
    return count;
}

static void note_write(struct access_log *log, bool has_failed, int error)
{
    bool did_fail =
        atomic_exchange_explicit(&log->is_write_failing, has_failed, memory_order_relaxed);
    if (has_failed && !did_fail) {
        log_warn("access log %s: %s; records are dropped", path_text(log), strerror(error));
    } else if (!has_failed && did_fail) {
        log_info("access log %s: writing again", path_text(log));
    }
}

/* A line that was written in part is ended before the next, so that one bad moment spoils one line.
 */
static bool write_torn_end(struct access_log *log)
{
    if (log->is_torn && write(log->fd, "\n", 1) == 1) {
        log->is_torn = false;
    }
    return !log->is_torn;
}

/* Whole lines, whether or not they can be written. */
static void keep_tail(struct access_log *log, struct bytes lines)
{
    (void)pthread_mutex_lock(&log->lock);
    size_t skipped = lines.size > TAIL_SIZE ? lines.size - TAIL_SIZE : 0;
    log->tail_end += skipped;
    lines = bytes_slice(lines, skipped, lines.size - skipped);
    size_t at = log->tail_end % TAIL_SIZE;
    size_t straight = TAIL_SIZE - at < lines.size ? TAIL_SIZE - at : lines.size;
    memcpy(log->tail + at, lines.data, straight);
    memcpy(log->tail, lines.data + straight, lines.size - straight);
    log->tail_end += lines.size;
    (void)pthread_mutex_unlock(&log->lock);
}

static void write_batch(struct access_log *log)
{
    if (buf_size(&log->batch) == 0) {
        return;
    }
    keep_tail(log, buf_bytes(&log->batch));
    bool is_written = write_torn_end(log);
    while (is_written && buf_size(&log->batch) > 0) {
        is_written = write_some(log, &log->batch);
    }
    note_write(log, !is_written, errno);
    cell_add(&log->lost, count_lines(buf_bytes(&log->batch)));
    buf_clear(&log->batch);
}

static void append_line(struct access_log *log, const struct access_record *record)
{
    if (log->format == ACCESS_LOG_JSON) {
        access_record_write_json(record, &log->batch);
    } else {
        access_record_write_combined(record, &log->batch);
    }
}

/* Only what stood in the ring when we came: a busy worker must not keep us from the others. */
static void drain_ring(struct access_log *log, struct access_ring *ring)
{
    uint64_t end = access_ring_written(ring);
    struct access_record record;
    while (access_ring_peek(ring, end, &record)) {
        append_line(log, &record);
        access_ring_release(ring);
        if (log->batch.is_failed) { /* out of memory: the buf is large enough by its limits */
            cell_increment(&log->lost);
            cell_add(&log->lost, count_lines(buf_bytes(&log->batch)));
            buf_clear(&log->batch);
        }
        if (buf_size(&log->batch) >= BATCH_SIZE) {
            write_batch(log);
        }
    }
}

static void drain(struct access_log *log)
{
    for (size_t i = 0; i < log->ring_count; i++) {
        drain_ring(log, &log->rings[i]);
    }
    write_batch(log);
}

static void reopen(struct access_log *log)
{
    if (log->path == NULL) {
        return;
    }
    int fd = open_path(log->path);
    atomic_store_explicit(&log->is_reopen_failing, fd < 0, memory_order_relaxed);
    if (fd < 0) {
        log_warn("access log %s: %s; the old file stays in use", log->path, strerror(errno));
        return;
    }
    (void)close(log->fd);
    log->fd = fd;
    log->is_torn = false;
}

static void wait_for_work(const struct access_log *log)
{
    struct pollfd poll_fd = {.fd = log->wake_fd, .events = POLLIN};
    if (poll(&poll_fd, 1, FLUSH_INTERVAL_MS) > 0) {
        uint64_t count;
        (void)!read(log->wake_fd, &count, sizeof count);
    }
}

static void end(struct access_log *log)
{
    (void)pthread_mutex_lock(&log->lock);
    log->is_ended = true;
    bool is_abandoned = log->is_abandoned;
    (void)pthread_cond_signal(&log->has_ended);
    (void)pthread_mutex_unlock(&log->lock);
    if (is_abandoned) {
        destroy(log);
    }
}

static void *run(void *argument)
{
    struct access_log *log = argument;
    for (;;) {
        /* Asked first: whatever was recorded before the stop is in the rings by now. */
        bool is_stopping = atomic_load_explicit(&log->is_stopping, memory_order_acquire);
        bool is_reopening =
            atomic_exchange_explicit(&log->is_reopen_wanted, false, memory_order_acquire);
        drain(log);
        if (is_reopening) {
            reopen(log);
        }
        if (is_stopping) {
            break;
        }
        wait_for_work(log);
    }
    end(log);
    return NULL;
}

/* --- control --------------------------------------------------------------------------------- */

static enum err create_rings(struct access_log *log, size_t worker_count)
{
    log->rings = aligned_alloc(ACCESS_RING_LINE, worker_count * sizeof *log->rings);
    if (log->rings == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < worker_count; i++) {
        enum err err = access_ring_init(&log->rings[i]);
        if (err != OK) {
            return err;
        }
        log->ring_count++;
    }
    return OK;
}

static enum err init_lock(struct access_log *log)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) {
        return ERR_NOMEM;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&log->lock, NULL);
    (void)pthread_cond_init(&log->has_ended, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    return OK;
}

static enum err open_target(struct access_log *log, const char *path, struct note *note)
{
    if (strcmp(path, "-") == 0) {
        log->fd = STDOUT_FILENO;
        return OK;
    }
    log->path = strdup(path);
    if (log->path == NULL) {
        return ERR_NOMEM;
    }
    log->fd = open_path(path);
    if (log->fd < 0) {
        note_set(note, "access log %s: %s", path, strerror(errno));
        return ERR_IO;
    }
    return OK;
}

/* Signals are for the thread that handles them, so ours starts with all of them blocked (and a
 * reader that left its pipe is then an error of write(2), not a signal). */
static enum err start_thread(struct access_log *log)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&log->thread, NULL, run, log);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return status == 0 ? OK : ERR_NOMEM;
}

static enum err set_up(struct access_log *log, const char *path, size_t worker_count,
                       struct note *note)
{
    enum err err = create_rings(log, worker_count);
    if (err == OK) {
        err = open_target(log, path, note);
    }
    if (err == OK) {
        log->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        err = log->wake_fd >= 0 ? OK : ERR_IO;
    }
    if (err == OK) {
        err = start_thread(log);
    }
    return err;
}

enum err access_log_open(const char *path, enum access_log_format format, size_t worker_count,
                         struct note *note, struct access_log **ret_log)
{
    if (worker_count == 0 || worker_count > BLOCK_WORKERS_MAX) {
        return ERR_RANGE;
    }
    struct access_log *log = calloc(1, sizeof *log);
    if (log == NULL) {
        return ERR_NOMEM;
    }
    if (init_lock(log) != OK) {
        free(log);
        return ERR_NOMEM;
    }
    log->format = format;
    log->fd = -1;
    log->wake_fd = -1;
    buf_init(&log->batch, BATCH_MAX);
    log->tail = malloc(TAIL_SIZE);
    enum err err = log->tail != NULL ? set_up(log, path, worker_count, note) : ERR_NOMEM;
    if (err != OK) {
        destroy(log);
        return err;
    }
    *ret_log = log;
    return OK;
}

static void wake(struct access_log *log)
{
    uint64_t one = 1;
    (void)!write(log->wake_fd, &one, sizeof one);
}

void access_log_put(struct access_log *log, size_t worker_index, const struct access_record *record)
{
    CHECK(worker_index < log->ring_count);
    if (access_ring_put(&log->rings[worker_index], record) == ACCESS_PUT_HALF) {
        wake(log);
    }
}

void access_log_reopen(struct access_log *log)
{
    if (log != NULL) {
        atomic_store_explicit(&log->is_reopen_wanted, true, memory_order_release);
        wake(log);
    }
}

uint64_t access_log_dropped_count(const struct access_log *log)
{
    if (log == NULL) {
        return 0;
    }
    uint64_t dropped = cell_read(&log->lost);
    for (size_t i = 0; i < log->ring_count; i++) {
        dropped += cell_read(&log->rings[i].dropped);
    }
    return dropped;
}

static void append_tail(struct access_log *log, uint64_t from, struct buf *out)
{
    size_t at = from % TAIL_SIZE;
    size_t size = (size_t)(log->tail_end - from);
    size_t straight = TAIL_SIZE - at < size ? TAIL_SIZE - at : size;
    (void)buf_append(out, bytes_make(log->tail + at, straight));
    (void)buf_append(out, bytes_make(log->tail, size - straight));
}

uint64_t access_log_tail(struct access_log *log, uint64_t after, struct buf *out)
{
    if (log == NULL) {
        return after;
    }
    struct buf text;
    buf_init(&text, TAIL_SIZE);
    (void)pthread_mutex_lock(&log->lock);
    uint64_t end = log->tail_end;
    bool is_torn = end > TAIL_SIZE && after < end - TAIL_SIZE;
    append_tail(log, is_torn ? end - TAIL_SIZE : after, &text);
    (void)pthread_mutex_unlock(&log->lock);
    struct bytes lines = buf_bytes(&text);
    size_t start = is_torn ? bytes_find(lines, '\n') : 0;
    start += is_torn && start < lines.size;
    (void)buf_append(out, bytes_slice(lines, start, lines.size - start));
    buf_finish(&text);
    return end;
}

bool access_log_is_failing(const struct access_log *log)
{
    if (log == NULL) {
        return false;
    }
    return atomic_load_explicit(&log->is_write_failing, memory_order_relaxed) ||
           atomic_load_explicit(&log->is_reopen_failing, memory_order_relaxed);
}

static struct timespec from_now(unsigned wait_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    return until;
}

/* Whether the thread ended in time; if not, the log is its own from here on. */
static bool await_end(struct access_log *log, unsigned wait_ms)
{
    struct timespec until = from_now(wait_ms);
    int status = 0;
    (void)pthread_mutex_lock(&log->lock);
    while (!log->is_ended && status == 0) {
        status = pthread_cond_timedwait(&log->has_ended, &log->lock, &until);
    }
    bool is_ended = log->is_ended;
    pthread_t thread = log->thread;
    log->is_abandoned = !is_ended;
    (void)pthread_mutex_unlock(&log->lock);
    if (!is_ended) {
        (void)pthread_detach(thread);
    }
    return is_ended;
}

void access_log_close(struct access_log *log, unsigned wait_ms)
{
    if (log == NULL) {
        return;
    }
    atomic_store_explicit(&log->is_stopping, true, memory_order_release);
    wake(log);
    if (await_end(log, wait_ms)) {
        (void)pthread_join(log->thread, NULL);
        destroy(log);
    }
}
