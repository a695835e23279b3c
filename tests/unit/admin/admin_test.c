/* What can be looked at, and how it is shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/admin/admin_bench.h"

static int setup(void **state)
{
    struct admin_bench *bench = malloc(sizeof *bench);
    admin_bench_init(bench, NULL);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    admin_bench_finish(*state);
    free(*state);
    return 0;
}

static void status_shows_every_service_as_promised(void **state)
{
    struct admin_bench *bench = *state;
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/status", NULL), 200);
    assert_string_equal(bench->content_type, "application/json");
    assert_string_equal(
        bench->body,
        "{\"services\":[{\"name\":\"showcase\",\"phase\":\"progressing\",\"revision\":7,"
        "\"weight\":{\"set\":10.0,\"realised\":9.98},\"verdict\":\"suspicious\","
        "\"reason\":\"absolute\",\"sentence\":\"Too many fail.\",\"step\":2,\"steps\":5,"
        "\"contained\":false,\"started\":false,\"mirror\":{\"share\":5.0,\"active\":true,"
        "\"requests\":120,"
        "\"dropped\":3},"
        "\"cache\":{\"mode\":\"fallback\",\"bytes\":4096,\"size\":1048576,\"entries\":2,"
        "\"requests\":{"
        "\"hit\":0,\"collapsed\":0,\"revalidated\":0,\"updating\":0,\"stale\":5,\"unavailable\":0}}"
        ","
        "\"verification\":null,"
        "\"current\":{\"deployment\":\"d7a3f2b\",\"url\":\"http://127.0.0.1:81\","
        "\"endpoints\":{\"all\":2,\"live\":1},\"requests\":120,\"failures\":34,"
        "\"client_bad\":3,\"in_flight\":0},"
        "\"previous\":{\"deployment\":\"9c2e1a4\",\"url\":\"http://127.0.0.1:80\","
        "\"endpoints\":{\"all\":0,\"live\":0},\"requests\":0,\"failures\":0,"
        "\"client_bad\":0,\"in_flight\":0},"
        "\"observed\":[{\"name\":\"strict\",\"verdict\":\"breach\",\"reason\":\"absolute\","
        "\"sentence\":\"4 of 9 failed\",\"breach\":{\"at\":\"2026-11-23T05:39:05.678Z\","
        "\"after_s\":12.5,\"failed\":4,\"client_bad\":1,\"instant\":false}},"
        "{\"name\":\"lax\",\"verdict\":\"ok\",\"reason\":null,\"sentence\":\"fine\","
        "\"breach\":null}]}],"
        "\"conditions\":[\"state file serin.db: cannot be written\"],"
        "\"process\":{\"version\":\"0.1.0\",\"started\":\"2026-11-23T05:39:05.678Z\","
        "\"workers\":2,\"client_connections\":17,\"ready\":true,\"draining\":false}}");
}

static void one_service_has_its_evidence_and_an_etag(void **state)
{
    struct admin_bench *bench = *state;
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/services/showcase", NULL), 200);
    assert_string_equal(bench->etag, "\"7\"");
    json_t *service = answer_json(bench);
    json_t *evidence = json_object_get(service, "evidence");
    assert_true(json_real_value(json_object_get(evidence, "absolute")) == 2.5);
    assert_true(json_is_null(json_object_get(evidence, "relative")));
    json_t *thresholds = json_object_get(service, "thresholds");
    assert_true(json_real_value(json_object_get(thresholds, "absolute")) == 7.8);
    assert_null(json_object_get(thresholds, "relative"));
    json_t *ladder = json_object_get(service, "ladder");
    assert_int_equal(json_array_size(ladder), 3);
    assert_true(json_real_value(json_array_get(ladder, 0)) == 5.0);
    assert_string_equal(json_string_value(json_array_get(ladder, 1)), "pause");
    json_t *current = json_object_get(service, "current");
    assert_int_equal(json_integer_value(json_object_get(current, "failures")), 34);
    json_t *quarantine = json_array_get(json_object_get(service, "quarantine"), 0);
    assert_string_equal(json_string_value(json_object_get(quarantine, "deployment")), "bad1");
    json_decref(service);
}

static void recording_comes_in_pages(void **state)
{
    struct admin_bench *bench = *state;
    const char *path = "/api/v1/services/showcase/recording";
    assert_int_equal(ask(bench, METHOD_GET, path, NULL), 200);
    assert_string_equal(bench->content_type, "application/x-ndjson");
    assert_string_equal(bench->body, "{\"after\":0,\"since\":0,\"max\":1000}\n");
    path = "/api/v1/services/showcase/recording?after=17&limit=3";
    assert_int_equal(ask(bench, METHOD_GET, path, NULL), 200);
    assert_string_equal(bench->body, "{\"after\":17,\"since\":0,\"max\":3}\n");
    path = "/api/v1/services/showcase/recording?since=1795412345678";
    assert_int_equal(ask(bench, METHOD_GET, path, NULL), 200);
    assert_string_equal(bench->body, "{\"after\":0,\"since\":1795412345678000,\"max\":1000}\n");
    static const struct {
        const char *path;
        unsigned status;
    } refusals[] = {
        {"/api/v1/services/showcase/recording?since=yesterday", 422},
        {"/api/v1/services/showcase/recording?since=9223372036854775807", 422},
        {"/api/v1/services/nobody/recording", 404},
        {"/api/v1/services/showcase/recording?limit=0", 422},
        {"/api/v1/services/showcase/recording?limit=1001", 422},
        {"/api/v1/services/showcase/recording?after=-1", 422},
        {"/api/v1/services/showcase/recording?after=9223372036854775808", 422},
        {"/api/v1/services/showcase/recording?before=1", 400},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        assert_int_equal(ask(bench, METHOD_GET, refusals[i].path, NULL), refusals[i].status);
    }
    bench->fake.is_ready = false;
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/services/showcase/recording", NULL), 409);
}

static void report_of_an_incident_has_three_forms(void **state)
{
    struct admin_bench *bench = *state;
    static const struct {
        const char *path;
        unsigned status;
        const char *body;
    } asked[] = {
        {"/api/v1/incidents/rb-1", 200, "{}"},        {"/api/v1/incidents/rb-1.json", 200, "{}"},
        {"/api/v1/incidents/rb-1.md", 200, "# x"},    {"/api/v1/incidents/rb-1.svg", 200, "<x/>"},
        {"/api/v1/incidents/rb-1.txt", 404, NULL},    {"/api/v1/incidents/rb-2", 404, NULL},
        {"/api/v1/incidents/.md", 404, NULL},         {"/api/v1/incidents/rb-1?x=1", 400, NULL},
        {"/api/v1/incidents/rb-1.svg.md", 404, NULL}, {"/api/v1/incidents", 404, NULL},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        assert_int_equal(ask(bench, METHOD_GET, asked[i].path, NULL), asked[i].status);
        if (asked[i].body != NULL) {
            assert_string_equal(bench->body, asked[i].body);
        }
    }
    assert_int_equal(ask(bench, METHOD_POST, "/api/v1/incidents/rb-1", "{}"), 405);
}

static void realised_weight_is_null_without_requests(void **state)
{
    struct admin_bench *bench = *state;
    bench->fake.service.realised_ratio = strtod("nan", NULL);
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/services/showcase", NULL), 200);
    assert_non_null(strstr(bench->body, "\"realised\":null"));
}

static void names_in_the_path_are_decoded(void **state)
{
    struct admin_bench *bench = *state;
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/services/%73howcase", NULL), 200);
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/services/show%2Fcase", NULL), 404);
    assert_problem(bench, 404, "service");
}

static void what_is_not_there_is_a_problem_document(void **state)
{
    struct admin_bench *bench = *state;
    const char *targets[] = {"/favicon.ico",     "/assets/passwd",           "/api/v1",
                             "/api/v1/services", "/api/v1/services/a/b/c/d", "/healthz/x"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        assert_int_equal(ask(bench, METHOD_GET, targets[i], NULL), 404);
        assert_problem(bench, 404, NULL);
    }
}

static void page_is_given_without_a_token_and_known_by_its_tag(void **state)
{
    struct admin_bench *bench = *state;
    assert_int_equal(ask(bench, METHOD_GET, "/", NULL), 200);
    assert_string_equal(bench->content_type, "text/html; charset=utf-8");
    char tag[80];
    (void)snprintf(tag, sizeof tag, "W/\"x\", %s", bench->etag);
    with(bench, "If-None-Match", tag);
    assert_int_equal(ask(bench, METHOD_GET, "/", NULL), 304);
    assert_string_equal(bench->body, "");
    with(bench, "If-None-Match", "\"0\"");
    assert_int_equal(ask(bench, METHOD_GET, "/assets/app.js", NULL), 200);
    assert_int_equal(ask(bench, METHOD_GET, "/assets/../admin", NULL), 400);
    assert_int_equal(ask(bench, METHOD_POST, "/", NULL), 405);
}

static void unreadable_targets_are_refused(void **state)
{
    struct admin_bench *bench = *state;
    const char *targets[] = {"*",
                             "/api//v1/status",
                             "/api/v1/status/",
                             "/api/../api/v1/status",
                             "/api/v1/services/%2e%2e",
                             "/api/v1/services/%",
                             "/api/v1/services/%0",
                             "/api/v1/services/%00",
                             "/api/v1/services/%zz",
                             "/api/v1/rollbacks?limit=1&limit=2",
                             "/api/v1/rollbacks?=1",
                             "/api/v1/rollbacks?limit=%"};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        assert_int_equal(ask(bench, METHOD_GET, targets[i], NULL), 400);
        assert_problem(bench, 400, NULL);
    }
    assert_int_equal(ask(bench, METHOD_GET, "/a/b/c/d/e/f/g/h/i/j", NULL), 414);
}

static void other_methods_are_told_which_ones_there_are(void **state)
{
    struct admin_bench *bench = *state;
    assert_int_equal(ask(bench, METHOD_DELETE, "/api/v1/status", NULL), 405);
    assert_string_equal(bench->allow, "GET, HEAD");
    assert_problem(bench, 405, NULL);
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/services/showcase/weight", NULL), 405);
    assert_string_equal(bench->allow, "PUT");
    assert_int_equal(ask(bench, METHOD_HEAD, "/api/v1/status", NULL), 200);
}

static void health_and_readiness_are_two_things(void **state)
{
    struct admin_bench *bench = *state;
    bench->fake.is_ready = false;
    assert_int_equal(ask(bench, METHOD_GET, "/healthz", NULL), 200);
    assert_int_equal(ask(bench, METHOD_GET, "/readyz", NULL), 503);
    assert_string_equal(bench->body, "draining\n");
    bench->fake.is_ready = true;
    assert_int_equal(ask(bench, METHOD_GET, "/readyz", NULL), 200);
}

static void metrics_are_text_for_prometheus(void **state)
{
    struct admin_bench *bench = *state;
    assert_int_equal(ask(bench, METHOD_GET, "/metrics", NULL), 200);
    assert_string_equal(bench->content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_string_equal(bench->body, "serin_build_info 1\n");
}

/* Every route of the description answers something else than 404 and 405, so the two cannot drift
 * apart unseen. */
