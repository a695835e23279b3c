/* The demo's frames and lines: what they say, and that they fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/cli/demo_view.h"
#include "proxy/base/check.h"

enum { OUT_MAX = 64 * 1024 };

struct drawn {
    struct buf out;
    size_t line_count;
    char text[OUT_MAX];
};

static struct demo_scene scene_of_a_breach(void)
{
    struct demo_scene scene = {
        .elapsed_s = 7.25,
        .url = "http://127.0.0.1:4711",
        .seen =
            {
                .phase = "shifting_back",
                .verdict = "breach",
                .reason = "absolute",
                .sentence = "canary 5 of 17 requests failed (29.4 %), limit 5 %, stable 0 of 145",
                .weight_percent = 2.5,
                .versions =
                    {[ROLE_CURRENT] = {.deployment = "v2"}, [ROLE_PREVIOUS] = {.deployment = "v1"}},
            },
        .rates = {[ROLE_CURRENT] = {5.0, 2.0}, [ROLE_PREVIOUS] = {195.0, 0.0}},
        .clients = {.answered = 1234, .bad = 5},
    };
    demo_events_add(&scene.events, 0.0, false, "200 requests/s arrive");
    demo_events_add(&scene.events, 5.0, true, "v2 breaks");
    return scene;
}

static void draw(struct drawn *drawn, const struct demo_scene *scene, const struct sheet_look *look)
{
    buf_init(&drawn->out, OUT_MAX);
    demo_view_frame(scene, look, &drawn->out, &drawn->line_count);
    assert_false(drawn->out.is_failed);
    (void)snprintf(drawn->text, sizeof drawn->text, "%.*s", BYTES_ARGS(buf_bytes(&drawn->out)));
    buf_finish(&drawn->out);
}

static size_t count_of(const char *text, const char *piece)
{
    size_t count = 0;
    for (const char *at = strstr(text, piece); at != NULL; at = strstr(at + 1, piece)) {
        count++;
    }
    return count;
}

/* Columns of the widest line: colours and bytes that continue a character have none. */
static unsigned widest(const char *text)
{
    unsigned most = 0;
    unsigned columns = 0;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\033') {
            at += strcspn(at, "m");
        } else if (*at == '\n') {
            columns = 0;
        } else {
            columns += ((unsigned char)*at & 0xC0) != 0x80;
        }
        most = columns > most ? columns : most;
    }
    return most;
}

static void frame_says_it_all(void **state)
{
    (void)state;
    struct demo_scene scene = scene_of_a_breach();
    struct sheet_look look = {.columns = 100, .rows = 30};
    struct drawn drawn;
    draw(&drawn, &scene, &look);
    static const char *const PIECES[] = {
        "7.2 s",
        "shifting_back",
        "http://127.0.0.1:4711",
        "97.5 %",
        "195 requests/s",
        "2.5 %",
        "2 5xx/s",
        "breach (absolute)",
        "canary 5 of 17 requests failed (29.4 %)",
        "1234 answers, 5 bad",
        "5.0 s  v2 breaks",
    };
    for (size_t i = 0; i < COUNT_OF(PIECES); i++) {
        if (strstr(drawn.text, PIECES[i]) == NULL) {
            fail_msg("\"%s\" is not in:\n%s", PIECES[i], drawn.text);
        }
    }
    assert_int_equal(count_of(drawn.text, "\n"), drawn.line_count);
    assert_null(strchr(drawn.text, '\033'));
}

static void bars_are_as_long_as_the_weights(void **state)
{
    (void)state;
    struct demo_scene scene = scene_of_a_breach();
    struct sheet_look look = {.columns = 100, .rows = 30};
    static const struct {
        double percent;
        size_t filled; /* of both bars, 50 columns each */
    } CASES[] = {{0.0, 50}, {10.0, 50}, {50.0, 50}, {100.0, 50}, {0.25, 51}};
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct drawn drawn;
        scene.seen.weight_percent = CASES[i].percent;
        draw(&drawn, &scene, &look);
        assert_int_equal(count_of(drawn.text, "#"), CASES[i].filled);
    }
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    (void)state;
    struct demo_scene scene = scene_of_a_breach();
    demo_events_add(&scene.events, 6.0, true,
                    "a-word-that-is-longer-than-many-a-terminal-is-wide and „others“ that are not");
    for (unsigned columns = DEMO_COLUMNS_MIN; columns < 2 * DEMO_COLUMNS_MAX; columns++) {
        for (int style = 0; style < 4; style++) {
            struct sheet_look look = {.columns = columns,
                                      .rows = 24,
                                      .is_colour = (style & 1) != 0,
                                      .is_unicode = (style & 2) != 0};
            struct drawn drawn;
            draw(&drawn, &scene, &look);
            unsigned most = columns < DEMO_COLUMNS_MAX ? columns : DEMO_COLUMNS_MAX;
            assert_in_range(widest(drawn.text), 1, most);
        }
    }
}

