/* Two streams of ours, client and server, over one TCP connection; where a side must misbehave, a
 * raw peer takes its place. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "proxy/io/tcp_stream.h"
#include "proxy/tls/tls_stream.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/certificates.h"
#include "tests/support/loop_play.h"

enum { TEXT_MAX = 8 << 20 };

struct side {
    struct stream *stream; /* NULL after on_closed */
    char *text;            /* what was read */
    size_t size;
    size_t connected_count;
    size_t end_count;
    size_t drained_count;
    size_t stop_after; /* stops reading after so many bytes; 0: never */
    enum err connected;
    enum err why;
    bool closes_on_read;
};

static struct loop loop;
static struct tls_ticket_keys *tickets;
static struct tls_server *server;
static struct tls_client *client;
static struct side server_side;
static struct side client_side;

static struct side *side_of(struct stream *stream)
{
    return stream->owner;
}

static void on_read(struct stream *stream, struct bytes bytes)
{
    struct side *side = side_of(stream);
    assert_true(side->size + bytes.size <= TEXT_MAX);
    memcpy(side->text + side->size, bytes.data, bytes.size);
    side->size += bytes.size;
    if (side->stop_after != 0 && side->size >= side->stop_after) {
        stream_read_stop(stream);
    }
    if (side->closes_on_read) {
        stream_close(stream);
    }
}

static void on_end(struct stream *stream, enum err why)
{
    struct side *side = side_of(stream);
    side->end_count++;
    side->why = why;
}

static void on_drained(struct stream *stream)
{
    side_of(stream)->drained_count++;
}

static void on_connected(struct stream *stream, enum err err)
{
    struct side *side = side_of(stream);
    side->connected_count++;
    side->connected = err;
    if (err == OK) {
        stream_read_start(stream);
    }
}

static void on_closed(struct stream *stream)
{
    side_of(stream)->stream = NULL;
}

static const struct stream_listener listener = {.on_read = on_read,
                                                .on_end = on_end,
                                                .on_drained = on_drained,
                                                .on_connected = on_connected,
                                                .on_closed = on_closed};

static void clear_side(struct side *side)
{
    char *text = side->text;
    *side = (struct side){.text = text};
}

static struct tls_server *make_server(enum tls_client_certificates wanted)
{
    struct tls_certificate_files files[] = {
        {certificates_path("site.pem"), certificates_path("site.key"), NULL},
        {certificates_path("other.pem"), certificates_path("other.key"), NULL},
    };
    struct tls_server_config config = {
        .certificates = files,
        .certificate_count = COUNT_OF(files),
        .client_ca = wanted != TLS_CLIENT_NONE ? certificates_path("ca.pem") : NULL,
        .client_certificates = wanted,
        .tickets = tickets,
    };
    struct tls_server *made = NULL;
    struct note note = {""};
    assert_int_equal(tls_server_create(&config, &note, &made), OK);
    return made;
}

static struct tls_client *make_client(bool is_unverified)
{
    struct tls_client_config config = {
        .ca = is_unverified ? NULL : certificates_path("ca.pem"),
        .is_unverified = is_unverified,
    };
    struct tls_client *made = NULL;
    struct note note = {""};
    assert_int_equal(tls_client_create(&config, &note, &made), OK);
    return made;
}

static int set_up_all(void **state)
{
    (void)state;
    certificates_begin();
    certificates_make(&(struct certificate_wish){
        .file = "site", .names = "DNS:site.example,DNS:*.site.example,IP:127.0.0.1"});
    certificates_make(&(struct certificate_wish){
        .file = "other", .names = "DNS:other.example", .kind = CERTIFICATE_RSA});
    assert_int_equal(tls_ticket_keys_create(&tickets), OK);
    server_side.text = malloc(TEXT_MAX);
    client_side.text = malloc(TEXT_MAX);
    return server_side.text == NULL || client_side.text == NULL;
}

