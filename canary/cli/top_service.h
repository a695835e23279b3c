/* canary/cli/top_service.h — one service in `serin top`: a block of lines, or one line. Pure. */
#pragma once
#include "canary/cli/sheet.h"
#include "canary/cli/top_rates.h"

/* All borrowed. */
struct top_block {
    const json_t *service; /* of the status */
    const json_t *detail;  /* the service by itself: steps, evidence; or NULL */
    const struct top_rates *rates;
    bool is_chosen;
};

void top_service_block(const struct top_block *block, struct sheet *sheet);
void top_service_line(const struct top_block *block, struct sheet *sheet);
