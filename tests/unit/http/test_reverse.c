/* What an origin says of its own name, and what the client gets to see of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/reverse.h"
#include "tests/support/alloc_fail.h"

#define HASH "d7a3f2b1.showcase.pages.dev"

static const struct reverse_facts at_pages = {
    .origin = BYTES(HASH), .scheme = BYTES("https"), .authority = BYTES("shop.example.com")};

/* One field through it; NULL: it went. The text holds until the next call. */
static const char *reversed(const char *name, const char *value, const struct reverse_facts *facts)
{
    static char text[512];
    struct arena arena;
    struct field field = {bytes_of(name), bytes_of(value), field_id_of(bytes_of(name))};
    struct fields fields = {&field, 1};
    arena_init(&arena, 64 * 1024);
    assert_int_equal(reverse_fields(&fields, facts, &arena), OK);
    assert_true(field.value.size < sizeof text);
    memcpy(text, field.value.data, field.value.size);
    text[field.value.size] = '\0';
    arena_finish(&arena);
    return fields.count == 1 ? text : NULL;
}

struct exchange_of_values {
    const char *value;
    const char *expected;
};

static void play_table(const char *name, const struct exchange_of_values *cases, size_t count,
                       const struct reverse_facts *facts)
{
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(reversed(name, cases[i].value, facts), cases[i].expected);
    }
}

static void redirects_to_the_origin_go_to_the_site(void **state)
{
    (void)state;
    static const struct exchange_of_values cases[] = {
        {"https://" HASH "/next", "https://shop.example.com/next"},
        {"http://" HASH "/next?a=b#c", "https://shop.example.com/next?a=b#c"},
        {"HTTPS://D7A3F2B1.Showcase.Pages.Dev", "https://shop.example.com"},
        {"https://" HASH "?q", "https://shop.example.com?q"},
        {"https://" HASH "#f", "https://shop.example.com#f"},
        {"https://" HASH ":443/x", "https://shop.example.com/x"},
        {"http://" HASH ":80/x", "https://shop.example.com/x"},
        {"//" HASH "/x", "https://shop.example.com/x"},
        {"https://" HASH "//evil.test/x", "https://shop.example.com//evil.test/x"},
    };
    play_table("Location", cases, COUNT_OF(cases), &at_pages);
    play_table("Content-Location", cases, COUNT_OF(cases), &at_pages);
}

static void other_redirects_stay(void **state)
{
    (void)state;
    static const char *const values[] = {
        "/next",
        "next",
        "?q",
        "",
        "https://elsewhere.example/https://" HASH "/",
        "https://" HASH ".evil.test/",
        "https://x" HASH "/",
        "https://user@" HASH "/",
        "https://" HASH ":8443/",
        "https:/" HASH "/",
        "https:" HASH,
        "ftp://" HASH "/",
        "https://showcase.pages.dev/",
        "https://0c2e1a4b.showcase.pages.dev/",
        "///" HASH "/",
        "https:// " HASH "/",
    };
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        assert_string_equal(reversed("Location", values[i], &at_pages), values[i]);
    }
    struct reverse_facts nameless = at_pages;
    nameless.authority = BYTES("");
    assert_string_equal(reversed("Location", "https://" HASH "/", &nameless), "https://" HASH "/");
    assert_string_equal(reversed("Link", "<https://" HASH "/>", &at_pages), "<https://" HASH "/>");
}

static void ports_of_origins_and_sites_are_minded(void **state)
{
    (void)state;
    const struct reverse_facts facts = {.origin = BYTES("[::1]:8443"),
                                        .scheme = BYTES("http"),
                                        .authority = BYTES("shop.test:8080")};
    static const struct exchange_of_values cases[] = {
        {"https://[::1]:8443/x", "http://shop.test:8080/x"},
        {"https://[::1]/x", "http://shop.test:8080/x"},
        {"https://[::1]:8444/x", "https://[::1]:8444/x"},
        {"https://[::2]:8443/x", "https://[::2]:8443/x"},
    };
    play_table("Location", cases, COUNT_OF(cases), &facts);
}

