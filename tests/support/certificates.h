/* tests/support/certificates.h — an authority of the test's own and certificates by it, as PEM
 * files in a new folder. Everything lives until certificates_end. One thread. */
#pragma once
#include <stdbool.h>

enum certificate_kind { CERTIFICATE_EC, CERTIFICATE_RSA };

struct certificate_wish {
    const char *file;  /* "site": makes site.pem and site.key */
    const char *names; /* "DNS:a.example,DNS:*.b.example,IP:127.0.0.1" */
    enum certificate_kind kind;
    bool is_expired;
};

/* Makes the folder and ca.pem in it. A failure ends the test. */
void certificates_begin(void);
void certificates_make(const struct certificate_wish *wish);
/* The path of a file in the folder; static, overwritten by the eighth call after. */
const char *certificates_path(const char *file);
/* Removes all. */
void certificates_end(void);
