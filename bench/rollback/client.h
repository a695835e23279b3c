/* bench/rollback/client.h — clients that ask at a fixed rate, whatever the answers are, and count
 * what they got.
 *
 * Owned by the traffic program, one thread. A request waits for a free connection when all are
 * busy; it is not dropped, so the sum of answers is the sum of what was due. */
#pragma once
#include <stdint.h>

#include "bench/rollback/source.h"

enum { CLIENT_CONNECTIONS_MAX = 256, CLIENT_ANSWER_MAX = 4096 };

struct client;

struct client_connection {
    struct source source;
    struct client *client; /* borrows */
    int fd;                /* -1: not connected */
    uint64_t asked_us;     /* 0: free */
    size_t received;
    char answer[CLIENT_ANSWER_MAX];
};

struct client {
    int epoll_fd;
    uint16_t port;
    double rate_per_second;
    uint64_t started_us;
    uint64_t asked_count;
    uint64_t answered_count;
    uint64_t bad_count;    /* answers with a status of 500 or above */
    uint64_t broken_count; /* no whole answer */
    uint64_t last_bad_us;  /* 0: none */
    struct client_connection connections[CLIENT_CONNECTIONS_MAX];
};

void client_init(struct client *client, int epoll_fd, uint16_t port, double rate_per_second);

/* Starts the clock of the rate. */
void client_start(struct client *client);

/* Sends what is due by now, as far as connections are free. */
void client_ask(struct client *client);
