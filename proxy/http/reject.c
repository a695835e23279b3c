#include "proxy/http/reject.h"

#include "proxy/base/check.h"

static const struct {
    const char *label;
    unsigned status;
} reasons[REJECT_REASON_COUNT] = {
#define REJECT_ROW(id, label, status) [REJECT_##id] = {label, status},
    REJECT_LIST(REJECT_ROW)
#undef REJECT_ROW
};

struct reject reject_request(enum reject_reason reason)
{
    CHECK(reason < REJECT_REASON_COUNT);
    return (struct reject){reasons[reason].status, reason};
}

struct reject reject_response(enum reject_reason reason)
{
    CHECK(reason < REJECT_REASON_COUNT);
    return (struct reject){REJECT_STATUS_BAD_RESPONSE, reason};
}

const char *reject_label(enum reject_reason reason)
{
    CHECK(reason < REJECT_REASON_COUNT);
    return reasons[reason].label;
}
