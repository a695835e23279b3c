/* A request's life through a real server, a real pool and scripted origins: what the client gets,
 * what is counted, and that everything comes home. */
#include "tests/unit/exchange/play_exchange.h"

#include <stdlib.h>
#include <unistd.h>

enum { WHOLE = 1000000 };

#define GET(path)  "GET " path " HTTP/1.1\r\nHost: shop.test\r\n\r\n"
#define OK_ANSWER  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
#define BAD_ANSWER "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"

static struct stage stage;
static struct peer client;
static struct peer origin;

static void begin(const char *lines, const char *service_lines, uint32_t weight_ppm)
{
    stage_begin(&stage, lines, service_lines, weight_ppm);
    stage_connect(&stage, &client);
    origin.fd = -1;
}

static int set_up(void **state)
{
    (void)state;
    begin(NULL, "    sticky: {by: none}", WHOLE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_close(&client);
    peer_close(&origin);
    stage_end(&stage);
    return 0;
}

/* The client asks; the request arrives at the origin, on a new connection if it has none. */
static void ask(const char *request, enum role role, const char *expected)
{
    peer_clear(&client);
    peer_send(&stage.loop, &client, request);
    if (origin.fd < 0) {
        peer_accept(&stage.loop, &origin, stage.listening[role]);
    }
    peer_expect(&stage.loop, &origin, expected);
    peer_clear(&origin);
}

static uint64_t ok_of(enum role role)
{
    return cell_read(&stage_version(&stage, role)->ok);
}

static uint64_t err_of(enum role role)
{
    return cell_read(&stage_version(&stage, role)->err);
}

static uint64_t failures(enum metric_failure kind)
{
    return cell_read(&stage_service(&stage)->upstream_failures[ROLE_CURRENT][kind]);
}

static uint64_t attempts(unsigned code)
{
    return cell_read(&stage_endpoint(&stage, ROLE_CURRENT)->attempts[metric_code_slot(code)]);
}

static uint64_t idle_connections(void)
{
    return cell_read(&stage_endpoint(&stage, ROLE_CURRENT)->connections[METRIC_CONNECTION_IDLE]);
}

/* ---- the plain way ---- */

static void an_answer_is_passed_on_and_counted(void **state)
{
    (void)state;
    ask(GET("/a"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(ok_of(ROLE_CURRENT), 1);
    assert_int_equal(err_of(ROLE_CURRENT), 0);
    assert_int_equal(stage_requests(&stage, 200), 1);
    assert_int_equal(attempts(200), 1);
    assert_int_equal(cell_read(&stage_service(&stage)->response_bytes[ROLE_CURRENT]), 4);
    assert_int_equal(idle_connections(), 1);
}

static void requests_of_many_clients_reuse_one_connection(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        ask(GET("/a"), ROLE_CURRENT, "\r\n\r\n");
        peer_send(&stage.loop, &origin, OK_ANSWER);
        peer_expect(&stage.loop, &client, "fine");
        peer_close(&client);
        stage_connect(&stage, &client);
    }
    assert_int_equal(idle_connections(), 1);
    assert_int_equal(ok_of(ROLE_CURRENT), 5);
}

static void pipelined_requests_share_a_connection_in_order(void **state)
{
    (void)state;
    ask(GET("/1") GET("/2") GET("/3"), ROLE_CURRENT, "GET /1");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    peer_expect(&stage.loop, &origin, "GET /2");
    peer_send(&stage.loop, &origin,
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n2\r\n0\r\n\r\n");
    peer_expect(&stage.loop, &origin, "GET /3");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3");
    peer_expect(&stage.loop, &client, "\r\n\r\n3");
    assert_int_equal(stage_requests(&stage, 200), 3);
}

static void trailers_are_passed_on(void **state)
{
    (void)state;
    ask(GET("/1") GET("/2"), ROLE_CURRENT, "GET /1");
    peer_send(&stage.loop, &origin,
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
              "1\r\n2\r\n0\r\nX-Sum: 7\r\n\r\n");
    peer_expect(&stage.loop, &client, "X-Sum: 7\r\n\r\n");
    peer_close(&origin);
    ask("", ROLE_CURRENT, "GET /2"); /* the first connection was still being read */
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
}

static void weight_splits_exactly(void **state)
{
    (void)state;
    enum { ROUNDS = 20, QUARTER = 250000 };
    static struct peer origins[ROLE_COUNT];
    stage_publish(&stage, QUARTER, true);
    origins[ROLE_CURRENT].fd = -1;
    origins[ROLE_PREVIOUS].fd = -1;
    size_t seen[ROLE_COUNT] = {0};
    for (int i = 0; i < ROUNDS; i++) {
        peer_clear(&client);
        peer_send(&stage.loop, &client, GET("/"));
        uint64_t before = cell_read(&stage_service(&stage)->picks[ROLE_CURRENT]);
        play_until(&stage.loop,
                   cell_read(&stage_service(&stage)->in_flight[ROLE_CURRENT]) +
                           cell_read(&stage_service(&stage)->in_flight[ROLE_PREVIOUS]) >
                       0);
        enum role role = cell_read(&stage_service(&stage)->in_flight[ROLE_CURRENT]) > 0
                             ? ROLE_CURRENT
                             : ROLE_PREVIOUS;
        (void)before;
        seen[role]++;
        if (origins[role].fd < 0) {
            peer_accept(&stage.loop, &origins[role], stage.listening[role]);
        }
        peer_expect(&stage.loop, &origins[role], "\r\n\r\n");
        peer_clear(&origins[role]);
        peer_send(&stage.loop, &origins[role], OK_ANSWER);
        peer_expect(&stage.loop, &client, "fine");
    }
    assert_int_equal(seen[ROLE_CURRENT], ROUNDS / 4);
    assert_int_equal(cell_read(&stage_service(&stage)->picks[ROLE_CURRENT]), ROUNDS / 4);
    peer_close(&origins[ROLE_CURRENT]);
    peer_close(&origins[ROLE_PREVIOUS]);
}

static void an_unknown_host_gets_404(void **state)
{
    (void)state;
    peer_send(&stage.loop, &client, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 404 ");
    assert_int_equal(cell_read(&stage.cells.rejected_requests[REJECT_NO_ROUTE]), 1);
}

static void a_body_streams_to_the_origin(void **state)
{
    (void)state;
    ask("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        ROLE_CURRENT, "abc");
    peer_send(&stage.loop, &client, "3\r\ndef\r\n0\r\n\r\n");
    peer_expect(&stage.loop, &origin, "def\r\n0\r\n\r\n");
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(cell_read(&stage_service(&stage)->request_bytes[ROLE_CURRENT]), 6);
    assert_int_equal(idle_connections(), 1);
}

static void interim_answers_are_passed_on(void **state)
{
    (void)state;
    ask("PUT / HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n",
        ROLE_CURRENT, "100-continue");
    peer_send(&stage.loop, &origin, "HTTP/1.1 100 Continue\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 100 ");
    peer_send(&stage.loop, &client, "ab");
    peer_expect(&stage.loop, &origin, "ab");
    peer_send(&stage.loop, &origin, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    assert_true(peer_has(&client, "HTTP/1.1 103 "));
    assert_int_equal(stage_requests(&stage, 200), 1);
}

/* ---- failures ---- */

static void a_5xx_counts_once_and_is_passed_on(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, BAD_ANSWER);
    peer_expect(&stage.loop, &client, "oops");
    assert_int_equal(err_of(ROLE_CURRENT), 1);
    assert_int_equal(ok_of(ROLE_CURRENT), 0);
    assert_int_equal(failures(METRIC_FAILURE_ORIGIN_5XX), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->client_bad), 1);
    assert_int_equal(cell_read(&stage_service(&stage)->client_bad_responses[ROLE_CURRENT]), 1);
}

static void a_refused_connection_is_502_and_connect(void **state)
{
    (void)state;
    (void)close(stage.listening[ROLE_CURRENT]);
    peer_send(&stage.loop, &client, GET("/"));
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(err_of(ROLE_CURRENT), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->connect_err), 1);
    assert_int_equal(failures(METRIC_FAILURE_CONNECT), 1);
    assert_int_equal(attempts(0), 1);
    stage.listening[ROLE_CURRENT] = dup(stage.listening[ROLE_PREVIOUS]);
}

static void silence_is_504_and_timeout(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    play_turn(&stage.loop, 14000);
    peer_look(&client);
    assert_int_equal(client.size, 0);
    play_turn(&stage.loop, 1000);
    peer_expect(&stage.loop, &client, "HTTP/1.1 504 ");
    assert_int_equal(failures(METRIC_FAILURE_TIMEOUT), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->connect_err), 1);
}

static void a_malformed_answer_is_502(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 20 OK\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(failures(METRIC_FAILURE_BAD_RESPONSE), 1);
    assert_int_equal(err_of(ROLE_CURRENT), 1);
    assert_int_equal(idle_connections(), 0);
}

static void an_answer_that_cannot_be_passed_on_is_502(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin,
              "HTTP/1.1 200 OK\r\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s\r\n"
              "Content-Length: 0\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(stage_requests(&stage, 502), 1);
    assert_int_equal(err_of(ROLE_CURRENT), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->client_bad), 1);
}

static void a_truncated_body_cuts_the_client(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfine");
    peer_expect(&stage.loop, &client, "fine");
    peer_close(&origin);
    peer_expect_end(&stage.loop, &client);
    assert_int_equal(err_of(ROLE_CURRENT), 1);
    assert_int_equal(ok_of(ROLE_CURRENT), 0);
    assert_int_equal(failures(METRIC_FAILURE_BAD_RESPONSE), 1);
    assert_int_equal(cell_read(&stage_service(&stage)->client_bad_responses[ROLE_CURRENT]), 1);
}

static void a_failed_answer_that_breaks_off_is_bad_once(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\noops");
    peer_expect(&stage.loop, &client, "oops");
    peer_close(&origin);
    peer_expect_end(&stage.loop, &client);
    assert_int_equal(err_of(ROLE_CURRENT), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->client_bad), 1);
    assert_int_equal(cell_read(&stage_service(&stage)->client_bad_responses[ROLE_CURRENT]), 1);
}

