/* proxy/tls/tls_ticket.h — the keys that seal session tickets (RFC 5077, RFC 8446 section 4.6.1).
 *
 * One set for the whole process, so that a client resumes at any worker and through any reload. The
 * newest key seals, the one before it still opens; rotating forgets the older one, and with it the
 * power to read what was recorded then. Shared: control creates, rotates and destroys, workers seal
 * and open during handshakes, under a lock that is held for a copy (docs/THREADS.md). */
#pragma once
#include <stdbool.h>

#include "proxy/base/err.h"

struct tls_ticket_keys;
struct ssl_ctx_st;

/* With one random key. ERR_NOMEM; ERR_IO: no randomness. Control. */
MUST_USE enum err tls_ticket_keys_create(struct tls_ticket_keys **ret_keys);
/* No context uses them any more. NULL is fine. Control. */
void tls_ticket_keys_destroy(struct tls_ticket_keys *keys);
/* A new key seals from now on. ERR_IO: no randomness, all stays as it is. Control. */
MUST_USE enum err tls_ticket_keys_rotate(struct tls_ticket_keys *keys);
/* Has the context use them; borrows the keys while it lives. ERR_NOMEM. */
MUST_USE enum err tls_ticket_keys_install(struct tls_ticket_keys *keys, struct ssl_ctx_st *context);
