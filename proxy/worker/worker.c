#include "proxy/worker/worker.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/io/tcp_stream.h"
#include "proxy/worker/crew.h"

enum { DRAIN_LOOK_MS = 10 };

/* ---- accepting ---- */

static unsigned port_of(const struct sockaddr_storage *peer)
{
    switch (peer->ss_family) {
    case AF_INET:
        return ntohs(((const struct sockaddr_in *)(const void *)peer)->sin_port);
    case AF_INET6:
        return ntohs(((const struct sockaddr_in6 *)(const void *)peer)->sin6_port);
    default:
        return 0;
    }
}

/* How the newest configuration has it: its place there, or the listener count when it has gone. */
static size_t place_of(const struct worker_listener *listener, const struct conf *conf)
{
    size_t place = 0;
    while (place < conf->listener_count &&
           strcmp(conf->listeners[place].address.text, listener->address) != 0) {
        place++;
    }
    return place;
}

static enum err serve(void *context, struct stream *stream, const struct gate_speech *speech,
                      const struct ip *peer, unsigned peer_port)
{
    struct worker *worker = context;
    if (speech->tls != NULL) {
        return door_open(&worker->door, stream, speech->tls, peer, peer_port);
    }
    return speech->has_preface ? door_open_plain(&worker->door, stream, peer, peer_port)
                               : http1_server_open(&worker->servers, stream, peer, peer_port);
}

/* A PROXY header is read only from whom we trust; others are clients who came by themselves. */
static bool is_header_due(const struct conf *conf, size_t place, const struct ip *peer)
{
    return place < conf->listener_count && conf->listeners[place].has_proxy_protocol &&
           ip_ranges_have(conf->trusted_proxies, conf->trusted_proxy_count, peer);
}

/* 0: requests are served as they come. */
static unsigned https_port_of(const struct conf *conf, size_t place)
{
    return place < conf->listener_count && conf->listeners[place].redirect_https.is_on
               ? (unsigned)conf->listeners[place].redirect_https.port
               : 0;
}

static enum err open_connection(struct worker_listener *listener, int fd, const struct ip *peer,
                                unsigned peer_port)
{
    struct worker *worker = listener->worker;
    const struct snapshot *snapshot = worker->exchanges.snapshot;
    struct gate_speech speech = {.tls = NULL};
    struct stream *stream = NULL;
    bool is_gated = false;
    unsigned https_port = 0;
    if (snapshot != NULL) {
        const struct conf *conf = snapshot->base->conf;
        size_t place = place_of(listener, conf);
        speech.tls = snapshot->base->tls[place]; /* NULL behind the last */
        speech.has_preface =
            place < conf->listener_count && conf_listener_has_http2(&conf->listeners[place]);
        is_gated = is_header_due(conf, place, peer);
        https_port = https_port_of(conf, place);
    }
    enum err err = tcp_stream_open(&worker->loop, fd, &stream);
    if (err != OK) {
        return err;
    }
    stream->https_port = (uint16_t)https_port;
    return is_gated ? gate_open(&worker->gate, stream, &speech, peer, peer_port,
                                worker->servers.settings.client_header_us)
                    : serve(worker, stream, &speech, peer, peer_port);
}

static void on_accept(void *context, int fd, const struct sockaddr_storage *peer)
{
    struct worker_listener *listener = context;
    struct worker *worker = listener->worker;
    struct ip ip = {0};
    if (crew_is_full(worker->crew)) {
        cell_increment(&worker->cells->rejected_connections[METRIC_REFUSED_LIMIT]);
        (void)close(fd);
        return;
    }
    (void)ip_from_socket((const struct sockaddr *)peer, &ip);
    if (open_connection(listener, fd, &ip, port_of(peer)) != OK) {
        cell_increment(&worker->cells->rejected_connections[METRIC_REFUSED_OUT_OF_MEMORY]);
    }
}

static void on_exhausted(void *context)
{
    const struct worker_listener *listener = context;
    cell_increment(
        &listener->worker->cells->rejected_connections[METRIC_REFUSED_OUT_OF_DESCRIPTORS]);
}

static const struct listener_ops listener_ops = {on_accept, on_exhausted};

static void start_listening(struct worker *worker, const struct worker_message *order)
{
    struct worker_listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL || worker->is_draining) {
        (void)close(order->fd);
        free(order->address);
        free(listener);
        return;
    }
    listener->worker = worker;
    listener->address_id = order->address_id;
    listener->address = order->address;
    if (listener_open(&worker->loop, order->fd, order->is_shared, &listener_ops, listener,
                      &listener->listener) != OK) {
        (void)close(order->fd);
        free(listener->address);
        free(listener);
        return;
    }
    list_push_back(&worker->listeners, &listener->link);
}

static void stop_listening(struct worker_listener *listener)
{
    list_remove(&listener->link);
    listener_close(listener->listener);
    free(listener->address);
    free(listener);
}

static void stop_listening_on(struct worker *worker, uint64_t address_id)
{
    for (struct list *link = worker->listeners.next; link != &worker->listeners;
         link = link->next) {
        struct worker_listener *listener = CONTAINER_OF(link, struct worker_listener, link);
        if (listener->address_id == address_id) {
            stop_listening(listener);
            return;
        }
    }
}

/* ---- draining ---- */

static void end_when_quiet(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    loop_enter(&worker->loop);
    bool is_quiet = worker->gate.waiting_count == 0 && worker->door.waiting_count == 0 &&
                    worker->servers.connection_count == 0 &&
                    worker->servers2.connection_count == 0 && worker->exchanges.exchange_count == 0;
    if (is_quiet && worker->exchanges.snapshot != NULL) {
        exchange_host_finish(&worker->exchanges);
    }
    if (is_quiet && worker->loop.stream_count == 0) {
        (void)uv_timer_stop(timer);
        uv_close((uv_handle_t *)timer, NULL);
        inbox_close(&worker->inbox, NULL);
        loop_shutdown(&worker->loop);
    }
    loop_leave(&worker->loop);
}

