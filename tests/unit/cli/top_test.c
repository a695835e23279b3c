/* `serin top` without a terminal: frames, rates, keys and what they mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/cli/keys.h"
#include "canary/cli/top_view.h"
#include "proxy/base/check.h"

enum { OUT_MAX = 256 * 1024 };

static const char STATUS[] =
    "{\"services\": [{\"name\": \"site\", \"phase\": \"progressing\", \"revision\": 7,"
    " \"weight\": {\"set\": 5.0, \"realised\": 4.98}, \"verdict\": \"suspicious\","
    " \"reason\": \"absolute\", \"sentence\": \"canary 3 of 40 requests failed\", \"step\": 2,"
    " \"steps\": 4, \"contained\": true,"
    " \"current\": {\"deployment\": \"v2\", \"endpoints\": {\"all\": 2, \"live\": 1},"
    " \"requests\": %d, \"failures\": %d, \"in_flight\": 3},"
    " \"previous\": {\"deployment\": \"v1\", \"endpoints\": {\"all\": 1, \"live\": 1},"
    " \"requests\": %d, \"failures\": 0, \"in_flight\": 0}},"
    " {\"name\": \"shop\", \"phase\": \"idle\", \"revision\": 1,"
    " \"weight\": {\"set\": 0.25, \"realised\": null}, \"verdict\": \"ok\", \"reason\": null,"
    " \"sentence\": \"all is well\", \"step\": 0, \"steps\": 0, \"contained\": false,"
    " \"current\": null, \"previous\": {\"deployment\": \"v1\"}}],"
    " \"conditions\": [\"the access log cannot be written\"],"
    " \"process\": {\"version\": \"1.2.3\", \"client_connections\": 4, \"ready\": true,"
    " \"draining\": false}}";
static const char DETAIL[] =
    "{\"name\": \"site\", \"ladder\": [1.0, 5.0, \"pause\", 25.0, 100.0],"
    " \"evidence\": {\"absolute\": 3.1, \"connect\": 0.5, \"relative\": null},"
    " \"thresholds\": {\"absolute\": 5.8, \"connect\": 5.0, \"relative\": 6.0},"
    " \"quarantine\": [{\"deployment\": \"v0\"}]}";
static const char ROLLBACKS[] =
    "{\"rollbacks\": [{\"timestamp\": \"2026-11-23T05:39:05.678Z\", \"service\": \"site\","
    " \"deployment\": \"v0\", \"trigger\": \"manual\", \"reason\": \"it hurts\","
    " \"duration_s\": 2.44, \"status\": \"success\"}]}";

struct play {
    json_t *status, *detail, *rollbacks;
    struct top_rates rates;
    struct top_dialog dialog;
    struct top_scene scene;
    struct sheet_look look;
    char text[OUT_MAX];
    size_t line_count;
};

static json_t *parse(const char *text)
{
    json_t *document = json_loads(text, 0, NULL);
    assert_non_null(document);
    return document;
}

static json_t *status_of(int requests, int failures, int stable)
{
    char text[4096];
    (void)snprintf(text, sizeof text, STATUS, requests, failures, stable);
    return parse(text);
}

static void play_begin(struct play *play)
{
    *play = (struct play){.status = status_of(140, 25, 900),
                          .detail = parse(DETAIL),
                          .rollbacks = parse(ROLLBACKS),
                          .look = {.columns = 120, .rows = 40, .is_unicode = true}};
    json_t *before = status_of(100, 20, 100);
    top_rates_init(&play->rates);
    assert_int_equal(top_rates_add(&play->rates, before, 1000000), OK);
    assert_int_equal(top_rates_add(&play->rates, play->status, 5000000), OK);
    json_decref(before);
    play->scene = (struct top_scene){.admin = "http://127.0.0.1:9901",
                                     .clock = "12:00:00 UTC",
                                     .status = play->status,
                                     .detail = play->detail,
                                     .rollbacks = play->rollbacks,
                                     .rates = &play->rates,
                                     .dialog = &play->dialog,
                                     .has_keys = true};
}

static void play_end(struct play *play)
{
    top_rates_finish(&play->rates);
    json_decref(play->status);
    json_decref(play->detail);
    json_decref(play->rollbacks);
}

static void draw(struct play *play)
{
    struct buf out;
    buf_init(&out, OUT_MAX);
    top_view_frame(&play->scene, &play->look, &out);
    assert_false(out.is_failed);
    (void)snprintf(play->text, sizeof play->text, "%.*s", BYTES_ARGS(buf_bytes(&out)));
    buf_finish(&out);
    play->line_count = 0;
    for (const char *at = play->text; *at != '\0'; at++) {
        play->line_count += *at == '\n';
    }
}

static void shows(const struct play *play, const char *piece)
{
    if (strstr(play->text, piece) == NULL) {
        fail_msg("nothing like \"%s\" in\n%s", piece, play->text);
    }
}

static void shows_not(const struct play *play, const char *piece)
{
    if (strstr(play->text, piece) != NULL) {
        fail_msg("\"%s\" in\n%s", piece, play->text);
    }
}

/* No line wider than the window, no character that a terminal obeys. */
static void is_harmless(const struct play *play)
{
    char copy[OUT_MAX];
    (void)snprintf(copy, sizeof copy, "%s", play->text);
    for (char *line = copy, *end; *line != '\0'; line = end + 1) {
        end = strchr(line, '\n');
        assert_non_null(end);
        *end = '\0';
        assert_true(sheet_width(line) <= play->look.columns);
        for (const char *at = line; *at != '\0'; at++) {
            assert_true((unsigned char)*at >= 0x20 && *at != 0x7F);
        }
    }
}

