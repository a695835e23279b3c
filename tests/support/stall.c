/* A disk or a worker that hangs: loaded before the real functions, it holds every write and sync of
 * a file whose path contains `.db` for as long as the file that SERIN_STALL_MARKER names exists,
 * and one thread that is not the main one in its next wait for events for as long as that of
 * SERIN_STALL_WORKER_MARKER does.
 *
 * It leaves `MARKER.held` behind when it first holds a call, and `MARKER.given-up` should a call
 * be held for GIVE_UP_S: a play that sees the second has proved nothing. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { POLL_MS = 5, GIVE_UP_S = 240, PATH_SIZE = 4096 };

ssize_t write(int file, const void *bytes, size_t size);
ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset);
ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t offset);
int fsync(int file);
int fdatasync(int file);

static void leave(const char *marker, const char *end)
{
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "%s.%s", marker, end);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) {
        (void)close(file);
    }
}

static int is_database(int file)
{
    char link[64];
    char path[PATH_SIZE];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) {
        return 0;
    }
    path[length] = '\0';
    return strstr(path, ".db") != NULL;
}

static void hold_while_marked(const char *marker)
{
    leave(marker, "held");
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    for (int i = 0; i < GIVE_UP_S * 1000 / POLL_MS; i++) {
        if (access(marker, F_OK) != 0) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    leave(marker, "given-up");
}

static void hold(int file)
{
    const char *marker = getenv("SERIN_STALL_MARKER");
    if (marker != NULL && access(marker, F_OK) == 0 && is_database(file)) {
        hold_while_marked(marker);
    }
}

/* The first that sees the marker, and no other while it is held. */
static void hold_worker(void)
{
    static atomic_bool is_held;
    const char *marker = getenv("SERIN_STALL_WORKER_MARKER");
    if (marker == NULL || gettid() == getpid() || access(marker, F_OK) != 0 ||
        atomic_exchange(&is_held, true)) {
        return;
    }
    hold_while_marked(marker);
    atomic_store(&is_held, false);
}

/* ISO C has no cast from an object's address to a function's. */
static void find(const char *name, void *function, size_t size)
{
    void *symbol = dlsym(RTLD_NEXT, name);
    if (symbol == NULL) {
        abort();
    }
    memcpy(function, &symbol, size);
}

ssize_t write(int file, const void *bytes, size_t size)
{
    ssize_t (*real)(int, const void *, size_t) = NULL;
    find("write", &real, sizeof real);
    hold(file);
    return real(file, bytes, size);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset)
{
    ssize_t (*real)(int, const void *, size_t, off_t) = NULL;
    find("pwrite", &real, sizeof real);
    hold(file);
    return real(file, bytes, size, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t offset)
{
    ssize_t (*real)(int, const void *, size_t, off64_t) = NULL;
    find("pwrite64", &real, sizeof real);
    hold(file);
    return real(file, bytes, size, offset);
}

int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
    int (*real)(int, struct epoll_event *, int, int) = NULL;
    find("epoll_wait", &real, sizeof real);
    hold_worker();
    return real(epoll, events, count, timeout);
}

int fsync(int file)
{
    int (*real)(int) = NULL;
    find("fsync", &real, sizeof real);
    hold(file);
    return real(file);
}

int fdatasync(int file)
{
    int (*real)(int) = NULL;
    find("fdatasync", &real, sizeof real);
    hold(file);
    return real(file);
}
