/* tests/unit/router/test_sticky.c — buckets are uniform, salted and told to nobody else; cookies
 * are read strictly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "router/cookie.h"
#include "router/sticky.h"

enum { GROUPS = 20 };

static const struct sticky by_cookie = {STICKY_COOKIE, 0x00c0ffee12345678u, {NULL, 0}};

/* Chi-squared of the counts against all being equal; 19 degrees of freedom pass 43.8 once in a
 * thousand. */
static void assert_uniform(const uint32_t counts[GROUPS], uint32_t total)
{
    double expected = (double)total / GROUPS;
    double chi_squared = 0;
    for (size_t i = 0; i < GROUPS; i++) {
        double distance = counts[i] - expected;
        chi_squared += distance * distance / expected;
    }
    assert_true(chi_squared < 43.8);
}

static void buckets_of_addresses_are_uniform(void **state)
{
    (void)state;
    const struct sticky sticky = {.by = STICKY_CLIENT_IP, .rollout = 42};
    uint32_t counts[GROUPS] = {0};
    for (uint32_t i = 0; i < 40000; i++) {
        const char address[4] = {10, (char)(i >> 16), (char)(i >> 8), (char)i};
        uint32_t bucket = sticky_bucket_of_address(&sticky, bytes_make(address, sizeof address));
        assert_true(bucket < SPLIT_TOTAL);
        counts[bucket / (SPLIT_TOTAL / GROUPS)]++;
    }
    assert_uniform(counts, 40000);
}

static void buckets_of_header_values_are_uniform(void **state)
{
    (void)state;
    const struct sticky sticky = {.by = STICKY_HEADER, .rollout = 42};
    uint32_t counts[GROUPS] = {0};
    for (uint32_t i = 0; i < 40000; i++) {
        char user[16];
        int size = snprintf(user, sizeof user, "user-%u", i);
        uint32_t bucket = sticky_bucket_of_header(&sticky, bytes_make(user, (size_t)size));
        counts[bucket / (SPLIT_TOTAL / GROUPS)]++;
    }
    assert_uniform(counts, 40000);
}

static void drawn_buckets_are_uniform_inside_their_range(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 3);
    const uint32_t weights[] = {GROUPS, 50000, 500000, 980000};
    for (size_t i = 0; i < COUNT_OF(weights); i++) {
        uint32_t canary[GROUPS] = {0};
        uint32_t stable[GROUPS] = {0};
        uint32_t rest = SPLIT_TOTAL - weights[i];
        for (int n = 0; n < 20000; n++) {
            uint32_t inside = sticky_draw(weights[i], ROLE_CURRENT, &random);
            uint32_t outside = sticky_draw(weights[i], ROLE_PREVIOUS, &random);
            assert_true(inside < weights[i]);
            assert_true(outside >= weights[i]);
            assert_true(outside < SPLIT_TOTAL);
            canary[(uint64_t)inside * GROUPS / weights[i]]++;
            stable[(uint64_t)(outside - weights[i]) * GROUPS / rest]++;
        }
        assert_uniform(canary, 20000);
        assert_uniform(stable, 20000);
    }
}

static void another_rollout_meets_other_clients_first(void **state)
{
    (void)state;
    /* given the first 10 % of one rollout, when the next rollout begins, then about 10 % of them
     * are first again */
    const struct sticky one = {.by = STICKY_CLIENT_IP, .rollout = 1};
    const struct sticky two = {.by = STICKY_CLIENT_IP, .rollout = 2};
    uint32_t first_count = 0;
    uint32_t again_count = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        const char address[4] = {10, (char)(i >> 16), (char)(i >> 8), (char)i};
        struct bytes bytes = bytes_make(address, sizeof address);
        if (split_pick(100000, sticky_bucket_of_address(&one, bytes)) == ROLE_CURRENT) {
            first_count++;
            again_count +=
                split_pick(100000, sticky_bucket_of_address(&two, bytes)) == ROLE_CURRENT;
        }
    }
    assert_in_range(first_count, 9600, 10400);
    assert_in_range(again_count, 850, 1150);
}

static void mapped_ipv4_address_is_the_same_client(void **state)
{
    (void)state;
    const struct sticky sticky = {.by = STICKY_CLIENT_IP, .rollout = 9};
    const char plain[4] = {(char)192, 0, 2, 1};
    const char mapped[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1, (char)192, 0, 2, 1};
    const char other[16] = {0x20, 1, 0xd, -0x48, 0, 0, 0, 0, 0, 0, -1, -1, (char)192, 0, 2, 1};
    uint32_t bucket = sticky_bucket_of_address(&sticky, bytes_make(plain, sizeof plain));
    assert_int_equal(sticky_bucket_of_address(&sticky, bytes_make(mapped, sizeof mapped)), bucket);
    assert_int_not_equal(sticky_bucket_of_address(&sticky, bytes_make(other, sizeof other)),
                         bucket);
}

static void rollout_number_depends_on_service_and_deployment_only(void **state)
{
    (void)state;
    uint64_t number = sticky_rollout_of(BYTES("shop"), BYTES("d7a3f2b"));
    assert_true(number == sticky_rollout_of(BYTES("shop"), BYTES("d7a3f2b")));
    assert_true(number != sticky_rollout_of(BYTES("shop"), BYTES("d7a3f2c")));
    assert_true(number != sticky_rollout_of(BYTES("shopd"), BYTES("7a3f2b")));
    assert_true(number != sticky_rollout_of(BYTES("d7a3f2b"), BYTES("shop")));
    assert_true(number != 0);
}

