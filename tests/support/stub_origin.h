/* tests/support/stub_origin.h — an origin on the test's own loop that answers every request with
 * the same bytes.
 *
 * One request per connection: when its head is complete, `answer` goes out and the connection is
 * ended, unless it is told to keep silent. Listens on a free port of 127.0.0.1. */
#pragma once
#include "proxy/io/address.h"
#include "proxy/io/listener.h"
#include "proxy/io/loop.h"

enum { STUB_ORIGIN_REQUEST_MAX = 4096 };

struct stub_origin {
    struct loop *loop;
    struct listener *listener;
    union address address;
    struct bytes answer; /* borrowed; empty: the connection is ended without one */
    bool is_silent;      /* reads, and says nothing */
    bool is_endless;     /* after the answer come zeros without end */
    size_t request_count;
    size_t open_count;
    size_t open_max; /* the most that were open at once */
    size_t request_size;
    char request[STUB_ORIGIN_REQUEST_MAX]; /* the latest, terminated */
    struct list connections;
};

void stub_origin_open(struct stub_origin *origin, struct loop *loop);
/* Stops listening and ends all connections. Closing twice is fine. */
void stub_origin_close(struct stub_origin *origin);
/* An address at which nobody listens. */
union address stub_origin_dead_address(void);
