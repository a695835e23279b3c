#include "proxy/worker/crew.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { BACKLOG = 4096 };

/* An address that is listened on. */
struct crew_address {
    char *text; /* owned */
    uint64_t id;
    unsigned port;
    bool is_shared; /* its sockets are a service manager's, too */
};

struct crew {
    const struct crew_ops *ops;  /* borrowed */
    void *context;               /* borrowed */
    struct inherited *inherited; /* borrowed, or NULL */
    struct inbox inbox;          /* from workers, on control's loop */
    unsigned worker_count;
    unsigned started_count;
    struct worker *workers;         /* owned */
    struct block *cells;            /* worker_cells; owned */
    struct crew_address *addresses; /* owned */
    size_t address_count;
    uint64_t next_address_id;
    size_t published_count; /* snapshots that are not yet home */
    _Atomic size_t connection_max;
    _Atomic unsigned ended_count;
    bool is_draining;
    bool is_cut;
};

/* ---- snapshots ---- */

static void on_adopted(struct inbox_message *message, void *context)
{
    struct crew *crew = context;
    struct snapshot *snapshot = CONTAINER_OF(message, struct lease, adopted)->snapshot;
    snapshot->adopted_count++;
    if (snapshot->adopted_count == snapshot->worker_count) {
        crew->ops->on_adopted(crew->context, snapshot);
    }
}

static void on_home(struct inbox_message *message, void *context)
{
    struct crew *crew = context;
    struct snapshot *snapshot = CONTAINER_OF(message, struct lease, home)->snapshot;
    snapshot->home_count++;
    if (snapshot->home_count == snapshot->worker_count) {
        crew->published_count--;
        crew->ops->on_home(crew->context, snapshot);
        snapshot_destroy(snapshot);
    }
}

void crew_publish(struct crew *crew, struct snapshot *snapshot)
{
    CHECK(snapshot->worker_count == crew->worker_count);
    crew->published_count++;
    for (unsigned i = 0; i < crew->worker_count; i++) {
        struct lease *lease = &snapshot->leases[i];
        lease->publish.run = worker_on_publish;
        lease->adopted.run = on_adopted;
        lease->home.run = on_home;
        inbox_push(&crew->workers[i].inbox, &lease->publish);
    }
}

/* ---- listening ---- */

/* `fd` is taken on success, and only then; -1 to stop. */
static enum err order(struct crew *crew, unsigned worker, enum worker_order kind, int fd,
                      const struct crew_address *address)
{
    struct worker_message *message = calloc(1, sizeof *message);
    if (message == NULL) {
        return ERR_NOMEM;
    }
    if (kind == WORKER_LISTEN) {
        message->address = strdup(address->text);
        if (message->address == NULL) {
            free(message);
            return ERR_NOMEM;
        }
    }
    message->message.run = worker_on_order;
    message->order = kind;
    message->fd = fd;
    message->address_id = address->id;
    message->is_shared = address->is_shared;
    inbox_push(&crew->workers[worker].inbox, &message->message);
    return OK;
}

