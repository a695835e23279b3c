/* What a reload keeps, what it changes, and what it leaves when it fails. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/controller/controller_bench.h"

#define SERVICE(name, previous, current, weight)                                                   \
    "  - name: " name "\n"                                                                         \
    "    hosts: [" name ".example]\n"                                                              \
    "    previous: {deployment: " previous ", endpoints: ['http://127.0.0.1:1']}\n"                \
    "    current: {deployment: " current ", endpoints: ['http://127.0.0.1:2']}\n"                  \
    "    weight: " weight "\n"
#define OTHER SERVICE("other", "s1", "c1", "10%")

static int open_bench(void **state)
{
    static struct bench bench;
    bench_open(&bench);
    bench_configure(&bench, "", SERVICE("shop", "s1", "c1", "10%") OTHER);
    assert_int_equal(bench_start(&bench), OK);
    *state = &bench;
    return 0;
}

static int close_bench(void **state)
{
    bench_close(*state);
    return 0;
}

static const struct rollout *rollout_of(struct bench *bench)
{
    return &bench_steward(bench, "shop")->engine.rollout;
}

static void service_that_comes_back_stands_where_it_stood(void **state)
{
    struct bench *bench = *state;
    bench_set_weight(bench, "40");
    uint64_t revision = rollout_of(bench)->revision;
    bench_reload(bench, OTHER);
    assert_null(controller_find(bench->controller, "shop"));
    bench_reload(bench, OTHER SERVICE("shop", "s1", "c1", "10%"));
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 400000);
    assert_true(rollout_of(bench)->revision > revision);
}

static void quarantine_holds_for_a_service_that_comes_back(void **state)
{
    struct bench *bench = *state;
    char text[256];
    static const char wish[] = "{\"reason\":\"bad\",\"mode\":\"instant\"}";
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/shop/rollback", wish), 202);
    bench_reload(bench, OTHER);
    bench_reload(bench, OTHER SERVICE("shop", "s1", "c1", "20%"));
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
    assert_true(rollout_of(bench)->is_quarantined);
    bench_stop(bench);
    bench_look_up(bench, "SELECT status || ' ' || deployment || ' ' || target FROM rollback", text);
    assert_string_equal(text, "superseded c1 s1");
}

static void quarantine_of_a_canary_of_before_can_be_released(void **state)
{
    struct bench *bench = *state;
    char text[256];
    static const char wish[] = "{\"reason\":\"bad\",\"mode\":\"instant\"}";
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/shop/rollback", wish), 202);
    bench_reload(bench, OTHER SERVICE("shop", "s1", "c2", "20%"));
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/shop/quarantine/c1/release",
                                  "{\"reason\":\"repaired\"}"),
                     200);
    assert_false(controller_is_quarantined(bench->controller, "shop", "c1"));
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/shop/quarantine/c1/release",
                                  "{\"reason\":\"repaired\"}"),
                     404);
    bench_stop(bench);
    bench_look_up(bench, "SELECT deployment || ' ' || status FROM rollback", text);
    assert_string_equal(text, "c1 superseded");
    bench_look_up(bench, "SELECT count(*) FROM quarantine", text);
    assert_string_equal(text, "0");
}

static void another_stable_version_leaves_the_canary_its_weight(void **state)
{
    struct bench *bench = *state;
    bench_set_weight(bench, "40");
    bench_reload(bench, OTHER SERVICE("shop", "s2", "c1", "10%"));
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 400000);
    assert_int_equal(rollout_of(bench)->weight_ppm, 400000);
}

/* The canary keeps what workers have: nothing rises, so that nothing waits for the disk. */
static void weight_beside_another_stable_version_is_lowered_without_a_disk(void **state)
{
    struct bench *bench = *state;
    bench_set_weight(bench, "40");
    void *lock = bench_lock(bench);
    bench_reload(bench, OTHER SERVICE("shop", "s2", "c1", "10%"));
    bench_set_weight(bench, "20");
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 200000);
    bench_reload(bench, OTHER SERVICE("shop", "s3", "c1", "5%"));
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 50000);
    assert_int_equal(rollout_of(bench)->weight_ppm, 50000);
    bench_unlock(lock);
    bench_stop(bench);
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 50000);
}

static void rollback_beside_another_stable_version_begins_where_workers_are(void **state)
{
    struct bench *bench = *state;
    static const char wish[] = "{\"reason\":\"bad\"}";
    bench_set_weight(bench, "40");
    void *lock = bench_lock(bench);
    bench_reload(bench, OTHER SERVICE("shop", "s2", "c1", "10%"));
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/shop/rollback", wish), 202);
    assert_int_equal(rollout_of(bench)->record.weight_ppm, 400000);
    bench_unlock(lock);
}

