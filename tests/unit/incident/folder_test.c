#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "canary/incident/folder.h"
#include "tests/unit/incident/incident_bench.h"

enum { PATH_SIZE = 512 };

struct place {
    char root[64];
    char path[80]; /* of the reports */
};

static int set_up(void **state)
{
    static struct place place;
    (void)snprintf(place.root, sizeof place.root, "/tmp/incident-folder.XXXXXX");
    if (mkdtemp(place.root) == NULL) {
        return -1;
    }
    (void)snprintf(place.path, sizeof place.path, "%s/a/b", place.root);
    *state = &place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", place->root);
    return system(command);
}

static const char *path_of(const struct place *place, const char *name)
{
    static char text[PATH_SIZE];
    (void)snprintf(text, sizeof text, "%s/%s", place->path, name);
    return text;
}

static bool is_there(const struct place *place, const char *name)
{
    struct stat status;
    return lstat(path_of(place, name), &status) == 0;
}

static void put_file(const struct place *place, const char *name, const char *text)
{
    FILE *file = fopen(path_of(place, name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void put_folder(const struct place *place, const char *name)
{
    assert_int_equal(mkdir(path_of(place, name), 0700), 0);
}

static struct witness *half_witness(void)
{
    struct witness *witness = bench_witness(3);
    incident_set_record(witness_incident(witness), bench_record("in_progress"), "breach", 0);
    return witness;
}

static enum err write_of(const struct place *place, struct witness *witness)
{
    struct incident_work *work = NULL;
    struct note note = {""};
    assert_int_equal(incident_make_work(witness_incident(witness), bench_wall_us(3), &work), OK);
    enum err err = folder_write(place->path, work, NULL, &note);
    assert_true((err == OK) == (note.text[0] == '\0'));
    incident_work_destroy(work);
    return err;
}

static size_t lines_of(const struct place *place, const char *name)
{
    size_t count = 0;
    FILE *file = fopen(path_of(place, name), "r");
    assert_non_null(file);
    for (int c = fgetc(file); c != EOF; c = fgetc(file)) {
        count += c == '\n';
    }
    (void)fclose(file);
    return count;
}

static void report_is_written_and_read(void **state)
{
    struct place *place = *state;
    struct witness *witness = half_witness();
    char ids[2][INCIDENT_ID_SIZE];
    struct buf text;
    assert_int_equal(write_of(place, witness), OK);
    assert_int_equal(folder_find_incomplete(place->path, ids, 2), 1);
    assert_string_equal(ids[0], BENCH_ID);
    incident_set_record(witness_incident(witness), bench_record("success"), "complete",
                        bench_wall_us(3));
    incident_add_build_log(witness_incident(witness), BYTES("\x1b[31mnpm ERR!\x1b[0m\n"));
    assert_int_equal(write_of(place, witness), OK);
    assert_int_equal(folder_find_incomplete(place->path, ids, 2), 0);
    buf_init(&text, 1024 * 1024);
    assert_int_equal(folder_read(place->path, BENCH_ID, FOLDER_MARKDOWN, &text), OK);
    (void)buf_append_byte(&text, '\0');
    assert_non_null(strstr(buf_bytes(&text).data, "    npm ERR!\n"));
    assert_int_equal(folder_read(place->path, "rb-other", FOLDER_JSON, &text), ERR_NOT_FOUND);
    buf_finish(&text);
    assert_int_equal(lines_of(place, BENCH_ID "/requests.jsonl"), 3);
    assert_int_equal(lines_of(place, BENCH_ID "/build.log"), 1);
    struct stat status;
    assert_int_equal(stat(path_of(place, BENCH_ID "/requests.jsonl"), &status), 0);
    assert_int_equal(status.st_mode & 07, 0);
    witness_destroy(witness);
}

static void ids_name_no_other_place(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   ".",   "..",  "a/b", "/a",  "-a",   ".new-a",
                                      "a.", "a b", "a\n", "~",   "a_b", "\xff", "a%2f"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(folder_is_id(bad[i]));
    }
    char text[INCIDENT_ID_SIZE + 1];
    memset(text, 'a', sizeof text);
    text[INCIDENT_ID_SIZE] = '\0';
    assert_false(folder_is_id(text));
    text[INCIDENT_ID_SIZE - 1] = '\0';
    assert_true(folder_is_id(text));
    assert_true(folder_is_id(BENCH_ID));
}

static void folder_that_cannot_be_made_is_an_error_with_words(void **state)
{
    struct place *place = *state;
    struct witness *witness = half_witness();
    char blocker[80];
    (void)snprintf(blocker, sizeof blocker, "%s/a", place->root);
    int fd = open(blocker, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(write_of(place, witness), ERR_IO);
    assert_int_equal(unlink(blocker), 0);
    assert_int_equal(write_of(place, witness), OK);
    witness_destroy(witness);
}

static void only_old_reports_are_removed(void **state)
{
    struct place *place = *state;
    struct witness *witness = half_witness();
    assert_int_equal(write_of(place, witness), OK);
    put_folder(place, "rb-20200101T000000-000abcdef");
    put_file(place, "rb-20200101T000000-000abcdef/report.md", "old");
    put_folder(place, "rb-20200102T000000-000abcdef");
    put_file(place, "rb-20200102T000000-000abcdef/report.md", "old");
    put_file(place, "rb-20200102T000000-000abcdef/post-mortem.md", "of somebody");
    put_folder(place, "archive");
    put_file(place, "archive/report.md", "of somebody");
    put_folder(place, "rb-archive");
    put_folder(place, ".new-archive");
    put_file(place, "aaa", "of somebody");
    folder_prune(place->path, 1);
    assert_true(is_there(place, BENCH_ID "/report.md"));
    assert_false(is_there(place, "rb-20200101T000000-000abcdef"));
    assert_false(is_there(place, "rb-20200102T000000-000abcdef/report.md"));
    assert_true(is_there(place, "rb-20200102T000000-000abcdef/post-mortem.md"));
    assert_true(is_there(place, "archive/report.md"));
    assert_true(is_there(place, "rb-archive"));
    assert_true(is_there(place, ".new-archive"));
    assert_true(is_there(place, "aaa"));
    witness_destroy(witness);
}

static void notes_of_people_outlive_a_new_report(void **state)
{
    struct place *place = *state;
    struct witness *witness = half_witness();
    assert_int_equal(write_of(place, witness), OK);
    put_file(place, BENCH_ID "/post-mortem.md", "of somebody");
    assert_int_equal(write_of(place, witness), OK);
    assert_true(is_there(place, BENCH_ID "/post-mortem.md"));
    assert_false(is_there(place, ".new-" BENCH_ID));
    witness_destroy(witness);
}

static void what_crashes_left_is_mended(void **state)
{
    struct place *place = *state;
    struct witness *witness = half_witness();
    char ids[2][INCIDENT_ID_SIZE];
    assert_int_equal(write_of(place, witness), OK);
    char from[PATH_SIZE];
    (void)snprintf(from, sizeof from, "%s", path_of(place, BENCH_ID));
    assert_int_equal(rename(from, path_of(place, ".old-" BENCH_ID)), 0);
    put_folder(place, ".new-" BENCH_ID);
    put_file(place, ".new-" BENCH_ID "/report.json", "{\"half\":");
    assert_int_equal(folder_find_incomplete(place->path, ids, 2), 1);
    assert_true(is_there(place, BENCH_ID "/report.json"));
    assert_false(is_there(place, ".old-" BENCH_ID));
    assert_false(is_there(place, ".new-" BENCH_ID));
    witness_destroy(witness);
}

static void requests_of_the_process_before_are_kept_once(void **state)
{
    struct place *place = *state;
    struct witness *first = half_witness();
    assert_int_equal(write_of(place, first), OK);
    witness_destroy(first);
    struct witness *second = bench_witness(2);
    incident_set_resumed(witness_incident(second), bench_wall_us(10));
    incident_set_record(witness_incident(second), bench_record("success"), "complete",
                        bench_wall_us(12));
    for (size_t turn = 0; turn < 3; turn++) {
        assert_int_equal(write_of(place, second), OK);
        assert_int_equal(lines_of(place, BENCH_ID "/requests.jsonl"), 5);
    }
    witness_destroy(second);
}

static void a_try_that_failed_takes_nothing_twice(void **state)
{
    struct place *place = *state;
    struct witness *first = half_witness();
    struct incident_work *work = NULL;
    struct note note = {""};
    assert_int_equal(write_of(place, first), OK);
    witness_destroy(first);
    assert_int_equal(incident_work_of_record(BENCH_ID, "shop", strdup(bench_record("success")),
                                             bench_wall_us(9), &work),
                     OK);
    for (size_t turn = 0; turn < 3; turn++) {
        assert_int_equal(folder_write(place->path, work, NULL, &note), OK);
        assert_int_equal(lines_of(place, BENCH_ID "/requests.jsonl"), 3);
    }
    incident_work_destroy(work);
}

/* The second of two files cannot be read at first: what the first gave is not given again. */
static void a_file_that_cannot_be_read_at_first_doubles_no_other(void **state)
{
    struct place *place = *state;
    struct witness *first = half_witness();
    struct incident_work *work = NULL;
    struct note note = {""};
    assert_int_equal(write_of(place, first), OK);
    witness_destroy(first);
    assert_int_equal(unlink(path_of(place, BENCH_ID "/access.log")), 0);
    put_folder(place, BENCH_ID "/access.log");
    assert_int_equal(incident_work_of_record(BENCH_ID, "shop", strdup(bench_record("success")),
                                             bench_wall_us(9), &work),
                     OK);
    for (size_t turn = 0; turn < 2; turn++) {
        assert_int_equal(folder_write(place->path, work, NULL, &note), ERR_IO);
    }
    assert_int_equal(rmdir(path_of(place, BENCH_ID "/access.log")), 0);
    put_file(place, BENCH_ID "/access.log", "{\"n\":1}\n");
    assert_int_equal(folder_write(place->path, work, NULL, &note), OK);
    assert_int_equal(lines_of(place, BENCH_ID "/requests.jsonl"), 3);
    assert_int_equal(lines_of(place, BENCH_ID "/access.log"), 1);
    incident_work_destroy(work);
}

/* How many lines of `size` bytes are put there. */
static size_t put_lines(const struct place *place, const char *name, size_t size, size_t whole)
{
    FILE *file = fopen(path_of(place, name), "w");
    assert_non_null(file);
    for (size_t i = 0; i < whole / size; i++) {
        for (size_t at = 0; at + 1 < size; at++) {
            assert_int_equal(fputc('x', file), 'x');
        }
        assert_int_equal(fputc('\n', file), '\n');
    }
    assert_int_equal(fclose(file), 0);
    return whole / size;
}

/* A file that is nearly as large as it may be, and one that is larger: what fits stays, in whole
 * lines, over any number of writes. */
static void a_long_access_log_of_before_stays(void **state)
{
    struct place *place = *state;
    static const size_t wholes[] = {INCIDENT_ACCESS_MAX - 1000, INCIDENT_ACCESS_MAX,
                                    INCIDENT_ACCESS_MAX + 9000};
    enum { LINE = 100 };
    for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
        struct witness *witness = half_witness();
        assert_int_equal(write_of(place, witness), OK);
        size_t count = put_lines(place, BENCH_ID "/access.log", LINE, wholes[i]);
        size_t most = INCIDENT_ACCESS_MAX / LINE;
        incident_set_resumed(witness_incident(witness), bench_wall_us(10 + (double)i));
        for (size_t turn = 0; turn < 2; turn++) {
            assert_int_equal(write_of(place, witness), OK);
            assert_int_equal(lines_of(place, BENCH_ID "/access.log"), count < most ? count : most);
        }
        witness_destroy(witness);
    }
}

static void broken_report_before_is_replaced(void **state)
{
    struct place *place = *state;
    struct witness *witness = half_witness();
    assert_int_equal(write_of(place, witness), OK);
    put_file(place, BENCH_ID "/report.json", "{\"half\":");
    incident_set_resumed(witness_incident(witness), bench_wall_us(10));
    assert_int_equal(write_of(place, witness), OK);
    struct buf text;
    buf_init(&text, 1024 * 1024);
    assert_int_equal(folder_read(place->path, BENCH_ID, FOLDER_JSON, &text), OK);
    assert_true(bytes_ends_with(buf_bytes(&text), BYTES("}\n")));
    buf_finish(&text);
    witness_destroy(witness);
}

int main(void)
{
#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PLAY(report_is_written_and_read),
        PLAY(ids_name_no_other_place),
        PLAY(folder_that_cannot_be_made_is_an_error_with_words),
        PLAY(only_old_reports_are_removed),
        PLAY(notes_of_people_outlive_a_new_report),
        PLAY(what_crashes_left_is_mended),
        PLAY(requests_of_the_process_before_are_kept_once),
        PLAY(a_try_that_failed_takes_nothing_twice),
        PLAY(a_file_that_cannot_be_read_at_first_doubles_no_other),
        PLAY(a_long_access_log_of_before_stays),
        PLAY(broken_report_before_is_replaced),
    };
#undef PLAY
    return cmocka_run_group_tests(tests, NULL, NULL);
}