static void cookies_of_the_origins_domain_are_the_sites(void **state)
{
    (void)state;
    static const struct exchange_of_values cases[] = {
        {"a=b; Domain=" HASH "; Path=/", "a=b; Domain=shop.example.com; Path=/"},
        {"a=b; domain=.pages.dev", "a=b; Domain=shop.example.com"},
        {"a=b;DOMAIN = .Showcase.Pages.DEV ;Secure", "a=b; Domain=shop.example.com;Secure"},
        {"a=b; Domain=pages.dev; Domain=showcase.pages.dev",
         "a=b; Domain=shop.example.com; Domain=shop.example.com"},
        {"Domain=pages.dev; Path=/", "Domain=pages.dev; Path=/"},
        {"a=\"x; Domain=pages.dev\"; Path=/", "a=\"x; Domain=pages.dev\"; Path=/"},
        {"a=b; Domain=ages.dev", "a=b; Domain=ages.dev"},
        {"a=b; Domain=x." HASH, "a=b; Domain=x." HASH},
        {"a=b; Domain=", "a=b; Domain="},
        {"a=b; Domain=.", "a=b; Domain=."},
        {"a=b; Domain", "a=b; Domain"},
        {"a=b; Domain=shop.example.com", "a=b; Domain=shop.example.com"},
        {"a=b;", "a=b;"},
        {"", ""},
    };
    play_table("Set-Cookie", cases, COUNT_OF(cases), &at_pages);
}

static void a_site_without_a_domain_gets_cookies_of_its_own(void **state)
{
    (void)state;
    static const char *const sites[] = {"127.0.0.1:8080", "[::1]:8080", "localhost", ""};
    for (size_t i = 0; i < COUNT_OF(sites); i++) {
        struct reverse_facts facts = at_pages;
        facts.authority = bytes_of(sites[i]);
        assert_string_equal(reversed("Set-Cookie", "a=b; Domain=.pages.dev; Path=/", &facts),
                            "a=b; Path=/");
        assert_string_equal(reversed("Set-Cookie", "a=b; Domain=pages.dev", &facts), "a=b");
    }
}

static void what_is_of_the_origin_alone_goes(void **state)
{
    (void)state;
    assert_null(reversed("X-Robots-Tag", "noindex", &at_pages));
    assert_null(reversed("x-robots-tag", "NoIndex", &at_pages));
    assert_null(reversed("Alt-Svc", "h3=\":443\"; ma=86400", &at_pages));
    static const char *const kept[] = {"noindex, nofollow", "none", "googlebot: noindex", ""};
    for (size_t i = 0; i < COUNT_OF(kept); i++) {
        assert_string_equal(reversed("X-Robots-Tag", kept[i], &at_pages), kept[i]);
    }
    assert_string_equal(reversed("X-Robots", "noindex", &at_pages), "noindex");
}

static void the_order_of_the_others_stays(void **state)
{
    (void)state;
    struct arena arena;
    struct field items[] = {
        {BYTES("Server"), BYTES("cloudflare"), FIELD_SERVER},
        {BYTES("X-Robots-Tag"), BYTES("noindex"), FIELD_X_ROBOTS_TAG},
        {BYTES("Set-Cookie"), BYTES("a=b; Domain=pages.dev"), FIELD_SET_COOKIE},
        {BYTES("alt-svc"), BYTES("clear"), FIELD_OTHER},
        {BYTES("Set-Cookie"), BYTES("c=d"), FIELD_SET_COOKIE},
    };
    struct fields fields = {items, COUNT_OF(items)};
    arena_init(&arena, 64 * 1024);
    assert_int_equal(reverse_fields(&fields, &at_pages, &arena), OK);
    assert_int_equal(fields.count, 3);
    assert_true(bytes_equal(items[0].name, BYTES("Server")));
    assert_true(bytes_equal(items[1].value, BYTES("a=b; Domain=shop.example.com")));
    assert_true(bytes_equal(items[2].value, BYTES("c=d")));
    arena_finish(&arena);
}

static void want_of_memory_is_told(void **state)
{
    (void)state;
    static const char *const names[] = {"Location", "Set-Cookie"};
    static const char *const values[] = {"https://" HASH "/", "a=b; Domain=pages.dev"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct arena arena;
        struct field field = {bytes_of(names[i]), bytes_of(values[i]),
                              field_id_of(bytes_of(names[i]))};
        struct fields fields = {&field, 1};
        arena_init(&arena, 64 * 1024);
        (void)alloc_fail_begin(0);
        enum err err = reverse_fields(&fields, &at_pages, &arena);
        assert_true(alloc_fail_end());
        assert_int_equal(err, ERR_NOMEM);
        arena_finish(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redirects_to_the_origin_go_to_the_site),
        cmocka_unit_test(other_redirects_stay),
        cmocka_unit_test(ports_of_origins_and_sites_are_minded),
        cmocka_unit_test(cookies_of_the_origins_domain_are_the_sites),
        cmocka_unit_test(a_site_without_a_domain_gets_cookies_of_its_own),
        cmocka_unit_test(what_is_of_the_origin_alone_goes),
        cmocka_unit_test(the_order_of_the_others_stays),
        cmocka_unit_test(want_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
