#include "proxy/io/deadline.h"

#include "proxy/io/loop.h"

static uint64_t wheel_now_ms(const struct deadline_wheel *wheel)
{
    return wheel->loop->now_us / 1000;
}

static uint64_t tick_of(uint64_t time_ms)
{
    return time_ms / DEADLINE_TICK_MS;
}

/* The slot is looked at once its whole tick has passed, so nothing fires early. */
static void stand(struct deadline_wheel *wheel, struct deadline *deadline)
{
    uint64_t tick = tick_of(deadline->due_ms) + 1;
    if (tick <= wheel->tick) {
        tick = wheel->tick + 1;
    }
    uint64_t farthest = wheel->tick + DEADLINE_SLOTS;
    if (tick > farthest) {
        tick = farthest;
    }
    deadline->standing_ms = tick * DEADLINE_TICK_MS;
    list_remove(&deadline->link);
    list_push_back(&wheel->slots[tick % DEADLINE_SLOTS], &deadline->link);
}

static void visit(struct deadline_wheel *wheel, struct deadline *deadline, uint64_t now_ms)
{
    list_remove(&deadline->link);
    deadline->standing_ms = 0;
    if (deadline->due_ms == 0) {
        return;
    }
    if (deadline->due_ms > now_ms) {
        stand(wheel, deadline);
        return;
    }
    deadline->due_ms = 0;
    deadline->on_due(deadline);
}

/* A callback may arm, disarm or finish any deadline, so the slot's list is taken over first and
 * popped one by one. */
static void look_at_slot(struct deadline_wheel *wheel, struct list *slot, uint64_t now_ms)
{
    struct list waiting;
    list_init(&waiting);
    while (!list_is_empty(slot)) {
        list_push_back(&waiting, list_pop_front(slot));
    }
    for (struct list *link = list_pop_front(&waiting); link != NULL;
         link = list_pop_front(&waiting)) {
        visit(wheel, CONTAINER_OF(link, struct deadline, link), now_ms);
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct deadline_wheel *wheel = timer->data;
    loop_enter(wheel->loop);
    uint64_t now_ms = wheel_now_ms(wheel);
    uint64_t last = tick_of(now_ms);
    if (last > wheel->tick + DEADLINE_SLOTS) {
        wheel->tick = last - DEADLINE_SLOTS;
    }
    while (wheel->tick < last) {
        wheel->tick++;
        look_at_slot(wheel, &wheel->slots[wheel->tick % DEADLINE_SLOTS], now_ms);
    }
    loop_leave(wheel->loop);
}

void deadline_wheel_init(struct deadline_wheel *wheel, struct loop *loop)
{
    wheel->loop = loop;
    wheel->tick = tick_of(loop->now_us / 1000);
    for (size_t i = 0; i < DEADLINE_SLOTS; i++) {
        list_init(&wheel->slots[i]);
    }
    int status = uv_timer_init(&loop->uv, &wheel->timer);
    CHECK(status == 0);
    wheel->timer.data = wheel;
    status = uv_timer_start(&wheel->timer, on_timer, DEADLINE_TICK_MS, DEADLINE_TICK_MS);
    CHECK(status == 0);
    uv_unref((uv_handle_t *)&wheel->timer);
}

void deadline_wheel_finish(struct deadline_wheel *wheel)
{
    if (!uv_is_closing((uv_handle_t *)&wheel->timer)) {
        uv_close((uv_handle_t *)&wheel->timer, NULL);
    }
}

void deadline_init(struct deadline *deadline, deadline_fn *on_due)
{
    *deadline = (struct deadline){.on_due = on_due};
    list_init(&deadline->link);
}

void deadline_arm(struct deadline_wheel *wheel, struct deadline *deadline, uint64_t timeout_us)
{
    if (timeout_us == 0) {
        deadline->due_ms = 0;
        return;
    }
    deadline->due_ms = (wheel->loop->now_us + timeout_us + 999) / 1000;
    if (deadline->standing_ms == 0 || deadline->standing_ms > deadline->due_ms + DEADLINE_TICK_MS) {
        stand(wheel, deadline);
    }
}

void deadline_disarm(struct deadline *deadline)
{
    deadline->due_ms = 0;
}

void deadline_finish(struct deadline *deadline)
{
    deadline->due_ms = 0;
    deadline->standing_ms = 0;
    list_remove(&deadline->link);
}
