/* tests/unit/fetch/http_stub.h — an origin of a few lines on the test's own loop: the path says how
 * it behaves. */
#pragma once
#include <uv.h>

/* /ok 200 with ETag · /echo the request's bytes · /big 64 KiB · /redirect 302 to /ok · /silent no
 * answer ever · /cut half an answer · /events three events, then open for ever · anything else 404
 * as a problem document */
struct http_stub;

/* On 127.0.0.1 and a port of the kernel's choice, or on a unix socket when `unix_path` is not NULL.
 */
struct http_stub *http_stub_open(uv_loop_t *loop, const char *unix_path);
int http_stub_port(const struct http_stub *stub);
unsigned http_stub_requests(const struct http_stub *stub);
/* Closes everything; frees when the loop has run on. */
void http_stub_close(struct http_stub *stub);
