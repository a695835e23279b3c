#include "proxy/io/tcp_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "proxy/base/check.h"
#include "proxy/io/address.h"
#include "proxy/io/socket.h"
#include "proxy/io/tcp_race.h"
#include "proxy/io/watch.h"

/* Full buffers read in a row before others get their turn; pieces given to one sendmsg. */
enum { READS_PER_TURN = 4, PIECES_MAX = STREAM_PIECES_MAX + 1 };
/* A peer that has vanished without a word is found within two minutes, also in a tunnel that is
 * silent by nature. */
enum { KEEPALIVE_IDLE_S = 60, KEEPALIVE_INTERVAL_S = 15, KEEPALIVE_COUNT = 4 };

/* What the kernel did not take yet. */
struct written {
    struct written *next;
    size_t size;
    size_t sent;
    char data[];
};

/* What a PROXY header said that the client connected to. */
struct tcp_local {
    struct ip ip;
    uint16_t port;
};

struct tcp_stream {
    struct stream base;
    struct watch watch;
    struct written *oldest; /* owned: the queue, in order */
    struct written *newest;
    struct tcp_race *race;   /* while several addresses are tried */
    struct tcp_local *local; /* owned; NULL: ask the kernel */
    int connect_error;       /* known before the kernel could tell it */
    bool is_connecting;
    bool has_news; /* the kernel may have bytes for us: read before waiting for an edge again */
    bool has_end;  /* the other side has ended or reset: read on until that is met */
    bool is_finish_wanted; /* FIN behind the queue */
};

static struct tcp_stream *tcp_of(struct stream *stream)
{
    return CONTAINER_OF(stream, struct tcp_stream, base);
}

static enum err err_of(int error)
{
    switch (error) {
    case 0:
        return OK;
    case ENOMEM:
    case ENOBUFS:
        return ERR_NOMEM;
    case EMFILE:
    case ENFILE:
    case EADDRNOTAVAIL: /* no port left to connect from */
        return ERR_LIMIT;
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    case ECONNRESET:
    case ECONNREFUSED:
    case EPIPE:
        return ERR_CLOSED;
    default:
        return ERR_IO;
    }
}

/* ---- reading ---- */

static void tcp_read_start(struct stream *stream)
{
    struct tcp_stream *tcp = tcp_of(stream);
    if (tcp->has_news) {
        watch_resume(stream->loop, &tcp->watch);
    }
}

static void tcp_read_stop(struct stream *stream)
{
    (void)stream;
}

/* True when there may be more to read right now. A short read has emptied the socket, unless an end
 * stands behind it. */
static bool read_once(struct tcp_stream *tcp)
{
    struct stream *stream = &tcp->base;
    ssize_t size = socket_receive(tcp->watch.fd, stream->loop->read_buffer, LOOP_READ_SIZE, 0);
    if (size > 0) {
        tcp->has_news = size == LOOP_READ_SIZE || tcp->has_end;
        stream->listener->on_read(stream, bytes_make(stream->loop->read_buffer, (size_t)size));
        return tcp->has_news;
    }
    if (size < 0 && errno == EINTR) {
        return true;
    }
    tcp->has_news = false;
    if (size == 0) {
        stream_read_stop(stream);
        stream->listener->on_end(stream, OK);
    } else if (errno != EAGAIN) {
        stream_fail(stream, err_of(errno));
    }
    return false;
}

static void read_some(struct tcp_stream *tcp)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        bool may_read = tcp->base.is_reading && !tcp->base.is_closing && tcp->has_news;
        if (!may_read || !read_once(tcp)) {
            return;
        }
    }
    if (tcp->base.is_reading && !tcp->base.is_closing) {
        watch_resume(tcp->base.loop, &tcp->watch);
    }
}

static bool tcp_has_unread(struct stream *stream)
{
    const struct tcp_stream *tcp = tcp_of(stream);
    bool is_doubtful = tcp->watch.is_pending || tcp->has_news || loop_is_late(stream->loop);
    char byte;
    if (!is_doubtful) {
        return false;
    }
    ssize_t size = socket_receive(tcp->watch.fd, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT);
    return size >= 0 || errno != EAGAIN;
}

