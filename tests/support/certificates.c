#include "tests/support/certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <dirent.h>

#define ERR_STATE openssl_err_state
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

enum { PATH_SIZE = 256, PATHS = 8, DAY_S = 86400, RSA_BITS = 2048 };

static char folder[PATH_SIZE];
static EVP_PKEY *authority_key;
static X509 *authority;
static long serial;

const char *certificates_path(const char *file)
{
    static char paths[PATHS][2 * PATH_SIZE];
    static size_t next;
    char *path = paths[next++ % PATHS];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, file);
    return path;
}

static EVP_PKEY *make_key(enum certificate_kind kind)
{
    EVP_PKEY *key = kind == CERTIFICATE_EC ? EVP_EC_gen("P-256") : EVP_RSA_gen(RSA_BITS);
    assert_non_null(key);
    return key;
}

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static X509 *make_certificate(EVP_PKEY *key, const char *common_name, bool is_expired)
{
    X509 *certificate = X509_new();
    assert_non_null(certificate);
    (void)X509_set_version(certificate, X509_VERSION_3);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    (void)X509_gmtime_adj(X509_getm_notBefore(certificate), -2L * DAY_S);
    (void)X509_gmtime_adj(X509_getm_notAfter(certificate), (is_expired ? -1L : 30L) * DAY_S);
    (void)X509_set_pubkey(certificate, key);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                                     (const unsigned char *)common_name, -1, -1, 0);
    return certificate;
}

static void sign(X509 *certificate, X509 *issuer)
{
    (void)X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    assert_true(X509_sign(certificate, authority_key, EVP_sha256()) > 0);
}

static void write_certificate(const char *file, X509 *certificate)
{
    FILE *out = fopen(certificates_path(file), "we");
    assert_non_null(out);
    assert_int_equal(PEM_write_X509(out, certificate), 1);
    assert_int_equal(fclose(out), 0);
}

void certificates_begin(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/serin-certificates-XXXXXX");
    assert_non_null(mkdtemp(folder));
    authority_key = make_key(CERTIFICATE_EC);
    authority = make_certificate(authority_key, "Serin Test Authority", false);
    add_extension(authority, authority, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(authority, authority, NID_subject_key_identifier, "hash");
    sign(authority, authority);
    write_certificate("ca.pem", authority);
}

void certificates_make(const struct certificate_wish *wish)
{
    char file[PATH_SIZE];
    EVP_PKEY *key = make_key(wish->kind);
    X509 *certificate = make_certificate(key, "test", wish->is_expired);
    if (wish->names != NULL) {
        add_extension(certificate, authority, NID_subject_alt_name, wish->names);
    }
    sign(certificate, authority);
    (void)snprintf(file, sizeof file, "%s.pem", wish->file);
    write_certificate(file, certificate);
    (void)snprintf(file, sizeof file, "%s.key", wish->file);
    FILE *out = fopen(certificates_path(file), "we");
    assert_non_null(out);
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(out), 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

void certificates_end(void)
{
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        if (entry->d_name[0] != '.') {
            assert_int_equal(unlink(certificates_path(entry->d_name)), 0);
        }
    }
    assert_int_equal(closedir(directory), 0);
    assert_int_equal(rmdir(folder), 0);
    X509_free(authority);
    EVP_PKEY_free(authority_key);
}
