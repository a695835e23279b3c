/* The scanner has vetted every line by its grammar, so a head can be cut in one way only: at the
 * spaces of its first line, and at the first colon and the CR of the others. That is all a plain
 * head needs, one whose target is a path and whose fields leave nothing open about where its body
 * ends. Whatever says more (other codings, an upgrade, a second length, a target of another form)
 * is read by llhttp, whose refusal counts.
 *
 * llhttp runs over a head that is complete, so that every span comes whole and in order. Its state
 * machine keeps no state of ours between heads: a fresh one costs a hundred cleared bytes. */
#include "proxy/http1/http1_parser.h"

#include <llhttp.h>

#include "proxy/base/check.h"

/* HTTP/1.1, and where in `HTTP/1.1 200 OK` things stand. */
enum { VERSION_SIZE = 8, MINOR_INDEX = 7, STATUS_INDEX = 9, REASON_INDEX = 13 };

struct parse {
    struct field *items; /* borrowed */
    size_t items_max;
    size_t item_count;
    struct bytes target; /* of a request */
    struct bytes reason; /* of a response */
    bool is_full;        /* more fields than items_max */
    bool is_complete;    /* the empty line was reached */
};

static int on_url(llhttp_t *llhttp, const char *data, size_t size)
{
    struct parse *parse = llhttp->data;
    parse->target = bytes_make(data, size);
    return 0;
}

static int on_status(llhttp_t *llhttp, const char *data, size_t size)
{
    struct parse *parse = llhttp->data;
    parse->reason = bytes_make(data, size);
    return 0;
}

static int on_header_field(llhttp_t *llhttp, const char *data, size_t size)
{
    struct parse *parse = llhttp->data;
    if (parse->item_count == parse->items_max) {
        parse->is_full = true;
        return HPE_USER;
    }
    struct field *field = &parse->items[parse->item_count++];
    field->name = bytes_make(data, size);
    field->value = bytes_make(data + size, 0);
    field->id = field_id_of(field->name);
    return 0;
}

static int on_header_value(llhttp_t *llhttp, const char *data, size_t size)
{
    struct parse *parse = llhttp->data;
    CHECK(parse->item_count > 0);
    parse->items[parse->item_count - 1].value = bytes_trim(bytes_make(data, size));
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    enum { LLHTTP_SKIP_BODY = 1 };
    struct parse *parse = llhttp->data;
    parse->is_complete = true;
    return LLHTTP_SKIP_BODY;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_status = on_status,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
};

/* Our own word for what llhttp objects to. */
static enum reject_reason reason_of(llhttp_errno_t error)
{
    switch (error) {
    case HPE_INVALID_METHOD:
        return REJECT_METHOD_UNKNOWN;
    case HPE_INVALID_URL:
        return REJECT_TARGET;
    case HPE_INVALID_VERSION:
        return REJECT_VERSION;
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return REJECT_CONTENT_LENGTH;
    case HPE_INVALID_TRANSFER_ENCODING:
        return REJECT_TRANSFER_ENCODING;
    default:
        return REJECT_PARSER;
    }
}

/* Cuts the field lines behind a first line that ends at `line_end`; gives how many bytes of lines
 * had no room. */
static size_t split_fields(struct bytes head, size_t line_end, struct parse *parse)
{
    struct bytes lines = bytes_slice(head, line_end + 2, head.size - line_end - 4);
    parse->item_count = framing_split_fields(&lines, parse->items, parse->items_max);
    return lines.size;
}

/* At most one field that says where the body ends, in the plainest of words and with no blanks
 * behind them, and none that changes the protocol. */
static bool are_plain(const struct field *items, size_t item_count)
{
    size_t end_count = 0;
    for (size_t i = 0; i < item_count; i++) {
        const struct field *field = &items[i];
        if (field->id == FIELD_UPGRADE) {
            return false;
        }
        bool is_coding = field->id == FIELD_TRANSFER_ENCODING;
        if (!is_coding && field->id != FIELD_CONTENT_LENGTH) {
            continue;
        }
        end_count++;
        if (end_count > 1 || field->value.data[field->value.size] != '\r' ||
            (is_coding && !bytes_equal(field->value, BYTES("chunked")))) {
            return false;
        }
    }
    return true;
}

/* Reads the head by itself if it is plain. `target` is what the first line asks for. */
static bool reads_plain_request(struct bytes head, size_t line_end, struct bytes target,
                                struct parse *parse)
{
    parse->target = target;
    return target.data[0] == '/' && split_fields(head, line_end, parse) == 0 &&
           are_plain(parse->items, parse->item_count);
}

static bool reads_plain_response(struct bytes head, struct parse *parse)
{
    size_t line_end = bytes_find(head, '\r');
    parse->reason = line_end > REASON_INDEX
                        ? bytes_slice(head, REASON_INDEX, line_end - REASON_INDEX)
                        : BYTES("");
    return split_fields(head, line_end, parse) == 0 && are_plain(parse->items, parse->item_count);
}

