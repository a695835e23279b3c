/* References are resolved as RFC 3986 section 5.2 says. */
#include "proxy/cache/cache_invalidate.h"

#include "proxy/base/check.h"
#include "proxy/http/authority.h"

bool cache_is_invalidating(enum method method, unsigned status)
{
    return !method_is_safe(method) && status >= 200 && status < 400;
}

/* Without fragment. */
static struct bytes without_fragment(struct bytes reference)
{
    return bytes_slice(reference, 0, bytes_find(reference, '#'));
}

static struct bytes path_of(struct bytes target)
{
    return bytes_slice(target, 0, bytes_find(target, '?'));
}

/* The size of the scheme in front, or 0. */
static size_t scheme_size(struct bytes reference)
{
    size_t colon = bytes_find(reference, ':');
    size_t slash = bytes_find(path_of(reference), '/');
    return colon < reference.size && colon < slash ? colon : 0;
}

/* What stands behind "//host" in an absolute or network-path reference of our own site; data NULL
 * when it is another's. */
static struct bytes target_of_authority(struct bytes reference, struct bytes scheme,
                                        struct bytes own)
{
    struct bytes nothing = {NULL, 0};
    size_t end = 2;
    while (end < reference.size && reference.data[end] != '/' && reference.data[end] != '?') {
        end++;
    }
    struct authority theirs;
    struct authority ours;
    struct bytes port = bytes_equal(scheme, BYTES("https")) ? BYTES("443") : BYTES("80");
    if (!authority_split(bytes_slice(reference, 2, end - 2), &theirs) ||
        !authority_split(own, &ours) || !authority_equal(&theirs, &ours, port)) {
        return nothing;
    }
    struct bytes target = bytes_slice(reference, end, reference.size - end);
    if (target.size == 0) {
        return BYTES("/");
    }
    return target.data[0] == '/' ? target : nothing;
}

/* Takes "." and ".." out of a path, in place (RFC 3986 section 5.2.4). The path starts with '/'. */
static size_t remove_dots(char *path, size_t size)
{
    size_t out = 0;
    for (size_t i = 0; i < size;) {
        size_t end = i + 1; /* of the segment with the slash before it */
        while (end < size && path[end] != '/') {
            end++;
        }
        struct bytes segment = bytes_make(path + i + 1, end - i - 1);
        bool is_last = end == size;
        bool is_up = bytes_equal(segment, BYTES(".."));
        if (is_up || bytes_equal(segment, BYTES("."))) {
            while (is_up && out > 0 && path[--out] != '/') {
            }
            if (is_last) {
                path[out++] = '/';
            }
        } else {
            memmove(path + out, path + i, end - i);
            out += end - i;
        }
        i = end;
    }
    return out;
}

/* `base` and a reference that has no authority, as one target without dots; data NULL when it has
 * no path from the root, or memory is out. */
static struct bytes join(struct bytes base, struct bytes reference, struct arena *arena)
{
    struct bytes path = path_of(reference);
    struct bytes query = bytes_slice(reference, path.size, reference.size - path.size);
    struct bytes first = base.size > 0 ? base : path;
    if (!bytes_starts_with(first, BYTES("/"))) {
        return (struct bytes){NULL, 0};
    }
    char *out = arena_alloc(arena, base.size + reference.size);
    if (out == NULL) {
        return (struct bytes){NULL, 0};
    }
    memcpy(out, base.data, base.size);
    memcpy(out + base.size, path.data, path.size);
    size_t size = remove_dots(out, base.size + path.size);
    memcpy(out + size, query.data, query.size);
    return bytes_make(out, size + query.size);
}

/* The target's path up to its last slash. */
static struct bytes folder_of(struct bytes target)
{
    struct bytes path = path_of(target);
    while (path.size > 0 && path.data[path.size - 1] != '/') {
        path.size--;
    }
    return path;
}

/* The target that a reference names on this very site; data NULL when it names none. */
static struct bytes target_of(struct bytes value, const struct request *request,
                              struct bytes scheme, struct arena *arena)
{
    struct bytes nothing = {NULL, 0};
    struct bytes reference = without_fragment(value);
    struct bytes root = BYTES("");
    size_t size = scheme_size(reference);
    if (size > 0) {
        if (!bytes_equal_nocase(bytes_slice(reference, 0, size), scheme)) {
            return nothing;
        }
        reference = bytes_slice(reference, size + 1, reference.size - size - 1);
        if (!bytes_starts_with(reference, BYTES("//"))) {
            return nothing;
        }
    }
    if (bytes_starts_with(reference, BYTES("//"))) {
        return join(root, target_of_authority(reference, scheme, request->authority), arena);
    }
    if (bytes_starts_with(reference, BYTES("/"))) {
        return join(root, reference, arena);
    }
    bool is_query = path_of(reference).size == 0;
    return join(is_query ? path_of(request->target) : folder_of(request->target), reference, arena);
}

size_t cache_invalidated(const struct request *request, struct bytes scheme,
                         const struct response *response, struct arena *arena,
                         struct bytes ret_targets[CACHE_INVALIDATED_MAX])
{
    static const enum field_id ids[] = {FIELD_LOCATION, FIELD_CONTENT_LOCATION};
    size_t count = 0;
    if (!cache_is_invalidating(request->method, response->status)) {
        return 0;
    }
    ret_targets[count++] = request->target;
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        const struct field *field = fields_find(&response->fields, ids[i]);
        struct bytes target = {NULL, 0};
        if (field != NULL) {
            target = target_of(field->value, request, scheme, arena);
        }
        if (target.data != NULL && !bytes_equal(target, request->target)) {
            CHECK(count < CACHE_INVALIDATED_MAX);
            ret_targets[count++] = target;
        }
    }
    return count;
}
