#include "bench/rollback/origin.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 1024, RECEIVE_SIZE = 16 * 1024 };

static const char head_end[] = "\r\n\r\n";
static const char good_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ngood\n";
static const char bad_answer[] =
    "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nbad\n";

/* A connection from the proxy; frees itself when it ends. */
struct served {
    struct source source;
    int fd;
    struct origin *origin;
    size_t head_end_seen; /* bytes of head_end that the last read ended with */
};

/* xorshift64*: uniform in [0, 1). */
static double draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * UINT64_C(2685821657736338717)) >> 11) * 0x1p-53;
}

static bool answer(struct served *served)
{
    struct origin *origin = served->origin;
    bool is_bad = origin->is_broken && draw(&origin->random) < origin->fail_ratio;
    origin->last_answer_us = source_now_us();
    origin->answered_count++;
    if (is_bad) {
        origin->bad_count++;
        if (origin->first_bad_us == 0) {
            origin->first_bad_us = origin->last_answer_us;
        }
    }
    const char *text = is_bad ? bad_answer : good_answer;
    size_t count = strlen(text);
    return send(served->fd, text, count, MSG_NOSIGNAL) == (ssize_t)count;
}

/* Answers each head that ends in these bytes; false when the connection is no more. */
static bool take(struct served *served, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_next = bytes[i] == head_end[served->head_end_seen];
        served->head_end_seen = is_next ? served->head_end_seen + 1 : bytes[i] == '\r';
        if (served->head_end_seen == strlen(head_end)) {
            served->head_end_seen = 0;
            if (!answer(served)) {
                return false;
            }
        }
    }
    return true;
}

static void on_served(struct source *source, uint32_t events)
{
    struct served *served = (struct served *)source;
    (void)events;
    char buffer[RECEIVE_SIZE];
    ssize_t received = recv(served->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN) {
        return;
    }
    if (received <= 0 || !take(served, buffer, (size_t)received)) {
        close(served->fd);
        free(served);
    }
}

static void on_connection(struct source *source, uint32_t events)
{
    struct origin *origin = (struct origin *)source;
    (void)events;
    int fd = accept4(origin->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct served *served = calloc(1, sizeof *served);
    if (!served) {
        close(fd);
        return;
    }
    served->source.on_event = on_served;
    served->fd = fd;
    served->origin = origin;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (source_watch(origin->epoll_fd, fd, &served->source) != 0) {
        close(fd);
        free(served);
    }
}

void origin_init(struct origin *origin, int epoll_fd, uint16_t port, double fail_ratio)
{
    struct sockaddr_in address = source_loopback(port);
    int on = 1;
    *origin = (struct origin){
        .source.on_event = on_connection,
        .epoll_fd = epoll_fd,
        .listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
        .fail_ratio = fail_ratio,
        .random = source_now_us() | 1,
    };
    setsockopt(origin->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(origin->listen_fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(origin->listen_fd, BACKLOG) != 0 ||
        source_watch(epoll_fd, origin->listen_fd, &origin->source) != 0) {
        perror("origin");
        exit(1);
    }
}
