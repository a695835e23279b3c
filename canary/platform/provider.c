#include "canary/platform/provider.h"

#include <assert.h>

#include "proxy/base/check.h"

enum err provider_start(struct provider *provider, const struct platform_ask *ask,
                        platform_on_done *on_done, void *context, struct platform_call **ret_call)
{
    CHECK(ask->operation < PLATFORM_OPERATION_COUNT);
    CHECK(on_done != NULL);
    return provider->ops->start(provider, ask, on_done, context, ret_call);
}

void provider_cancel(struct platform_call *call, struct provider *provider)
{
    provider->ops->cancel(call);
}

void provider_close(struct provider *provider, void (*on_closed)(void *context), void *context)
{
    if (provider != NULL) {
        provider->ops->close(provider, on_closed, context);
    } else if (on_closed != NULL) {
        on_closed(context);
    }
}

const char *platform_operation_name(enum platform_operation operation)
{
    static const char *const names[] = {"look", "list", "log", "rollback"};
    static_assert(COUNT_OF(names) == PLATFORM_OPERATION_COUNT, "one name each");
    CHECK(operation < PLATFORM_OPERATION_COUNT);
    return names[operation];
}

const char *platform_result_name(enum platform_result result)
{
    static const char *const names[] = {"done",         "already",   "refused", "denied",
                                        "rate_limited", "timed_out", "failed",  "cancelled"};
    static_assert(COUNT_OF(names) == PLATFORM_RESULT_COUNT, "one name each");
    CHECK(result < PLATFORM_RESULT_COUNT);
    return names[result];
}
