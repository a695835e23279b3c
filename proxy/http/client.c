#include "proxy/http/client.h"

#include "proxy/base/check.h"
#include "proxy/tls/tls_stream.h"

void client_hand_over(struct client *client, const struct client_ops *ops, void *call)
{
    CHECK(client->ops != NULL);
    client->ops = ops;
    client->call = call;
}

static enum err open_stream(const struct client_way *way, struct loop *loop,
                            const struct stream_listener *listener, void *owner,
                            struct stream **ret_stream)
{
    static const enum tls_protocols protocols[] = {
        [CLIENT_HTTP1] = TLS_HTTP1,
        [CLIENT_HTTP2] = TLS_HTTP2,
        [CLIENT_HTTP2_OR_1] = TLS_HTTP2_OR_1,
    };
    if (way->tls == NULL) {
        return tcp_stream_connect(loop, &way->route, listener, owner, ret_stream);
    }
    struct tls_connect connect = {.route = way->route,
                                  .client = way->tls,
                                  .protocols = protocols[way->speech],
                                  .name = way->name,
                                  .resume = way->resume};
    return tls_stream_connect(loop, &connect, listener, owner, ret_stream);
}

enum err client_way_open(const struct client_way *way, struct loop *loop,
                         const struct stream_listener *listener, void *owner,
                         struct stream **ret_stream)
{
    enum err err = open_stream(way, loop, listener, owner, ret_stream);
    if (err == OK && way->announces != PROXY_PROTOCOL_NONE) {
        char header[PROXY_PROTOCOL_OUT_MAX];
        size_t size = proxy_protocol_write(way->announces, way->ends, header);
        tcp_stream_send_ahead(*ret_stream, bytes_make(header, size));
    }
    return err;
}