/* ---- writing ---- */

static void shutdown_now(struct tcp_stream *tcp)
{
    (void)shutdown(tcp->watch.fd, SHUT_WR);
}

static void drop_queue(struct tcp_stream *tcp)
{
    while (tcp->oldest != NULL) {
        struct written *next = tcp->oldest->next;
        free(tcp->oldest);
        tcp->oldest = next;
    }
    tcp->newest = NULL;
    tcp->base.queued = 0;
}

/* Sends from the queue until it is empty (true) or the kernel is full (false); a failure breaks the
 * stream. */
static bool send_queue(struct tcp_stream *tcp)
{
    while (tcp->oldest != NULL) {
        struct written *written = tcp->oldest;
        ssize_t size = socket_send(tcp->watch.fd, written->data + written->sent,
                                   written->size - written->sent, MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0 && errno == EAGAIN) {
            return false;
        }
        if (size < 0) {
            stream_break(&tcp->base);
            return false;
        }
        written->sent += (size_t)size;
        tcp->base.queued -= (size_t)size;
        if (written->sent == written->size) {
            tcp->oldest = written->next;
            free(written);
        }
    }
    tcp->newest = NULL;
    return true;
}

static void write_some(struct tcp_stream *tcp)
{
    if (tcp->oldest == NULL || tcp->base.is_broken || !send_queue(tcp)) {
        return;
    }
    if (tcp->is_finish_wanted) {
        shutdown_now(tcp);
    }
    tcp->base.listener->on_drained(&tcp->base);
}

/* Copies what is left of the pieces behind the first `skip` bytes. */
static enum err queue_rest(struct tcp_stream *tcp, const struct bytes *pieces, size_t count,
                           size_t skip, size_t total)
{
    struct written *written = malloc(sizeof *written + total - skip);
    if (written == NULL) {
        return ERR_NOMEM;
    }
    *written = (struct written){.size = total - skip};
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t passed = skip < pieces[i].size ? skip : pieces[i].size;
        skip -= passed;
        if (pieces[i].size > passed) {
            memcpy(written->data + at, pieces[i].data + passed, pieces[i].size - passed);
            at += pieces[i].size - passed;
        }
    }
    if (tcp->newest != NULL) {
        tcp->newest->next = written;
    } else {
        tcp->oldest = written;
    }
    tcp->newest = written;
    tcp->base.queued += written->size;
    return OK;
}

/* What the kernel takes at once; 0 when it is full; an errno in *ret_error. */
static size_t send_pieces(const struct tcp_stream *tcp, const struct bytes *pieces, size_t count,
                          int *ret_error)
{
    struct iovec vector[PIECES_MAX];
    for (size_t i = 0; i < count; i++) {
        vector[i] = (struct iovec){(void *)(uintptr_t)pieces[i].data, pieces[i].size};
    }
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = count};
    ssize_t size;
    do {
        size = count == 1 ? socket_send(tcp->watch.fd, pieces[0].data, pieces[0].size, MSG_NOSIGNAL)
                          : socket_send_message(tcp->watch.fd, &message, MSG_NOSIGNAL);
    } while (size < 0 && errno == EINTR);
    *ret_error = size < 0 && errno != EAGAIN ? errno : 0;
    return size > 0 ? (size_t)size : 0;
}

static enum err tcp_write(struct stream *stream, const struct bytes *pieces, size_t count)
{
    struct tcp_stream *tcp = tcp_of(stream);
    CHECK(count <= PIECES_MAX);
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += pieces[i].size;
    }
    if (total == 0) {
        return OK;
    }
    size_t sent = 0;
    int error = 0;
    if (tcp->oldest == NULL && !tcp->is_connecting) {
        sent = send_pieces(tcp, pieces, count, &error);
    }
    if (error != 0) {
        return err_of(error);
    }
    return sent == total ? OK : queue_rest(tcp, pieces, count, sent, total);
}