static void a_stream_counts_as_good_after_a_second(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfine");
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(ok_of(ROLE_CURRENT), 0);
    play_turn(&stage.loop, 1000);
    assert_int_equal(ok_of(ROLE_CURRENT), 1);
    peer_close(&origin);
    peer_expect_end(&stage.loop, &client);
    assert_int_equal(err_of(ROLE_CURRENT), 1);
    assert_int_equal(ok_of(ROLE_CURRENT), 1);
}

static void a_client_that_leaves_counts_nothing(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_reset(&client);
    peer_expect_end(&stage.loop, &origin);
    assert_int_equal(ok_of(ROLE_CURRENT) + err_of(ROLE_CURRENT), 0);
    assert_int_equal(stage_requests(&stage, 0), 1);
    assert_int_equal(attempts(0), 1);
}

static void an_early_answer_before_a_hang_up_is_heard(void **state)
{
    (void)state;
    static char bytes[64 * 1024];
    ask("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 9000000\r\n\r\n", ROLE_CURRENT,
        "\r\n\r\n");
    for (int i = 0; i < 10; i++) {
        peer_send_bytes(&stage.loop, &client, bytes_make(bytes, sizeof bytes));
    }
    peer_send(&stage.loop, &origin,
              "HTTP/1.1 413 Enough\r\nContent-Length: 6\r\nConnection: close\r\n\r\nenough");
    peer_close(&origin); /* with bytes unread: a reset */
    peer_expect_end(&stage.loop, &client);
    assert_true(peer_has(&client, "HTTP/1.1 413 ") || peer_has(&client, "HTTP/1.1 502 "));
    assert_int_equal(stage.exchanges.exchange_count, 0);
}

