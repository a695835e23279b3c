#include "proxy/http/message.h"

#include "proxy/base/check.h"

static const struct {
    struct bytes text;
    bool is_safe;
    bool is_idempotent;
} methods[METHOD_COUNT] = {
#define METHOD_ROW(id, token, is_safe, is_idempotent)                                              \
    [METHOD_##id] = {{token, sizeof(token) - 1}, is_safe, is_idempotent},
    METHOD_LIST(METHOD_ROW)
#undef METHOD_ROW
};

struct bytes method_text(enum method method)
{
    CHECK(method < METHOD_COUNT);
    return methods[method].text;
}

bool method_is_safe(enum method method)
{
    CHECK(method < METHOD_COUNT);
    return methods[method].is_safe;
}

bool method_is_idempotent(enum method method)
{
    CHECK(method < METHOD_COUNT);
    return methods[method].is_idempotent;
}

bool method_of(struct bytes text, enum method *ret_method)
{
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (bytes_equal(methods[i].text, text)) {
            *ret_method = (enum method)i;
            return true;
        }
    }
    return false;
}

struct bytes http_version_text(enum http_version version)
{
    switch (version) {
    case HTTP_1_0:
        return BYTES("HTTP/1.0");
    case HTTP_1_1:
        return BYTES("HTTP/1.1");
    case HTTP_2:
        break;
    }
    return BYTES("HTTP/2.0");
}
