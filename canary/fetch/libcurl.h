/* canary/fetch/libcurl.h — libcurl, loaded when calls are to be made and not before.
 *
 * It brings some thirty libraries (two more TLS stacks, Kerberos, LDAP) that a proxy which calls
 * nobody would only carry: half of its private memory. So nothing is linked with it; its functions
 * are looked up by name. Once loaded it stays until the process ends. docs/decisions/0029. */
#pragma once
#include <curl/curl.h>

#include "proxy/base/err.h"

/* What is called of it, without "curl_". */
#define LIBCURL_FUNCTIONS(X)                                                                       \
    X(easy_cleanup)                                                                                \
    X(easy_getinfo)                                                                                \
    X(easy_init)                                                                                   \
    X(easy_setopt)                                                                                 \
    X(easy_strerror)                                                                               \
    X(global_init)                                                                                 \
    X(multi_add_handle)                                                                            \
    X(multi_assign)                                                                                \
    X(multi_cleanup)                                                                               \
    X(multi_info_read)                                                                             \
    X(multi_init)                                                                                  \
    X(multi_remove_handle)                                                                         \
    X(multi_setopt)                                                                                \
    X(multi_socket_action)                                                                         \
    X(slist_append)                                                                                \
    X(slist_free_all)                                                                              \
    X(version_info)

/* The pointers have the types that its header gives the functions. Immutable once loaded; what the
 * threads may do with them is libcurl's to say. */
struct libcurl {
#define LIBCURL_POINTER(name) __typeof__(curl_##name) *name;
    LIBCURL_FUNCTIONS(LIBCURL_POINTER)
#undef LIBCURL_POINTER
};

/* Reads files, the first time: some ten milliseconds. Control or the CLI's thread; no other may be
 * about to load it. ERR_IO with a note: it is not there or not the one that was built for. */
MUST_USE enum err libcurl_load(struct libcurl *ret_curl, struct note *note);
