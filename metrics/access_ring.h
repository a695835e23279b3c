/* metrics/access_ring.h — access records on their way from one worker to the log's thread.
 *
 * A bounded ring of bytes with one producer and one consumer (Lamport 1983): each side owns one
 * position and publishes it with release, the other loads it with acquire. Records have different
 * sizes; one never wraps, the gap before the end is marked and skipped. The producer keeps a copy
 * of the consumer's position and looks again only when the ring seems full or half full, so that in
 * calm times no cache line travels. Embedded: init / finish. */
#pragma once
#include "metrics/access_record.h"
#include "metrics/cell.h"
#include "proxy/base/err.h"

enum { ACCESS_RING_SIZE = 1024 * 1024, ACCESS_RING_LINE = 64 };

struct access_ring {
    _Alignas(
        ACCESS_RING_LINE) _Atomic uint64_t written;   /* producer's: bytes put in since the start */
    uint64_t read_seen;                               /* producer's copy of `read` */
    struct cell dropped;                              /* producer's: records that found no room */
    _Alignas(ACCESS_RING_LINE) _Atomic uint64_t read; /* consumer's: bytes taken out */
    char *data;                                       /* owned; ACCESS_RING_SIZE */
};

enum access_put {
    ACCESS_PUT,      /* it is in */
    ACCESS_PUT_HALF, /* it is in, and the ring has just become half full: the consumer should be
                        told */
    ACCESS_DROPPED,  /* no room; counted */
};

/* ERR_NOMEM. Control, before the threads start. */
MUST_USE enum err access_ring_init(struct access_ring *ring);
void access_ring_finish(struct access_ring *ring);

/* Copies the record, strings cut at their limits. Producer. */
enum access_put access_ring_put(struct access_ring *ring, const struct access_record *record);

/* Where the producer stands: take up to here to be sure to come to an end. Consumer. */
uint64_t access_ring_written(const struct access_ring *ring);
/* The next record before position `end`, its strings borrowed from the ring until
 * access_ring_release; false when there is none. Consumer. */
bool access_ring_peek(struct access_ring *ring, uint64_t end, struct access_record *ret_record);
/* Gives the place of the record that was peeked back to the producer. Consumer. */
void access_ring_release(struct access_ring *ring);
