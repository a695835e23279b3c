/* Responses: llhttp reads the same in every head, and what was accepted, cleaned and written reads
 * back as the same response. The last byte of an input says what had been asked for. */
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

/* llhttp reads the same in a head that it is not asked about otherwise. */
static void check_by_llhttp(struct bytes head, const struct framing_asked *asked, enum err err,
                            const struct response *response, const struct reject *reject)
{
    struct field items[FIELDS_MAX];
    struct response again;
    struct reject again_reject;
    enum err again_err =
        http1_parse_response_by_llhttp(head, asked, items, FIELDS_MAX, &again, &again_reject);
    CHECK(again_err == err);
    if (err != OK) {
        CHECK(again_reject.reason == reject->reason);
        return;
    }
    CHECK(again.status == response->status);
    CHECK(again.version == response->version);
    CHECK(bytes_equal(again.reason, response->reason));
    CHECK(again.body == response->body);
    CHECK(again.has_content_length == response->has_content_length);
    CHECK(again.content_length == response->content_length);
    CHECK(again.fields.count == response->fields.count);
    for (size_t i = 0; i < again.fields.count; i++) {
        CHECK(bytes_equal(items[i].name, response->fields.items[i].name));
        CHECK(bytes_equal(items[i].value, response->fields.items[i].value));
        CHECK(items[i].id == response->fields.items[i].id);
    }
}

static void check_same(const struct response *sent, const struct response *read)
{
    CHECK(read->status == sent->status);
    CHECK(bytes_equal(read->reason, sent->reason));
    CHECK(bytes_equal(read->upgrade, sent->upgrade));
    CHECK(read->body == sent->body);
    CHECK(read->has_content_length == sent->has_content_length);
    CHECK(!read->has_content_length || read->content_length == sent->content_length);
    for (size_t i = 0; i < sent->fields.count; i++) {
        CHECK(bytes_equal(read->fields.items[i].name, sent->fields.items[i].name));
        CHECK(bytes_equal(read->fields.items[i].value, sent->fields.items[i].value));
    }
}

static void check_forwarded(const struct response *response, const struct framing_asked *asked,
                            enum http_version client_version)
{
    static char wire[OUT_SIZE];
    struct field sent_items[OUT_FIELDS_MAX];
    struct field read_items[OUT_FIELDS_MAX];
    struct response sent;
    struct response read;
    struct reject reject;
    struct framing_scanner scanner;
    size_t size;
    struct forward_back_facts facts = {.client_version = client_version,
                                       .is_client_keep_alive = true,
                                       .is_head = asked->is_head,
                                       .date = BYTES("Mon, 23 Nov 2026 05:40:41 GMT")};
    if (forward_response(response, &facts, sent_items, OUT_FIELDS_MAX, &sent) != OK) {
        return;
    }
    CHECK(http1_write_response(wire, sizeof wire, &sent, &size) == OK);
    struct bytes head = bytes_make(wire, size);
    framing_scanner_init(&scanner, FRAMING_RESPONSE);
    CHECK(framing_scan_head(&scanner, head, &limits_behind, &reject) == FRAMING_COMPLETE);
    CHECK(scanner.position == size);
    CHECK(http1_parse_response(head, asked, read_items, OUT_FIELDS_MAX, &read, &reject) == OK);
    check_same(&sent, &read);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = {(const char *)data, size};
    struct framing_scanner scanner;
    struct reject reject = {0, REJECT_NONE};
    struct field items[FIELDS_MAX];
    struct response response;
    if (size == 0 || size > limits.head_max) {
        return 0;
    }
    unsigned options = data[size - 1];
    struct framing_asked asked = {.is_head = (options & 1) != 0,
                                  .upgrade = (options & 2) != 0 ? BYTES("websocket") : BYTES("")};
    framing_scanner_init(&scanner, FRAMING_RESPONSE);
    if (framing_scan_head(&scanner, in, &limits, &reject) != FRAMING_COMPLETE) {
        return 0;
    }
    struct bytes head = framing_head(&scanner, in);
    enum err err = http1_parse_response(head, &asked, items, FIELDS_MAX, &response, &reject);
    check_by_llhttp(head, &asked, err, &response, &reject);
    if (err != OK) {
        CHECK(reject.status == REJECT_STATUS_BAD_RESPONSE);
        return 0;
    }
    CHECK(response.fields.count == scanner.field_count);
    check_forwarded(&response, &asked, (options & 4) != 0 ? HTTP_1_0 : HTTP_1_1);
    return 0;
}
