/* What the deployments of a project mean for a service: look by look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/platform/lookout.h"

enum { ALL_MAX = 80 };

/* A project whose deployments are called by one letter, and who looks at it. */
struct bench {
    struct platform_deployment all[ALL_MAX]; /* newest first */
    size_t count;
    char live; /* 0: nothing is */
    struct lookout lookout;
    struct lookout_service service;
    struct lookout_events events;
};

static void name(char letter, char ret_id[DEPLOYMENT_ID_SIZE])
{
    (void)snprintf(ret_id, DEPLOYMENT_ID_SIZE, "%c%c%c%c%c%c%c%c-0000", letter, letter, letter,
                   letter, letter, letter, letter, letter);
}

static struct platform_deployment *find(struct bench *bench, char letter)
{
    for (size_t i = 0; i < bench->count; i++) {
        if (bench->all[i].id[0] == letter) {
            return &bench->all[i];
        }
    }
    return NULL;
}

static void end(struct bench *bench, char letter, const char *stage, const char *status)
{
    struct platform_deployment *one = find(bench, letter);
    platform_text_copy(one->stage, sizeof one->stage, stage);
    platform_text_copy(one->status, sizeof one->status, status);
    if (deployment_is_good(one)) {
        bench->live = letter;
    }
}

/* Created after all that there are; a good one goes live. */
static void deploy(struct bench *bench, char letter, const char *stage, const char *status)
{
    memmove(bench->all + 1, bench->all, bench->count * sizeof bench->all[0]);
    struct platform_deployment *one = &bench->all[0];
    *one = (struct platform_deployment){.environment = "production",
                                        .created_us = (int64_t)(bench->count + 1) * 1000};
    name(letter, one->id);
    (void)snprintf(one->short_id, sizeof one->short_id, "%.8s", one->id);
    bench->count++;
    end(bench, letter, stage, status);
}

static void good(struct bench *bench, char letter)
{
    deploy(bench, letter, "deploy", "success");
}

static void look(struct bench *bench)
{
    struct lookout_view view = {bench->live != 0 ? find(bench, bench->live) : NULL, bench->all,
                                bench->count};
    lookout_look(&bench->lookout, &view, &bench->service, &bench->events);
}

/* The events of the next look as text: a letter for the kind, one for the deployment. */
static void assert_look(struct bench *bench, const char *wanted)
{
    static const char kinds[] = "fbFNSM=";
    char seen[3 * LOOKOUT_EVENTS_MAX + 1] = "";
    look(bench);
    for (size_t i = 0; i < bench->events.count; i++) {
        const struct lookout_event *event = &bench->events.list[i];
        (void)snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s%c%c", i > 0 ? " " : "",
                       kinds[event->kind], event->deployment->id[0]);
    }
    assert_string_equal(seen, wanted);
}

/* The service serves `a`, which is live. */
static int open_bench(void **state)
{
    static struct bench bench;
    memset(&bench, 0, sizeof bench);
    bench.service =
        (struct lookout_service){.previous = "aaaaaaaa", .follows = true, .may_start = true};
    good(&bench, '0');
    good(&bench, 'a');
    *state = &bench;
    return 0;
}

static void first_look_is_where_memory_begins(void **state)
{
    struct bench *bench = *state;
    deploy(bench, 'x', "build", "failure");
    good(bench, 'b');
    assert_look(bench, "Fb");
    assert_look(bench, "");
}

static void new_deployment_is_wanted_until_it_is_a_version(void **state)
{
    struct bench *bench = *state;
    assert_look(bench, "Fa");
    good(bench, 'b');
    assert_look(bench, "bb Nb Sb");
    assert_look(bench, "Sb");
    bench->service.current = "bbbbbbbb";
    bench->service.is_on_current = true;
    assert_look(bench, "");
    assert_string_equal(bench->lookout.wanted, "");
    bench->service.current = NULL;
    assert_look(bench, "");
}

static void new_deployment_waits_for_the_service_and_the_newest_is_tried(void **state)
{
    struct bench *bench = *state;
    assert_look(bench, "Fa");
    bench->service.may_start = false;
    good(bench, 'b');
    assert_look(bench, "bb Nb");
    assert_look(bench, "");
    good(bench, 'c');
    assert_look(bench, "bc Nc");
    bench->service.may_start = true;
    assert_look(bench, "Sc");
}

