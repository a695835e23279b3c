/* tests/fuzz/fuzz_proxy_protocol.c — a PROXY header reads the same however it comes in pieces, and
 * as what is written of it. */
#include "proxy/base/check.h"
#include "proxy/io/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written(enum proxy_protocol version, const struct proxy_ends *ends)
{
    char out[PROXY_PROTOCOL_OUT_MAX];
    struct proxy_ends again;
    size_t read = 0;
    size_t written = proxy_protocol_write(version, ends, out);
    CHECK(proxy_protocol_scan(bytes_make(out, written), &again, &read) == PROXY_SCAN_DONE);
    CHECK(read == written);
    CHECK(again.is_known == ends->is_known);
    CHECK(ip_equal(&again.client, &ends->client));
    CHECK(ip_equal(&again.server, &ends->server));
    CHECK(again.client_port == ends->client_port);
    CHECK(again.server_port == ends->server_port);
}

/* Before its end a header is only begun; what is refused stays so, whatever follows. */
static void check_pieces(struct bytes in, enum proxy_scan whole, size_t header_size)
{
    bool is_refused = false;
    for (size_t size = 0; size <= in.size; size++) {
        struct proxy_ends ends;
        size_t read = 0;
        enum proxy_scan part = proxy_protocol_scan(bytes_slice(in, 0, size), &ends, &read);
        CHECK(!is_refused || part == PROXY_SCAN_REFUSED);
        CHECK(part != PROXY_SCAN_DONE || (whole == PROXY_SCAN_DONE && read == header_size));
        CHECK(whole != PROXY_SCAN_DONE || (part == PROXY_SCAN_DONE) == (size >= header_size));
        CHECK(part != PROXY_SCAN_MORE || size < PROXY_PROTOCOL_MAX);
        is_refused = part == PROXY_SCAN_REFUSED;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = {(const char *)data, size};
    struct proxy_ends ends;
    size_t header_size = 0;
    if (size > 2 * PROXY_PROTOCOL_MAX) {
        return 0;
    }
    enum proxy_scan whole = proxy_protocol_scan(in, &ends, &header_size);
    if (whole == PROXY_SCAN_DONE) {
        CHECK(header_size <= size);
        check_written(PROXY_PROTOCOL_V1, &ends);
        check_written(PROXY_PROTOCOL_V2, &ends);
    }
    check_pieces(in, whole, header_size);
    return 0;
}
