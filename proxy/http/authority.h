/* proxy/http/authority.h — host and port as RFC 3986 section 3.2 writes them, and nothing else.
 *
 * No user information, no zone, no blank. Pure; any thread. */
#pragma once
#include "proxy/base/bytes.h"

struct authority {
    struct bytes host; /* with its brackets when it is an IP literal; never empty */
    struct bytes port; /* digits; empty when there is none */
};

/* false when it is not `host [ ":" port ]`, the host is empty, or the port is over 65535. */
bool authority_split(struct bytes text, struct authority *ret_authority);

/* Do both name the same place for this default port ("80" or "443")? Hosts compare without case. */
bool authority_equal(const struct authority *a, const struct authority *b,
                     struct bytes default_port);
