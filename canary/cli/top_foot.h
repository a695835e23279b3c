/* canary/cli/top_foot.h — the foot of `serin top`: a question, what became of an order, the keys.
 * Pure. */
#pragma once
#include "canary/cli/top_view.h"

/* How many lines the foot will have. */
size_t top_foot_lines(const struct top_scene *scene, const struct sheet *sheet);
void top_foot(const struct top_scene *scene, struct sheet *sheet);
/* The page of all keys; at most `rows` lines. */
void top_foot_help(struct sheet *sheet, size_t rows);
