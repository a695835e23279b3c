/* tests/support/loop_play.h — one loop, raw peers at its sockets, and a clock that can be turned.
 *
 * Code under test runs on the play's loop in the test's own thread; the peers are plain descriptors
 * that the test writes to and reads from. Waiting means running the loop until something is so;
 * what has not happened after PLAY_PATIENCE_MS fails the test. The time that loops see (uv_hrtime,
 * led through here by serin_loop_play) stands still from play_begin on, however slow the machine
 * is; play_turn moves it, and deadlines fall due without being waited for. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/bytes.h"
#include "proxy/io/loop.h"

enum { PLAY_PATIENCE_MS = 40000, PEER_SIZE = 1 << 20 };

/* What came from a peer's other side. */
struct peer {
    int fd;
    size_t size;
    bool has_ended; /* FIN */
    bool is_reset;
    char text[PEER_SIZE];
};

void play_begin(struct loop *loop);
/* Lets everything that is closing close, and ends the loop; leaks fail. */
void play_end(struct loop *loop);
/* Runs what is ready, once. */
void play_step(struct loop *loop);
/* Runs for a few rounds: long enough for bytes on loopback to be handed over both ways. */
void play_settle(struct loop *loop);
/* Moves the loop's clock on, and runs nothing. */
void play_pass(uint64_t us);
/* ... and runs until the deadlines that are due have been called. */
void play_turn(struct loop *loop, uint64_t ms);

#define play_until(loop, condition)                                                                \
    do {                                                                                           \
        uint64_t play_give_up = play_now_ms() + PLAY_PATIENCE_MS;                                  \
        while (!(condition)) {                                                                     \
            if (play_now_ms() > play_give_up) {                                                    \
                fail_msg("never happened: %s", #condition);                                        \
            }                                                                                      \
            play_step(loop);                                                                       \
        }                                                                                          \
    } while (0)
/* Of the clock that nobody turns. */
uint64_t play_now_ms(void);

/* A connected pair over loopback TCP: fds[0] for the code under test (non-blocking), fds[1] for the
 * peer. */
void play_tcp_pair(int fds[2]);
/* A socket that listens on a free port of 127.0.0.1; the backlog does the accepting. */
int play_listen(unsigned *ret_port);

/* Peers are static or heap: they are large. */
void peer_init(struct peer *peer, int fd);
/* Waits for a connection at `listening`. */
void peer_accept(struct loop *loop, struct peer *peer, int listening);
/* Connects to a port of 127.0.0.1. */
void peer_connect(struct peer *peer, unsigned port);
void peer_send(struct loop *loop, struct peer *peer, const char *text);
void peer_send_bytes(struct loop *loop, struct peer *peer, struct bytes bytes);
/* Reads what is there, without waiting. */
void peer_look(struct peer *peer);
/* Runs the loop until the text has come (anywhere in what has come so far). */
void peer_expect(struct loop *loop, struct peer *peer, const char *text);
/* ... until so many bytes have come. */
void peer_expect_size(struct loop *loop, struct peer *peer, size_t size);
/* ... until FIN or reset. */
void peer_expect_end(struct loop *loop, struct peer *peer);
bool peer_has(const struct peer *peer, const char *text);
/* How often the text has come. */
size_t peer_count(const struct peer *peer, const char *text);
/* Forgets what has come. */
void peer_clear(struct peer *peer);
void peer_finish(struct peer *peer); /* FIN */
void peer_close(struct peer *peer);  /* twice is fine */
void peer_reset(struct peer *peer);  /* RST */
