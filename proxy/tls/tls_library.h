/* proxy/tls/tls_library.h — OpenSSL as this room includes it.
 *
 * Internal to the room: its headers name OpenSSL's objects only as pointers. OpenSSL has a type of
 * the name of one of our constants, which is moved out of the way here. */
#pragma once
#define ERR_STATE openssl_err_state
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#undef ERR_STATE

/* The queue of errors is nearly always empty, and emptying it walks all of it. */
static inline void tls_forget_errors(void)
{
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}
