#include "bench/rollback/client.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FIRST_BAD_STATUS = 500 };

static const char request[] = "GET / HTTP/1.1\r\nHost: bench.test\r\n\r\n";
static const char status_prefix[] = "HTTP/1.1 ";

static void hang_up(struct client_connection *connection)
{
    if (connection->asked_us != 0) {
        connection->client->broken_count++;
    }
    close(connection->fd);
    connection->fd = -1;
    connection->asked_us = 0;
    connection->received = 0;
}

/* The whole answer's length once its head is complete, else 0. */
static size_t answer_length(const struct client_connection *connection)
{
    const char *end = strstr(connection->answer, "\r\n\r\n");
    if (!end) {
        return 0;
    }
    size_t length = (size_t)(end - connection->answer) + strlen("\r\n\r\n");
    const char *field = strcasestr(connection->answer, "\r\nContent-Length:");
    if (field && field < end) {
        length += strtoul(field + strlen("\r\nContent-Length:"), NULL, 10);
    }
    return length;
}

static void count_answer(struct client_connection *connection)
{
    struct client *client = connection->client;
    bool is_bad = strncmp(connection->answer, status_prefix, strlen(status_prefix)) != 0 ||
                  atoi(connection->answer + strlen(status_prefix)) >= FIRST_BAD_STATUS;
    client->answered_count++;
    if (is_bad) {
        client->bad_count++;
        client->last_bad_us = source_now_us();
    }
    connection->asked_us = 0;
    connection->received = 0;
}

static void on_answer(struct source *source, uint32_t events)
{
    struct client_connection *connection = (struct client_connection *)source;
    (void)events;
    if (connection->fd < 0) {
        return;
    }
    ssize_t received = recv(connection->fd, connection->answer + connection->received,
                            CLIENT_ANSWER_MAX - 1 - connection->received, MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN) {
        return;
    }
    if (received <= 0) {
        hang_up(connection);
        return;
    }
    connection->received += (size_t)received;
    connection->answer[connection->received] = '\0';
    size_t length = answer_length(connection);
    if (length > 0 && connection->received >= length) {
        count_answer(connection);
    }
}

static bool connect_now(struct client_connection *connection)
{
    struct client *client = connection->client;
    struct sockaddr_in address = source_loopback(client->port);
    int on = 1;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(connection->fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        source_watch(client->epoll_fd, connection->fd, &connection->source) != 0) {
        close(connection->fd);
        connection->fd = -1;
        return false;
    }
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return true;
}

static bool ask_on(struct client_connection *connection)
{
    if (connection->fd < 0 && !connect_now(connection)) {
        return false;
    }
    if (send(connection->fd, request, strlen(request), MSG_NOSIGNAL) < 0) {
        hang_up(connection);
        return false;
    }
    connection->asked_us = source_now_us();
    return true;
}

void client_init(struct client *client, int epoll_fd, uint16_t port, double rate_per_second)
{
    memset(client, 0, sizeof *client);
    client->epoll_fd = epoll_fd;
    client->port = port;
    client->rate_per_second = rate_per_second;
    for (int i = 0; i < CLIENT_CONNECTIONS_MAX; i++) {
        client->connections[i].source.on_event = on_answer;
        client->connections[i].client = client;
        client->connections[i].fd = -1;
    }
}

void client_start(struct client *client)
{
    client->started_us = source_now_us();
}

void client_ask(struct client *client)
{
    double elapsed_s = (double)(source_now_us() - client->started_us) / 1e6;
    uint64_t due = (uint64_t)(elapsed_s * client->rate_per_second);
    for (int i = 0; i < CLIENT_CONNECTIONS_MAX && client->asked_count < due; i++) {
        struct client_connection *connection = &client->connections[i];
        if (connection->asked_us == 0 && ask_on(connection)) {
            client->asked_count++;
        }
    }
}
