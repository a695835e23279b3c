/* tests/unit/incident/incident_bench.h — failures and rollbacks as plays of incident reports need
 * them. */
#pragma once
#include "canary/incident/incident.h"

#define BENCH_ID "rb-20261123T101500-000abcdef"

enum { BENCH_START_S = 1795428900 }; /* 2026-11-23T10:15:00Z */

/* Microseconds of the wall clock, so many seconds after BENCH_START_S. */
int64_t bench_wall_us(double seconds);
/* A GET of this path that the canary answered with 500 and the client got. */
struct failure_record bench_failure(const char *path);
/* Puts it into a ring and takes it out into the witness, at that time. */
void bench_fail(struct witness *witness, const struct failure_record *record, double seconds);
/* A rollback's record as JSON. */
const char *bench_record(const char *status);
/* A witness with an incident that began at second 1, with this many failures since. */
struct witness *bench_witness(size_t failures);
