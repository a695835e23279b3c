/* proxy/io/inherited.h — listening sockets that a service manager opened and passed on.
 *
 * The protocol is that of sd_listen_fds(3): LISTEN_FDS descriptors from 3 on, meant for the process
 * LISTEN_PID, with names in LISTEN_FDNAMES. What listens on an address is found by that address,
 * never by its place or name, so that no socket serves what another was meant for.
 *
 * A passed socket stays open here for as long as the process lives, whatever a reload stops
 * listening on: its manager keeps it open anyhow, and who accepts gets duplicates. Heap; control.
 */
#pragma once
#include "conf/conf.h"
#include "proxy/base/err.h"

enum { INHERITED_FIRST = 3, INHERITED_MAX = 128, INHERITED_NAME_MAX = 255 };

struct inherited;

/* As the environment has them; each may be NULL. */
struct inherited_words {
    const char *pid;
    const char *fds;
    const char *names;
};

/* Takes what was passed to this process; `first` is the number of the first descriptor. Nothing
 * passed is fine, and so is what was meant for another process. ERR_SYNTAX, ERR_LIMIT and ERR_STATE
 * (no listening stream socket) with a note; ERR_NOMEM. */
MUST_USE enum err inherited_create(const struct inherited_words *words, int first,
                                   struct note *note, struct inherited **ret_inherited);
/* Closes them all. NULL is fine. */
void inherited_destroy(struct inherited *inherited);

/* A duplicate of what listens on the address, for the index-th of those who share it; the caller
 * owns it. Where several sockets were passed for one address they are dealt out in turn. The port
 * is what counts where a socket takes IPv4 and IPv6 alike and `address` is every one of either.
 * ERR_NOT_FOUND: none was passed. ERR_IO: no descriptors are left. */
MUST_USE enum err inherited_take(struct inherited *inherited, const struct conf_address *address,
                                 size_t index, int *ret_fd);
/* Was any passed that nobody took? The note says where it listens. */
bool inherited_has_unused(const struct inherited *inherited, struct note *note);
/* How many were passed; 0 for NULL. */
size_t inherited_count(const struct inherited *inherited);
