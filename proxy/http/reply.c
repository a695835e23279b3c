#include "proxy/http/reply.h"

#include <stdio.h>
#include <time.h>

#include "proxy/base/check.h"

/* X(status, "reason"): RFC 9110 section 15 and the registry behind it. */
#define STATUS_LIST(X)                                                                             \
    X(100, "Continue")                                                                             \
    X(101, "Switching Protocols")                                                                  \
    X(103, "Early Hints")                                                                          \
    X(200, "OK")                                                                                   \
    X(201, "Created")                                                                              \
    X(202, "Accepted")                                                                             \
    X(203, "Non-Authoritative Information")                                                        \
    X(204, "No Content")                                                                           \
    X(205, "Reset Content")                                                                        \
    X(206, "Partial Content")                                                                      \
    X(207, "Multi-Status")                                                                         \
    X(300, "Multiple Choices")                                                                     \
    X(301, "Moved Permanently")                                                                    \
    X(302, "Found")                                                                                \
    X(303, "See Other")                                                                            \
    X(304, "Not Modified")                                                                         \
    X(307, "Temporary Redirect")                                                                   \
    X(308, "Permanent Redirect")                                                                   \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(402, "Payment Required")                                                                     \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(406, "Not Acceptable")                                                                       \
    X(407, "Proxy Authentication Required")                                                        \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(410, "Gone")                                                                                 \
    X(411, "Length Required")                                                                      \
    X(412, "Precondition Failed")                                                                  \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(416, "Range Not Satisfiable")                                                                \
    X(417, "Expectation Failed")                                                                   \
    X(421, "Misdirected Request")                                                                  \
    X(422, "Unprocessable Content")                                                                \
    X(423, "Locked")                                                                               \
    X(424, "Failed Dependency")                                                                    \
    X(425, "Too Early")                                                                            \
    X(426, "Upgrade Required")                                                                     \
    X(428, "Precondition Required")                                                                \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(451, "Unavailable For Legal Reasons")                                                        \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(502, "Bad Gateway")                                                                          \
    X(503, "Service Unavailable")                                                                  \
    X(504, "Gateway Timeout")                                                                      \
    X(505, "HTTP Version Not Supported")                                                           \
    X(507, "Insufficient Storage")                                                                 \
    X(511, "Network Authentication Required")

struct bytes reply_reason(unsigned status)
{
    switch (status) {
#define STATUS_REASON(number, reason)                                                              \
    case number:                                                                                   \
        return BYTES(reason);
        STATUS_LIST(STATUS_REASON)
#undef STATUS_REASON
    default:
        return BYTES("");
    }
}

static struct bytes body_of(unsigned status)
{
    switch (status) {
#define STATUS_BODY(number, reason)                                                                \
    case number:                                                                                   \
        return BYTES(#number " " reason "\n");
        STATUS_LIST(STATUS_BODY)
#undef STATUS_BODY
    default:
        return BYTES("");
    }
}

static void add(struct field *items, size_t *count, enum field_id id, struct bytes name,
                struct bytes value)
{
    CHECK(*count < REPLY_FIELDS_MAX);
    items[(*count)++] = (struct field){name, value, id};
}

static bool has_body(unsigned status)
{
    return status >= 200 && status != 204 && status != 304;
}

const struct reply_page *reply_pages_find(const struct reply_pages *pages, unsigned status)
{
    if (pages == NULL || status < REPLY_ERROR_MIN || status > REPLY_ERROR_MAX) {
        return NULL;
    }
    unsigned number = pages->of_status[status - REPLY_ERROR_MIN];
    return number > 0 ? &pages->pages[number - 1] : NULL;
}

static struct reply_page page_of(unsigned status, const struct reply_options *options)
{
    const struct reply_page *page = reply_pages_find(options->pages, status);
    if (options->body.data != NULL) {
        return (struct reply_page){options->body, options->content_type};
    }
    return page != NULL ? *page
                        : (struct reply_page){body_of(status), BYTES("text/plain; charset=utf-8")};
}

void reply_make(unsigned status, const struct reply_options *options, struct field *items,
                struct response *ret_response, struct bytes *ret_body)
{
    size_t count = 0;
    struct reply_page page = page_of(status, options);
    struct bytes body = has_body(status) ? page.body : BYTES("");
    if (options->date.size > 0) {
        add(items, &count, FIELD_DATE, BYTES("Date"), options->date);
    }
    if (body.size > 0) {
        add(items, &count, FIELD_CONTENT_TYPE, BYTES("Content-Type"), page.content_type);
        add(items, &count, FIELD_OTHER, BYTES("Cache-Control"), BYTES("no-store"));
    }
    if (status == 405) {
        /* RFC 9110 section 15.5.6 asks for it; we refuse only CONNECT. */
        add(items, &count, FIELD_OTHER, BYTES("Allow"),
            BYTES("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"));
    }
    if (options->retry_after.size > 0) {
        add(items, &count, FIELD_OTHER, BYTES("Retry-After"), options->retry_after);
    }
    for (size_t i = 0; i < options->extra_count; i++) {
        add(items, &count, options->extra[i].id, options->extra[i].name, options->extra[i].value);
    }
    *ret_response =
        (struct response){.status = status,
                          .version = options->client_version,
                          .reason = reply_reason(status),
                          .upgrade = BYTES(""),
                          .fields = {items, count},
                          .body = has_body(status) && !options->is_head ? BODY_LENGTH : BODY_NONE,
                          .content_length = body.size,
                          .has_content_length = has_body(status),
                          .is_keep_alive = options->is_keep_alive};
    *ret_body = options->is_head ? BYTES("") : body;
}

void reply_date(int64_t wall_us, char text[REPLY_DATE_SIZE])
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    enum { US_PER_SECOND = 1000000, YEAR_MODULUS = 10000 };
    time_t seconds = (time_t)(wall_us / US_PER_SECOND);
    struct tm parts;
    CHECK(gmtime_r(&seconds, &parts) != NULL);
    /* Not strftime: its names follow the locale. */
    (void)snprintf(text, REPLY_DATE_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                   days[parts.tm_wday], (unsigned)parts.tm_mday % 100, months[parts.tm_mon],
                   (unsigned)(parts.tm_year + 1900) % YEAR_MODULUS, (unsigned)parts.tm_hour % 100,
                   (unsigned)parts.tm_min % 100, (unsigned)parts.tm_sec % 100);
}
