/* The Pages provider against an API that says what it is told: what it asks, in which order, and
 * what it makes of every answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/platform/pages.h"
#include "tests/unit/platform/platform_bench.h"

#define OLD_ID   "11111111-1111-4111-8111-111111111111"
#define GOOD_ID  "22222222-2222-4222-8222-222222222222"
#define BAD_ID   "33333333-3333-4333-8333-333333333333"
#define OTHER_ID "44444444-4444-4444-8444-444444444444"

/* A deployment in JSON; `hour` orders them. */
#define DEPLOYMENT(id, environment, hour, stage, status, commit)                                   \
    "{\"id\":\"" id "\",\"short_id\":\"\",\"environment\":\"" environment                          \
    "\",\"created_on\":\"2026-01-01T0" hour ":00:00.5Z\",\"latest_stage\":{\"name\":\"" stage      \
    "\",\"status\":\"" status "\"},\"is_skipped\":false,\"url\":\"https://" commit                 \
    ".demo.pages.dev\",\"deployment_trigger\":{\"metadata\":{\"branch\":\"main\","                 \
    "\"commit_hash\":\"" commit "\",\"commit_message\":null}}}"
#define OLD          DEPLOYMENT(OLD_ID, "production", "1", "deploy", "success", "aaaaaaa1")
#define GOOD         DEPLOYMENT(GOOD_ID, "production", "2", "deploy", "success", "aaaaaaa2")
#define BAD          DEPLOYMENT(BAD_ID, "production", "5", "deploy", "success", "aaaaaaa5")
#define FAILED       DEPLOYMENT(OTHER_ID, "production", "4", "build", "failure", "aaaaaaa4")
#define PREVIEW      DEPLOYMENT(OTHER_ID, "preview", "4", "deploy", "success", "aaaaaaa4")
#define FINE(result) "{\"success\":true,\"errors\":[],\"messages\":[],\"result\":" result "}"
#define LIVE(one)    FINE("{\"name\":\"demo\",\"canonical_deployment\":" one "}")
#define LIST(some)                                                                                 \
    "{\"success\":true,\"result\":[" some "],\"result_info\":{\"page\":1,\"per_page\":25,"         \
    "\"total_count\":4}}"
#define WRONG(code)                                                                                \
    "{\"success\":false,\"errors\":[{\"code\":" code ",\"message\":\"no\\u001b[31m\"}],"           \
    "\"result\":null}"

static const struct platform_ask roll_back = {.operation = PLATFORM_ROLL_BACK, .wait_ms = 2000};

static int setup(void **state)
{
    struct platform_bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    struct cloudflare_options options = bench_begin(bench);
    struct note note = {""};
    assert_int_equal(pages_create(&options, "demo", &bench->provider, &note), OK);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    bench_end(*state);
    free(*state);
    return 0;
}

static void say(struct platform_bench *bench, const char *body)
{
    api_stub_say(bench->stub, 200, NULL, body);
}

static bool was_asked(const struct platform_bench *bench, size_t index, const char *start)
{
    const char *text = api_stub_request(bench->stub, index);
    return strncmp(text, start, strlen(start)) == 0;
}

#define P "/client/v4/accounts/" BENCH_ACCOUNT "/pages/projects/demo"

static void rollback_goes_to_the_newest_good_one_older_than_the_live(void **state)
{
    struct platform_bench *bench = *state;
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," FAILED "," GOOD "," OLD));
    say(bench, FINE(GOOD));
    say(bench, LIVE(BAD));
    say(bench, LIVE(GOOD));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_true(bench->has_moved);
    assert_string_equal(bench->live.id, BAD_ID);
    assert_string_equal(bench->target.id, GOOD_ID);
    assert_int_equal(api_stub_count(bench->stub), 5);
    assert_true(was_asked(bench, 0, "GET " P " HTTP/1.1\r\n"));
    assert_true(was_asked(bench, 1, "GET " P "/deployments?env=production&page=1 HTTP/1.1\r\n"));
    assert_true(was_asked(bench, 2, "POST " P "/deployments/" GOOD_ID "/rollback HTTP/1.1\r\n"));
    const uint64_t *counts = bench->provider->counts.requests[PLATFORM_ROLL_BACK];
    assert_int_equal(counts[PLATFORM_DONE], 1);
}