/* ---- frames ---- */

static void frame_says_everything_at_a_glance(void **state)
{
    (void)state;
    static struct play play;
    play_begin(&play);
    draw(&play);
    static const char *const pieces[] = {
        "serin top  live  12:00:00 UTC  http://127.0.0.1:9901  ready, 1.2.3, 4 connections",
        "condition: the access log cannot be written",
        "▶ site  progressing  step 2 of 4  weight 5 % set, 4.98 % realised  contained",
        "10.0 requests/s   12.5 % failed  1 of 2 up  3 in flight",
        "200.0 requests/s    0.0 % failed",
        "suspicious (absolute): canary 3 of 40 requests failed",
        "steps   1 %  [5 %]  pause  25 %  100 %",
        "absolute 3.1 of 5.8 for a breach",
        "quarantined: v0",
        "shop  idle  weight 0.25 % set, - realised",
        "2026-11-23 05:39:05  site            v0                2.4 s      Success        Manual: "
        "it "
        "hurts",
        "p pause  r resume  P promote  R roll back  ↑↓ service  ? help  q quit",
    };
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        shows(&play, pieces[i]);
    }
    assert_int_equal(play.line_count, play.look.rows);
    is_harmless(&play);
    play_end(&play);
}

/* What decides is there at 40 columns too: in more lines, and without what decorates. */
static void narrow_window_leaves_out_nothing_that_matters(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "weight 5 % set, 4.98 % realised",
        "12.5 % failed  1 of 2 up",
        "  absolute 3.1 of 5.8 for a breach",
        "2026-11-23 05:39:05",
        "Success",
        "Manual: it hurts",
        "help  q quit",
        "verification: 1 of 3 good looks",
        "answered with",
        "contained",
        "100 %",
    };
    static const unsigned widths[] = {40, 60, 80, 100};
    static struct play play;
    play_begin(&play);
    json_t *site = json_array_get(json_object_get(play.status, "services"), 0);
    json_t *looks = json_pack("{s:i, s:i, s:s}", "good_looks", 1, "needed", 3, "trouble",
                              "http://v0.test/ answered with status 503");
    assert_int_equal(json_object_set_new(site, "verification", looks), 0);
    for (size_t i = 0; i < COUNT_OF(widths); i++) {
        play.look.columns = widths[i];
        draw(&play);
        is_harmless(&play);
        for (size_t k = 0; k < COUNT_OF(pieces); k++) {
            shows(&play, pieces[k]);
        }
    }
    play.dialog.mode = TOP_HELP;
    play.look.columns = 40;
    draw(&play);
    shows(&play, "what it");
    shows(&play, "needs.");
    play_end(&play);
}

