/* TLS records through tls_stream, on either side of it: the peer is OpenSSL itself, whose records
 * are altered, cut, left out, doubled, swapped and mixed with bytes of the input, before, during
 * and after the handshake; it also does what a peer with the keys can do by itself. Whatever comes:
 * the owner reads only what the peer wrote, in its order; an orderly end is told only if the peer
 * said that it was one; everything is told once; and all is given back.
 *
 * The first byte: 1 the client's side of ours, 2 TLS 1.2 at most, 4 hands are shaken first. Then
 * pairs of what to do and how much. The streams below are memory, the keys are drawn anew in each
 * process: an input is not the same records twice, but the same deeds. */
#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"
#include "proxy/tls/tls_library.h"
#include "proxy/tls/tls_stream.h"
#include "tests/fuzz/fake_stream.h"
#include "tests/support/certificates.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* The linker leads tcp_stream_connect here (CMakeLists.txt). */
enum err __wrap_tcp_stream_connect(struct loop *loop, const struct tcp_route *route,
                                   const struct stream_listener *listener, void *owner,
                                   struct stream **ret_stream);

enum {
    OPTION_CLIENT = 1,
    OPTION_TLS12 = 2,
    OPTION_SHAKEN = 4,
    DEEDS_MAX = 400,
    WIRE_MAX = 1 << 20,
    TEXT_MAX = 1 << 20,
    HEADER_SIZE = 5,
    ROUNDS_MAX = 20
};

enum deed {
    DEED_DELIVER,      /* everything that the peer sealed */
    DEED_DELIVER_PART, /* so many bytes of it */
    DEED_BITS,         /* everything, in pieces of so many bytes */
    DEED_RAW,          /* so many bytes of the input, as they are, before what is sealed */
    DEED_FLIP,         /* a bit of what is sealed */
    DEED_CUT,          /* so many bytes off its end */
    DEED_DROP,         /* its first record */
    DEED_DOUBLE,
    DEED_SWAP, /* its first record and the second */
    DEED_PEER_STEP,
    DEED_PEER_SAYS, /* so many bytes, times 64 */
    DEED_PEER_UPDATES_KEYS,
    DEED_PEER_RENEGOTIATES,
    DEED_PEER_ENDS,
    DEED_WE_SAY, /* so many bytes, times 64 */
    DEED_WE_STOP_READING,
    DEED_WE_READ_ON,
    DEED_WE_FINISH,
    DEED_UNDER_ENDS, /* in order, or not */
    DEED_UNDER_BLOCKS,
    DEED_UNDER_DRAINS,
    DEED_UNDER_BREAKS,
    DEED_COUNT
};

struct fuzz {
    bool is_ready;
    struct loop loop;
    struct tls_ticket_keys *tickets;
    struct tls_server *server;
    struct tls_client *client;
    SSL_CTX *peers[2]; /* a client's, a server's */
    /* of one input */
    struct stream under;
    const struct stream_listener *under_listener;
    struct stream *stream; /* ours; NULL: closed */
    SSL *peer;
    BIO *to_peer;
    char wire[WIRE_MAX]; /* sealed by the peer, not delivered yet */
    size_t wire_size;
    char said[TEXT_MAX]; /* by the peer, in the clear */
    size_t said_size;
    size_t read_size;
    unsigned connected_count, end_count;
    bool is_connected, has_failed, has_peer_ended, is_under_closing, is_under_ended, is_blocked;
    bool is_broken;
};

static struct fuzz fuzz;

/* ---- the stream below ---- */

static enum err fake_write(struct stream *stream, const struct bytes *pieces, size_t count)
{
    if (fuzz.is_broken) {
        return ERR_CLOSED;
    }
    for (size_t i = 0; i < count; i++) {
        CHECK(BIO_write(fuzz.to_peer, pieces[i].data, (int)pieces[i].size) == (int)pieces[i].size);
        stream->queued += fuzz.is_blocked ? pieces[i].size : 0;
    }
    return OK;
}

static void fake_close(struct stream *stream)
{
    (void)stream;
    fuzz.is_under_closing = true;
}

