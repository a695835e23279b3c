/* Workers on threads of their own: snapshots go out and come home, addresses come and go, drains
 * end. The origin is a thread too, and blocks. */
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/conf_load.h"
#include "proxy/worker/crew.h"
#include "tests/support/loop_play.h"

enum { WORKERS = 3, WHOLE = 1000000 };

static struct loop loop;
static struct crew *crew;
static struct peer client;
static struct service *service;
static struct version *version;
static struct endpoint *endpoint;
static struct snapshot_base *base;
static uint64_t number;
static uint64_t adopted_number;
static size_t home_count;
static int listening;
static unsigned origin_port;
static pthread_t origin_thread;
static atomic_bool is_origin_slow;

/* ---- the origin: answers each connection's requests until it ends ---- */

static void answer_all(int fd)
{
    char text[4096];
    size_t size = 0;
    for (;;) {
        ssize_t got = recv(fd, text + size, sizeof text - size, 0);
        if (got <= 0) {
            break;
        }
        size += (size_t)got;
        if (size >= 4 && memcmp(text + size - 4, "\r\n\r\n", 4) == 0) {
            static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
            while (atomic_load(&is_origin_slow)) {
                (void)poll(NULL, 0, 1);
            }
            (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
            size = 0;
        }
    }
    (void)close(fd);
}

static void *serve_connection(void *context)
{
    answer_all((int)(intptr_t)context);
    return NULL;
}

static void *serve_origin(void *context)
{
    (void)context;
    for (;;) {
        struct pollfd news = {listening, POLLIN, 0};
        (void)poll(&news, 1, -1);
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            return NULL; /* shut down */
        }
        pthread_t thread;
        if (pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)fd) == 0) {
            (void)pthread_detach(thread);
        }
    }
}

/* ---- control ---- */

static void on_adopted(void *context, const struct snapshot *snapshot)
{
    (void)context;
    adopted_number = snapshot->number;
}

static void on_home(void *context, const struct snapshot *snapshot)
{
    (void)context;
    (void)snapshot;
    home_count++;
}

static const struct crew_ops ops = {on_adopted, on_home};

static struct conf *load(const char *listen)
{
    char text[1024];
    struct conf_errors errors;
    struct conf *conf = NULL;
    int size = snprintf(text, sizeof text,
                        "listen: [%s]\naccess_log: off\nservices:\n  - name: shop\n"
                        "    hosts: [\"*\"]\n    paths: [/]\n    health: off\n"
                        "    previous: {deployment: old, endpoints: [http://127.0.0.1:%u]}\n",
                        listen, origin_port);
    conf_errors_init(&errors);
    enum err err = conf_load_memory("play.yaml", bytes_make(text, (size_t)size), &errors, &conf);
    conf_errors_print(&errors, stderr);
    assert_int_equal(err, OK);
    conf_errors_finish(&errors);
    return conf;
}

static void publish(void)
{
    union address address;
    address.v4 = (struct sockaddr_in){.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)origin_port),
                                      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    struct snapshot_endpoint_plan target = {endpoint, endpoint->name, &address, 1, NULL};
    struct snapshot_service_plan plan = {
        .service = service, .conf = &base->conf->services[0], .rollout = 1};
    plan.versions[ROLE_PREVIOUS] =
        (struct snapshot_version_plan){version, &target, 1, PROXY_PROTOCOL_NONE};
    struct snapshot *snapshot = NULL;
    assert_int_equal(snapshot_create(base, &plan, 1, WORKERS, ++number, &snapshot), OK);
    crew_publish(crew, snapshot);
}

/* Port 0 is no address of a configuration: a free one is looked for. */
static unsigned free_port(void)
{
    unsigned port;
    int fd = play_listen(&port);
    (void)close(fd);
    return port;
}

