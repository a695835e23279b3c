#include "canary/supervisor/notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static enum err read_address(struct notify *notify, const char *text, struct note *note)
{
    size_t size = strlen(text);
    if (text[0] != '/' && text[0] != '@') {
        note_set(note, "NOTIFY_SOCKET is \"%s\", neither a path nor an abstract name", text);
        return ERR_UNSUPPORTED;
    }
    if (size < 2 || size >= sizeof notify->address.sun_path) {
        note_set(note, "NOTIFY_SOCKET has %zu bytes", size);
        return ERR_SYNTAX;
    }
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, text, size);
    if (text[0] == '@') {
        notify->address.sun_path[0] = '\0';
    }
    notify->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return OK;
}

static enum err read_watchdog(struct notify *notify, const struct notify_words *words,
                              struct note *note)
{
    uint64_t pid = (uint64_t)getpid();
    uint64_t watchdog_us = 0;
    if (words->watchdog_us == NULL) {
        return OK;
    }
    bool is_read =
        bytes_to_u64(bytes_of(words->watchdog_us), &watchdog_us) && watchdog_us > 0 &&
        (words->watchdog_pid == NULL || bytes_to_u64(bytes_of(words->watchdog_pid), &pid));
    if (!is_read) {
        note_set(note, "WATCHDOG_USEC is \"%s\", WATCHDOG_PID is \"%s\"", words->watchdog_us,
                 words->watchdog_pid != NULL ? words->watchdog_pid : "");
        return ERR_SYNTAX;
    }
    notify->watchdog_us = pid == (uint64_t)getpid() ? watchdog_us : 0;
    return OK;
}

enum err notify_init(struct notify *notify, const struct notify_words *words, struct note *note)
{
    *notify = (struct notify){.fd = -1};
    if (words->socket == NULL || words->socket[0] == '\0') {
        return OK;
    }
    enum err err = read_address(notify, words->socket, note);
    if (err == OK) {
        err = read_watchdog(notify, words, note);
    }
    if (err != OK) {
        return err;
    }
    notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (notify->fd < 0) {
        note_set(note, "no socket to tell the service manager by: %s", strerror(errno));
        return ERR_IO;
    }
    return OK;
}

void notify_finish(struct notify *notify)
{
    if (notify->fd >= 0) {
        (void)close(notify->fd);
        notify->fd = -1;
    }
}

enum err notify_send(const struct notify *notify, struct bytes text)
{
    if (notify->fd < 0) {
        return OK;
    }
    ssize_t sent = sendto(notify->fd, text.data, text.size, MSG_NOSIGNAL | MSG_DONTWAIT,
                          (const struct sockaddr *)&notify->address, notify->address_size);
    if (sent >= 0) {
        return OK;
    }
    return errno == EAGAIN || errno == ENOBUFS || errno == EINTR ? ERR_AGAIN : ERR_IO;
}
