#include "canary/cli/demo_story.h"

#include <string.h>

static bool is_phase(const struct demo_seen *seen, const char *phase)
{
    return strcmp(seen->phase, phase) == 0;
}

static bool has_entered(const struct demo_seen *before, const struct demo_seen *now,
                        const char *phase)
{
    return is_phase(now, phase) && !is_phase(before, phase);
}

static bool has_begun(const struct demo_seen *seen)
{
    return is_phase(seen, "shifting_back") || is_phase(seen, "verifying") ||
           demo_story_is_over(seen);
}

size_t demo_story_follow(const struct demo_seen *before, const struct demo_seen *now, double at_s,
                         struct demo_events *events)
{
    const char *canary = now->versions[ROLE_CURRENT].deployment;
    const char *stable = now->versions[ROLE_PREVIOUS].deployment;
    size_t count = 0;
    if (has_begun(now) && !has_begun(before)) {
        demo_events_add(events, at_s, true, "detected: %s", now->sentence);
        count++;
    }
    if (now->weight_percent != before->weight_percent) {
        demo_events_add(events, at_s, false, "%s now gets %.4g %% of the requests, %s %.4g %%",
                        canary, now->weight_percent, stable, 100.0 - now->weight_percent);
        count++;
    }
    if (has_entered(before, now, "verifying")) {
        demo_events_add(events, at_s, false, "all traffic is back on %s; verifying that it is well",
                        stable);
        count++;
    }
    if (has_entered(before, now, "rolled_back")) {
        demo_events_add(events, at_s, false, "rolled back: %s is confirmed to serve well", stable);
        count++;
    }
    if (has_entered(before, now, "rollback_failed")) {
        demo_events_add(events, at_s, true, "%s could not be confirmed to serve well", stable);
        count++;
    }
    return count;
}

bool demo_story_is_over(const struct demo_seen *seen)
{
    return is_phase(seen, "rolled_back") || is_phase(seen, "rollback_failed");
}