static const struct stream_ops fake_ops = FAKE_STREAM(fake_write, fake_close);

enum err __wrap_tcp_stream_connect(struct loop *loop, const struct tcp_route *route,
                                   const struct stream_listener *listener, void *owner,
                                   struct stream **ret_stream)
{
    (void)loop;
    (void)route;
    stream_attach(&fuzz.under, listener, owner);
    *ret_stream = &fuzz.under;
    return OK;
}

/* ---- the owner ---- */

static void on_read(struct stream *stream, struct bytes bytes)
{
    (void)stream;
    CHECK(fuzz.is_connected);
    CHECK(fuzz.end_count == 0);
    CHECK(bytes.size > 0);
    CHECK(fuzz.read_size + bytes.size <= fuzz.said_size);
    CHECK(memcmp(fuzz.said + fuzz.read_size, bytes.data, bytes.size) == 0);
    fuzz.read_size += bytes.size;
}

static void on_end(struct stream *stream, enum err why)
{
    (void)stream;
    CHECK(fuzz.is_connected);
    fuzz.end_count++;
    CHECK(fuzz.end_count == 1 || stream->is_broken);
    if (why == OK) { /* nobody on the way can make a part look whole (RFC 8446 section 6.1) */
        CHECK(fuzz.has_peer_ended);
        CHECK(fuzz.read_size == fuzz.said_size);
    }
}

static void on_drained(struct stream *stream)
{
    CHECK(stream->queued == 0);
}

static void on_connected(struct stream *stream, enum err err)
{
    CHECK(fuzz.connected_count == 0);
    fuzz.connected_count++;
    fuzz.is_connected = err == OK;
    fuzz.has_failed = err != OK;
    if (err == OK) {
        stream_read_start(stream);
    } else {
        struct note note;
        tls_stream_explain(stream, &note);
    }
}

static void on_closed(struct stream *stream)
{
    CHECK(stream == fuzz.stream);
    fuzz.stream = NULL;
}

static const struct stream_listener listener = {.on_read = on_read,
                                                .on_end = on_end,
                                                .on_drained = on_drained,
                                                .on_connected = on_connected,
                                                .on_closed = on_closed};

/* ---- what happens ---- */

/* The loop goes round: what wants a turn gets it, what is closing closes. */
static void settle(void)
{
    for (size_t i = 0; i < 3; i++) {
        (void)loop_turn(&fuzz.loop, false);
    }
}

/* What the peer sealed goes onto the wire. */
static void collect(void)
{
    BIO *out = SSL_get_wbio(fuzz.peer);
    int size = BIO_read(out, fuzz.wire + fuzz.wire_size, (int)(WIRE_MAX - fuzz.wire_size));
    fuzz.wire_size += size > 0 ? (size_t)size : 0;
    tls_forget_errors();
}

static bool can_hear(void)
{
    return fuzz.stream != NULL && !fuzz.is_under_closing && !fuzz.is_under_ended;
}

/* As large as what it copies, so that a sanitizer sees a read past its end. */
static void hear(const char *data, size_t size)
{
    char *copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    loop_enter(&fuzz.loop);
    fuzz.under.listener->on_read(&fuzz.under, bytes_make(copy, size));
    loop_leave(&fuzz.loop);
    free(copy);
    settle();
}

/* A stream that is not reading leaves what comes on the wire. */
static void deliver(size_t size, size_t piece)
{
    size = size < fuzz.wire_size ? size : fuzz.wire_size;
    size_t at = 0;
    while (at < size && can_hear() && fuzz.under.is_reading) {
        size_t part = size - at < piece ? size - at : piece;
        hear(fuzz.wire + at, part);
        at += part;
    }
    memmove(fuzz.wire, fuzz.wire + at, fuzz.wire_size - at);
    fuzz.wire_size -= at;
}

static void peer_step(void)
{
    static char sink[1 << 16];
    if (SSL_do_handshake(fuzz.peer) == 1) {
        while (SSL_read(fuzz.peer, sink, sizeof sink) > 0) {
        }
    }
    tls_forget_errors();
    collect();
}

