/* What a write makes worthless, and what it must leave alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/cache/cache_invalidate.h"
#include "tests/support/fields_text.h"

static void only_writes_that_worked_invalidate(void **state)
{
    (void)state;
    assert_true(cache_is_invalidating(METHOD_POST, 200));
    assert_true(cache_is_invalidating(METHOD_PUT, 201));
    assert_true(cache_is_invalidating(METHOD_DELETE, 204));
    assert_true(cache_is_invalidating(METHOD_PATCH, 303));
    assert_true(cache_is_invalidating(METHOD_POST, 399));
    assert_false(cache_is_invalidating(METHOD_POST, 400));
    assert_false(cache_is_invalidating(METHOD_POST, 500));
    assert_false(cache_is_invalidating(METHOD_POST, 103));
    assert_false(cache_is_invalidating(METHOD_GET, 200));
    assert_false(cache_is_invalidating(METHOD_HEAD, 200));
    assert_false(cache_is_invalidating(METHOD_OPTIONS, 200));
    assert_false(cache_is_invalidating(METHOD_TRACE, 200));
}

struct play {
    const char *name;
    const char *target;
    const char *fields;
    const char *other; /* what goes beside the target itself; NULL: nothing */
};

static const struct play plays[] = {
    {"nothing is named", "/a", "", NULL},
    {"a path from the root", "/a?x=1", "Location: /b?y=2", "/b?y=2"},
    {"Content-Location too", "/a", "Content-Location: /b", "/b"},
    {"our own address", "/a", "Location: http://Shop.test/b", "/b"},
    {"our own address with its port", "/a", "Location: http://shop.test:80/b", "/b"},
    {"our own address and nothing more", "/a", "Location: http://shop.test", "/"},
    {"our own address without scheme", "/a", "Location: //shop.test/b", "/b"},
    {"a fragment is not sent", "/a", "Location: /b#top", "/b"},
    {"a relative path", "/x/y?q", "Location: z", "/x/z"},
    {"a relative path with dots", "/x/y/z", "Location: ./../w?a/../b", "/x/w?a/../b"},
    {"a path from the root with dots", "/x", "Location: /a/./b/../c", "/a/c"},
    {"dots past the root", "/x", "Location: /../../c", "/c"},
    {"dots at the end", "/x", "Location: /a/b/..", "/a/"},
    {"the target itself is named once", "/a", "Location: /a", NULL},
    {"another host", "/a", "Location: http://other.test/b", NULL},
    {"another port", "/a", "Location: http://shop.test:8080/b", NULL},
    {"another scheme", "/a", "Location: https://shop.test/b", NULL},
    {"another host without scheme", "/a", "Location: //other.test/b", NULL},
    {"no address at all", "/a", "Location: mailto:me@shop.test", NULL},
    {"a user in it", "/a", "Location: http://shop.test@other.test/b", NULL},
    {"a query without path", "/a", "Location: http://shop.test?b", NULL},
    {"an empty one is the target", "/a", "Location:", NULL},
    {"an empty one is the target without its query", "/a?b", "Location:", "/a"},
    {"another query", "/x/y?a", "Location: ?b", "/x/y?b"},
    {"only a fragment", "/a", "Location: #b", NULL},
    {"a scheme and no host", "/a", "Location: http:/b", NULL},
};

static void references_are_followed_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plays); i++) {
        const struct play *play = &plays[i];
        struct fields_text text;
        struct bytes targets[CACHE_INVALIDATED_MAX];
        const struct request request = {.method = METHOD_POST,
                                        .target = bytes_of(play->target),
                                        .authority = BYTES("shop.test")};
        const struct response response = {.status = 201,
                                          .fields = fields_text_read(&text, play->fields)};
        struct arena arena;
        arena_init(&arena, 1 << 16);
        size_t count = cache_invalidated(&request, BYTES("http"), &response, &arena, targets);
        bool is_good = count == (play->other != NULL ? 2u : 1u);
        is_good = is_good && bytes_equal(targets[0], request.target);
        is_good =
            is_good && (play->other == NULL || bytes_equal(targets[1], bytes_of(play->other)));
        if (!is_good) {
            fail_msg("%s: %zu, %.*s", play->name, count, count > 1 ? (int)targets[1].size : 0,
                     count > 1 ? targets[1].data : "");
        }
        arena_finish(&arena);
    }
}

static void both_fields_count(void **state)
{
    (void)state;
    struct fields_text text;
    struct bytes targets[CACHE_INVALIDATED_MAX];
    const struct request request = {
        .method = METHOD_PUT, .target = BYTES("/a"), .authority = BYTES("shop.test:8443")};
    const struct response response = {
        .status = 200,
        .fields = fields_text_read(&text, "Location: https://shop.test:8443/b\n"
                                          "Content-Location: /c")};
    struct arena arena;
    arena_init(&arena, 1 << 16);
    assert_int_equal(cache_invalidated(&request, BYTES("https"), &response, &arena, targets), 3);
    assert_true(bytes_equal(targets[1], BYTES("/b")));
    assert_true(bytes_equal(targets[2], BYTES("/c")));
    arena_finish(&arena);
}

static void without_memory_the_target_itself_still_goes(void **state)
{
    (void)state;
    struct fields_text text;
    struct bytes targets[CACHE_INVALIDATED_MAX];
    const struct request request = {
        .method = METHOD_PUT, .target = BYTES("/a"), .authority = BYTES("shop.test")};
    const struct response response = {.status = 200,
                                      .fields = fields_text_read(&text, "Location: /b")};
    struct arena arena;
    arena_init(&arena, 0);
    assert_int_equal(cache_invalidated(&request, BYTES("http"), &response, &arena, targets), 1);
    assert_true(bytes_equal(targets[0], BYTES("/a")));
    arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_writes_that_worked_invalidate),
        cmocka_unit_test(references_are_followed_as_the_table_says),
        cmocka_unit_test(both_fields_count),
        cmocka_unit_test(without_memory_the_target_itself_still_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
