/* canary/admin/auth.h — who may ask, and from where: tokens, roles, the Host and Origin checks.
 *
 * Tokens are kept as SHA-256 digests and compared in constant time, all of them on every request.
 * The Host check keeps a foreign page from reaching the API under a name of its own (DNS
 * rebinding); the Origin check keeps it from posting here (CSRF). Private to canary/admin;
 * immutable once made. */
#pragma once
#include "conf/conf.h"
#include "proxy/http/message.h"

struct auth;

/* Tokens and hosts of `conf`, for the address that is listened on, which need not be the one of
 * `conf`. ERR_NOMEM; ERR_IO: a secret cannot be read, is empty or too long; ERR_STATE: no tokens,
 * and other machines reach the address; `note` says which. Reads files. */
MUST_USE enum err auth_create(const struct conf_admin *conf, const struct conf_address *address,
                              struct auth **ret_auth, struct note *note);
void auth_destroy(struct auth *auth);

enum auth_answer {
    AUTH_OK,
    AUTH_NO_TOKEN,  /* 401: none was sent, or not as Bearer */
    AUTH_BAD_TOKEN, /* 401: not one of ours */
    AUTH_NOT_ROLE,  /* 403: a viewer wants to change something */
};

/* Was somebody let in by `before` whom `after` may not let in? */
bool auth_revokes(const struct auth *before, const struct auth *after);

struct auth_identity {
    const char *actor; /* the token's name, or "local" where no tokens are asked for; borrowed */
    enum conf_role role;
};

/* `ret_identity` is set with AUTH_OK. */
enum auth_answer auth_check(const struct auth *auth, const struct fields *fields,
                            enum conf_role wanted, struct auth_identity *ret_identity);

/* Is this Host one of ours: our address, loopback by name or number, or one of `hosts`? Any port.
 */
bool auth_knows_host(const struct auth *auth, struct bytes authority);

/* May this page change something: no Origin at all, or the very host that is asked? RFC 6454, Fetch
 * Metadata. A page that came without TLS is another one than what is asked over TLS; the other way
 * round there may be something that has TLS in front of us. */
bool auth_trusts_origin(const struct fields *fields, struct bytes authority, bool is_tls);
