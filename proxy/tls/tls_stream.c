#include "proxy/tls/tls_stream.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "proxy/base/check.h"
#include "proxy/io/tcp_stream.h"
#include "proxy/io/watch.h"
#include "proxy/tls/tls_library.h"
#include "proxy/tls/tls_pipe.h"

#define ERR_STATE openssl_err_state
#include <openssl/x509v3.h>
#undef ERR_STATE

enum { TLS_TAG = TAG('t', 'l', 's', 's'), PARTS = 2 /* to close: the stream below, our turn */ };

/*  CONNECTING -> SHAKING -> OPEN
 *        \----------\-----> FAILED      the owner closes from anywhere */
enum tls_state { TLS_CONNECTING, TLS_SHAKING, TLS_OPEN, TLS_FAILED };

struct tls_stream {
    struct stream base;
    unsigned tag;
    enum tls_state state;
    enum tls_result result;
    struct tls_pipe pipe;
    SSL *ssl;                  /* owned */
    struct tls_server *server; /* shared, or NULL */
    struct tls_client *client; /* shared, or NULL */
    struct watch turn;         /* reading goes on without news from below */
    enum err under_end;        /* how the stream below ended, once it has */
    unsigned closed_parts;
    unsigned idle_records; /* read since there was a byte for the owner */
    bool is_reached;       /* the stream below was connected */
    bool is_ended;         /* on_end was told */
};

static struct tls_stream *tls_of(const struct stream *stream)
{
    struct tls_stream *tls = CONTAINER_OF(stream, struct tls_stream, base);
    CHECK(tls->tag == TLS_TAG);
    return tls;
}

static struct tls_stream *tls_over(struct stream *under)
{
    struct tls_stream *tls = under->owner;
    CHECK(tls->tag == TLS_TAG);
    return tls;
}

/* ---- the handshake ---- */

static enum err err_of(enum tls_result result)
{
    switch (result) {
    case TLS_GONE:
        return ERR_CLOSED;
    case TLS_MEMORY:
        return ERR_NOMEM;
    case TLS_BAD_CERTIFICATE:
        return ERR_DENIED;
    default:
        return ERR_SYNTAX;
    }
}

static void flush(struct tls_stream *tls)
{
    if (tls_pipe_flush(&tls->pipe) != OK) {
        stream_break(&tls->base);
    }
    tls->base.queued = tls->base.under->queued;
}

static void fail_handshake(struct tls_stream *tls, enum tls_result result)
{
    tls->state = TLS_FAILED;
    tls->result = result;
    stream_read_stop(tls->base.under);
    (void)tls_pipe_flush(&tls->pipe); /* the alert */
    tls->base.listener->on_connected(&tls->base, err_of(result));
}

static void shake(struct tls_stream *tls)
{
    tls_forget_errors();
    int status = SSL_do_handshake(tls->ssl);
    if (status == 1) {
        tls->state = TLS_OPEN;
        tls->result = SSL_session_reused(tls->ssl) ? TLS_RESUMED : TLS_FULL;
        stream_read_stop(tls->base.under); /* until the owner reads */
        flush(tls);
        tls->base.listener->on_connected(&tls->base, OK);
        return;
    }
    if (SSL_get_error(tls->ssl, status) != SSL_ERROR_WANT_READ || tls->pipe.has_ended) {
        fail_handshake(tls, tls_result_take());
    } else if (tls_pipe_flush(&tls->pipe) != OK) { /* nobody is there to answer */
        fail_handshake(tls, TLS_GONE);
    } else {
        tls->base.queued = tls->base.under->queued;
    }
}

/* ---- reading ---- */

/* OpenSSL bounds empty records and warnings in a row, but neither key updates (RFC 8446 section
 * 4.6.3) nor attempts to renegotiate, and goes through all that is there in one call. */
static void on_message(int is_written, int version, int content_type, const void *message,
                       size_t size, SSL *ssl, void *context)
{
    struct tls_stream *tls = context;
    (void)version;
    (void)message;
    (void)size;
    (void)ssl;
    if (is_written == 0 && content_type == SSL3_RT_HEADER && tls->state == TLS_OPEN) {
        tls->idle_records++;
        tls->pipe.is_shut = tls->idle_records > TLS_IDLE_RECORDS_MAX;
    }
}

static void tell_end(struct tls_stream *tls, enum err why)
{
    tls->is_ended = true;
    stream_read_stop(&tls->base);
    if (why == OK) {
        tls->base.listener->on_end(&tls->base, OK);
    } else {
        stream_fail(&tls->base, why);
    }
}

/* All that came is read, and OpenSSL would only say so. */
static bool is_drained(const struct tls_stream *tls)
{
    return !tls_pipe_has_bytes(&tls->pipe) && !tls->pipe.has_ended &&
           SSL_has_pending(tls->ssl) == 0;
}

