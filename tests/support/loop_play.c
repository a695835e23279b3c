#include "tests/support/loop_play.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SETTLE_ROUNDS = 6, SETTLE_PAUSE_US = 100, SOCKET_BUFFER_SIZE = 64 * 1024 };

static uint64_t clock_ns; /* 0: no play has begun, time goes by itself */

uint64_t __real_uv_hrtime(void);
uint64_t __wrap_uv_hrtime(void);

uint64_t __wrap_uv_hrtime(void)
{
    return clock_ns > 0 ? clock_ns : __real_uv_hrtime();
}

uint64_t play_now_ms(void)
{
    return __real_uv_hrtime() / 1000000;
}

void play_begin(struct loop *loop)
{
    assert_true(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    clock_ns = clock_ns > 0 ? clock_ns : __real_uv_hrtime();
    assert_int_equal(loop_init(loop), OK);
}

void play_end(struct loop *loop)
{
    loop_shutdown(loop);
    play_until(loop, !loop_turn(loop, false));
    assert_int_equal(loop->stream_count, 0);
    loop_finish(loop);
}

static void pause_us(long us)
{
    struct timespec pause = {0, us * 1000};
    (void)nanosleep(&pause, NULL);
}

void play_step(struct loop *loop)
{
    (void)loop_turn(loop, false);
    pause_us(50);
}

void play_settle(struct loop *loop)
{
    for (int i = 0; i < SETTLE_ROUNDS; i++) {
        (void)loop_turn(loop, false);
        pause_us(SETTLE_PAUSE_US);
    }
}

void play_pass(uint64_t us)
{
    clock_ns += us * 1000;
}

void play_turn(struct loop *loop, uint64_t ms)
{
    clock_ns += (ms + 2 * DEADLINE_TICK_MS) * 1000000;
    uint64_t looked = loop->wheel.tick;
    play_until(loop, loop->wheel.tick > looked);
}

/* Small buffers, so that a side that does not read is felt soon. */
static void make_small(int fd)
{
    int size = SOCKET_BUFFER_SIZE;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
}

static void set_non_blocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

int play_listen(unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    make_small(fd);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static int connect_to(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    make_small(fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    set_non_blocking(fd);
    return fd;
}

void play_tcp_pair(int fds[2])
{
    unsigned port;
    int listening = play_listen(&port);
    fds[1] = connect_to(port);
    fds[0] = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[0] >= 0);
    (void)close(listening);
}

void peer_init(struct peer *peer, int fd)
{
    peer->fd = fd;
    peer->size = 0;
    peer->has_ended = false;
    peer->is_reset = false;
}

void peer_connect(struct peer *peer, unsigned port)
{
    peer_init(peer, connect_to(port));
}

void peer_accept(struct loop *loop, struct peer *peer, int listening)
{
    int fd = -1;
    play_until(loop, (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
    peer_init(peer, fd);
}

void peer_send_bytes(struct loop *loop, struct peer *peer, struct bytes bytes)
{
    size_t sent = 0;
    while (sent < bytes.size) {
        ssize_t size = send(peer->fd, bytes.data + sent, bytes.size - sent, MSG_NOSIGNAL);
        if (size > 0) {
            sent += (size_t)size;
        } else if (errno != EAGAIN) {
            return; /* the other side is gone; the test sees it by what it reads */
        }
        play_step(loop);
    }
}

void peer_send(struct loop *loop, struct peer *peer, const char *text)
{
    peer_send_bytes(loop, peer, bytes_of(text));
}

void peer_look(struct peer *peer)
{
    while (!peer->has_ended && !peer->is_reset && peer->size < PEER_SIZE - 1) {
        ssize_t size = recv(peer->fd, peer->text + peer->size, PEER_SIZE - 1 - peer->size, 0);
        if (size > 0) {
            peer->size += (size_t)size;
        } else if (size == 0) {
            peer->has_ended = true;
        } else if (errno == EAGAIN) {
            return;
        } else {
            peer->is_reset = true;
        }
    }
}

bool peer_has(const struct peer *peer, const char *text)
{
    return memmem(peer->text, peer->size, text, strlen(text)) != NULL;
}

size_t peer_count(const struct peer *peer, const char *text)
{
    size_t count = 0;
    const char *at = peer->text;
    for (;;) {
        at = memmem(at, peer->size - (size_t)(at - peer->text), text, strlen(text));
        if (at == NULL) {
            return count;
        }
        at += strlen(text);
        count++;
    }
}

/* Of a flood only the end is kept. */
static void make_room(struct peer *peer)
{
    enum { KEPT = 4096 };
    if (peer->size > PEER_SIZE / 2) {
        memmove(peer->text, peer->text + peer->size - KEPT, KEPT);
        peer->size = KEPT;
    }
}

void peer_expect(struct loop *loop, struct peer *peer, const char *text)
{
    uint64_t give_up = play_now_ms() + PLAY_PATIENCE_MS;
    for (peer_look(peer); !peer_has(peer, text); peer_look(peer)) {
        if (play_now_ms() > give_up || peer->has_ended || peer->is_reset) {
            fail_msg("\"%s\" did not come, but%s: %.*s", text,
                     peer->has_ended  ? " the end after"
                     : peer->is_reset ? " a reset after"
                                      : "",
                     (int)(peer->size < 2000 ? peer->size : 2000), peer->text);
        }
        make_room(peer);
        play_step(loop);
    }
}

void peer_expect_size(struct loop *loop, struct peer *peer, size_t size)
{
    play_until(loop, (peer_look(peer), peer->size >= size || peer->has_ended || peer->is_reset));
    assert_true(peer->size >= size);
}

void peer_expect_end(struct loop *loop, struct peer *peer)
{
    play_until(loop, (peer_look(peer), peer->has_ended || peer->is_reset));
}

void peer_clear(struct peer *peer)
{
    peer->size = 0;
}

void peer_finish(struct peer *peer)
{
    assert_int_equal(shutdown(peer->fd, SHUT_WR), 0);
}

void peer_close(struct peer *peer)
{
    if (peer->fd >= 0) {
        (void)close(peer->fd);
        peer->fd = -1;
    }
}

void peer_reset(struct peer *peer)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    peer_close(peer);
}
