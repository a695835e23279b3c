/* One service's control. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "canary/controller/controller_state.h"
#include "canary/controller/steward.h"
#include "conf/conf_load.h"
#include "tests/support/alloc_fail.h"

enum { SECOND_US = 1000000 };

struct fixture {
    struct conf *conf;
    struct registry registry;
    struct steward *steward;
};

static const char CONF[] =
    "listen: [{address: '127.0.0.1:8080'}]\n"
    "services:\n"
    "  - name: shop\n"
    "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"
    "    current: {deployment: c1, endpoints: ['http://127.0.0.1:2', 'http://127.0.0.1:3']}\n"
    "    weight: 10%\n"
    "    observe: [{name: strict, error_rate: 1%}, {name: lax, error_rate: 60%}]\n"
    "    rollback: {error_rate: 50%, relative: off}\n"
    "    health: {path: /, interval: 2s, timeout: 1s, healthy: 2, unhealthy: 3}\n"
    "  - name: blog\n"
    "    hosts: [blog.example]\n"
    "    previous: {deployment: s2, endpoints: ['http://127.0.0.1:1']}\n"
    "    current: {deployment: c1, endpoints: ['http://127.0.0.1:2', 'http://127.0.0.1:4']}\n"
    "    weight: 10%\n";

static int open_fixture(void **state)
{
    static struct fixture fixture;
    struct conf_errors errors;
    memset(&fixture, 0, sizeof fixture);
    conf_errors_init(&errors);
    enum err err = conf_load_memory("test.yaml", bytes_of(CONF), &errors, &fixture.conf);
    if (err != OK) {
        conf_errors_print(&errors, stderr);
    }
    conf_errors_finish(&errors);
    assert_int_equal(err, OK);
    registry_init(&fixture.registry, 2);
    const struct conf_service *service = &fixture.conf->services[0];
    assert_int_equal(steward_create(&fixture.registry, service, &fixture.steward), OK);
    struct engine_config config = steward_engine_config(service);
    engine_init(&fixture.steward->engine, &config, service->weight_ppm, false);
    fixture.steward->published_ppm = service->weight_ppm;
    fixture.steward->published_revision = 1;
    *state = &fixture;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *fixture = *state;
    steward_destroy(fixture->steward);
    registry_finish(&fixture->registry);
    conf_destroy(fixture->conf);
    return 0;
}

/* Takes the versions and settings of another configuration over. */
static void adopt(struct fixture *fixture, const struct conf_service *conf)
{
    struct lineup lineup;
    struct steward_cast cast;
    assert_int_equal(lineup_of_file(conf, &lineup), OK);
    assert_int_equal(steward_prepare(&fixture->registry, conf, &lineup, &cast), OK);
    steward_adopt(fixture->steward, conf, &cast);
}

static const char HOSTS[] =
    "listen: [{address: '127.0.0.1:8080'}]\n"
    "services:\n"
    "  - name: shop\n"
    "    previous: {deployment: v1, url: 'https://9c2e1a4b.shop.pages.dev'}\n"
    "    current: {deployment: d7a3f2b1, url: 'https://main.shop.pages.dev'}\n"
    "    weight: 10%\n";

/* A host that is a deployment's own names it; a branch's says nothing of which one is there. */
static void platform_knows_a_version_by_its_own_host_or_by_its_name(void **state)
{
    struct fixture *fixture = *state;
    struct conf_errors errors;
    struct conf *conf = NULL;
    assert_string_equal(controller_platform_name(fixture->steward, ROLE_PREVIOUS), "s1");
    conf_errors_init(&errors);
    assert_int_equal(conf_load_memory("hosts.yaml", bytes_of(HOSTS), &errors, &conf), OK);
    conf_errors_finish(&errors);
    adopt(fixture, &conf->services[0]);
    assert_string_equal(controller_platform_name(fixture->steward, ROLE_PREVIOUS),
                        "9c2e1a4b.shop.pages.dev");
    assert_string_equal(controller_platform_name(fixture->steward, ROLE_CURRENT), "d7a3f2b1");
    adopt(fixture, &fixture->conf->services[0]);
    conf_destroy(conf);
}

