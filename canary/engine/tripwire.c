/* canary/engine/tripwire.c — see tripwire.h. */
#include "canary/engine/tripwire.h"

#include "proxy/base/check.h"

enum { CONTAINED_US_MAX = 5000000 };

void tripwire_init(struct tripwire *tripwire)
{
    *tripwire = (struct tripwire){0};
}

void tripwire_start(struct tripwire *tripwire)
{
    tripwire->is_latched = false;
    tripwire->is_contained = false; /* seen anew with the next look */
}

static void follow_containment(struct tripwire *tripwire, bool is_contained, uint64_t now_us)
{
    if (is_contained && !tripwire->is_contained) {
        tripwire->contained_since_us = now_us;
    }
    tripwire->is_contained = is_contained;
}

static bool is_contained_too_long(const struct tripwire *tripwire, uint64_t now_us)
{
    return tripwire->is_contained && now_us >= tripwire->contained_since_us + CONTAINED_US_MAX;
}

static struct finding at_least_suspicious(struct finding finding, enum judge_reason reason)
{
    if (finding.verdict == JUDGE_SUSPICIOUS || finding.verdict == JUDGE_BREACH) {
        return finding;
    }
    return (struct finding){JUDGE_SUSPICIOUS, reason};
}

static struct finding look(const struct tripwire *tripwire, const struct tripwire_input *input,
                           bool is_failing, struct finding judged, uint64_t now_us)
{
    if (is_failing && input->stable_live == 0) {
        return at_least_suspicious(judged, JUDGE_REASON_SHARED_OUTAGE);
    }
    if (is_failing && input->is_in_use) {
        return (struct finding){JUDGE_BREACH, JUDGE_REASON_HEALTH};
    }
    bool is_outage = judged.reason == JUDGE_REASON_SHARED_OUTAGE;
    if (is_contained_too_long(tripwire, now_us) && input->is_in_use && !is_outage) {
        return (struct finding){JUDGE_BREACH, JUDGE_REASON_ABSOLUTE};
    }
    if (tripwire->is_contained) {
        return at_least_suspicious(judged, JUDGE_REASON_ABSOLUTE);
    }
    if (input->canary_live < input->canary_endpoints) {
        return at_least_suspicious(judged, JUDGE_REASON_HEALTH);
    }
    return judged;
}

struct finding tripwire_look(struct tripwire *tripwire, const struct tripwire_input *input,
                             struct finding judged, uint64_t now_us)
{
    CHECK(input->canary_failing <= input->canary_endpoints);
    CHECK(input->canary_live <= input->canary_endpoints);
    follow_containment(tripwire, input->is_contained, now_us);
    bool is_failing =
        input->canary_endpoints > 0 && input->canary_failing == input->canary_endpoints;
    tripwire->is_canary_down = is_failing && input->stable_live > 0;
    if (judged.verdict == JUDGE_BREACH) {
        return judged;
    }
    if (tripwire->is_latched) {
        return (struct finding){JUDGE_BREACH, tripwire->latched_reason};
    }
    struct finding finding = look(tripwire, input, is_failing, judged, now_us);
    if (finding.verdict == JUDGE_BREACH) {
        tripwire->is_latched = true;
        tripwire->latched_reason = finding.reason;
    }
    return finding;
}

void tripwire_sentence(const struct tripwire *tripwire, const struct tripwire_input *input,
                       struct finding finding, uint64_t now_us, struct note *ret_sentence)
{
    if (finding.reason == JUDGE_REASON_SHARED_OUTAGE) {
        note_set(
            ret_sentence,
            "%u of %u endpoints of the canary fail their health checks and stable has none that "
            "lives; shifting back would not help",
            input->canary_failing, input->canary_endpoints);
    } else if (finding.verdict == JUDGE_BREACH && finding.reason == JUDGE_REASON_HEALTH) {
        note_set(ret_sentence,
                 "%u of %u endpoints of the canary fail their health checks, %u of stable live",
                 input->canary_failing, input->canary_endpoints, input->stable_live);
    } else if (finding.reason == JUDGE_REASON_HEALTH) {
        note_set(ret_sentence,
                 "%u of %u endpoints of the canary take no requests: %u fail their health checks, "
                 "the others are ejected",
                 input->canary_endpoints - input->canary_live, input->canary_endpoints,
                 input->canary_failing);
    } else {
        double contained_s =
            tripwire->is_contained ? (double)(now_us - tripwire->contained_since_us) / 1e6 : 0.0;
        note_set(ret_sentence,
                 "workers hold the canary at a trickle for %.1f s now, for its bad answers",
                 contained_s);
    }
}
