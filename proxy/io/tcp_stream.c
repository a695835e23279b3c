#include "proxy/io/tcp_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/base/check.h"

struct tcp_stream {
    struct stream base;
    bool is_finish_wanted;
    uv_tcp_t handle;
};

struct write_job {
    uv_write_t request;
    size_t size;
    char data[];
};

/* Connecting and half-closing are rare: their requests live on the heap only while they are under
 * way. */
struct shutdown_job {
    uv_shutdown_t request;
};

struct connect_job {
    uv_connect_t request;
};

enum { WRITE_BUFS_MAX = 8 };

static struct tcp_stream *tcp_of(struct stream *stream)
{
    return CONTAINER_OF(stream, struct tcp_stream, base);
}

static struct tcp_stream *tcp_of_handle(const void *handle)
{
    return CONTAINER_OF(handle, struct tcp_stream, handle);
}

static enum err err_of_status(ssize_t status)
{
    switch (status) {
    case 0:
        return OK;
    case UV_ENOMEM:
    case UV_ENOBUFS:
        return ERR_NOMEM;
    case UV_EMFILE:
    case UV_ENFILE:
    case UV_EADDRNOTAVAIL: /* no port left to connect from */
        return ERR_LIMIT;
    case UV_ETIMEDOUT:
        return ERR_TIMEOUT;
    case UV_ECONNRESET:
    case UV_ECONNREFUSED:
    case UV_EPIPE:
    case UV_EOF:
        return ERR_CLOSED;
    default:
        return ERR_IO;
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct tcp_stream *tcp = tcp_of_handle(handle);
    buffer->base = tcp->base.loop->read_buffer;
    buffer->len = LOOP_READ_SIZE;
}

static void on_read(uv_stream_t *handle, ssize_t size, const uv_buf_t *buffer)
{
    struct tcp_stream *tcp = tcp_of_handle(handle);
    struct loop *loop = tcp->base.loop;
    if (size == 0) {
        return;
    }
    loop_enter(loop);
    if (size > 0) {
        tcp->base.listener->on_read(&tcp->base, bytes_make(buffer->base, (size_t)size));
    } else if (size == UV_EOF) {
        stream_read_stop(&tcp->base);
        tcp->base.listener->on_end(&tcp->base, OK);
    } else {
        stream_fail(&tcp->base, err_of_status(size));
    }
    loop_leave(loop);
}

static void tcp_read_start(struct stream *stream)
{
    struct tcp_stream *tcp = tcp_of(stream);
    int status = uv_read_start((uv_stream_t *)&tcp->handle, on_alloc, on_read);
    CHECK(status == 0 || status == UV_ENOTCONN);
}

static void tcp_read_stop(struct stream *stream)
{
    struct tcp_stream *tcp = tcp_of(stream);
    (void)uv_read_stop((uv_stream_t *)&tcp->handle);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    (void)status;
    free(CONTAINER_OF(request, struct shutdown_job, request));
}

static void shutdown_now(struct tcp_stream *tcp)
{
    struct shutdown_job *job = malloc(sizeof *job);
    if (job == NULL || uv_shutdown(&job->request, (uv_stream_t *)&tcp->handle, on_shutdown) != 0) {
        free(job);
        stream_break(&tcp->base);
    }
}

static void tcp_finish(struct stream *stream)
{
    struct tcp_stream *tcp = tcp_of(stream);
    if (!tcp->is_finish_wanted) {
        tcp->is_finish_wanted = true;
        shutdown_now(tcp);
    }
}

static void on_written(uv_write_t *request, int status)
{
    struct write_job *job = CONTAINER_OF(request, struct write_job, request);
    struct tcp_stream *tcp = tcp_of_handle(request->handle);
    tcp->base.queued -= job->size;
    free(job);
    if (tcp->base.is_closing) {
        return;
    }
    struct loop *loop = tcp->base.loop;
    loop_enter(loop);
    if (status != 0 && tcp->base.is_patient) {
        tcp->base.is_broken = true;
    } else if (status != 0) {
        stream_fail(&tcp->base, err_of_status(status));
    } else if (tcp->base.queued == 0 && !tcp->base.is_broken) {
        tcp->base.listener->on_drained(&tcp->base);
    }
    loop_leave(loop);
}

/* Copies what is left of the pieces behind the first `skip` bytes and lets libuv wait for the
 * socket. */
static enum err queue_rest(struct tcp_stream *tcp, const struct bytes *pieces, size_t count,
                           size_t skip, size_t total)
{
    size_t size = total - skip;
    struct write_job *job = malloc(sizeof *job + size);
    if (job == NULL) {
        return ERR_NOMEM;
    }
    job->size = size;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t passed = skip < pieces[i].size ? skip : pieces[i].size;
        skip -= passed;
        memcpy(job->data + at, pieces[i].data + passed, pieces[i].size - passed);
        at += pieces[i].size - passed;
    }
    uv_buf_t buffer = uv_buf_init(job->data, (unsigned)size);
    int status = uv_write(&job->request, (uv_stream_t *)&tcp->handle, &buffer, 1, on_written);
    if (status != 0) {
        free(job);
        return err_of_status(status);
    }
    tcp->base.queued += size;
    return OK;
}

