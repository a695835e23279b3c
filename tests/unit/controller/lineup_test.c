/* Which versions are in force, and what the state file keeps of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "canary/controller/lineup.h"
#include "canary/controller/progress.h"
#include "conf/conf_load.h"
#include "tests/support/alloc_fail.h"

#define FILE_OF(versions)                                                                          \
    "listen: [{address: '127.0.0.1:8080'}]\n"                                                      \
    "services:\n"                                                                                  \
    "  - name: shop\n" versions
#define PREVIOUS(name, url) "    previous: {deployment: " name ", endpoints: ['" url "']}\n"
#define CURRENT(name, url)  "    current: {deployment: " name ", endpoints: ['" url "']}\n"
#define V1                  PREVIOUS("v1", "http://127.0.0.1:1")
#define V2                  CURRENT("v2", "http://127.0.0.1:2")

static struct conf *load(const char *text)
{
    struct conf *conf = NULL;
    struct conf_errors errors;
    conf_errors_init(&errors);
    assert_int_equal(conf_load_memory("test.yaml", bytes_of(text), &errors, &conf), OK);
    conf_errors_finish(&errors);
    return conf;
}

static struct conf_version *version(const char *deployment, const char *url)
{
    struct conf_version *version = NULL;
    struct note note = {""};
    assert_int_equal(conf_version_create(deployment, &url, 1, &note, &version), OK);
    return version;
}

static const char *name_of(const struct lineup *lineup, enum role role)
{
    return lineup->versions[role] != NULL ? lineup->versions[role]->deployment : "-";
}

static void assert_versions(const struct lineup *lineup, const char *current, const char *previous)
{
    assert_string_equal(name_of(lineup, ROLE_CURRENT), current);
    assert_string_equal(name_of(lineup, ROLE_PREVIOUS), previous);
}

/* v3 on top of the file's v1 and v2. */
static void start_v3(const struct conf *conf, bool is_takeover, struct lineup *ret_lineup)
{
    struct lineup file;
    struct conf_version *v3 = version("v3", "http://127.0.0.1:3");
    assert_int_equal(lineup_of_file(&conf->services[0], &file), OK);
    assert_int_equal(lineup_start(&file, &conf->services[0], v3, is_takeover, ret_lineup), OK);
    conf_version_destroy(v3);
    lineup_finish(&file);
}

static void start_replaces_the_canary_or_takes_over(void **state)
{
    (void)state;
    struct conf *conf = load(FILE_OF(V1 V2));
    struct lineup lineup;
    start_v3(conf, false, &lineup);
    assert_versions(&lineup, "v3", "v1");
    assert_true(lineup.is_started);
    lineup_finish(&lineup);
    start_v3(conf, true, &lineup);
    assert_versions(&lineup, "v3", "v2");
    lineup_finish(&lineup);
    conf_destroy(conf);
}

static void file_of_the_same_names_says_nothing_new(void **state)
{
    (void)state;
    struct conf *conf = load(FILE_OF(V1 V2));
    struct conf *moved = load(FILE_OF(PREVIOUS("v1", "http://127.0.0.1:9") V2));
    struct lineup started;
    struct lineup after;
    start_v3(conf, false, &started);
    assert_true(lineup_holds(&started, &moved->services[0]));
    assert_int_equal(lineup_follow(&started, &moved->services[0], &after), OK);
    assert_versions(&after, "v3", "v1");
    assert_true(after.is_started);
    /* Of what it names, the file says where it is. */
    assert_string_equal(after.versions[ROLE_PREVIOUS]->endpoints[0].url, "http://127.0.0.1:9");
    lineup_finish(&after);
    lineup_finish(&started);
    conf_destroy(moved);
    conf_destroy(conf);
}

static void file_of_other_names_wins(void **state)
{
    (void)state;
    static const char *const files[] = {
        FILE_OF(V1 CURRENT("v4", "http://127.0.0.1:4")),
        FILE_OF(PREVIOUS("v0", "http://127.0.0.1:5") V2),
        FILE_OF(V1),
    };
    static const char *const names[][2] = {{"v4", "v1"}, {"v2", "v0"}, {"-", "v1"}};
    struct conf *conf = load(FILE_OF(V1 V2));
    struct lineup started;
    start_v3(conf, false, &started);
    for (size_t i = 0; i < 3; i++) {
        struct conf *other = load(files[i]);
        struct lineup after;
        assert_false(lineup_holds(&started, &other->services[0]));
        assert_int_equal(lineup_follow(&started, &other->services[0], &after), OK);
        assert_versions(&after, names[i][0], names[i][1]);
        assert_false(after.is_started);
        lineup_finish(&after);
        conf_destroy(other);
    }
    lineup_finish(&started);
    conf_destroy(conf);
}

