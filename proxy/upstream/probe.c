#include "proxy/upstream/probe.h"

#include <stdlib.h>

#include "proxy/base/buf.h"

enum { PROBE_TAG = TAG('p', 'r', 'o', 'b') };

struct probe {
    unsigned tag;
    struct client_keeper keeper; /* of all its connections */
    struct http2_keeper keeper2; /* ... that speak HTTP/2 */
    struct probe_host *host;     /* borrowed */
    struct check *check;         /* shared */
    struct client *client;       /* on the present connection, or NULL */
    size_t connection_count;     /* open, the closing ones included */
    size_t address_index;
    size_t addresses_left; /* to be tried, the present one included */
    uint64_t due_us;
    struct buf body; /* only where something is looked for in it */
    uint64_t body_size;
    unsigned status;
    bool is_connected;
    bool is_over;
    probe_on_end *on_end;
    void *context; /* borrowed */
};

const char *probe_result_text(enum probe_result result)
{
    static const char *const texts[] = {
#define PROBE_RESULT_TEXT(id, text) text,
        PROBE_RESULTS(PROBE_RESULT_TEXT)
#undef PROBE_RESULT_TEXT
    };
    CHECK(result < PROBE_RESULT_COUNT);
    return texts[result];
}

/* ---- what is asked ---- */

enum err check_create(const struct prober_target *target, struct check **ret_check)
{
    const struct conf_health *health = target->health;
    if (health->status_count > CONF_STATUSES_MAX) {
        return ERR_RANGE;
    }
    size_t path_size = strlen(health->path) + 1;
    size_t contains_size = health->contains != NULL ? strlen(health->contains) + 1 : 0;
    struct check *check = calloc(1, sizeof *check + path_size + contains_size +
                                        target->authority.size + target->host.size + 1);
    if (check == NULL) {
        return ERR_NOMEM;
    }
    check->reference_count = 1;
    check->proxy_protocol = target->proxy_protocol;
    check->speech = target->speech;
    check->health = *health;
    check->health.path = check->text;
    check->health.statuses = check->statuses;
    memcpy(check->text, health->path, path_size);
    if (contains_size > 0) {
        check->health.contains = check->text + path_size;
        memcpy(check->text + path_size, health->contains, contains_size);
    }
    char *authority = check->text + path_size + contains_size;
    memcpy(authority, target->authority.data, target->authority.size);
    check->authority = bytes_make(authority, target->authority.size);
    if (target->tls != NULL) {
        char *host = authority + target->authority.size;
        memcpy(host, target->host.data, target->host.size);
        check->host = host;
        check->tls = tls_client_ref(target->tls);
    }
    memcpy(check->statuses, health->statuses, health->status_count * sizeof *health->statuses);
    check->address_count =
        target->address_count < PROBE_ADDRESSES_MAX ? target->address_count : PROBE_ADDRESSES_MAX;
    if (check->address_count > 0) {
        memcpy(check->addresses, target->addresses,
               check->address_count * sizeof *target->addresses);
    }
    *ret_check = check;
    return OK;
}

struct check *check_ref(struct check *check)
{
    check->reference_count++;
    return check;
}

void check_unref(struct check *check)
{
    if (check != NULL && --check->reference_count == 0) {
        tls_client_unref(check->tls);
        free(check);
    }
}

/* ---- the probe's life ---- */

static struct probe *probe_of(void *call)
{
    struct probe *probe = call;
    CHECK(probe->tag == PROBE_TAG);
    return probe;
}

static void drop_client(struct probe *probe)
{
    if (probe->client != NULL) {
        struct client *client = probe->client;
        probe->client = NULL;
        client_close(client);
    }
}

/* Nothing of it is needed once it is over and its connections are closed. */
static void free_if_gone(struct probe *probe)
{
    if (!probe->is_over || probe->connection_count > 0) {
        return;
    }
    struct probe_host *host = probe->host;
    struct loop *loop = host->loop; /* on_gone may free the host */
    check_unref(probe->check);
    buf_finish(&probe->body);
    probe->tag = 0;
    free(probe);
    host->probe_count--;
    loop_enter(loop);
    host->on_gone(host);
    loop_leave(loop);
}

static void on_idle_ended(struct client_keeper *keeper, struct http1_client *client)
{
    (void)keeper;
    (void)client;
    CHECK(false); /* a probe's connection never rests */
}

static void on_closed(struct client_keeper *keeper, struct http1_client *client)
{
    struct probe *probe = probe_of(CONTAINER_OF(keeper, struct probe, keeper));
    (void)client;
    probe->connection_count--;
    free_if_gone(probe);
}

