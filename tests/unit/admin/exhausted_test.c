/* Every allocation refused in turn: each request still gets one answer, and nothing is half done.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/alloc_fail.h"
#include "tests/unit/admin/admin_bench.h"

/* jansson's allocations are refused too: these two are compiled here, where malloc is led astray.
 */
static void *take(size_t size)
{
    return malloc(size);
}

static void give(void *memory)
{
    free(memory);
}

static void ask_without_memory(enum method method, const char *target, const char *body,
                               unsigned status)
{
    struct admin_bench bench;
    admin_bench_init(&bench, NULL);
    bench.fake.result = ADMIN_DONE;
    unsigned asked = 0;
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        unsigned answer = body != NULL ? ask_json(&bench, method, target, body)
                                       : ask(&bench, method, target, NULL);
        if (!alloc_fail_end()) {
            assert_int_equal(answer, status);
            break;
        }
        /* jansson takes a token for which it has no memory for a mistake in the text. */
        bool is_misread = body != NULL && answer == 400;
        assert_true(answer == status || answer == 503 || is_misread);
        assert_int_equal(admin_call_count(bench.admin), 0);
        assert_in_range(bench.fake.asked - asked, 0, 1);
        asked = bench.fake.asked;
    }
    admin_bench_finish(&bench);
}

static void views_survive(void **state)
{
    (void)state;
    ask_without_memory(METHOD_GET, "/api/v1/status", NULL, 200);
    ask_without_memory(METHOD_GET, "/api/v1/services/showcase", NULL, 200);
    ask_without_memory(METHOD_GET, "/metrics", NULL, 200);
}

static void changes_survive(void **state)
{
    (void)state;
    ask_without_memory(METHOD_PUT, "/api/v1/services/showcase/weight", "{\"current\":1}", 200);
    ask_without_memory(METHOD_POST, "/api/v1/services/showcase/rollback", "{\"reason\":\"a\"}",
                       200);
    ask_without_memory(METHOD_POST, "/api/v1/explain", "{\"url\":\"http://a?b\"}", 200);
}

static void refusals_survive(void **state)
{
    (void)state;
    ask_without_memory(METHOD_GET, "/nothing", NULL, 404);
    ask_without_memory(METHOD_PUT, "/api/v1/services/showcase/weight", "{\"x\":1}", 422);
    ask_without_memory(METHOD_PUT, "/api/v1/services/showcase/weight", "{", 400);
}

static void start_without_memory_says_so(void **state)
{
    (void)state;
    struct admin_bench bench;
    admin_bench_init(&bench, NULL);
    struct admin_options options = {
        .ops = &fake_ops, .context = &bench.fake, .clock = clock_system(), .conf = &bench.conf};
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct admin *admin = NULL;
        struct note note = {""};
        enum err err = admin_create(&options, &admin, &note);
        bool is_refused = alloc_fail_end();
        assert_int_equal(err, is_refused ? ERR_NOMEM : OK);
        admin_destroy(admin);
        if (!is_refused) {
            break;
        }
    }
    admin_bench_finish(&bench);
}

static void events_are_left_out_rather_than_broken(void **state)
{
    (void)state;
    struct admin_bench bench;
    admin_bench_init(&bench, NULL);
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        admin_publish(bench.admin, "phase", "showcase", NULL);
        admin_tick(bench.admin);
        if (!alloc_fail_end()) {
            break;
        }
    }
    admin_bench_finish(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_survive),
        cmocka_unit_test(changes_survive),
        cmocka_unit_test(refusals_survive),
        cmocka_unit_test(start_without_memory_says_so),
        cmocka_unit_test(events_are_left_out_rather_than_broken),
    };
    json_set_alloc_funcs(take, give);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
