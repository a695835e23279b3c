#include "canary/cli/guard_decide.h"

#include <assert.h>
#include <string.h>

#include "canary/platform/choice.h"
#include "proxy/base/check.h"

enum guard_cause guard_decide(const struct guard_look *before, const struct guard_look *after,
                              const char *expected)
{
    if (!after->is_known) {
        return GUARD_UNKNOWN;
    }
    if (!after->has_live || !after->may_go_back) {
        return GUARD_NOTHING;
    }
    if (expected != NULL) {
        return choice_is_expected(&after->live, expected) ? GUARD_EXPECTED : GUARD_OTHER;
    }
    if (!before->is_known) {
        return GUARD_NOT_SEEN;
    }
    bool is_same = before->has_live && strcmp(before->live.id, after->live.id) == 0;
    return is_same ? GUARD_UNCHANGED : GUARD_CHANGED;
}

bool guard_acts(enum guard_cause cause)
{
    return cause == GUARD_CHANGED || cause == GUARD_EXPECTED;
}

const char *guard_cause_name(enum guard_cause cause)
{
    static const char *const names[] = {
        [GUARD_CHANGED] = "changed",     [GUARD_EXPECTED] = "expected",
        [GUARD_UNCHANGED] = "unchanged", [GUARD_OTHER] = "other",
        [GUARD_NOTHING] = "nothing",     [GUARD_UNKNOWN] = "unknown",
        [GUARD_NOT_SEEN] = "not_seen",
    };
    static_assert(COUNT_OF(names) == GUARD_CAUSE_COUNT, "a name for each cause");
    CHECK(cause < GUARD_CAUSE_COUNT);
    return names[cause];
}

void guard_say_cause(enum guard_cause cause, const struct guard_look *before,
                     const struct guard_look *after, const char *expected, struct note *ret_note)
{
    const char *live = after->live.id;
    switch (cause) {
    case GUARD_CHANGED:
        note_set(ret_note, "%s went live meanwhile (before: %s)", live,
                 before->has_live ? before->live.id : "nothing");
        return;
    case GUARD_EXPECTED:
        note_set(ret_note, "%s is live, as expected", live);
        return;
    case GUARD_UNCHANGED:
        note_set(ret_note, "%s was live before and is: nothing is rolled back", live);
        return;
    case GUARD_OTHER:
        note_set(ret_note, "%s is live, not %s: nothing is rolled back", live, expected);
        return;
    case GUARD_NOTHING:
        note_set(ret_note, "nothing is live that could be rolled back");
        return;
    case GUARD_UNKNOWN:
        note_set(ret_note, "what is live cannot be read: nothing is rolled back");
        return;
    case GUARD_NOT_SEEN:
        note_set(ret_note, "what was live before could not be read: nothing is rolled back");
        return;
    case GUARD_CAUSE_COUNT:
        break;
    }
    CHECK(false);
}