static struct probe *probe_of_keeper2(struct http2_keeper *keeper)
{
    return probe_of(CONTAINER_OF(keeper, struct probe, keeper2));
}

static struct client *on_http1(struct http2_keeper *keeper, struct http2_client *connection,
                               struct stream *stream, bool is_announced,
                               const struct client_ops *ops, void *call)
{
    struct probe *probe = probe_of_keeper2(keeper);
    struct client *client = NULL;
    (void)connection;
    if (http1_client_adopt(stream, &probe->host->settings.limits, is_announced, &probe->keeper, ops,
                           call, &client) != OK) {
        return NULL;
    }
    return client;
}

/* A probe has one call on a connection and closes it with that: what else becomes of it is told by
 * its end. */
static void on_news2(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)keeper;
    (void)connection;
}

static void on_idle2(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)keeper;
    http2_client_end(connection);
}

static void on_closed2(struct http2_keeper *keeper, struct http2_client *connection)
{
    struct probe *probe = probe_of_keeper2(keeper);
    (void)connection;
    probe->connection_count--;
    free_if_gone(probe);
}

static void on_violation2(struct http2_keeper *keeper, enum metric_http2_violation kind)
{
    (void)keeper;
    (void)kind;
}

static const struct http2_keeper probe_keeper2 = {
    .on_http1 = on_http1,
    .on_ready = on_news2,
    .on_idle = on_idle2,
    .on_busy = on_news2,
    .on_ended = on_news2,
    .on_closing = on_news2,
    .on_closed = on_closed2,
    .on_violation = on_violation2,
};

static void end(struct probe *probe, enum probe_result result)
{
    CHECK(!probe->is_over);
    struct probe_end how = {result, probe->status, probe->address_index};
    probe_on_end *on_end = probe->on_end;
    void *context = probe->context;
    probe->is_over = true;
    drop_client(probe);
    on_end(context, &how);
}

static void judge(struct probe *probe)
{
    const struct conf_health *health = &probe->check->health;
    if (!conf_health_accepts(health, probe->status)) {
        end(probe, PROBE_BAD_STATUS);
    } else if (health->contains != NULL &&
               !bytes_contains(buf_bytes(&probe->body), bytes_of(health->contains))) {
        end(probe, PROBE_BAD_BODY);
    } else {
        end(probe, PROBE_GOOD);
    }
}

/* ---- connecting ---- */

static const struct client_ops probe_ops;

static uint64_t left_us(const struct probe *probe)
{
    uint64_t now_us = probe->host->loop->now_us;
    return probe->due_us > now_us ? probe->due_us - now_us : 1;
}

static enum err connect_to(struct probe *probe, const union address *address, uint64_t timeout_us)
{
    static const struct proxy_ends nobody = {.is_known = false}; /* is behind a health check */
    const struct check *check = probe->check;
    struct probe_host *host = probe->host;
    struct client_way way = {.route = {address, 1, 0},
                             .tls = check->tls,
                             .name = check->host,
                             .speech = check->speech,
                             .announces = check->proxy_protocol,
                             .ends = &nobody};
    return check->speech == CLIENT_HTTP1
               ? http1_client_connect(host->loop, &way, &host->settings.limits, timeout_us,
                                      &probe->keeper, &probe_ops, probe, &probe->client)
               : http2_client_connect(host->loop, &way, &host->settings, timeout_us,
                                      &probe->keeper2, &probe_ops, probe, &probe->client);
}

/* Each address gets an equal part of the time that is left, so that one which swallows packets does
 * not hide the next. ERR_CLOSED: none is left. */
static enum err connect_next(struct probe *probe)
{
    const struct check *check = probe->check;
    enum err err = ERR_IO;
    while (err != OK && err != ERR_NOMEM && err != ERR_LIMIT) {
        if (probe->addresses_left == 0) {
            return ERR_CLOSED;
        }
        uint64_t timeout_us = left_us(probe) / probe->addresses_left;
        probe->addresses_left--;
        probe->address_index = (probe->address_index + 1) % check->address_count;
        err = connect_to(probe, &check->addresses[probe->address_index],
                         timeout_us > 0 ? timeout_us : 1);
    }
    if (err == OK) {
        probe->connection_count++;
    }
    return err;
}

static void go_on(struct probe *probe, enum probe_result otherwise)
{
    enum err err = connect_next(probe);
    if (err != OK) {
        end(probe, err == ERR_CLOSED ? otherwise : PROBE_OURS);
    }
}

/* ---- the call ---- */

