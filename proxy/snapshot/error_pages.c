#include "proxy/snapshot/error_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/base/check.h"

static enum err fill(int fd, char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        ssize_t got = read(fd, text + at, size - at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return ERR_IO; /* it has changed under us */
        }
        at += (size_t)got;
    }
    return OK;
}

static enum err read_open(int fd, struct bytes *ret_body)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return ERR_IO;
    }
    if (status.st_size > ERROR_PAGE_SIZE_MAX) {
        return ERR_LIMIT;
    }
    size_t size = (size_t)status.st_size;
    char *text = malloc(size + 1);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    enum err err = fill(fd, text, size);
    if (err != OK) {
        free(text);
        return err;
    }
    *ret_body = bytes_make(text, size);
    return OK;
}

static enum err read_page(const char *file, struct note *note, struct bytes *ret_body)
{
    int fd = open(file, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    int reason = errno;
    enum err err = fd >= 0 ? read_open(fd, ret_body) : ERR_NOT_FOUND;
    if (fd >= 0) {
        (void)close(fd);
    }
    if (err == ERR_LIMIT) {
        note_set(note, "error_pages: %s is longer than %d KiB", file, ERROR_PAGE_SIZE_MAX / 1024);
    } else if (err != OK && err != ERR_NOMEM) {
        note_set(note, "error_pages: %s cannot be read: %s", file,
                 fd < 0 ? strerror(reason) : "it is not a plain file");
    }
    return err;
}

static struct bytes type_of(const char *file)
{
    static const struct {
        struct bytes ending;
        struct bytes type;
    } types[] = {
        {{".html", 5}, {"text/html; charset=utf-8", 24}},
        {{".htm", 4}, {"text/html; charset=utf-8", 24}},
        {{".json", 5}, {"application/json", 16}},
        {{".xml", 4}, {"application/xml", 15}},
    };
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (bytes_ends_with(bytes_of(file), types[i].ending)) {
            return types[i].type;
        }
    }
    return BYTES("text/plain; charset=utf-8");
}

static void assign(struct reply_pages *pages, const struct conf_error_page *conf, size_t number)
{
    for (size_t i = 0; i < conf->status_count; i++) {
        for (unsigned status = conf->statuses[i].first; status <= conf->statuses[i].last;
             status++) {
            uint8_t *place = &pages->of_status[status - REPLY_ERROR_MIN];
            *place = *place == 0 ? (uint8_t)number : *place;
        }
    }
}

static enum err add(struct reply_pages *pages, const struct conf_error_pages *conf,
                    struct note *note)
{
    for (size_t i = 0; i < conf->count; i++) {
        const struct conf_error_page *from = &conf->items[i];
        CHECK(pages->page_count < REPLY_PAGES_MAX);
        struct reply_page *to = &pages->pages[pages->page_count];
        enum err err = read_page(from->file, note, &to->body);
        if (err != OK) {
            return err;
        }
        to->content_type = type_of(from->file);
        pages->page_count++;
        assign(pages, from, pages->page_count);
    }
    return OK;
}

enum err error_pages_create(const struct conf_error_pages *own,
                            const struct conf_error_pages *shared, struct note *note,
                            struct reply_pages **ret_pages)
{
    struct reply_pages *pages = calloc(1, sizeof *pages);
    if (pages == NULL) {
        return ERR_NOMEM;
    }
    enum err err = add(pages, own, note);
    err = err == OK ? add(pages, shared, note) : err;
    if (err != OK) {
        error_pages_destroy(pages);
        return err;
    }
    *ret_pages = pages;
    return OK;
}

void error_pages_destroy(struct reply_pages *pages)
{
    for (size_t i = 0; pages != NULL && i < pages->page_count; i++) {
        free((char *)(uintptr_t)pages->pages[i].body.data);
    }
    free(pages);
}
