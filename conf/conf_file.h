/* conf/conf_file.h — small files and secrets, read whole.
 *
 * Blocking; control or the command line, off the path of any request. */
#pragma once
#include "conf/conf.h"
#include "proxy/base/buf.h"

enum { CONF_SECRET_MAX = 4096 };

/* Appends the file to `ret_content`, whose max bounds it. ERR_NOT_FOUND, ERR_IO, ERR_LIMIT or
 * ERR_NOMEM, with a note. */
MUST_USE enum err conf_file_read(const char *path, struct note *note, struct buf *ret_content);

/* Reads a secret from its file or environment variable into `ret_secret` (cleared first), without
 * the newline at its end. An empty one is ERR_NOT_FOUND, more than CONF_SECRET_MAX bytes ERR_LIMIT.
 * The note says where it was looked for, never what it is. */
MUST_USE enum err conf_secret_read(const struct conf_secret *secret, struct note *note,
                                   struct buf *ret_secret);
