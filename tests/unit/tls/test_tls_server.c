/* What is read from files, and what is said about files that are no good. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/tls/tls_client.h"
#include "proxy/tls/tls_server.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/certificates.h"

static struct tls_ticket_keys *tickets;

static void write_file(const char *file, struct bytes content)
{
    FILE *out = fopen(certificates_path(file), "we");
    assert_non_null(out);
    assert_int_equal(fwrite(content.data, 1, content.size, out), content.size);
    assert_int_equal(fclose(out), 0);
}

static int set_up_all(void **state)
{
    (void)state;
    certificates_begin();
    certificates_make(&(struct certificate_wish){.file = "site", .names = "DNS:site.example"});
    certificates_make(&(struct certificate_wish){
        .file = "rsa", .names = "DNS:site.example,DNS:*.b.example", .kind = CERTIFICATE_RSA});
    certificates_make(
        &(struct certificate_wish){.file = "old", .names = "DNS:old.example", .is_expired = true});
    write_file("empty.pem", BYTES(""));
    write_file("broken.pem",
               BYTES("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"));
    write_file("good.ocsp", BYTES("\x30\x03\x0a\x01\x00"));
    write_file("short.ocsp", BYTES("\x30\x04\x0a\x01\x00"));
    write_file("long.ocsp", BYTES("\x30\x03\x0a\x01\x00\x00"));
    assert_int_equal(tls_ticket_keys_create(&tickets), OK);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    tls_ticket_keys_destroy(tickets);
    certificates_end();
    return 0;
}

static enum err create(const struct tls_certificate_files *files, size_t count, struct note *note,
                       struct tls_server **ret_server)
{
    struct tls_server_config config = {
        .certificates = files, .certificate_count = count, .tickets = tickets};
    return tls_server_create(&config, note, ret_server);
}

static void files_that_are_no_good_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *certificate, *key, *ocsp;
        enum err err;
        const char *named;
    } cases[] = {
        {"missing.pem", "site.key", NULL, ERR_IO, "missing.pem"},
        {"empty.pem", "site.key", NULL, ERR_SYNTAX, "empty.pem"},
        {"broken.pem", "site.key", NULL, ERR_SYNTAX, "broken.pem"},
        {"site.key", "site.key", NULL, ERR_SYNTAX, "site.key"},
        {"site.pem", "missing.key", NULL, ERR_IO, "missing.key"},
        {"site.pem", "site.pem", NULL, ERR_SYNTAX, "site.pem"},
        {"site.pem", "old.key", NULL, ERR_RANGE, "old.key"},
        {"site.pem", "site.key", "missing.ocsp", ERR_IO, "missing.ocsp"},
        {"site.pem", "site.key", "short.ocsp", ERR_SYNTAX, "short.ocsp"},
        {"site.pem", "site.key", "long.ocsp", ERR_SYNTAX, "long.ocsp"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_certificate_files files = {
            certificates_path(cases[i].certificate), certificates_path(cases[i].key),
            cases[i].ocsp != NULL ? certificates_path(cases[i].ocsp) : NULL};
        struct note note = {""};
        struct tls_server *server = NULL;
        assert_int_equal(create(&files, 1, &note, &server), cases[i].err);
        assert_null(server);
        assert_non_null(strstr(note.text, cases[i].named));
    }
}

static void several_certificates_and_a_staple_are_taken(void **state)
{
    (void)state;
    struct tls_certificate_files files[] = {
        {certificates_path("site.pem"), certificates_path("site.key"),
         certificates_path("good.ocsp")},
        {certificates_path("rsa.pem"), certificates_path("rsa.key"), NULL},
    };
    struct note note = {""};
    struct tls_server *server = NULL;
    assert_int_equal(create(files, COUNT_OF(files), &note, &server), OK);
    assert_true(tls_server_expires_s(server) > (int64_t)time(NULL));
    tls_server_unref(tls_server_ref(server));
    tls_server_unref(server);
}

static void the_first_end_of_all_certificates_is_known(void **state)
{
    (void)state;
    struct tls_certificate_files files[] = {
        {certificates_path("site.pem"), certificates_path("site.key"), NULL},
        {certificates_path("old.pem"), certificates_path("old.key"), NULL},
    };
    struct note note = {""};
    struct tls_server *server = NULL;
    assert_int_equal(create(files, COUNT_OF(files), &note, &server), OK);
    assert_true(tls_server_expires_s(server) < (int64_t)time(NULL));
    tls_server_unref(server);
}

static void an_authority_file_that_is_no_good_is_named(void **state)
{
    (void)state;
    struct note note = {""};
    struct tls_client *client = NULL;
    struct tls_client_config config = {.ca = certificates_path("empty.pem")};
    assert_int_equal(tls_client_create(&config, &note, &client), ERR_SYNTAX);
    assert_non_null(strstr(note.text, "empty.pem"));
}

/* Whoever opens a pipe to read waits for its writer, and so would all that control does. */
static void pipes_and_folders_are_never_waited_for(void **state)
{
    (void)state;
    const char *const others[] = {certificates_path("pipe"), certificates_path("."), "/dev/zero"};
    const char *pem = certificates_path("site.pem");
    const char *key = certificates_path("site.key");
    assert_int_equal(mkfifo(others[0], 0600), 0);
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        struct tls_certificate_files cases[] = {
            {others[i], key, NULL}, {pem, others[i], NULL}, {pem, key, others[i]}};
        struct tls_server *server = NULL;
        struct tls_client *client = NULL;
        struct note note = {""};
        for (size_t j = 0; j < COUNT_OF(cases); j++) {
            note = (struct note){""};
            assert_int_equal(create(&cases[j], 1, &note, &server), ERR_IO);
            assert_non_null(strstr(note.text, others[i]));
        }
        struct tls_certificate_files good = {pem, key, NULL};
        struct tls_server_config authorities = {.certificates = &good,
                                                .certificate_count = 1,
                                                .tickets = tickets,
                                                .client_certificates = TLS_CLIENT_REQUIRED,
                                                .client_ca = others[i]};
        assert_int_equal(tls_server_create(&authorities, &note, &server), ERR_IO);
        struct tls_client_config origin = {.ca = others[i]};
        assert_int_equal(tls_client_create(&origin, &note, &client), ERR_IO);
    }
}

static void running_out_of_memory_leaks_nothing(void **state)
{
    (void)state;
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct tls_certificate_files files[] = {
            {certificates_path("site.pem"), certificates_path("site.key"),
             certificates_path("good.ocsp")},
            {certificates_path("rsa.pem"), certificates_path("rsa.key"), NULL},
        };
        struct note note = {""};
        struct tls_server *server = NULL;
        enum err err = create(files, COUNT_OF(files), &note, &server);
        bool was_refused = alloc_fail_end();
        assert_true(err == OK || err == ERR_NOMEM);
        tls_server_unref(server);
        if (!was_refused) {
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_are_no_good_are_named),
        cmocka_unit_test(several_certificates_and_a_staple_are_taken),
        cmocka_unit_test(the_first_end_of_all_certificates_is_known),
        cmocka_unit_test(an_authority_file_that_is_no_good_is_named),
        cmocka_unit_test(pipes_and_folders_are_never_waited_for),
        cmocka_unit_test(running_out_of_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