static const struct crew_address *find_address(const struct crew *crew, const char *text)
{
    for (size_t i = 0; i < crew->address_count; i++) {
        if (strcmp(crew->addresses[i].text, text) == 0) {
            return &crew->addresses[i];
        }
    }
    return NULL;
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

/* One description for all workers, or as many as were passed for the address. ERR_NOT_FOUND: none
 * was. */
static enum err take_passed(const struct crew *crew, const struct conf_address *address,
                            int *ret_fds, struct note *note)
{
    for (unsigned i = 0; i < crew->worker_count; i++) {
        enum err err = inherited_take(crew->inherited, address, i, &ret_fds[i]);
        if (err != OK) {
            close_all(ret_fds, i);
            if (err != ERR_NOT_FOUND) {
                note_set(note, "cannot share the socket on %s: %s", address->text, err_text(err));
            }
            return err;
        }
    }
    return OK;
}

/* One socket per worker; with port 0 the first one's port is every one's. */
static enum err bind_address(const struct crew *crew, const char *text, int *ret_fds,
                             unsigned *ret_port, struct note *note)
{
    char again[300];
    *ret_port = 0;
    for (unsigned i = 0; i < crew->worker_count; i++) {
        enum err err = listener_bind(i == 0 ? text : again, BACKLOG, &ret_fds[i], note);
        if (err != OK) {
            close_all(ret_fds, i);
            return err;
        }
        if (i == 0) {
            *ret_port = listener_port(ret_fds[0]);
            const char *colon = strrchr(text, ':');
            (void)snprintf(again, sizeof again, "%.*s:%u", (int)(colon - text), text, *ret_port);
        }
    }
    return OK;
}

/* The sockets of the addresses that are new, bound and waiting; -1 where the address is kept. */
struct crew_binding {
    struct crew_address *addresses; /* becomes the crew's */
    int *fds;                       /* worker_count for each address */
    size_t count;
};

void crew_unbind(struct crew *crew, struct crew_binding *binding)
{
    if (binding == NULL) {
        return;
    }
    close_all(binding->fds, binding->count * crew->worker_count);
    for (size_t i = 0; i < binding->count; i++) {
        free(binding->addresses[i].text);
    }
    free(binding->addresses);
    free(binding->fds);
    free(binding);
}

static enum err bind_or_take(const struct crew *crew, const struct conf_address *from, int *ret_fds,
                             struct crew_address *address, struct note *note)
{
    enum err err = take_passed(crew, from, ret_fds, note);
    address->is_shared = err == OK;
    if (err == OK) {
        address->port = listener_port(ret_fds[0]);
    }
    return err == ERR_NOT_FOUND ? bind_address(crew, from->text, ret_fds, &address->port, note)
                                : err;
}

static enum err bind_new(struct crew *crew, const struct conf_address *from,
                         struct crew_binding *binding, struct note *note)
{
    struct crew_address *address = &binding->addresses[binding->count];
    int *fds = &binding->fds[binding->count * crew->worker_count];
    const struct crew_address *old = find_address(crew, from->text);
    address->text = strdup(from->text);
    if (address->text == NULL) {
        return ERR_NOMEM;
    }
    for (unsigned i = 0; i < crew->worker_count; i++) {
        fds[i] = -1;
    }
    binding->count++;
    if (old != NULL) {
        address->id = old->id;
        address->port = old->port;
        address->is_shared = old->is_shared;
        return OK;
    }
    address->id = crew->next_address_id++;
    enum err err = bind_or_take(crew, from, fds, address, note);
    if (err != OK) {
        /* What was opened before the failure is closed. */
        for (unsigned i = 0; i < crew->worker_count; i++) {
            fds[i] = -1;
        }
    }
    return err;
}

static bool is_planned(const struct crew_binding *binding, uint64_t id)
{
    for (size_t i = 0; i < binding->count; i++) {
        if (binding->addresses[i].id == id) {
            return true;
        }
    }
    return false;
}

/* A message that cannot be allocated leaves one worker without one socket: connections go to the
 * others. */
void crew_listen(struct crew *crew, struct crew_binding *binding)
{
    for (size_t a = 0; a < binding->count; a++) {
        for (unsigned i = 0; i < crew->worker_count; i++) {
            int fd = binding->fds[a * crew->worker_count + i];
            if (fd >= 0 && order(crew, i, WORKER_LISTEN, fd, &binding->addresses[a]) != OK) {
                (void)close(fd);
            }
        }
    }
    for (size_t a = 0; a < crew->address_count; a++) {
        for (unsigned i = 0; i < crew->worker_count && !is_planned(binding, crew->addresses[a].id);
             i++) {
            (void)!order(crew, i, WORKER_UNLISTEN, -1, &crew->addresses[a]);
        }
        free(crew->addresses[a].text);
    }
    free(crew->addresses);
    free(binding->fds);
    crew->addresses = binding->addresses;
    crew->address_count = binding->count;
    free(binding);
}

enum err crew_bind(struct crew *crew, const struct conf *conf, struct note *note,
                   struct crew_binding **ret_binding)
{
    struct crew_binding *binding = calloc(1, sizeof *binding);
    if (binding == NULL) {
        return ERR_NOMEM;
    }
    size_t room = conf->listener_count + 1;
    binding->addresses = calloc(room, sizeof *binding->addresses);
    binding->fds = calloc(room * crew->worker_count, sizeof *binding->fds);
    enum err err = binding->addresses != NULL && binding->fds != NULL ? OK : ERR_NOMEM;
    for (size_t i = 0; i < conf->listener_count && err == OK; i++) {
        err = bind_new(crew, &conf->listeners[i].address, binding, note);
    }
    if (err != OK) {
        crew_unbind(crew, binding);
        return err;
    }
    *ret_binding = binding;
    return OK;
}

unsigned crew_port(const struct crew *crew, size_t index)
{
    return index < crew->address_count ? crew->addresses[index].port : 0;
}

/* ---- connections ---- */

void crew_set_connection_max(struct crew *crew, size_t connection_max)
{
    atomic_store_explicit(&crew->connection_max, connection_max, memory_order_relaxed);
}

bool crew_is_full(const struct crew *crew)
{
    uint64_t open = 0;
    for (unsigned i = 0; i < crew->worker_count; i++) {
        const struct worker_cells *cells = block_cells(crew->cells, i);
        open += cell_read(&cells->client_connections[METRIC_CONNECTION_ACTIVE]);
        open += cell_read(&cells->client_connections[METRIC_CONNECTION_IDLE]);
    }
    return open >= atomic_load_explicit(&crew->connection_max, memory_order_relaxed);
}

/* ---- life ---- */

enum err crew_create(struct loop *control, unsigned worker_count, struct access_log *access_log,
                     const struct crew_ops *ops, void *context, struct crew **ret_crew)
{
    struct crew *crew = calloc(1, sizeof *crew);
    if (crew == NULL) {
        return ERR_NOMEM;
    }
    crew->ops = ops;
    crew->context = context;
    crew->next_address_id = 1;
    atomic_init(&crew->connection_max, SIZE_MAX);
    atomic_init(&crew->ended_count, 0);
    crew->workers = calloc(worker_count, sizeof *crew->workers);
    if (crew->workers == NULL ||
        block_create(worker_count, sizeof(struct worker_cells), &crew->cells) != OK) {
        free(crew->workers);
        free(crew);
        return ERR_NOMEM;
    }
    enum err err = inbox_init(&crew->inbox, control, crew);
    if (err != OK) {
        block_unref(crew->cells);
        free(crew->workers);
        free(crew);
        return err;
    }
    for (; crew->worker_count < worker_count; crew->worker_count++) {
        unsigned i = crew->worker_count;
        err = worker_init(&crew->workers[i], crew, i, block_cells(crew->cells, i), access_log,
                          &crew->inbox);
        if (err != OK) {
            crew_destroy(crew);
            return err;
        }
    }
    *ret_crew = crew;
    return OK;
}

void crew_inherit(struct crew *crew, struct inherited *inherited)
{
    crew->inherited = inherited;
}

static void *run_and_report(void *context)
{
    struct worker *worker = context;
    (void)worker_run(worker);
    atomic_fetch_add_explicit(&worker->crew->ended_count, 1, memory_order_release);
    return NULL;
}

enum err crew_start(struct crew *crew)
{
    for (; crew->started_count < crew->worker_count; crew->started_count++) {
        struct worker *worker = &crew->workers[crew->started_count];
        if (pthread_create(&worker->thread, NULL, run_and_report, worker) != 0) {
            return ERR_IO;
        }
    }
    return OK;
}

static void tell_end(struct worker *worker, struct worker_message *message, enum worker_order kind)
{
    message->message.run = worker_on_order;
    message->order = kind;
    inbox_push(&worker->inbox, &message->message);
}

void crew_drain(struct crew *crew)
{
    if (!crew->is_draining) {
        crew->is_draining = true;
        for (unsigned i = 0; i < crew->started_count; i++) {
            tell_end(&crew->workers[i], &crew->workers[i].drain_order, WORKER_DRAIN);
        }
    }
}

void crew_cut(struct crew *crew)
{
    crew_drain(crew);
    if (!crew->is_cut) {
        crew->is_cut = true;
        for (unsigned i = 0; i < crew->started_count; i++) {
            tell_end(&crew->workers[i], &crew->workers[i].cut_order, WORKER_CUT);
        }
    }
}

bool crew_has_pulse(const struct crew *crew, unsigned *ret_silent)
{
    for (unsigned i = 0; i < crew->started_count && !crew->is_draining; i++) {
        const struct worker *worker = &crew->workers[i];
        if (worker->pulse_asked_count !=
            atomic_load_explicit(&worker->pulse_count, memory_order_acquire)) {
            *ret_silent = i;
            return false;
        }
    }
    return true;
}

void crew_ask_pulse(struct crew *crew)
{
    for (unsigned i = 0; i < crew->started_count && !crew->is_draining; i++) {
        struct worker *worker = &crew->workers[i];
        CHECK(worker->pulse_asked_count ==
              atomic_load_explicit(&worker->pulse_count, memory_order_acquire));
        worker->pulse_asked_count++;
        worker->pulse_order.message.run = worker_on_order;
        worker->pulse_order.order = WORKER_PULSE;
        inbox_push(&worker->inbox, &worker->pulse_order.message);
    }
}

bool crew_has_ended(const struct crew *crew)
{
    return atomic_load_explicit(&crew->ended_count, memory_order_acquire) == crew->started_count;
}

static void on_inbox_closed(struct inbox *inbox)
{
    free(CONTAINER_OF(inbox, struct crew, inbox));
}

void crew_destroy(struct crew *crew)
{
    if (crew == NULL) {
        return;
    }
    crew_drain(crew);
    for (unsigned i = 0; i < crew->started_count; i++) {
        (void)pthread_join(crew->workers[i].thread, NULL);
    }
    for (unsigned i = 0; i < crew->worker_count; i++) {
        worker_finish(&crew->workers[i], i < crew->started_count);
    }
    inbox_drain(&crew->inbox);
    CHECK(crew->published_count == 0);
    for (size_t i = 0; i < crew->address_count; i++) {
        free(crew->addresses[i].text);
    }
    free(crew->addresses);
    free(crew->workers);
    block_unref(crew->cells);
    inbox_close(&crew->inbox, on_inbox_closed);
}

unsigned crew_worker_count(const struct crew *crew)
{
    return crew->worker_count;
}

const struct block *crew_cells(const struct crew *crew)
{
    return crew->cells;
}
