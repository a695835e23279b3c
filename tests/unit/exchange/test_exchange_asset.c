/* tests/unit/exchange/test_exchange_asset.c — an asset that one version lacks: who is asked, what
 * is counted, and what becomes of the answer that is held. */
#include <sys/socket.h>

#include "proxy/exchange/asset.h"
#include "tests/support/alloc_fail.h"
#include "tests/unit/exchange/play_exchange.h"

enum { WHOLE = 1000000, FEW = 10000, TURNS_MAX = 500 };
#define GET     "GET /a.js HTTP/1.1\r\nHost: shop.test\r\nSec-Fetch-Dest: script\r\n\r\n"
#define LACKING "HTTP/1.1 404 No\r\nContent-Length: 7\r\n\r\nlacking"
#define FOUND   "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: 5\r\n\r\nfound"
#define PAGE    "HTTP/1.1 200 OK\r\nContent-Type: Text/HTML ; x=y\r\nContent-Length: 4\r\n\r\npage"

static struct stage stage;
static struct peer client;
static struct peer peers[ROLE_COUNT];

static void begin(uint32_t weight_ppm)
{
    stage_begin(&stage, NULL, "    sticky: {by: none}\n    rescue: {}", weight_ppm);
    stage_connect(&stage, &client);
    peers[ROLE_CURRENT].fd = -1;
    peers[ROLE_PREVIOUS].fd = -1;
}

static int set_up(void **state)
{
    (void)state;
    begin(WHOLE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_close(&client);
    peer_close(&peers[ROLE_CURRENT]);
    peer_close(&peers[ROLE_PREVIOUS]);
    stage_end(&stage);
    return 0;
}

static void is_asked(enum role role)
{
    if (peers[role].fd < 0) {
        peer_accept(&stage.loop, &peers[role], stage.listening[role]);
    }
    peer_expect(&stage.loop, &peers[role], "\r\n\r\n");
    peer_clear(&peers[role]);
}

static void answers(enum role role, const char *answer)
{
    is_asked(role);
    peer_send(&stage.loop, &peers[role], answer);
}

static uint64_t results(enum metric_rescue result)
{
    return cell_read(&stage_service(&stage)->rescues[result]);
}

static void found_elsewhere_it_is_an_answer_and_no_404(void **state)
{
    (void)state;
    peer_send(&stage.loop, &client, GET);
    answers(ROLE_CURRENT, LACKING);
    answers(ROLE_PREVIOUS, FOUND);
    peer_expect(&stage.loop, &client, "found");
    const struct version_cells *canary = stage_version(&stage, ROLE_CURRENT);
    assert_int_equal(cell_read(&canary->ok), 1);
    assert_int_equal(cell_read(&canary->not_found), 0);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_PREVIOUS)->ok), 0);
    assert_int_equal(results(METRIC_RESCUE_ASSET_SUCCESS), 1);
}

static void found_nowhere_it_is_the_404_of_who_was_chosen(void **state)
{
    (void)state;
    peer_send(&stage.loop, &client, GET);
    answers(ROLE_CURRENT, LACKING);
    answers(ROLE_PREVIOUS, PAGE);
    peer_expect(&stage.loop, &client, "HTTP/1.1 404 No\r\n");
    peer_expect(&stage.loop, &client, "lacking");
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->not_found), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_PREVIOUS)->not_found), 0);
    assert_int_equal(results(METRIC_RESCUE_ASSET_FAILURE), 1);
}

static void no_byte_of_the_held_body_is_read_before_it_is_wanted(void **state)
{
    (void)state;
    peer_send(&stage.loop, &client, GET);
    answers(ROLE_CURRENT, "HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nlac\r\n");
    is_asked(ROLE_PREVIOUS);
    peer_send(&stage.loop, &peers[ROLE_CURRENT], "4\r\nking\r\n0\r\n\r\n");
    play_settle(&stage.loop);
    peer_look(&client);
    assert_int_equal(client.size, 0);
    peer_send(&stage.loop, &peers[ROLE_PREVIOUS], LACKING);
    peer_expect(&stage.loop, &client, "4\r\nking\r\n0\r\n\r\n");
}

static void client_that_was_informed_has_a_byte(void **state)
{
    (void)state;
    peer_send(&stage.loop, &client, GET);
    answers(ROLE_CURRENT, "HTTP/1.1 103 Early Hints\r\n\r\n" LACKING);
    peer_expect(&stage.loop, &client, "lacking");
    assert_int_equal(results(METRIC_RESCUE_ASSET_FAILURE), 0);
}

static void strained_stable_version_is_left_alone(void **state)
{
    (void)state;
    atomic_store(&stage.service->is_stable_strained, true);
    peer_send(&stage.loop, &client, GET);
    answers(ROLE_CURRENT, LACKING);
    peer_expect(&stage.loop, &client, "lacking");
    assert_int_equal(results(METRIC_RESCUE_ASSET_NOT_ASKED), 1);
}

static void canary_that_is_held_back_is_left_alone(void **state)
{
    (void)state;
    stage_publish(&stage, FEW, true);
    version_containment(stage.versions[ROLE_CURRENT], 0)->is_contained = true;
    peer_send(&stage.loop, &client, GET);
    answers(ROLE_PREVIOUS, LACKING);
    peer_expect(&stage.loop, &client, "lacking");
    assert_int_equal(results(METRIC_RESCUE_ASSET_NOT_ASKED), 1);
}

