/* A peer that has the keys and abuses them: OpenSSL itself, over a raw descriptor. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/io/tcp_stream.h"
#include "proxy/tls/tls_library.h"
#include "proxy/tls/tls_stream.h"
#include "tests/support/certificates.h"
#include "tests/support/loop_play.h"

static struct loop loop;
static struct tls_ticket_keys *tickets;
static struct tls_server *server;
static struct stream *stream; /* NULL after on_closed */
static SSL_CTX *context;
static SSL *ssl;
static int fd;
static size_t read_size;
static size_t end_count;
static enum err why;
static bool is_connected;

static void on_read(struct stream *from, struct bytes bytes)
{
    (void)from;
    read_size += bytes.size;
}

static void on_end(struct stream *from, enum err err)
{
    (void)from;
    end_count++;
    why = err;
}

static void on_drained(struct stream *from)
{
    (void)from;
}

static void on_connected(struct stream *from, enum err err)
{
    is_connected = err == OK;
    if (err == OK) {
        stream_read_start(from);
    }
}

static void on_closed(struct stream *from)
{
    (void)from;
    stream = NULL;
}

static const struct stream_listener listener = {.on_read = on_read,
                                                .on_end = on_end,
                                                .on_drained = on_drained,
                                                .on_connected = on_connected,
                                                .on_closed = on_closed};

static int set_up(void **state)
{
    int fds[2];
    struct stream *under = NULL;
    struct note note = {""};
    (void)state;
    certificates_begin();
    certificates_make(&(struct certificate_wish){.file = "site", .names = "DNS:site.example"});
    struct tls_certificate_files files = {certificates_path("site.pem"),
                                          certificates_path("site.key"), NULL};
    assert_int_equal(tls_ticket_keys_create(&tickets), OK);
    struct tls_server_config config = {
        .certificates = &files, .certificate_count = 1, .tickets = tickets};
    assert_int_equal(tls_server_create(&config, &note, &server), OK);
    read_size = end_count = 0;
    is_connected = false;
    play_begin(&loop);
    play_tcp_pair(fds);
    fd = fds[1];
    loop_enter(&loop);
    assert_int_equal(tcp_stream_open(&loop, fds[0], &under), OK);
    assert_int_equal(tls_stream_accept(under, server, &listener, NULL, &stream), OK);
    loop_leave(&loop);
    context = SSL_CTX_new(TLS_client_method());
    ssl = SSL_new(context);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    SSL_set_connect_state(ssl);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (stream != NULL) {
        loop_enter(&loop);
        stream_close(stream);
        loop_leave(&loop);
        play_until(&loop, stream == NULL);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    (void)close(fd);
    play_end(&loop);
    tls_server_unref(server);
    tls_ticket_keys_destroy(tickets);
    certificates_end();
    return 0;
}

static void shake_hands(void)
{
    play_until(&loop, SSL_do_handshake(ssl) == 1 && is_connected);
}

static void say(const char *text)
{
    size_t before = read_size;
    assert_int_equal(SSL_write(ssl, text, (int)strlen(text)), (int)strlen(text));
    play_until(&loop, read_size == before + strlen(text) || end_count > 0);
}

static void update_keys(size_t count, int kind)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(SSL_key_update(ssl, kind), 1);
        assert_int_equal(SSL_do_handshake(ssl), 1);
    }
}

static void keys_may_change_as_long_as_something_is_said(void **state)
{
    (void)state;
    shake_hands();
    for (size_t i = 0; i < 8; i++) {
        update_keys(TLS_IDLE_RECORDS_MAX - 1,
                    i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
        say("said");
        assert_int_equal(end_count, 0);
    }
}

static void a_flood_of_key_updates_ends_the_connection(void **state)
{
    (void)state;
    shake_hands();
    say("said");
    update_keys(1000, SSL_KEY_UPDATE_NOT_REQUESTED);
    play_until(&loop, end_count == 1);
    assert_int_equal(why, ERR_IO);
    assert_int_equal(read_size, strlen("said"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keys_may_change_as_long_as_something_is_said, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_flood_of_key_updates_ends_the_connection, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
