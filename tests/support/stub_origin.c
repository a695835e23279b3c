#include "tests/support/stub_origin.h"

#include <stdlib.h>
#include <unistd.h>

#include "proxy/io/tcp_stream.h"

enum { BACKLOG = 64, ZEROS_SIZE = 16 * 1024 };

struct connection {
    struct stub_origin *origin;
    struct stream *stream;
    struct list link;
    size_t size;
    bool is_answered;
};

static const char zeros[ZEROS_SIZE];

static void pour(struct connection *connection)
{
    while (!stream_is_blocked(connection->stream) && !connection->stream->is_broken) {
        stream_write_one(connection->stream, bytes_make(zeros, sizeof zeros));
    }
}

static void answer(struct connection *connection)
{
    struct stub_origin *origin = connection->origin;
    connection->is_answered = true;
    origin->request_count++;
    origin->request_size = connection->size;
    if (origin->is_silent) {
        return;
    }
    if (origin->answer.size > 0) {
        stream_write_one(connection->stream, origin->answer);
    }
    if (origin->is_endless) {
        pour(connection);
    } else if (origin->answer.size == 0) {
        stream_close(connection->stream);
    } else {
        stream_finish(connection->stream);
    }
}

static void on_read(struct stream *stream, struct bytes bytes)
{
    struct connection *connection = stream->owner;
    struct stub_origin *origin = connection->origin;
    size_t room = STUB_ORIGIN_REQUEST_MAX - 1 - connection->size;
    size_t size = bytes.size < room ? bytes.size : room;
    memcpy(origin->request + connection->size, bytes.data, size);
    connection->size += size;
    origin->request[connection->size] = '\0';
    if (!connection->is_answered && strstr(origin->request, "\r\n\r\n") != NULL) {
        answer(connection);
    }
}

static void on_end(struct stream *stream, enum err why)
{
    (void)why;
    stream_close(stream);
}

static void on_drained(struct stream *stream)
{
    struct connection *connection = stream->owner;
    if (connection->is_answered && connection->origin->is_endless) {
        pour(connection);
    }
}

static void on_closed(struct stream *stream)
{
    struct connection *connection = stream->owner;
    connection->origin->open_count--;
    list_remove(&connection->link);
    free(connection);
}

static const struct stream_listener stream_ops = {
    .on_read = on_read, .on_end = on_end, .on_drained = on_drained, .on_closed = on_closed};

static void on_accept(void *context, int fd, const struct sockaddr_storage *peer)
{
    struct stub_origin *origin = context;
    struct connection *connection = calloc(1, sizeof *connection);
    (void)peer;
    if (connection == NULL) {
        (void)close(fd);
        return;
    }
    connection->origin = origin;
    if (tcp_stream_open(origin->loop, fd, &connection->stream) != OK) {
        free(connection);
        return;
    }
    list_push_back(&origin->connections, &connection->link);
    origin->open_count++;
    origin->open_max =
        origin->open_count > origin->open_max ? origin->open_count : origin->open_max;
    stream_attach(connection->stream, &stream_ops, connection);
    stream_read_start(connection->stream);
}

static void on_exhausted(void *context)
{
    (void)context;
}

static const struct listener_ops listener_ops = {on_accept, on_exhausted};

static union address loopback(uint16_t port)
{
    struct ip ip;
    bool is_ip = ip_parse(BYTES("127.0.0.1"), &ip);
    CHECK(is_ip);
    return address_make(&ip, port);
}

void stub_origin_open(struct stub_origin *origin, struct loop *loop)
{
    int fd = -1;
    struct note note;
    *origin = (struct stub_origin){.loop = loop};
    list_init(&origin->connections);
    enum err err = listener_bind("127.0.0.1:0", BACKLOG, &fd, &note);
    CHECK(err == OK);
    origin->address = loopback((uint16_t)listener_port(fd));
    err = listener_open(loop, fd, false, &listener_ops, origin, &origin->listener);
    CHECK(err == OK);
}

void stub_origin_close(struct stub_origin *origin)
{
    listener_close(origin->listener);
    origin->listener = NULL;
    for (struct list *link = origin->connections.next; link != &origin->connections;
         link = link->next) {
        stream_close(CONTAINER_OF(link, struct connection, link)->stream);
    }
}

union address stub_origin_dead_address(void)
{
    int fd = -1;
    struct note note;
    enum err err = listener_bind("127.0.0.1:0", BACKLOG, &fd, &note);
    CHECK(err == OK);
    union address address = loopback((uint16_t)listener_port(fd));
    (void)close(fd);
    return address;
}
