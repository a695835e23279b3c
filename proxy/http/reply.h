/* proxy/http/reply.h — answers of our own: a status and one line of text.
 *
 * Everything in them is static or borrowed from the options. Pure; any thread. */
#pragma once
#include "proxy/http/message.h"

enum { REPLY_FIELDS_MAX = 9, REPLY_EXTRA_MAX = 4, REPLY_DATE_SIZE = 30 };

/* Bodies for answers of 400 and above, by status. */
enum { REPLY_ERROR_MIN = 400, REPLY_ERROR_MAX = 599, REPLY_PAGES_MAX = 64 };
struct reply_page {
    struct bytes body; /* owned by whoever made the pages */
    struct bytes content_type;
};
struct reply_pages {
    struct reply_page pages[REPLY_PAGES_MAX];
    size_t page_count;
    uint8_t
        of_status[REPLY_ERROR_MAX - REPLY_ERROR_MIN + 1]; /* its page's number from 1; 0: none */
};

struct reply_options {
    enum http_version client_version;
    bool is_keep_alive;        /* may the connection carry another request after this answer */
    bool is_head;              /* announce the length, send no body */
    struct bytes date;         /* IMF-fixdate; empty: no Date */
    struct bytes retry_after;  /* seconds as text; empty: no Retry-After */
    struct bytes body;         /* data NULL: a line that says the status */
    struct bytes content_type; /* of `body` */
    const struct reply_pages *pages; /* NULL: none; `body` goes before them */
    const struct field *extra;       /* further fields, at most REPLY_EXTRA_MAX */
    size_t extra_count;
};

/* The page for a status; NULL: there is none, or there are no pages. */
const struct reply_page *reply_pages_find(const struct reply_pages *pages, unsigned status);

/* Fills a response with `items` (room for REPLY_FIELDS_MAX) and its body text; ret_body is empty
 * for HEAD. */
void reply_make(unsigned status, const struct reply_options *options, struct field *items,
                struct response *ret_response, struct bytes *ret_body);

/* The registered reason phrase ("Bad Gateway"); empty for a status nobody registered. */
struct bytes reply_reason(unsigned status);

/* "Mon, 23 Nov 2026 05:40:41 GMT" (RFC 9110 section 5.6.7), terminated. */
void reply_date(int64_t wall_us, char text[REPLY_DATE_SIZE]);
