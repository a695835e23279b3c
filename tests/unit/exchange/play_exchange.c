#include "tests/unit/exchange/play_exchange.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf/conf_load.h"
#include "proxy/io/tcp_stream.h"

static struct conf *load(const struct stage *stage, const char *lines, const char *service_lines)
{
    char text[4096];
    bool is_rescuing = service_lines != NULL && strstr(service_lines, "rescue:") != NULL;
    int size = snprintf(text, sizeof text,
                        "listen: [{address: 127.0.0.1:8080}]\n"
                        "access_log: off\n%s\n"
                        "services:\n"
                        "  - name: shop\n"
                        "    hosts: [shop.test]\n"
                        "    paths: [/]\n"
                        "    health: off\n"
                        "    previous: {deployment: old, endpoints: [http://127.0.0.1:%u]}\n"
                        "    current: {deployment: new, endpoints: [http://127.0.0.1:%u]}\n"
                        "    weight: 0%%\n%s\n%s",
                        lines != NULL ? lines : "", stage->ports[ROLE_PREVIOUS],
                        stage->ports[ROLE_CURRENT], service_lines != NULL ? service_lines : "",
                        is_rescuing ? "" : "    rescue: off\n");
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    enum err err = conf_load_memory("play.yaml", bytes_make(text, (size_t)size), &errors, &conf);
    conf_errors_print(&errors, stderr);
    assert_int_equal(err, OK);
    conf_errors_finish(&errors);
    return conf;
}

static void on_adopted(struct inbox_message *message, void *context)
{
    (void)message;
    struct stage *stage = context;
    stage->adopted_count++;
}

static void on_home(struct inbox_message *message, void *context)
{
    struct stage *stage = context;
    stage->home_count++;
    snapshot_destroy(CONTAINER_OF(message, struct lease, home)->snapshot);
}

void stage_publish(struct stage *stage, uint32_t weight_ppm, bool has_current)
{
    const struct conf_service *conf = &stage->base->conf->services[0];
    union address addresses[ROLE_COUNT];
    struct snapshot_endpoint_plan endpoints[ROLE_COUNT];
    struct snapshot_service_plan plan = {.service = stage->service,
                                         .conf = conf,
                                         .weight_ppm = weight_ppm,
                                         .rollout = 1,
                                         .is_mirrored = true};
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        addresses[role].v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                                  .sin_port = htons((uint16_t)stage->ports[role]),
                                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
        endpoints[role] = (struct snapshot_endpoint_plan){.endpoint = stage->endpoints[role],
                                                          .authority = stage->endpoints[role]->name,
                                                          .addresses = &addresses[role],
                                                          .address_count = 1};
        if (role == ROLE_PREVIOUS || has_current) {
            plan.versions[role] = (struct snapshot_version_plan){
                stage->versions[role], &endpoints[role], 1, PROXY_PROTOCOL_NONE};
        }
    }
    assert_int_equal(snapshot_create(stage->base, &plan, 1, 1, ++stage->number, &stage->snapshot),
                     OK);
    stage->snapshot->leases[0].adopted.run = on_adopted;
    stage->snapshot->leases[0].home.run = on_home;
    loop_enter(&stage->loop);
    exchange_host_adopt(&stage->exchanges, stage->snapshot);
    loop_leave(&stage->loop);
}

static void make_parts(struct stage *stage)
{
    static const char *const deployments[] = {[ROLE_CURRENT] = "new", [ROLE_PREVIOUS] = "old"};
    assert_int_equal(service_create(BYTES("shop"), 1, &stage->service), OK);
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        char name[32];
        (void)snprintf(name, sizeof name, "127.0.0.1:%u", stage->ports[role]);
        assert_int_equal(version_create(bytes_of(deployments[role]), 1, &stage->versions[role]),
                         OK);
        assert_int_equal(endpoint_create(bytes_of(name), 1, &stage->endpoints[role]), OK);
    }
}

