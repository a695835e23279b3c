#include "tests/support/dns_stub.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"

enum { HEADER_SIZE = 12, MESSAGE_MAX = 1500, TYPE_A = 1, TYPE_AAAA = 28, CLASS_IN = 1 };

static void put_u16(unsigned char **at, unsigned value)
{
    *(*at)++ = (unsigned char)(value >> 8 & 0xff);
    *(*at)++ = (unsigned char)(value & 0xff);
}

/* One record; its name is a pointer to the question's (RFC 1035 section 4.1.4). */
static void put_record(unsigned char **at, unsigned type, uint32_t ttl_s, const void *data,
                       size_t size)
{
    put_u16(at, 0xc000 | HEADER_SIZE);
    put_u16(at, type);
    put_u16(at, CLASS_IN);
    put_u16(at, ttl_s >> 16);
    put_u16(at, ttl_s & 0xffff);
    put_u16(at, (unsigned)size);
    memcpy(*at, data, size);
    *at += size;
}

static size_t question_size(const unsigned char *query, size_t size)
{
    size_t end = HEADER_SIZE;
    while (end < size && query[end] != 0) {
        end += query[end] + 1u;
    }
    end += 1 + 4; /* the root's label, type and class */
    CHECK(end <= size);
    return end - HEADER_SIZE;
}

static size_t answer(const struct dns_stub *stub, const unsigned char *query, size_t question,
                     unsigned type, unsigned char *out)
{
    bool is_named = stub->rcode == DNS_STUB_NOERROR;
    size_t v4_count = is_named && type == TYPE_A ? stub->v4_count : 0;
    size_t v6_count = is_named && type == TYPE_AAAA ? stub->v6_count : 0;
    memcpy(out, query, HEADER_SIZE + question);
    unsigned char *at = out + 2;
    put_u16(&at, 0x8180 | stub->rcode); /* an answer, recursion wanted and available */
    put_u16(&at, 1);
    put_u16(&at, (unsigned)(v4_count + v6_count));
    put_u16(&at, 0);
    put_u16(&at, 0);
    at = out + HEADER_SIZE + question;
    for (size_t i = 0; i < v4_count; i++) {
        put_record(&at, TYPE_A, stub->ttl_s, &stub->v4[i], sizeof stub->v4[i]);
    }
    for (size_t i = 0; i < v6_count; i++) {
        put_record(&at, TYPE_AAAA, stub->ttl_s, &stub->v6[i], sizeof stub->v6[i]);
    }
    return (size_t)(at - out);
}

static void on_query(uv_udp_t *socket, ssize_t size, const uv_buf_t *buffer,
                     const struct sockaddr *peer, unsigned flags)
{
    struct dns_stub *stub = socket->data;
    (void)flags;
    if (size < HEADER_SIZE || peer == NULL) {
        return;
    }
    const unsigned char *query = (const unsigned char *)buffer->base;
    size_t question = question_size(query, (size_t)size);
    unsigned type = query[HEADER_SIZE + question - 3];
    stub->query_count++;
    if (stub->is_silent || (stub->is_v6_silent && type == TYPE_AAAA)) {
        return;
    }
    unsigned char out[MESSAGE_MAX];
    size_t out_size = answer(stub, query, question, type, out);
    uv_buf_t message = uv_buf_init((char *)out, (unsigned)out_size);
    (void)uv_udp_try_send(socket, &message, 1, peer);
}

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    static char memory[MESSAGE_MAX];
    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(memory, sizeof memory);
}

void dns_stub_open(struct dns_stub *stub, uv_loop_t *loop)
{
    *stub = (struct dns_stub){.ttl_s = 60};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int size = sizeof address;
    CHECK(uv_udp_init(loop, &stub->socket) == 0);
    CHECK(uv_udp_bind(&stub->socket, (struct sockaddr *)&address, 0) == 0);
    CHECK(uv_udp_getsockname(&stub->socket, (struct sockaddr *)&address, &size) == 0);
    CHECK(uv_udp_recv_start(&stub->socket, lend_buffer, on_query) == 0);
    stub->socket.data = stub;
    (void)snprintf(stub->servers, sizeof stub->servers, "127.0.0.1:%u", ntohs(address.sin_port));
}

void dns_stub_add_v4(struct dns_stub *stub, const char *address)
{
    CHECK(stub->v4_count < DNS_STUB_ADDRESSES_MAX);
    CHECK(inet_pton(AF_INET, address, &stub->v4[stub->v4_count++]) == 1);
}

void dns_stub_add_v6(struct dns_stub *stub, const char *address)
{
    CHECK(stub->v6_count < DNS_STUB_ADDRESSES_MAX);
    CHECK(inet_pton(AF_INET6, address, &stub->v6[stub->v6_count++]) == 1);
}

void dns_stub_say(struct dns_stub *stub, const char *v4, const char *v6, uint32_t ttl_s)
{
    stub->v4_count = 0;
    stub->v6_count = 0;
    stub->rcode = DNS_STUB_NOERROR;
    stub->is_silent = false;
    stub->ttl_s = ttl_s;
    if (v4 != NULL) {
        dns_stub_add_v4(stub, v4);
    }
    if (v6 != NULL) {
        dns_stub_add_v6(stub, v6);
    }
}

void dns_stub_close(struct dns_stub *stub)
{
    uv_close((uv_handle_t *)&stub->socket, NULL);
}