static unsigned listen_on_free(void)
{
    char text[64];
    struct note note = {""};
    unsigned port = free_port();
    (void)snprintf(text, sizeof text, "{address: \"127.0.0.1:%u\"}", port);
    struct conf *conf = load(text);
    struct crew_binding *binding = NULL;
    enum err err = crew_bind(crew, conf, &note, &binding);
    assert_string_equal(note.text, "");
    assert_int_equal(err, OK);
    crew_listen(crew, binding);
    conf_destroy(conf);
    assert_int_equal(crew_port(crew, 0), port);
    return port;
}

static int set_up(void **state)
{
    (void)state;
    char name[32];
    struct note note;
    number = adopted_number = 0;
    home_count = 0;
    atomic_store(&is_origin_slow, false);
    play_begin(&loop);
    listening = play_listen(&origin_port);
    assert_int_equal(pthread_create(&origin_thread, NULL, serve_origin, NULL), 0);
    (void)snprintf(name, sizeof name, "127.0.0.1:%u", origin_port);
    assert_int_equal(service_create(BYTES("shop"), WORKERS, &service), OK);
    assert_int_equal(version_create(BYTES("old"), WORKERS, &version), OK);
    assert_int_equal(endpoint_create(bytes_of(name), WORKERS, &endpoint), OK);
    assert_int_equal(snapshot_base_create(load("{address: \"127.0.0.1:1\"}"), NULL, &note, &base),
                     OK);
    assert_int_equal(crew_create(&loop, WORKERS, NULL, &ops, NULL, &crew), OK);
    publish();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_close(&client);
    crew_destroy(crew);
    assert_int_equal(home_count, number);
    assert_true(endpoint_is_unused(endpoint));
    service_unref(service);
    version_unref(version);
    endpoint_unref(endpoint);
    snapshot_base_unref(base);
    (void)shutdown(listening, SHUT_RDWR);
    assert_int_equal(pthread_join(origin_thread, NULL), 0);
    (void)close(listening);
    play_end(&loop);
    return 0;
}

static void ask(unsigned port)
{
    peer_connect(&client, port);
    peer_send(&loop, &client, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
}

static void ask_and_close(unsigned port)
{
    ask(port);
    peer_expect(&loop, &client, "fine");
    peer_close(&client);
}

static uint64_t served(void)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < WORKERS; i++) {
        const struct version_cells *cells = block_cells(version->cells, i);
        sum += cell_read(&cells->ok);
    }
    return sum;
}

static void requests_are_served_and_counted_by_whoever_gets_them(void **state)
{
    (void)state;
    enum { MANY = 60 };
    assert_int_equal(crew_start(crew), OK);
    unsigned port = listen_on_free();
    for (int i = 0; i < MANY; i++) {
        ask_and_close(port);
    }
    assert_int_equal(served(), MANY);
}

static void a_snapshot_is_adopted_by_all_and_the_old_one_comes_home(void **state)
{
    (void)state;
    assert_int_equal(crew_start(crew), OK);
    play_until(&loop, adopted_number == 1);
    for (uint64_t next = 2; next < 50; next++) {
        publish();
        play_until(&loop, adopted_number == next);
        play_until(&loop, home_count == next - 1);
    }
}

static void a_request_under_way_keeps_its_snapshot(void **state)
{
    (void)state;
    atomic_store(&is_origin_slow, true);
    assert_int_equal(crew_start(crew), OK);
    unsigned port = listen_on_free();
    ask(port);
    play_until(&loop, !endpoint_is_unused(endpoint));
    publish();
    play_until(&loop, adopted_number == 2);
    play_settle(&loop);
    assert_int_equal(home_count, 0);
    atomic_store(&is_origin_slow, false);
    peer_expect(&loop, &client, "fine");
    play_until(&loop, home_count == 1);
}

static void snapshots_may_change_under_traffic(void **state)
{
    (void)state;
    assert_int_equal(crew_start(crew), OK);
    unsigned port = listen_on_free();
    for (int i = 0; i < 100; i++) {
        publish();
        ask_and_close(port);
    }
    assert_int_equal(served(), 100);
    play_until(&loop, home_count == number - 1);
}