/* Opens records until the buffer is full or there is no whole one left; says how many bytes. */
static size_t open_records(struct tls_stream *tls, char *plain, int *ret_error)
{
    size_t size = 0;
    size_t part = 0;
    *ret_error = SSL_ERROR_NONE;
    tls_forget_errors();
    while (size < LOOP_LAYER_SIZE) {
        int status = SSL_read_ex(tls->ssl, plain + size, LOOP_LAYER_SIZE - size, &part);
        if (status != 1) {
            *ret_error = SSL_get_error(tls->ssl, status);
            break;
        }
        size += part;
        tls->idle_records = 0;
        if (is_drained(tls)) {
            *ret_error = SSL_ERROR_WANT_READ;
            break;
        }
    }
    return size;
}

static void end_reading(struct tls_stream *tls, int error)
{
    if (error == SSL_ERROR_NONE) {
        return;
    }
    if (error == SSL_ERROR_ZERO_RETURN) {
        tell_end(tls, OK);
    } else if (tls->pipe.has_ended) {
        tell_end(tls, tls->under_end == OK ? ERR_CLOSED : tls->under_end);
    } else if (error != SSL_ERROR_WANT_READ) {
        tls_forget_errors();
        tell_end(tls, ERR_IO);
    }
}

static bool may_read(const struct tls_stream *tls)
{
    return tls->state == TLS_OPEN && tls->base.is_reading && !tls->base.is_closing &&
           !tls->is_ended;
}

static void read_records(struct tls_stream *tls)
{
    char *plain = loop_layer_buffer(tls->base.loop);
    int error = SSL_ERROR_NONE;
    if (plain == NULL) {
        tell_end(tls, ERR_NOMEM);
        return;
    }
    while (may_read(tls) && error == SSL_ERROR_NONE) {
        size_t size = open_records(tls, plain, &error);
        if (size > 0) {
            tls->base.listener->on_read(&tls->base, bytes_make(plain, size));
        }
    }
    /* A stopped owner is told when it reads on: OpenSSL says the same again. */
    if (may_read(tls)) {
        end_reading(tls, error);
    }
}

/* Everything there is to do with the bytes at hand. */
static void move(struct tls_stream *tls)
{
    if (tls->state == TLS_SHAKING) {
        shake(tls);
    }
    if (may_read(tls)) {
        read_records(tls);
    }
    if (tls->base.is_closing) {
        return;
    }
    if (tls->state == TLS_OPEN) {
        flush(tls); /* OpenSSL may have answered by itself, to a key update for one */
    }
    if (tls_pipe_keep(&tls->pipe) != OK) {
        stream_break(&tls->base);
    }
}

static void tls_read_start(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    stream_read_start(stream->under);
    if (tls->pipe.has_ended || tls_pipe_has_bytes(&tls->pipe) || SSL_has_pending(tls->ssl)) {
        watch_resume(stream->loop, &tls->turn);
    }
}

static void tls_read_stop(struct stream *stream)
{
    if (tls_of(stream)->state == TLS_OPEN) {
        stream_read_stop(stream->under);
    }
}

static bool tls_has_unread(struct stream *stream)
{
    const struct tls_stream *tls = tls_of(stream);
    return tls_pipe_has_bytes(&tls->pipe) || SSL_has_pending(tls->ssl) != 0 ||
           stream_has_unread(stream->under);
}

/* ---- writing and ending ---- */

static enum err tls_write(struct stream *stream, const struct bytes *pieces, size_t count)
{
    struct tls_stream *tls = tls_of(stream);
    size_t written = 0;
    if (tls->state != TLS_OPEN) {
        return ERR_CLOSED;
    }
    tls_forget_errors();
    for (size_t i = 0; i < count; i++) {
        bool is_written = pieces[i].size == 0 ||
                          SSL_write_ex(tls->ssl, pieces[i].data, pieces[i].size, &written) == 1;
        if (!is_written) {
            tls_forget_errors();
            enum err err = tls_pipe_flush(&tls->pipe);
            return err != OK ? err : ERR_IO;
        }
    }
    /* What says that it was all goes with it. */
    enum err err = stream->is_ending ? tls->pipe.err : tls_pipe_flush(&tls->pipe);
    stream->queued = stream->under->queued;
    return err;
}

static void say_end(struct tls_stream *tls)
{
    if (tls->state == TLS_OPEN && !tls->base.is_broken) {
        tls_forget_errors();
        (void)SSL_shutdown(tls->ssl);
        tls_forget_errors();
    }
    (void)tls_pipe_flush(&tls->pipe);
}

static void tls_finish(struct stream *stream)
{
    say_end(tls_of(stream));
    stream->queued = stream->under->queued;
    stream_finish(stream->under);
}