static void rollback_has_the_form_of_the_official_client(void **state)
{
    struct platform_bench *bench = *state;
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," GOOD));
    say(bench, FINE(GOOD));
    say(bench, LIVE(GOOD));
    bench_ask(bench, &roll_back);
    const char *post = api_stub_request(bench->stub, 2);
    assert_non_null(strstr(post, "Content-Length: 0\r\n"));
    assert_null(strstr(post, "Content-Type"));
    assert_null(strstr(post, "Expect"));
    assert_non_null(strstr(post, "Authorization: Bearer " BENCH_TOKEN "\r\n"));
}

static void rollback_to_what_became_live_is_done(void **state)
{
    struct platform_bench *bench = *state;
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," GOOD));
    api_stub_say(bench->stub, 400, NULL, WRONG("8000039"));
    say(bench, LIVE(GOOD));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_ALREADY);
    assert_true(bench->has_moved);
}

static void what_is_live_already_is_not_asked_for(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.target = GOOD_ID;
    ask.expect_current = BAD_ID;
    say(bench, LIVE(GOOD));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_ALREADY);
    assert_int_equal(api_stub_count(bench->stub), 1);
}

static void another_live_deployment_than_expected_is_left_alone(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.expect_current = "aaaaaaa4";
    say(bench, LIVE(BAD));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    assert_non_null(strstr(bench->text, "not aaaaaaa4"));
    assert_int_equal(api_stub_count(bench->stub), 1);
}

static void targets_that_were_never_good_are_refused_without_asking(void **state)
{
    static const char *const answers[] = {FINE(PREVIEW), FINE(FAILED)};
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.target = OTHER_ID;
    for (size_t i = 0; i < 2; i++) {
        say(bench, LIVE(BAD));
        say(bench, answers[i]);
        bench_ask(bench, &ask);
        assert_int_equal(bench->result, PLATFORM_REFUSED);
    }
    assert_int_equal(api_stub_count(bench->stub), 4);
    assert_true(was_asked(bench, 1, "GET " P "/deployments/" OTHER_ID " HTTP/1.1\r\n"));
}

static void target_may_be_a_commit_or_url_on_a_later_page(void **state)
{
    static const char *const names[] = {"aaaaaaa1", "https://aaaaaaa1.demo.pages.dev/", "11111111"};
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.operation = PLATFORM_LOOK;
    for (size_t i = 0; i < 3; i++) {
        say(bench, LIVE(BAD));
        say(bench, "{\"success\":true,\"result\":[" BAD "],\"result_info\":{\"per_page\":1,"
                   "\"total_count\":9}}");
        say(bench, FINE("[" OLD "]"));
        ask.target = names[i];
        bench_ask(bench, &ask);
        assert_int_equal(bench->result, PLATFORM_DONE);
        assert_string_equal(bench->target.id, OLD_ID);
    }
    assert_true(was_asked(bench, 2, "GET " P "/deployments?env=production&page=2 HTTP/1.1\r\n"));
}

static void project_with_nothing_older_has_no_target(void **state)
{
    struct platform_bench *bench = *state;
    say(bench, LIVE(GOOD));
    say(bench, FINE("[" GOOD "," FAILED "]"));
    say(bench, FINE("[]"));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    assert_int_equal(api_stub_count(bench->stub), 3);
}

static void failure_that_may_have_worked_is_looked_at_before_it_is_repeated(void **state)
{
    struct platform_bench *bench = *state;
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," GOOD));
    api_stub_say(bench->stub, 500, NULL, WRONG("8000000"));
    say(bench, LIVE(GOOD));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_int_equal(api_stub_count(bench->stub), 4);
}

static void failure_that_did_not_work_is_repeated(void **state)
{
    struct platform_bench *bench = *state;
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," GOOD));
    api_stub_say(bench->stub, 0, NULL, NULL);
    say(bench, LIVE(BAD));
    api_stub_say(bench->stub, 502, "Content-Type: text/html\r\n", "<html>bad gateway</html>");
    say(bench, LIVE(BAD));
    say(bench, FINE(GOOD));
    say(bench, LIVE(GOOD));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_true(was_asked(bench, 6, "POST"));
}

