#include "proxy/upstream/prober.h"

#include <inttypes.h>
#include <stdlib.h>

#include "proxy/base/map.h"
#include "proxy/upstream/probe.h"

enum {
    PROBER_TAG = TAG('p', 'r', 'b', 'r'),
    PROBED_TAG = TAG('p', 'r', 'b', 'd'),
    JITTER_PART = 5, /* of the interval: a tenth more or less */
};

struct prober {
    unsigned tag;
    struct probe_host host;
    prober_on_changed *on_changed;
    void *context; /* borrowed */
    uint64_t mark; /* of the latest prober_set */
    struct map by_endpoint;
    struct list all;       /* owned; by link */
    struct list questions; /* owned; by link */
    struct list waiting;   /* for one of PROBER_PROBES_MAX; by queue */
    bool is_closing;
    void (*on_closed)(void *context);
    void *closed_context; /* borrowed */
};

/* An endpoint and how it fares. */
struct probed {
    unsigned tag;
    struct prober *prober;     /* borrowed */
    struct endpoint *endpoint; /* shared */
    struct check *check;       /* shared */
    struct check *next_check;  /* shared; only within prober_set */
    struct probe *probe;       /* under way, or NULL */
    struct list link;
    struct list queue;
    struct deadline deadline; /* of the next probe */
    uint64_t mark;
    uint64_t began_us; /* the latest probe */
    size_t address_index;
    struct prober_facts facts;
};

struct prober_question {
    struct list link;
    struct probe *probe; /* under way */
    prober_on_answer *on_answer;
    void *context; /* borrowed */
};

static struct bytes key_of(struct endpoint *const *endpoint)
{
    return bytes_make((const char *)endpoint, sizeof *endpoint);
}

static struct probed *find(const struct prober *prober, const struct endpoint *endpoint)
{
    struct endpoint *key = (struct endpoint *)(uintptr_t)endpoint;
    return map_get(&prober->by_endpoint, key_of(&key));
}

/* ---- when ---- */

static uint64_t interval_us(const struct probed *probed)
{
    uint64_t interval = probed->check->health.interval_us;
    uint64_t fast = interval / PROBER_FAST_PART;
    fast = fast > PROBER_FAST_MIN_US ? fast : PROBER_FAST_MIN_US;
    return probed->facts.is_decided || fast > interval ? interval : fast;
}

static void arm(struct probed *probed, uint64_t delay_us)
{
    deadline_arm(&probed->prober->host.loop->wheel, &probed->deadline, delay_us > 0 ? delay_us : 1);
}

static void arm_first(struct probed *probed)
{
    uint64_t within = probed->check->health.interval_us;
    within = within < PROBER_FIRST_US ? within : PROBER_FIRST_US;
    arm(probed, random_below(&probed->prober->host.loop->random, within + 1));
}

/* The interval is from one start to the next. */
static void arm_next(struct probed *probed)
{
    if (probed->check->address_count == 0) {
        return;
    }
    struct loop *loop = probed->prober->host.loop;
    uint64_t interval = interval_us(probed);
    uint64_t jitter = interval / JITTER_PART;
    uint64_t wait = interval - jitter / 2 + random_below(&loop->random, jitter + 1);
    uint64_t spent = loop->now_us - probed->began_us;
    arm(probed, wait > spent ? wait - spent : 1);
}

/* ---- what a probe says ---- */

static void count(struct probed *probed, const struct probe_end *how)
{
    struct prober_facts *facts = &probed->facts;
    bool is_good = how->result == PROBE_GOOD;
    facts->probe_count++;
    facts->good_in_row = is_good ? facts->good_in_row + 1 : 0;
    facts->bad_in_row = is_good ? 0 : facts->bad_in_row + 1;
    facts->last_at_us = probed->prober->host.loop->now_us;
    facts->last_status = how->status;
    facts->last_text = probe_result_text(how->result);
}