/* ---- retries ---- */

/* Leaves one idle connection in the pool, which the origin then closes unseen. */
static void leave_stale_connection(void)
{
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    play_settle(&stage.loop);
    assert_int_equal(idle_connections(), 1);
}

/* The request goes out on the pooled connection, and only then is that seen to be closed. */
static void send_then_close(const char *request, const char *expected)
{
    peer_clear(&client);
    peer_send(&stage.loop, &client, request);
    peer_expect(&stage.loop, &origin, expected);
    peer_close(&origin);
}

static void a_stale_connection_is_retried_once(void **state)
{
    (void)state;
    leave_stale_connection();
    send_then_close(GET("/again"), "GET /again");
    ask("", ROLE_CURRENT, "GET /again");
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(err_of(ROLE_CURRENT), 0);
    assert_int_equal(ok_of(ROLE_CURRENT), 2);
    assert_int_equal(attempts(0), 1);
    assert_int_equal(attempts(200), 2);
    assert_int_equal(stage_requests(&stage, 200), 2);
}

static void a_post_on_a_stale_connection_is_502(void **state)
{
    (void)state;
    leave_stale_connection();
    send_then_close("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n", "POST");
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(err_of(ROLE_CURRENT), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->connect_err), 0);
}

static void a_retried_body_follows_its_head(void **state)
{
    (void)state;
    leave_stale_connection();
    send_then_close("PUT / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\n", "PUT");
    peer_send(&stage.loop, &client, "body");
    peer_accept(&stage.loop, &origin, stage.listening[ROLE_CURRENT]);
    peer_expect(&stage.loop, &origin, "body");
    assert_memory_equal(origin.text, "PUT / HTTP/1.1\r\n", 16);
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
}

