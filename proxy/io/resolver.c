/* c-ares may call back from inside any of its functions, and its channel must not be destroyed from
 * there. So a call back only notes what came (is_settled) and the timer, due at once then, ends the
 * look-up and tells its user:
 *
 *     asking --answer, error or deadline--> settled --timer--> ended (told) --timer closed--> freed
 *        \------------------------------ cancel --------------> ended -------------------/ */
#include "proxy/io/resolver.h"

#include <ares.h>
#include <netdb.h>
#include <stdlib.h>

enum {
    LOOKUP_TAG = TAG('l', 'o', 'o', 'k'),
    COLLECTED_MAX = 64, /* addresses of one answer that are looked at */
    TRIES = 2,          /* with each server; the second waits twice as long */
    TRY_PART = 5        /* of the deadline: both tries with one server fit well into it */
};

struct resolver_lookup {
    unsigned tag;
    struct resolver *resolver; /* borrowed; NULL once ended */
    struct list link;          /* in resolver->lookups */
    ares_channel channel;      /* owned until ended */
    uv_timer_t timer;
    struct list sockets; /* struct watch: what c-ares waits for */
    uint64_t due_us;
    resolver_on_done *on_done;
    void *context; /* borrowed */
    uint16_t port;
    bool is_settled;
    enum err err;
    const char *reason; /* static */
    uint32_t ttl_s;
    size_t address_count;
    union address addresses[COLLECTED_MAX];
};

/* One socket of c-ares; owns itself from its closing on. */
struct watch {
    uv_poll_t poll;
    struct resolver_lookup *lookup; /* borrowed until closing */
    ares_socket_t socket;
    struct list link;
};

/* ---- what came ---- */

static void settle(struct resolver_lookup *lookup, enum err err, const char *reason)
{
    lookup->is_settled = true;
    lookup->err = err;
    lookup->reason = reason;
}

static enum err err_of_status(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return OK;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        return ERR_NOT_FOUND;
    case ARES_ETIMEOUT:
    case ARES_ECANCELLED: /* by our deadline */
        return ERR_TIMEOUT;
    case ARES_ENOMEM:
        return ERR_NOMEM;
    default:
        return ERR_IO;
    }
}

static void note_ttl(struct resolver_lookup *lookup, int ttl_s, bool is_first)
{
    uint32_t ttl = ttl_s > 0 ? (uint32_t)ttl_s : RESOLVER_TTL_NONE;
    if (is_first || ttl < lookup->ttl_s) {
        lookup->ttl_s = ttl;
    }
}

static void collect(struct resolver_lookup *lookup, const struct ares_addrinfo *found)
{
    for (const struct ares_addrinfo_node *node = found->nodes; node != NULL; node = node->ai_next) {
        bool has_room = lookup->address_count < COLLECTED_MAX;
        if (has_room && address_from_socket(node->ai_addr, lookup->port,
                                            &lookup->addresses[lookup->address_count])) {
            note_ttl(lookup, node->ai_ttl, lookup->address_count == 0);
            lookup->address_count++;
        }
    }
    for (const struct ares_addrinfo_cname *name = found->cnames; name != NULL; name = name->next) {
        note_ttl(lookup, name->ttl, false);
    }
}

static void on_found(void *context, int status, int timeouts, struct ares_addrinfo *found)
{
    struct resolver_lookup *lookup = context;
    CHECK(lookup->tag == LOOKUP_TAG);
    (void)timeouts;
    if (lookup->resolver != NULL) {
        enum err err = err_of_status(status);
        settle(lookup, err, err == ERR_TIMEOUT ? "no answer in time" : ares_strerror(status));
    }
    if (found != NULL && lookup->resolver != NULL && status == ARES_SUCCESS) {
        collect(lookup, found);
    }
    if (found != NULL) {
        ares_freeaddrinfo(found);
    }
}

/* ---- the end ---- */

static void on_timer_closed(uv_handle_t *timer)
{
    struct resolver_lookup *lookup = timer->data;
    CHECK(list_is_empty(&lookup->sockets));
    lookup->tag = 0;
    free(lookup);
}