static void peer_says(size_t size)
{
    size_t written = 0;
    size = size < TEXT_MAX - fuzz.said_size ? size : TEXT_MAX - fuzz.said_size;
    if (size == 0 || fuzz.wire_size + 2 * size + 1024 > WIRE_MAX || fuzz.has_peer_ended) {
        return;
    }
    for (size_t i = 0; i < size; i++) {
        fuzz.said[fuzz.said_size + i] = (char)(fuzz.said_size + i);
    }
    if (SSL_write_ex(fuzz.peer, fuzz.said + fuzz.said_size, size, &written) == 1) {
        fuzz.said_size += written;
    }
    tls_forget_errors();
    collect();
}

static void peer_updates_keys(size_t count)
{
    for (size_t i = 0; i < count && fuzz.wire_size + 1024 < WIRE_MAX; i++) {
        (void)SSL_key_update(fuzz.peer,
                             i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
        (void)SSL_do_handshake(fuzz.peer);
        tls_forget_errors();
        collect();
    }
}

static void peer_renegotiates(void)
{
    if (SSL_version(fuzz.peer) == TLS1_2_VERSION && SSL_is_init_finished(fuzz.peer)) {
        (void)SSL_renegotiate(fuzz.peer);
        (void)SSL_do_handshake(fuzz.peer);
        tls_forget_errors();
        collect();
    }
}

static void peer_ends(void)
{
    if (SSL_is_init_finished(fuzz.peer)) {
        (void)SSL_shutdown(fuzz.peer);
        fuzz.has_peer_ended = true;
    }
    tls_forget_errors();
    collect();
}

static void we_say(size_t size)
{
    static const char text[1 << 16];
    if (fuzz.stream == NULL || fuzz.stream->is_closing || !fuzz.is_connected) {
        return;
    }
    loop_enter(&fuzz.loop);
    stream_write_one(fuzz.stream, bytes_make(text, size));
    loop_leave(&fuzz.loop);
}

/* ---- what is done to records on their way ---- */

/* Of the record at `at`; 0: it is not whole. */
static size_t record_size(size_t at)
{
    if (fuzz.wire_size < at + HEADER_SIZE) {
        return 0;
    }
    const unsigned char *head = (const unsigned char *)fuzz.wire + at;
    size_t size = HEADER_SIZE + ((size_t)head[3] << 8 | head[4]);
    return at + size <= fuzz.wire_size ? size : 0;
}

static void drop_record(void)
{
    size_t size = record_size(0);
    memmove(fuzz.wire, fuzz.wire + size, fuzz.wire_size - size);
    fuzz.wire_size -= size;
}

static void double_record(void)
{
    size_t size = record_size(0);
    if (fuzz.wire_size + size <= WIRE_MAX) {
        memmove(fuzz.wire + size, fuzz.wire, fuzz.wire_size);
        fuzz.wire_size += size;
    }
}

static void swap_records(void)
{
    static char first[1 << 17];
    size_t size = record_size(0);
    size_t next = size > 0 ? record_size(size) : 0;
    memcpy(first, fuzz.wire, size);
    memmove(fuzz.wire, fuzz.wire + size, next);
    memcpy(fuzz.wire + next, first, size);
}

static void flip(size_t where)
{
    if (fuzz.wire_size > 0) {
        fuzz.wire[where * 37 % fuzz.wire_size] ^= (char)(1 << where % 8);
    }
}

static void alter(enum deed deed, size_t much)
{
    switch (deed) {
    case DEED_FLIP:
        flip(much);
        break;
    case DEED_CUT:
        fuzz.wire_size -= much < fuzz.wire_size ? much : fuzz.wire_size;
        break;
    case DEED_DROP:
        drop_record();
        break;
    case DEED_DOUBLE:
        double_record();
        break;
    case DEED_SWAP:
        swap_records();
        break;
    default:
        break;
    }
}

/* ---- deeds ---- */

static void end_under(bool is_orderly)
{
    if (can_hear()) {
        fuzz.is_under_ended = true;
        fuzz.under.is_broken = !is_orderly;
        loop_enter(&fuzz.loop);
        fuzz.under.listener->on_end(&fuzz.under, is_orderly ? OK : ERR_CLOSED);
        loop_leave(&fuzz.loop);
    }
}

static void drain_under(void)
{
    fuzz.is_blocked = false;
    if (fuzz.under.queued > 0 && can_hear()) {
        fuzz.under.queued = 0;
        loop_enter(&fuzz.loop);
        fuzz.under.listener->on_drained(&fuzz.under);
        loop_leave(&fuzz.loop);
    }
}

static void do_ours(enum deed deed, size_t much)
{
    bool is_open = fuzz.stream != NULL && fuzz.is_connected && !fuzz.stream->is_closing;
    loop_enter(&fuzz.loop);
    if (deed == DEED_WE_STOP_READING && is_open) {
        stream_read_stop(fuzz.stream);
    } else if (deed == DEED_WE_READ_ON && is_open && fuzz.end_count == 0) {
        stream_read_start(fuzz.stream);
    } else if (deed == DEED_WE_FINISH && is_open) {
        stream_finish(fuzz.stream);
    }
    loop_leave(&fuzz.loop);
    if (deed == DEED_WE_SAY) {
        we_say(much * 64);
    }
}

static void do_peers(enum deed deed, size_t much)
{
    switch (deed) {
    case DEED_PEER_SAYS:
        peer_says(much * 64);
        break;
    case DEED_PEER_UPDATES_KEYS:
        peer_updates_keys(much);
        break;
    case DEED_PEER_RENEGOTIATES:
        peer_renegotiates();
        break;
    case DEED_PEER_ENDS:
        peer_ends();
        break;
    default:
        peer_step();
    }
}

static void do_unders(enum deed deed, size_t much)
{
    switch (deed) {
    case DEED_UNDER_ENDS:
        end_under(much % 2 == 0);
        break;
    case DEED_UNDER_BLOCKS:
        fuzz.is_blocked = true;
        break;
    case DEED_UNDER_DRAINS:
        drain_under();
        break;
    default:
        fuzz.is_broken = true;
    }
}

/* Gives how many bytes of the input it took. */
static size_t act(enum deed deed, size_t much, const uint8_t *rest, size_t rest_size)
{
    size_t taken = 0;
    if (deed == DEED_DELIVER) {
        deliver(WIRE_MAX, LOOP_READ_SIZE);
    } else if (deed == DEED_DELIVER_PART) {
        deliver(much, LOOP_READ_SIZE);
    } else if (deed == DEED_BITS) {
        deliver(fuzz.wire_size < 4096 ? fuzz.wire_size : 4096, much + 1);
    } else if (deed == DEED_RAW) {
        taken = much < rest_size ? much : rest_size;
        if (taken > 0 && can_hear() && fuzz.under.is_reading) {
            hear((const char *)rest, taken);
        }
    } else if (deed < DEED_PEER_STEP) {
        alter(deed, much);
    } else if (deed < DEED_WE_SAY) {
        do_peers(deed, much);
    } else if (deed < DEED_UNDER_ENDS) {
        do_ours(deed, much);
    } else {
        do_unders(deed, much);
    }
    settle();
    return taken;
}

/* ---- one input ---- */

static void shake_hands(void)
{
    for (size_t i = 0; i < ROUNDS_MAX && fuzz.connected_count == 0; i++) {
        peer_step();
        deliver(WIRE_MAX, LOOP_READ_SIZE);
    }
    peer_step();
    CHECK(fuzz.is_connected);
}

static void open_ours(uint8_t options)
{
    union address address = {.v4 = {.sin_family = AF_INET}};
    struct tls_connect connect = {
        .route = {&address, 1, 0}, .client = fuzz.client, .name = "site.example"};
    fuzz.under = (struct stream){.ops = &fake_ops, .loop = &fuzz.loop};
    loop_enter(&fuzz.loop);
    if ((options & OPTION_CLIENT) == 0) {
        CHECK(tls_stream_accept(&fuzz.under, fuzz.server, &listener, &fuzz, &fuzz.stream) == OK);
    } else {
        CHECK(tls_stream_connect(&fuzz.loop, &connect, &listener, &fuzz, &fuzz.stream) == OK);
        fuzz.under.listener->on_connected(&fuzz.under, OK);
    }
    loop_leave(&fuzz.loop);
}

static void open_peer(uint8_t options)
{
    bool is_client = (options & OPTION_CLIENT) == 0;
    fuzz.peer = SSL_new(fuzz.peers[is_client ? 0 : 1]);
    fuzz.to_peer = BIO_new(BIO_s_mem());
    BIO *out = BIO_new(BIO_s_mem());
    CHECK(fuzz.peer != NULL);
    SSL_set_bio(fuzz.peer, fuzz.to_peer, out);
    (void)SSL_set_max_proto_version(fuzz.peer, (options & OPTION_TLS12) != 0 ? TLS1_2_VERSION
                                                                             : TLS1_3_VERSION);
    if (is_client) {
        SSL_set_connect_state(fuzz.peer);
    } else {
        SSL_set_accept_state(fuzz.peer);
    }
}

static void close_all(void)
{
    loop_enter(&fuzz.loop);
    stream_close(fuzz.stream);
    stream_close(fuzz.stream);
    loop_leave(&fuzz.loop);
    CHECK(fuzz.is_under_closing);
    loop_enter(&fuzz.loop);
    fuzz.under.listener->on_closed(&fuzz.under);
    loop_leave(&fuzz.loop);
    settle();
    CHECK(fuzz.stream == NULL);
    SSL_free(fuzz.peer);
    tls_forget_errors();
}

static void clear(void)
{
    fuzz.wire_size = fuzz.said_size = fuzz.read_size = 0;
    fuzz.connected_count = fuzz.end_count = 0;
    fuzz.is_connected = fuzz.has_failed = fuzz.has_peer_ended = false;
    fuzz.is_under_closing = fuzz.is_under_ended = fuzz.is_blocked = fuzz.is_broken = false;
}

/* ---- what all inputs share ---- */

static void make_peers(void)
{
    fuzz.peers[0] = SSL_CTX_new(TLS_client_method());
    fuzz.peers[1] = SSL_CTX_new(TLS_server_method());
    CHECK(fuzz.peers[0] != NULL);
    CHECK(fuzz.peers[1] != NULL);
    CHECK(SSL_CTX_use_certificate_file(fuzz.peers[1], certificates_path("site.pem"),
                                       SSL_FILETYPE_PEM) == 1);
    CHECK(SSL_CTX_use_PrivateKey_file(fuzz.peers[1], certificates_path("site.key"),
                                      SSL_FILETYPE_PEM) == 1);
}

static void make_ready(void)
{
    struct note note = {""};
    certificates_begin();
    certificates_make(&(struct certificate_wish){.file = "site", .names = "DNS:site.example"});
    struct tls_certificate_files files = {certificates_path("site.pem"),
                                          certificates_path("site.key"), NULL};
    CHECK(tls_ticket_keys_create(&fuzz.tickets) == OK);
    struct tls_server_config config = {
        .certificates = &files, .certificate_count = 1, .has_http2 = true, .tickets = fuzz.tickets};
    CHECK(tls_server_create(&config, &note, &fuzz.server) == OK);
    struct tls_client_config client = {.ca = certificates_path("ca.pem")};
    CHECK(tls_client_create(&client, &note, &fuzz.client) == OK);
    make_peers();
    certificates_end();
    CHECK(loop_init(&fuzz.loop) == OK);
    fuzz.is_ready = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (!fuzz.is_ready) {
        make_ready();
    }
    uint8_t options = data[0];
    clear();
    open_peer(options);
    open_ours(options);
    if ((options & OPTION_SHAKEN) != 0) {
        shake_hands();
    }
    size_t at = 1;
    for (size_t i = 0; i < DEEDS_MAX && at + 2 <= size; i++) {
        enum deed deed = (enum deed)(data[at] % DEED_COUNT);
        size_t much = data[at + 1];
        at += 2;
        at += act(deed, much, data + at, size - at);
    }
    close_all();
    return 0;
}