static void tick(struct fixture *fixture, uint64_t now_us)
{
    struct rollout_actions actions;
    steward_tick(fixture->steward, "rb-1", now_us, (int64_t)now_us, &actions);
}

static void pick(const struct fixture *fixture, enum metric_role role, unsigned count)
{
    struct service_cells *cells = block_cells(fixture->steward->service->cells, 0);
    cell_add(&cells->picks[role], count);
}

static void realised_share_counts_only_its_own_time(void **state)
{
    struct fixture *fixture = *state;
    pick(fixture, METRIC_ROLE_CURRENT, 500);
    struct steward *later = NULL;
    assert_int_equal(steward_create(&fixture->registry, fixture->steward->conf, &later), OK);
    assert_true(isnan(steward_realised(later)));
    pick(fixture, METRIC_ROLE_CURRENT, 1);
    pick(fixture, METRIC_ROLE_PREVIOUS, 3);
    assert_true(fabs(steward_realised(later) - 0.25) < 1e-9);
    for (int second = 0; second <= STEWARD_SECONDS; second++) {
        steward_note_second(later);
    }
    assert_true(isnan(steward_realised(later)));
    steward_destroy(later);
}

/* Snapshots of other services and of new addresses come in between. */
static void landing_is_that_of_the_first_snapshot_with_the_weight(void **state)
{
    struct fixture *fixture = *state;
    struct steward *steward = fixture->steward;
    steward_note_carried(steward, 1);
    steward_note_landed(steward, 1, 10);
    steward->published_revision = 2;
    steward_note_landed(steward, 1, 11);
    assert_int_equal(steward->landed_revision, 1);
    steward_note_carried(steward, 2);
    steward_note_carried(steward, 3);
    steward_note_landed(steward, 2, 12);
    assert_int_equal(steward->landed_revision, 2);
    assert_int_equal(steward->landed_us, 12);
    steward_note_landed(steward, 3, 13);
    assert_int_equal(steward->landed_us, 12);
}

static void weight_that_no_snapshot_carries_does_not_land(void **state)
{
    struct fixture *fixture = *state;
    struct steward *steward = fixture->steward;
    steward_note_landed(steward, 7, 10);
    assert_int_equal(steward->landed_revision, 0);
    assert_int_equal(steward->landed_us, 0);
}

static void set_health(const struct fixture *fixture, size_t index, bool is_healthy)
{
    struct endpoint *endpoint = fixture->steward->versions[ROLE_CURRENT].endpoints[index].endpoint;
    atomic_store(&endpoint->is_healthy, is_healthy);
}

static void canary_is_down_since_its_last_endpoint_went(void **state)
{
    struct fixture *fixture = *state;
    struct steward *steward = fixture->steward;
    set_health(fixture, 0, false);
    tick(fixture, 100 * SECOND_US);
    assert_int_equal(steward->canary_down_since_us, 0);
    set_health(fixture, 1, false);
    tick(fixture, 3600ULL * SECOND_US);
    assert_int_equal(steward->canary_down_since_us, (3600ULL - 4) * SECOND_US);
    tick(fixture, 3601ULL * SECOND_US);
    assert_int_equal(steward->canary_down_since_us, (3600ULL - 4) * SECOND_US);
    set_health(fixture, 0, true);
    tick(fixture, 3602ULL * SECOND_US);
    assert_int_equal(steward->canary_down_since_us, 0);
}

static void endpoint_without_an_address_is_not_live(void **state)
{
    struct fixture *fixture = *state;
    struct steward *steward = fixture->steward;
    assert_int_equal(steward_live_count(steward, ROLE_CURRENT), 0);
    steward->versions[ROLE_CURRENT].endpoints[0].has_address = true;
    assert_int_equal(steward_live_count(steward, ROLE_CURRENT), 1);
    set_health(fixture, 0, false);
    assert_int_equal(steward_live_count(steward, ROLE_CURRENT), 0);
}

