#include "canary/platform/choice.h"

#include <string.h>

#include "proxy/base/check.h"

enum err choice_check(const struct platform_deployment *target, struct note *note)
{
    if (deployment_is_good(target)) {
        return OK;
    }
    if (strcmp(target->environment, "production") != 0) {
        note_set(note, "%s is a %s deployment: only production deployments can be rolled back to",
                 target->id, target->environment[0] != '\0' ? target->environment : "nameless");
    } else {
        note_set(note, "%s cannot be rolled back to: its state is %s", target->id,
                 deployment_state(target));
    }
    return ERR_STATE;
}

static enum err find_older(const struct platform_deployment *deployments, size_t count,
                           const struct platform_deployment *live, size_t *ret_index)
{
    for (size_t i = 0; i < count; i++) {
        const struct platform_deployment *one = &deployments[i];
        bool is_older = one->created_us != 0 && one->created_us < live->created_us;
        if (is_older && deployment_is_good(one) && strcmp(one->id, live->id) != 0) {
            *ret_index = i;
            return OK;
        }
    }
    return ERR_NOT_FOUND;
}

static enum err find_named(const struct platform_deployment *deployments, size_t count,
                           const char *wanted, size_t *ret_index, struct note *note)
{
    size_t found = count;
    for (size_t i = 0; i < count; i++) {
        if (!deployment_is_named(&deployments[i], wanted)) {
            continue;
        }
        if (found < count && strcmp(deployments[i].id, deployments[found].id) != 0) {
            note_set(note, "%s fits several deployments, among them %s and %s", wanted,
                     deployments[found].id, deployments[i].id);
            return ERR_EXISTS;
        }
        found = i;
    }
    if (found == count) {
        return ERR_NOT_FOUND;
    }
    *ret_index = found;
    return OK;
}

static enum err find_commit(const struct platform_deployment *deployments, size_t count,
                            const char *wanted, bool is_good, size_t *ret_index)
{
    for (size_t i = 0; i < count; i++) {
        if (deployment_is_of_commit(&deployments[i], wanted) &&
            (!is_good || deployment_is_good(&deployments[i]))) {
            *ret_index = i;
            return OK;
        }
    }
    return ERR_NOT_FOUND;
}

enum err choice_find(const struct platform_deployment *deployments, size_t count,
                     const struct platform_deployment *live, const char *wanted, size_t *ret_index,
                     struct note *note)
{
    size_t index = 0;
    enum err err = OK;
    if (wanted == NULL) {
        CHECK(live != NULL);
        err = find_older(deployments, count, live, &index);
    } else {
        err = find_named(deployments, count, wanted, &index, note);
        err = err == OK ? choice_check(&deployments[index], note) : err;
        err = err == ERR_NOT_FOUND ? find_commit(deployments, count, wanted, true, &index) : err;
    }
    if (err == OK) {
        *ret_index = index;
    }
    return err;
}

enum err choice_find_named(const struct platform_deployment *deployments, size_t count,
                           const char *wanted, size_t *ret_index, struct note *note)
{
    enum err err = find_named(deployments, count, wanted, ret_index, note);
    return err == ERR_NOT_FOUND ? find_commit(deployments, count, wanted, false, ret_index) : err;
}

bool choice_is_expected(const struct platform_deployment *live, const char *expected)
{
    return expected == NULL || deployment_is_named(live, expected) ||
           deployment_is_of_commit(live, expected);
}
