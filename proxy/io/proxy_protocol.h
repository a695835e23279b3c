/* proxy/io/proxy_protocol.h — the PROXY protocol: what a balancer says of a connection before
 * anything else.
 *
 * Version 1 is a line of text, version 2 a binary header with options behind the addresses
 * (HAProxy, "The PROXY protocol, versions 1 & 2", sections 2.1 and 2.2). It stands before TLS.
 * Nothing in it can be proven, so it is read only from whom the configuration trusts. Pure; any
 * thread. */
#pragma once
#include "conf/ip.h"

enum {
    PROXY_PROTOCOL_MAX = 4096,    /* bytes of a header that is read; longer options are refused */
    PROXY_PROTOCOL_OUT_MAX = 107, /* ... of one that is written */
};

/* In the order of enum conf_proxy_protocol. */
enum proxy_protocol { PROXY_PROTOCOL_NONE, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };

/* The two ends of a connection. */
struct proxy_ends {
    struct ip client;
    struct ip server; /* what the client connected to */
    uint16_t client_port;
    uint16_t server_port;
    bool is_known; /* else the connection speaks for itself: health checks, other transports */
};

enum proxy_scan { PROXY_SCAN_MORE, PROXY_SCAN_DONE, PROXY_SCAN_REFUSED };

/* Reads a header at the beginning of `in`: all that came so far. MORE: what is there may become
 * one. DONE: the header's size and what it says (LOCAL, UNKNOWN and other transports: not
 * is_known). REFUSED: it is none, or malformed, its checksum is wrong, or it is too long; said as
 * early as it shows. */
enum proxy_scan proxy_protocol_scan(struct bytes in, struct proxy_ends *ret_ends, size_t *ret_size);

/* Writes a header of version 1 or 2; of ends that are not known UNKNOWN or LOCAL. Returns its size.
 */
size_t proxy_protocol_write(enum proxy_protocol version, const struct proxy_ends *ends,
                            char out[PROXY_PROTOCOL_OUT_MAX]);