static void drain(struct worker *worker)
{
    if (worker->is_draining) {
        return;
    }
    while (!list_is_empty(&worker->listeners)) {
        stop_listening(CONTAINER_OF(worker->listeners.next, struct worker_listener, link));
    }
    worker->is_draining = true;
    http1_server_host_drain(&worker->servers);
    http2_server_host_drain(&worker->servers2);
    exchange_host_drain(&worker->exchanges);
    (void)uv_timer_start(&worker->drain_timer, end_when_quiet, 0, DRAIN_LOOK_MS);
}

/* ---- orders ---- */

void worker_on_order(struct inbox_message *message, void *context)
{
    struct worker *worker = context;
    struct worker_message *order = CONTAINER_OF(message, struct worker_message, message);
    switch (order->order) {
    case WORKER_LISTEN:
        start_listening(worker, order);
        free(order);
        break;
    case WORKER_UNLISTEN:
        stop_listening_on(worker, order->address_id);
        free(order);
        break;
    case WORKER_DRAIN:
        drain(worker);
        break;
    case WORKER_CUT:
        gate_close_all(&worker->gate);
        door_close_all(&worker->door);
        http1_server_host_close_all(&worker->servers);
        http2_server_host_close_all(&worker->servers2);
        break;
    case WORKER_PULSE:
        atomic_fetch_add_explicit(&worker->pulse_count, 1, memory_order_release);
        break;
    }
}

static struct http1_server_settings settings_of(const struct conf *conf)
{
    return (struct http1_server_settings){
        .limits = {.head_max = conf->limits.header_size,
                   .line_max = conf->limits.header_line,
                   .fields_max = conf->limits.headers},
        .client_header_us = conf->timeouts.client_header_us,
        .client_body_us = conf->timeouts.client_body_us,
        .client_idle_us = conf->timeouts.client_idle_us,
        .body_max = conf->limits.body,
        .requests_per_connection_max = conf->limits.requests_per_connection,
    };
}

static struct http2_server_settings settings2_of(const struct conf *conf)
{
    return (struct http2_server_settings){
        .limits = {.head_max = conf->limits.header_size,
                   .line_max = conf->limits.header_line,
                   .fields_max = conf->limits.headers},
        .client_header_us = conf->timeouts.client_header_us,
        .client_body_us = conf->timeouts.client_body_us,
        .client_idle_us = conf->timeouts.client_idle_us,
        .body_max = conf->limits.body,
        .requests_per_connection_max = conf->limits.requests_per_connection,
        .streams_max = (uint32_t)conf->limits.streams,
    };
}

void worker_on_publish(struct inbox_message *message, void *context)
{
    struct worker *worker = context;
    struct snapshot *snapshot = CONTAINER_OF(message, struct lease, publish)->snapshot;
    worker->servers.settings = settings_of(snapshot->base->conf);
    worker->servers.settings.pages = snapshot->base->pages;
    worker->servers2.settings = settings2_of(snapshot->base->conf);
    worker->servers2.settings.pages = snapshot->base->pages;
    exchange_host_adopt(&worker->exchanges, snapshot);
}

/* ---- life ---- */

enum err worker_init(struct worker *worker, struct crew *crew, unsigned index,
                     struct worker_cells *cells, struct access_log *access_log,
                     struct inbox *control)
{
    *worker = (struct worker){.crew = crew, .index = index, .cells = cells};
    enum err err = loop_init(&worker->loop);
    if (err != OK) {
        return err;
    }
    err = inbox_init(&worker->inbox, &worker->loop, worker);
    if (err != OK) {
        loop_shutdown(&worker->loop);
        loop_run(&worker->loop);
        loop_finish(&worker->loop);
        return err;
    }
    int status = uv_timer_init(&worker->loop.uv, &worker->drain_timer);
    CHECK(status == 0);
    worker->drain_timer.data = worker;
    list_init(&worker->listeners);
    struct http1_server_settings none = {0};
    struct http2_server_settings none2 = {0};
    http1_server_host_init(&worker->servers, &worker->loop, &worker->exchanges.handler, cells,
                           &none);
    gate_init(&worker->gate, serve, worker, cells);
    http2_server_host_init(&worker->servers2, &worker->loop, &worker->exchanges.handler, cells,
                           &none2);
    door_init(&worker->door, &worker->servers, &worker->servers2, cells);
    exchange_host_init(&worker->exchanges, &worker->loop, index, cells);
    worker->exchanges.access_log = access_log;
    worker->exchanges.control = control;
    return OK;
}

/* Signals are control's. */
static void block_signals(void)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
}

void *worker_run(void *context)
{
    struct worker *worker = context;
    block_signals();
    loop_run(&worker->loop);
    return NULL;
}

/* What was left after the thread had looked for the last time. */
static void answer_late_messages(struct worker *worker)
{
    loop_enter(&worker->loop);
    inbox_drain(&worker->inbox);
    if (worker->exchanges.snapshot != NULL) {
        exchange_host_finish(&worker->exchanges);
    }
    loop_leave(&worker->loop);
}

void worker_finish(struct worker *worker, bool has_run)
{
    if (!has_run) {
        loop_enter(&worker->loop);
        inbox_drain(&worker->inbox);
        drain(worker);
        loop_leave(&worker->loop);
        loop_run(&worker->loop);
    } else {
        answer_late_messages(worker);
    }
    http1_server_host_finish(&worker->servers);
    http2_server_host_finish(&worker->servers2);
    loop_finish(&worker->loop);
}