/* The memory stays until the timer is closed. */
static void end(struct resolver_lookup *lookup)
{
    CHECK(lookup->resolver != NULL);
    lookup->resolver = NULL;
    list_remove(&lookup->link);
    ares_destroy(lookup->channel);
    uv_close((uv_handle_t *)&lookup->timer, on_timer_closed);
}

static void tell(struct resolver_lookup *lookup)
{
    size_t count = address_sort(lookup->addresses, lookup->address_count);
    if (lookup->err == OK && count == 0) {
        settle(lookup, ERR_NOT_FOUND, "the name has no address");
    }
    struct resolver_answer answer = {
        .err = lookup->err,
        .reason = lookup->err == OK ? "" : lookup->reason,
        .addresses = lookup->addresses,
        .address_count = count < RESOLVER_ADDRESSES_MAX ? count : RESOLVER_ADDRESSES_MAX,
        .ttl_s = lookup->ttl_s,
    };
    end(lookup);
    lookup->on_done(lookup->context, &answer);
}

/* ---- sockets and time ---- */

static void on_timer(uv_timer_t *timer);

static void schedule(struct resolver_lookup *lookup)
{
    uint64_t wait_ms = 0;
    if (!lookup->is_settled) {
        uint64_t now_us = uv_hrtime() / 1000;
        uint64_t left_us = lookup->due_us > now_us ? lookup->due_us - now_us : 0;
        struct timeval left = {(time_t)(left_us / 1000000), (suseconds_t)(left_us % 1000000)};
        struct timeval next = left;
        const struct timeval *wait = ares_timeout(lookup->channel, &left, &next);
        wait_ms = (uint64_t)wait->tv_sec * 1000 + (uint64_t)wait->tv_usec / 1000 + 1;
    }
    int status = uv_timer_start(&lookup->timer, on_timer, wait_ms, 0);
    CHECK(status == 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct resolver_lookup *lookup = timer->data;
    CHECK(lookup->tag == LOOKUP_TAG);
    struct loop *loop = lookup->resolver->loop;
    loop_enter(loop);
    if (!lookup->is_settled && loop->now_us >= lookup->due_us) {
        ares_cancel(lookup->channel);
        CHECK(lookup->is_settled);
    } else if (!lookup->is_settled) {
        ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    if (lookup->is_settled) {
        tell(lookup);
    } else {
        schedule(lookup);
    }
    loop_leave(loop);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    struct resolver_lookup *lookup = watch->lookup;
    CHECK(lookup->tag == LOOKUP_TAG);
    bool is_readable = status < 0 || (events & UV_READABLE) != 0;
    bool is_writable = status < 0 || (events & UV_WRITABLE) != 0;
    ares_process_fd(lookup->channel, is_readable ? watch->socket : ARES_SOCKET_BAD,
                    is_writable ? watch->socket : ARES_SOCKET_BAD);
    schedule(lookup);
}

static struct watch *watch_find(const struct resolver_lookup *lookup, ares_socket_t socket)
{
    const struct list *head = &lookup->sockets;
    for (struct list *link = head->next; link != head; link = link->next) {
        struct watch *watch = CONTAINER_OF(link, struct watch, link);
        if (watch->socket == socket) {
            return watch;
        }
    }
    return NULL;
}

static struct watch *watch_create(struct resolver_lookup *lookup, ares_socket_t socket)
{
    struct watch *watch = malloc(sizeof *watch);
    if (watch == NULL) {
        return NULL;
    }
    *watch = (struct watch){.lookup = lookup, .socket = socket};
    if (uv_poll_init(lookup->timer.loop, &watch->poll, socket) != 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    list_push_back(&lookup->sockets, &watch->link);
    return watch;
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* c-ares opens, wants something of, or is about to close (both false) a socket. */
static void on_socket(void *context, ares_socket_t socket, int is_readable, int is_writable)
{
    struct resolver_lookup *lookup = context;
    CHECK(lookup->tag == LOOKUP_TAG);
    struct watch *watch = watch_find(lookup, socket);
    bool is_wanted = is_readable != 0 || is_writable != 0;
    if (!is_wanted) {
        if (watch != NULL) {
            list_remove(&watch->link);
            uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
        }
        return;
    }
    if (watch == NULL) {
        watch = watch_create(lookup, socket);
    }
    int events = (is_readable != 0 ? UV_READABLE : 0) | (is_writable != 0 ? UV_WRITABLE : 0);
    if (watch == NULL || uv_poll_start(&watch->poll, events, on_ready) != 0) {
        settle(lookup, ERR_NOMEM, "no memory to wait for an answer");
    }
}

/* ---- the user's calls ---- */

enum err resolver_init(struct resolver *resolver, struct loop *loop,
                       const struct resolver_options *options)
{
    static const struct resolver_options defaults = {NULL, 0};
    const struct resolver_options *chosen = options != NULL ? options : &defaults;
    char *servers = NULL;
    if (chosen->servers != NULL) {
        servers = strdup(chosen->servers);
        if (servers == NULL) {
            return ERR_NOMEM;
        }
    }
    if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
        free(servers);
        return ERR_IO;
    }
    *resolver = (struct resolver){
        .loop = loop,
        .servers = servers,
        .deadline_us =
            chosen->deadline_us != 0 ? chosen->deadline_us : RESOLVER_DEADLINE_DEFAULT_US,
    };
    list_init(&resolver->lookups);
    return OK;
}

void resolver_finish(struct resolver *resolver)
{
    while (!list_is_empty(&resolver->lookups)) {
        end(CONTAINER_OF(resolver->lookups.next, struct resolver_lookup, link));
    }
    free(resolver->servers);
    resolver->servers = NULL;
    ares_library_cleanup();
}

/* Hosts first, always: what the operator wrote there is meant. */
static enum err open_channel(struct resolver_lookup *lookup, const struct resolver *resolver)
{
    char lookups[] = "fb";
    struct ares_options options = {
        .timeout = (int)(resolver->deadline_us / 1000 / TRY_PART) + 1,
        .tries = TRIES,
        .lookups = lookups,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = lookup,
    };
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
    int status = ares_init_options(&lookup->channel, &options, mask);
    if (status != ARES_SUCCESS) {
        return status == ARES_ENOMEM ? ERR_NOMEM : ERR_IO;
    }
    if (resolver->servers != NULL &&
        ares_set_servers_ports_csv(lookup->channel, resolver->servers) != ARES_SUCCESS) {
        ares_destroy(lookup->channel);
        return ERR_IO;
    }
    return OK;
}

/* c-ares 1.18 takes an IPv4 address for a name as well and asks for it when both families are
 * wanted. */
static void ask(struct resolver_lookup *lookup, const char *name)
{
    struct ip ip;
    if (ip_parse(bytes_of(name), &ip)) {
        lookup->addresses[0] = address_make(&ip, lookup->port);
        lookup->address_count = 1;
        settle(lookup, OK, "");
        return;
    }
    struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT,
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
    };
    ares_getaddrinfo(lookup->channel, name, NULL, &hints, on_found, lookup);
}

enum err resolver_start(struct resolver *resolver, const char *name, uint16_t port,
                        resolver_on_done *on_done, void *context,
                        struct resolver_lookup **ret_lookup)
{
    struct resolver_lookup *lookup = calloc(1, sizeof *lookup);
    if (lookup == NULL) {
        return ERR_NOMEM;
    }
    lookup->tag = LOOKUP_TAG;
    list_init(&lookup->sockets);
    enum err err = open_channel(lookup, resolver);
    if (err != OK) {
        free(lookup);
        return err;
    }
    int status = uv_timer_init(&resolver->loop->uv, &lookup->timer);
    CHECK(status == 0);
    lookup->timer.data = lookup;
    lookup->resolver = resolver;
    lookup->due_us = uv_hrtime() / 1000 + resolver->deadline_us;
    lookup->on_done = on_done;
    lookup->context = context;
    lookup->port = port;
    list_push_back(&resolver->lookups, &lookup->link);

    ask(lookup, name);
    schedule(lookup);
    *ret_lookup = lookup;
    return OK;
}

void resolver_cancel(struct resolver_lookup *lookup)
{
    CHECK(lookup->tag == LOOKUP_TAG);
    end(lookup);
}