static bool has_weight(void *context)
{
    const struct steward *steward = context;
    return steward->published_ppm > 0;
}

static void new_canary_has_the_weight_of_the_file_once_it_is_written(void **state)
{
    struct bench *bench = *state;
    bench_set_weight(bench, "40");
    void *lock = bench_lock(bench);
    bench_reload(bench, OTHER SERVICE("shop", "s1", "c2", "5%"));
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
    bench_unlock(lock);
    bench_run_until(bench, has_weight, bench_steward(bench, "shop"));
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 50000);
}

static void versions_may_change_places(void **state)
{
    struct bench *bench = *state;
    const struct version *canary = bench_steward(bench, "shop")->versions[ROLE_CURRENT].version;
    bench_reload(bench, OTHER SERVICE("shop", "c1", "s1", "10%"));
    bench_run_until(bench, has_weight, bench_steward(bench, "shop"));
    const struct steward *steward = bench_steward(bench, "shop");
    assert_int_equal(steward->published_ppm, 100000);
    assert_ptr_equal(steward->versions[ROLE_PREVIOUS].version, canary);
}

static void canary_that_is_taken_away_leaves_no_verdict(void **state)
{
    struct bench *bench = *state;
    bench_steward(bench, "shop")->engine.finding =
        (struct finding){JUDGE_BREACH, JUDGE_REASON_ABSOLUTE};
    bench_reload(bench,
                 OTHER "  - name: shop\n"
                       "    hosts: [shop.example]\n"
                       "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n");
    const struct steward *steward = bench_steward(bench, "shop");
    assert_int_equal(steward->published_ppm, 0);
    assert_int_equal(steward->engine.finding.verdict, JUDGE_INSUFFICIENT_DATA);
    bench_reload(bench, OTHER SERVICE("shop", "s1", "c1", "10%"));
    bench_run_until(bench, has_weight, bench_steward(bench, "shop"));
}

static bool is_answered(void *context)
{
    const struct answer *answer = context;
    return answer->status != 0;
}

/* A raise that waits for its write was meant for the canary of before. */
static void list_that_waits_gives_nothing_to_another_canary(void **state)
{
    struct bench *bench = *state;
    struct answer raise;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, "/api/v1/services/shop/weight", "{\"current\":80}", &raise);
    bench_reload(bench, OTHER SERVICE("shop", "s1", "c2", "5%"));
    bench_unlock(lock);
    bench_run_until(bench, has_weight, bench_steward(bench, "shop"));
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 50000);
    assert_int_equal(raise.status, 409);
    bench_forget(&raise);
}

static void list_that_waits_gives_nothing_to_a_service_that_came_back(void **state)
{
    struct bench *bench = *state;
    struct answer raise;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, "/api/v1/services/shop/weight", "{\"current\":80}", &raise);
    bench_reload(bench, OTHER);
    bench_reload(bench, OTHER SERVICE("shop", "s1", "c9", "0%"));
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &raise);
    assert_int_equal(raise.status, 409);
    bench_forget(&raise);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
}

/* Who asked for the weight was told that it is not in force. */
static void service_that_comes_back_has_no_weight_that_was_not_written(void **state)
{
    struct bench *bench = *state;
    struct answer raise;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, "/api/v1/services/shop/weight", "{\"current\":80}", &raise);
    bench_reload(bench, OTHER);
    bench_reload(bench, OTHER SERVICE("shop", "s1", "c1", "10%"));
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &raise);
    assert_int_equal(raise.status, 409);
    bench_forget(&raise);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
    bench_stop(bench);
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
}

/* Another place for the state in the file that is to be loaded. */
static void move_state(struct bench *bench)
{
    static const char key[] = "state: ";
    char text[8192];
    FILE *file = fopen(bench->conf_path, "r+");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    text[size] = '\0';
    const char *place = strstr(text, key);
    assert_non_null(place);
    place += sizeof key - 1;
    assert_int_equal(fseek(file, place - text, SEEK_SET), 0);
    assert_true(fprintf(file, "elsewhere/%s", place) > 0);
    assert_int_equal(fclose(file), 0);
}

/* The state file is where it was until a restart, and reports are beside it. */
static void reports_stay_beside_the_state_file_that_is_written(void **state)
{
    struct bench *bench = *state;
    char before[128];
    (void)snprintf(before, sizeof before, "%s", incidents_path(bench->controller->incidents));
    assert_non_null(strstr(before, bench->folder));
    bench_configure(bench, "", OTHER);
    move_state(bench);
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/reload", "{}"), 200);
    assert_string_equal(incidents_path(bench->controller->incidents), before);
    bench_reload(bench, OTHER);
    assert_string_equal(incidents_path(bench->controller->incidents), before);
}