static void start_of_what_the_file_names_is_the_files(void **state)
{
    (void)state;
    struct conf *conf = load(FILE_OF(V1 V2));
    struct lineup started;
    struct lineup again;
    struct conf_version *v2 = version("v2", "http://127.0.0.1:2");
    start_v3(conf, false, &started);
    assert_int_equal(lineup_start(&started, &conf->services[0], v2, false, &again), OK);
    assert_versions(&again, "v2", "v1");
    assert_false(again.is_started);
    conf_version_destroy(v2);
    lineup_finish(&again);
    lineup_finish(&started);
    conf_destroy(conf);
}

static void what_was_written_comes_back(void **state)
{
    (void)state;
    struct conf *conf = load(FILE_OF(V1 V2));
    struct lineup started;
    struct lineup back;
    struct rollout_journal journal = {.is_ascending = true, .gate = ROLLOUT_GATE_OPEN};
    journal.ladder =
        (struct ladder){.weights_ppm = {10000, 1000000}, .has_gate = {true}, .count = 2};
    start_v3(conf, true, &started);
    for (int turn = 0; turn < 2; turn++) {
        struct rollout_journal read = {.is_ascending = false};
        const char *detail = lineup_detail(&started, &journal);
        assert_non_null(detail);
        assert_int_equal(lineup_from_detail(detail, &back), OK);
        assert_versions(&back, "v3", "v2");
        assert_string_equal(back.versions[ROLE_CURRENT]->endpoints[0].url, "http://127.0.0.1:3");
        assert_true(lineup_holds(&back, &conf->services[0]));
        progress_from_text(detail, 1, &read);
        assert_int_equal(read.is_ascending, journal.is_ascending);
        lineup_finish(&back);
        journal.is_ascending = false;
    }
    lineup_finish(&started);
    conf_destroy(conf);
}

static void versions_of_the_file_are_not_kept(void **state)
{
    (void)state;
    struct conf *conf = load(FILE_OF(V1 V2));
    struct lineup lineup;
    struct lineup back;
    struct rollout_journal journal = {.is_ascending = false};
    assert_int_equal(lineup_of_file(&conf->services[0], &lineup), OK);
    assert_null(lineup_detail(&lineup, &journal));
    assert_int_equal(lineup_from_detail(NULL, &back), ERR_NOT_FOUND);
    assert_int_equal(lineup_from_detail("{\"rollout\":{}}", &back), ERR_NOT_FOUND);
    lineup_finish(&lineup);
    conf_destroy(conf);
}

#define GOOD    "{\"deployment\":\"v3\",\"endpoints\":[\"http://127.0.0.1:3\"]}"
#define FILED   "\"configured\":{\"current\":\"\",\"previous\":\"v1\"}"
#define KEPT(x) "{\"versions\":{" x "}}"

static void damaged_text_is_refused_whole(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{",
        "[]",
        KEPT(""),
        KEPT(FILED),
        KEPT("\"previous\":" GOOD),
        KEPT("\"current\":" GOOD "," FILED),
        KEPT("\"previous\":{\"deployment\":\"a b\",\"endpoints\":[\"http://127.0.0.1:3\"]}," FILED),
        KEPT("\"previous\":{\"deployment\":\"v3\",\"endpoints\":[]}," FILED),
        KEPT("\"previous\":{\"deployment\":\"v3\",\"endpoints\":[1]}," FILED),
        KEPT("\"previous\":{\"deployment\":\"v3\",\"endpoints\":[\"ftp://a\"]}," FILED),
        KEPT("\"previous\":" GOOD ",\"configured\":{\"current\":7,\"previous\":\"v1\"}"),
    };
    struct lineup lineup;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        enum err err = lineup_from_detail(texts[i], &lineup);
        assert_true(err == ERR_SYNTAX || (i == 1 && err == ERR_NOT_FOUND));
    }
    assert_int_equal(lineup_from_detail(KEPT("\"previous\":" GOOD "," FILED), &lineup), OK);
    lineup_finish(&lineup);
}

static void refused_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    struct conf *conf = load(FILE_OF(V1 V2));
    struct conf_version *v3 = version("v3", "http://127.0.0.1:3");
    struct lineup file;
    struct lineup started = {.is_started = false};
    bool is_done = false;
    assert_int_equal(lineup_of_file(&conf->services[0], &file), OK);
    for (size_t turn = 0; !is_done && alloc_fail_begin(turn); turn++) {
        enum err err = lineup_start(&file, &conf->services[0], v3, true, &started);
        is_done = !alloc_fail_end();
        assert_int_equal(err, is_done ? OK : ERR_NOMEM);
    }
    assert_versions(&started, "v3", "v2");
    lineup_finish(&started);
    lineup_finish(&file);
    conf_version_destroy(v3);
    conf_destroy(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_replaces_the_canary_or_takes_over),
        cmocka_unit_test(file_of_the_same_names_says_nothing_new),
        cmocka_unit_test(file_of_other_names_wins),
        cmocka_unit_test(start_of_what_the_file_names_is_the_files),
        cmocka_unit_test(what_was_written_comes_back),
        cmocka_unit_test(versions_of_the_file_are_not_kept),
        cmocka_unit_test(damaged_text_is_refused_whole),
        cmocka_unit_test(refused_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
