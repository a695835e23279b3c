/* Messages from several threads to one loop. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/io/inbox.h"
#include "proxy/io/watch.h"
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

struct mail {
    uv_check_t check; /* runs when libuv has looked for letters and the kernel was not asked yet */
    struct watch watch;
    struct letter letter;
    int fds[2];
    unsigned pushed_count;
    size_t read_after; /* letters that had come when the socket was read */
    bool is_closed;
};

static void on_checked(uv_check_t *check)
{
    struct mail *mail = check->data;
    if (mail->pushed_count++ == 0) {
        mail->letter = (struct letter){{.run = on_letter}, 0, 0};
        inbox_push(&inbox, &mail->letter.message);
        assert_int_equal(write(mail->fds[1], "x", 1), 1);
    }
}

static void on_ready(struct watch *watch, uint32_t events)
{
    struct mail *mail = CONTAINER_OF(watch, struct mail, watch);
    char byte;
    (void)events;
    if (read(mail->fds[0], &byte, 1) == 1) {
        mail->read_after = receiver.count;
    }
}

static void on_watch_closed(struct watch *watch)
{
    CONTAINER_OF(watch, struct mail, watch)->is_closed = true;
}

static void a_letter_comes_before_the_bytes_of_its_turn(void **state)
{
    (void)state;
    struct mail mail = {.read_after = SIZE_MAX};
    play_tcp_pair(mail.fds);
    mail.watch.on_ready = on_ready;
    mail.watch.on_closed = on_watch_closed;
    assert_int_equal(watch_open(&loop, &mail.watch, mail.fds[0], WATCH_EDGES), OK);
    play_settle(&loop);
    assert_int_equal(uv_check_init(&loop.uv, &mail.check), 0);
    mail.check.data = &mail;
    assert_int_equal(uv_check_start(&mail.check, on_checked), 0);
    play_until(&loop, mail.read_after != SIZE_MAX);
    assert_int_equal(mail.read_after, 1);
    uv_close((uv_handle_t *)&mail.check, NULL);
    watch_close(&loop, &mail.watch);
    play_until(&loop, mail.is_closed);
    play_settle(&loop);
    assert_int_equal(close(mail.fds[1]), 0);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(letters_of_many_threads_all_arrive_in_order),
        PLAY(what_was_left_can_be_taken_at_once),
        PLAY(a_letter_comes_before_the_bytes_of_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