/* Runs llhttp over the head; REJECT_NONE, or why it cannot be. */
static enum reject_reason run(llhttp_type_t type, struct bytes head, enum http_version version,
                              struct parse *parse)
{
    llhttp_t llhttp;
    enum reject_reason reason;
    parse->item_count = 0;
    llhttp_init(&llhttp, type, &settings);
    llhttp.data = parse;
    llhttp_errno_t error = llhttp_execute(&llhttp, head.data, head.size);
    if (parse->is_complete && (error == HPE_OK || error == HPE_PAUSED_UPGRADE)) {
        return REJECT_NONE;
    }
    if (parse->is_full) {
        return REJECT_TOO_MANY_FIELDS;
    }
    /* It may have given up in the middle of a field: look at the whole head for a better reason. */
    (void)split_fields(head, bytes_find(head, '\r'), parse);
    struct fields fields = {parse->items, parse->item_count};
    if (framing_refuses_length(&fields, version, &reason)) {
        return reason;
    }
    return reason_of(error);
}

/* The scanner let through nothing but HTTP/1.0 and HTTP/1.1. */
static enum http_version version_of(char minor)
{
    CHECK(minor == '0' || minor == '1');
    return minor == '0' ? HTTP_1_0 : HTTP_1_1;
}

static enum err refuse(struct reject reject, struct reject *ret_reject)
{
    *ret_reject = reject;
    return ERR_SYNTAX;
}

static enum err parse_request(struct bytes head, bool is_llhttp_due, struct field *items,
                              size_t items_max, struct request *ret_request,
                              struct reject *ret_reject)
{
    struct request request = {0};
    struct parse parse = {.items = items, .items_max = items_max};
    size_t method_end = bytes_find(head, ' ');
    size_t line_end = bytes_find(head, '\r');
    CHECK(line_end < head.size);
    CHECK(line_end > method_end + VERSION_SIZE + 2);
    struct bytes target =
        bytes_slice(head, method_end + 1, line_end - VERSION_SIZE - method_end - 2);
    if (!method_of(bytes_slice(head, 0, method_end), &request.method)) {
        return refuse(reject_request(REJECT_METHOD_UNKNOWN), ret_reject);
    }
    if (request.method == METHOD_CONNECT) {
        return refuse(reject_request(REJECT_METHOD_CONNECT), ret_reject);
    }
    request.version = version_of(head.data[line_end - 1]);
    enum reject_reason reason = REJECT_NONE;
    if (is_llhttp_due || !reads_plain_request(head, line_end, target, &parse)) {
        reason = run(HTTP_REQUEST, head, request.version, &parse);
    }
    if (reason != REJECT_NONE) {
        return refuse(reject_request(reason), ret_reject);
    }
    request.target = parse.target;
    request.fields = (struct fields){items, parse.item_count};
    enum err err = framing_check_request(&request, ret_reject);
    if (err == OK) {
        *ret_request = request;
    }
    return err;
}

enum err http1_parse_request(struct bytes head, struct field *items, size_t items_max,
                             struct request *ret_request, struct reject *ret_reject)
{
    return parse_request(head, false, items, items_max, ret_request, ret_reject);
}

enum err http1_parse_request_by_llhttp(struct bytes head, struct field *items, size_t items_max,
                                       struct request *ret_request, struct reject *ret_reject)
{
    return parse_request(head, true, items, items_max, ret_request, ret_reject);
}

static enum err parse_response(struct bytes head, const struct framing_asked *asked,
                               bool is_llhttp_due, struct field *items, size_t items_max,
                               struct response *ret_response, struct reject *ret_reject)
{
    struct response response = {0};
    struct parse parse = {.items = items, .items_max = items_max};
    CHECK(head.size > STATUS_INDEX + 3);
    response.version = version_of(head.data[MINOR_INDEX]);
    for (size_t i = STATUS_INDEX; i < STATUS_INDEX + 3; i++) {
        response.status = response.status * 10 + (unsigned)(head.data[i] - '0');
    }
    enum reject_reason reason = REJECT_NONE;
    if (is_llhttp_due || !reads_plain_response(head, &parse)) {
        reason = run(HTTP_RESPONSE, head, response.version, &parse);
    }
    if (reason != REJECT_NONE) {
        return refuse(reject_response(reason), ret_reject);
    }
    response.reason = parse.reason;
    response.fields = (struct fields){items, parse.item_count};
    enum err err = framing_check_response(&response, asked, ret_reject);
    if (err == OK) {
        *ret_response = response;
    }
    return err;
}

enum err http1_parse_response(struct bytes head, const struct framing_asked *asked,
                              struct field *items, size_t items_max, struct response *ret_response,
                              struct reject *ret_reject)
{
    return parse_response(head, asked, false, items, items_max, ret_response, ret_reject);
}

enum err http1_parse_response_by_llhttp(struct bytes head, const struct framing_asked *asked,
                                        struct field *items, size_t items_max,
                                        struct response *ret_response, struct reject *ret_reject)
{
    return parse_response(head, asked, true, items, items_max, ret_response, ret_reject);
}
