/* When a failed command is a reason to roll back, and when it is not; commands are run as they are.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/cli/guard_child.h"
#include "canary/cli/guard_decide.h"

#define COMMIT "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

static struct guard_look look_of(const char *id)
{
    struct guard_look look = {.is_known = id != NULL, .may_go_back = true};
    look.has_live = id != NULL && id[0] != '\0';
    (void)snprintf(look.live.id, sizeof look.live.id, "%s", id != NULL ? id : "");
    (void)snprintf(look.live.commit, sizeof look.live.commit, "%s", COMMIT);
    return look;
}

static void only_what_changed_or_was_named_is_rolled_back(void **state)
{
    (void)state;
    /* NULL: not known; "": nothing live */
    static const struct {
        const char *before;
        const char *after;
        const char *expected;
        enum guard_cause cause;
    } cases[] = {
        {"aaaaaaaa", "aaaaaaaa", NULL, GUARD_UNCHANGED},
        {"aaaaaaaa", "bbbbbbbb", NULL, GUARD_CHANGED},
        {"", "bbbbbbbb", NULL, GUARD_CHANGED},
        {"aaaaaaaa", "", NULL, GUARD_NOTHING},
        {"", "", NULL, GUARD_NOTHING},
        {NULL, "bbbbbbbb", NULL, GUARD_NOT_SEEN},
        {"aaaaaaaa", NULL, NULL, GUARD_UNKNOWN},
        {NULL, NULL, NULL, GUARD_UNKNOWN},
        {"aaaaaaaa", "bbbbbbbb", "bbbbbbbb", GUARD_EXPECTED},
        {"bbbbbbbb", "bbbbbbbb", "bbbbbbbb", GUARD_EXPECTED},
        {"bbbbbbbb", "bbbbbbbb", COMMIT, GUARD_EXPECTED},
        {NULL, "bbbbbbbb", "bbbbbbbb", GUARD_EXPECTED},
        {"aaaaaaaa", "bbbbbbbb", "aaaaaaaa", GUARD_OTHER},
        {"aaaaaaaa", "aaaaaaaa", "cccccccc", GUARD_OTHER},
        {NULL, "bbbbbbbb", "cccccccc", GUARD_OTHER},
        {"aaaaaaaa", NULL, "bbbbbbbb", GUARD_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct guard_look before = look_of(cases[i].before);
        struct guard_look after = look_of(cases[i].after);
        struct note note = {""};
        enum guard_cause cause = guard_decide(&before, &after, cases[i].expected);
        assert_int_equal(cause, cases[i].cause);
        assert_int_equal(guard_acts(cause), cause == GUARD_CHANGED || cause == GUARD_EXPECTED);
        guard_say_cause(cause, &before, &after, cases[i].expected, &note);
        assert_true(note.text[0] != '\0');
        assert_true(guard_cause_name(cause)[0] != '\0');
    }
}

static void what_cannot_go_back_is_left_though_it_changed(void **state)
{
    (void)state;
    struct guard_look before = look_of("aaaaaaaa");
    struct guard_look after = look_of("bbbbbbbb");
    after.may_go_back = false;
    assert_int_equal(guard_decide(&before, &after, NULL), GUARD_NOTHING);
    assert_int_equal(guard_decide(&before, &after, "bbbbbbbb"), GUARD_NOTHING);
}

/* ---- commands ---- */

static struct child_end end_of(const char *script)
{
    char shell[] = "sh";
    char option[] = "-c";
    char text[128];
    char *argv[] = {shell, option, text, NULL};
    struct child_end end;
    sigset_t mask;
    (void)snprintf(text, sizeof text, "%s", script);
    child_hold_signals(&mask);
    assert_int_equal(child_run(argv, &mask, &end), OK);
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
    return end;
}

static void command_ends_as_a_shell_would_say(void **state)
{
    (void)state;
    struct note note;
    assert_int_equal(end_of("exit 0").code, 0);
    assert_int_equal(end_of("exit 255").code, 255);
    struct child_end end = end_of("kill -9 $$");
    assert_int_equal(end.code, 137);
    assert_int_equal(end.signal, SIGKILL);
    child_say_end(&end, &note);
    assert_string_equal(note.text, "was ended by signal 9 (Killed)");
}

static void command_gets_the_signals_that_come_to_us(void **state)
{
    (void)state;
    struct child_end end =
        end_of("trap 'exit 9' USR1; kill -USR1 $PPID; while :; do sleep 1; done");
    assert_int_equal(end.code, 9);
}

static void command_has_signals_as_they_were(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(end_of("kill -PIPE $$").signal, SIGPIPE);
    assert_int_equal(end_of("kill -TERM $$").signal, SIGTERM);
}

static void command_that_is_not_there_is_told_apart(void **state)
{
    (void)state;
    char missing[] = "./no-such-program";
    char folder[] = "/";
    char *argv[] = {missing, NULL};
    struct child_end end;
    sigset_t mask;
    child_hold_signals(&mask);
    assert_int_equal(child_run(argv, &mask, &end), OK);
    assert_int_equal(end.code, 127);
    assert_int_equal(end.start_errno, ENOENT);
    argv[0] = folder;
    assert_int_equal(child_run(argv, &mask, &end), OK);
    assert_int_equal(end.code, 126);
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(child_take_signal(), SIGTERM);
    assert_int_equal(child_take_signal(), 0);
    (void)sigprocmask(SIG_SETMASK, &mask, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_changed_or_was_named_is_rolled_back),
        cmocka_unit_test(what_cannot_go_back_is_left_though_it_changed),
        cmocka_unit_test(command_ends_as_a_shell_would_say),
        cmocka_unit_test(command_gets_the_signals_that_come_to_us),
        cmocka_unit_test(command_has_signals_as_they_were),
        cmocka_unit_test(command_that_is_not_there_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
