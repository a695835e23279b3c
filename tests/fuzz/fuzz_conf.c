/* tests/fuzz/fuzz_conf.c — any bytes are a configuration or a list of errors, never anything else.
 *
 * What loads must also hold what the rest of the house relies on, and must not differ from itself.
 */
#include "conf/conf_diff.h"
#include "conf/conf_load.h"
#include "proxy/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_version(const struct conf_version *version)
{
    CHECK(version->deployment != NULL);
    CHECK(version->endpoint_count >= 1);
    CHECK(version->endpoint_count <= CONF_ENDPOINTS_MAX);
    for (size_t i = 0; i < version->endpoint_count; i++) {
        CHECK(version->endpoints[i].port > 0);
        CHECK(strlen(version->endpoints[i].host) <= CONF_HOST_MAX);
        CHECK(version->endpoints[i].place.line > 0);
    }
}

static void check_service(const struct conf_service *service)
{
    CHECK(service->name != NULL);
    CHECK(service->host_count >= 1);
    CHECK(service->path_count >= 1);
    CHECK(service->weight_ppm <= CONF_PPM);
    CHECK(service->has_current || !service->has_weight);
    CHECK(service->rollback.shift_count >= 1);
    CHECK(service->rollback.shift_ppm[service->rollback.shift_count - 1] == 0);
    CHECK((service->sticky.by == CONF_STICKY_HEADER) == (service->sticky.header != NULL));
    check_version(&service->previous);
    if (service->has_current) {
        check_version(&service->current);
    }
}

static void check_conf(const struct conf *conf)
{
    struct conf_diff *diff = NULL;
    CHECK(conf->listener_count >= 1);
    CHECK(conf->service_count >= 1);
    CHECK(conf->admin.token_count > 0 || conf_address_is_local(&conf->admin.address));
    for (size_t i = 0; i < conf->service_count; i++) {
        check_service(&conf->services[i]);
    }
    if (conf_diff_create(conf, conf, &diff) == OK) {
        CHECK(conf_diff_is_empty(diff));
    }
    conf_diff_destroy(diff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    enum err err =
        conf_load_memory("fuzz/serin.yaml", bytes_make((const char *)data, size), &errors, &conf);
    CHECK((err == OK) == (conf != NULL));
    CHECK((err == OK) == conf_errors_are_none(&errors));
    if (conf != NULL) {
        check_conf(conf);
    }
    conf_destroy(conf);
    conf_errors_finish(&errors);
    return 0;
}
