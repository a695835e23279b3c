#include "proxy/io/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proxy/base/check.h"
#include "proxy/io/stream.h"
#include "proxy/io/watch.h"

/* News taken from the kernel at a time: few enough that timers stay punctual, and so many that a
 * batch is seldom full, behind which everyone is late (note_news). */
enum { EVENTS_PER_TURN = 512 };

static enum err embed_libuv(struct loop *loop)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        return ERR_IO;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, uv_backend_fd(&loop->uv), &event) != 0) {
        (void)close(loop->epoll_fd);
        return ERR_IO;
    }
    return OK;
}

enum err loop_init(struct loop *loop)
{
    enum err err = ERR_NOMEM;
    *loop = (struct loop){.now_us = uv_hrtime() / 1000};
    list_init(&loop->resumed);
    list_init(&loop->closed);
    loop->read_buffer = malloc(LOOP_READ_SIZE);
    loop->cork_buffer = malloc(LOOP_CORK_SIZE);
    if (loop->read_buffer == NULL || loop->cork_buffer == NULL || uv_loop_init(&loop->uv) != 0) {
        goto no_loop;
    }
    err = embed_libuv(loop);
    if (err != OK) {
        goto no_epoll;
    }
    random_init(&loop->random, 0);
    deadline_wheel_init(&loop->wheel, loop);
    return OK;

no_epoll:
    (void)uv_loop_close(&loop->uv);
no_loop:
    free(loop->read_buffer);
    free(loop->cork_buffer);
    return err;
}

void loop_finish(struct loop *loop)
{
    CHECK(loop->stream_count == 0);
    int status = uv_loop_close(&loop->uv);
    CHECK(status == 0);
    (void)close(loop->epoll_fd);
    free(loop->read_buffer);
    free(loop->cork_buffer);
    free(loop->layer_buffer);
    loop->read_buffer = NULL;
    loop->cork_buffer = NULL;
    loop->layer_buffer = NULL;
}

/* Who is resumed during these turns comes in the next one, so that nobody can keep the loop for
 * itself. */
static void run_resumed(struct loop *loop)
{
    struct list turn;
    list_init(&turn);
    while (!list_is_empty(&loop->resumed)) {
        list_push_back(&turn, list_pop_front(&loop->resumed));
    }
    for (struct list *link = list_pop_front(&turn); link != NULL; link = list_pop_front(&turn)) {
        struct watch *watch = CONTAINER_OF(link, struct watch, link);
        loop_enter(loop);
        watch->on_ready(watch, 0);
        loop_leave(loop);
    }
}

/* Whoever looks at a socket before its own news came in this turn can see that there are some. When
 * there are more than fit, nobody can tell whose: then everyone is late from the start. True when
 * libuv has news too. */
static bool note_news(struct loop *loop, const struct epoll_event *events, int count)
{
    bool has_letters = false;
    loop->now_us = uv_hrtime() / 1000;
    loop->asked_us = count < EVENTS_PER_TURN ? loop->now_us : 0;
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        if (watch != NULL) {
            watch->is_pending = true;
        } else {
            has_letters = true;
        }
    }
    return has_letters;
}

/* A look at the clock costs as much as a field's way through the house, so a few sockets share one;
 * the first have that of note_news. */
static void enter_news(struct loop *loop, unsigned index)
{
    if (index > 0 && index % LOOP_EVENTS_PER_LOOK == 0) {
        loop_enter(loop);
    } else {
        loop->depth++;
    }
}

static void run_news(struct loop *loop, const struct epoll_event *events, int count)
{
    unsigned handled = 0;
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        if (watch != NULL && watch->is_open) {
            watch->is_pending = false;
            enter_news(loop, handled++);
            watch->on_ready(watch, events[i].events);
            loop_leave(loop);
        }
    }
}

static void run_closed(struct loop *loop)
{
    for (struct list *link = list_pop_front(&loop->closed); link != NULL;
         link = list_pop_front(&loop->closed)) {
        struct watch *watch = CONTAINER_OF(link, struct watch, link);
        loop_enter(loop);
        watch->on_closed(watch);
        loop_leave(loop);
    }
}

static bool has_resumed_or_closed(const struct loop *loop)
{
    return !list_is_empty(&loop->resumed) || !list_is_empty(&loop->closed);
}

static bool is_alive(struct loop *loop)
{
    return loop->stream_count > 0 || has_resumed_or_closed(loop) || uv_loop_alive(&loop->uv) != 0;
}

