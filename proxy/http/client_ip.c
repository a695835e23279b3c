#include "proxy/http/client_ip.h"

/* Takes the last element off a comma-separated list; false when none is left. */
static bool take_last(struct bytes *list, struct bytes *ret_element)
{
    if (list->size == 0) {
        return false;
    }
    size_t start = list->size;
    while (start > 0 && list->data[start - 1] != ',') {
        start--;
    }
    *ret_element = bytes_trim(bytes_slice(*list, start, list->size - start));
    *list = bytes_slice(*list, 0, start > 0 ? start - 1 : 0);
    return true;
}

/* The node of `for=` in one element of Forwarded, without quotes; empty when there is none. */
static struct bytes node_of(struct bytes element)
{
    struct bytes pair;
    while (bytes_next(&element, ';', &pair)) {
        pair = bytes_trim(pair);
        struct bytes name = bytes_slice(pair, 0, bytes_find(pair, '='));
        if (name.size == pair.size || !bytes_equal_nocase(name, BYTES("for"))) {
            continue;
        }
        struct bytes value = bytes_slice(pair, name.size + 1, pair.size - name.size - 1);
        bool is_quoted = value.size >= 2 && value.data[0] == '"';
        return is_quoted ? bytes_slice(value, 1, value.size - 2) : value;
    }
    return BYTES("");
}

/* An address, with or without a port: a.b.c.d[:port], v6, [v6][:port]. */
static bool parse_node(struct bytes node, struct ip *ret_ip)
{
    if (ip_parse(node, ret_ip)) {
        return true;
    }
    size_t end = node.size;
    while (end > 0 && node.data[end - 1] != ':') {
        end--;
    }
    return end > 0 && ip_parse(bytes_slice(node, 0, end - 1), ret_ip);
}

struct ip client_ip_of(const struct fields *fields, const struct ip *peer,
                       const struct ip_range *trusted, size_t trusted_count)
{
    struct ip client = *peer;
    bool has_x = fields_find(fields, FIELD_X_FORWARDED_FOR) != NULL;
    enum field_id id = has_x ? FIELD_X_FORWARDED_FOR : FIELD_FORWARDED;
    for (size_t i = fields->count; i > 0; i--) {
        if (fields->items[i - 1].id != id) {
            continue;
        }
        struct bytes list = fields->items[i - 1].value;
        struct bytes element;
        while (take_last(&list, &element)) {
            struct ip before;
            if (!ip_ranges_have(trusted, trusted_count, &client) ||
                !parse_node(has_x ? element : node_of(element), &before)) {
                return client;
            }
            client = before;
        }
    }
    return client;
}
