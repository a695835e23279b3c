#include "proxy/io/inbox.h"

void inbox_drain(struct inbox *inbox)
{
    struct inbox_message *newest =
        atomic_exchange_explicit(&inbox->newest, NULL, memory_order_acquire);
    struct inbox_message *oldest = NULL;
    while (newest != NULL) {
        struct inbox_message *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct inbox_message *message = oldest;
        oldest = message->next;
        message->run(message, inbox->context);
    }
}

static void on_async(uv_async_t *async)
{
    struct inbox *inbox = async->data;
    struct loop *loop = inbox->loop;
    loop_enter(loop);
    inbox_drain(inbox);
    loop_leave(loop);
}

enum err inbox_init(struct inbox *inbox, struct loop *loop, void *context)
{
    atomic_init(&inbox->newest, NULL);
    inbox->loop = loop;
    inbox->context = context;
    inbox->async.data = inbox;
    return uv_async_init(&loop->uv, &inbox->async, on_async) == 0 ? OK : ERR_IO;
}

void inbox_push(struct inbox *inbox, struct inbox_message *message)
{
    struct inbox_message *newest = atomic_load_explicit(&inbox->newest, memory_order_relaxed);
    do {
        message->next = newest;
    } while (!atomic_compare_exchange_weak_explicit(&inbox->newest, &newest, message,
                                                    memory_order_release, memory_order_relaxed));
    (void)uv_async_send(&inbox->async);
}

static void on_async_closed(uv_handle_t *handle)
{
    struct inbox *inbox = handle->data;
    if (inbox->on_closed != NULL) {
        inbox->on_closed(inbox);
    }
}

void inbox_close(struct inbox *inbox, void (*on_closed)(struct inbox *inbox))
{
    if (!uv_is_closing((uv_handle_t *)&inbox->async)) {
        inbox->on_closed = on_closed;
        uv_close((uv_handle_t *)&inbox->async, on_async_closed);
    }
}
