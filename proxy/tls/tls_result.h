/* proxy/tls/tls_result.h — how a handshake ended, as counters and logs name it. Pure; any thread.
 */
#pragma once

enum tls_result {
    TLS_FULL,
    TLS_RESUMED,
    TLS_TIMEOUT,             /* the deadline passed */
    TLS_GONE,                /* the other side ended or reset the connection */
    TLS_PLAIN_HTTP,          /* it spoke HTTP without TLS */
    TLS_UNSUPPORTED_VERSION, /* older than allowed */
    TLS_NO_SHARED_CIPHER,
    TLS_NO_PROTOCOL,     /* ALPN without one that is spoken here */
    TLS_BAD_CERTIFICATE, /* theirs: missing, not trusted, or of another name */
    TLS_ALERT,           /* the other side refused, ours perhaps */
    TLS_MALFORMED,       /* not TLS, or broken */
    TLS_MEMORY,
    TLS_RESULT_COUNT
};

/* "unsupported_version"; static. */
const char *tls_result_name(enum tls_result result);

/* What the oldest error in this thread's OpenSSL queue says; empties the queue. */
enum tls_result tls_result_take(void);
