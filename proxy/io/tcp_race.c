#include "proxy/io/tcp_race.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proxy/base/check.h"
#include "proxy/io/deadline.h"
#include "proxy/io/watch.h"

enum { RACE_TAG = TAG('r', 'a', 'c', 'e') };

struct lane {
    struct watch watch;
    struct tcp_race *race; /* borrowed */
};

struct tcp_race {
    unsigned tag;
    struct loop *loop;       /* borrowed */
    struct deadline stagger; /* until the next lane may start */
    struct watch turn;       /* tells what was known at the start */
    struct lane lanes[TCP_RACE_LANES_MAX];
    union address addresses[TCP_RACE_LANES_MAX];
    size_t count;
    size_t next;          /* lanes that had their start */
    size_t running_count; /* those that may still win */
    size_t part_count;    /* watches whose last call is still to come */
    int error;            /* of the lane that failed last */
    bool is_over;
    tcp_race_on_end *on_end;
    void *context; /* borrowed */
};

static struct tcp_race *race_of(struct tcp_race *race)
{
    CHECK(race->tag == RACE_TAG);
    return race;
}

/* ---- the end ---- */

static void note_closed(struct tcp_race *race)
{
    race->part_count--;
    if (race->part_count == 0) {
        CHECK(race->is_over);
        race->tag = 0;
        free(race);
    }
}

static void on_lane_closed(struct watch *watch)
{
    note_closed(race_of(CONTAINER_OF(watch, struct lane, watch)->race));
}

static void on_turn_closed(struct watch *watch)
{
    note_closed(race_of(CONTAINER_OF(watch, struct tcp_race, turn)));
}

/* The memory stays until the last watch is closed. */
static void stop(struct tcp_race *race)
{
    CHECK(!race->is_over);
    race->is_over = true;
    deadline_finish(&race->stagger);
    for (size_t i = 0; i < race->next; i++) {
        if (race->lanes[i].watch.is_open) {
            watch_close(race->loop, &race->lanes[i].watch);
        }
    }
    watch_close(race->loop, &race->turn);
}

static void end(struct tcp_race *race, int fd)
{
    stop(race);
    race->on_end(race->context, fd, fd >= 0 ? 0 : race->error);
}

/* ---- lanes ---- */

/* An errno when it cannot even start. */
static int start_lane(struct tcp_race *race, size_t index)
{
    const struct sockaddr *address = &race->addresses[index].any;
    socklen_t size =
        address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    struct lane *lane = &race->lanes[index];
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return errno;
    }
    tcp_stream_tune(fd);
    int error = connect(fd, address, size) == 0 || errno == EINPROGRESS ? 0 : errno;
    if (error == 0 && watch_open(race->loop, &lane->watch, fd, WATCH_EDGES) != OK) {
        error = ENOMEM;
    }
    if (error != 0) {
        (void)close(fd);
        return error;
    }
    race->part_count++;
    race->running_count++;
    return 0;
}

/* Starts the next lane that can. */
static void go_on(struct tcp_race *race)
{
    int error = -1;
    while (error != 0 && race->next < race->count) {
        size_t index = race->next++;
        error = start_lane(race, index);
        race->error = error != 0 ? error : race->error;
    }
    if (race->next < race->count) {
        deadline_arm(&race->loop->wheel, &race->stagger, (uint64_t)TCP_RACE_STAGGER_MS * 1000);
    } else {
        deadline_disarm(&race->stagger);
    }
}

static void on_stagger(struct deadline *deadline)
{
    struct tcp_race *race = race_of(CONTAINER_OF(deadline, struct tcp_race, stagger));
    go_on(race);
    if (race->running_count == 0) {
        end(race, -1);
    }
}

static void on_lane_ready(struct watch *watch, uint32_t events)
{
    struct tcp_race *race = race_of(CONTAINER_OF(watch, struct lane, watch)->race);
    if (race->is_over || (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) {
        return;
    }
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error == 0) {
        end(race, watch_release(race->loop, watch));
        return;
    }
    race->error = error;
    race->running_count--;
    watch_close(race->loop, watch);
    go_on(race);
    if (race->running_count == 0) {
        end(race, -1);
    }
}

static void on_turn(struct watch *watch, uint32_t events)
{
    struct tcp_race *race = race_of(CONTAINER_OF(watch, struct tcp_race, turn));
    (void)events;
    if (!race->is_over && race->running_count == 0) {
        end(race, -1);
    }
}

/* ---- the owner's calls ---- */

static enum err err_of_lack(int error)
{
    switch (error) {
    case ENOMEM:
    case ENOBUFS:
        return ERR_NOMEM;
    case EMFILE:
    case ENFILE:
    case EADDRNOTAVAIL:
        return ERR_LIMIT;
    default:
        return OK;
    }
}

enum err tcp_race_start(struct loop *loop, const struct tcp_route *route, tcp_race_on_end *on_end,
                        void *context, struct tcp_race **ret_race)
{
    CHECK(route->count > 0);
    struct tcp_race *race = calloc(1, sizeof *race);
    if (race == NULL) {
        return ERR_NOMEM;
    }
    race->tag = RACE_TAG;
    race->loop = loop;
    race->on_end = on_end;
    race->context = context;
    race->count = route->count < TCP_RACE_LANES_MAX ? route->count : TCP_RACE_LANES_MAX;
    for (size_t i = 0; i < race->count; i++) {
        race->addresses[i] = route->addresses[(route->first + i) % route->count];
        race->lanes[i] = (struct lane){
            .watch = {.on_ready = on_lane_ready, .on_closed = on_lane_closed, .fd = -1},
            .race = race};
    }
    deadline_init(&race->stagger, on_stagger);
    race->turn = (struct watch){.on_ready = on_turn, .on_closed = on_turn_closed};
    watch_open_bare(loop, &race->turn);
    race->part_count = 1;
    go_on(race);
    enum err lack = race->running_count == 0 ? err_of_lack(race->error) : OK;
    if (lack != OK) {
        stop(race);
        return lack;
    }
    if (race->running_count == 0) {
        watch_resume(loop, &race->turn);
    }
    *ret_race = race;
    return OK;
}

void tcp_race_cancel(struct tcp_race *race)
{
    stop(race_of(race));
}