void stage_begin(struct stage *stage, const char *lines, const char *service_lines,
                 uint32_t weight_ppm)
{
    memset(stage, 0, sizeof *stage);
    play_begin(&stage->loop);
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        stage->listening[role] = play_listen(&stage->ports[role]);
    }
    make_parts(stage);
    struct note note;
    assert_int_equal(
        snapshot_base_create(load(stage, lines, service_lines), NULL, &note, &stage->base), OK);
    assert_int_equal(inbox_init(&stage->control, &stage->loop, stage), OK);
    const struct conf *conf = stage->base->conf;
    struct http1_server_settings settings = {
        .limits = {conf->limits.header_size, conf->limits.header_line, conf->limits.headers},
        .client_header_us = conf->timeouts.client_header_us,
        .client_body_us = conf->timeouts.client_body_us,
        .client_idle_us = conf->timeouts.client_idle_us,
    };
    exchange_host_init(&stage->exchanges, &stage->loop, 0, &stage->cells);
    http1_server_host_init(&stage->servers, &stage->loop, &stage->exchanges.handler, &stage->cells,
                           &settings);
    stage->exchanges.control = &stage->control;
    stage_publish(stage, weight_ppm, true);
}

static void assert_all_gone(const struct stage *stage)
{
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        const struct endpoint_cells *cells = stage_endpoint(stage, (enum role)role);
        assert_int_equal(cell_read(&cells->in_flight), 0);
        assert_int_equal(cell_read(&cells->connections[METRIC_CONNECTION_ACTIVE]), 0);
        assert_int_equal(cell_read(&cells->connections[METRIC_CONNECTION_IDLE]), 0);
        assert_int_equal(cell_read(&stage_service(stage)->in_flight[role]), 0);
        assert_true(endpoint_is_unused(stage->endpoints[role]));
    }
    assert_int_equal(cell_read(&stage->cells.client_connections[METRIC_CONNECTION_ACTIVE]), 0);
    assert_int_equal(cell_read(&stage->cells.client_connections[METRIC_CONNECTION_IDLE]), 0);
}

void stage_end(struct stage *stage)
{
    loop_enter(&stage->loop);
    http1_server_host_close_all(&stage->servers);
    loop_leave(&stage->loop);
    play_until(&stage->loop, stage->servers.connection_count == 0);
    assert_int_equal(stage->exchanges.exchange_count, 0);
    loop_enter(&stage->loop);
    exchange_host_finish(&stage->exchanges);
    loop_leave(&stage->loop);
    play_until(&stage->loop, stage->loop.stream_count == 0);
    play_until(&stage->loop, stage->home_count == stage->number);
    assert_true(list_is_empty(&stage->exchanges.upstream.seats));
    assert_all_gone(stage);
    http1_server_host_finish(&stage->servers);
    service_unref(stage->service);
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        version_unref(stage->versions[role]);
        endpoint_unref(stage->endpoints[role]);
        (void)close(stage->listening[role]);
    }
    snapshot_base_unref(stage->base);
    inbox_close(&stage->control, NULL);
    play_end(&stage->loop);
}

void stage_connect(struct stage *stage, struct peer *client)
{
    int fds[2];
    struct stream *stream;
    struct ip ip = {0};
    play_tcp_pair(fds);
    peer_init(client, fds[1]);
    loop_enter(&stage->loop);
    assert_int_equal(tcp_stream_open(&stage->loop, fds[0], &stream), OK);
    assert_int_equal(http1_server_open(&stage->servers, stream, &ip, 1), OK);
    loop_leave(&stage->loop);
}

struct version_cells *stage_version(const struct stage *stage, enum role role)
{
    return block_cells(stage->versions[role]->cells, 0);
}

struct service_cells *stage_service(const struct stage *stage)
{
    return block_cells(stage->service->cells, 0);
}

struct endpoint_cells *stage_endpoint(const struct stage *stage, enum role role)
{
    return block_cells(stage->endpoints[role]->cells, 0);
}

uint64_t stage_requests(const struct stage *stage, unsigned code)
{
    uint64_t sum = 0;
    for (size_t method = 0; method < METRIC_METHOD_COUNT; method++) {
        sum += cell_read(&stage_service(stage)->requests[metric_code_slot(code)][method]);
    }
    return sum;
}
