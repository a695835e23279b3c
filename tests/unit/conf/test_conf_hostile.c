/* tests/unit/conf/test_conf_hostile.c — files that want to cost too much, and machines that have
 * nothing left. */
#include <stdlib.h>

#include "conf/conf_diff.h"
#include "tests/support/alloc_fail.h"
#include "tests/unit/conf/conf_play.h"

static enum err load(struct bytes text, struct conf_errors *errors)
{
    struct conf *conf = NULL;
    enum err err = conf_load_memory("hostile.yaml", text, errors, &conf);
    assert_true((conf != NULL) == (err == OK));
    conf_destroy(conf);
    return err;
}

/* A text of `count` times `piece`, between two others. */
static struct bytes repeat(struct buf *buf, const char *before, const char *piece, size_t count,
                           const char *after)
{
    buf_clear(buf);
    (void)buf_append(buf, bytes_of(before));
    for (size_t i = 0; i < count; i++) {
        (void)buf_append(buf, bytes_of(piece));
    }
    (void)buf_append(buf, bytes_of(after));
    assert_false(buf->is_failed);
    return buf_bytes(buf);
}

static void too_large_a_file_is_refused_unread(void **state)
{
    (void)state;
    struct conf_errors errors;
    struct buf buf;
    conf_errors_init(&errors);
    buf_init(&buf, CONF_FILE_MAX + 4096);
    size_t fill = CONF_FILE_MAX - sizeof(PLAY_LISTEN PLAY_SERVICE) + 1;
    assert_int_equal(load(repeat(&buf, PLAY_LISTEN PLAY_SERVICE, "\n", fill, ""), &errors), OK);
    assert_int_equal(load(repeat(&buf, PLAY_LISTEN PLAY_SERVICE, "\n", fill + 1, ""), &errors),
                     ERR_LIMIT);
    assert_int_equal(errors.count, 1);
    conf_errors_finish(&errors);
    buf_finish(&buf);
}

static void depth_and_width_end_in_errors(void **state)
{
    (void)state;
    const struct {
        const char *before;
        const char *piece;
        size_t count;
        const char *after;
    } cases[] = {
        {"", "[", 200000, ""},
        {"", "{a: ", 50000, ""},
        {"", "- ", 100000, ""},
        {"workers: ", "&a ", 80000, ""},
        {"services: [", "{},", 60000, "]\n"},
        {"listen: [", "{address: 1.1.1.1:1},", 12000, "]\n"},
        {"", "a: b\n", 50000, ""},
        {"{", "a, ", 80000, "}"},
        {"? ", "? ", 100000, ""},
        {"trusted_proxies: [", "10.0.0.0/8, ", 20000, "]\n"},
        {"workers: \"", "\\0", 100000, "\"\n"},
        {"%TAG ! tag:", "a", 200000, "\n--- a\n"},
    };
    struct conf_errors errors;
    struct buf buf;
    conf_errors_init(&errors);
    buf_init(&buf, CONF_FILE_MAX);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bytes text =
            repeat(&buf, cases[i].before, cases[i].piece, cases[i].count, cases[i].after);
        enum err err = load(text, &errors);
        assert_true(err == ERR_SYNTAX || err == ERR_LIMIT);
        assert_true(errors.count > 0);
        assert_true(errors.count <= CONF_ERRORS_MAX);
    }
    conf_errors_finish(&errors);
    buf_finish(&buf);
}

static void aliases_are_counted_each_time(void **state)
{
    (void)state;
    struct conf_errors errors;
    struct buf buf;
    conf_errors_init(&errors);
    buf_init(&buf, CONF_FILE_MAX);
    /* One service of 64 endpoints and 128 hosts, named 256 times over, in all parts that can be
     * shared. */
    (void)buf_append(&buf, BYTES(PLAY_LISTEN "services:\n- &s {name: a, hosts: [h"));
    for (size_t i = 1; i < CONF_HOSTS_MAX; i++) {
        (void)buf_printf(&buf, ", h%zu", i);
    }
    (void)buf_append(&buf, BYTES("], paths: [/"));
    for (size_t i = 1; i < CONF_PATHS_MAX; i++) {
        (void)buf_printf(&buf, ", /%zu", i);
    }
    (void)buf_append(&buf, BYTES("], previous: {endpoints: [http://e"));
    for (size_t i = 1; i < CONF_ENDPOINTS_MAX; i++) {
        (void)buf_printf(&buf, ", http://e%zu", i);
    }
    (void)buf_append(&buf, BYTES("]}}\n"));
    for (size_t i = 1; i < CONF_SERVICES_MAX; i++) {
        (void)buf_append(&buf, BYTES("- *s\n"));
    }
    assert_false(buf.is_failed);
    assert_int_equal(load(buf_bytes(&buf), &errors), ERR_SYNTAX);
    assert_true(errors.count > 0);

    /* More than 256 would have to be refused by their number; nesting what cannot nest ends at
     * once. */
    const char loop[] = "services: &a [*a, *a, *a, *a]\nlisten: *a\nadmin: &b {tokens: [*b, *b]}\n";
    assert_int_equal(load(bytes_of(loop), &errors), ERR_SYNTAX);
    conf_errors_finish(&errors);
    buf_finish(&buf);
}