static void description_names_only_what_exists(void **state)
{
    struct admin_bench *bench = *state;
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/openapi.json", NULL), 200);
    json_t *document = answer_json(bench);
    const char *path;
    json_t *item;
    size_t count = 0;
    json_object_foreach(json_object_get(document, "paths"), path, item)
    {
        char target[256] = "";
        for (const char *from = path; *from != '\0'; from++) {
            size_t size = strlen(target);
            const char *close = strchr(from, '}');
            bool is_service = strncmp(from, "{service}", 9) == 0;
            if (*from == '{' && close != NULL) {
                (void)snprintf(target + size, sizeof target - size, "%s",
                               is_service ? "showcase" : "x");
                from = close;
            } else {
                (void)snprintf(target + size, sizeof target - size, "%c", *from);
            }
        }
        static const struct {
            const char *name;
            enum method method;
        } methods[] = {{"get", METHOD_GET}, {"put", METHOD_PUT}, {"post", METHOD_POST}};
        for (size_t i = 0; i < 3; i++) {
            if (json_object_get(item, methods[i].name) != NULL) {
                unsigned status = ask(bench, methods[i].method, target, NULL);
                assert_int_not_equal(status, 404);
                assert_int_not_equal(status, 405);
                count++;
            }
        }
    }
    assert_int_equal(count, 30);
    json_decref(document);
}

