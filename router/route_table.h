/* router/route_table.h — from a request's host and path to the service that answers it.
 *
 * Built by control with its snapshot, immutable from then on, read by every worker, freed with the
 * snapshot. A lookup hashes the host once, and once more per label when wildcards are configured,
 * so its cost does not depend on how many hosts there are. The most specific host wins (exact, then
 * the longest wildcard, then `*`), within it the longest path; a host none of whose paths cover the
 * request leaves it to the next less specific one. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/bytes.h"
#include "proxy/base/err.h"

/* One line of a configuration: this host pattern with this path prefix belongs to this service. */
struct route_rule {
    struct bytes host; /* "example.com", "*.example.com" or "*" */
    struct bytes path; /* "/" or "/prefix" */
    uint32_t service;  /* the index that a lookup returns */
};

enum { ROUTE_RULES_MAX = 65536 };
#define ROUTE_NONE UINT32_MAX

struct route_table; /* opaque */

/* Builds a table; borrows the rules for the call and gives the table to the caller. ERR_SYNTAX for
 * a rule that cannot be read, ERR_EXISTS when two rules have the same host and path, ERR_LIMIT,
 * ERR_NOMEM; the note (may be NULL) then names the rule. */
MUST_USE enum err route_table_create(const struct route_rule *rules, size_t rule_count,
                                     struct note *note, struct route_table **ret_table);
void route_table_destroy(struct route_table *table); /* NULL is fine */

/* The service for a request's authority (empty in HTTP/1.0 without Host) and target, or ROUTE_NONE.
 * Any thread. */
uint32_t route_table_find(const struct route_table *table, struct bytes authority,
                          struct bytes target);
