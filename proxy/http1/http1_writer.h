/* proxy/http1/http1_writer.h — from a message to bytes on the wire.
 *
 * Framing is written from the message's facts, never from its fields: fields with the ids
 * Content-Length, Transfer-Encoding, Connection, Keep-Alive, TE and Upgrade are skipped. A byte
 * that would end a line too early never leaves: a head is looked at as a whole once it is written.
 * Pure; any thread. */
#pragma once
#include "proxy/base/err.h"
#include "proxy/http/message.h"

enum { HTTP1_CHUNK_LINE_MAX = 16 + 2 }; /* hex digits and CRLF */

/* Writes a request head, always as HTTP/1.1, and says its size. ERR_LIMIT when it does not fit in
 * `capacity`, ERR_SYNTAX when a field or the target holds a byte that must not be sent; `out` is
 * garbage then. */
MUST_USE enum err http1_write_request(char *out, size_t capacity, const struct request *request,
                                      size_t *ret_size);

/* Writes a response head, always as HTTP/1.1. `response->version` is the client's: with HTTP_1_0
 * keep-alive is said aloud, else close is. Errors as above. */
MUST_USE enum err http1_write_response(char *out, size_t capacity, const struct response *response,
                                       size_t *ret_size);

/* Writes "SIZE CRLF" in front of a chunk of `size` > 0 bytes; returns how many bytes, at most
 * HTTP1_CHUNK_LINE_MAX. Behind the data goes HTTP1_CRLF. */
size_t http1_write_chunk_line(char *out, uint64_t size);

/* Writes the last chunk, the trailers (may be NULL) and the final CRLF. Errors as above. */
MUST_USE enum err http1_write_last_chunk(char *out, size_t capacity, const struct fields *trailers,
                                         size_t *ret_size);

#define HTTP1_CRLF       BYTES("\r\n")
#define HTTP1_LAST_CHUNK BYTES("0\r\n\r\n")
#define HTTP1_CONTINUE   BYTES("HTTP/1.1 100 Continue\r\n\r\n")
