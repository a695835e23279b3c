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

bool conf_failures_have(const struct conf_failures *failures, unsigned status)
{
    return statuses_have(failures->statuses, failures->status_count, status);
}
