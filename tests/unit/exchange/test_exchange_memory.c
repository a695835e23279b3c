/* Memory that runs out, at every allocation in turn: the request gets an answer or its end, and
 * everything comes home. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/alloc_fail.h"
#include "tests/unit/exchange/play_exchange.h"

#define OK_ANSWER                                                                                  \
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"                   \
    "4\r\nfine\r\n0\r\nX-Last: of-ours\r\n\r\n"

enum { WHOLE = 1000000, TURNS_MAX = 500 };

static struct stage stage;
static struct peer client;
static struct peer origin;

static bool is_answered(void)
{
    peer_look(&client);
    return client.has_ended || client.is_reset || peer_has(&client, "of-ours\r\n\r\n") ||
           peer_has(&client, "HTTP/1.1 50");
}

/* Plays the origin where the request got as far as that. */
static void answer_requests(const char *request_end, const char *answer)
{
    bool has_answered = false;
    bool has_peer = false;
    uint64_t give_up = play_now_ms() + PLAY_PATIENCE_MS;
    while (!is_answered()) {
        assert_true(play_now_ms() < give_up);
        play_step(&stage.loop);
        if (!has_peer) {
            int fd = accept4(stage.listening[ROLE_CURRENT], NULL, NULL, SOCK_NONBLOCK);
            has_peer = fd >= 0;
            if (has_peer) {
                peer_init(&origin, fd);
            }
            continue;
        }
        peer_look(&origin);
        if (!has_answered && peer_has(&origin, request_end)) {
            has_answered = true;
            peer_send(&stage.loop, &origin, answer);
        }
        if (origin.has_ended || origin.is_reset) {
            peer_close(&origin);
            has_peer = false;
        }
    }
}

static void play(const char *request, const char *request_end, const char *answer)
{
    size_t refused = 0;
    size_t turn = 0;
    for (; turn < TURNS_MAX; turn++) {
        stage_begin(&stage, NULL, NULL, WHOLE / 2);
        (void)close(stage.listening[ROLE_PREVIOUS]);
        stage.listening[ROLE_PREVIOUS] = dup(stage.listening[ROLE_CURRENT]);
        stage.ports[ROLE_PREVIOUS] = stage.ports[ROLE_CURRENT];
        stage_publish(&stage, WHOLE, true);
        stage_connect(&stage, &client);
        origin.fd = -1;
        (void)alloc_fail_begin(turn);
        peer_send(&stage.loop, &client, request);
        answer_requests(request_end, answer);
        bool has_refused = alloc_fail_end();
        refused += has_refused;
        if (cell_read(&stage_version(&stage, ROLE_CURRENT)->err) != 0) {
            print_error("allocation %zu: %.*s\n", turn, (int)client.size, client.text);
        }
        /* An own lack is no failure of the origin's. */
        assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->err), 0);
        peer_close(&client);
        peer_close(&origin);
        stage_end(&stage);
        if (!has_refused) {
            break;
        }
    }
    assert_true(turn < TURNS_MAX);
    assert_true(refused > 3);
}

static void every_refused_allocation_of_a_get_is_survived(void **state)
{
    (void)state;
    play("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\r\n\r\n", OK_ANSWER);
}

static void every_refused_allocation_of_a_post_is_survived(void **state)
{
    (void)state;
    play("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n"
         "4\r\nbody\r\n0\r\nX-Last: theirs\r\n\r\n",
         "theirs\r\n\r\n", OK_ANSWER);
}

static void an_event_stream_too(void **state)
{
    (void)state;
    play("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\r\n\r\n",
         "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
         "Connection: close\r\n\r\n4\r\nfine\r\n0\r\nX-Last: of-ours\r\n\r\n");
}

static void a_head_with_many_fields_too(void **state)
{
    (void)state;
    static char request[8192];
    size_t used =
        (size_t)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: shop.test\r\n");
    for (int i = 0; i < 90; i++) {
        used += (size_t)snprintf(request + used, sizeof request - used, "X-%d: %050d\r\n", i, i);
    }
    (void)snprintf(request + used, sizeof request - used, "\r\n");
    play(request, "\r\n\r\n", OK_ANSWER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refused_allocation_of_a_get_is_survived),
        cmocka_unit_test(every_refused_allocation_of_a_post_is_survived),
        cmocka_unit_test(an_event_stream_too),
        cmocka_unit_test(a_head_with_many_fields_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