static void tcp_finish(struct stream *stream)
{
    struct tcp_stream *tcp = tcp_of(stream);
    if (tcp->is_finish_wanted) {
        return;
    }
    tcp->is_finish_wanted = true;
    if (tcp->oldest == NULL && !tcp->is_connecting) {
        shutdown_now(tcp);
    }
}

/* ---- connecting and events ---- */

static void finish_connecting(struct tcp_stream *tcp)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(tcp->watch.fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (tcp->connect_error != 0) {
        error = tcp->connect_error;
    }
    tcp->is_connecting = false;
    tcp->base.listener->on_connected(&tcp->base, err_of(error));
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct tcp_stream *tcp = CONTAINER_OF(watch, struct tcp_stream, watch);
    if (tcp->is_connecting) {
        bool is_decided =
            (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0 || tcp->connect_error != 0;
        if (!is_decided) {
            return;
        }
        finish_connecting(tcp);
        if (tcp->base.is_closing) {
            return;
        }
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        tcp->has_news = true;
    }
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        tcp->has_end = true;
    }
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        write_some(tcp);
    }
    if (!tcp->base.is_closing) {
        read_some(tcp);
    }
}

static void on_watch_closed(struct watch *watch)
{
    struct tcp_stream *tcp = CONTAINER_OF(watch, struct tcp_stream, watch);
    if (tcp->base.listener != NULL) {
        tcp->base.listener->on_closed(&tcp->base);
    }
    free(tcp->local);
    free(tcp);
}

static void tcp_close(struct stream *stream)
{
    struct tcp_stream *tcp = tcp_of(stream);
    drop_queue(tcp);
    if (tcp->race != NULL) {
        tcp_race_cancel(tcp->race);
        tcp->race = NULL;
    }
    watch_close(stream->loop, &tcp->watch);
}

/* SO_LINGER 0 makes close(2) send RST and drop what is queued. */
static void tcp_reset(struct stream *stream)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(tcp_of(stream)->watch.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    tcp_close(stream);
}

static const struct stream_ops tcp_ops = {
    .read_start = tcp_read_start,
    .read_stop = tcp_read_stop,
    .write = tcp_write,
    .has_unread = tcp_has_unread,
    .finish = tcp_finish,
    .close = tcp_close,
    .reset = tcp_reset,
};

/* ---- making ---- */

/* NULL without memory. */
static struct tcp_stream *make(struct loop *loop, bool is_connecting)
{
    struct tcp_stream *tcp = calloc(1, sizeof *tcp);
    if (tcp != NULL) {
        tcp->base = (struct stream){.ops = &tcp_ops, .loop = loop};
        tcp->watch = (struct watch){.on_ready = on_ready, .on_closed = on_watch_closed};
        tcp->is_connecting = is_connecting;
    }
    return tcp;
}

/* On failure the descriptor stays the caller's. */
static enum err create(struct loop *loop, int fd, bool is_connecting, struct tcp_stream **ret_tcp)
{
    struct tcp_stream *tcp = make(loop, is_connecting);
    if (tcp == NULL) {
        return ERR_NOMEM;
    }
    enum err err = watch_open(loop, &tcp->watch, fd, WATCH_EDGES);
    if (err != OK) {
        free(tcp);
        return err;
    }
    *ret_tcp = tcp;
    return OK;
}