static void frame_fits_every_window(void **state)
{
    (void)state;
    static struct play play;
    play_begin(&play);
    for (unsigned columns = 1; columns <= 200; columns += columns < 30 ? 1 : 17) {
        for (unsigned rows = 1; rows <= 50; rows++) {
            play.look.columns = columns;
            play.look.rows = rows;
            draw(&play);
            assert_true(play.line_count <= rows);
            is_harmless(&play);
        }
    }
    play_end(&play);
}

static void chosen_service_stays_in_a_small_window(void **state)
{
    (void)state;
    static struct play play;
    play_begin(&play);
    json_t *services = json_object_get(play.status, "services");
    for (int i = 0; i < 60; i++) {
        json_t *more = json_deep_copy(json_array_get(services, 1));
        char name[32];
        (void)snprintf(name, sizeof name, "more-%d", i);
        assert_int_equal(json_object_set_new(more, "name", json_string(name)), 0);
        assert_int_equal(json_array_append_new(services, more), 0);
    }
    play.look.rows = 14;
    static const size_t chosen[] = {0, 1, 30, 61};
    static const char *const marks[] = {"▶ site", "▶ shop", "▶ more-28", "▶ more-59"};
    for (size_t i = 0; i < COUNT_OF(chosen); i++) {
        play.scene.chosen = chosen[i];
        draw(&play);
        shows(&play, marks[i]);
        assert_int_equal(play.line_count, play.look.rows);
    }
    play_end(&play);
}

static void stale_and_troubled_is_said(void **state)
{
    (void)state;
    static struct play play;
    play_begin(&play);
    play.scene.is_stale = true;
    play.scene.age_s = 7.4;
    play.scene.trouble = "http://127.0.0.1:9901: connection refused";
    draw(&play);
    shows(&play, "STALE: seen 7 s ago");
    shows(&play, "connection refused");
    shows_not(&play, "live");
    play.scene.status = NULL;
    draw(&play);
    shows(&play, "connection refused");
    play_end(&play);
}

static void hostile_texts_are_shown_and_not_obeyed(void **state)
{
    (void)state;
    static struct play play;
    play_begin(&play);
    json_t *site = json_array_get(json_object_get(play.status, "services"), 0);
    static const char *const evil[] = {"\x1b[2J\x1b]0;owned\x07",
                                       "\xc2\x9b"
                                       "31m",
                                       "a\nb\rc",
                                       "\xe2\x80\xae"
                                       "gnp",
                                       "\xe7\x95\x8c\xe7\x95\x8c",
                                       "%s%n"};
    for (size_t i = 0; i < COUNT_OF(evil); i++) {
        json_t *version = json_object_get(site, "current");
        (void)json_object_set_new(version, "deployment", json_string(evil[i]));
        (void)json_object_set_new(site, "sentence", json_string(evil[i]));
        (void)json_object_set_new(site, "phase", json_string(evil[i]));
        play.scene.message = evil[i];
        (void)snprintf(play.dialog.reason, sizeof play.dialog.reason, "%s", evil[i]);
        for (enum top_mode mode = TOP_LOOKING; mode <= TOP_CONFIRM; mode++) {
            play.dialog.mode = mode;
            play.dialog.action = TOP_ROLL_BACK;
            for (play.look.columns = 24; play.look.columns < 130; play.look.columns += 7) {
                draw(&play);
                is_harmless(&play);
            }
        }
    }
    play_end(&play);
}

static void other_documents_than_the_apis_do_no_harm(void **state)
{
    (void)state;
    static struct play play;
    static const char services[] = "{\"services\": [1, null, [], {\"name\": 7, \"weight\": []}],"
                                   " \"conditions\": [1]}";
    static const char *const odd[] = {"{}", "{\"services\": 5, \"conditions\": {}}", services};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        play_begin(&play);
        json_t *document = parse(odd[i]);
        assert_int_equal(top_rates_add(&play.rates, document, 9000000), OK);
        play.scene.status = document;
        play.scene.detail = document;
        play.scene.rollbacks = document;
        draw(&play);
        is_harmless(&play);
        json_decref(document);
        play_end(&play);
    }
}

