/* Requests: the outcome does not depend on cuts, llhttp reads the same in every head,
 * and what was accepted, cleaned and written reads back as the same request. */
#include <stdlib.h>

#include "proxy/base/check.h"
#include "proxy/http/forward.h"
#include "proxy/http1/http1_parser.h"
#include "proxy/http1/http1_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FIELDS_MAX = 100,
    OUT_FIELDS_MAX = FIELDS_MAX + FORWARD_FIELDS_ADDED_MAX,
    OUT_SIZE = 1 << 17
};

static const struct framing_limits limits = {32 * 1024, 8 * 1024, FIELDS_MAX};
static const struct framing_limits limits_behind = {1 << 17, 1 << 16, OUT_FIELDS_MAX};

static enum framing_scan scan_in_steps(struct bytes in, size_t step,
                                       struct framing_scanner *scanner, struct reject *reject)
{
    framing_scanner_init(scanner, FRAMING_REQUEST);
    for (size_t seen = 0;; seen += step) {
        bool is_last = in.size - seen <= step;
        struct bytes part = bytes_slice(in, 0, is_last ? in.size : seen + step);
        enum framing_scan scan = framing_scan_head(scanner, part, &limits, reject);
        if (is_last || scan != FRAMING_INCOMPLETE) {
            return scan;
        }
    }
}

/* llhttp reads the same in a head that it is not asked about otherwise. */
static void check_by_llhttp(struct bytes head, enum err err, const struct request *request,
                            const struct reject *reject)
{
    struct field items[FIELDS_MAX];
    struct request again;
    struct reject again_reject;
    enum err again_err =
        http1_parse_request_by_llhttp(head, items, FIELDS_MAX, &again, &again_reject);
    CHECK(again_err == err);
    if (err != OK) {
        CHECK(again_reject.reason == reject->reason);
        CHECK(again_reject.status == reject->status);
        return;
    }
    CHECK(again.method == request->method);
    CHECK(again.version == request->version);
    CHECK(bytes_equal(again.target, request->target));
    CHECK(again.body == request->body);
    CHECK(again.content_length == request->content_length);
    CHECK(again.fields.count == request->fields.count);
    for (size_t i = 0; i < again.fields.count; i++) {
        CHECK(bytes_equal(items[i].name, request->fields.items[i].name));
        CHECK(bytes_equal(items[i].value, request->fields.items[i].value));
        CHECK(items[i].id == request->fields.items[i].id);
    }
}

static void check_same(const struct request *sent, const struct request *read)
{
    CHECK(read->method == sent->method);
    CHECK(read->version == HTTP_1_1);
    CHECK(bytes_equal(read->target, sent->target));
    CHECK(bytes_equal(read->authority, sent->fields.items[0].value));
    CHECK(bytes_equal(read->upgrade, sent->upgrade));
    CHECK(read->body == sent->body);
    CHECK(read->content_length == sent->content_length);
    CHECK(read->is_keep_alive);
    CHECK(read->expects_continue == sent->expects_continue);
    CHECK(read->accepts_trailers == sent->accepts_trailers);
    for (size_t i = 0; i < sent->fields.count; i++) {
        CHECK(bytes_equal(read->fields.items[i].name, sent->fields.items[i].name));
        CHECK(bytes_equal(read->fields.items[i].value, sent->fields.items[i].value));
    }
}

/* Sends it on as a proxy would and reads what the origin would read. */
static void check_forwarded(const struct request *request, bool is_peer_trusted)
{
    static char wire[OUT_SIZE];
    struct field sent_items[OUT_FIELDS_MAX];
    struct field read_items[OUT_FIELDS_MAX];
    struct arena arena;
    struct random random;
    struct request sent;
    struct request read;
    struct reject reject;
    struct framing_scanner scanner;
    struct forward_facts facts = {.peer_address = BYTES("2001:db8::1"),
                                  .scheme = BYTES("https"),
                                  .origin_authority = BYTES("origin:80"),
                                  .is_host_kept = true,
                                  .is_peer_trusted = is_peer_trusted,
                                  .client_fields = FORWARD_CLIENT_X | FORWARD_CLIENT_RFC7239};
    size_t size;
    arena_init(&arena, 1 << 20);
    random_init(&random, 1);
    struct request whole = *request;
    CHECK(framing_add_path(&whole, &arena) == OK);
    CHECK(whole.target.data[0] == '/' || bytes_equal(whole.target, BYTES("*")));
    enum err err =
        forward_request(&whole, &facts, &random, sent_items, OUT_FIELDS_MAX, &arena, &sent);
    CHECK(err == OK || err == ERR_LIMIT);
    if (err == OK) {
        CHECK(http1_write_request(wire, sizeof wire, &sent, &size) == OK);
        framing_scanner_init(&scanner, FRAMING_REQUEST);
        struct bytes head = bytes_make(wire, size);
        CHECK(framing_scan_head(&scanner, head, &limits_behind, &reject) == FRAMING_COMPLETE);
        CHECK(scanner.position == size);
        CHECK(http1_parse_request(head, read_items, OUT_FIELDS_MAX, &read, &reject) == OK);
        check_same(&sent, &read);
    }
    arena_finish(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = {(const char *)data, size};
    struct framing_scanner scanner;
    struct framing_scanner stepped;
    struct reject reject = {0, REJECT_NONE};
    struct reject stepped_reject = {0, REJECT_NONE};
    struct field items[FIELDS_MAX];
    struct request request;
    if (size == 0 || size > limits.head_max) {
        return 0;
    }
    enum framing_scan scan = scan_in_steps(in, size, &scanner, &reject);
    CHECK(scan_in_steps(in, 1 + data[size - 1] % 7, &stepped, &stepped_reject) == scan);
    CHECK(stepped.position == scanner.position);
    CHECK(stepped_reject.reason == reject.reason);
    if (scan != FRAMING_COMPLETE) {
        return 0;
    }
    struct bytes head = framing_head(&scanner, in);
    enum err err = http1_parse_request(head, items, FIELDS_MAX, &request, &reject);
    check_by_llhttp(head, err, &request, &reject);
    if (err != OK) {
        CHECK(reject.status >= 400);
        return 0;
    }
    CHECK(request.fields.count == scanner.field_count);
    check_forwarded(&request, data[size - 1] % 2 == 0);
    return 0;
}
