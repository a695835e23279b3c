/* canary/admin/hall.h — where connections to the admin socket wait until hands are shaken.
 *
 * Whoever comes to an address with certificates is kept here until the handshake is over, then goes
 * to the codec. Who speaks plain HTTP is told so, in plain HTTP: a client verb without "https://"
 * shows what is wrong. Who takes longer than a request's head may is put out, and of those who wait
 * there are never more than HALL_GUESTS_MAX: handshakes cost time of the loop that also rolls back.
 * Private to canary/admin; embedded in the server. Control only. */
#pragma once
#include "proxy/http1/http1_server.h"
#include "proxy/tls/tls_server.h"

enum { HALL_GUESTS_MAX = 64 };

struct hall {
    struct http1_server_host *host; /* borrowed: where connections go */
    struct list guests;
    size_t guest_count;
};

void hall_init(struct hall *hall, struct http1_server_host *host);
static inline bool hall_is_full(const struct hall *hall)
{
    return hall->guest_count >= HALL_GUESTS_MAX;
}
/* Takes a fresh connection; shares the server while it is needed. ERR_NOMEM closes it. */
MUST_USE enum err hall_open(struct hall *hall, struct stream *stream, struct tls_server *server,
                            const struct ip *peer);
/* Puts out whoever waits; they are gone a turn of the loop later. */
void hall_close_all(struct hall *hall);