static void a_body_that_was_sent_is_never_sent_again(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "PUT / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody",
        "PUT / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    static const char *const ends[] = {"body", "0\r\n\r\n"};
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        leave_stale_connection();
        send_then_close(requests[i], ends[i]);
        peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    }
    assert_int_equal(attempts(0), 2);
}

static void a_retry_finds_room_under_the_cap(void **state)
{
    (void)state;
    stage.exchanges.upstream.open_max = 1;
    leave_stale_connection();
    send_then_close(GET("/again"), "GET /again");
    ask("", ROLE_CURRENT, "GET /again");
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
}

static void the_cap_is_503_and_blames_nobody(void **state)
{
    (void)state;
    static struct peer second;
    stage.exchanges.upstream.open_max = 1;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    stage_connect(&stage, &second);
    peer_send(&stage.loop, &second, GET("/"));
    peer_expect(&stage.loop, &second, "HTTP/1.1 503 ");
    assert_int_equal(err_of(ROLE_CURRENT), 0);
    assert_int_equal(cell_read(&stage.cells.rejected_requests[REJECT_UPSTREAM_LIMIT]), 1);
    peer_close(&second);
}

static void bytes_behind_an_answer_spoil_the_connection(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(idle_connections(), 0);
    peer_close(&origin);
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    assert_false(peer_has(&client, "evil"));
}

/* ---- total ---- */

static void total_ends_a_slow_origin_with_504(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    play_turn(&stage.loop, 3000);
    peer_expect(&stage.loop, &client, "HTTP/1.1 504 ");
    assert_int_equal(err_of(ROLE_CURRENT), 1);
}

static void total_blames_no_origin_for_a_slow_client(void **state)
{
    (void)state;
    ask("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 9\r\n\r\nslow", ROLE_CURRENT,
        "slow");
    play_turn(&stage.loop, 3000);
    peer_expect(&stage.loop, &client, "HTTP/1.1 408 ");
    assert_int_equal(err_of(ROLE_CURRENT), 0);
}

static void total_cuts_an_answer_under_way(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfine");
    peer_expect(&stage.loop, &client, "fine");
    play_turn(&stage.loop, 3000);
    peer_expect_end(&stage.loop, &client);
    assert_int_equal(failures(METRIC_FAILURE_TIMEOUT), 1);
}

static int set_up_total(void **state)
{
    (void)state;
    begin("timeouts: {total: 3s}", "    sticky: {by: none}", WHOLE);
    return 0;
}

/* ---- tunnels ---- */

#define UPGRADE                                                                                    \
    "GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"

static void open_tunnel(void)
{
    ask(UPGRADE, ROLE_CURRENT, "Upgrade: echo");
    peer_send(&stage.loop, &origin, SWITCH "early");
    peer_expect(&stage.loop, &client, "early");
    peer_send(&stage.loop, &client, "ping");
    peer_expect(&stage.loop, &origin, "ping");
}

