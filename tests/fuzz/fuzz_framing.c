/* Chunked bodies: read whole and in pieces of any size they come to the same end, and content and
 * trailers that were written again read back the same. */
#include <stdlib.h>

#include "proxy/base/check.h"
#include "proxy/base/hash.h"
#include "proxy/http/chunked.h"
#include "proxy/http1/http1_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 8192, WIRE_SIZE = 4 * INPUT_MAX };

static const struct framing_limits limits = {4096, 1024, 50};

/* What came of a body. */
struct outcome {
    struct arena arena;
    struct chunked_decoder decoder;
    enum chunked_event event;
    enum reject_reason reason;
    size_t consumed;
    size_t size;
    char content[INPUT_MAX];
};

/* Decodes in pieces of random size, or whole when `random` is NULL. */
static void decode(struct bytes in, struct random *random, struct outcome *outcome)
{
    struct reject reject = {0, REJECT_NONE};
    arena_init(&outcome->arena, 1 << 20);
    chunked_decoder_init(&outcome->decoder, false, &limits, &outcome->arena);
    outcome->event = CHUNKED_MORE;
    outcome->consumed = 0;
    outcome->size = 0;
    while (outcome->event == CHUNKED_MORE && outcome->consumed < in.size) {
        size_t left = in.size - outcome->consumed;
        size_t step = random != NULL ? 1 + random_below(random, left < 16 ? left : 16) : left;
        struct bytes piece = bytes_slice(in, outcome->consumed, step);
        struct bytes data;
        do {
            outcome->event = chunked_decoder_next(&outcome->decoder, &piece, &data, &reject);
            if (outcome->event == CHUNKED_DATA) {
                CHECK(data.size <= INPUT_MAX - outcome->size);
                memcpy(outcome->content + outcome->size, data.data, data.size);
                outcome->size += data.size;
            }
        } while (outcome->event == CHUNKED_DATA);
        outcome->consumed += step - piece.size;
    }
    outcome->reason = reject.reason;
}

static void check_same_content(const struct outcome *a, const struct outcome *b)
{
    const struct fields *left = &a->decoder.trailers;
    const struct fields *right = &b->decoder.trailers;
    CHECK(a->event == b->event);
    CHECK(a->size == b->size);
    CHECK(a->size == 0 || memcmp(a->content, b->content, a->size) == 0);
    CHECK(left->count == right->count);
    for (size_t i = 0; i < left->count; i++) {
        CHECK(bytes_equal(left->items[i].name, right->items[i].name));
        CHECK(bytes_equal(left->items[i].value, right->items[i].value));
    }
}

static void check_written(const struct outcome *first, struct outcome *second)
{
    static char wire[WIRE_SIZE];
    size_t size = 0;
    size_t last;
    if (first->size > 0) {
        size = http1_write_chunk_line(wire, first->size);
        memcpy(wire + size, first->content, first->size);
        size += first->size;
        memcpy(wire + size, "\r\n", 2);
        size += 2;
    }
    CHECK(http1_write_last_chunk(wire + size, sizeof wire - size, &first->decoder.trailers,
                                 &last) == OK);
    struct bytes body = bytes_make(wire, size + last);
    decode(body, NULL, second);
    /* A space more behind each colon may take trailers over their limits. */
    if (second->event == CHUNKED_END) {
        CHECK(second->consumed == body.size);
        check_same_content(first, second);
    } else {
        CHECK(second->reason == REJECT_HEAD_TOO_LONG || second->reason == REJECT_FIELD_TOO_LONG);
    }
    arena_finish(&second->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole;
    static struct outcome pieces;
    struct bytes in = {(const char *)data, size};
    struct random random;
    if (size > INPUT_MAX) {
        return 0;
    }
    random_init(&random, 1 + size);
    decode(in, NULL, &whole);
    for (int i = 0; i < 4; i++) {
        decode(in, &random, &pieces);
        CHECK(pieces.reason == whole.reason);
        CHECK(pieces.event != CHUNKED_END || pieces.consumed == whole.consumed);
        check_same_content(&whole, &pieces);
        arena_finish(&pieces.arena);
    }
    if (whole.event == CHUNKED_END) {
        check_written(&whole, &pieces);
    }
    arena_finish(&whole.arena);
    return 0;
}