static void addresses_come_and_go(void **state)
{
    (void)state;
    assert_int_equal(crew_start(crew), OK);
    unsigned first = listen_on_free();
    ask_and_close(first);
    unsigned second = listen_on_free();
    ask_and_close(second);
    /* The first one closes when every worker has got to it. */
    for (;;) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)first),
                                      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int status = connect(fd, (struct sockaddr *)&address, sizeof address);
        (void)close(fd);
        if (status != 0) {
            break;
        }
        play_step(&loop);
    }
    ask_and_close(second);
}

static void an_address_that_is_taken_changes_nothing(void **state)
{
    (void)state;
    char text[128];
    struct note note = {""};
    unsigned taken_port;
    int taken = play_listen(&taken_port);
    assert_int_equal(crew_start(crew), OK);
    unsigned port = listen_on_free();
    (void)snprintf(text, sizeof text, "{address: \"127.0.0.1:%u\"}, {address: \"127.0.0.1:%u\"}",
                   free_port(), taken_port);
    struct conf *conf = load(text);
    struct crew_binding *binding = NULL;
    assert_int_not_equal(crew_bind(crew, conf, &note, &binding), OK);
    assert_null(binding);
    (void)close(taken);
    assert_true(note.text[0] != '\0');
    conf_destroy(conf);
    assert_int_equal(crew_port(crew, 0), port);
    ask_and_close(port);
}

static void a_binding_that_is_given_up_changes_nothing(void **state)
{
    (void)state;
    char text[64];
    struct note note = {""};
    struct crew_binding *binding = NULL;
    assert_int_equal(crew_start(crew), OK);
    unsigned port = listen_on_free();
    (void)snprintf(text, sizeof text, "{address: \"127.0.0.1:%u\"}", free_port());
    struct conf *conf = load(text);
    assert_int_equal(crew_bind(crew, conf, &note, &binding), OK);
    crew_unbind(crew, binding);
    conf_destroy(conf);
    assert_int_equal(crew_port(crew, 0), port);
    ask_and_close(port);
}

static void a_drain_waits_for_requests_and_then_ends(void **state)
{
    (void)state;
    atomic_store(&is_origin_slow, true);
    assert_int_equal(crew_start(crew), OK);
    unsigned port = listen_on_free();
    ask(port);
    play_until(&loop, !endpoint_is_unused(endpoint));
    crew_drain(crew);
    crew_drain(crew);
    play_settle(&loop);
    assert_false(crew_has_ended(crew));
    atomic_store(&is_origin_slow, false);
    peer_expect(&loop, &client, "fine");
    peer_expect_end(&loop, &client);
    peer_close(&client);
    play_until(&loop, crew_has_ended(crew));
}

static void a_cut_waits_for_nobody(void **state)
{
    (void)state;
    atomic_store(&is_origin_slow, true);
    assert_int_equal(crew_start(crew), OK);
    unsigned port = listen_on_free();
    ask(port);
    play_until(&loop, !endpoint_is_unused(endpoint));
    crew_drain(crew);
    crew_cut(crew);
    crew_cut(crew);
    peer_expect_end(&loop, &client);
    play_until(&loop, crew_has_ended(crew));
    atomic_store(&is_origin_slow, false);
}

static void what_is_left_to_an_ended_crew_is_not_lost(void **state)
{
    (void)state;
    assert_int_equal(crew_start(crew), OK);
    crew_drain(crew);
    play_until(&loop, crew_has_ended(crew));
    publish();
    (void)listen_on_free();
}

static void a_crew_that_never_started_lets_go_of_everything(void **state)
{
    (void)state;
    (void)listen_on_free();
    publish();
}

