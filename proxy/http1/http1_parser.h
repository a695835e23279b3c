/* proxy/http1/http1_parser.h — from the bytes of a complete head to a message.
 *
 * The head has passed framing_scan_head. A plain one is split at once, any other by llhttp (strict,
 * every lenient flag off), into fields that are slices of `head`; framing then checks what it
 * means. Nothing is copied or allocated. Pure; any thread. */
#pragma once
#include "proxy/http/framing.h"

/* Parses a request head into `items` (room for items_max fields, at least the scanner's
 * field_count). ERR_SYNTAX with the reason when it must be refused; ret_request is untouched then.
 * The message borrows `head` and `items`. */
MUST_USE enum err http1_parse_request(struct bytes head, struct field *items, size_t items_max,
                                      struct request *ret_request, struct reject *ret_reject);

/* The same for a response to the request that `asked` tells of. */
MUST_USE enum err http1_parse_response(struct bytes head, const struct framing_asked *asked,
                                       struct field *items, size_t items_max,
                                       struct response *ret_response, struct reject *ret_reject);

/* The same, but llhttp reads every head. The outcome never differs: tests and fuzzers see to it. */
MUST_USE enum err http1_parse_request_by_llhttp(struct bytes head, struct field *items,
                                                size_t items_max, struct request *ret_request,
                                                struct reject *ret_reject);
MUST_USE enum err http1_parse_response_by_llhttp(struct bytes head,
                                                 const struct framing_asked *asked,
                                                 struct field *items, size_t items_max,
                                                 struct response *ret_response,
                                                 struct reject *ret_reject);
