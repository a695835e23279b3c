#include "canary/about/libraries.h"

#include <ares.h>
#include <gnu/libc-version.h>
#include <jansson.h>
#include <llhttp.h>
#include <nghttp2/nghttp2.h>
#define ERR_STATE openssl_err_state
#include <openssl/crypto.h>
#undef ERR_STATE
#include <openssl/opensslv.h>
#include <sqlite3.h>
#include <stdio.h>
#include <uv.h>
#include <yaml.h>

#include "canary/fetch/libcurl.h"

#define TEXT_OF(value)   #value
#define TEXT(value)      TEXT_OF(value)
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)

static const char *run_ares(void)
{
    return ares_version(NULL);
}

static const char *run_curl(void)
{
    struct libcurl curl;
    return libcurl_load(&curl, NULL) == OK ? curl.version_info(CURLVERSION_NOW)->version
                                           : "none that can be loaded";
}

static const char *run_llhttp(void)
{
    return VERSION(LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH);
}

static const char *run_nghttp2(void)
{
    return nghttp2_version(0)->version_str;
}

static const char *run_openssl(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

/* llhttp and glibc's headers have no one text; libyaml's headers have none at all. */
static const struct {
    const char *name;
    const char *built;
    const char *(*running)(void);
} libraries[] = {
    {"c-ares", ARES_VERSION_STR, run_ares},
    {"glibc", TEXT(__GLIBC__) "." TEXT(__GLIBC_MINOR__), gnu_get_libc_version},
    {"jansson", JANSSON_VERSION, jansson_version_str},
    {"libcurl", LIBCURL_VERSION, run_curl},
    {"libuv", VERSION(UV_VERSION_MAJOR, UV_VERSION_MINOR, UV_VERSION_PATCH), uv_version_string},
    {"libyaml", SERIN_YAML_VERSION, yaml_get_version_string},
    {"llhttp", VERSION(LLHTTP_VERSION_MAJOR, LLHTTP_VERSION_MINOR, LLHTTP_VERSION_PATCH),
     run_llhttp},
    {"nghttp2", NGHTTP2_VERSION, run_nghttp2},
    {"openssl", OPENSSL_VERSION_STR, run_openssl},
    {"sqlite", SQLITE_VERSION, sqlite3_libversion},
};

enum { LIBRARY_COUNT = sizeof libraries / sizeof *libraries };

bool about_library_at(size_t index, struct about_library *ret_library)
{
    if (index >= LIBRARY_COUNT) {
        return false;
    }
    ret_library->name = libraries[index].name;
    (void)snprintf(ret_library->built, sizeof ret_library->built, "%s", libraries[index].built);
    (void)snprintf(ret_library->running, sizeof ret_library->running, "%s",
                   libraries[index].running());
    return true;
}
