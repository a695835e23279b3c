/* conf/ip.h — addresses as numbers, and ranges of them (CIDR, RFC 4632 and RFC 4291 section 2.3).
 *
 * IPv4 is kept in its IPv4-mapped form (::ffff:a.b.c.d), so that a client who came over a
 * dual-stack socket is the same client. A range of IPv6 never covers an IPv4 address, not even
 * ::/0. Pure; any thread. */
#pragma once
#include <sys/socket.h>

#include "proxy/base/bytes.h"

enum { IP_TEXT_SIZE = 46 }; /* the longest text and its terminator */

struct ip {
    uint8_t bytes[16]; /* network order */
};

struct ip_range {
    struct ip first; /* host bits are zero */
    unsigned bits;   /* of the 128; an IPv4 range a.b.c.d/n has 96 + n */
};

/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]"; no port, no zone. */
bool ip_parse(struct bytes text, struct ip *ret_ip);
/* false unless the address is AF_INET or AF_INET6. */
bool ip_from_socket(const struct sockaddr *address, struct ip *ret_ip);
bool ip_is_v4(const struct ip *ip);
/* 127.0.0.0/8 and ::1. */
bool ip_is_loopback(const struct ip *ip);
/* 0.0.0.0 and ::, "every address of this host" to bind(). */
bool ip_is_any(const struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);
/* IPv4 dotted, IPv6 compressed without brackets (RFC 5952). */
void ip_format(const struct ip *ip, char text[IP_TEXT_SIZE]);

/* "192.0.2.0/24", "2001:db8::/32"; without a length the one address. false also when host bits are
 * set. */
bool ip_range_parse(struct bytes text, struct ip_range *ret_range);
bool ip_range_has(const struct ip_range *range, const struct ip *ip);
/* Is the address in any of the ranges? */
bool ip_ranges_have(const struct ip_range *ranges, size_t range_count, const struct ip *ip);
