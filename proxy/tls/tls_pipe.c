#include "proxy/tls/tls_pipe.h"

/* What a stopped reader may leave: less than one read, and one more that was under way. */
enum { KEPT_MAX = 2 * LOOP_READ_SIZE };

static void send_down(struct tls_pipe *pipe)
{
    struct bytes piece = bytes_make(pipe->sealed, pipe->sealed_size);
    pipe->sealed_size = 0;
    if (pipe->err == OK && pipe->under->is_broken) {
        pipe->err = ERR_CLOSED;
    }
    if (pipe->err == OK && piece.size > 0) {
        pipe->err = pipe->under->ops->write(pipe->under, &piece, 1);
    }
}

static int on_write(BIO *bio, const char *data, size_t size, size_t *ret_size)
{
    struct tls_pipe *pipe = BIO_get_data(bio);
    if (pipe->sealed == NULL) {
        char *both = loop_layer_buffer(pipe->under->loop);
        if (both == NULL) {
            return 0;
        }
        pipe->sealed = both + LOOP_LAYER_SIZE;
    }
    size_t done = 0;
    while (done < size) {
        size_t room = LOOP_LAYER_SIZE - pipe->sealed_size;
        size_t part = size - done < room ? size - done : room;
        memcpy(pipe->sealed + pipe->sealed_size, data + done, part);
        pipe->sealed_size += part;
        done += part;
        if (pipe->sealed_size == LOOP_LAYER_SIZE) {
            send_down(pipe);
        }
    }
    *ret_size = size;
    return 1;
}

static int on_read(BIO *bio, char *data, size_t size, size_t *ret_size)
{
    struct tls_pipe *pipe = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (pipe->is_shut) {
        return 0;
    }
    bool is_kept = buf_size(&pipe->kept) > 0;
    struct bytes from = is_kept ? buf_bytes(&pipe->kept) : pipe->lent;
    size_t part = size < from.size ? size : from.size;
    if (part == 0) {
        if (!pipe->has_ended) {
            BIO_set_retry_read(bio);
        }
        return 0;
    }
    memcpy(data, from.data, part);
    if (is_kept) {
        buf_consume(&pipe->kept, part);
    } else {
        pipe->lent = bytes_slice(pipe->lent, part, pipe->lent.size - part);
    }
    *ret_size = part;
    return 1;
}

static long on_control(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_pipe *pipe = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return pipe != NULL && pipe->has_ended ? 1 : 0;
    default:
        return 0;
    }
}

BIO_METHOD *tls_pipe_method_create(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "serin stream");
    if (method != NULL) {
        (void)BIO_meth_set_write_ex(method, on_write);
        (void)BIO_meth_set_read_ex(method, on_read);
        (void)BIO_meth_set_ctrl(method, on_control);
    }
    return method;
}

void tls_pipe_init(struct tls_pipe *pipe, struct stream *under)
{
    *pipe = (struct tls_pipe){.under = under};
    buf_init(&pipe->kept, KEPT_MAX);
}

void tls_pipe_finish(struct tls_pipe *pipe)
{
    buf_finish(&pipe->kept);
}

BIO *tls_pipe_bio(struct tls_pipe *pipe, BIO_METHOD *method)
{
    BIO *bio = BIO_new(method);
    if (bio != NULL) {
        BIO_set_data(bio, pipe);
        BIO_set_init(bio, 1);
    }
    return bio;
}

void tls_pipe_lend(struct tls_pipe *pipe, struct bytes bytes)
{
    pipe->lent = bytes;
}

enum err tls_pipe_keep(struct tls_pipe *pipe)
{
    struct bytes rest = pipe->lent;
    pipe->lent = bytes_make(NULL, 0);
    if (rest.size > 0) {
        return buf_append(&pipe->kept, rest);
    }
    if (buf_size(&pipe->kept) == 0) {
        buf_finish(&pipe->kept); /* an idle connection holds no buffer */
        buf_init(&pipe->kept, KEPT_MAX);
    }
    return OK;
}

enum err tls_pipe_flush(struct tls_pipe *pipe)
{
    send_down(pipe);
    pipe->sealed = NULL;
    return pipe->err;
}