static void explanation_is_asked_with_the_url_taken_apart(void **state)
{
    struct admin_bench *bench = *state;
    const char *body = "{\"url\":\"http://shop.example:8080/a?b=1\",\"headers\":"
                       "{\"Cookie\":\" serin=x.1 \"},\"client\":\"192.0.2.7\"}";
    assert_int_equal(ask_json(bench, METHOD_POST, "/api/v1/explain", body), 200);
    assert_string_equal(bench->fake.explained, "shop.example:8080|/a?b=1|serin=x.1|192.0.2.7");
    assert_string_equal(bench->body,
                        "{\"service\":\"showcase\",\"host\":\"*\",\"path\":\"/\","
                        "\"version\":\"current\",\"deployment\":\"d7a3f2b\",\"reason\":\"sticky\","
                        "\"judged\":true,\"bucket\":4711,\"weight\":10.0}");

    (void)ask_json(bench, METHOD_POST, "/api/v1/explain", "{\"url\":\"https://a?q\"}");
    assert_string_equal(bench->fake.explained, "a|/?q||");
    (void)ask_json(bench, METHOD_POST, "/api/v1/explain",
                   "{\"url\":\"http://a/\",\"headers\":{\"Cookie\":[\"serin=y.2\",\"b=1\"]}}");
    assert_string_equal(bench->fake.explained, "a|/|serin=y.2, b=1|");
    (void)ask_json(bench, METHOD_POST, "/api/v1/explain", "{\"url\":\"http://nobody.example\"}");
    assert_string_equal(bench->body, "{\"service\":null}");
    (void)ask_json(bench, METHOD_POST, "/api/v1/explain", "{\"url\":\"ftp://a/\"}");
    assert_problem(bench, 422, "url");
    (void)ask_json(bench, METHOD_POST, "/api/v1/explain",
                   "{\"url\":\"http://a/\",\"headers\":{\"A\":\"b\\r\\nC: d\"}}");
    assert_problem(bench, 422, "A");
}