static void tls_close(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    say_end(tls);
    stream_close(stream->under);
    watch_close(stream->loop, &tls->turn);
}

static void tls_reset(struct stream *stream)
{
    struct tls_stream *tls = tls_of(stream);
    stream_reset(stream->under);
    watch_close(stream->loop, &tls->turn);
}

static const struct stream_ops tls_ops = {
    .read_start = tls_read_start,
    .read_stop = tls_read_stop,
    .write = tls_write,
    .has_unread = tls_has_unread,
    .finish = tls_finish,
    .close = tls_close,
    .reset = tls_reset,
};

/* ---- what the stream below says ---- */

static void on_under_read(struct stream *under, struct bytes bytes)
{
    struct tls_stream *tls = tls_over(under);
    tls_pipe_lend(&tls->pipe, bytes);
    move(tls);
}

static void on_under_end(struct stream *under, enum err why)
{
    struct tls_stream *tls = tls_over(under);
    tls->pipe.has_ended = true;
    tls->under_end = why;
    if (tls->state == TLS_CONNECTING) {
        fail_handshake(tls, TLS_GONE);
        return;
    }
    move(tls);
    bool is_untold = tls->state == TLS_OPEN && !tls->is_ended && !tls->base.is_closing;
    if (is_untold && under->is_broken) { /* an owner that does not read hears of it all the same */
        tell_end(tls, why);
    }
}

static void on_under_drained(struct stream *under)
{
    struct tls_stream *tls = tls_over(under);
    tls->base.queued = 0;
    if (tls->state == TLS_OPEN) {
        tls->base.listener->on_drained(&tls->base);
    }
}

static void on_under_connected(struct stream *under, enum err err)
{
    struct tls_stream *tls = tls_over(under);
    if (err != OK) {
        tls->state = TLS_FAILED;
        tls->result = TLS_GONE;
        tls->base.listener->on_connected(&tls->base, err);
        return;
    }
    tls->state = TLS_SHAKING;
    tls->is_reached = true;
    stream_read_start(under);
    move(tls);
}

static void note_closed(struct tls_stream *tls)
{
    tls->closed_parts++;
    if (tls->closed_parts < PARTS) {
        return;
    }
    tls->base.listener->on_closed(&tls->base);
    SSL_free(tls->ssl);
    tls_pipe_finish(&tls->pipe);
    tls_server_unref(tls->server);
    tls_client_unref(tls->client);
    tls->tag = 0;
    free(tls);
}

static void on_under_closed(struct stream *under)
{
    note_closed(tls_over(under));
}

static const struct stream_listener under_listener = {
    .on_read = on_under_read,
    .on_end = on_under_end,
    .on_drained = on_under_drained,
    .on_connected = on_under_connected,
    .on_closed = on_under_closed,
};

static void on_turn(struct watch *watch, uint32_t events)
{
    struct tls_stream *tls = CONTAINER_OF(watch, struct tls_stream, turn);
    (void)events;
    move(tls);
}

static void on_turn_closed(struct watch *watch)
{
    note_closed(CONTAINER_OF(watch, struct tls_stream, turn));
}

/* ---- making ---- */

static void unmake(struct tls_stream *tls)
{
    SSL_free(tls->ssl);
    tls_server_unref(tls->server);
    tls_client_unref(tls->client);
    free(tls);
}

