/* bench/load/floor.c — the byte shoveler: what no HTTP proxy on sockets can beat.
 *
 * One thread and one epoll set. A client connection gets an upstream connection of its own, and
 * from then on bytes are received on one and sent on the other; nothing is parsed, counted or
 * timed. Of ten clients in a row nine go to the first upstream and one to the second, which is as
 * near to a 90:10 split as something that cannot see a request comes. An end whose peer cannot take
 * more is not read until the peer has taken it.
 *
 *     floor LISTEN_PORT FIRST_UPSTREAM_PORT SECOND_UPSTREAM_PORT        (all on 127.0.0.1; ends on
 * a signal) */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024, EVENTS_MAX = 512, BACKLOG = 4096, CLIENTS_PER_CANARY = 10 };

struct pair;

/* One socket of a pair. `pending` (owned) are bytes it was to send and could not yet. */
struct end {
    int fd;
    struct end *peer;
    struct pair *pair;
    char *pending;
    size_t pending_sent;
    size_t pending_count;
};

struct pair {
    struct end ends[2];
    bool is_dead;
    struct pair *next_dead;
};

struct floor {
    int epoll_fd;
    int listen_fd;
    uint16_t upstream_ports[2];
    unsigned accepted;
    struct pair *dead; /* freed after the batch of events that may still name them */
    char buffer[READ_SIZE];
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, BACKLOG) != 0) {
        die("listen");
    }
    return fd;
}

/* On loopback a connect that may block is done at once; -1 when it is refused. */
static int connect_to(uint16_t port)
{
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void watch(struct floor *floor, int operation, int fd, uint32_t events, void *owner)
{
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(floor->epoll_fd, operation, fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void pair_kill(struct floor *floor, struct pair *pair)
{
    if (pair->is_dead) {
        return;
    }
    pair->is_dead = true;
    close(pair->ends[0].fd);
    close(pair->ends[1].fd);
    pair->next_dead = floor->dead;
    floor->dead = pair;
}

static void bury_the_dead(struct floor *floor)
{
    while (floor->dead) {
        struct pair *pair = floor->dead;
        floor->dead = pair->next_dead;
        free(pair->ends[0].pending);
        free(pair->ends[1].pending);
        free(pair);
    }
}

static void pair_open(struct floor *floor, int client_fd)
{
    bool is_canary = floor->accepted++ % CLIENTS_PER_CANARY == CLIENTS_PER_CANARY - 1;
    int upstream_fd = connect_to(floor->upstream_ports[is_canary]);
    struct pair *pair = calloc(1, sizeof *pair);
    if (upstream_fd < 0 || !pair) {
        die("connect to the upstream");
    }
    int fds[2] = {client_fd, upstream_fd};
    int on = 1;
    for (int i = 0; i < 2; i++) {
        pair->ends[i] = (struct end){.fd = fds[i], .peer = &pair->ends[1 - i], .pair = pair};
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        watch(floor, EPOLL_CTL_ADD, fds[i], EPOLLIN, &pair->ends[i]);
    }
}

static void on_connections(struct floor *floor)
{
    for (;;) {
        int fd = accept4(floor->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        pair_open(floor, fd);
    }
}

/* Keeps what the peer could not take, stops reading, and waits until it can. */
static void hold_back(struct floor *floor, struct end *from, const char *bytes, size_t count)
{
    struct end *to = from->peer;
    to->pending = malloc(count);
    if (!to->pending) {
        die("malloc");
    }
    memcpy(to->pending, bytes, count);
    to->pending_sent = 0;
    to->pending_count = count;
    watch(floor, EPOLL_CTL_MOD, from->fd, 0, from);
    watch(floor, EPOLL_CTL_MOD, to->fd, EPOLLIN | EPOLLOUT, to);
}

static void on_readable(struct floor *floor, struct end *end)
{
    ssize_t received = recv(end->fd, floor->buffer, sizeof floor->buffer, MSG_DONTWAIT);
    if (received <= 0) {
        if (received == 0 || errno != EAGAIN) {
            pair_kill(floor, end->pair);
        }
        return;
    }
    size_t count = (size_t)received;
    ssize_t sent = send(end->peer->fd, floor->buffer, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        pair_kill(floor, end->pair);
        return;
    }
    size_t done = sent < 0 ? 0 : (size_t)sent;
    if (done < count) {
        hold_back(floor, end, floor->buffer + done, count - done);
    }
}

static void on_writable(struct floor *floor, struct end *end)
{
    ssize_t sent = send(end->fd, end->pending + end->pending_sent,
                        end->pending_count - end->pending_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) {
            pair_kill(floor, end->pair);
        }
        return;
    }
    end->pending_sent += (size_t)sent;
    if (end->pending_sent == end->pending_count) {
        free(end->pending);
        end->pending = NULL;
        watch(floor, EPOLL_CTL_MOD, end->fd, EPOLLIN, end);
        watch(floor, EPOLL_CTL_MOD, end->peer->fd, EPOLLIN, end->peer);
    }
}

static void on_event(struct floor *floor, const struct epoll_event *event)
{
    struct end *end = event->data.ptr;
    if (!end) {
        on_connections(floor);
        return;
    }
    if (!end->pair->is_dead && end->pending && (event->events & EPOLLOUT)) {
        on_writable(floor, end);
    }
    if (!end->pair->is_dead && (event->events & EPOLLIN)) {
        on_readable(floor, end);
    }
    if (!end->pair->is_dead && !(event->events & EPOLLIN) &&
        (event->events & (EPOLLHUP | EPOLLERR))) {
        pair_kill(floor, end->pair);
    }
}

static uint16_t port_of(const char *text)
{
    long port = strtol(text, NULL, 10);
    if (port < 1 || port > UINT16_MAX) {
        fprintf(stderr, "floor: not a port: %s\n", text);
        exit(2);
    }
    return (uint16_t)port;
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 4) {
        fprintf(stderr, "usage: floor LISTEN_PORT FIRST_UPSTREAM_PORT SECOND_UPSTREAM_PORT\n");
        return 2;
    }
    static struct floor floor;
    floor.listen_fd = listen_on(port_of(arguments[1]));
    floor.upstream_ports[0] = port_of(arguments[2]);
    floor.upstream_ports[1] = port_of(arguments[3]);
    floor.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (floor.epoll_fd < 0) {
        die("epoll_create1");
    }
    watch(&floor, EPOLL_CTL_ADD, floor.listen_fd, EPOLLIN, NULL);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(floor.epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            on_event(&floor, &events[i]);
        }
        bury_the_dead(&floor);
    }
}