static void deployment_that_went_live_meanwhile_is_left_alone(void **state)
{
    struct platform_bench *bench = *state;
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," GOOD));
    api_stub_say(bench->stub, 503, NULL, WRONG("8000000"));
    say(bench, LIVE(DEPLOYMENT(OTHER_ID, "production", "6", "deploy", "success", "aaaaaaa6")));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    assert_int_equal(api_stub_count(bench->stub), 4);
}

/* The rate limit would hold the post up, and a deploy does not wait for it. */
static void what_was_read_long_before_the_post_is_read_again(void **state)
{
    struct platform_bench *bench = *state;
    bench_end(bench);
    memset(bench, 0, sizeof *bench);
    struct cloudflare_options options = bench_begin(bench);
    struct note note;
    options.trust_ms = 500;
    assert_int_equal(pages_create(&options, "demo", &bench->provider, &note), OK);
    struct platform_ask ask = roll_back;
    ask.expect_current = BAD_ID;
    say(bench, LIVE(BAD));
    api_stub_say(bench->stub, 200, "Ratelimit: \"default\";r=0;t=1\r\n", LIST(BAD "," GOOD));
    say(bench, LIVE(DEPLOYMENT(OTHER_ID, "production", "6", "deploy", "success", "aaaaaaa6")));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    assert_int_equal(api_stub_count(bench->stub), 3);
}

static void reads_are_repeated_whatever_is_wrong_with_the_answer(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = {.operation = PLATFORM_LOOK};
    api_stub_say(bench->stub, 429, "Retry-After: 0\r\n", WRONG("971"));
    api_stub_say(bench->stub, 502, NULL, "<html>");
    say(bench, "{\"success\":tr");
    api_stub_say_half(bench->stub, LIVE(BAD));
    api_stub_say(bench->stub, 200, NULL, NULL);
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," GOOD));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_DONE);
    const uint64_t *counts = bench->provider->counts.requests[PLATFORM_LOOK];
    assert_int_equal(counts[PLATFORM_RATE_LIMITED], 1);
    assert_int_equal(counts[PLATFORM_TIMED_OUT], 1);
    assert_int_equal(counts[PLATFORM_FAILED], 3);
    assert_int_equal(counts[PLATFORM_DONE], 1);
}

static void retry_after_beyond_the_deadline_ends_the_question(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = {.operation = PLATFORM_LOOK, .deadline_ms = 1000};
    api_stub_say(bench->stub, 429, "Retry-After: 300\r\n", WRONG("971"));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_RATE_LIMITED);
    assert_int_equal(bench->retry_after_ms, 300000);
    /* It holds for everything that follows. */
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_RATE_LIMITED);
    assert_int_equal(api_stub_count(bench->stub), 1);
}

/* A post that is told to wait ends the question too, and does not sleep past its deadline. */
/* Five minutes are the most that Cloudflare blocks anybody for. */
static void retry_after_holds_nobody_up_for_a_day(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = {.operation = PLATFORM_LOOK, .deadline_ms = 1000};
    api_stub_say(bench->stub, 429, "Retry-After: 86400\r\n", WRONG("971"));
    bench_ask(bench, &ask);
    assert_int_equal(bench->retry_after_ms, CLOUDFLARE_BLOCK_MAX_MS);
    bench_ask(bench, &ask);
    assert_true(bench->retry_after_ms <= CLOUDFLARE_BLOCK_MAX_MS);
}

static void post_that_must_wait_beyond_the_deadline_ends_the_question(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.deadline_ms = 5000;
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," GOOD));
    api_stub_say(bench->stub, 429, "Retry-After: 30\r\n", WRONG("971"));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_RATE_LIMITED);
    assert_int_equal(bench->retry_after_ms, 30000);
    assert_int_equal(api_stub_count(bench->stub), 3);
}

static void exhausted_window_is_respected_before_it_is_refused(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = {.operation = PLATFORM_LOOK, .deadline_ms = 1000};
    api_stub_say(bench->stub, 200, "Ratelimit: \"default\";r=0;t=30\r\n", LIVE(BAD));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_RATE_LIMITED);
    assert_int_equal(api_stub_count(bench->stub), 1);
}

