#include "proxy/io/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/check.h"

union address address_make(const struct ip *ip, uint16_t port)
{
    union address address;
    memset(&address, 0, sizeof address);
    if (ip_is_v4(ip)) {
        address.v4.sin_family = AF_INET;
        address.v4.sin_port = htons(port);
        memcpy(&address.v4.sin_addr, ip->bytes + sizeof ip->bytes - sizeof address.v4.sin_addr,
               sizeof address.v4.sin_addr);
    } else {
        address.v6.sin6_family = AF_INET6;
        address.v6.sin6_port = htons(port);
        memcpy(&address.v6.sin6_addr, ip->bytes, sizeof address.v6.sin6_addr);
    }
    return address;
}

bool address_from_socket(const struct sockaddr *socket, uint16_t port, union address *ret_address)
{
    struct ip ip;
    if (!ip_from_socket(socket, &ip)) {
        return false;
    }
    *ret_address = address_make(&ip, port);
    if (ret_address->any.sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)socket;
        ret_address->v6.sin6_scope_id = v6->sin6_scope_id;
    }
    return true;
}

bool address_equal(const union address *a, const union address *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

void address_format(const union address *address, char text[ADDRESS_TEXT_SIZE])
{
    struct ip ip;
    char host[IP_TEXT_SIZE];
    bool is_known = ip_from_socket(&address->any, &ip);
    CHECK(is_known);
    ip_format(&ip, host);
    bool is_v4 = address->any.sa_family == AF_INET;
    unsigned port = ntohs(is_v4 ? address->v4.sin_port : address->v6.sin6_port);
    int size = snprintf(text, ADDRESS_TEXT_SIZE, is_v4 ? "%s:%u" : "[%s]:%u", host, port);
    CHECK(size < ADDRESS_TEXT_SIZE);
}

/* Both families keep port and address in network order, so bytes compare like numbers. */
static int compare(const void *left, const void *right)
{
    const union address *a = left;
    const union address *b = right;
    if (a->any.sa_family != b->any.sa_family) {
        return a->any.sa_family == AF_INET ? -1 : 1;
    }
    return a->any.sa_family == AF_INET
               ? memcmp(&a->v4.sin_addr, &b->v4.sin_addr, sizeof a->v4.sin_addr)
               : memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof a->v6.sin6_addr);
}

static size_t drop_doubles(union address *addresses, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !address_equal(&addresses[kept - 1], &addresses[i])) {
            addresses[kept++] = addresses[i];
        }
    }
    return kept;
}

static void insert_at(union address *addresses, size_t from, size_t to)
{
    union address moved = addresses[from];
    memmove(&addresses[to + 1], &addresses[to], (from - to) * sizeof *addresses);
    addresses[to] = moved;
}

size_t address_sort(union address *addresses, size_t address_count)
{
    if (address_count == 0) {
        return 0;
    }
    qsort(addresses, address_count, sizeof *addresses, compare);
    size_t count = drop_doubles(addresses, address_count);
    size_t first_v6 = 0;
    while (first_v6 < count && addresses[first_v6].any.sa_family == AF_INET) {
        first_v6++;
    }
    for (size_t v6 = first_v6, place = 1; v6 < count && place < v6; v6++, place += 2) {
        insert_at(addresses, v6, place);
    }
    return count;
}