/* It is in the list as good before the project says that it is live. */
static void deployment_may_be_built_one_look_before_it_is_live(void **state)
{
    struct bench *bench = *state;
    assert_look(bench, "Fa");
    good(bench, 'b');
    bench->live = 'a';
    assert_look(bench, "bb");
    bench->live = 'b';
    assert_look(bench, "Nb Sb");
}

/* One that was created earlier, and took longer than the one after it. */
static void slow_build_that_goes_live_late_is_new(void **state)
{
    struct bench *bench = *state;
    assert_look(bench, "Fa");
    deploy(bench, 's', "build", "active");
    good(bench, 'b');
    assert_look(bench, "bb Nb Sb");
    end(bench, 's', "deploy", "success");
    bench->service.current = "bbbbbbbb";
    assert_look(bench, "bs Ns Ss");
}

static void failed_build_is_told_until_it_is_noted(void **state)
{
    struct bench *bench = *state;
    assert_look(bench, "Fa");
    deploy(bench, 'x', "build", "active");
    assert_look(bench, "");
    end(bench, 'x', "build", "failure");
    assert_look(bench, "fx");
    assert_look(bench, "fx");
    lookout_note_ended(&bench->lookout, find(bench, 'x'));
    assert_look(bench, "");
    deploy(bench, 'y', "build", "canceled");
    deploy(bench, 'z', "queued", "skipped");
    find(bench, 'z')->is_skipped = true;
    assert_look(bench, "");
    deploy(bench, 'w', "clone_repo", "failure");
    assert_look(bench, "fw");
}

/* One that never ends must not keep the memory growing. */
static void memory_is_bounded_while_a_build_does_not_end(void **state)
{
    struct bench *bench = *state;
    assert_look(bench, "Fa");
    deploy(bench, '!', "queued", "idle");
    for (char letter = 'A'; letter < 'A' + 40; letter++) {
        deploy(bench, letter, "build", "canceled");
        assert_look(bench, "");
    }
    assert_true(bench->lookout.ended_count <= LOOKOUT_ENDED_MAX);
    deploy(bench, 'x', "build", "failure");
    assert_look(bench, "fx");
}

static void older_one_that_goes_live_is_somebody_elses_doing(void **state)
{
    struct bench *bench = *state;
    assert_look(bench, "Fa");
    bench->live = '0';
    assert_look(bench, "M0");
    assert_look(bench, "");
    bench->live = 'a';
    assert_look(bench, "=a");
    assert_string_equal(bench->lookout.moved, "");
}

static void move_is_settled_when_the_service_follows(void **state)
{
    struct bench *bench = *state;
    good(bench, 'b');
    bench->service.current = "bbbbbbbb";
    bench->service.is_on_current = true;
    assert_look(bench, "Fb");
    bench->live = 'a';
    assert_look(bench, "Ma");
    bench->service.is_on_current = false;
    assert_look(bench, "=a");
}

static void our_own_rollback_is_no_news(void **state)
{
    struct bench *bench = *state;
    good(bench, 'b');
    bench->service.current = "bbbbbbbb";
    bench->service.is_on_current = true;
    assert_look(bench, "Fb");
    bench->service.is_on_current = false;
    bench->live = 'a';
    assert_look(bench, "");
    bench->live = 'b';
    assert_look(bench, "Mb");
}

static void move_to_another_one_and_back_is_seen_as_such(void **state)
{
    struct bench *bench = *state;
    good(bench, 'b');
    bench->service.previous = "bbbbbbbb";
    assert_look(bench, "Fb");
    bench->live = 'a';
    assert_look(bench, "Ma");
    bench->live = '0';
    assert_look(bench, "M0");
    bench->live = 'b';
    assert_look(bench, "=b");
    bench->live = '0';
    assert_look(bench, "M0");
    good(bench, 'c');
    assert_look(bench, "bc =c Nc Sc");
}

static void without_rollouts_a_new_one_has_moved(void **state)
{
    struct bench *bench = *state;
    bench->service.follows = false;
    assert_look(bench, "Fa");
    good(bench, 'b');
    assert_look(bench, "bb Nb Mb");
    assert_look(bench, "");
    bench->service.current = "bbbbbbbb";
    bench->service.is_on_current = true;
    assert_look(bench, "=b");
}

