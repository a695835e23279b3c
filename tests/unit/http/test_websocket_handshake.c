/* Keys, and the answers that RFC 6455 section 1.3 makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/websocket_handshake.h"

static void the_answer_of_the_rfc_is_accepted(void **state)
{
    (void)state;
    struct bytes key = BYTES("dGhlIHNhbXBsZSBub25jZQ==");
    assert_true(websocket_is_accepted(key, BYTES("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
}

static void every_other_answer_is_not(void **state)
{
    (void)state;
    static const struct {
        struct bytes key;
        struct bytes accept;
    } cases[] = {
        {{"dGhlIHNhbXBsZSBub25jZQ==", 24}, {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo", 27}},
        {{"dGhlIHNhbXBsZSBub25jZQ==", 24}, {"S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28}},
        {{"dGhlIHNhbXBsZSBub25jZQ==", 24}, {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=s", 29}},
        {{"dGhlIHNhbXBsZSBub25jZQ==", 24}, {"dGhlIHNhbXBsZSBub25jZQ==", 24}},
        {{"dGhlIHNhbXBsZSBub25jZQ==", 24}, {"", 0}},
        {{"dGhlIHNhbXBsZSBub25jZA==", 24}, {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28}},
        {{"", 0}, {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", 28}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_false(websocket_is_accepted(cases[i].key, cases[i].accept));
    }
}

static void keys_are_of_the_right_size_and_never_the_same(void **state)
{
    (void)state;
    struct random random;
    char one[WEBSOCKET_KEY_SIZE];
    char other[WEBSOCKET_KEY_SIZE];
    random_init(&random, 7);
    struct bytes first = websocket_make_key(&random, one);
    struct bytes second = websocket_make_key(&random, other);
    assert_int_equal(first.size, WEBSOCKET_KEY_SIZE);
    assert_true(bytes_equal(bytes_slice(first, 22, 2), BYTES("==")));
    assert_false(bytes_equal(first, second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_of_the_rfc_is_accepted),
        cmocka_unit_test(every_other_answer_is_not),
        cmocka_unit_test(keys_are_of_the_right_size_and_never_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
