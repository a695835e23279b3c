#include "canary/cli/top_rates.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPLOYMENT_SIZE = 160, SERVICES_MAX = 1024, LOOK_AGE_US_MAX = 15 * 1000 * 1000 };

struct look {
    uint64_t at_us;
    json_int_t requests;
    json_int_t failures;
};

struct version_rates {
    char deployment[DEPLOYMENT_SIZE];
    struct look looks[TOP_RATES_LOOKS];
    size_t count; /* the oldest first */
};

struct top_service_rates {
    char *name; /* owned */
    struct version_rates versions[ROLE_COUNT];
};

void top_rates_init(struct top_rates *rates)
{
    *rates = (struct top_rates){0};
}

void top_rates_finish(struct top_rates *rates)
{
    for (size_t i = 0; i < rates->count; i++) {
        free(rates->services[i].name);
    }
    free(rates->services);
    *rates = (struct top_rates){0};
}

static struct top_service_rates *find(const struct top_rates *rates, const char *name)
{
    for (size_t i = 0; i < rates->count; i++) {
        if (strcmp(rates->services[i].name, name) == 0) {
            return &rates->services[i];
        }
    }
    return NULL;
}

static struct top_service_rates *add_service(struct top_rates *rates, const char *name)
{
    char *copy = rates->count < SERVICES_MAX ? strdup(name) : NULL;
    struct top_service_rates *grown =
        copy != NULL ? realloc(rates->services, (rates->count + 1) * sizeof *grown) : NULL;
    if (grown == NULL) {
        free(copy);
        return NULL;
    }
    rates->services = grown;
    grown[rates->count] = (struct top_service_rates){.name = copy};
    return &grown[rates->count++];
}

static void drop_first(struct version_rates *rates)
{
    memmove(rates->looks, rates->looks + 1, sizeof rates->looks[0] * (rates->count - 1));
    rates->count--;
}

static void add_look(struct version_rates *rates, const json_t *version, uint64_t now_us)
{
    char deployment[DEPLOYMENT_SIZE];
    const char *text = json_string_value(json_object_get(version, "deployment"));
    (void)snprintf(deployment, sizeof deployment, "%s", text != NULL ? text : "");
    struct look look = {now_us, json_integer_value(json_object_get(version, "requests")),
                        json_integer_value(json_object_get(version, "failures"))};
    const struct look *last = rates->count > 0 ? &rates->looks[rates->count - 1] : NULL;
    bool is_other = strcmp(deployment, rates->deployment) != 0;
    if (last == NULL || is_other || look.requests < last->requests ||
        look.failures < last->failures) {
        rates->count = 0;
    }
    while (rates->count == TOP_RATES_LOOKS ||
           (rates->count > 0 && rates->looks[0].at_us + LOOK_AGE_US_MAX < now_us)) {
        drop_first(rates);
    }
    memcpy(rates->deployment, deployment, sizeof deployment);
    rates->looks[rates->count++] = look;
}

enum err top_rates_add(struct top_rates *rates, const json_t *status, uint64_t now_us)
{
    enum err err = OK;
    size_t index;
    json_t *service;
    json_array_foreach(json_object_get(status, "services"), index, service)
    {
        const char *name = json_string_value(json_object_get(service, "name"));
        if (name == NULL) {
            continue;
        }
        struct top_service_rates *one = find(rates, name);
        one = one != NULL ? one : add_service(rates, name);
        if (one == NULL) {
            err = ERR_NOMEM;
            continue;
        }
        for (enum role role = 0; role < ROLE_COUNT; role++) {
            add_look(&one->versions[role], json_object_get(service, role_text(role)), now_us);
        }
    }
    return err;
}

struct top_rate top_rates_of(const struct top_rates *rates, const char *service, enum role role)
{
    struct top_rate rate = {.failed_ratio = NAN};
    const struct top_service_rates *one = find(rates, service);
    const struct version_rates *version = one != NULL ? &one->versions[role] : NULL;
    if (version == NULL || version->count < 2) {
        return rate;
    }
    const struct look *first = &version->looks[0];
    const struct look *last = &version->looks[version->count - 1];
    double seconds = (double)(last->at_us - first->at_us) / 1e6;
    double requests = (double)(last->requests - first->requests);
    if (seconds <= 0) {
        return rate;
    }
    rate.is_known = true;
    rate.requests_per_s = requests / seconds;
    double failures = (double)(last->failures - first->failures);
    rate.failed_ratio = requests > 0 ? fmin(failures / requests, 1.0) : (double)NAN;
    return rate;
}