/* Everything but the stream below. NULL without memory. */
static struct tls_stream *make(struct loop *loop, SSL_CTX *context, BIO_METHOD *method)
{
    struct tls_stream *tls = calloc(1, sizeof *tls);
    if (tls == NULL) {
        return NULL;
    }
    tls->base = (struct stream){.ops = &tls_ops, .loop = loop, .is_sealed = true};
    tls->tag = TLS_TAG;
    tls->result = TLS_GONE;
    tls->turn = (struct watch){.on_ready = on_turn, .on_closed = on_turn_closed};
    tls->ssl = SSL_new(context);
    BIO *bio = tls_pipe_bio(&tls->pipe, method);
    if (tls->ssl == NULL || bio == NULL) {
        BIO_free(bio);
        tls_forget_errors();
        unmake(tls);
        return NULL;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    SSL_set_msg_callback(tls->ssl, on_message);
    SSL_set_msg_callback_arg(tls->ssl, tls);
    return tls;
}

static void put_over(struct tls_stream *tls, struct stream *under)
{
    tls->base.under = under;
    tls_pipe_init(&tls->pipe, under);
    watch_open_bare(tls->base.loop, &tls->turn);
}

enum err tls_stream_accept(struct stream *under, struct tls_server *server,
                           const struct stream_listener *listener, void *owner,
                           struct stream **ret_stream)
{
    struct tls_stream *tls =
        make(under->loop, tls_server_context(server), tls_server_method(server));
    if (tls == NULL) {
        stream_close(under);
        return ERR_NOMEM;
    }
    tls->server = tls_server_ref(server);
    stream_attach(&tls->base, listener, owner);
    stream_attach(under, &under_listener, tls);
    put_over(tls, under);
    SSL_set_accept_state(tls->ssl);
    tls->state = TLS_SHAKING;
    stream_read_start(under);
    *ret_stream = &tls->base;
    return OK;
}

/* Whose certificate is accepted, and the SNI (which an address may not be, RFC 6066 section 3). */
static enum err set_name(struct tls_stream *tls, const struct tls_connect *connect)
{
    const char *own = tls_client_name(connect->client);
    const char *name = own != NULL ? own : connect->name;
    unsigned char address[sizeof(struct in6_addr)];
    bool is_address =
        inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
    bool is_set = is_address || SSL_set_tlsext_host_name(tls->ssl, name) == 1;
    if (is_set && !tls_client_is_unverified(connect->client)) {
        X509_VERIFY_PARAM *wanted = SSL_get0_param(tls->ssl);
        X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        is_set = is_address ? X509_VERIFY_PARAM_set1_ip_asc(wanted, name) == 1
                            : SSL_set1_host(tls->ssl, name) == 1;
    }
    tls_forget_errors();
    return is_set ? OK : ERR_NOMEM;
}

static enum err offer(struct tls_stream *tls, enum tls_protocols protocols)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    enum { HTTP2_SIZE = 3, BOTH_SIZE = sizeof both - 1 };
    const unsigned char *from = protocols == TLS_HTTP1 ? both + HTTP2_SIZE : both;
    unsigned size = protocols == TLS_HTTP1   ? BOTH_SIZE - HTTP2_SIZE
                    : protocols == TLS_HTTP2 ? HTTP2_SIZE
                                             : BOTH_SIZE;
    return SSL_set_alpn_protos(tls->ssl, from, size) == 0 ? OK : ERR_NOMEM;
}

/* What is known of the endpoint from connections before. */
static void remember(struct tls_stream *tls, const struct tls_connect *connect)
{
    struct tls_resume *resume = connect->resume;
    SSL_set_app_data(tls->ssl, resume);
    if (resume != NULL) {
        tls_resume_follow(resume, connect->client);
        if (resume->session != NULL) {
            (void)SSL_set_session(tls->ssl, resume->session);
        }
    }
}

enum err tls_stream_connect(struct loop *loop, const struct tls_connect *connect,
                            const struct stream_listener *listener, void *owner,
                            struct stream **ret_stream)
{
    struct tls_stream *tls =
        make(loop, tls_client_context(connect->client), tls_client_method(connect->client));
    struct stream *under = NULL;
    if (tls == NULL) {
        return ERR_NOMEM;
    }
    tls->client = tls_client_ref(connect->client);
    enum err err = set_name(tls, connect);
    if (err == OK) {
        err = offer(tls, connect->protocols);
    }
    if (err == OK) {
        err = tcp_stream_connect(loop, &connect->route, &under_listener, tls, &under);
    }
    if (err != OK) {
        unmake(tls);
        return err;
    }
    stream_attach(&tls->base, listener, owner);
    put_over(tls, under);
    SSL_set_connect_state(tls->ssl);
    remember(tls, connect);
    tls->state = TLS_CONNECTING;
    *ret_stream = &tls->base;
    return OK;
}

/* ---- asking ---- */

bool tls_stream_is(const struct stream *stream)
{
    return stream->ops == &tls_ops;
}

enum tls_result tls_stream_result(const struct stream *stream)
{
    return tls_of(stream)->result;
}

struct bytes tls_stream_protocol(const struct stream *stream)
{
    const unsigned char *name = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(tls_of(stream)->ssl, &name, &size);
    return bytes_make((const char *)name, size);
}

bool tls_stream_is_reached(const struct stream *stream)
{
    return tls_of(stream)->is_reached;
}

const struct tls_client *tls_stream_client(const struct stream *stream)
{
    return tls_of(stream)->client;
}

const char *tls_stream_version(const struct stream *stream)
{
    return SSL_get_version(tls_of(stream)->ssl);
}

void tls_stream_explain(const struct stream *stream, struct note *ret_note)
{
    const struct tls_stream *tls = tls_of(stream);
    long verified = SSL_get_verify_result(tls->ssl);
    if (tls->result == TLS_BAD_CERTIFICATE && verified != X509_V_OK) {
        note_set(ret_note, "certificate: %s", X509_verify_cert_error_string(verified));
    } else {
        note_set(ret_note, "TLS handshake: %s", tls_result_name(tls->result));
    }
}
