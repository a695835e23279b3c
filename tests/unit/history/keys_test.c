#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/history/history.h"
#include "canary/history/keys.h"

static void same_request_is_replayed_and_another_refused(void **state)
{
    (void)state;
    struct keys *keys = NULL;
    const char *id = NULL;
    assert_int_equal(keys_create(&keys), OK);
    assert_int_equal(keys_find(keys, "k", "f", 10, &id), KEYS_UNKNOWN);
    assert_int_equal(keys_add(keys, "k", "f", "r1", 10), OK);
    assert_int_equal(keys_find(keys, "k", "f", 11, &id), KEYS_REPLAY);
    assert_string_equal(id, "r1");
    assert_int_equal(keys_find(keys, "k", "other", 11, &id), KEYS_MISUSED);
    assert_int_equal(keys_add(keys, "k", "f", "r2", 11), ERR_EXISTS);
    keys_destroy(keys);
}

static void key_is_forgotten_after_its_life(void **state)
{
    (void)state;
    struct keys *keys = NULL;
    const char *id = NULL;
    int64_t later_us = 10 + (int64_t)HISTORY_KEY_LIFE_S * 1000000 + 1;
    assert_int_equal(keys_create(&keys), OK);
    assert_int_equal(keys_add(keys, "k", "f", "r1", 10), OK);
    assert_int_equal(keys_find(keys, "k", "f", later_us, &id), KEYS_UNKNOWN);
    assert_int_equal(keys_add(keys, "k", "g", "r2", later_us), OK);
    assert_int_equal(keys_find(keys, "k", "g", later_us, &id), KEYS_REPLAY);
    assert_string_equal(id, "r2");
    keys_destroy(keys);
}

static void oldest_key_makes_room_and_long_ones_are_refused(void **state)
{
    (void)state;
    struct keys *keys = NULL;
    char key[16];
    char large[KEY_SIZE_MAX + 1];
    assert_int_equal(keys_create(&keys), OK);
    for (int i = 0; i <= KEYS_MAX; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(keys_add(keys, key, "f", "r", 10), OK);
    }
    assert_int_equal(keys_find(keys, "k0", "f", 10, NULL), KEYS_UNKNOWN);
    assert_int_equal(keys_find(keys, "k1", "f", 10, NULL), KEYS_REPLAY);
    memset(large, 'a', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_int_equal(keys_add(keys, large, "f", "r", 10), ERR_LIMIT);
    keys_destroy(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_request_is_replayed_and_another_refused),
        cmocka_unit_test(key_is_forgotten_after_its_life),
        cmocka_unit_test(oldest_key_makes_room_and_long_ones_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
