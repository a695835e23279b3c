/* tests/unit/metrics/sample.h — a whole exposition with something in every family.
 *
 * Owned by the test; sample_destroy frees it. */
#pragma once
#include "metrics/exposition.h"

struct sample;

/* NULL when memory is out. */
struct sample *sample_create(void);
void sample_destroy(struct sample *sample);
const struct exposition *sample_exposition(const struct sample *sample);