bool loop_turn(struct loop *loop, bool may_wait)
{
    struct epoll_event events[EVENTS_PER_TURN];
    deadline_wheel_hold(&loop->wheel, loop->stream_count > 0);
    /* libuv tells the kernel of new descriptors only when it runs, so it runs before anybody waits.
     */
    (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    run_closed(loop);
    if (!is_alive(loop)) {
        return false;
    }
    bool waits = may_wait && !has_resumed_or_closed(loop) && !loop->is_stopped;
    int count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN,
                           waits ? uv_backend_timeout(&loop->uv) : 0);
    CHECK(count >= 0 || errno == EINTR);
    /* Letters come before the sockets of the same turn: who was told that a weight is in effect,
     * and asks then, is not dealt by the one before, however late this thread gets to run. */
    if (note_news(loop, events, count)) {
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
    }
    run_news(loop, events, count);
    run_resumed(loop);
    run_closed(loop);
    return true;
}

void loop_run(struct loop *loop)
{
    loop->is_stopped = false;
    while (!loop->is_stopped && loop_turn(loop, true)) {
    }
}

void loop_stop(struct loop *loop)
{
    loop->is_stopped = true;
}

void loop_leave(struct loop *loop)
{
    CHECK(loop->depth > 0);
    if (loop->depth == 1 && (loop->corked != NULL || loop->broken != NULL)) {
        stream_settle(loop);
    }
    loop->depth--;
}

char *loop_layer_buffer(struct loop *loop)
{
    if (loop->layer_buffer == NULL) {
        loop->layer_buffer = malloc((size_t)2 * LOOP_LAYER_SIZE);
    }
    return loop->layer_buffer;
}

void loop_shutdown(struct loop *loop)
{
    deadline_wheel_finish(&loop->wheel);
}

/* ---- watches ---- */

static enum err add(struct loop *loop, struct watch *watch, int fd, enum watch_mode mode)
{
    uint32_t edges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    uint32_t level = mode == WATCH_SHARED ? EPOLLIN | EPOLLEXCLUSIVE : EPOLLIN;
    struct epoll_event event = {.events = mode == WATCH_EDGES ? edges : level, .data.ptr = watch};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        return errno == ENOMEM || errno == ENOSPC ? ERR_NOMEM : ERR_IO;
    }
    return OK;
}

enum err watch_open(struct loop *loop, struct watch *watch, int fd, enum watch_mode mode)
{
    enum err err = add(loop, watch, fd, mode);
    if (err == OK) {
        watch_open_bare(loop, watch);
        watch->fd = fd;
        watch->is_shared = mode == WATCH_SHARED;
    }
    return err;
}

enum err watch_adopt(struct loop *loop, struct watch *watch, int fd)
{
    CHECK(watch->is_open);
    CHECK(watch->fd < 0);
    enum err err = add(loop, watch, fd, WATCH_EDGES);
    if (err == OK) {
        watch->fd = fd;
    }
    return err;
}

int watch_release(struct loop *loop, struct watch *watch)
{
    int fd = watch->fd;
    CHECK(fd >= 0);
    int status = epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    CHECK(status == 0);
    watch->fd = -1;
    return fd;
}

void watch_open_bare(struct loop *loop, struct watch *watch)
{
    watch->fd = -1;
    watch->is_open = true;
    list_init(&watch->link);
    loop->stream_count++;
}

void watch_resume(struct loop *loop, struct watch *watch)
{
    if (watch->is_open && list_is_empty(&watch->link)) {
        list_push_back(&loop->resumed, &watch->link);
    }
}

/* An exclusive registration cannot be changed, only made and taken away. */
static enum err set_shared_paused(struct loop *loop, struct watch *watch, bool is_paused)
{
    if (is_paused) {
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
        return OK;
    }
    return add(loop, watch, watch->fd, WATCH_SHARED);
}

enum err watch_set_paused(struct loop *loop, struct watch *watch, bool is_paused)
{
    if (watch->is_shared) {
        return set_shared_paused(loop, watch, is_paused);
    }
    struct epoll_event event = {.events = is_paused ? 0 : EPOLLIN, .data.ptr = watch};
    int status = epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &event);
    CHECK(status == 0);
    return OK;
}

void watch_close(struct loop *loop, struct watch *watch)
{
    CHECK(watch->is_open);
    if (watch->fd >= 0) {
        /* Closing alone would do only where nobody else holds the socket: a process that is being
         * started has all of ours until its program runs, and the kernel would go on telling of a
         * watch that is gone (epoll(7), question 6). */
        (void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
        (void)close(watch->fd);
    }
    watch->fd = -1;
    watch->is_open = false;
    list_remove(&watch->link);
    list_push_back(&loop->closed, &watch->link);
    loop->stream_count--;
}