static void too_many_connections_are_closed_and_counted(void **state)
{
    (void)state;
    assert_int_equal(crew_start(crew), OK);
    unsigned port = listen_on_free();
    crew_set_connection_max(crew, 0);
    assert_true(crew_is_full(crew));
    ask(port);
    peer_expect_end(&loop, &client);
    uint64_t refused = 0;
    for (size_t i = 0; i < WORKERS; i++) {
        const struct worker_cells *cells =
            block_cells((struct block *)(uintptr_t)crew_cells(crew), i);
        refused += cell_read(&cells->rejected_connections[METRIC_REFUSED_LIMIT]);
    }
    assert_int_equal(refused, 1);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void a_pulse_is_there_when_every_worker_has_answered(void **state)
{
    unsigned silent = WORKERS;
    (void)state;
    assert_true(crew_has_pulse(crew, &silent));
    assert_int_equal(crew_start(crew), OK);
    for (int i = 0; i < 20; i++) {
        crew_ask_pulse(crew);
        play_until(&loop, crew_has_pulse(crew, &silent));
    }
    crew_ask_pulse(crew);
    crew_drain(crew);
    assert_true(crew_has_pulse(crew, &silent));
    crew_ask_pulse(crew); /* whose loops may have ended: nobody is asked */
}

/* A socket as a service manager passes it, which stays open here; gives its port. */
static unsigned pass_socket(int *ret_own, struct inherited **ret_inherited)
{
    enum { FIRST = 200 };
    struct note note = {""};
    char pid[24];
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    struct inherited_words words = {pid, "1", "web"};
    assert_int_equal(listener_bind("127.0.0.1:0", 128, ret_own, &note), OK);
    assert_int_equal(dup2(*ret_own, FIRST), FIRST);
    assert_int_equal(inherited_create(&words, FIRST, &note, ret_inherited), OK);
    return listener_port(*ret_own);
}

static void listen_on(unsigned port)
{
    char text[64];
    struct note note = {""};
    struct crew_binding *binding = NULL;
    (void)snprintf(text, sizeof text, "{address: \"127.0.0.1:%u\"}", port);
    struct conf *conf = load(text);
    assert_int_equal(crew_bind(crew, conf, &note, &binding), OK);
    crew_listen(crew, binding);
    conf_destroy(conf);
}

static void a_passed_socket_is_served_by_all_and_outlives_them(void **state)
{
    enum { MANY = 60 };
    struct inherited *inherited = NULL;
    int own = -1;
    (void)state;
    unsigned port = pass_socket(&own, &inherited);
    crew_inherit(crew, inherited);
    assert_int_equal(crew_start(crew), OK);
    ask(port); /* waits: nobody accepts yet */
    listen_on(port);
    peer_expect(&loop, &client, "fine");
    peer_close(&client);
    for (int i = 0; i < MANY; i++) {
        ask_and_close(port);
    }
    assert_int_equal(served(), MANY + 1);
    crew_drain(crew);
    play_until(&loop, crew_has_ended(crew));
    struct sockaddr_in next = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    next.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&next, sizeof next), 0);
    int accepted = -1;
    play_until(&loop, (accepted = accept4(own, NULL, NULL, SOCK_CLOEXEC)) >= 0);
    (void)close(accepted);
    (void)close(fd);
    (void)close(own);
    inherited_destroy(inherited);
}

int main(void)
{
    client.fd = -1;
    const struct CMUnitTest tests[] = {
        PLAY(requests_are_served_and_counted_by_whoever_gets_them),
        PLAY(a_snapshot_is_adopted_by_all_and_the_old_one_comes_home),
        PLAY(a_request_under_way_keeps_its_snapshot),
        PLAY(snapshots_may_change_under_traffic),
        PLAY(addresses_come_and_go),
        PLAY(an_address_that_is_taken_changes_nothing),
        PLAY(a_binding_that_is_given_up_changes_nothing),
        PLAY(a_drain_waits_for_requests_and_then_ends),
        PLAY(a_cut_waits_for_nobody),
        PLAY(what_is_left_to_an_ended_crew_is_not_lost),
        PLAY(a_crew_that_never_started_lets_go_of_everything),
        PLAY(too_many_connections_are_closed_and_counted),
        PLAY(a_pulse_is_there_when_every_worker_has_answered),
        PLAY(a_passed_socket_is_served_by_all_and_outlives_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
