/* tests/support/dns_stub.h — a DNS server on the test's own loop that says what it is told to.
 *
 * It answers every name alike: A with `v4`, AAAA with `v6`, or with an error, or not at all. Put
 * `servers` into resolver_options. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <uv.h>

#include "proxy/base/err.h"

enum {
    DNS_STUB_ADDRESSES_MAX = 12,
    DNS_STUB_NOERROR = 0,
    DNS_STUB_SERVFAIL = 2,
    DNS_STUB_NXDOMAIN = 3
};

struct dns_stub {
    uv_udp_t socket;
    char servers[32]; /* "127.0.0.1:PORT" */
    struct in_addr v4[DNS_STUB_ADDRESSES_MAX];
    size_t v4_count;
    struct in6_addr v6[DNS_STUB_ADDRESSES_MAX];
    size_t v6_count;
    uint32_t ttl_s;
    unsigned rcode;
    bool is_silent;    /* to everything */
    bool is_v6_silent; /* to AAAA alone */
    size_t query_count;
};

void dns_stub_open(struct dns_stub *stub, uv_loop_t *loop);
/* Forgets the addresses it had. */
void dns_stub_say(struct dns_stub *stub, const char *v4, const char *v6, uint32_t ttl_s);
void dns_stub_add_v4(struct dns_stub *stub, const char *address);
void dns_stub_add_v6(struct dns_stub *stub, const char *address);
void dns_stub_close(struct dns_stub *stub);