static void text_for_pipes_has_all_services_and_no_foot(void **state)
{
    (void)state;
    static struct play play;
    play_begin(&play);
    play.scene.is_plain = true;
    play.look.rows = 2;
    draw(&play);
    shows(&play, "all is well");
    shows(&play, "it hurts");
    shows_not(&play, "q quit");
    shows_not(&play, "▶");
    play_end(&play);
}

static void colours_are_left_out_when_not_wanted(void **state)
{
    (void)state;
    static struct play play;
    play_begin(&play);
    draw(&play);
    shows_not(&play, "\x1b");
    play.look.is_colour = true;
    draw(&play);
    shows(&play, "\x1b[33msuspicious\x1b[0m");
    play_end(&play);
}

/* ---- rates ---- */

static void rates_begin_anew_with_another_deployment_or_process(void **state)
{
    (void)state;
    struct top_rates rates;
    json_t *first = status_of(100, 0, 100);
    json_t *second = status_of(50, 0, 200);
    top_rates_init(&rates);
    assert_false(top_rates_of(&rates, "site", ROLE_CURRENT).is_known);
    assert_int_equal(top_rates_add(&rates, first, 1000000), OK);
    assert_false(top_rates_of(&rates, "site", ROLE_CURRENT).is_known);
    assert_int_equal(top_rates_add(&rates, second, 2000000), OK);
    assert_false(top_rates_of(&rates, "site", ROLE_CURRENT).is_known);
    assert_true(top_rates_of(&rates, "site", ROLE_PREVIOUS).is_known);
    json_t *one = json_array_get(json_object_get(first, "services"), 0);
    (void)json_object_set_new(json_object_get(one, "previous"), "requests", json_integer(500));
    (void)json_object_set_new(json_object_get(one, "previous"), "deployment", json_string("v9"));
    assert_int_equal(top_rates_add(&rates, first, 3000000), OK);
    assert_false(top_rates_of(&rates, "site", ROLE_PREVIOUS).is_known);
    json_decref(first);
    json_decref(second);
    top_rates_finish(&rates);
}

static void rates_are_those_of_the_last_ten_seconds(void **state)
{
    (void)state;
    struct top_rates rates;
    top_rates_init(&rates);
    for (int i = 0; i <= 30; i++) {
        json_t *status = status_of(i < 20 ? i * 1000 : 19000 + (i - 19) * 10, 0, 0);
        assert_int_equal(top_rates_add(&rates, status, 1000000 * (uint64_t)(i + 1)), OK);
        json_decref(status);
    }
    struct top_rate rate = top_rates_of(&rates, "site", ROLE_CURRENT);
    assert_true(rate.is_known);
    assert_true(rate.requests_per_s > 9.9 && rate.requests_per_s < 10.1);
    assert_true(rate.failed_ratio == 0);
    top_rates_finish(&rates);
}

/* ---- keys ---- */

static enum key_kind press(struct keys *keys, const char *bytes)
{
    struct key key = {KEY_OTHER, 0};
    size_t count = 0;
    for (; *bytes != '\0'; bytes++) {
        count += keys_take(keys, *bytes, &key);
    }
    assert_int_equal(count, 1);
    return key.kind;
}

static void keys_are_told_from_their_sequences(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum key_kind kind;
    } cases[] = {{"a", KEY_TEXT},       {"\r", KEY_ENTER},         {"\x7f", KEY_BACKSPACE},
                 {"\x1b[A", KEY_UP},    {"\x1b[B", KEY_DOWN},      {"\x1bOA", KEY_UP},
                 {"\x1b[1;5A", KEY_UP}, {"\x1b[3~", KEY_OTHER},    {"\x1bp", KEY_OTHER},
                 {"\x0c", KEY_REDRAW},  {"\x04", KEY_END_OF_INPUT}};
    struct keys keys = {KEYS_PLAIN};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(press(&keys, cases[i].bytes), cases[i].kind);
        assert_false(keys_is_waiting(&keys));
    }
    struct key key;
    assert_false(keys_take(&keys, 0x1b, &key));
    assert_true(keys_is_waiting(&keys));
    assert_true(keys_expire(&keys, &key));
    assert_int_equal(key.kind, KEY_ESCAPE);
    assert_false(keys_take(&keys, 0x1b, &key));
    assert_false(keys_take(&keys, '[', &key));
    assert_false(keys_expire(&keys, &key));
}