static void cookie_comes_back_as_it_was_given(void **state)
{
    (void)state;
    const uint32_t buckets[] = {0, 9, 10, 123456, SPLIT_TOTAL - 1};
    for (size_t i = 0; i < COUNT_OF(buckets); i++) {
        char text[STICKY_SET_COOKIE_MAX];
        struct bytes rest = sticky_format(&by_cookie, buckets[i], true, text);
        struct bytes pair;
        assert_true(bytes_next(&rest, ';', &pair));
        struct cookie cookie;
        assert_true(cookie_next(&pair, &cookie));
        assert_true(bytes_equal(cookie.name, BYTES("serin")));
        uint32_t bucket = SPLIT_TOTAL;
        assert_true(sticky_parse(&by_cookie, cookie.value, &bucket));
        assert_int_equal(bucket, buckets[i]);
    }
}

static void set_cookie_is_secure_only_over_tls(void **state)
{
    (void)state;
    char text[STICKY_SET_COOKIE_MAX];
    struct bytes plain = sticky_format(&by_cookie, 7, false, text);
    assert_true(
        bytes_equal(plain, BYTES("serin=00c0ffee12345678.7; Path=/; HttpOnly; SameSite=Lax")));
    struct bytes secure = sticky_format(&by_cookie, 7, true, text);
    assert_true(bytes_equal(
        secure, BYTES("serin=00c0ffee12345678.7; Path=/; HttpOnly; SameSite=Lax; Secure")));
    const struct sticky longest = {.by = STICKY_COOKIE, .rollout = UINT64_MAX};
    (void)sticky_format(&longest, SPLIT_TOTAL - 1, true, text);
}

static void hostile_cookies_are_no_cookies(void **state)
{
    (void)state;
    const struct bytes values[] = {
        BYTES(""),
        BYTES("."),
        BYTES("00c0ffee12345678"),
        BYTES("00c0ffee12345678."),
        BYTES("00c0ffee12345678.-1"),
        BYTES("00c0ffee12345678.+1"),
        BYTES("00c0ffee12345678. 1"),
        BYTES("00c0ffee12345678.1 "),
        BYTES("00c0ffee12345678.01"),
        BYTES("00c0ffee12345678.00"),
        BYTES("00c0ffee12345678.0x1"),
        BYTES("00c0ffee12345678.1e3"),
        BYTES("00c0ffee12345678.1.2"),
        BYTES("00c0ffee12345678.1000000"),
        BYTES("00c0ffee12345678.4294967297"),
        BYTES("00c0ffee12345678.18446744073709551617"),
        BYTES("00c0ffee12345678.12\0"),
        BYTES("00c0ffee12345678\0.12"),
        BYTES("00C0FFEE12345678.12"),
        BYTES("0xc0ffee12345678.12"),
        BYTES("c0ffee12345678.12"),
        BYTES("0000c0ffee12345678.12"),
        BYTES("00c0ffee12345679.12"),
        BYTES("g0c0ffee12345678.12"),
        BYTES("00c0ffee12345678,12"),
        BYTES("\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3\xf2\xf1\xf0.12"),
    };
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        uint32_t bucket = 77;
        assert_false(sticky_parse(&by_cookie, values[i], &bucket));
        assert_int_equal(bucket, 77);
    }
}

struct cookie_case {
    struct bytes field;
    const char *pairs; /* what is read, as name=value| */
};

static void cookie_fields_are_read_as_browsers_write_them(void **state)
{
    (void)state;
    const struct cookie_case cases[] = {
        {BYTES(""), ""},
        {BYTES("a=1"), "a=1|"},
        {BYTES("a=1; b=2"), "a=1|b=2|"},
        {BYTES("a=1;b=2;"), "a=1|b=2|"},
        {BYTES(" \t a = 1 ;; ; b=2"), "a=1|b=2|"},
        {BYTES("a=\"1\"; b=\"\""), "a=1|b=|"},
        {BYTES("a=\"1; b=2\""), "a=\"1|b=2\"|"},
        {BYTES("a=\"; b=x"), "a=\"|b=x|"},
        {BYTES("a; =1; b=2"), "b=2|"},
        {BYTES("a=1=2; b="), "a=1=2|b=|"},
        {BYTES("a=1, b=2"), "a=1, b=2|"},
        {BYTES(";;;"), ""},
        {BYTES("="), ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char read[64] = "";
        size_t size = 0;
        struct bytes rest = cases[i].field;
        struct cookie cookie;
        while (cookie_next(&rest, &cookie)) {
            size += (size_t)snprintf(read + size, sizeof read - size, "%.*s=%.*s|",
                                     BYTES_ARGS(cookie.name), BYTES_ARGS(cookie.value));
        }
        assert_string_equal(read, cases[i].pairs);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_of_addresses_are_uniform),
        cmocka_unit_test(buckets_of_header_values_are_uniform),
        cmocka_unit_test(drawn_buckets_are_uniform_inside_their_range),
        cmocka_unit_test(another_rollout_meets_other_clients_first),
        cmocka_unit_test(mapped_ipv4_address_is_the_same_client),
        cmocka_unit_test(rollout_number_depends_on_service_and_deployment_only),
        cmocka_unit_test(cookie_comes_back_as_it_was_given),
        cmocka_unit_test(set_cookie_is_secure_only_over_tls),
        cmocka_unit_test(hostile_cookies_are_no_cookies),
        cmocka_unit_test(cookie_fields_are_read_as_browsers_write_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
