#include "conf/conf.h"

#include <sched.h>
#include <stdlib.h>

void conf_destroy(struct conf *conf)
{
    if (conf == NULL) {
        return;
    }
    arena_finish(&conf->arena);
    free(conf);
}

unsigned conf_worker_count(const struct conf *conf)
{
    if (conf->workers > 0) {
        return (unsigned)conf->workers;
    }
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) {
        return 1;
    }
    unsigned count = (unsigned)CPU_COUNT(&cores);
    return count > CONF_WORKERS_MAX ? CONF_WORKERS_MAX : count > 0 ? count : 1;
}

const struct conf_service *conf_service_find(const struct conf *conf, struct bytes name)
{
    for (size_t i = 0; i < conf->service_count; i++) {
        if (bytes_equal(bytes_of(conf->services[i].name), name)) {
            return &conf->services[i];
        }
    }
    return NULL;
}

bool conf_trusts(const struct conf *conf, const struct sockaddr *peer)
{
    struct ip ip;
    return ip_from_socket(peer, &ip) &&
           ip_ranges_have(conf->trusted_proxies, conf->trusted_proxy_count, &ip);
}

bool conf_address_is_local(const struct conf_address *address)
{
    struct ip ip;
    if (address->socket.any.sa_family == AF_UNIX) {
        return true;
    }
    return ip_from_socket(&address->socket.any, &ip) && ip_is_loopback(&ip);
}

static bool statuses_have(const struct conf_statuses *statuses, size_t count, unsigned status)
{
    for (size_t i = 0; i < count; i++) {
        if (status >= statuses[i].first && status <= statuses[i].last) {
            return true;
        }
    }
    return false;
}

bool conf_health_accepts(const struct conf_health *health, unsigned status)
{
    return statuses_have(health->statuses, health->status_count, status);
}

struct conf_health conf_verify_check(const struct conf_service *service)
{
    static struct conf_statuses below_500 = {200, 499};
    const struct conf_verify *verify = &service->rollback.verify;
    const struct conf_health *health = &service->health;
    struct conf_health check = {
        .is_on = verify->is_on,
        .path = verify->path,
        .interval_us = verify->interval_us,
        .timeout_us = verify->timeout_us,
        .statuses = verify->statuses,
        .status_count = verify->status_count,
        .contains = verify->contains,
    };
    if (check.path == NULL) {
        check.path = health->is_on ? health->path : "/";
        bool is_looked_for = check.contains == NULL && health->is_on;
        check.contains = is_looked_for ? health->contains : check.contains;
    }
    if (check.status_count == 0) {
        check.statuses = health->is_on ? health->statuses : &below_500;
        check.status_count = health->is_on ? health->status_count : 1;
    }
    return check;
}

bool conf_failures_have(const struct conf_failures *failures, unsigned status)
{
    return statuses_have(failures->statuses, failures->status_count, status);
}

unsigned conf_failures_grpc(const struct conf_failures *failures)
{
    unsigned bits = 0;
    for (size_t i = 0; i < failures->grpc_status_count; i++) {
        bits |= 1u << (failures->grpc_statuses[i] % CONF_GRPC_STATUSES_MAX + 1);
    }
    return bits;
}
