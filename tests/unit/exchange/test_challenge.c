/* Answers to challenges: the one file that was asked for, and nothing else on the disk. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/exchange/challenge.h"

static char root[] = "/tmp/serin-challenge-XXXXXX";
static const char *const folders[] = {"/.well-known", "/.well-known/acme-challenge", "/elsewhere",
                                      "/elsewhere/acme-challenge"};

static const char *path_of(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s%s", root, name);
    return path;
}

static void write_file(const char *name, size_t size)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(write(fd, "x", 1), 1);
    }
    assert_int_equal(close(fd), 0);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < COUNT_OF(folders); i++) {
        assert_int_equal(mkdir(path_of(folders[i]), 0700), 0);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static enum err read_token(const char *token, size_t *ret_size)
{
    static char text[CHALLENGE_SIZE_MAX];
    struct bytes answer = {NULL, 0};
    enum err err = challenge_read(root, bytes_of(token), text, &answer);
    *ret_size = answer.size;
    return err;
}

static void expect_missing(const char *token)
{
    size_t size;
    if (read_token(token, &size) != ERR_NOT_FOUND) {
        fail_msg("found: %s", token);
    }
}

static void only_paths_below_the_challenges_are_theirs(void **state)
{
    (void)state;
    struct bytes token;
    assert_true(challenge_path(BYTES("/.well-known/acme-challenge/abc"), &token));
    assert_true(bytes_equal(token, BYTES("abc")));
    assert_true(challenge_path(BYTES("/.well-known/acme-challenge/"), &token));
    assert_int_equal(token.size, 0);
    assert_false(challenge_path(BYTES("/.well-known/acme-challenge"), &token));
    assert_false(challenge_path(BYTES("/.well-known/acme-challenges/abc"), &token));
    assert_false(challenge_path(BYTES("/.Well-known/acme-challenge/abc"), &token));
    assert_false(challenge_path(BYTES("/x/.well-known/acme-challenge/abc"), &token));
}

static void a_token_is_read(void **state)
{
    (void)state;
    size_t size;
    write_file("/.well-known/acme-challenge/aZ09-_", 87);
    assert_int_equal(read_token("aZ09-_", &size), OK);
    assert_int_equal(size, 87);
}

static void names_that_are_no_tokens_are_not_looked_up(void **state)
{
    (void)state;
    char name[CHALLENGE_TOKEN_MAX + 2];
    write_file("/.well-known/acme-challenge/a.b", 1);
    write_file("/.well-known/acme-challenge/a=", 1);
    write_file("/secret", 1);
    const char *const names[] = {
        "",    ".",           "..",  "a.b",      "a=",   "a%2Fb", "a/b",
        "a b", "/etc/passwd", "a\n", "\xc3\xa4", "a\\b", "a?b",   "%2e%2e"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        expect_missing(names[i]);
    }
    memset(name, 'a', sizeof name);
    name[CHALLENGE_TOKEN_MAX + 1] = '\0';
    expect_missing(name);
    static char text[CHALLENGE_SIZE_MAX];
    struct bytes answer;
    assert_int_equal(challenge_read(root, bytes_make("a\0b", 3), text, &answer), ERR_NOT_FOUND);
}

static void no_link_is_followed(void **state)
{
    (void)state;
    char target[512];
    write_file("/secret", 5);
    write_file("/elsewhere/acme-challenge/inside", 5);
    (void)snprintf(target, sizeof target, "%s/secret", root);
    assert_int_equal(symlink(target, path_of("/.well-known/acme-challenge/link")), 0);
    expect_missing("link");

    char kept[512];
    (void)snprintf(target, sizeof target, "%s/elsewhere", root);
    (void)snprintf(kept, sizeof kept, "%s", path_of("/kept"));
    assert_int_equal(rename(path_of("/.well-known"), kept), 0);
    assert_int_equal(symlink(target, path_of("/.well-known")), 0);
    expect_missing("inside");
    assert_int_equal(unlink(path_of("/.well-known")), 0);
    assert_int_equal(rename(kept, path_of("/.well-known")), 0);
}

static void what_is_no_plain_file_is_not_waited_for(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path_of("/.well-known/acme-challenge/pipe"), 0600), 0);
    assert_int_equal(mkdir(path_of("/.well-known/acme-challenge/folder"), 0700), 0);
    expect_missing("pipe");
    expect_missing("folder");
    expect_missing("nothing");
}

static void a_long_file_is_refused(void **state)
{
    (void)state;
    size_t size;
    write_file("/.well-known/acme-challenge/most", CHALLENGE_SIZE_MAX);
    write_file("/.well-known/acme-challenge/more", CHALLENGE_SIZE_MAX + 1);
    assert_int_equal(read_token("most", &size), OK);
    assert_int_equal(size, CHALLENGE_SIZE_MAX);
    assert_int_equal(read_token("more", &size), ERR_LIMIT);
}

static void without_the_folder_there_is_nothing(void **state)
{
    (void)state;
    static char text[CHALLENGE_SIZE_MAX];
    struct bytes answer;
    assert_int_equal(challenge_read("/nowhere/at/all", BYTES("a"), text, &answer), ERR_NOT_FOUND);
    assert_int_equal(challenge_read(path_of("/elsewhere"), BYTES("a"), text, &answer),
                     ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_paths_below_the_challenges_are_theirs),
        cmocka_unit_test(a_token_is_read),
        cmocka_unit_test(names_that_are_no_tokens_are_not_looked_up),
        cmocka_unit_test(no_link_is_followed),
        cmocka_unit_test(what_is_no_plain_file_is_not_waited_for),
        cmocka_unit_test(a_long_file_is_refused),
        cmocka_unit_test(without_the_folder_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
