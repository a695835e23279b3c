/* proxy/snapshot/error_pages.h — the error pages of a configuration, read when it is loaded.
 *
 * Control makes and frees them with the configuration's base; workers only look
 * (reply_pages_find). */
#pragma once
#include "conf/conf.h"
#include "proxy/http/reply.h"

enum { ERROR_PAGE_SIZE_MAX = 64 * 1024 };

/* The pages of `own`, and of `shared` for statuses that those leave out; each list's first entry
 * for a status wins. Files are read now. ERR_NOT_FOUND, ERR_LIMIT (longer than ERROR_PAGE_SIZE_MAX)
 * and ERR_IO with a note that names the file; ERR_NOMEM. */
MUST_USE enum err error_pages_create(const struct conf_error_pages *own,
                                     const struct conf_error_pages *shared, struct note *note,
                                     struct reply_pages **ret_pages);
void error_pages_destroy(struct reply_pages *pages); /* NULL is fine */
