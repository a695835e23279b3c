#include "canary/fetch/libcurl.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

/* POSIX promises that a function's address fits where dlsym puts it. */
static bool find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

enum err libcurl_load(struct libcurl *ret_curl, struct note *note)
{
    struct libcurl curl;
    bool is_whole = true;
    void *library = dlopen(SERIN_LIBCURL, RTLD_NOW | RTLD_NODELETE);
    if (library == NULL) {
        const char *why = dlerror();
        note_set(note, "libcurl cannot be loaded: %s", why != NULL ? why : SERIN_LIBCURL);
        return ERR_IO;
    }
#define LIBCURL_FIND(name) is_whole = is_whole && find(library, "curl_" #name, &curl.name);
    LIBCURL_FUNCTIONS(LIBCURL_FIND)
#undef LIBCURL_FIND
    if (!is_whole || curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        note_set(note, "%s does not start", SERIN_LIBCURL);
        return ERR_IO;
    }
    *ret_curl = curl;
    return OK;
}