/* Has its health turned? */
static bool decide(struct probed *probed)
{
    struct prober_facts *facts = &probed->facts;
    bool is_up = facts->good_in_row >= probed->check->health.healthy && facts->good_in_row > 0;
    bool is_down = facts->bad_in_row >= probed->check->health.unhealthy && facts->bad_in_row > 0;
    facts->is_decided = facts->is_decided || is_up || is_down;
    bool is_healthy = facts->is_healthy ? !is_down : is_up;
    if (is_healthy == facts->is_healthy) {
        return false;
    }
    facts->is_healthy = is_healthy;
    atomic_store_explicit(&probed->endpoint->is_healthy, is_healthy, memory_order_relaxed);
    return true;
}

static void explain(const struct probed *probed, struct note *note)
{
    const struct prober_facts *facts = &probed->facts;
    uint64_t in_row = facts->is_healthy ? facts->good_in_row : facts->bad_in_row;
    const char *plural = in_row == 1 ? "" : "s";
    const char *outcome = facts->is_healthy ? "passed" : "failed";
    if (facts->last_status != 0) {
        note_set(note, "%" PRIu64 " health check%s in a row %s, the last with status %u (%s)",
                 in_row, plural, outcome, facts->last_status, facts->last_text);
    } else {
        note_set(note, "%" PRIu64 " health check%s in a row %s, the last without an answer (%s)",
                 in_row, plural, outcome, facts->last_text);
    }
}

/* The call out is last: it may take this endpoint away. */
static void on_probe_end(void *context, const struct probe_end *how)
{
    struct probed *probed = context;
    CHECK(probed->tag == PROBED_TAG);
    struct prober *prober = probed->prober;
    probed->probe = NULL;
    bool has_turned = false;
    if (how->result != PROBE_OURS) {
        count(probed, how);
        has_turned = decide(probed);
        probed->address_index =
            how->result == PROBE_GOOD ? how->address_index : how->address_index + 1;
    }
    arm_next(probed);
    if (has_turned) {
        struct note note;
        explain(probed, &note);
        prober->on_changed(prober->context, probed->endpoint, probed->facts.is_healthy, note.text);
    }
}

/* ---- starting probes ---- */

static void begin(struct probed *probed)
{
    struct probe_host *host = &probed->prober->host;
    CHECK(probed->probe == NULL);
    probed->began_us = host->loop->now_us;
    enum err err = probe_start(host, probed->check, probed->address_index, on_probe_end, probed,
                               &probed->probe);
    if (err != OK) {
        arm_next(probed);
    }
}

static void start_probes(struct prober *prober)
{
    while (prober->host.probe_count < PROBER_PROBES_MAX && !list_is_empty(&prober->waiting)) {
        begin(CONTAINER_OF(list_pop_front(&prober->waiting), struct probed, queue));
    }
}

static void on_due(struct deadline *deadline)
{
    struct probed *probed = CONTAINER_OF(deadline, struct probed, deadline);
    CHECK(probed->tag == PROBED_TAG);
    struct prober *prober = probed->prober;
    list_push_back(&prober->waiting, &probed->queue);
    start_probes(prober);
}

static void prober_free(struct prober *prober)
{
    void (*on_closed)(void *context) = prober->on_closed;
    void *context = prober->closed_context;
    map_finish(&prober->by_endpoint);
    prober->tag = 0;
    free(prober);
    if (on_closed != NULL) {
        on_closed(context);
    }
}

static void on_probe_gone(struct probe_host *host)
{
    struct prober *prober = CONTAINER_OF(host, struct prober, host);
    CHECK(prober->tag == PROBER_TAG);
    if (!prober->is_closing) {
        start_probes(prober);
    } else if (host->probe_count == 0) {
        prober_free(prober);
    }
}

/* ---- who is probed ---- */

static void probed_destroy(struct probed *probed)
{
    if (probed->probe != NULL) {
        probe_cancel(probed->probe);
    }
    deadline_finish(&probed->deadline);
    list_remove(&probed->queue);
    list_remove(&probed->link);
    check_unref(probed->check);
    check_unref(probed->next_check);
    endpoint_unref(probed->endpoint);
    probed->tag = 0;
    free(probed);
}

