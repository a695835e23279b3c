#include "conf/conf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/base/check.h"

/* Reads to the end. One byte more than the max is asked for, to tell "full" from "too large". */
static enum err read_all(int fd, struct buf *content)
{
    char piece[4096];
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got == 0) {
            return OK;
        }
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return ERR_IO;
        }
        enum err err = buf_append(content, bytes_make(piece, (size_t)got));
        if (err != OK) {
            return err;
        }
    }
}

enum err conf_file_read(const char *path, struct note *note, struct buf *ret_content)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int reason = errno;
        note_set(note, "%s: cannot be opened: %s", path, strerror(reason));
        return reason == ENOENT ? ERR_NOT_FOUND : ERR_IO;
    }
    enum err err = read_all(fd, ret_content);
    int reason = errno;
    (void)close(fd);
    if (err == ERR_LIMIT) {
        note_set(note, "%s: larger than %zu bytes", path, ret_content->max);
    } else if (err != OK) {
        note_set(note, "%s: cannot be read: %s", path,
                 err == ERR_IO ? strerror(reason) : err_text(err));
    }
    return err;
}

static enum err read_variable(const char *name, struct note *note, struct buf *ret_secret)
{
    const char *value = getenv(name);
    if (value == NULL) {
        note_set(note, "the environment variable %s is not set", name);
        return ERR_NOT_FOUND;
    }
    enum err err = buf_append(ret_secret, bytes_of(value));
    if (err != OK) {
        note_set(note, "the environment variable %s: %s", name, err_text(err));
    }
    return err;
}

static bool ends_with_newline(struct bytes text)
{
    return text.size > 0 && (text.data[text.size - 1] == '\n' || text.data[text.size - 1] == '\r');
}

enum err conf_secret_read(const struct conf_secret *secret, struct note *note,
                          struct buf *ret_secret)
{
    CHECK((secret->file == NULL) != (secret->env == NULL));
    const char *place = secret->file != NULL ? secret->file : secret->env;
    struct buf content;
    buf_init(&content, CONF_SECRET_MAX);
    enum err err = secret->file != NULL ? conf_file_read(secret->file, note, &content)
                                        : read_variable(secret->env, note, &content);
    struct bytes text = buf_bytes(&content);
    while (ends_with_newline(text)) {
        text.size--;
    }
    if (err == OK && text.size == 0) {
        note_set(note, "the secret in %s is empty", place);
        err = ERR_NOT_FOUND;
    }
    if (err == OK) {
        buf_clear(ret_secret);
        err = buf_append(ret_secret, text);
    }
    if (content.data != NULL) {
        explicit_bzero(content.data, content.capacity);
    }
    buf_finish(&content);
    return err;
}
