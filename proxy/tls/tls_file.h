/* proxy/tls/tls_file.h — which files certificates and keys are read from.
 *
 * Control reads them while it serves: at a reload, and to check a configuration that the admin API
 * is given. A pipe or a terminal would keep it waiting for whoever writes there, perhaps for ever,
 * and with it every verdict. */
#pragma once
#include "proxy/base/err.h"

enum { TLS_FILE_SIZE_MAX = 16 * 1024 * 1024 };

/* OK for a plain file (links are followed) of at most TLS_FILE_SIZE_MAX bytes that we may read;
 * else ERR_IO, and `note` says which file and why. Any thread. */
MUST_USE enum err tls_file_check(const char *path, struct note *note);
