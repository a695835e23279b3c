#include "proxy/cache/cache_status.h"

#include <inttypes.h>
#include <stdio.h>

#include "proxy/base/check.h"

static struct bytes forward_text(enum cache_forward forward)
{
    static const struct bytes texts[CACHE_FORWARD_COUNT] = {
#define CACHE_FORWARD_TEXT(id, text) [CACHE_FORWARD_##id] = {text, sizeof(text) - 1},
        CACHE_FORWARD_LIST(CACHE_FORWARD_TEXT)
#undef CACHE_FORWARD_TEXT
    };
    CHECK(forward < CACHE_FORWARD_COUNT);
    return texts[forward];
}

static void add(char text[CACHE_STATUS_MAX], size_t *size, struct bytes name, struct bytes value)
{
    size_t room = CACHE_STATUS_MAX - *size;
    int written = snprintf(text + *size, room, "; %.*s%s%.*s", BYTES_ARGS(name),
                           value.size > 0 ? "=" : "", BYTES_ARGS(value));
    CHECK(written > 0);
    CHECK((size_t)written < room);
    *size += (size_t)written;
}

static void add_number(char text[CACHE_STATUS_MAX], size_t *size, struct bytes name, int64_t value)
{
    char number[24];
    (void)snprintf(number, sizeof number, "%" PRId64, value);
    add(text, size, name, bytes_of(number));
}

struct bytes cache_status_format(const struct cache_status *status, char text[CACHE_STATUS_MAX])
{
    struct bytes none = {NULL, 0};
    size_t size = (size_t)snprintf(text, CACHE_STATUS_MAX, "serin");
    CHECK(status->is_hit == (status->forward == CACHE_FORWARD_NONE));
    CHECK(status->detail.size <= CACHE_STATUS_DETAIL_MAX);
    if (status->is_hit) {
        add(text, &size, BYTES("hit"), none);
    } else {
        add(text, &size, BYTES("fwd"), forward_text(status->forward));
    }
    if (status->forward_status != 0) {
        add_number(text, &size, BYTES("fwd-status"), status->forward_status);
    }
    if (status->has_ttl) {
        add_number(text, &size, BYTES("ttl"), status->ttl_s);
    }
    if (status->is_stored) {
        add(text, &size, BYTES("stored"), none);
    }
    if (status->is_collapsed) { /* it waited, and was forwarded all the same: `?0` */
        add(text, &size, BYTES("collapsed"), status->is_hit ? none : BYTES("?0"));
    }
    if (status->detail.size > 0) {
        add(text, &size, BYTES("detail"), status->detail);
    }
    return bytes_make(text, size);
}