static void what_cannot_be_tried_is_given_up(void **state)
{
    struct bench *bench = *state;
    assert_look(bench, "Fa");
    good(bench, 'b');
    assert_look(bench, "bb Nb Sb");
    lookout_give_up(&bench->lookout);
    assert_look(bench, "");
    bench->live = 'a';
    assert_look(bench, "=a");
}

static void project_without_a_live_deployment_is_looked_at_too(void **state)
{
    struct bench *bench = *state;
    bench->live = 0;
    assert_look(bench, "");
    deploy(bench, 'x', "build", "failure");
    assert_look(bench, "fx");
    good(bench, 'b');
    assert_look(bench, "fx bb Nb Sb");
}

static void memory_survives_a_restart(void **state)
{
    struct bench *bench = *state;
    assert_look(bench, "Fa");
    deploy(bench, 's', "build", "active");
    good(bench, 'b');
    assert_look(bench, "bb Nb Sb");
    bench->live = '0';
    assert_look(bench, "M0");
    char *text = lookout_to_text(&bench->lookout, "demo");
    assert_non_null(text);
    struct lookout back = {.has_looked = false};
    assert_int_equal(lookout_from_text(text, "other", &back), ERR_NOT_FOUND);
    assert_false(back.has_looked);
    assert_int_equal(lookout_from_text(text, "demo", &back), OK);
    char *again = lookout_to_text(&back, "demo");
    assert_string_equal(again, text);
    free(again);
    static const char *const broken[] = {
        "",
        "{}",
        "[]",
        "{\"project\":\"demo\"}",
        "{\"project\":\"demo\",\"live\":\"a/b\",\"before\":\"\",\"wanted\":\"\",\"moved\":\"\","
        "\"ended\":[]}",
        "{\"project\":\"demo\",\"live\":\"a\",\"before\":\"\",\"wanted\":\"\",\"moved\":\"\","
        "\"ended\":[[1,2]]}"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assert_int_equal(lookout_from_text(broken[i], "demo", &back), ERR_SYNTAX);
    }
    free(text);
}

static void origin_is_a_host_of_its_own(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool is_fit;
    } cases[] = {
        {"https://abcdef01.demo.pages.dev", true},
        {"https://ABCDEF01.demo.pages.dev", true},
        {"http://127.0.0.1:8080", true},
        {"https://demo.pages.dev", false},
        {"https://abcdef012.demo.pages.dev", false},
        {"https://abcdef01", false},
        {"http://abcdef01.demo.pages.dev", false},
        {"http://127.0.0.1.evil.example", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct platform_deployment one = {.id = "abcdef01-2", .short_id = "abcdef01"};
        struct note note = {""};
        const char *url = NULL;
        platform_text_copy(one.url, sizeof one.url, cases[i].url);
        assert_int_equal(lookout_origin(&one, &url, &note), cases[i].is_fit ? OK : ERR_SYNTAX);
        assert_true((url != NULL) == cases[i].is_fit);
    }
    struct platform_deployment nameless = {.id = "abcdef01-2", .short_id = "zzzz"};
    assert_string_equal(lookout_name(&nameless), "abcdef01-2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, open_bench)
        TEST(first_look_is_where_memory_begins),
        TEST(new_deployment_is_wanted_until_it_is_a_version),
        TEST(new_deployment_waits_for_the_service_and_the_newest_is_tried),
        TEST(deployment_may_be_built_one_look_before_it_is_live),
        TEST(slow_build_that_goes_live_late_is_new),
        TEST(failed_build_is_told_until_it_is_noted),
        TEST(memory_is_bounded_while_a_build_does_not_end),
        TEST(older_one_that_goes_live_is_somebody_elses_doing),
        TEST(move_is_settled_when_the_service_follows),
        TEST(our_own_rollback_is_no_news),
        TEST(move_to_another_one_and_back_is_seen_as_such),
        TEST(without_rollouts_a_new_one_has_moved),
        TEST(what_cannot_be_tried_is_given_up),
        TEST(project_without_a_live_deployment_is_looked_at_too),
        TEST(memory_survives_a_restart),
        TEST(origin_is_a_host_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
