/* What receivers get: labels, escaping, signatures; and what the journal gives back. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "canary/alert/message.h"
#include "canary/alert/secret.h"
#include "canary/alert/signature.h"

static const int64_t AT_US = INT64_C(1790000000123000); /* 2026-09-21T14:13:20.123Z */
static const char ORIGIN[] = "http://127.0.0.1:9901";

static struct event *an_event(const char *summary)
{
    struct event_facts facts = {"SerinRollback", "shop", "v2", "critical", "absolute", summary};
    struct event *event = event_create(&facts, EVENT_FIRING, AT_US, AT_US);
    assert_non_null(event);
    return event;
}

static json_t *parse(char *text)
{
    assert_non_null(text);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    free(text);
    return json;
}

static const char *text_at(const json_t *json, const char *folder, const char *key)
{
    json_t *inner = folder != NULL ? json_object_get(json, folder) : (json_t *)(uintptr_t)json;
    return json_string_value(json_object_get(inner, key));
}

static void alertmanager_gets_the_same_labels_at_both_ends(void **state)
{
    (void)state;
    struct event *fired = an_event("80 % failed");
    struct event *ended = event_create_resolution(fired, "all is well", AT_US + 1, AT_US + 5000000);
    struct event *both[] = {fired, ended};
    json_t *alerts = parse(message_alertmanager(both, 2, ORIGIN, AT_US + 5000000));
    const json_t *first = json_array_get(alerts, 0);
    const json_t *second = json_array_get(alerts, 1);
    assert_true(json_equal(json_object_get(first, "labels"), json_object_get(second, "labels")));
    assert_string_equal(text_at(first, "labels", "alertname"), "SerinRollback");
    assert_string_equal(text_at(first, "labels", "service"), "shop");
    assert_string_equal(text_at(first, "labels", "deployment"), "v2");
    assert_string_equal(text_at(first, "annotations", "summary"), "80 % failed");
    assert_string_equal(text_at(first, "annotations", "runbook"),
                        "docs/OPERATING.md#serinrollback");
    assert_string_equal(text_at(first, NULL, "startsAt"), "2026-09-21T14:13:20.123Z");
    assert_string_equal(text_at(second, NULL, "startsAt"), "2026-09-21T14:13:20.123Z");
    /* Four minutes from the telling, and its real end. */
    assert_string_equal(text_at(first, NULL, "endsAt"), "2026-09-21T14:17:25.123Z");
    assert_string_equal(text_at(second, NULL, "endsAt"), "2026-09-21T14:13:25.123Z");
    assert_string_equal(text_at(first, NULL, "generatorURL"),
                        "http://127.0.0.1:9901/api/v1/services/shop");
    json_decref(alerts);
    event_unref(fired);
    event_unref(ended);
}

static void check_times(struct event *event, int64_t wall_us, const char *starts, const char *ends)
{
    json_t *alerts = parse(message_alertmanager(&event, 1, ORIGIN, wall_us));
    assert_string_equal(text_at(json_array_get(alerts, 0), NULL, "startsAt"), starts);
    assert_string_equal(text_at(json_array_get(alerts, 0), NULL, "endsAt"), ends);
    json_decref(alerts);
}

/* It fired while the machine took today for next week. */
static void alertmanager_is_told_no_times_that_are_yet_to_come(void **state)
{
    (void)state;
    const int64_t week_us = INT64_C(7) * 24 * 3600 * 1000000;
    struct event *fired = an_event("80 % failed");
    struct event *ended = event_create_resolution(fired, "all is well", AT_US + 1, AT_US - week_us);
    check_times(fired, AT_US - week_us, "2026-09-14T14:13:20.123Z", "2026-09-14T14:17:20.123Z");
    check_times(ended, AT_US - week_us, "2026-09-14T14:13:20.123Z", "2026-09-14T14:13:20.123Z");
    event_unref(fired);
    event_unref(ended);
}

static void label_that_says_nothing_is_left_out(void **state)
{
    (void)state;
    struct event_facts facts = {
        .name = "SerinStateFailing", .severity = "critical", .summary = "no room"};
    struct event *event = event_create(&facts, EVENT_FIRING, 1, AT_US);
    json_t *alerts = parse(message_alertmanager(&event, 1, ORIGIN, AT_US));
    const json_t *labels = json_object_get(json_array_get(alerts, 0), "labels");
    assert_int_equal(json_object_size(labels), 2);
    assert_string_equal(text_at(json_array_get(alerts, 0), NULL, "generatorURL"),
                        "http://127.0.0.1:9901/api/v1/status");
    json_decref(alerts);
    event_unref(event);
}

