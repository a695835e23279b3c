#include "canary/admin/precondition.h"

#include <stdio.h>
#include <string.h>

#include "proxy/base/hash.h"

enum { KEY_LENGTH_MAX = 100 };

/* Strong comparison, RFC 9110 section 8.8.3.2: a weak tag never matches. */
static bool is_matched(struct bytes list, uint64_t revision)
{
    char etag[32];
    (void)snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)revision);
    struct bytes element;
    while (bytes_next(&list, ',', &element)) {
        element = bytes_trim(element);
        if (bytes_equal(element, bytes_of(etag)) || bytes_equal(element, BYTES("*"))) {
            return true;
        }
    }
    return false;
}

bool precondition_revision(struct admin_call *call, bool *ret_has_revision, uint64_t *ret_revision)
{
    struct admin_service service = {0};
    const struct admin_options *options = &call->admin->options;
    if (!options->ops->service_find(options->context, call->parameters[0], &service)) {
        call_problem(call, 404, "service", "There is no such service.");
        return false;
    }
    const struct field *field = fields_find(call->request->fields, FIELD_IF_MATCH);
    if (field != NULL && !is_matched(field->value, service.revision)) {
        call_problem(call, 412, "If-Match", "The service is at revision \"%llu\" now.",
                     (unsigned long long)service.revision);
        return false;
    }
    *ret_has_revision = field != NULL;
    *ret_revision = service.revision;
    return true;
}

bool precondition_key(struct admin_call *call, const char **ret_key)
{
    const struct field *field = fields_find(call->request->fields, FIELD_IDEMPOTENCY_KEY);
    if (field == NULL) {
        return true;
    }
    struct bytes value = field->value;
    bool is_sound = value.size > 0 && value.size <= KEY_LENGTH_MAX;
    for (size_t i = 0; is_sound && i < value.size; i++) {
        is_sound = value.data[i] > 0x20 && value.data[i] < 0x7F;
    }
    if (!is_sound) {
        call_problem(call, 400, "Idempotency-Key", "The key has 1 to %d visible characters.",
                     KEY_LENGTH_MAX);
        return false;
    }
    char *key = arena_alloc(&call->arena, value.size + 1);
    if (key == NULL) {
        call_json(call, 503, NULL, NULL);
        return false;
    }
    memcpy(key, value.data, value.size);
    key[value.size] = '\0';
    *ret_key = key;
    return true;
}

void precondition_fingerprint(const struct admin_call *call,
                              char fingerprint[PRECONDITION_FINGERPRINT_SIZE])
{
    static const struct hash_key body_key = {0x73657269, 0x6e};
    uint64_t service = hash_bytes(body_key, bytes_of(call->parameters[0]));
    struct hash_key key = {service, body_key.k1};
    (void)snprintf(fingerprint, PRECONDITION_FINGERPRINT_SIZE, "%016llx",
                   (unsigned long long)hash_bytes(key, call->request->body));
}
