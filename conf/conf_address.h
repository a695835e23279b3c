/* conf/conf_address.h — hosts, addresses to bind and origins to reach, as they are written in the
 * file.
 *
 * Results live in the context's arena. On failure the note says what is wrong. Control. */
#pragma once
#include "conf/conf_value.h"

/* A host name (RFC 1123 section 2.1, '_' too, since container names have it) or an address, IPv6 in
 * brackets. A name whose last label is a number must be a whole IPv4 address, so that nothing reads
 * it in a second way. */
MUST_USE enum err conf_host_check(struct bytes host, struct note *note);

/* address:port with a number, * or localhost; with `may_be_local` also unix:PATH. `place` stays
 * zeros. */
MUST_USE enum err conf_address_parse(const struct conf_value_context *context, bool may_be_local,
                                     struct bytes text, struct note *note,
                                     struct conf_address *ret_address);

/* A URL that Serin itself calls: http or https, host, port, path and query (RFC 3986), no user, no
 * fragment. */
MUST_USE enum err conf_url_check(struct bytes text, struct note *note);

/* http://host[:port][/], or https. `place` stays zeros. */
MUST_USE enum err conf_endpoint_parse(const struct conf_value_context *context, struct bytes text,
                                      struct note *note, struct conf_endpoint *ret_endpoint);
