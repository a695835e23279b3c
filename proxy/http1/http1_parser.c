/* llhttp runs over a head that is complete and vetted, so that every span comes whole and in order.
 * Its state machine keeps no state of ours between heads: a fresh one costs a hundred cleared
 * bytes. */
#include "proxy/http1/http1_parser.h"

#include <llhttp.h>

#include "proxy/base/check.h"

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

/* Runs llhttp over the head; REJECT_NONE, or why it cannot be. */
static enum reject_reason run(llhttp_type_t type, struct bytes head, enum http_version version,
                              struct parse *parse)
{
    llhttp_t llhttp;
    enum reject_reason reason;
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
    size_t line_end = bytes_find(head, '\n') + 1;
    struct bytes lines = bytes_slice(head, line_end, head.size - line_end - 2);
    struct fields fields = {parse->items,
                            framing_split_fields(lines, parse->items, parse->items_max)};
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

enum err http1_parse_request(struct bytes head, struct field *items, size_t items_max,
                             struct request *ret_request, struct reject *ret_reject)
{
    struct request request = {0};
    struct parse parse = {.items = items, .items_max = items_max};
    size_t line_end = bytes_find(head, '\r');
    CHECK(line_end < head.size);
    CHECK(line_end > 0);
    if (!method_of(bytes_slice(head, 0, bytes_find(head, ' ')), &request.method)) {
        return refuse(reject_request(REJECT_METHOD_UNKNOWN), ret_reject);
    }
    if (request.method == METHOD_CONNECT) {
        return refuse(reject_request(REJECT_METHOD_CONNECT), ret_reject);
    }
    request.version = version_of(head.data[line_end - 1]);
    enum reject_reason reason = run(HTTP_REQUEST, head, request.version, &parse);
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

enum err http1_parse_response(struct bytes head, const struct framing_asked *asked,
                              struct field *items, size_t items_max, struct response *ret_response,
                              struct reject *ret_reject)
{
    enum { MINOR_INDEX = 7, STATUS_INDEX = 9 };
    struct response response = {0};
    struct parse parse = {.items = items, .items_max = items_max, .reason = BYTES("")};
    CHECK(head.size > STATUS_INDEX + 3);
    response.version = version_of(head.data[MINOR_INDEX]);
    for (size_t i = STATUS_INDEX; i < STATUS_INDEX + 3; i++) {
        response.status = response.status * 10 + (unsigned)(head.data[i] - '0');
    }
    enum reject_reason reason = run(HTTP_RESPONSE, head, response.version, &parse);
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
