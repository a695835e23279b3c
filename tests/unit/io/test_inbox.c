/* Messages from several threads to one loop. */
#include <pthread.h>
#include <stdlib.h>

#include "proxy/io/inbox.h"
#include "tests/support/loop_play.h"

enum { THREADS = 4, EACH = 5000 };

struct letter {
    struct inbox_message message;
    unsigned thread;
    unsigned number;
};

struct receiver {
    unsigned next[THREADS]; /* each thread's letters come in its own order */
    size_t count;
    bool is_closed;
};

struct sender {
    struct inbox *inbox;
    struct letter *letters;
};

static struct loop loop;
static struct inbox inbox;
static struct receiver receiver;

static void on_letter(struct inbox_message *message, void *context)
{
    struct receiver *self = context;
    const struct letter *letter = CONTAINER_OF(message, struct letter, message);
    assert_int_equal(letter->number, self->next[letter->thread]);
    self->next[letter->thread]++;
    self->count++;
}

static void *send_all(void *context)
{
    const struct sender *sender = context;
    for (unsigned i = 0; i < EACH; i++) {
        inbox_push(sender->inbox, &sender->letters[i].message);
    }
    return NULL;
}

static void on_inbox_closed(struct inbox *closed)
{
    (void)closed;
    receiver.is_closed = true;
}

static int set_up(void **state)
{
    (void)state;
    memset(&receiver, 0, sizeof receiver);
    play_begin(&loop);
    assert_int_equal(inbox_init(&inbox, &loop, &receiver), OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    inbox_close(&inbox, on_inbox_closed);
    inbox_close(&inbox, on_inbox_closed);
    play_until(&loop, receiver.is_closed);
    play_end(&loop);
    return 0;
}

static void letters_of_many_threads_all_arrive_in_order(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct sender senders[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        senders[t] = (struct sender){&inbox, calloc(EACH, sizeof(struct letter))};
        assert_non_null(senders[t].letters);
        for (unsigned i = 0; i < EACH; i++) {
            senders[t].letters[i] = (struct letter){{.run = on_letter}, t, i};
        }
    }
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_create(&threads[t], NULL, send_all, &senders[t]), 0);
    }
    play_until(&loop, receiver.count == (size_t)THREADS * EACH);
    for (unsigned t = 0; t < THREADS; t++) {
        assert_int_equal(pthread_join(threads[t], NULL), 0);
        free(senders[t].letters);
    }
}

static void what_was_left_can_be_taken_at_once(void **state)
{
    (void)state;
    struct letter letters[3];
    for (unsigned i = 0; i < COUNT_OF(letters); i++) {
        letters[i] = (struct letter){{.run = on_letter}, 0, i};
        inbox_push(&inbox, &letters[i].message);
    }
    inbox_drain(&inbox);
    assert_int_equal(receiver.count, 3);
    play_settle(&loop);
    assert_int_equal(receiver.count, 3);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(letters_of_many_threads_all_arrive_in_order),
        PLAY(what_was_left_can_be_taken_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
