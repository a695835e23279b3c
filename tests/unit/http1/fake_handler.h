/* tests/unit/http1/fake_handler.h — a handler that does what the test says, on a server of its own.
 */
#pragma once
#include "proxy/http1/http1_server.h"
#include "tests/support/loop_play.h"

enum fake_mode {
    FAKE_ANSWERS,   /* at once, with "answer" */
    FAKE_WAITS,     /* the test answers */
    FAKE_GATHERS,   /* wants the body, and answers when it has ended */
    FAKE_WAITS_MORE /* wants the body, and the test answers */
};

struct fake {
    struct handler handler;
    struct loop loop;
    struct http1_server_host host;
    struct worker_cells cells;
    enum fake_mode mode;
    struct responder *responder; /* of the request that waits; NULL: none */
    enum http_version version;
    enum method method;
    size_t open_count;
    size_t body_end_count;
    size_t trailer_count;
    size_t gone_count;
    size_t drained_count;
    size_t body_size;
    char body[256 * 1024];
    char targets[4096]; /* of all requests, each with a space behind it */
};

void fake_begin(struct fake *fake, enum fake_mode mode);
void fake_end(struct fake *fake);
/* A new connection; its client. */
void fake_connect(struct fake *fake, struct peer *client);
/* Answers with a length. */
void fake_answer(struct fake *fake, unsigned status, struct bytes body);
/* Only a head: the body and its end are the test's to send. Inside fake_enter. */
void fake_head(struct fake *fake, unsigned status, enum body_kind body, uint64_t length);
uint64_t fake_rejected(const struct fake *fake, enum reject_reason reason);
