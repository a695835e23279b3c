/* metrics/failure_ring.h — failed requests on their way from one worker to control.
 *
 * A bounded ring of bytes with one producer and one consumer, as metrics/access_ring.h has it, but
 * smaller, on the heap, and made only when there is a failure to keep. Control looks ten times a
 * second, so nobody is woken. When it runs half full, records go in without their heads, so that
 * many failures are counted rather than few described; a record that finds no room is counted and
 * lost. */
#pragma once
#include "metrics/cell.h"
#include "metrics/failure_record.h"
#include "proxy/base/err.h"

enum { FAILURE_RING_SIZE = 256 * 1024 };

struct failure_ring;

/* ERR_NOMEM. Any thread; gives the ring to the caller. */
MUST_USE enum err failure_ring_create(struct failure_ring **ret_ring);
void failure_ring_destroy(struct failure_ring *ring); /* NULL is fine */

/* Copies the record, strings cut at their limits. Producer. */
void failure_ring_put(struct failure_ring *ring, const struct failure_record *record);
/* Records that found no room. Any thread. */
uint64_t failure_ring_dropped(const struct failure_ring *ring);

/* The next record, its strings borrowed from the ring until failure_ring_release; false when there
 * is none. Consumer. */
bool failure_ring_peek(struct failure_ring *ring, struct failure_record *ret_record);
/* Gives the place of the record that was peeked back to the producer. Consumer. */
void failure_ring_release(struct failure_ring *ring);