void tcp_stream_tune(int fd)
{
    int on = 1;
    int idle_s = KEEPALIVE_IDLE_S;
    int interval_s = KEEPALIVE_INTERVAL_S;
    int count = KEEPALIVE_COUNT;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

enum err tcp_stream_open(struct loop *loop, int fd, struct stream **ret_stream)
{
    struct tcp_stream *tcp = NULL;
    enum err err = create(loop, fd, false, &tcp);
    if (err != OK) {
        (void)close(fd);
        return err;
    }
    *ret_stream = &tcp->base;
    return OK;
}

/* A refusal may be known at once (loopback); it is told like any other, by an event. */
static bool is_told_later(int error)
{
    return error == EINPROGRESS || error == ECONNREFUSED || error == ENETUNREACH ||
           error == EHOSTUNREACH;
}

/* What comes of it is told by the stream's own event. */
static void on_race_end(void *context, int fd, int error)
{
    struct tcp_stream *tcp = context;
    tcp->race = NULL;
    if (fd >= 0 && watch_adopt(tcp->base.loop, &tcp->watch, fd) == OK) {
        return;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    tcp->connect_error = error != 0 ? error : ENOMEM;
    watch_resume(tcp->base.loop, &tcp->watch);
}

static enum err connect_any(struct loop *loop, const struct tcp_route *route,
                            struct tcp_stream **ret_tcp)
{
    struct tcp_stream *tcp = make(loop, true);
    if (tcp == NULL) {
        return ERR_NOMEM;
    }
    enum err err = tcp_race_start(loop, route, on_race_end, tcp, &tcp->race);
    if (err != OK) {
        free(tcp);
        return err;
    }
    watch_open_bare(loop, &tcp->watch);
    *ret_tcp = tcp;
    return OK;
}

static enum err connect_one(struct loop *loop, const struct sockaddr *address,
                            struct tcp_stream **ret_tcp)
{
    struct tcp_stream *tcp = NULL;
    socklen_t size =
        address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_of(errno);
    }
    tcp_stream_tune(fd);
    int error = connect(fd, address, size) == 0 ? 0 : errno;
    if (error != 0 && !is_told_later(error)) {
        (void)close(fd);
        return err_of(error);
    }
    enum err err = create(loop, fd, true, &tcp);
    if (err != OK) {
        (void)close(fd);
        return err;
    }
    if (error != EINPROGRESS) {
        tcp->connect_error = error;
        watch_resume(loop, &tcp->watch);
    }
    *ret_tcp = tcp;
    return OK;
}

enum err tcp_stream_connect(struct loop *loop, const struct tcp_route *route,
                            const struct stream_listener *listener, void *owner,
                            struct stream **ret_stream)
{
    struct tcp_stream *tcp = NULL;
    enum err err = route->count == 1 ? connect_one(loop, &route->addresses[0].any, &tcp)
                                     : connect_any(loop, route, &tcp);
    if (err != OK) {
        return err;
    }
    stream_attach(&tcp->base, listener, owner);
    *ret_stream = &tcp->base;
    return OK;
}

/* ---- ends ---- */

static struct tcp_stream *tcp_under(const struct stream *stream)
{
    while (stream->under != NULL) {
        stream = stream->under;
    }
    CHECK(stream->ops == &tcp_ops);
    return CONTAINER_OF(stream, struct tcp_stream, base);
}

bool tcp_stream_local(const struct stream *stream, struct ip *ret_ip, uint16_t *ret_port)
{
    const struct tcp_stream *tcp = tcp_under(stream);
    union address address = {0};
    socklen_t size = sizeof address;
    if (tcp->local != NULL) {
        *ret_ip = tcp->local->ip;
        *ret_port = tcp->local->port;
        return true;
    }
    if (getsockname(tcp->watch.fd, &address.any, &size) != 0 ||
        !ip_from_socket(&address.any, ret_ip)) {
        return false;
    }
    *ret_port =
        ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
    return true;
}

enum err tcp_stream_set_local(struct stream *stream, const struct ip *ip, uint16_t port)
{
    struct tcp_stream *tcp = tcp_under(stream);
    struct tcp_local *local = malloc(sizeof *local);
    if (local == NULL) {
        return ERR_NOMEM;
    }
    *local = (struct tcp_local){*ip, port};
    free(tcp->local);
    tcp->local = local;
    return OK;
}

void tcp_stream_send_ahead(struct stream *stream, struct bytes bytes)
{
    struct stream *bottom = &tcp_under(stream)->base;
    stream_write_one(bottom, bytes);
    stream_flush(bottom);
}