/* ---- failing ---- */

static int take_port(unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static unsigned reload_with(struct bench *bench, const char *token)
{
    struct answer answer = bench_ask(bench, METHOD_POST, "/api/v1/reload", "{}", token);
    unsigned status = answer.status;
    bench_forget(&answer);
    return status;
}

static void configure_tokens(struct bench *bench, unsigned port)
{
    char more[512];
    (void)snprintf(more, sizeof more,
                   "listen: [{address: '127.0.0.1:%u'}, {address: '127.0.0.1:%u'}]\n"
                   "admin: {address: 'unix:%s/admin', tokens: [{name: ops, role: operator, file: "
                   "token}]}\n",
                   bench->port, port, bench->folder);
    bench_configure(bench, more, OTHER);
}

static void reload_that_fails_leaves_everything(void **state)
{
    struct bench *bench = *state;
    unsigned taken;
    bench_write_token(bench, "first");
    configure_tokens(bench, bench_free_port());
    assert_int_equal(reload_with(bench, NULL), 200);
    int fd = take_port(&taken);
    bench_write_token(bench, "second");
    configure_tokens(bench, taken);
    assert_int_equal(reload_with(bench, "first"), 422);
    assert_int_equal(reload_with(bench, "second"), 401);
    assert_non_null(strstr(bench->controller->reload_note.text, "cannot listen"));
    assert_int_equal(close(fd), 0);
    assert_int_equal(reload_with(bench, "first"), 200);
    assert_int_equal(reload_with(bench, "first"), 401);
    assert_int_equal(reload_with(bench, "second"), 200);
}

/* The file moves the API away; until a restart it is where it was, and nobody is to reach it
 * through the proxy. */
static void origin_at_the_admin_address_of_before_is_refused(void **state)
{
    struct bench *bench = *state;
    char more[256];
    char service[512];
    char start[256];
    unsigned port = bench_free_port();
    bench_stop(bench);
    (void)snprintf(more, sizeof more, "admin: {address: '127.0.0.1:%u'}\n", port);
    bench_configure(bench, more, OTHER);
    assert_int_equal(bench_start(bench), OK);
    (void)snprintf(service, sizeof service,
                   "  - name: other\n"
                   "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"
                   "    current: {deployment: c2, endpoints: ['http://127.0.0.1:%u']}\n",
                   port);
    bench_configure(bench, "", service);
    assert_int_equal(reload_with(bench, NULL), 422);
    assert_non_null(strstr(bench->controller->reload_note.text, "admin API listens"));
    bench_configure(bench, "", OTHER);
    assert_int_equal(reload_with(bench, NULL), 200);
    (void)snprintf(start, sizeof start, "{\"deployment\":\"c3\",\"url\":\"http://127.0.0.1:%u\"}",
                   port);
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/other/rollout", start),
                     422);
}

static void reload_by_token_is_audited_with_its_name(void **state)
{
    struct bench *bench = *state;
    char text[256];
    bench_write_token(bench, "first");
    configure_tokens(bench, bench_free_port());
    assert_int_equal(reload_with(bench, NULL), 200);
    assert_int_equal(reload_with(bench, "first"), 200);
    bench_stop(bench);
    bench_look_up(bench,
                  "SELECT actor FROM audit WHERE action='config.reload' ORDER BY seq DESC LIMIT 1",
                  text);
    assert_string_equal(text, "ops");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
        TEST(service_that_comes_back_stands_where_it_stood),
        TEST(quarantine_holds_for_a_service_that_comes_back),
        TEST(quarantine_of_a_canary_of_before_can_be_released),
        TEST(another_stable_version_leaves_the_canary_its_weight),
        TEST(weight_beside_another_stable_version_is_lowered_without_a_disk),
        TEST(rollback_beside_another_stable_version_begins_where_workers_are),
        TEST(new_canary_has_the_weight_of_the_file_once_it_is_written),
        TEST(versions_may_change_places),
        TEST(canary_that_is_taken_away_leaves_no_verdict),
        TEST(list_that_waits_gives_nothing_to_another_canary),
        TEST(list_that_waits_gives_nothing_to_a_service_that_came_back),
        TEST(reports_stay_beside_the_state_file_that_is_written),
        TEST(service_that_comes_back_has_no_weight_that_was_not_written),
        TEST(reload_that_fails_leaves_everything),
        TEST(origin_at_the_admin_address_of_before_is_refused),
        TEST(reload_by_token_is_audited_with_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
