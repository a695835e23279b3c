#include "proxy/exchange/challenge.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

bool challenge_path(struct bytes path, struct bytes *ret_token)
{
    const struct bytes prefix = BYTES("/.well-known/acme-challenge/");
    if (!bytes_starts_with(path, prefix)) {
        return false;
    }
    *ret_token = bytes_slice(path, prefix.size, path.size - prefix.size);
    return true;
}

/* The alphabet of base64url, without padding: neither dots nor slashes. */
static bool is_token(struct bytes text)
{
    if (text.size == 0 || text.size > CHALLENGE_TOKEN_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        char low = byte_lower(text.data[i]);
        bool is_letter = low >= 'a' && low <= 'z';
        bool is_digit = low >= '0' && low <= '9';
        if (!is_letter && !is_digit && low != '-' && low != '_') {
            return false;
        }
    }
    return true;
}

/* Goes one folder down without following a link; closes `folder`. -1: there is none. */
static int descend(int folder, const char *name)
{
    int below =
        folder < 0 ? -1 : openat(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder >= 0) {
        (void)close(folder);
    }
    return below;
}

/* Not waiting for a pipe's other side, nor for anything else that is no file. */
static int open_token(const char *webroot, struct bytes token)
{
    char name[CHALLENGE_TOKEN_MAX + 1];
    int folder = open(webroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
    folder = descend(folder, ".well-known");
    folder = descend(folder, "acme-challenge");
    if (folder < 0) {
        return -1;
    }
    memcpy(name, token.data, token.size);
    name[token.size] = '\0';
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    (void)close(folder);
    return fd;
}

static enum err read_file(int fd, char text[CHALLENGE_SIZE_MAX], struct bytes *ret_answer)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return ERR_IO;
    }
    if (!S_ISREG(status.st_mode)) {
        return ERR_NOT_FOUND;
    }
    if (status.st_size > CHALLENGE_SIZE_MAX) {
        return ERR_LIMIT;
    }
    size_t size = 0;
    while (size < CHALLENGE_SIZE_MAX) {
        ssize_t got = read(fd, text + size, CHALLENGE_SIZE_MAX - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return ERR_IO;
        }
        if (got == 0) {
            break;
        }
        size += (size_t)got;
    }
    *ret_answer = bytes_make(text, size);
    return OK;
}

enum err challenge_read(const char *webroot, struct bytes token, char text[CHALLENGE_SIZE_MAX],
                        struct bytes *ret_answer)
{
    if (!is_token(token)) {
        return ERR_NOT_FOUND;
    }
    int fd = open_token(webroot, token);
    if (fd < 0) {
        return ERR_NOT_FOUND;
    }
    enum err err = read_file(fd, text, ret_answer);
    (void)close(fd);
    return err;
}
