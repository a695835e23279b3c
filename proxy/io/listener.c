#include "proxy/io/listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "proxy/base/bytes.h"
#include "proxy/base/check.h"
#include "proxy/io/tcp_stream.h"
#include "proxy/io/watch.h"

/* So many accepts per event, so that a flood of new connections does not starve the old ones. */
enum { ACCEPTS_PER_EVENT = 64, RETRY_MS = 50 };

struct listener {
    struct watch watch;
    uv_timer_t retry;
    struct loop *loop;              /* borrowed */
    const struct listener_ops *ops; /* borrowed */
    void *context;                  /* borrowed */
    int open_handles;
    bool is_shared;
    bool is_closing;
};

static void on_retry(uv_timer_t *timer)
{
    struct listener *listener = timer->data;
    if (!listener->is_closing && watch_set_paused(listener->loop, &listener->watch, false) != OK) {
        (void)uv_timer_start(&listener->retry, on_retry, RETRY_MS, 0);
    }
}

/* Level-triggered readiness would spin while accept cannot succeed: look away for a moment. */
static void pause_accepting(struct listener *listener)
{
    (void)!watch_set_paused(listener->loop, &listener->watch, true);
    (void)uv_timer_start(&listener->retry, on_retry, RETRY_MS, 0);
    listener->ops->on_exhausted(listener->context);
}

static bool is_about_one_connection(int error)
{
    return error == ECONNABORTED || error == EPROTO || error == EPERM || error == EINTR ||
           error == ENETDOWN || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == EHOSTDOWN || error == ENONET;
}

static void accept_some(struct listener *listener, int limit)
{
    for (int i = 0; i < limit; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t peer_size = sizeof peer;
        int fd = accept4(listener->watch.fd, (struct sockaddr *)&peer, &peer_size,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener->ops->on_accept(listener->context, fd, &peer);
        } else if (errno == EAGAIN) {
            return;
        } else if (!is_about_one_connection(errno)) {
            if (!listener->is_closing) {
                pause_accepting(listener);
            }
            return;
        }
    }
}

static void on_readable(struct watch *watch, uint32_t events)
{
    (void)events;
    accept_some(CONTAINER_OF(watch, struct listener, watch), ACCEPTS_PER_EVENT);
}

static enum err bind_unix(const char *path, int backlog, int *ret_fd, struct note *note)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        note_set(note, "unix socket path is longer than %zu bytes", sizeof address.sun_path - 1);
        return ERR_RANGE;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        note_set(note, "cannot make a socket: %s", strerror(errno));
        return ERR_IO;
    }
    struct stat status;
    if (stat(path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED) {
        (void)unlink(path);
    }
    mode_t mask = umask(0077);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    int error = errno;
    (void)umask(mask);
    if (bound != 0 || listen(fd, backlog) != 0) {
        note_set(note, "cannot listen on unix:%s: %s", path, strerror(bound != 0 ? error : errno));
        (void)close(fd);
        return ERR_IO;
    }
    *ret_fd = fd;
    return OK;
}

/* Splits "host:port" or "[v6]:port" in place; the host may be empty or "*" for every address. */
static bool split_address(char *text, const char **ret_host, const char **ret_port)
{
    char *colon = strrchr(text, ':');
    if (colon == NULL || colon[1] == '\0') {
        return false;
    }
    *colon = '\0';
    *ret_port = colon + 1;
    uint64_t port; /* getaddrinfo takes larger ones, and something else of them */
    if (!bytes_to_u64(bytes_of(*ret_port), &port) || port > UINT16_MAX) {
        return false;
    }
    size_t size = strlen(text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text[size - 1] = '\0';
        text++;
    }
    *ret_host = text[0] == '\0' || strcmp(text, "*") == 0 ? NULL : text;
    return true;
}

/* Why an address cannot be had, so that one knows what to do. */
static const char *reason_text(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "another process listens there";
    case EADDRNOTAVAIL:
        return "no interface of this machine has that address";
    case EACCES:
        return "ports this low need CAP_NET_BIND_SERVICE, root, or a socket of systemd's";
    default:
        return strerror(error);
    }
}

static int listen_on(const struct addrinfo *info, int backlog)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool is_shared = setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    if (info->ai_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    tcp_stream_tune(fd);
    if (!is_shared || bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, backlog) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

enum err listener_bind(const char *address, int backlog, int *ret_fd, struct note *note)
{
    static const char unix_prefix[] = "unix:";
    if (strncmp(address, unix_prefix, sizeof unix_prefix - 1) == 0) {
        return bind_unix(address + sizeof unix_prefix - 1, backlog, ret_fd, note);
    }
    char text[300];
    const char *host = NULL;
    const char *port = NULL;
    if (strlen(address) >= sizeof text) {
        note_set(note, "listen address is too long");
        return ERR_RANGE;
    }
    memcpy(text, address, strlen(address) + 1);
    if (!split_address(text, &host, &port)) {
        note_set(note, "listen address \"%s\" is not host:port", address);
        return ERR_SYNTAX;
    }
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV | AI_NUMERICHOST,
                             .ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM};
    if (host != NULL && strcmp(host, "localhost") == 0) {
        host = "127.0.0.1";
    }
    struct addrinfo *info = NULL;
    int status = getaddrinfo(host, port, &hints, &info);
    if (status != 0) {
        note_set(note, "listen address \"%s\": %s", address, gai_strerror(status));
        return ERR_SYNTAX;
    }
    int fd = listen_on(info, backlog);
    int error = errno;
    freeaddrinfo(info);
    if (fd < 0) {
        note_set(note, "cannot listen on %s: %s", address, reason_text(error));
        return ERR_IO;
    }
    *ret_fd = fd;
    return OK;
}

unsigned listener_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    if (address.ss_family == AF_INET) {
        return ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
    }
    return address.ss_family == AF_INET6
               ? ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port)
               : 0;
}

static void on_part_closed(struct listener *listener)
{
    if (--listener->open_handles == 0) {
        free(listener);
    }
}

static void on_watch_closed(struct watch *watch)
{
    on_part_closed(CONTAINER_OF(watch, struct listener, watch));
}

static void on_timer_closed(uv_handle_t *handle)
{
    on_part_closed(handle->data);
}

enum err listener_open(struct loop *loop, int fd, bool is_shared, const struct listener_ops *ops,
                       void *context, struct listener **ret_listener)
{
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        return ERR_NOMEM;
    }
    listener->loop = loop;
    listener->ops = ops;
    listener->context = context;
    listener->is_shared = is_shared;
    listener->watch = (struct watch){.on_ready = on_readable, .on_closed = on_watch_closed};
    enum err err =
        watch_open(loop, &listener->watch, fd, is_shared ? WATCH_SHARED : WATCH_LEVEL_IN);
    if (err != OK) {
        free(listener);
        return err;
    }
    int status = uv_timer_init(&loop->uv, &listener->retry);
    CHECK(status == 0);
    listener->retry.data = listener;
    listener->open_handles = 2;
    *ret_listener = listener;
    return OK;
}

void listener_close(struct listener *listener)
{
    if (listener == NULL || listener->is_closing) {
        return;
    }
    enum { QUEUE_MAX = 65536 };
    listener->is_closing = true;
    if (!listener->is_shared) {
        accept_some(listener, QUEUE_MAX);
    }
    watch_close(listener->loop, &listener->watch);
    uv_close((uv_handle_t *)&listener->retry, on_timer_closed);
}
