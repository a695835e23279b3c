/* canary/controller/checks.c — see checks.h. */
#include "canary/controller/checks.h"

#include "canary/controller/controller_state.h"

enum err controller_target(const struct controller *controller, const struct steward *steward,
                           enum role role, size_t index, const struct conf_health *health,
                           struct prober_target *ret_target)
{
    const struct steward_endpoint *endpoint = &steward->versions[role].endpoints[index];
    const struct conf_endpoint *conf = endpoint->conf;
    struct address_entry entry = {0};
    (void)!address_book_find(controller->book, bytes_of(conf->host), conf->port, &entry);
    *ret_target = (struct prober_target){
        .endpoint = endpoint->endpoint,
        .authority = bytes_of(conf->authority),
        .addresses = entry.addresses,
        .address_count = entry.address_count,
        .host = bytes_of(conf->host),
        .health = health,
        .proxy_protocol = steward_proxy_protocol(steward, role),
        .speech = snapshot_speech(steward->conf->origin_http2, conf->scheme == CONF_SCHEME_HTTPS),
    };
    if (conf->scheme != CONF_SCHEME_HTTPS) {
        return OK;
    }
    struct snapshot_base *base = controller->base;
    size_t service = (size_t)(steward->conf - base->conf->services);
    return snapshot_base_origin_tls(base, service, &ret_target->tls);
}

static void finish_round(struct checks *checks)
{
    checks->checked.round = checks->asked_round;
    checks->checked.trouble = checks->trouble;
    checks->checked.is_good = checks->trouble.text[0] == '\0';
}

/* Only the first trouble is told. */
static void note_trouble(struct checks *checks, const char *url, const struct prober_answer *answer)
{
    if (checks->trouble.text[0] != '\0') {
        return;
    }
    if (answer->status != 0) {
        note_set(&checks->trouble, "%s answered with status %u: %s", url, answer->status,
                 answer->text);
    } else {
        note_set(&checks->trouble, "%s gave no answer: %s", url, answer->text);
    }
}

static void on_answer(void *context, const struct prober_answer *answer)
{
    struct check_slot *slot = context;
    struct checks *checks = slot->checks;
    slot->question = NULL;
    checks->open_count--;
    if (!answer->is_good) {
        note_trouble(checks, slot->url, answer);
    }
    if (checks->open_count == 0) {
        finish_round(checks);
    }
}

/* Counted as open first: the answer may come at once. */
static void ask(struct checks *checks, struct check_slot *slot, const struct controller *controller,
                const struct steward *steward, size_t index)
{
    struct conf_health health = conf_verify_check(steward->conf);
    const char *url = steward->versions[ROLE_PREVIOUS].endpoints[index].conf->url;
    struct prober_target target;
    slot->checks = checks;
    (void)snprintf(slot->url, sizeof slot->url, "%s%s", url, health.path);
    checks->open_count++;
    enum err err = controller_target(controller, steward, ROLE_PREVIOUS, index, &health, &target);
    if (err == OK) {
        err = prober_ask(controller->prober, &target, on_answer, slot, &slot->question);
    }
    if (err != OK) {
        checks->open_count--;
        note_trouble(checks, slot->url,
                     &(struct prober_answer){.is_ours = true, .text = err_text(err)});
    }
}

static bool takes_traffic(const struct steward_endpoint *endpoint)
{
    return endpoint->has_address && endpoint_is_healthy(endpoint->endpoint);
}

static void begin(struct checks *checks, const struct controller *controller,
                  const struct steward *steward)
{
    const struct steward_version *stable = &steward->versions[ROLE_PREVIOUS];
    size_t used = 0;
    checks->open_count++; /* ourselves, until all are asked */
    for (size_t i = 0; i < stable->endpoint_count && used < CHECKS_MAX; i++) {
        size_t index = (checks->next_endpoint + i) % stable->endpoint_count;
        if (takes_traffic(&stable->endpoints[index])) {
            ask(checks, &checks->slots[used++], controller, steward, index);
        }
    }
    checks->next_endpoint += used;
    if (used == 0) {
        note_set(&checks->trouble, "it has no live endpoint");
    }
    if (--checks->open_count == 0) {
        finish_round(checks);
    }
}

void checks_finish(struct checks *checks)
{
    for (size_t i = 0; i < CHECKS_MAX; i++) {
        if (checks->slots[i].question != NULL) {
            prober_withdraw(checks->slots[i].question);
            checks->slots[i].question = NULL;
        }
    }
    checks->open_count = 0;
}

void checks_look(struct checks *checks, const struct controller *controller,
                 const struct steward *steward, uint64_t round)
{
    if (round == checks->asked_round) {
        return;
    }
    checks_finish(checks);
    checks->asked_round = round;
    checks->checked.round = 0;
    note_set(&checks->trouble, "%s", "");
    if (round > 0 && controller->prober != NULL) {
        begin(checks, controller, steward);
    }
}
