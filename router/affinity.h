/* router/affinity.h — which endpoint of a version a client stays with.
 *
 * A client has a key: drawn once and kept in a cookie, or the hash of its address or of a header.
 * Each endpoint has a score for a key, and the live endpoint with the highest gets the client
 * (rendezvous hashing, Thaler & Ravishankar 1998). Nothing is remembered, so every worker and
 * replica agrees; when an endpoint goes only its own clients move, evenly to all others, and when
 * it comes back they do. Pure; any thread. */
#pragma once
#include <stdbool.h>

#include "conf/ip.h"

enum { AFFINITY_SET_COOKIE_MAX = 96 };

#define AFFINITY_COOKIE "serin-endpoint"

/* Of a header's value, or of an address (IPv6: of its /64). Never 0. */
uint64_t affinity_key_of_header(struct bytes value);
uint64_t affinity_key_of_address(const struct ip *address);
/* Reads the value of the cookie: 16 lower-case hex digits, not all 0. */
bool affinity_parse(struct bytes value, uint64_t *ret_key);
/* Writes the value of a Set-Cookie field that gives the client its key, `Secure` when it came over
 * TLS. */
struct bytes affinity_format(uint64_t key, bool is_tls, char text[AFFINITY_SET_COOKIE_MAX]);

/* An endpoint's part of its scores, made once. */
uint64_t affinity_endpoint(struct bytes name);
/* The higher, the nearer. */
uint64_t affinity_score(uint64_t key, uint64_t endpoint);