static void wrong_credentials_are_told_apart_and_not_repeated(void **state)
{
    static const struct {
        unsigned status;
        const char *body;
    } cases[] = {
        {401, WRONG("10000")}, {403, WRONG("10000")}, {400, WRONG("9106")}, {403, "<html>"}};
    struct platform_bench *bench = *state;
    for (size_t i = 0; i < 4; i++) {
        api_stub_say(bench->stub, cases[i].status, NULL, cases[i].body);
        bench_ask(bench, &roll_back);
        assert_int_equal(bench->result, PLATFORM_DENIED);
    }
    assert_int_equal(api_stub_count(bench->stub), 4);
}

static void redirect_gets_no_token(void **state)
{
    struct platform_bench *bench = *state;
    api_stub_say(bench->stub, 302, "Location: http://127.0.0.1:1/elsewhere\r\n", "");
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_FAILED);
    assert_non_null(strstr(bench->text, "redirect"));
    assert_int_equal(api_stub_count(bench->stub), 1);
}

static void canonical_that_never_moves_times_out(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.wait_ms = 1;
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," GOOD));
    say(bench, FINE(GOOD));
    say(bench, LIVE(BAD));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_TIMED_OUT);
    assert_false(bench->has_moved);
    assert_non_null(strstr(bench->text, "accepted"));
}

static void without_waiting_the_acceptance_is_enough(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.wait_ms = 0;
    say(bench, LIVE(BAD));
    say(bench, LIST(BAD "," GOOD));
    say(bench, FINE(GOOD));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_false(bench->has_moved);
}

static void refusal_is_told_with_code_and_ray_and_without_controls(void **state)
{
    struct platform_bench *bench = *state;
    api_stub_say(bench->stub, 404, NULL, WRONG("8000007"));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    assert_non_null(strstr(bench->text, "8000007"));
    assert_non_null(strstr(bench->text, "8f00ba4e-FRA"));
    assert_non_null(strstr(bench->text, "no?[31m"));
}

static void list_marks_nothing_it_does_not_know(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = {.operation = PLATFORM_LIST, .limit = 3};
    say(bench, LIVE("null"));
    say(bench, LIST("{\"id\":\"a/../b\"},{},5," BAD "," FAILED "," GOOD "," OLD));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_false(bench->has_live);
    assert_int_equal(bench->deployment_count, 3);
    assert_string_equal(bench->deployments[1].status, "failure");
}

static void build_log_is_fetched_as_lines(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = {.operation = PLATFORM_LOG, .target = BAD_ID};
    say(bench, FINE("{\"total\":2,\"data\":[{\"ts\":\"T1\",\"line\":\"npm \\u001b[1mERR\"},"
                    "{\"ts\":\"T2\",\"line\":\"gave up\"}]}"));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_string_equal(bench->log, "T1 npm ?[1mERR\nT2 gave up\n");
    assert_true(was_asked(bench, 0, "GET " P "/deployments/" BAD_ID "/history/logs HTTP/1.1\r\n"));
}

/* What failed, or was never for production, has a log all the same. */
static void build_log_of_any_deployment_is_found_by_its_name(void **state)
{
    static const char *const lists[] = {LIST(BAD "," FAILED), LIST(PREVIEW)};
    struct platform_bench *bench = *state;
    struct platform_ask ask = {.operation = PLATFORM_LOG, .target = "aaaaaaa4.demo.pages.dev"};
    for (size_t i = 0; i < 2; i++) {
        say(bench, lists[i]);
        say(bench, FINE("{\"total\":1,\"data\":[{\"ts\":\"T1\",\"line\":\"gave up\"}]}"));
        ask.environment = i == 0 ? "production" : "preview";
        bench_ask(bench, &ask);
        assert_int_equal(bench->result, PLATFORM_DONE);
        assert_string_equal(bench->log, "T1 gave up\n");
        assert_true(was_asked(bench, 2 * i + 1, "GET " P "/deployments/" OTHER_ID "/history/logs"));
    }
}

static void cancelled_question_is_told_once(void **state)
{
    struct platform_bench *bench = *state;
    api_stub_say(bench->stub, 200, NULL, NULL);
    struct platform_call *call = bench_start(bench, &roll_back);
    while (api_stub_count(bench->stub) == 0) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    provider_cancel(call, bench->provider);
    provider_cancel(call, bench->provider);
    bench_wait(bench);
    assert_int_equal(bench->result, PLATFORM_CANCELLED);
}