static void a_tunnel_carries_both_ways_and_ends_at_both(void **state)
{
    (void)state;
    open_tunnel();
    assert_int_equal(ok_of(ROLE_CURRENT), 0);
    play_turn(&stage.loop, 1000);
    assert_int_equal(ok_of(ROLE_CURRENT), 1);
    peer_finish(&client);
    peer_expect_end(&stage.loop, &origin);
    peer_send(&stage.loop, &origin, "goodbye");
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "goodbye");
    peer_expect_end(&stage.loop, &client);
    assert_false(client.is_reset);
    play_until(&stage.loop, stage.exchanges.exchange_count == 0);
    assert_int_equal(idle_connections(), 0);
    assert_int_equal(ok_of(ROLE_CURRENT), 1);
    assert_int_equal(err_of(ROLE_CURRENT), 0);
}

static void the_client_goes_on_when_the_origin_has_finished(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    open_tunnel();
    peer_finish(&origin);
    peer_expect_end(&stage.loop, &client);
    char *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    size_t sent = 0;
    size_t got = 0;
    while (got < SIZE) {
        if (sent < SIZE) {
            ssize_t size = send(client.fd, bytes + sent, SIZE - sent, MSG_NOSIGNAL);
            sent += size > 0 ? (size_t)size : 0;
        }
        /* Read only when the way is blocked, so that it has to drain. */
        if (sent == SIZE || got % 2 == 0) {
            peer_clear(&origin);
            peer_look(&origin);
            got += origin.size;
        }
        play_step(&stage.loop);
    }
    free(bytes);
    peer_finish(&client);
    play_until(&stage.loop, stage.exchanges.exchange_count == 0);
    assert_int_equal(idle_connections(), 0);
}

static void a_tunnel_that_breaks_is_no_failure(void **state)
{
    (void)state;
    open_tunnel();
    peer_reset(&origin);
    peer_expect_end(&stage.loop, &client);
    assert_int_equal(err_of(ROLE_CURRENT), 0);
    assert_int_equal(cell_read(&stage_service(&stage)->client_bad_responses[ROLE_CURRENT]), 0);
}

static void a_switch_before_the_request_has_ended_is_the_clients_fault(void **state)
{
    (void)state;
    ask("POST / HTTP/1.1\r\nHost: shop.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
        "Content-Length: 9\r\n\r\npart",
        ROLE_CURRENT, "part");
    peer_send(&stage.loop, &origin, SWITCH);
    peer_expect(&stage.loop, &client, "HTTP/1.1 400 ");
    assert_int_equal(err_of(ROLE_CURRENT), 0);
    assert_int_equal(ok_of(ROLE_CURRENT), 0);
    assert_int_equal(failures(METRIC_FAILURE_BAD_RESPONSE), 0);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->client_bad), 0);
}

/* ---- snapshots ---- */

static void a_lease_comes_home_with_its_last_request(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    stage_publish(&stage, 0, true);
    play_settle(&stage.loop);
    assert_int_equal(stage.adopted_count, 2);
    assert_int_equal(stage.home_count, 0);
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    play_until(&stage.loop, stage.home_count == 1);
    peer_close(&origin);
    ask(GET("/"), ROLE_PREVIOUS, "\r\n\r\n");
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
}

static void an_endpoint_no_longer_named_is_let_go(void **state)
{
    (void)state;
    leave_stale_connection();
    stage_publish(&stage, 0, false);
    play_until(&stage.loop, endpoint_is_unused(stage.endpoints[ROLE_CURRENT]));
    assert_true(list_is_empty(&stage.exchanges.upstream.seats));
    peer_expect_end(&stage.loop, &origin);
}

static void a_request_under_way_keeps_no_connection_behind(void **state)
{
    (void)state;
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    stage_publish(&stage, 0, false);
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    play_until(&stage.loop, endpoint_is_unused(stage.endpoints[ROLE_CURRENT]));
    assert_true(list_is_empty(&stage.exchanges.upstream.seats));
}

static void a_retry_under_an_old_lease_keeps_nothing_either(void **state)
{
    (void)state;
    leave_stale_connection();
    peer_send(&stage.loop, &client, GET("/again"));
    peer_expect(&stage.loop, &origin, "GET /again");
    stage_publish(&stage, 0, false);
    peer_close(&origin);
    ask("", ROLE_CURRENT, "GET /again");
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    play_until(&stage.loop, stage.home_count == 1);
    play_until(&stage.loop, endpoint_is_unused(stage.endpoints[ROLE_CURRENT]));
    assert_true(list_is_empty(&stage.exchanges.upstream.seats));
    stage_publish(&stage, 0, true);
}

