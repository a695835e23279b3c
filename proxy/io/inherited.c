#include "proxy/io/inherited.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/base/bytes.h"
#include "proxy/base/check.h"
#include "proxy/io/tcp_stream.h"

enum { TEXT_SIZE = 160 };

struct passed {
    int fd; /* owned */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
        struct sockaddr_storage all;
    } socket;
    bool is_dual; /* IPv6 that takes IPv4 too */
    char name[INHERITED_NAME_MAX + 1];
    char *taker; /* owned: the text of the address that it serves; NULL: nobody took it */
};

struct inherited {
    size_t count;
    struct passed passed[];
};

/* ---- reading ---- */

static bool is_listening(int fd)
{
    int type = 0;
    int accepts = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
        return false;
    }
    size = sizeof accepts;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) == 0 && accepts != 0;
}

static bool takes_both(int fd, const struct passed *passed)
{
    int is_v6_only = 1;
    socklen_t size = sizeof is_v6_only;
    return passed->socket.any.sa_family == AF_INET6 &&
           getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &is_v6_only, &size) == 0 && is_v6_only == 0;
}

static enum err take_one(int fd, struct bytes name, struct passed *passed, struct note *note)
{
    socklen_t size = sizeof passed->socket.all;
    if (!is_listening(fd) || getsockname(fd, &passed->socket.any, &size) != 0) {
        note_set(note, "descriptor %d, passed by the service manager, is no listening socket", fd);
        return ERR_STATE;
    }
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return ERR_IO;
    }
    if (passed->socket.any.sa_family != AF_UNIX) {
        tcp_stream_tune(fd);
    }
    passed->is_dual = takes_both(fd, passed);
    size_t length = name.size < INHERITED_NAME_MAX ? name.size : INHERITED_NAME_MAX;
    if (length > 0) {
        memcpy(passed->name, name.data, length);
    }
    passed->fd = fd;
    return OK;
}

static bool is_meant_for_us(const struct inherited_words *words)
{
    uint64_t pid = 0;
    return words->fds != NULL && words->pid != NULL && bytes_to_u64(bytes_of(words->pid), &pid) &&
           pid == (uint64_t)getpid();
}

enum err inherited_create(const struct inherited_words *words, int first, struct note *note,
                          struct inherited **ret_inherited)
{
    uint64_t count = 0;
    if (is_meant_for_us(words) && !bytes_to_u64(bytes_of(words->fds), &count)) {
        note_set(note, "LISTEN_FDS is \"%s\", which is no number", words->fds);
        return ERR_SYNTAX;
    }
    if (count > INHERITED_MAX) {
        note_set(note, "the service manager passed %s sockets, more than %d", words->fds,
                 INHERITED_MAX);
        return ERR_LIMIT;
    }
    struct inherited *inherited =
        calloc(1, sizeof *inherited + (size_t)count * sizeof inherited->passed[0]);
    if (inherited == NULL) {
        return ERR_NOMEM;
    }
    struct bytes names = bytes_of(words->names != NULL ? words->names : "");
    for (; inherited->count < count; inherited->count++) {
        struct bytes name = {0};
        (void)bytes_next(&names, ':', &name);
        enum err err = take_one(first + (int)inherited->count, name,
                                &inherited->passed[inherited->count], note);
        if (err != OK) {
            inherited_destroy(inherited);
            return err;
        }
    }
    *ret_inherited = inherited;
    return OK;
}

void inherited_destroy(struct inherited *inherited)
{
    if (inherited == NULL) {
        return;
    }
    for (size_t i = 0; i < inherited->count; i++) {
        (void)close(inherited->passed[i].fd);
        free(inherited->passed[i].taker);
    }
    free(inherited);
}

/* ---- finding ---- */

static bool is_equal(const struct passed *passed, const struct conf_address *address)
{
    if (passed->socket.any.sa_family != address->socket.any.sa_family) {
        return false;
    }
    switch (address->socket.any.sa_family) {
    case AF_INET:
        return passed->socket.v4.sin_port == address->socket.v4.sin_port &&
               passed->socket.v4.sin_addr.s_addr == address->socket.v4.sin_addr.s_addr;
    case AF_INET6:
        return passed->socket.v6.sin6_port == address->socket.v6.sin6_port &&
               IN6_ARE_ADDR_EQUAL(&passed->socket.v6.sin6_addr, &address->socket.v6.sin6_addr);
    default:
        return strncmp(passed->socket.local.sun_path, address->socket.local.sun_path,
                       sizeof address->socket.local.sun_path) == 0;
    }
}

/* `ListenStream=8080` of systemd is one socket for every address, IPv4 too. */
static bool is_every_address(const struct passed *passed, const struct conf_address *address)
{
    return passed->is_dual && IN6_IS_ADDR_UNSPECIFIED(&passed->socket.v6.sin6_addr) &&
           address->socket.any.sa_family == AF_INET &&
           address->socket.v4.sin_addr.s_addr == htonl(INADDR_ANY) &&
           address->socket.v4.sin_port == passed->socket.v6.sin6_port;
}

static bool serves(const struct passed *passed, const struct conf_address *address)
{
    bool is_free = passed->taker == NULL || strcmp(passed->taker, address->text) == 0;
    return is_free && (is_equal(passed, address) || is_every_address(passed, address));
}

enum err inherited_take(struct inherited *inherited, const struct conf_address *address,
                        size_t index, int *ret_fd)
{
    size_t found[INHERITED_MAX];
    size_t count = 0;
    for (size_t i = 0; i < inherited_count(inherited); i++) {
        if (serves(&inherited->passed[i], address)) {
            found[count++] = i;
        }
    }
    if (count == 0) {
        return ERR_NOT_FOUND;
    }
    for (size_t i = 0; i < count; i++) {
        struct passed *passed = &inherited->passed[found[i]];
        if (passed->taker == NULL) {
            passed->taker = strdup(address->text);
        }
        if (passed->taker == NULL) {
            return ERR_NOMEM;
        }
    }
    int fd = fcntl(inherited->passed[found[index % count]].fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return ERR_IO;
    }
    *ret_fd = fd;
    return OK;
}

static void print(const struct passed *passed, char text[TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "";
    switch (passed->socket.any.sa_family) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &passed->socket.v4.sin_addr, host, sizeof host);
        (void)snprintf(text, TEXT_SIZE, "%s:%u", host, ntohs(passed->socket.v4.sin_port));
        break;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &passed->socket.v6.sin6_addr, host, sizeof host);
        (void)snprintf(text, TEXT_SIZE, "[%s]:%u", host, ntohs(passed->socket.v6.sin6_port));
        break;
    case AF_UNIX:
        (void)snprintf(text, TEXT_SIZE, "unix:%.*s", (int)sizeof passed->socket.local.sun_path,
                       passed->socket.local.sun_path);
        break;
    default:
        (void)snprintf(text, TEXT_SIZE, "an address of family %d", passed->socket.any.sa_family);
    }
}

bool inherited_has_unused(const struct inherited *inherited, struct note *note)
{
    for (size_t i = 0; i < inherited_count(inherited); i++) {
        const struct passed *passed = &inherited->passed[i];
        if (passed->taker == NULL) {
            char text[TEXT_SIZE];
            print(passed, text);
            note_set(note,
                     "the service manager passed a socket on %s (%s), where the configuration does "
                     "not listen",
                     text, passed->name[0] != '\0' ? passed->name : "no name");
            return true;
        }
    }
    return false;
}

size_t inherited_count(const struct inherited *inherited)
{
    return inherited != NULL ? inherited->count : 0;
}