static void closing_ends_what_is_under_way(void **state)
{
    struct platform_bench *bench = *state;
    (void)bench_start(bench, &roll_back);
    bench_end(bench);
    assert_int_equal(bench->told, 1);
    assert_int_equal(bench->result, PLATFORM_CANCELLED);
    struct cloudflare_options options = bench_begin(bench);
    struct note note;
    bench->is_closed = 0;
    assert_int_equal(pages_create(&options, "demo", &bench->provider, &note), OK);
}

static void misshapen_settings_are_refused(void **state)
{
    struct platform_bench *bench = *state;
    struct cloudflare_options good = {.loop = &bench->loop,
                                      .fetch = bench->fetch,
                                      .account = BENCH_ACCOUNT,
                                      .token = BENCH_TOKEN};
    struct provider *provider = NULL;
    struct note note = {""};
    struct cloudflare_options bad[6] = {good, good, good, good, good, good};
    bad[0].account = "0123";
    bad[1].token = "";
    bad[2].token = "two\r\nlines";
    bad[3].base = "http://api.example.com/client/v4";
    bad[4].account = NULL;
    bad[5].base = "https://user:secret@api.example.com/";
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(pages_create(&bad[i], "demo", &provider, &note), ERR_SYNTAX);
        assert_true(note.text[0] != '\0');
        assert_null(strstr(note.text, "secret"));
    }
    assert_int_equal(pages_create(&good, "Demo/../x", &provider, &note), ERR_SYNTAX);
}

static void plain_http_is_for_loopback_only(void **state)
{
    (void)state;
    static const char *const fit[] = {"https://api.cloudflare.com/client/v4",
                                      "http://127.0.0.1:1/x", "http://[::1]:8080/",
                                      "http://localhost/client"};
    static const char *const unfit[] = {"http://127.0.0.1.example.com/",
                                        "http://localhost.evil/",
                                        "http://10.0.0.1/",
                                        "ftp://127.0.0.1/",
                                        "https://",
                                        "https://a b/",
                                        "https://x@y/",
                                        "https://h/?q",
                                        "http://[::2]/",
                                        ""};
    for (size_t i = 0; i < sizeof fit / sizeof fit[0]; i++) {
        assert_true(cloudflare_base_is_fit(fit[i]));
    }
    for (size_t i = 0; i < sizeof unfit / sizeof unfit[0]; i++) {
        assert_false(cloudflare_base_is_fit(unfit[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(rollback_goes_to_the_newest_good_one_older_than_the_live),
        TEST(rollback_has_the_form_of_the_official_client),
        TEST(rollback_to_what_became_live_is_done),
        TEST(what_is_live_already_is_not_asked_for),
        TEST(another_live_deployment_than_expected_is_left_alone),
        TEST(targets_that_were_never_good_are_refused_without_asking),
        TEST(target_may_be_a_commit_or_url_on_a_later_page),
        TEST(project_with_nothing_older_has_no_target),
        TEST(failure_that_may_have_worked_is_looked_at_before_it_is_repeated),
        TEST(failure_that_did_not_work_is_repeated),
        TEST(deployment_that_went_live_meanwhile_is_left_alone),
        TEST(what_was_read_long_before_the_post_is_read_again),
        TEST(reads_are_repeated_whatever_is_wrong_with_the_answer),
        TEST(retry_after_beyond_the_deadline_ends_the_question),
        TEST(retry_after_holds_nobody_up_for_a_day),
        TEST(post_that_must_wait_beyond_the_deadline_ends_the_question),
        TEST(exhausted_window_is_respected_before_it_is_refused),
        TEST(wrong_credentials_are_told_apart_and_not_repeated),
        TEST(redirect_gets_no_token),
        TEST(canonical_that_never_moves_times_out),
        TEST(without_waiting_the_acceptance_is_enough),
        TEST(refusal_is_told_with_code_and_ray_and_without_controls),
        TEST(list_marks_nothing_it_does_not_know),
        TEST(build_log_is_fetched_as_lines),
        TEST(build_log_of_any_deployment_is_found_by_its_name),
        TEST(cancelled_question_is_told_once),
        TEST(closing_ends_what_is_under_way),
        TEST(misshapen_settings_are_refused),
        cmocka_unit_test(plain_http_is_for_loopback_only),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