static enum err tcp_write(struct stream *stream, const struct bytes *pieces, size_t count)
{
    struct tcp_stream *tcp = tcp_of(stream);
    CHECK(count <= WRITE_BUFS_MAX);
    uv_buf_t buffers[WRITE_BUFS_MAX];
    size_t total = 0;
    unsigned used = 0;
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].size > 0) {
            buffers[used++] =
                uv_buf_init((char *)(uintptr_t)pieces[i].data, (unsigned)pieces[i].size);
            total += pieces[i].size;
        }
    }
    if (total == 0) {
        return OK;
    }
    ssize_t written =
        stream->queued > 0 ? UV_EAGAIN : uv_try_write((uv_stream_t *)&tcp->handle, buffers, used);
    if (written == (ssize_t)total) {
        return OK;
    }
    if (written < 0 && written != UV_EAGAIN) {
        return err_of_status(written);
    }
    return queue_rest(tcp, pieces, count, written > 0 ? (size_t)written : 0, total);
}

static void on_closed(uv_handle_t *handle)
{
    struct tcp_stream *tcp = tcp_of_handle(handle);
    tcp->base.loop->stream_count--;
    if (tcp->base.listener != NULL) {
        tcp->base.listener->on_closed(&tcp->base);
    }
    free(tcp);
}

static void tcp_close(struct stream *stream)
{
    struct tcp_stream *tcp = tcp_of(stream);
    uv_close((uv_handle_t *)&tcp->handle, on_closed);
}

/* SO_LINGER 0 makes close(2) send RST and drop what is queued. */
static void tcp_reset(struct stream *stream)
{
    struct tcp_stream *tcp = tcp_of(stream);
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&tcp->handle, &fd) == 0) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    uv_close((uv_handle_t *)&tcp->handle, on_closed);
}

static const struct stream_ops tcp_ops = {
    .read_start = tcp_read_start,
    .read_stop = tcp_read_stop,
    .write = tcp_write,
    .finish = tcp_finish,
    .close = tcp_close,
    .reset = tcp_reset,
};

static struct tcp_stream *create(struct loop *loop)
{
    struct tcp_stream *tcp = malloc(sizeof *tcp);
    if (tcp == NULL) {
        return NULL;
    }
    tcp->base = (struct stream){.ops = &tcp_ops, .loop = loop};
    tcp->is_finish_wanted = false;
    if (uv_tcp_init(&loop->uv, &tcp->handle) != 0) {
        free(tcp);
        return NULL;
    }
    loop->stream_count++;
    return tcp;
}

static void set_no_delay(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

enum err tcp_stream_open(struct loop *loop, int fd, struct stream **ret_stream)
{
    struct tcp_stream *tcp = create(loop);
    if (tcp == NULL) {
        (void)close(fd);
        return ERR_NOMEM;
    }
    set_no_delay(fd);
    int status = uv_tcp_open(&tcp->handle, fd);
    if (status != 0) {
        (void)close(fd);
        stream_close(&tcp->base);
        return err_of_status(status);
    }
    *ret_stream = &tcp->base;
    return OK;
}

static void on_connect(uv_connect_t *request, int status)
{
    struct tcp_stream *tcp = tcp_of_handle(request->handle);
    free(CONTAINER_OF(request, struct connect_job, request));
    if (tcp->base.is_closing) {
        return;
    }
    loop_enter(tcp->base.loop);
    tcp->base.listener->on_connected(&tcp->base, err_of_status(status));
    loop_leave(tcp->base.loop);
}

/* The socket is made here rather than by libuv so that TCP_NODELAY is set before the first byte. */
static enum err start_connect(struct tcp_stream *tcp, const struct sockaddr *address)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_of_status(-errno);
    }
    set_no_delay(fd);
    int status = uv_tcp_open(&tcp->handle, fd);
    if (status != 0) {
        (void)close(fd);
        return err_of_status(status);
    }
    struct connect_job *job = malloc(sizeof *job);
    if (job == NULL) {
        return ERR_NOMEM;
    }
    status = uv_tcp_connect(&job->request, &tcp->handle, address, on_connect);
    if (status != 0) {
        free(job);
        return err_of_status(status);
    }
    return OK;
}

enum err tcp_stream_connect(struct loop *loop, const struct sockaddr *address,
                            const struct stream_listener *listener, void *owner,
                            struct stream **ret_stream)
{
    struct tcp_stream *tcp = create(loop);
    if (tcp == NULL) {
        return ERR_NOMEM;
    }
    enum err err = start_connect(tcp, address);
    if (err != OK) {
        stream_close(&tcp->base);
        return err;
    }
    stream_attach(&tcp->base, listener, owner);
    *ret_stream = &tcp->base;
    return OK;
}
