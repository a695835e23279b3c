#include "proxy/tls/tls_certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ERR_STATE openssl_err_state
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

#include "proxy/tls/tls_file.h"

enum { OCSP_SIZE_MAX = 64 * 1024 };

/* A key with a password is refused, rather than asked for on a terminal. */
static int no_password(char *buffer, int size, int is_writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

static enum err read_chain(struct tls_certificate *certificate, const char *path, struct note *note)
{
    enum err err = tls_file_check(path, note);
    if (err != OK) {
        return err;
    }
    BIO *file = BIO_new_file(path, "r");
    if (file == NULL) {
        ERR_clear_error();
        note_set(note, "%s: cannot be read", path);
        return ERR_IO;
    }
    certificate->leaf = PEM_read_bio_X509(file, NULL, no_password, NULL);
    certificate->chain = sk_X509_new_null();
    X509 *next = certificate->leaf;
    while (certificate->leaf != NULL && certificate->chain != NULL && next != NULL) {
        next = PEM_read_bio_X509(file, NULL, no_password, NULL);
        if (next != NULL && sk_X509_push(certificate->chain, next) == 0) {
            X509_free(next);
            break;
        }
    }
    BIO_free(file);
    bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (certificate->chain == NULL) {
        return ERR_NOMEM;
    }
    if (certificate->leaf == NULL || !is_end) {
        note_set(note, "%s: no PEM certificate can be read from it", path);
        return ERR_SYNTAX;
    }
    return OK;
}

static enum err read_key(struct tls_certificate *certificate, const char *path, struct note *note)
{
    enum err err = tls_file_check(path, note);
    if (err != OK) {
        return err;
    }
    BIO *file = BIO_new_file(path, "r");
    if (file == NULL) {
        ERR_clear_error();
        note_set(note, "%s: cannot be read", path);
        return ERR_IO;
    }
    certificate->key = PEM_read_bio_PrivateKey(file, NULL, no_password, NULL);
    BIO_free(file);
    ERR_clear_error();
    if (certificate->key == NULL) {
        note_set(note, "%s: no PEM private key without a password can be read from it", path);
        return ERR_SYNTAX;
    }
    switch (EVP_PKEY_get_base_id(certificate->key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        certificate->kind = TLS_KEY_RSA;
        return OK;
    case EVP_PKEY_EC:
        certificate->kind = TLS_KEY_EC;
        return OK;
    case EVP_PKEY_ED25519:
    case EVP_PKEY_ED448:
        certificate->kind = TLS_KEY_ED;
        return OK;
    default:
        note_set(note, "%s: neither an RSA nor an ECDSA nor an EdDSA key", path);
        return ERR_SYNTAX;
    }
}

static enum err read_ocsp(struct tls_certificate *certificate, const char *path, struct note *note)
{
    enum err err = tls_file_check(path, note);
    if (err != OK) {
        return err;
    }
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        note_set(note, "%s: cannot be read", path);
        return ERR_IO;
    }
    certificate->ocsp = malloc(OCSP_SIZE_MAX);
    if (certificate->ocsp != NULL) {
        certificate->ocsp_size = fread(certificate->ocsp, 1, OCSP_SIZE_MAX, file);
    }
    (void)fclose(file);
    if (certificate->ocsp == NULL) {
        return ERR_NOMEM;
    }
    /* A DER sequence, whole: OCSPResponse of RFC 6960 section 4.2.1. */
    const unsigned char *at = certificate->ocsp;
    long size = 0;
    int tag = 0, class = 0;
    int status = ASN1_get_object(&at, &size, &tag, &class, (long)certificate->ocsp_size);
    ERR_clear_error();
    bool is_whole = (status & 0x80) == 0 && tag == V_ASN1_SEQUENCE &&
                    (size_t)(at - certificate->ocsp) + (size_t)size == certificate->ocsp_size;
    if (!is_whole) {
        note_set(note, "%s: not an OCSP response in DER", path);
        return ERR_SYNTAX;
    }
    return OK;
}

static enum err add_name(struct tls_certificate *certificate, const unsigned char *text, int size)
{
    if (size <= 0 || certificate->name_count == TLS_NAMES_MAX) {
        return OK;
    }
    char *name = malloc((size_t)size + 1);
    if (name == NULL) {
        return ERR_NOMEM;
    }
    for (int i = 0; i < size; i++) {
        name[i] = byte_lower((char)text[i]);
    }
    name[size] = '\0';
    if (strlen(name) != (size_t)size) { /* a NUL inside is an attack, not a name */
        free(name);
        return OK;
    }
    certificate->names[certificate->name_count++] = name;
    return OK;
}

/* Names come from subjectAltName alone (RFC 9525 section 2); the common name of an old certificate
 * counts when it has none. */
static enum err read_names(struct tls_certificate *certificate)
{
    certificate->names = calloc(TLS_NAMES_MAX, sizeof *certificate->names);
    if (certificate->names == NULL) {
        return ERR_NOMEM;
    }
    enum err err = OK;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate->leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && err == OK; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS) {
            err = add_name(certificate, ASN1_STRING_get0_data(name->d.dNSName),
                           ASN1_STRING_length(name->d.dNSName));
        }
    }
    GENERAL_NAMES_free(names);
    if (err == OK && certificate->name_count == 0) {
        X509_NAME *subject = X509_get_subject_name(certificate->leaf);
        int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
        if (at >= 0) {
            const ASN1_STRING *text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
            err = add_name(certificate, ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
        }
    }
    return err;
}

static void read_end(struct tls_certificate *certificate)
{
    struct tm end;
    certificate->expires_s = ASN1_TIME_to_tm(X509_get0_notAfter(certificate->leaf), &end) == 1
                                 ? (int64_t)timegm(&end)
                                 : 0;
}

enum err tls_certificate_read(struct tls_certificate *certificate,
                              const struct tls_certificate_files *files, struct note *note)
{
    *certificate = (struct tls_certificate){0};
    ERR_clear_error();
    enum err err = read_chain(certificate, files->certificate, note);
    if (err == OK) {
        err = read_key(certificate, files->key, note);
    }
    if (err == OK && files->ocsp != NULL) {
        err = read_ocsp(certificate, files->ocsp, note);
    }
    if (err == OK && X509_check_private_key(certificate->leaf, certificate->key) != 1) {
        ERR_clear_error();
        note_set(note, "%s: not the key of %s", files->key, files->certificate);
        err = ERR_RANGE;
    }
    if (err == OK) {
        read_end(certificate);
        err = read_names(certificate);
    }
    return err;
}

void tls_certificate_finish(struct tls_certificate *certificate)
{
    X509_free(certificate->leaf);
    EVP_PKEY_free(certificate->key);
    sk_X509_pop_free(certificate->chain, X509_free);
    free(certificate->ocsp);
    for (size_t i = 0; i < certificate->name_count; i++) {
        free(certificate->names[i]);
    }
    free(certificate->names);
    *certificate = (struct tls_certificate){0};
}