static void second_look_is_taken_when_a_kept_connection_was_closed(void **state)
{
    (void)state;
    peer_send(&stage.loop, &client, GET);
    answers(ROLE_CURRENT, LACKING);
    answers(ROLE_PREVIOUS, FOUND);
    peer_expect(&stage.loop, &client, "found");
    peer_clear(&client);
    peer_send(&stage.loop, &client, GET);
    answers(ROLE_CURRENT, LACKING);
    is_asked(ROLE_PREVIOUS);
    peer_close(&peers[ROLE_PREVIOUS]);
    answers(ROLE_PREVIOUS, FOUND);
    peer_expect(&stage.loop, &client, "found");
    assert_int_equal(results(METRIC_RESCUE_ASSET_SUCCESS), 2);
}

/* The stable version takes one request at a time, and has it. */
static void fill_stable_version(struct peer *opted_out)
{
    stage_connect(&stage, opted_out);
    peer_send(&stage.loop, opted_out,
              "GET /b.js HTTP/1.1\r\nHost: shop.test\r\nSerin-Version: previous\r\n\r\n");
    is_asked(ROLE_PREVIOUS);
}

static void held_head_that_came_in_parts_is_given_back_whole(void **state)
{
    (void)state;
    static struct peer opted_out;
    stage_begin(&stage, NULL, "    sticky: {by: none}\n    rescue: {}\n    circuit: {requests: 1}",
                WHOLE);
    stage_connect(&stage, &client);
    peers[ROLE_CURRENT].fd = -1;
    peers[ROLE_PREVIOUS].fd = -1;
    fill_stable_version(&opted_out);
    peer_send(&stage.loop, &client, GET);
    answers(ROLE_CURRENT, "HTTP/1.1 404 No\r\nX-Half: 1\r\n");
    play_settle(&stage.loop);
    peer_send(&stage.loop, &peers[ROLE_CURRENT], "Transfer-Encoding: chunked\r\n\r\n3\r\nlac\r\n");
    play_settle(&stage.loop);
    peer_send(&stage.loop, &peers[ROLE_CURRENT], "4\r\nking\r\n0\r\n\r\n");
    peer_expect(&stage.loop, &client, "\r\n\r\n3\r\nlac\r\n4\r\nking\r\n0\r\n\r\n");
    assert_int_equal(results(METRIC_RESCUE_ASSET_FAILURE), 1);
    peer_close(&opted_out);
}

static void content_type_is_read_as_one(void **state)
{
    (void)state;
    const struct {
        const char *type;
        unsigned status;
        bool is_missing;
        bool is_found;
    } cases[] = {
        {"text/html", 200, true, false},
        {"TEXT/HTML;charset=utf-8", 200, true, false},
        {"text/html", 203, false, false},
        {"text/htmlx", 200, false, true},
        {"application/xhtml+xml", 200, false, true},
        {"", 200, false, true},
        {"text/javascript", 404, true, false},
        {"text/html", 404, true, false},
        {"image/png", 204, false, true},
        {"image/png", 304, false, false},
        {"image/png", 410, false, false},
        {"image/png", 500, false, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct field type = {.name = BYTES("Content-Type"),
                             .value = bytes_of(cases[i].type),
                             .id = FIELD_CONTENT_TYPE};
        struct response response = {.status = cases[i].status,
                                    .fields = {&type, cases[i].type[0] != '\0' ? 1 : 0}};
        assert_int_equal(asset_is_missing(&response), cases[i].is_missing);
        assert_int_equal(asset_is_found(&response), cases[i].is_found);
    }
}

static bool is_over(void)
{
    peer_look(&client);
    return client.has_ended || client.is_reset || peer_has(&client, "found") ||
           peer_has(&client, "lacking") || peer_has(&client, "HTTP/1.1 50");
}

static void answer_where_asked(enum role role, const char *answer, bool *has_answered)
{
    if (peers[role].fd < 0) {
        int fd = accept4(stage.listening[role], NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            return;
        }
        peer_init(&peers[role], fd);
    }
    peer_look(&peers[role]);
    if (!*has_answered && peer_has(&peers[role], "\r\n\r\n")) {
        *has_answered = true;
        peer_send(&stage.loop, &peers[role], answer);
    }
}

/* Whatever is refused, the client has an answer or its end, and nothing is left behind. */
static void every_refused_allocation_is_survived(void **state)
{
    (void)state;
    size_t turn = 0;
    bool has_refused = true;
    for (; has_refused && turn < TURNS_MAX; turn++) {
        bool has_answered[ROLE_COUNT] = {false, false};
        begin(WHOLE);
        (void)alloc_fail_begin(turn);
        peer_send(&stage.loop, &client, GET);
        uint64_t give_up = play_now_ms() + PLAY_PATIENCE_MS;
        while (!is_over()) {
            assert_true(play_now_ms() < give_up);
            play_step(&stage.loop);
            answer_where_asked(ROLE_CURRENT, LACKING, &has_answered[ROLE_CURRENT]);
            answer_where_asked(ROLE_PREVIOUS, FOUND, &has_answered[ROLE_PREVIOUS]);
        }
        has_refused = alloc_fail_end();
        assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->err), 0);
        (void)tear_down(NULL);
    }
    assert_true(turn > 3);
    assert_true(turn < TURNS_MAX);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(found_elsewhere_it_is_an_answer_and_no_404),
        PLAY(found_nowhere_it_is_the_404_of_who_was_chosen),
        PLAY(no_byte_of_the_held_body_is_read_before_it_is_wanted),
        PLAY(client_that_was_informed_has_a_byte),
        PLAY(strained_stable_version_is_left_alone),
        PLAY(canary_that_is_held_back_is_left_alone),
        PLAY(second_look_is_taken_when_a_kept_connection_was_closed),
        cmocka_unit_test_teardown(held_head_that_came_in_parts_is_given_back_whole, tear_down),
        cmocka_unit_test(content_type_is_read_as_one),
        cmocka_unit_test(every_refused_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