static void frame_is_never_higher_than_the_terminal(void **state)
{
    (void)state;
    struct demo_scene scene = scene_of_a_breach();
    for (int i = 0; i < 2 * DEMO_EVENTS_MAX; i++) {
        demo_events_add(&scene.events, i, false, "event %d, told in so many words that it wraps",
                        i);
        for (unsigned rows = DEMO_ROWS_MIN; rows < 40; rows++) {
            struct sheet_look look = {.columns = 40, .rows = rows};
            struct drawn drawn;
            draw(&drawn, &scene, &look);
            assert_in_range(drawn.line_count, 1, rows - 1);
        }
    }
}

static void latest_events_win_when_there_is_little_room(void **state)
{
    (void)state;
    struct demo_scene scene = scene_of_a_breach();
    demo_events_add(&scene.events, 6.0, false, "the last of them");
    struct sheet_look look = {.columns = 80, .rows = 11};
    struct drawn drawn;
    draw(&drawn, &scene, &look);
    assert_non_null(strstr(drawn.text, "the last of them"));
    assert_null(strstr(drawn.text, "200 requests/s arrive"));
}

static void long_event_goes_on_below_itself(void **state)
{
    (void)state;
    struct demo_scene scene = scene_of_a_breach();
    scene.events.count = 0;
    demo_events_add(&scene.events, 6.0, false, "one two three four five six seven eight");
    struct sheet_look look = {.columns = 30, .rows = 24};
    struct drawn drawn;
    draw(&drawn, &scene, &look);
    assert_non_null(strstr(drawn.text, "   6.0 s  one two three four\n"
                                       "          five six seven eight\n"));
}

static void colour_is_only_added(void **state)
{
    (void)state;
    struct demo_scene scene = scene_of_a_breach();
    struct sheet_look look = {.columns = 90, .rows = 24, .is_colour = true};
    struct drawn coloured;
    draw(&coloured, &scene, &look);
    assert_non_null(strstr(coloured.text, "\033[31mbreach\033[0m"));
    char bare[OUT_MAX];
    size_t size = 0;
    for (const char *at = coloured.text; *at != '\0'; at++) {
        if (*at == '\033') {
            at += strcspn(at, "m");
        } else {
            bare[size++] = *at;
        }
    }
    bare[size] = '\0';
    look.is_colour = false;
    struct drawn plain;
    draw(&plain, &scene, &look);
    assert_string_equal(bare, plain.text);
}

static void second_is_one_line(void **state)
{
    (void)state;
    struct demo_scene scene = scene_of_a_breach();
    struct buf out;
    buf_init(&out, OUT_MAX);
    demo_view_line(&scene, &out);
    demo_view_event(&scene.events.list[1], &out);
    static const char EXPECTED[] =
        "   7.2 s  shifting_back | v1 97.5 %, 195 requests/s, 0 5xx/s | v2 2.5 %, 5 requests/s, "
        "2 5xx/s | breach (absolute) | clients: 5 bad\n"
        "   5.0 s  ! v2 breaks\n";
    assert_int_equal(buf_size(&out), sizeof EXPECTED - 1);
    assert_memory_equal(buf_bytes(&out).data, EXPECTED, sizeof EXPECTED - 1);
    buf_finish(&out);
}

static void too_small_a_buffer_is_said(void **state)
{
    (void)state;
    struct demo_scene scene = scene_of_a_breach();
    struct sheet_look look = {.columns = 80, .rows = 24};
    struct buf out;
    size_t line_count = 0;
    buf_init(&out, 100);
    demo_view_frame(&scene, &look, &out, &line_count);
    assert_true(out.is_failed);
    buf_finish(&out);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(frame_says_it_all),
        cmocka_unit_test(bars_are_as_long_as_the_weights),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(frame_is_never_higher_than_the_terminal),
        cmocka_unit_test(latest_events_win_when_there_is_little_room),
        cmocka_unit_test(long_event_goes_on_below_itself),
        cmocka_unit_test(colour_is_only_added),
        cmocka_unit_test(second_is_one_line),
        cmocka_unit_test(too_small_a_buffer_is_said),
    };
    return cmocka_run_group_tests(TESTS, NULL, NULL);
}