static int tear_down_all(void **state)
{
    (void)state;
    tls_ticket_keys_destroy(tickets);
    certificates_end();
    free(server_side.text);
    free(client_side.text);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    play_begin(&loop);
    server = make_server(TLS_CLIENT_NONE);
    client = make_client(false);
    clear_side(&server_side);
    clear_side(&client_side);
    return 0;
}

static void close_side(struct side *side)
{
    if (side->stream != NULL) {
        loop_enter(&loop);
        stream_close(side->stream);
        stream_close(side->stream);
        loop_leave(&loop);
        play_until(&loop, side->stream == NULL);
    }
}

static int tear_down(void **state)
{
    (void)state;
    close_side(&client_side);
    close_side(&server_side);
    tls_server_unref(server);
    tls_client_unref(client);
    play_end(&loop);
    return 0;
}

/* ---- connecting ---- */

static enum err open_server(int fd)
{
    struct stream *under = NULL;
    loop_enter(&loop);
    enum err err = tcp_stream_open(&loop, fd, &under);
    if (err == OK) {
        err = tls_stream_accept(under, server, &listener, &server_side, &server_side.stream);
    }
    loop_leave(&loop);
    return err;
}

static enum err open_client(const char *name, struct tls_resume *resume, unsigned port)
{
    union address address = {.v4 = {.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    struct tls_connect connect = {
        .route = {&address, 1, 0}, .client = client, .name = name, .resume = resume};
    loop_enter(&loop);
    enum err err =
        tls_stream_connect(&loop, &connect, &listener, &client_side, &client_side.stream);
    loop_leave(&loop);
    return err;
}

static void shake_hands(const char *name, struct tls_resume *resume)
{
    unsigned port = 0;
    int listening = play_listen(&port);
    assert_int_equal(open_client(name, resume, port), OK);
    int fd = -1;
    play_until(&loop, (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
    (void)close(listening);
    assert_int_equal(open_server(fd), OK);
    play_until(&loop, client_side.connected_count > 0 && server_side.connected_count > 0);
}

static void say(struct side *side, const char *text)
{
    loop_enter(&loop);
    stream_write_one(side->stream, bytes_of(text));
    loop_leave(&loop);
}

static bool has_read(const struct side *side, const char *text)
{
    return side->size >= strlen(text) &&
           memcmp(side->text + side->size - strlen(text), text, strlen(text)) == 0;
}

/* ---- plays ---- */

static void both_sides_understand_each_other(void **state)
{
    (void)state;
    shake_hands("www.site.example", NULL);
    assert_int_equal(client_side.connected, OK);
    assert_int_equal(server_side.connected, OK);
    assert_int_equal(tls_stream_result(server_side.stream), TLS_FULL);
    assert_string_equal(tls_stream_version(server_side.stream), "TLSv1.3");
    assert_true(bytes_equal(tls_stream_protocol(client_side.stream), BYTES("http/1.1")));
    say(&client_side, "hello");
    play_until(&loop, has_read(&server_side, "hello"));
    say(&server_side, "and hello");
    play_until(&loop, has_read(&client_side, "and hello"));
    close_side(&client_side);
    play_until(&loop, server_side.end_count == 1);
    assert_int_equal(server_side.why, OK);
}

static void a_session_is_resumed_also_after_one_rotation(void **state)
{
    (void)state;
    static const enum tls_result expected[] = {TLS_FULL, TLS_RESUMED, TLS_RESUMED, TLS_FULL};
    struct tls_resume resume = {0};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        clear_side(&client_side);
        clear_side(&server_side);
        shake_hands("site.example", &resume);
        assert_int_equal(tls_stream_result(server_side.stream), expected[i]);
        assert_int_equal(tls_stream_result(client_side.stream), expected[i]);
        say(&server_side, "x"); /* the tickets come before it */
        play_until(&loop, has_read(&client_side, "x"));
        close_side(&client_side);
        close_side(&server_side);
        for (size_t turns = i; turns > 0; turns--) { /* after the third, the key is forgotten */
            assert_int_equal(tls_ticket_keys_rotate(tickets), OK);
        }
    }
    tls_resume_finish(&resume);
}

/* The same wishes made again resume; what passed without verification does not vouch for more. */
static void sessions_belong_to_the_settings_they_were_made_with(void **state)
{
    (void)state;
    const struct {
        const char *name;
        bool is_unverified;
        enum tls_result expected;
    } cases[] = {
        {NULL, false, TLS_FULL},
        {NULL, false, TLS_RESUMED},
        {NULL, true, TLS_FULL},
        {NULL, true, TLS_RESUMED},
        {NULL, false, TLS_FULL},
        {"www.site.example", false, TLS_FULL},
        {"www.site.example", false, TLS_RESUMED},
    };
    struct tls_resume resume = {0};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct note note = {""};
        struct tls_client_config config = {
            .ca = cases[i].is_unverified ? NULL : certificates_path("ca.pem"),
            .name = cases[i].name,
            .is_unverified = cases[i].is_unverified};
        tls_client_unref(client);
        client = NULL;
        assert_int_equal(tls_client_create(&config, &note, &client), OK);
        clear_side(&client_side);
        clear_side(&server_side);
        shake_hands("site.example", &resume);
        assert_int_equal(tls_stream_result(client_side.stream), cases[i].expected);
        say(&server_side, "x"); /* the tickets come before it */
        play_until(&loop, has_read(&client_side, "x"));
        close_side(&client_side);
        close_side(&server_side);
    }
    tls_resume_finish(&resume);
}

/* One that was let in before the settings changed brings its ticket after. */
/* A ticket of an address that asks for no certificate must not open one that does: what is resumed
 * is not verified again. */
static void a_ticket_opens_no_address_that_asks_for_more(void **state)
{
    (void)state;
    struct tls_resume resume = {0};
    shake_hands("site.example", &resume);
    say(&server_side, "x");
    play_until(&loop, has_read(&client_side, "x"));
    static const enum tls_client_certificates wanted[] = {TLS_CLIENT_REQUIRED, TLS_CLIENT_OPTIONAL};
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        close_side(&client_side);
        close_side(&server_side);
        clear_side(&client_side);
        clear_side(&server_side);
        tls_server_unref(server);
        server = make_server(wanted[i]);
        shake_hands("site.example", &resume);
        bool is_refused = wanted[i] == TLS_CLIENT_REQUIRED;
        assert_int_equal(server_side.connected, is_refused ? ERR_DENIED : OK);
        assert_int_equal(tls_stream_result(server_side.stream),
                         is_refused ? TLS_BAD_CERTIFICATE : TLS_FULL);
    }
    tls_resume_finish(&resume);
}

static void a_connection_of_before_brings_no_session(void **state)
{
    (void)state;
    struct note note = {""};
    struct tls_resume resume = {0};
    struct tls_client_config config = {.is_unverified = true};
    struct tls_client *other = NULL;
    shake_hands("site.example", &resume);
    assert_int_equal(tls_client_create(&config, &note, &other), OK);
    tls_resume_follow(&resume, other);
    say(&server_side, "x"); /* the tickets come before it */
    play_until(&loop, has_read(&client_side, "x"));
    assert_null(resume.session);
    assert_false(tls_client_is_same(client, other));
    assert_false(tls_client_is_same(client, NULL));
    assert_true(tls_client_is_same(NULL, NULL));
    tls_resume_finish(&resume);
    tls_client_unref(other);
}

static void a_certificate_of_another_name_is_refused(void **state)
{
    (void)state;
    struct note why = {""};
    shake_hands("elsewhere.example", NULL);
    assert_int_equal(client_side.connected, ERR_DENIED);
    assert_int_equal(tls_stream_result(client_side.stream), TLS_BAD_CERTIFICATE);
    tls_stream_explain(client_side.stream, &why);
    assert_non_null(strstr(why.text, "ostname mismatch"));
}

static void an_unknown_authority_is_refused_unless_told_otherwise(void **state)
{
    (void)state;
    tls_client_unref(client);
    client = NULL;
    struct tls_client_config config = {.ca = NULL};
    struct note note = {""};
    assert_int_equal(tls_client_create(&config, &note, &client), OK);
    shake_hands("site.example", NULL);
    assert_int_equal(client_side.connected, ERR_DENIED);
    play_until(&loop, server_side.connected != OK || server_side.end_count > 0);
    close_side(&client_side);
    close_side(&server_side);
    tls_client_unref(client);
    client = make_client(true);
    clear_side(&client_side);
    clear_side(&server_side);
    shake_hands("site.example", NULL);
    assert_int_equal(client_side.connected, OK);
}

static void the_certificate_follows_the_name(void **state)
{
    (void)state;
    static const char *const names[] = {"other.example", "deep.site.example", "127.0.0.1"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        clear_side(&client_side);
        clear_side(&server_side);
        shake_hands(names[i], NULL);
        assert_int_equal(client_side.connected, OK);
        close_side(&client_side);
        close_side(&server_side);
    }
}

static void a_client_without_its_certificate_is_refused(void **state)
{
    (void)state;
    tls_server_unref(server);
    server = make_server(TLS_CLIENT_REQUIRED);
    shake_hands("site.example", NULL);
    assert_int_not_equal(server_side.connected, OK);
    assert_int_equal(tls_stream_result(server_side.stream), TLS_BAD_CERTIFICATE);
}

static void megabytes_pass_whole_against_a_reader_that_stops(void **state)
{
    (void)state;
    enum { PIECE = 100 * 1000, PIECES = 40 };
    static char piece[PIECE];
    for (size_t i = 0; i < sizeof piece; i++) {
        piece[i] = (char)('a' + i % 23);
    }
    shake_hands("site.example", NULL);
    client_side.stop_after = 1;
    for (size_t i = 0; i < PIECES; i++) {
        loop_enter(&loop);
        stream_write_one(server_side.stream, bytes_make(piece, sizeof piece));
        loop_leave(&loop);
    }
    play_settle(&loop);
    assert_true(stream_is_blocked(server_side.stream));
    assert_true(client_side.size < PIECE * PIECES);
    while (client_side.size < PIECE * PIECES) {
        size_t before = client_side.size;
        loop_enter(&loop);
        stream_read_start(client_side.stream);
        loop_leave(&loop);
        play_until(&loop, client_side.size > before);
        assert_false(client_side.stream->is_reading);
    }
    for (size_t i = 0; i < PIECES; i++) {
        assert_memory_equal(client_side.text + i * sizeof piece, piece, sizeof piece);
    }
    play_until(&loop, server_side.drained_count == 1);
    assert_false(stream_is_blocked(server_side.stream));
}

static void last_words_that_wait_are_known_to_wait(void **state)
{
    (void)state;
    /* given a reader that has stopped, when an answer's end no longer fits the kernel, then the
     * owner can see so, wherever between two pieces the kernel's room ends */
    enum { PIECE = 2500, ENDING = 3500, ROUNDS = 100 };
    static const char piece[ENDING] = {0};
    bool has_waited = false;
    for (size_t filled = 0; filled < ROUNDS && !has_waited; filled++) {
        shake_hands("site.example", NULL);
        stream_read_stop(client_side.stream);
        for (size_t i = 0; i < filled; i++) {
            loop_enter(&loop);
            stream_write_one(server_side.stream, bytes_make(piece, PIECE));
            loop_leave(&loop);
        }
        assert_false(stream_is_blocked(server_side.stream));
        loop_enter(&loop);
        stream_write_one(server_side.stream, bytes_make(piece, ENDING));
        stream_finish(server_side.stream);
        loop_leave(&loop);
        has_waited = stream_is_blocked(server_side.stream->under);
        assert_int_equal(stream_is_blocked(server_side.stream), has_waited);
        close_side(&client_side);
        close_side(&server_side);
        play_settle(&loop);
        clear_side(&client_side);
        clear_side(&server_side);
    }
    assert_true(has_waited);
}

static void an_end_that_comes_while_nobody_reads_is_told_later(void **state)
{
    (void)state;
    shake_hands("site.example", NULL);
    client_side.stop_after = 4;
    say(&server_side, "last");
    play_until(&loop, has_read(&client_side, "last"));
    close_side(&server_side);
    play_settle(&loop);
    assert_int_equal(client_side.end_count, 0);
    loop_enter(&loop);
    stream_read_start(client_side.stream);
    loop_leave(&loop);
    play_until(&loop, client_side.end_count == 1);
    assert_int_equal(client_side.why, OK);
}

static void a_reset_cuts_and_does_not_look_like_an_end(void **state)
{
    (void)state;
    shake_hands("site.example", NULL);
    loop_enter(&loop);
    stream_reset(server_side.stream);
    loop_leave(&loop);
    play_until(&loop, client_side.end_count == 1);
    assert_int_not_equal(client_side.why, OK);
}

static void an_owner_may_close_while_it_is_being_told(void **state)
{
    (void)state;
    shake_hands("site.example", NULL);
    client_side.closes_on_read = true;
    say(&server_side, "x");
    play_until(&loop, client_side.stream == NULL);
    play_until(&loop, server_side.end_count == 1);
}

/* ---- against a raw peer ---- */

static struct peer peer;

static void open_against_peer(void)
{
    int fds[2];
    play_tcp_pair(fds);
    peer_init(&peer, fds[1]);
    assert_int_equal(open_server(fds[0]), OK);
}

static void what_is_no_handshake_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        struct bytes sent;
        enum tls_result result;
    } cases[] = {
        {BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), TLS_PLAIN_HTTP},
        {BYTES("\x00\x01\x02\x03\x04\x05\x06\x07"), TLS_MALFORMED},
        {BYTES("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), TLS_MALFORMED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        clear_side(&server_side);
        open_against_peer();
        peer_send_bytes(&loop, &peer, cases[i].sent);
        play_until(&loop, server_side.connected_count == 1);
        assert_int_not_equal(server_side.connected, OK);
        assert_int_equal(tls_stream_result(server_side.stream), cases[i].result);
        close_side(&server_side);
        peer_close(&peer);
    }
}