static void forget(struct probed *probed)
{
    (void)map_remove(&probed->prober->by_endpoint, key_of(&probed->endpoint));
    probed_destroy(probed);
}

static enum err add(struct prober *prober, struct endpoint *endpoint, struct list *arrivals,
                    struct probed **ret_probed)
{
    struct probed *probed = calloc(1, sizeof *probed);
    if (probed == NULL) {
        return ERR_NOMEM;
    }
    *probed = (struct probed){.tag = PROBED_TAG, .prober = prober};
    probed->endpoint = endpoint_ref(endpoint);
    list_init(&probed->link);
    list_init(&probed->queue);
    deadline_init(&probed->deadline, on_due);
    enum err err = map_put(&prober->by_endpoint, key_of(&endpoint), probed);
    if (err != OK) {
        probed_destroy(probed);
        return err;
    }
    list_push_back(arrivals, &probed->link);
    *ret_probed = probed;
    return OK;
}

/* Makes all that one target needs and changes nothing yet. */
static enum err prepare(struct prober *prober, const struct prober_target *target,
                        struct list *arrivals)
{
    struct probed *probed = find(prober, target->endpoint);
    enum err err = OK;
    if (probed == NULL) {
        err = add(prober, target->endpoint, arrivals, &probed);
    } else if (probed->mark == prober->mark) {
        return OK;
    }
    if (err != OK) {
        return err;
    }
    probed->mark = prober->mark;
    return check_create(target, &probed->next_check);
}

static void undo(struct prober *prober, struct list *arrivals)
{
    while (!list_is_empty(arrivals)) {
        forget(CONTAINER_OF(arrivals->next, struct probed, link));
    }
    for (struct list *link = prober->all.next; link != &prober->all; link = link->next) {
        struct probed *probed = CONTAINER_OF(link, struct probed, link);
        check_unref(probed->next_check);
        probed->next_check = NULL;
    }
}

static void sweep(struct prober *prober)
{
    struct list *link = prober->all.next;
    while (link != &prober->all) {
        struct probed *probed = CONTAINER_OF(link, struct probed, link);
        link = link->next;
        if (probed->mark != prober->mark) {
            atomic_store_explicit(&probed->endpoint->is_healthy, true, memory_order_relaxed);
            forget(probed);
        }
    }
}

/* A probe under way asks what it was given; the next one asks anew. */
static void adopt_check(struct probed *probed)
{
    const struct check *old = probed->check;
    const struct check *new = probed->next_check;
    bool is_idle = probed->probe == NULL && list_is_empty(&probed->queue);
    bool is_first = old == NULL || old->address_count == 0;
    bool is_rescheduled = is_first || old->health.interval_us != new->health.interval_us;
    check_unref(probed->check);
    probed->check = probed->next_check;
    probed->next_check = NULL;
    if (new->address_count == 0) {
        deadline_disarm(&probed->deadline);
        list_remove(&probed->queue);
    } else if (is_idle && is_rescheduled) {
        arm_first(probed);
    }
}

static void welcome(struct probed *probed)
{
    probed->facts = (struct prober_facts){
        .is_healthy = endpoint_is_healthy(probed->endpoint),
        .last_text = "",
    };
    list_push_back(&probed->prober->all, &probed->link);
}

enum err prober_create(struct loop *loop, const struct framing_limits *limits,
                       prober_on_changed *on_changed, void *context, struct prober **ret_prober)
{
    struct prober *prober = calloc(1, sizeof *prober);
    if (prober == NULL) {
        return ERR_NOMEM;
    }
    *prober = (struct prober){
        .tag = PROBER_TAG,
        .host = {.loop = loop,
                 .settings = {.limits = *limits, .streams_max = 1},
                 .on_gone = on_probe_gone},
        .on_changed = on_changed,
        .context = context,
    };
    map_init(&prober->by_endpoint);
    list_init(&prober->all);
    list_init(&prober->questions);
    list_init(&prober->waiting);
    *ret_prober = prober;
    return OK;
}