static void chat_is_not_told_to_call_everybody(void **state)
{
    (void)state;
    struct event *event = an_event("<!channel> & <https://evil.test|click> \"quoted\"");
    json_t *json = parse(message_slack(event));
    assert_string_equal(json_string_value(json_object_get(json, "text")),
                        "*FIRING SerinRollback* shop (v2): &lt;!channel&gt; &amp; "
                        "&lt;https://evil.test|click&gt; \"quoted\"");
    json_decref(json);
    event_unref(event);
}

static void webhook_says_id_state_and_times(void **state)
{
    (void)state;
    struct event *fired = an_event("80 % failed");
    struct event *ended = event_create_resolution(fired, "well", AT_US + 7, AT_US - 99);
    json_t *first = parse(message_json(fired, ORIGIN));
    json_t *second = parse(message_json(ended, ORIGIN));
    assert_string_equal(text_at(first, NULL, "state"), "firing");
    assert_string_equal(text_at(second, NULL, "state"), "resolved");
    assert_true(json_is_null(json_object_get(first, "ends_at")));
    /* Also when the wall clock was set back meanwhile: not before its start. */
    assert_true(strcmp(text_at(second, NULL, "ends_at"), text_at(second, NULL, "starts_at")) >= 0);
    assert_string_not_equal(text_at(first, NULL, "id"), text_at(second, NULL, "id"));
    json_decref(first);
    json_decref(second);
    event_unref(fired);
    event_unref(ended);
}

static void text_that_is_cut_inside_a_character_can_still_be_told(void **state)
{
    (void)state;
    const char *texts[] = {"ends in half a umlaut \xc3", "a \xff byte", "\xe2\x82", ""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct event *event = an_event(texts[i]);
        json_decref(parse(message_json(event, ORIGIN)));
        json_decref(parse(message_slack(event)));
        event_unref(event);
    }
}

