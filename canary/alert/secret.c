/* OpenSSL has a type of this name, and base a constant. */
#define ERR_STATE openssl_err_state
#include <openssl/crypto.h>
#undef ERR_STATE

#include "canary/alert/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECRET_SIZE = SECRET_MAX + 2 }; /* one byte more than may be, and the end */

/* A secret that was cut would be another one: with a byte too many it is too long, and a zero in it
 * (a file of UTF-16, say) would end it. */
static enum err check_whole(const char *text, size_t size, struct note *note, const char *place)
{
    if (size > SECRET_MAX) {
        note_set(note, "%s is longer than %d bytes", place, SECRET_MAX);
        return ERR_IO;
    }
    if (memchr(text, '\0', size) != NULL) {
        note_set(note, "%s holds a zero byte, so it is no text", place);
        return ERR_IO;
    }
    return OK;
}

static enum err read_file(const char *path, char text[SECRET_SIZE], struct note *note)
{
    /* Not even a FIFO keeps us waiting. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = file >= 0 ? read(file, text, SECRET_MAX + 1) : -1;
    int why = errno;
    if (file >= 0) {
        (void)close(file);
    }
    if (size < 0) {
        note_set(note, "%s: %s", path, strerror(why));
        return ERR_IO;
    }
    text[size] = '\0';
    return check_whole(text, (size_t)size, note, path);
}

static enum err read_text(const struct conf_secret *conf, char text[SECRET_SIZE], struct note *note)
{
    if (conf->file != NULL) {
        return read_file(conf->file, text, note);
    }
    const char *value = getenv(conf->env);
    if (value == NULL) {
        note_set(note, "the environment variable %s is not set", conf->env);
        return ERR_IO;
    }
    enum err err = check_whole(value, strlen(value), note, conf->env);
    if (err == OK) {
        memcpy(text, value, strlen(value) + 1);
    }
    return err;
}

enum err secret_read(const struct conf_secret *conf, char **ret_secret, struct note *note)
{
    char text[SECRET_SIZE];
    enum err err = read_text(conf, text, note);
    size_t size = err == OK ? strlen(text) : 0;
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) {
        text[--size] = '\0';
    }
    char *secret = NULL;
    if (err == OK && size == 0) {
        note_set(note, "%s is empty", conf->file != NULL ? conf->file : conf->env);
        err = ERR_IO;
    }
    if (err == OK) {
        secret = strdup(text);
        err = secret != NULL ? OK : ERR_NOMEM;
    }
    OPENSSL_cleanse(text, sizeof text);
    if (err == OK) {
        *ret_secret = secret;
    }
    return err;
}

void secret_free(char *secret)
{
    if (secret != NULL) {
        OPENSSL_cleanse(secret, strlen(secret));
        free(secret);
    }
}
