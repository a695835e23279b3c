/* proxy/http/client_ip.h — who asks, when proxies that we trust stand between.
 *
 * Each proxy appends the address it saw to X-Forwarded-For or Forwarded (RFC 7239), so the chain is
 * read from its end, our peer, backwards: as long as an address is one of the trusted proxies, the
 * one before it is believed. What stands further left may be anybody's invention. Pure; any
 * thread. */
#pragma once
#include "conf/ip.h"
#include "proxy/http/fields.h"

/* The first address of the chain, counted from its end, that is not trusted; the leftmost one when
 * all are. An element that is no address ends the chain. Where both fields occur X-Forwarded-For is
 * the one that is read. */
struct ip client_ip_of(const struct fields *fields, const struct ip *peer,
                       const struct ip_range *trusted, size_t trusted_count);