static void longest_texts_fit_everywhere(void **state)
{
    (void)state;
    char longest[NOTE_TEXT_MAX + 100];
    memset(longest, '<', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    struct event_facts facts = {longest, longest, longest, longest, longest, longest};
    struct event *event = event_create(&facts, EVENT_FIRING, INT64_MAX, AT_US);
    json_decref(parse(message_json(event, ORIGIN)));
    json_decref(parse(message_slack(event)));
    json_decref(parse(message_alertmanager(&event, 1, ORIGIN, AT_US)));
    event_unref(event);
}

static void journal_gives_back_what_it_was_given(void **state)
{
    (void)state;
    struct event *event = an_event("80 % failed");
    event->is_active = true;
    json_t *json = event_to_json(event);
    struct event *back = NULL;
    assert_int_equal(event_from_json(json, event->seq, &back), OK);
    assert_true(event_is_same(event, back));
    assert_true(back->is_active);
    assert_string_equal(back->summary.text, event->summary.text);
    assert_string_equal(back->reason, "absolute");
    assert_int_equal(back->starts_us, event->starts_us);
    event_unref(back);
    const char *broken[] = {"state", "name", "starts_us", "summary"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        json_t *without = json_deep_copy(json);
        (void)json_object_del(without, broken[i]);
        assert_int_equal(event_from_json(without, 1, &back), ERR_SYNTAX);
        json_decref(without);
    }
    (void)json_object_set_new(json, "state", json_string("on fire"));
    assert_int_equal(event_from_json(json, 1, &back), ERR_SYNTAX);
    json_decref(json);
    event_unref(event);
}

/* Made by another implementation: Python's hmac. */
static void signature_is_hmac_sha256_of_timestamp_and_body(void **state)
{
    (void)state;
    char text[SIGNATURE_SIZE];
    assert_int_equal(signature_make(BYTES("Jefe"), 1790000000, BYTES("{\"a\":1}"), text), OK);
    assert_string_equal(text,
                        "v1=f94595f75d18f076b5aedcde5eb821a5072318f66968cc8718993f81bfc2c490");
    assert_int_equal(signature_make(BYTES("k"), 0, BYTES(""), text), OK);
    assert_string_equal(text,
                        "v1=6b4a4b8b3c40f1e8f53a3d36682e5f99f7ad2ac1df1c93dfe336f329167641e7");
}

static void secret_is_read_from_its_place_and_never_named(void **state)
{
    (void)state;
    char folder[] = "/tmp/serin-secret-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[64];
    (void)snprintf(path, sizeof path, "%s/key", folder);
    FILE *file = fopen(path, "w");
    (void)fputs("s3cret \r\n", file);
    (void)fclose(file);
    struct note note = {""};
    char *secret = NULL;
    assert_int_equal(secret_read(&(struct conf_secret){.file = path}, &secret, &note), OK);
    assert_string_equal(secret, "s3cret");
    secret_free(secret);
    assert_int_equal(setenv("SERIN_TEST_SECRET", "fr0m env", 1), 0);
    struct conf_secret by_env = {.env = "SERIN_TEST_SECRET"};
    assert_int_equal(secret_read(&by_env, &secret, &note), OK);
    assert_string_equal(secret, "fr0m env");
    secret_free(secret);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(secret_read(&(struct conf_secret){.file = path}, &secret, &note), ERR_IO);
    assert_non_null(strstr(note.text, path));
    /* A pipe that nobody writes to keeps nobody waiting. */
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(secret_read(&(struct conf_secret){.file = path}, &secret, &note), ERR_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(setenv("SERIN_TEST_SECRET", " \n", 1), 0);
    assert_int_equal(secret_read(&by_env, &secret, &note), ERR_IO);
    assert_int_equal(unsetenv("SERIN_TEST_SECRET"), 0);
    assert_int_equal(secret_read(&by_env, &secret, &note), ERR_IO);
    assert_int_equal(rmdir(folder), 0);
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* The beginning of a secret is another secret. */
static void secret_that_does_not_fit_is_refused_and_never_cut(void **state)
{
    (void)state;
    char path[] = "/tmp/serin-secret-XXXXXX";
    char text[SECRET_MAX + 2];
    struct note note = {""};
    char *secret = NULL;
    struct conf_secret by_file = {.file = path};
    struct conf_secret by_env = {.env = "SERIN_TEST_SECRET"};
    memset(text, 'x', sizeof text);
    text[SECRET_MAX + 1] = '\0';
    (void)close(mkstemp(path));
    write_file(path, text, SECRET_MAX);
    assert_int_equal(secret_read(&by_file, &secret, &note), OK);
    assert_int_equal(strlen(secret), SECRET_MAX);
    secret_free(secret);
    write_file(path, text, SECRET_MAX + 1);
    assert_int_equal(secret_read(&by_file, &secret, &note), ERR_IO);
    assert_non_null(strstr(note.text, "longer than 4096 bytes"));
    assert_int_equal(setenv("SERIN_TEST_SECRET", text, 1), 0);
    assert_int_equal(secret_read(&by_env, &secret, &note), ERR_IO);
    assert_non_null(strstr(note.text, "SERIN_TEST_SECRET is longer"));
    assert_int_equal(unsetenv("SERIN_TEST_SECRET"), 0);
    write_file(path, "s\0e\0c\0", 6);
    assert_int_equal(secret_read(&by_file, &secret, &note), ERR_IO);
    assert_non_null(strstr(note.text, "zero byte"));
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alertmanager_gets_the_same_labels_at_both_ends),
        cmocka_unit_test(alertmanager_is_told_no_times_that_are_yet_to_come),
        cmocka_unit_test(label_that_says_nothing_is_left_out),
        cmocka_unit_test(chat_is_not_told_to_call_everybody),
        cmocka_unit_test(webhook_says_id_state_and_times),
        cmocka_unit_test(text_that_is_cut_inside_a_character_can_still_be_told),
        cmocka_unit_test(longest_texts_fit_everywhere),
        cmocka_unit_test(journal_gives_back_what_it_was_given),
        cmocka_unit_test(signature_is_hmac_sha256_of_timestamp_and_body),
        cmocka_unit_test(secret_is_read_from_its_place_and_never_named),
        cmocka_unit_test(secret_that_does_not_fit_is_refused_and_never_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
