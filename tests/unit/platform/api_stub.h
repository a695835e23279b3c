/* tests/unit/platform/api_stub.h — an API on the test's own loop that says what it was told to say,
 * in that order, one answer a connection. */
#pragma once
#include <stddef.h>
#include <uv.h>

enum { API_STUB_ANSWERS_MAX = 32, API_STUB_REQUEST_SIZE = 4096 };

struct api_stub;

/* On 127.0.0.1 and a port of the kernel's choice. */
struct api_stub *api_stub_open(uv_loop_t *loop);
int api_stub_port(const struct api_stub *stub);
/* The next answer: `fields` are whole lines with CRLF. Texts are borrowed. A NULL body is silence;
 * a status of 0 ends the connection without a word. */
void api_stub_say(struct api_stub *stub, unsigned status, const char *fields, const char *body);
/* The next answer with half of its body. */
void api_stub_say_half(struct api_stub *stub, const char *body);
/* Requests so far, and each of them as it came. */
size_t api_stub_count(const struct api_stub *stub);
const char *api_stub_request(const struct api_stub *stub, size_t index);
/* Frees when the loop has run on. */
void api_stub_close(struct api_stub *stub);
