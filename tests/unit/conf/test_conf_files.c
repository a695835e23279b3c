/* tests/unit/conf/test_conf_files.c — the files that come with Serin, files that are not there, and
 * secrets. */
#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/conf_file.h"
#include "tests/unit/conf/conf_play.h"

static struct conf *load(const char *path)
{
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    enum err err = conf_load_file(path, &errors, &conf);
    conf_errors_print(&errors, stderr);
    assert_int_equal(err, OK);
    conf_errors_finish(&errors);
    return conf;
}

static void first_file_splits_between_two_local_origins(void **state)
{
    (void)state;
    struct conf *conf = load(PROJECT_ROOT "/conf/serin.yaml");
    assert_string_equal(conf->listeners[0].address.text, "127.0.0.1:8080");
    assert_string_equal(conf->admin.address.text, "127.0.0.1:9901");
    assert_string_equal(conf->state, PROJECT_ROOT "/conf/serin.db");
    const struct conf_service *service = &conf->services[0];
    assert_string_equal(service->previous.endpoints[0].url, "http://127.0.0.1:3001");
    assert_string_equal(service->current.endpoints[0].url, "http://127.0.0.1:3002");
    assert_int_equal(service->weight_ppm, 100000);
    conf_destroy(conf);
}

static void every_example_loads(void **state)
{
    (void)state;
    const char folder_name[] = PROJECT_ROOT "/conf/examples";
    DIR *folder = opendir(folder_name);
    assert_non_null(folder);
    size_t count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (bytes_ends_with(bytes_of(entry->d_name), BYTES(".yaml"))) {
            char path[1024];
            (void)snprintf(path, sizeof path, "%s/%.200s", folder_name, entry->d_name);
            conf_destroy(load(path));
            count++;
        }
    }
    (void)closedir(folder);
    assert_true(count >= 5);
}

static void file_that_cannot_be_read_is_one_error(void **state)
{
    (void)state;
    const struct {
        const char *path;
        enum err err;
    } cases[] = {
        {"/nonexistent/serin.yaml", ERR_NOT_FOUND},
        {PROJECT_ROOT "/conf", ERR_IO},
        {"/dev/zero", ERR_LIMIT},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf_errors errors;
        struct conf *conf = NULL;
        conf_errors_init(&errors);
        assert_int_equal(conf_load_file(cases[i].path, &errors, &conf), cases[i].err);
        assert_null(conf);
        assert_int_equal(errors.count, 1);
        conf_errors_finish(&errors);
    }
}

/* A file with this content, whose path the caller removes. */
static void write_temporary(char path[32], const char *content)
{
    memcpy(path, "/tmp/serin-secret-XXXXXX", sizeof "/tmp/serin-secret-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    (void)close(fd);
}

static void secret_comes_without_its_newline(void **state)
{
    (void)state;
    char path[32];
    struct note note = {""};
    struct buf secret;
    buf_init(&secret, CONF_SECRET_MAX);
    write_temporary(path, "hunter2\r\n");
    assert_int_equal(conf_secret_read(&(struct conf_secret){.file = path}, &note, &secret), OK);
    assert_true(bytes_equal(buf_bytes(&secret), BYTES("hunter2")));
    (void)unlink(path);

    assert_int_equal(setenv("SERIN_TEST_SECRET", "other", 1), 0);
    assert_int_equal(
        conf_secret_read(&(struct conf_secret){.env = "SERIN_TEST_SECRET"}, &note, &secret), OK);
    assert_true(bytes_equal(buf_bytes(&secret), BYTES("other")));
    assert_int_equal(unsetenv("SERIN_TEST_SECRET"), 0);
    buf_finish(&secret);
}

static void missing_or_empty_secret_is_said_by_its_place(void **state)
{
    (void)state;
    char path[32];
    struct note note = {""};
    struct buf secret;
    buf_init(&secret, CONF_SECRET_MAX);
    (void)buf_append(&secret, BYTES("kept"));
    write_temporary(path, "\n");
    assert_int_equal(conf_secret_read(&(struct conf_secret){.file = path}, &note, &secret),
                     ERR_NOT_FOUND);
    assert_non_null(strstr(note.text, path));
    (void)unlink(path);
    assert_int_equal(conf_secret_read(&(struct conf_secret){.file = path}, &note, &secret),
                     ERR_NOT_FOUND);
    assert_int_equal(
        conf_secret_read(&(struct conf_secret){.env = "SERIN_TEST_UNSET"}, &note, &secret),
        ERR_NOT_FOUND);
    assert_non_null(strstr(note.text, "SERIN_TEST_UNSET"));
    assert_int_equal(conf_secret_read(&(struct conf_secret){.file = "/dev/zero"}, &note, &secret),
                     ERR_LIMIT);
    assert_true(bytes_equal(buf_bytes(&secret), BYTES("kept")));
    buf_finish(&secret);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_file_splits_between_two_local_origins),
        cmocka_unit_test(every_example_loads),
        cmocka_unit_test(file_that_cannot_be_read_is_one_error),
        cmocka_unit_test(secret_comes_without_its_newline),
        cmocka_unit_test(missing_or_empty_secret_is_said_by_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