static void idle_connections_end_after_their_time(void **state)
{
    (void)state;
    leave_stale_connection();
    play_turn(&stage.loop, 59000);
    assert_int_equal(idle_connections(), 1);
    play_turn(&stage.loop, 1000);
    play_until(&stage.loop, endpoint_is_unused(stage.endpoints[ROLE_CURRENT]));
    peer_expect_end(&stage.loop, &origin);
}

/* ---- back-pressure ---- */

static void a_slow_client_slows_the_origin_down(void **state)
{
    (void)state;
    enum { SIZE = 16 << 20 };
    ask(GET("/"), ROLE_CURRENT, "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n");
    char *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    size_t sent = 0;
    for (int idle = 0; idle < 50;) {
        ssize_t size = send(origin.fd, bytes + sent, SIZE - sent, MSG_NOSIGNAL);
        idle = size > 0 ? 0 : idle + 1;
        sent += size > 0 ? (size_t)size : 0;
        play_step(&stage.loop);
    }
    assert_true(sent < SIZE / 4);
    size_t got = 0;
    while (got < SIZE) {
        ssize_t size = sent < SIZE ? send(origin.fd, bytes + sent, SIZE - sent, MSG_NOSIGNAL) : 0;
        sent += size > 0 ? (size_t)size : 0;
        peer_clear(&client);
        peer_look(&client);
        got += client.size;
        play_step(&stage.loop);
    }
    free(bytes);
    play_until(&stage.loop, ok_of(ROLE_CURRENT) == 1);
    assert_int_equal(idle_connections(), 1);
}

#define PLAY(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define PLAY_TOTAL(name) cmocka_unit_test_setup_teardown(name, set_up_total, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(an_answer_is_passed_on_and_counted),
        PLAY(requests_of_many_clients_reuse_one_connection),
        PLAY(pipelined_requests_share_a_connection_in_order),
        PLAY(trailers_are_passed_on),
        PLAY(weight_splits_exactly),
        PLAY(an_unknown_host_gets_404),
        PLAY(a_body_streams_to_the_origin),
        PLAY(interim_answers_are_passed_on),
        PLAY(a_5xx_counts_once_and_is_passed_on),
        PLAY(a_refused_connection_is_502_and_connect),
        PLAY(silence_is_504_and_timeout),
        PLAY(a_malformed_answer_is_502),
        PLAY(an_answer_that_cannot_be_passed_on_is_502),
        PLAY(a_truncated_body_cuts_the_client),
        PLAY(a_failed_answer_that_breaks_off_is_bad_once),
        PLAY(a_stream_counts_as_good_after_a_second),
        PLAY(a_client_that_leaves_counts_nothing),
        PLAY(an_early_answer_before_a_hang_up_is_heard),
        PLAY(a_stale_connection_is_retried_once),
        PLAY(a_post_on_a_stale_connection_is_502),
        PLAY(a_retried_body_follows_its_head),
        PLAY(a_body_that_was_sent_is_never_sent_again),
        PLAY(a_retry_finds_room_under_the_cap),
        PLAY(the_cap_is_503_and_blames_nobody),
        PLAY(bytes_behind_an_answer_spoil_the_connection),
        PLAY_TOTAL(total_ends_a_slow_origin_with_504),
        PLAY_TOTAL(total_blames_no_origin_for_a_slow_client),
        PLAY_TOTAL(total_cuts_an_answer_under_way),
        PLAY(a_tunnel_carries_both_ways_and_ends_at_both),
        PLAY(the_client_goes_on_when_the_origin_has_finished),
        PLAY(a_tunnel_that_breaks_is_no_failure),
        PLAY(a_switch_before_the_request_has_ended_is_the_clients_fault),
        PLAY(a_lease_comes_home_with_its_last_request),
        PLAY(an_endpoint_no_longer_named_is_let_go),
        PLAY(a_request_under_way_keeps_no_connection_behind),
        PLAY(a_retry_under_an_old_lease_keeps_nothing_either),
        PLAY(idle_connections_end_after_their_time),
        PLAY(a_slow_client_slows_the_origin_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