static void records_need_a_state_file(void **state)
{
    struct admin_bench *bench = *state;
    (void)ask(bench, METHOD_GET, "/api/v1/rollbacks", NULL);
    assert_problem(bench, 503, NULL);
}

struct listener {
    struct admin_subscriber subscriber;
    struct admin *admin;
    char text[4096];
    unsigned changes;
    unsigned counters;
    unsigned leaves_after;
};

static bool on_event(struct admin_subscriber *subscriber, struct bytes event, bool is_change)
{
    struct listener *listener = (struct listener *)(void *)subscriber;
    (void)snprintf(listener->text, sizeof listener->text, "%.*s", BYTES_ARGS(event));
    listener->changes += is_change ? 1 : 0;
    listener->counters += is_change ? 0 : 1;
    if (listener->leaves_after > 0 && listener->changes >= listener->leaves_after) {
        admin_unsubscribe(listener->admin, subscriber);
        return false;
    }
    return true;
}

static void changes_reach_every_listener_with_an_id(void **state)
{
    struct admin_bench *bench = *state;
    struct listener stays = {.subscriber = {.on_event = on_event}, .admin = bench->admin};
    struct listener leaves = {
        .subscriber = {.on_event = on_event}, .admin = bench->admin, .leaves_after = 1};
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/events", NULL), 200);
    assert_true(bench->is_stream);
    assert_string_equal(bench->content_type, "text/event-stream");
    admin_subscribe(bench->admin, &leaves.subscriber, 0);
    admin_subscribe(bench->admin, &stays.subscriber, 0);

    admin_publish(bench->admin, "phase", "showcase", json_pack("{s:s}", "to", "paused\n"));
    admin_publish(bench->admin, "phase", "showcase", NULL);
    admin_tick(bench->admin);

    assert_int_equal(leaves.changes, 1);
    assert_int_equal(stays.changes, 2);
    assert_int_equal(stays.counters, 1);
    assert_non_null(strstr(leaves.text, "id: 1\nevent: phase\ndata: {\"kind\":\"phase\""));
    assert_non_null(strstr(leaves.text, "\"to\":\"paused\\n\""));
    assert_int_equal(strncmp(stays.text, "event: counters\ndata: {", 23), 0);
    assert_non_null(strstr(stays.text, "}\n\n"));
    admin_unsubscribe(bench->admin, &stays.subscriber);
    admin_unsubscribe(bench->admin, &stays.subscriber);
}

static void listener_that_comes_back_gets_what_it_missed(void **state)
{
    struct admin_bench *bench = *state;
    struct listener listener = {.subscriber = {.on_event = on_event}, .admin = bench->admin};
    for (int i = 0; i < ADMIN_EVENTS_KEPT + 10; i++) {
        admin_publish(bench->admin, "weight", "showcase", NULL);
    }
    with(bench, "Last-Event-ID", "263");
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/events", NULL), 200);
    admin_subscribe(bench->admin, &listener.subscriber, bench->last_event);
    assert_int_equal(listener.changes, 3);
    admin_unsubscribe(bench->admin, &listener.subscriber);

    listener.changes = 0;
    admin_subscribe(bench->admin, &listener.subscriber, 1);
    assert_int_equal(listener.changes, ADMIN_EVENTS_KEPT);
    admin_unsubscribe(bench->admin, &listener.subscriber);

    listener.changes = 0;
    admin_subscribe(bench->admin, &listener.subscriber, 100000);
    assert_int_equal(listener.changes, 0);
    admin_unsubscribe(bench->admin, &listener.subscriber);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(status_shows_every_service_as_promised),
        TEST(one_service_has_its_evidence_and_an_etag),
        TEST(recording_comes_in_pages),
        TEST(report_of_an_incident_has_three_forms),
        TEST(realised_weight_is_null_without_requests),
        TEST(names_in_the_path_are_decoded),
        TEST(what_is_not_there_is_a_problem_document),
        TEST(page_is_given_without_a_token_and_known_by_its_tag),
        TEST(unreadable_targets_are_refused),
        TEST(other_methods_are_told_which_ones_there_are),
        TEST(health_and_readiness_are_two_things),
        TEST(metrics_are_text_for_prometheus),
        TEST(description_names_only_what_exists),
        TEST(explanation_is_asked_with_the_url_taken_apart),
        TEST(records_need_a_state_file),
        TEST(changes_reach_every_listener_with_an_id),
        TEST(listener_that_comes_back_gets_what_it_missed),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