static void on_connected(void *call, struct client *client)
{
    struct probe *probe = probe_of(call);
    probe->client = client;
    probe->is_connected = true;
    struct field fields[] = {
        {BYTES("Host"), probe->check->authority, FIELD_HOST},
        {BYTES("User-Agent"), BYTES("serin-health"), FIELD_USER_AGENT},
        {BYTES("Accept"), BYTES("*/*"), FIELD_OTHER},
    };
    struct request request = {
        .method = METHOD_GET,
        .version = HTTP_1_1,
        .target = bytes_of(probe->check->health.path),
        .authority = probe->check->authority,
        .fields = {fields, COUNT_OF(fields)},
        .body = BODY_NONE,
        .is_keep_alive = false,
    };
    if (client_send(client, &request) != OK) {
        end(probe, PROBE_OURS);
        return;
    }
    client_arm(client, left_us(probe));
}

/* The connection was made for it alone. */
static void on_turned_away(void *call)
{
    struct probe *probe = probe_of(call);
    probe->client = NULL;
    end(probe, PROBE_OURS);
}

static void on_inform(void *call, const struct response *response)
{
    (void)probe_of(call);
    (void)response;
}

static void on_head(void *call, const struct response *response)
{
    struct probe *probe = probe_of(call);
    probe->status = response->status;
}

static void on_body(void *call, struct bytes piece)
{
    struct probe *probe = probe_of(call);
    size_t room = PROBER_BODY_MAX - (size_t)probe->body_size;
    struct bytes kept = bytes_slice(piece, 0, piece.size < room ? piece.size : room);
    probe->body_size += piece.size;
    if (probe->check->health.contains != NULL && buf_append(&probe->body, kept) != OK) {
        end(probe, PROBE_OURS);
        return;
    }
    if (probe->body_size > PROBER_BODY_MAX) {
        judge(probe);
    }
}

static void on_end(void *call, const struct fields *trailers)
{
    struct probe *probe = probe_of(call);
    (void)trailers;
    judge(probe);
}

static void on_drained(void *call)
{
    (void)probe_of(call);
}

static enum probe_result result_of(enum client_failure failure)
{
    switch (failure) {
    case CLIENT_REFUSED:
        return PROBE_NO_CONNECTION;
    case CLIENT_TLS:
    case CLIENT_TLS_TIMEOUT:
        return PROBE_NO_TLS;
    case CLIENT_TIMEOUT:
        return PROBE_TIMEOUT;
    case CLIENT_RESET:
    case CLIENT_STREAM_RESET:
    case CLIENT_UNPROCESSED:
        return PROBE_RESET;
    case CLIENT_MALFORMED:
        return PROBE_MALFORMED;
    case CLIENT_TRUNCATED:
        return PROBE_TRUNCATED;
    case CLIENT_MEMORY:
        break;
    }
    return PROBE_OURS;
}

static void on_failed(void *call, enum client_failure failure)
{
    struct probe *probe = probe_of(call);
    drop_client(probe);
    bool may_go_on = !probe->is_connected && failure != CLIENT_MEMORY;
    if (may_go_on) {
        go_on(probe, result_of(failure));
    } else {
        end(probe, result_of(failure));
    }
}

static const struct client_ops probe_ops = {
    .on_connected = on_connected,
    .on_turned_away = on_turned_away,
    .on_inform = on_inform,
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_failed = on_failed,
};

/* ---- the prober's calls ---- */

enum err probe_start(struct probe_host *host, struct check *check, size_t first_address,
                     probe_on_end *when_over, void *context, struct probe **ret_probe)
{
    CHECK(check->address_count > 0);
    struct probe *probe = calloc(1, sizeof *probe);
    if (probe == NULL) {
        return ERR_NOMEM;
    }
    *probe = (struct probe){
        .tag = PROBE_TAG,
        .keeper = {on_idle_ended, on_closed},
        .keeper2 = probe_keeper2,
        .host = host,
        .check = check_ref(check),
        .address_index = (first_address + check->address_count - 1) % check->address_count,
        .addresses_left = check->address_count,
        .due_us = host->loop->now_us + check->health.timeout_us,
        .on_end = when_over,
        .context = context,
    };
    buf_init(&probe->body, PROBER_BODY_MAX);
    host->probe_count++;
    *ret_probe = probe;
    /* Held as if by a connection: an end from in here must not free it before we are through. */
    probe->connection_count++;
    go_on(probe, PROBE_NO_CONNECTION);
    probe->connection_count--;
    free_if_gone(probe);
    return OK;
}

void probe_cancel(struct probe *probe)
{
    CHECK(probe->tag == PROBE_TAG);
    CHECK(!probe->is_over);
    probe->is_over = true;
    drop_client(probe);
}
