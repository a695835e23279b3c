/* canary/about/libraries.h — the libraries that Serin was built with, and those it runs with. Pure;
 * any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { ABOUT_VERSION_MAX = 63 };

struct about_library {
    const char *name;
    char built[ABOUT_VERSION_MAX + 1];   /* the version of the headers it was compiled with */
    char running[ABOUT_VERSION_MAX + 1]; /* what answers in this process */
};

/* The index-th library; false behind the last. */
bool about_library_at(size_t index, struct about_library *ret_library);
