/* canary/supervisor/notify.h — tells the service manager how the process is: the datagrams of
 * sd_notify(3).
 *
 * A handful of lines over one socket, written here rather than taken from libsystemd, which would
 * bring four more libraries into a process that faces the net
 * (docs/decisions/0025-the-service-manager.md). Nothing waits: what the manager has no room for is
 * the caller's to say again. Embedded; control. */
#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include "proxy/base/bytes.h"
#include "proxy/base/err.h"

enum { NOTIFY_TEXT_MAX = 1024 };

struct notify {
    int fd; /* owned; -1: nobody wants to be told */
    struct sockaddr_un address;
    socklen_t address_size;
    uint64_t watchdog_us; /* 0: none; at least so often WATCHDOG=1 is due */
};

/* As the environment has them; each may be NULL. */
struct notify_words {
    const char *socket;       /* NOTIFY_SOCKET: /path or @abstract */
    const char *watchdog_us;  /* WATCHDOG_USEC */
    const char *watchdog_pid; /* WATCHDOG_PID: whom it is meant for; NULL: whoever reads it */
};

/* Without a socket nobody is told, which is fine. ERR_UNSUPPORTED, ERR_SYNTAX, ERR_IO with a note:
 * nobody is told either. */
MUST_USE enum err notify_init(struct notify *notify, const struct notify_words *words,
                              struct note *note);
void notify_finish(struct notify *notify);

/* One datagram: lines as "READY=1". OK also where nobody wants to be told. ERR_AGAIN: the manager
 * is behind. ERR_IO: it is gone. */
MUST_USE enum err notify_send(const struct notify *notify, struct bytes text);