static void record_keeps_the_versions_it_began_with(void **state)
{
    struct fixture *fixture = *state;
    struct steward *steward = fixture->steward;
    struct record record;
    struct record preview;
    record_init(&record);
    record_init(&preview);
    (void)snprintf(record.id, sizeof record.id, "rb-1");
    (void)snprintf(preview.id, sizeof preview.id, "rb-2");
    preview.status = RECORD_DRY_RUN;
    steward_note_record(steward, &record);
    steward_note_record(steward, &preview);
    const struct conf_service *other = &fixture->conf->services[1];
    adopt(fixture, other);
    record.status = RECORD_SUPERSEDED;
    steward_note_record(steward, &record);
    assert_string_equal(steward->recorded.id, "rb-1");
    assert_string_equal(steward->recorded.deployment, "c1");
    assert_string_equal(steward->recorded.target, "s1");
}

/* The canary fails a quarter: more than the strict policy allows, less than the acting one. */
static void observed_policies_breach_and_nothing_happens(void **state)
{
    struct fixture *fixture = *state;
    struct steward *steward = fixture->steward;
    struct version_cells *canary = block_cells(steward->versions[ROLE_CURRENT].version->cells, 0);
    struct version_cells *stable = block_cells(steward->versions[ROLE_PREVIOUS].version->cells, 0);
    for (uint64_t i = 1; i <= 200; i++) {
        tick(fixture, 10 * SECOND_US + i * SECOND_US / 10);
        cell_add(&canary->ok, 3);
        cell_add(&canary->err, 1);
        cell_add(&stable->ok, 40);
    }
    assert_int_equal(steward->observe.count, 2);
    assert_string_equal(steward->observe.list[0].policy.name, "strict");
    assert_true(steward->observe.list[0].has_breached);
    assert_false(steward->observe.list[1].has_breached);
    assert_int_not_equal(steward->engine.finding.verdict, JUDGE_BREACH);
    assert_int_equal(steward->engine.rollout.weight_ppm, 100000);
    steward->engine.told.started++;
    tick(fixture, 40 * SECOND_US);
    assert_false(steward->observe.list[0].has_breached);
}

static void another_configuration_observes_its_own_policies(void **state)
{
    struct fixture *fixture = *state;
    const struct conf_service *other = &fixture->conf->services[1];
    adopt(fixture, other);
    assert_int_equal(fixture->steward->observe.count, 0);
}

static void refused_memory_leaves_the_steward_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    const struct conf_service *other = &fixture->conf->services[1];
    struct steward_version before = fixture->steward->versions[ROLE_CURRENT];
    struct steward_cast cast = {.lineup = {.is_started = false}};
    bool is_done = false;
    for (size_t turn = 0; !is_done && alloc_fail_begin(turn); turn++) {
        struct lineup lineup;
        enum err err = lineup_of_file(other, &lineup);
        if (err == OK) {
            err = steward_prepare(&fixture->registry, other, &lineup, &cast);
        }
        is_done = !alloc_fail_end();
        assert_int_equal(err, is_done ? OK : ERR_NOMEM);
        assert_int_equal(fixture->steward->versions[ROLE_CURRENT].endpoint_count,
                         before.endpoint_count);
    }
    steward_release(&cast);
    registry_sweep(&fixture->registry);
    assert_ptr_equal(fixture->steward->versions[ROLE_CURRENT].version, before.version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
        TEST(platform_knows_a_version_by_its_own_host_or_by_its_name),
        TEST(realised_share_counts_only_its_own_time),
        TEST(landing_is_that_of_the_first_snapshot_with_the_weight),
        TEST(weight_that_no_snapshot_carries_does_not_land),
        TEST(canary_is_down_since_its_last_endpoint_went),
        TEST(endpoint_without_an_address_is_not_live),
        TEST(record_keeps_the_versions_it_began_with),
        TEST(observed_policies_breach_and_nothing_happens),
        TEST(another_configuration_observes_its_own_policies),
        TEST(refused_memory_leaves_the_steward_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
