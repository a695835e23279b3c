#include "proxy/tls/tls_result.h"

#include "proxy/base/check.h"
#include "proxy/tls/tls_library.h"

const char *tls_result_name(enum tls_result result)
{
    static const char *const names[TLS_RESULT_COUNT] = {
        [TLS_FULL] = "full",
        [TLS_RESUMED] = "resumed",
        [TLS_TIMEOUT] = "timeout",
        [TLS_GONE] = "gone",
        [TLS_PLAIN_HTTP] = "plain_http",
        [TLS_UNSUPPORTED_VERSION] = "unsupported_version",
        [TLS_NO_SHARED_CIPHER] = "no_shared_cipher",
        [TLS_NO_PROTOCOL] = "no_protocol",
        [TLS_BAD_CERTIFICATE] = "bad_certificate",
        [TLS_ALERT] = "alert",
        [TLS_MALFORMED] = "malformed",
        [TLS_MEMORY] = "memory",
    };
    CHECK(result < TLS_RESULT_COUNT);
    return names[result];
}

static enum tls_result of_reason(int reason)
{
    switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return TLS_PLAIN_HTTP;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return TLS_UNSUPPORTED_VERSION;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
        return TLS_NO_SHARED_CIPHER;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return TLS_NO_PROTOCOL;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return TLS_BAD_CERTIFICATE;
    case ERR_R_MALLOC_FAILURE:
        return TLS_MEMORY;
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return TLS_GONE;
    default:
        return reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256
                   ? TLS_ALERT
                   : TLS_MALFORMED;
    }
}

enum tls_result tls_result_take(void)
{
    unsigned long error = ERR_peek_error();
    ERR_clear_error();
    if (error == 0) {
        return TLS_GONE;
    }
    return ERR_GET_LIB(error) == ERR_LIB_SSL || ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE
               ? of_reason(ERR_GET_REASON(error))
               : TLS_MALFORMED;
}