static void a_client_that_goes_during_the_handshake_is_noticed(void **state)
{
    (void)state;
    open_against_peer();
    peer_send_bytes(&loop, &peer, BYTES("\x16\x03\x01"));
    play_settle(&loop);
    peer_finish(&peer);
    play_until(&loop, server_side.connected_count == 1);
    assert_int_equal(server_side.connected, ERR_CLOSED);
    assert_int_equal(tls_stream_result(server_side.stream), TLS_GONE);
    peer_close(&peer);
}

static void a_refused_connect_is_told_as_one(void **state)
{
    (void)state;
    unsigned port = 0;
    (void)close(play_listen(&port));
    assert_int_equal(open_client("site.example", NULL, port), OK);
    play_until(&loop, client_side.connected_count == 1);
    assert_int_equal(client_side.connected, ERR_CLOSED);
}

static void running_out_of_memory_fails_the_connection_alone(void **state)
{
    (void)state;
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        int fds[2];
        play_tcp_pair(fds);
        peer_init(&peer, fds[1]);
        clear_side(&server_side);
        enum err err = open_server(fds[0]);
        bool was_refused = alloc_fail_end();
        assert_true(err == OK || err == ERR_NOMEM);
        play_settle(&loop);
        close_side(&server_side);
        peer_close(&peer);
        if (!was_refused) {
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_sides_understand_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sessions_belong_to_the_settings_they_were_made_with, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_ticket_opens_no_address_that_asks_for_more, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_connection_of_before_brings_no_session, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_session_is_resumed_also_after_one_rotation, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_certificate_of_another_name_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_authority_is_refused_unless_told_otherwise,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_certificate_follows_the_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_without_its_certificate_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(megabytes_pass_whole_against_a_reader_that_stops, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(last_words_that_wait_are_known_to_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_end_that_comes_while_nobody_reads_is_told_later, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_reset_cuts_and_does_not_look_like_an_end, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_owner_may_close_while_it_is_being_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_handshake_is_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_client_that_goes_during_the_handshake_is_noticed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_refused_connect_is_told_as_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(running_out_of_memory_fails_the_connection_alone, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
