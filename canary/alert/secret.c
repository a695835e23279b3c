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

static enum err read_file(const char *path, char text[SECRET_MAX + 1], struct note *note)
{
    /* Not even a FIFO keeps us waiting. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = file >= 0 ? read(file, text, SECRET_MAX) : -1;
    int why = errno;
    if (file >= 0) {
        (void)close(file);
    }
    if (size < 0) {
        note_set(note, "%s: %s", path, strerror(why));
        return ERR_IO;
    }
    text[size] = '\0';
    return OK;
}

static enum err read_text(const struct conf_secret *conf, char text[SECRET_MAX + 1],
                          struct note *note)
{
    if (conf->file != NULL) {
        return read_file(conf->file, text, note);
    }
    const char *value = getenv(conf->env);
    if (value == NULL || strlen(value) > SECRET_MAX) {
        note_set(note, "the environment variable %s is not set, or too long", conf->env);
        return ERR_IO;
    }
    memcpy(text, value, strlen(value) + 1);
    return OK;
}

enum err secret_read(const struct conf_secret *conf, char **ret_secret, struct note *note)
{
    char text[SECRET_MAX + 1];
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
