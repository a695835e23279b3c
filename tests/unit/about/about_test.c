/* What Serin says of itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "canary/about/about.h"
#include "canary/about/libraries.h"
#include "tests/support/alloc_fail.h"

static json_t *told(void)
{
    struct buf text;
    buf_init(&text, 65536);
    about_append_json(&text);
    struct bytes bytes = buf_bytes(&text);
    json_t *document = json_loadb(bytes.data, bytes.size, 0, NULL);
    assert_false(text.is_failed);
    assert_non_null(document);
    buf_finish(&text);
    return document;
}

static void every_library_has_the_version_it_was_built_with_and_the_one_that_runs(void **state)
{
    struct about_library library;
    size_t count = 0;
    (void)state;
    for (; about_library_at(count, &library); count++) {
        assert_true(library.built[0] >= '0' && library.built[0] <= '9');
        assert_true(library.running[0] >= '0' && library.running[0] <= '9');
    }
    assert_true(count >= 10);
    assert_false(about_library_at(count, &library));
}

static void programs_read_what_people_read(void **state)
{
    (void)state;
    json_t *document = told();
    struct buf text;
    buf_init(&text, 65536);
    about_append_text(&text);
    assert_int_equal(buf_append_byte(&text, '\0'), OK);
    const char *words = buf_bytes(&text).data;
    const char *key;
    json_t *value;
    assert_int_equal(json_object_size(document), 7);
    json_object_foreach(document, key, value)
    {
        if (json_is_string(value)) {
            assert_non_null(strstr(words, json_string_value(value)));
        }
    }
    assert_string_equal(json_string_value(json_object_get(document, "version")), about_version());
    assert_string_equal(json_string_value(json_object_get(document, "commit")), about_commit());
    size_t index;
    json_array_foreach(json_object_get(document, "libraries"), index, value)
    {
        struct about_library library;
        assert_true(about_library_at(index, &library));
        assert_string_equal(json_string_value(json_object_get(value, "name")), library.name);
        assert_string_equal(json_string_value(json_object_get(value, "running")), library.running);
        assert_non_null(strstr(words, library.running));
    }
    assert_true(index >= 10);
    buf_finish(&text);
    json_decref(document);
}

static void without_memory_nothing_half_is_taken_for_whole(void **state)
{
    (void)state;
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct buf text;
        buf_init(&text, 65536);
        about_append_json(&text);
        bool is_whole = !text.is_failed;
        buf_finish(&text);
        if (!alloc_fail_end()) {
            assert_true(is_whole);
            break;
        }
        assert_false(is_whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_library_has_the_version_it_was_built_with_and_the_one_that_runs),
        cmocka_unit_test(programs_read_what_people_read),
        cmocka_unit_test(without_memory_nothing_half_is_taken_for_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
