/* canary/dashboard/dashboard.h — the files of the page that operators see in a browser.
 *
 * They are embedded at build: the page, its style and its modules, and the chart library dygraphs
 * (from Debian's libjs-dygraphs). The page loads nothing from anywhere else and has no inline
 * script or style, so that DASHBOARD_POLICY can forbid both (blob: images are charts of incidents,
 * which need the token to be read). Static; any thread. */
#pragma once
#include <stdbool.h>

#include "proxy/base/bytes.h"

/* Content Security Policy Level 3. */
#define DASHBOARD_POLICY                                                                           \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "                \
    "img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

struct dashboard_file {
    const char *name; /* "app.js"; "" is the page itself */
    const char *content_type;
    struct bytes content;
};

/* false: there is no such file. */
bool dashboard_find(const char *name, struct dashboard_file *ret_file);
