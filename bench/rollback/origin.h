/* bench/rollback/origin.h — one version's origin: answers every GET at once, and fails a share of
 * them once broken.
 *
 * Owned by the traffic program, one thread. It keeps the exact times that the bench is about. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "bench/rollback/source.h"

struct origin {
    struct source source;
    int epoll_fd;
    int listen_fd;
    double fail_ratio; /* of the answers, while is_broken */
    bool is_broken;
    uint64_t random;
    uint64_t answered_count;
    uint64_t bad_count;
    uint64_t first_bad_us;   /* 0: none yet */
    uint64_t last_answer_us; /* 0: none yet */
};

/* Listens on 127.0.0.1:`port` and adds itself to the set; ends the process when it cannot. */
void origin_init(struct origin *origin, int epoll_fd, uint16_t port, double fail_ratio);
