#include "proxy/http/grpc.h"

#include "proxy/base/check.h"

enum { TIMEOUT_DIGITS_MAX = 8 };

static const struct bytes media_type = {"application/grpc", sizeof "application/grpc" - 1};

bool grpc_is_type(const struct fields *fields)
{
    const struct field *field = fields_find(fields, FIELD_CONTENT_TYPE);
    struct bytes value = field != NULL ? field->value : BYTES("");
    if (value.size < media_type.size ||
        !bytes_equal_nocase(bytes_slice(value, 0, media_type.size), media_type)) {
        return false;
    }
    char next = value.size > media_type.size ? value.data[media_type.size] : ';';
    return next == ';' || next == '+' || next == ' ' || next == '\t';
}

enum grpc_status grpc_read_status(const struct fields *fields)
{
    const struct field *field = fields_find(fields, FIELD_GRPC_STATUS);
    uint64_t status;
    if (field == NULL) {
        return GRPC_NONE;
    }
    bool is_known = bytes_to_u64(field->value, &status) && status < GRPC_STATUS_COUNT;
    return is_known ? (enum grpc_status)status : GRPC_UNKNOWN;
}

/* Microseconds of a unit; 0 for nanoseconds, of which a thousand make one. */
static bool unit_of(char letter, uint64_t *ret_us)
{
    switch (letter) {
    case 'H':
        *ret_us = UINT64_C(3600) * 1000000;
        return true;
    case 'M':
        *ret_us = UINT64_C(60) * 1000000;
        return true;
    case 'S':
        *ret_us = 1000000;
        return true;
    case 'm':
        *ret_us = 1000;
        return true;
    case 'u':
        *ret_us = 1;
        return true;
    case 'n':
        *ret_us = 0;
        return true;
    default:
        return false;
    }
}

bool grpc_read_timeout(const struct fields *fields, uint64_t *ret_us)
{
    enum { NS_PER_US = 1000 };
    const struct field *field = fields_find(fields, FIELD_GRPC_TIMEOUT);
    uint64_t value;
    uint64_t unit_us;
    if (field == NULL || field->value.size < 2 || field->value.size > TIMEOUT_DIGITS_MAX + 1) {
        return false;
    }
    size_t digits = field->value.size - 1;
    if (!unit_of(field->value.data[digits], &unit_us) ||
        !bytes_to_u64(bytes_slice(field->value, 0, digits), &value)) {
        return false;
    }
    *ret_us = unit_us > 0 ? value * unit_us : value / NS_PER_US;
    return true;
}

enum grpc_status grpc_of_http(unsigned status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

static struct bytes status_text(enum grpc_status status)
{
    static const struct bytes texts[GRPC_STATUS_COUNT] = {
        {"0", 1},  {"1", 1},  {"2", 1},  {"3", 1},  {"4", 1},  {"5", 1},
        {"6", 1},  {"7", 1},  {"8", 1},  {"9", 1},  {"10", 2}, {"11", 2},
        {"12", 2}, {"13", 2}, {"14", 2}, {"15", 2}, {"16", 2},
    };
    CHECK(status >= GRPC_OK);
    CHECK(status < GRPC_STATUS_COUNT);
    return texts[status];
}

struct fields grpc_make_trailers(enum grpc_status status, struct bytes message, struct field *items)
{
    items[0] = (struct field){BYTES("grpc-status"), status_text(status), FIELD_GRPC_STATUS};
    items[1] = (struct field){BYTES("grpc-message"), message, FIELD_OTHER};
    return (struct fields){items, GRPC_TRAILERS_MAX};
}

void grpc_make_reply(const struct grpc_reply *reply, struct field *items,
                     struct response *ret_response)
{
    size_t count = 0;
    CHECK(reply->extra_count <= GRPC_EXTRA_MAX);
    if (reply->date.size > 0) {
        items[count++] = (struct field){BYTES("Date"), reply->date, FIELD_DATE};
    }
    items[count++] = (struct field){BYTES("Content-Type"), media_type, FIELD_CONTENT_TYPE};
    count += grpc_make_trailers(reply->status, reply->message, &items[count]).count;
    for (size_t i = 0; i < reply->extra_count; i++) {
        items[count++] = reply->extra[i];
    }
    CHECK(count <= GRPC_FIELDS_MAX);
    *ret_response = (struct response){.status = 200,
                                      .version = reply->client_version,
                                      .reason = BYTES("OK"),
                                      .upgrade = BYTES(""),
                                      .fields = {items, count},
                                      .body = BODY_LENGTH,
                                      .has_content_length = true,
                                      .is_keep_alive = reply->is_keep_alive};
}
