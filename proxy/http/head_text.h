/* proxy/http/head_text.h — a head as text that may be kept and shown: bounded, and without secrets.
 *
 * Whoever reads an incident report must not learn by it how to sign in as somebody else. The value
 * of a field is left out when its name is one of those that carry secrets (Authorization,
 * Proxy-Authorization, Cookie, Set-Cookie), when it holds a word that such names have (token,
 * secret, key, session, ...), or when the configuration names it. Of targets and of fields that
 * hold addresses (Referer, Location, ...) query and fragment are left out, and all of an address
 * that names a user. Pure; any thread. */
#pragma once
#include <stddef.h>

#include "proxy/http/message.h"

/* What stands where something was left out. */
#define HEAD_TEXT_REDACTED "[redacted]"

/* Further names, in lower case; borrowed. */
struct head_text_secrets {
    const char *const *names;
    size_t count;
};

/* Is the value of a field of this name left out? */
bool head_text_is_secret(struct bytes name, const struct head_text_secrets *secrets);
/* The target's path: what stands before query and fragment. */
struct bytes head_text_path(struct bytes target);
/* Writes "GET /path HTTP/1.1", then "Name: value", one line each, ended by a line feed. Lines that
 * do not fit as a whole are left out. Returns how many bytes were written, at most `size`. */
size_t head_text_request(const struct request *request, const struct head_text_secrets *secrets,
                         char *ret_text, size_t size);
/* The same with "HTTP/1.1 500 Reason". */
size_t head_text_response(const struct response *response, const struct head_text_secrets *secrets,
                          char *ret_text, size_t size);
