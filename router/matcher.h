/* router/matcher.h — how the host and path of a request compare with those of a configuration.
 *
 * Hosts compare without case, port and the root's final dot (RFC 3986 section 3.2.2). A pattern is
 * a host, a wildcard
 * `*.example.com` (any number of labels in front, at least one) or `*`. Paths compare byte by byte
 * as they were sent, and on segment boundaries: `/api` covers `/api`, `/api/x` and `/api?x`, never
 * `/apis`. Pure; any thread. */
#pragma once
#include <stdbool.h>

#include "proxy/base/bytes.h"

enum { MATCHER_HOST_MAX = 255 }; /* RFC 1035 section 2.3.4 */

enum host_pattern_kind { HOST_EXACT, HOST_WILDCARD, HOST_ANY };

/* The host inside an authority: without port and final dot, its case untouched. An IPv6 literal
 * keeps its brackets. */
struct bytes matcher_host_of(struct bytes authority);

/* The path inside a request target: up to the query; "/" for `*` and for anything that does not
 * start with a slash. */
struct bytes matcher_path_of(struct bytes target);

/* Reads a pattern: its kind, and the name to look for (of a wildcard: what follows `*.`).
 * false when it is none: empty, too long, a `*` elsewhere, bytes that no host can have. */
bool matcher_host_pattern(struct bytes pattern, enum host_pattern_kind *ret_kind,
                          struct bytes *ret_name);

/* A configured path without its final slashes; empty for "/", which covers everything.
 * false when it does not start with a slash or holds a query, a fragment, a blank or a control. */
bool matcher_path_prefix(struct bytes text, struct bytes *ret_prefix);

/* Does the pattern stand for the whole path (from matcher_path_of)? A `*` in it is any bytes, also
 * none and slashes; all else is itself. */
bool matcher_path_fits(struct bytes pattern, struct bytes path);

/* Does the prefix (from matcher_path_prefix) cover the path (from matcher_path_of)? */
bool matcher_path_is_covered(struct bytes prefix, struct bytes path);
