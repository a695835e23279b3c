/* bench/rollback/source.h — what an epoll set of the traffic program holds: something with an event
 * handler.
 *
 * Embed it as the first member; the handler gets the source back and finds its owner by a cast. One
 * thread. */
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

struct source {
    void (*on_event)(struct source *source, uint32_t events);
};

static inline int source_watch(int epoll_fd, int fd, struct source *source)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = source};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static inline struct sockaddr_in source_loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* Monotonic microseconds; other processes on this machine read the same clock. */
static inline uint64_t source_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