/* What is new is made first and put aside, so that a failure can undo it; then nothing fails. */
enum err prober_set(struct prober *prober, const struct prober_target *targets, size_t target_count)
{
    CHECK(prober->tag == PROBER_TAG);
    CHECK(!prober->is_closing);
    struct list arrivals;
    list_init(&arrivals);
    prober->mark++;
    for (size_t i = 0; i < target_count; i++) {
        enum err err = prepare(prober, &targets[i], &arrivals);
        if (err != OK) {
            undo(prober, &arrivals);
            return err;
        }
    }
    loop_enter(prober->host.loop);
    sweep(prober);
    for (struct list *link = list_pop_front(&arrivals); link != NULL;
         link = list_pop_front(&arrivals)) {
        welcome(CONTAINER_OF(link, struct probed, link));
    }
    for (struct list *link = prober->all.next; link != &prober->all; link = link->next) {
        adopt_check(CONTAINER_OF(link, struct probed, link));
    }
    loop_leave(prober->host.loop);
    return OK;
}

bool prober_find(const struct prober *prober, const struct endpoint *endpoint,
                 struct prober_facts *ret_facts)
{
    const struct probed *probed = find(prober, endpoint);
    if (probed == NULL) {
        return false;
    }
    *ret_facts = probed->facts;
    return true;
}

/* ---- asking once ---- */

static void question_end(struct prober_question *question, const struct prober_answer *answer)
{
    prober_on_answer *on_answer = question->on_answer;
    void *context = question->context;
    list_remove(&question->link);
    free(question);
    on_answer(context, answer);
}

static void on_question_end(void *context, const struct probe_end *how)
{
    struct prober_answer answer = {
        .is_good = how->result == PROBE_GOOD,
        .is_ours = how->result == PROBE_OURS,
        .status = how->status,
        .text = probe_result_text(how->result),
    };
    question_end(context, &answer);
}

enum err prober_ask(struct prober *prober, const struct prober_target *target,
                    prober_on_answer *on_answer, void *context,
                    struct prober_question **ret_question)
{
    CHECK(prober->tag == PROBER_TAG);
    CHECK(target->address_count > 0);
    struct check *check = NULL;
    struct prober_question *question = calloc(1, sizeof *question);
    if (question == NULL || prober->is_closing) {
        free(question);
        return ERR_NOMEM;
    }
    question->on_answer = on_answer;
    question->context = context;
    list_init(&question->link);
    enum err err = check_create(target, &check);
    if (err == OK) {
        list_push_back(&prober->questions, &question->link);
        *ret_question = question;
        loop_enter(prober->host.loop);
        err = probe_start(&prober->host, check, 0, on_question_end, question, &question->probe);
        loop_leave(prober->host.loop);
    }
    if (err != OK) {
        list_remove(&question->link);
        free(question);
    }
    check_unref(check);
    return err;
}

void prober_withdraw(struct prober_question *question)
{
    probe_cancel(question->probe);
    list_remove(&question->link);
    free(question);
}

static void answer_all(struct prober *prober)
{
    static const struct prober_answer nothing = {.is_ours = true, .text = "the process ends"};
    while (!list_is_empty(&prober->questions)) {
        struct prober_question *question =
            CONTAINER_OF(prober->questions.next, struct prober_question, link);
        probe_cancel(question->probe);
        question_end(question, &nothing);
    }
}

void prober_close(struct prober *prober, void (*on_closed)(void *context), void *context)
{
    CHECK(prober->tag == PROBER_TAG);
    CHECK(!prober->is_closing);
    prober->is_closing = true;
    answer_all(prober);
    prober->on_closed = on_closed;
    prober->closed_context = context;
    while (!list_is_empty(&prober->all)) {
        forget(CONTAINER_OF(prober->all.next, struct probed, link));
    }
    if (prober->host.probe_count == 0) {
        prober_free(prober);
    }
}