static void more_errors_than_are_kept_are_counted(void **state)
{
    (void)state;
    struct conf_errors errors;
    struct buf buf;
    struct buf said;
    conf_errors_init(&errors);
    buf_init(&buf, CONF_FILE_MAX);
    buf_init(&said, CONF_FILE_MAX);
    struct bytes text =
        repeat(&buf, PLAY_LISTEN PLAY_SERVICE, "zebra: 1\n", CONF_ERRORS_MAX + 7, "");
    assert_int_equal(load(text, &errors), ERR_SYNTAX);
    assert_int_equal(errors.count, CONF_ERRORS_MAX);
    assert_int_equal(errors.omitted_count, 7);
    conf_errors_append(&errors, &said);
    assert_true(bytes_ends_with(buf_bytes(&said), BYTES("hostile.yaml: 7 more not shown\n")));
    conf_errors_finish(&errors);
    buf_finish(&said);
    buf_finish(&buf);
}

static void long_values_are_cut_and_controls_hidden(void **state)
{
    (void)state;
    struct conf_errors errors;
    struct buf buf;
    conf_errors_init(&errors);
    buf_init(&buf, CONF_FILE_MAX);
    struct bytes text =
        repeat(&buf, PLAY_LISTEN PLAY_SERVICE "workers: ", "x", 100000, "\n\"\\e[31m\": 1\n");
    assert_int_equal(load(text, &errors), ERR_SYNTAX);
    assert_int_equal(errors.count, 2);
    assert_true(strlen(errors.errors[0].text) < 200);
    assert_string_equal(errors.errors[1].text, "unknown key \"?[31m\"");
    conf_errors_finish(&errors);
    buf_finish(&buf);
}

static const char full[] =
    PLAY_BOTH("  weight: 10%\n  hosts: [a, b]\n  health: on\n  sticky: {by: header, name: "
              "X}\n") "admin: {tokens: [{name: t, env: T}]}\ntrusted_proxies: "
                      "[10.0.0.0/8]\nstate: data/s.db\n";

static void no_memory_is_said_and_leaks_nothing(void **state)
{
    (void)state;
    bool was_refused = true;
    for (size_t turn = 0; was_refused; turn++) {
        struct conf_errors errors;
        struct conf *conf = NULL;
        conf_errors_init(&errors);
        (void)alloc_fail_begin(turn);
        enum err err = conf_load_memory("etc/play.yaml", bytes_of(full), &errors, &conf);
        was_refused = alloc_fail_end();
        assert_true(err == (was_refused ? ERR_NOMEM : OK));
        assert_true(conf_errors_are_none(&errors) == (err == OK));
        conf_destroy(conf);
        conf_errors_finish(&errors);
    }
}

static void no_memory_never_lets_a_wrong_file_pass(void **state)
{
    (void)state;
    bool was_refused = true;
    for (size_t turn = 0; was_refused; turn++) {
        struct conf_errors errors;
        struct conf *conf = NULL;
        conf_errors_init(&errors);
        (void)alloc_fail_begin(turn);
        enum err err = conf_load_memory("play.yaml", BYTES(PLAY_LISTEN PLAY_SERVICE "zebra: 1\n"),
                                        &errors, &conf);
        was_refused = alloc_fail_end();
        assert_true(err == ERR_SYNTAX || err == ERR_NOMEM);
        assert_null(conf);
        assert_false(conf_errors_are_none(&errors));
        conf_errors_finish(&errors);
    }
}

static void no_memory_for_a_diff_is_said(void **state)
{
    (void)state;
    struct conf *before = play_load(PLAY_LISTEN PLAY_SERVICE);
    struct conf *after = play_load(PLAY_BOTH("") "workers: 3\nlimits: {headers: 50}\n");
    bool was_refused = true;
    for (size_t turn = 0; was_refused; turn++) {
        struct conf_diff *diff = NULL;
        (void)alloc_fail_begin(turn);
        enum err err = conf_diff_create(before, after, &diff);
        was_refused = alloc_fail_end();
        assert_true(err == (was_refused ? ERR_NOMEM : OK));
        conf_diff_destroy(diff);
    }
    conf_destroy(before);
    conf_destroy(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_large_a_file_is_refused_unread),
        cmocka_unit_test(depth_and_width_end_in_errors),
        cmocka_unit_test(aliases_are_counted_each_time),
        cmocka_unit_test(more_errors_than_are_kept_are_counted),
        cmocka_unit_test(long_values_are_cut_and_controls_hidden),
        cmocka_unit_test(no_memory_is_said_and_leaks_nothing),
        cmocka_unit_test(no_memory_never_lets_a_wrong_file_pass),
        cmocka_unit_test(no_memory_for_a_diff_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