static enum top_wish type(struct top_dialog *dialog, const char *text)
{
    static const struct top_subject subject = {"site", "v2", "v1", 5.0, 7};
    struct keys keys = {KEYS_PLAIN};
    enum top_wish wish = TOP_NOTHING;
    for (; *text != '\0'; text++) {
        struct key key;
        if (keys_take(&keys, *text, &key)) {
            wish = top_dialog_key(dialog, key, &subject);
        }
    }
    return wish;
}

static void no_action_is_ordered_without_a_yes(void **state)
{
    (void)state;
    static const char *const letters[] = {"p", "r", "P", "Rwhy\r"};
    for (size_t i = 0; i < COUNT_OF(letters); i++) {
        struct top_dialog dialog = {.mode = TOP_LOOKING};
        static const char *const noes[] = {"n", "\r", " ", "q"};
        for (size_t j = 0; j < COUNT_OF(noes); j++) {
            assert_int_equal(type(&dialog, letters[i]), TOP_NOTHING);
            assert_int_equal(dialog.mode, TOP_CONFIRM);
            assert_int_equal(type(&dialog, noes[j]), TOP_NOTHING);
            assert_int_equal(dialog.mode, TOP_LOOKING);
        }
        assert_int_equal(type(&dialog, letters[i]), TOP_NOTHING);
        assert_int_equal(type(&dialog, "y"), TOP_ORDER);
        assert_int_equal(dialog.action, i);
        assert_string_equal(dialog.service, "site");
        assert_int_equal(dialog.revision, 7);
    }
}

static void rollback_wants_a_reason(void **state)
{
    (void)state;
    struct top_dialog dialog = {.mode = TOP_LOOKING};
    (void)type(&dialog, "R\r \r");
    assert_int_equal(dialog.mode, TOP_REASON);
    (void)type(&dialog, "\x15q\xc3\xbcy\x7f\x7f\x7fslow");
    assert_string_equal(dialog.reason, "slow");
    struct key escape = {KEY_ESCAPE, 0};
    assert_int_equal(top_dialog_key(&dialog, escape, &(struct top_subject){0}), TOP_NOTHING);
    assert_int_equal(dialog.mode, TOP_LOOKING);
    for (int i = 0; i < 3 * TOP_REASON_SIZE; i++) {
        (void)type(&dialog, i == 0 ? "R" : "x");
    }
    assert_int_equal(strlen(dialog.reason), TOP_REASON_SIZE - 1);
}

static void without_a_service_there_is_nothing_to_do(void **state)
{
    (void)state;
    struct top_dialog dialog = {.mode = TOP_LOOKING};
    static const struct top_subject nobody = {0};
    assert_int_equal(top_dialog_key(&dialog, (struct key){KEY_TEXT, 'R'}, &nobody), TOP_NOTHING);
    assert_int_equal(dialog.mode, TOP_LOOKING);
    assert_int_equal(top_dialog_key(&dialog, (struct key){KEY_TEXT, 'q'}, &nobody), TOP_QUIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_says_everything_at_a_glance),
        cmocka_unit_test(narrow_window_leaves_out_nothing_that_matters),
        cmocka_unit_test(frame_fits_every_window),
        cmocka_unit_test(chosen_service_stays_in_a_small_window),
        cmocka_unit_test(stale_and_troubled_is_said),
        cmocka_unit_test(hostile_texts_are_shown_and_not_obeyed),
        cmocka_unit_test(other_documents_than_the_apis_do_no_harm),
        cmocka_unit_test(text_for_pipes_has_all_services_and_no_foot),
        cmocka_unit_test(colours_are_left_out_when_not_wanted),
        cmocka_unit_test(rates_begin_anew_with_another_deployment_or_process),
        cmocka_unit_test(rates_are_those_of_the_last_ten_seconds),
        cmocka_unit_test(keys_are_told_from_their_sequences),
        cmocka_unit_test(no_action_is_ordered_without_a_yes),
        cmocka_unit_test(rollback_wants_a_reason),
        cmocka_unit_test(without_a_service_there_is_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
