/* proxy/io/address.h — where to connect to: an IPv4 or IPv6 address and a port, as connect() wants
 * it.
 *
 * Unused bytes are always zero. Pure; any thread. */
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include "conf/ip.h"

union address {
    struct sockaddr any; /* sa_family: AF_INET or AF_INET6 */
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

enum { ADDRESS_TEXT_SIZE = IP_TEXT_SIZE + 8 }; /* "[", "]:" and a port */

union address address_make(const struct ip *ip, uint16_t port);
/* Copies an AF_INET or AF_INET6 address with the port given; false for other families. Scopes of
 * link-local addresses are kept. */
bool address_from_socket(const struct sockaddr *socket, uint16_t port, union address *ret_address);
bool address_equal(const union address *a, const union address *b);
/* "192.0.2.1:80" or "[2001:db8::1]:80". */
void address_format(const union address *address, char text[ADDRESS_TEXT_SIZE]);

/* Brings a set into the one order that depends on nothing but its members: without doubles, IPv4
 * and IPv6 in turn, each family by number. So two equal sets compare equal one by one, and the
 * first few of a long set have both families. Returns how many are left. */
size_t address_sort(union address *addresses, size_t address_count);
