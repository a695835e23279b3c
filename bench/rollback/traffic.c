/* bench/rollback/traffic.c — both sides of a proxy under a canary that breaks: two origins and the
 * clients.
 *
 * They share one thread and one clock, so the times are exact. Everything is on 127.0.0.1.
 *
 *     rollback_traffic PROXY_PORT PREVIOUS_PORT CURRENT_PORT RATE BREAK_AFTER_S FAIL_RATIO
 *
 * It prints "listening", and starts asking when a line arrives on standard input. After
 * BREAK_AFTER_S seconds the current version fails FAIL_RATIO of its answers with 500. When standard
 * input ends it prints one line of JSON with counts and times (monotonic microseconds, 0 for never)
 * and ends. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/rollback/client.h"
#include "bench/rollback/origin.h"

enum { EVENTS_MAX = 256, TICK_MS = 1 };

struct traffic {
    struct source input;
    int epoll_fd;
    bool is_asking;
    bool is_over;
    uint64_t break_after_us;
    struct origin previous;
    struct origin current;
    struct client client;
};

static void on_input(struct source *source, uint32_t events)
{
    struct traffic *traffic = (struct traffic *)source;
    char line[64];
    (void)events;
    if (read(STDIN_FILENO, line, sizeof line) <= 0) {
        traffic->is_over = true;
        return;
    }
    if (!traffic->is_asking) {
        traffic->is_asking = true;
        client_start(&traffic->client);
    }
}

static void tick(struct traffic *traffic)
{
    if (!traffic->is_asking) {
        return;
    }
    uint64_t elapsed_us = source_now_us() - traffic->client.started_us;
    traffic->current.is_broken = elapsed_us >= traffic->break_after_us;
    client_ask(&traffic->client);
}

static void report(const struct traffic *traffic)
{
    const struct client *client = &traffic->client;
    printf("{\"asked\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"client_bad\":%" PRIu64
           ",\"client_broken\":%" PRIu64 ",\"client_last_bad_us\":%" PRIu64,
           client->asked_count, client->answered_count, client->bad_count, client->broken_count,
           client->last_bad_us);
    printf(
        ",\"previous_answers\":%" PRIu64 ",\"canary_answers\":%" PRIu64 ",\"canary_bad\":%" PRIu64
        ",\"first_bad_us\":%" PRIu64 ",\"last_canary_us\":%" PRIu64 "}\n",
        traffic->previous.answered_count, traffic->current.answered_count,
        traffic->current.bad_count, traffic->current.first_bad_us, traffic->current.last_answer_us);
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 7) {
        fprintf(stderr, "usage: rollback_traffic PROXY_PORT PREVIOUS_PORT CURRENT_PORT RATE "
                        "BREAK_AFTER_S FAIL_RATIO\n");
        return 2;
    }
    static struct traffic traffic;
    traffic.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    traffic.input.on_event = on_input;
    traffic.break_after_us = (uint64_t)(strtod(arguments[5], NULL) * 1e6);
    client_init(&traffic.client, traffic.epoll_fd, (uint16_t)atoi(arguments[1]),
                strtod(arguments[4], NULL));
    origin_init(&traffic.previous, traffic.epoll_fd, (uint16_t)atoi(arguments[2]), 0);
    origin_init(&traffic.current, traffic.epoll_fd, (uint16_t)atoi(arguments[3]),
                strtod(arguments[6], NULL));
    if (source_watch(traffic.epoll_fd, STDIN_FILENO, &traffic.input) != 0) {
        perror("standard input");
        return 1;
    }
    puts("listening");
    fflush(stdout);
    while (!traffic.is_over) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(traffic.epoll_fd, events, EVENTS_MAX, TICK_MS);
        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;
            source->on_event(source, events[i].events);
        }
        tick(&traffic);
    }
    report(&traffic);
    return 0;
}
