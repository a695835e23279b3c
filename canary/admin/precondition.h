/* canary/admin/precondition.h — what a client says a change depends on: If-Match and
 * Idempotency-Key.
 *
 * Private to canary/admin. What is wrong is answered here; the route just returns. */
#pragma once
#include "canary/admin/call.h"

enum { PRECONDITION_FINGERPRINT_SIZE = 17 };

/* Finds the service and holds If-Match against its revision; false: answered (404, 412). */
bool precondition_revision(struct admin_call *call, bool *ret_has_revision, uint64_t *ret_revision);
/* The Idempotency-Key, which lives as long as the call; untouched without one. false: answered. */
bool precondition_key(struct admin_call *call, const char **ret_key);
/* Tells a replay from a key that is used for something else; not a secret, and the same after a
 * restart. */
void precondition_fingerprint(const struct admin_call *call,
                              char fingerprint[PRECONDITION_FINGERPRINT_SIZE]);
