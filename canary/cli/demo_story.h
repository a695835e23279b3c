/* canary/cli/demo_story.h — what happened between two looks at the service, told as events.
 *
 * Pure; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "canary/cli/demo_seen.h"
#include "canary/cli/demo_view.h"

enum { DEMO_STORY_NEWS_MAX = 4 };

/* Adds an event for each thing that changed from `before` to `now`, in the order in which a reader
 * wants them: the finding, the new weight, where the rollback stands. Returns how many were added,
 * at most DEMO_STORY_NEWS_MAX. */
size_t demo_story_follow(const struct demo_seen *before, const struct demo_seen *now, double at_s,
                         struct demo_events *events);
/* The rollback has ended, confirmed or not. */
bool demo_story_is_over(const struct demo_seen *seen);
