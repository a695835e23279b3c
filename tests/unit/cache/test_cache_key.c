/* Which requests share a stored answer, and which must not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/cache/cache_key.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/fields_text.h"

static const struct hash_key seed = {1, 2};
enum { ARENA_MAX = 1 << 20 };

static struct cache_key make(struct arena *arena, struct cache_key_facts facts)
{
    struct cache_key key;
    assert_int_equal(cache_key_make(&facts, seed, arena, &key), OK);
    return key;
}

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define PARTS(service, deployment, scheme, authority, target)                                      \
    {                                                                                              \
        TEXT(service), TEXT(deployment), TEXT(scheme), TEXT(authority), TEXT(target), TEXT(""),    \
            TEXT("")                                                                               \
    }
#define FACTS(...) ((struct cache_key_facts)PARTS(__VA_ARGS__))

static void what_names_the_same_place_has_one_key(void **state)
{
    (void)state;
    static const struct cache_key_facts pairs[][2] = {
        {PARTS("shop", "a", "http", "Example.COM", "/x"),
         PARTS("shop", "a", "http", "example.com", "/x")},
        {PARTS("shop", "a", "http", "example.com:80", "/x"),
         PARTS("shop", "a", "http", "example.com", "/x")},
        {PARTS("shop", "a", "http", "example.com:", "/x"),
         PARTS("shop", "a", "http", "example.com", "/x")},
        {PARTS("shop", "a", "https", "example.com:443", "/x"),
         PARTS("shop", "a", "https", "example.com", "/x")},
        {PARTS("shop", "a", "https", "[2001:DB8::1]:443", "/x"),
         PARTS("shop", "a", "https", "[2001:db8::1]", "/x")},
    };
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        struct cache_key first = make(&arena, pairs[i][0]);
        struct cache_key second = make(&arena, pairs[i][1]);
        assert_true(cache_key_equal(&first, &second));
    }
    arena_finish(&arena);
}

static void what_differs_in_anything_has_another_key(void **state)
{
    (void)state;
    static const struct cache_key_facts all[] = {
        PARTS("shop", "a", "http", "example.com", "/x"),
        PARTS("shop", "b", "http", "example.com", "/x"),    /* another version */
        PARTS("blog", "a", "http", "example.com", "/x"),    /* another service */
        PARTS("shop", "a", "https", "example.com", "/x"),   /* another scheme */
        PARTS("shop", "a", "http", "example.org", "/x"),    /* another host */
        PARTS("shop", "a", "http", "example.com:81", "/x"), /* another port */
        PARTS("shop", "a", "https", "example.com:80", "/x"),
        PARTS("shop", "a", "http", "", "/x"),
        PARTS("shop", "a", "http", "example.com", "/X"), /* targets have case */
        PARTS("shop", "a", "http", "example.com", "/x?"),
        PARTS("shop", "a", "http", "example.com", "/x?a=1&b=2"),
        PARTS("shop", "a", "http", "example.com", "/x?b=2&a=1"), /* and order */
        PARTS("shop", "a", "http", "example.com", "/%78"),
        PARTS("shop", "a", "http", "example.com", "/x/"),
        PARTS("shopa", "", "http", "example.com", "/x"), /* parts do not run into each other */
        PARTS("", "shopa", "http", "example.com", "/x"),
        PARTS("shop", "a", "http", "example.com/x", ""),
        {TEXT("shop"), TEXT("a"), TEXT("http"), TEXT("example.com"), TEXT("/x"), TEXT("a.test"),
         TEXT("")},
        {TEXT("shop"), TEXT("a"), TEXT("http"), TEXT("a.test"), TEXT("/x"), TEXT("example.com"),
         TEXT("")},
        {TEXT("shop"), TEXT("a"), TEXT("http"), TEXT("example.com"), TEXT("/x"), TEXT(""),
         TEXT("proto=https;")},
    };
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        for (size_t j = i + 1; j < COUNT_OF(all); j++) {
            struct cache_key first = make(&arena, all[i]);
            struct cache_key second = make(&arena, all[j]);
            assert_false(cache_key_equal(&first, &second));
            assert_false(bytes_equal(first.text, second.text));
        }
    }
    arena_finish(&arena);
}

static void a_hash_that_collides_does_not_make_keys_equal(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, ARENA_MAX);
    struct cache_key first = make(&arena, FACTS("shop", "a", "http", "example.com", "/x"));
    struct cache_key second = make(&arena, FACTS("shop", "a", "http", "example.com", "/y"));
    second.hash = first.hash;
    assert_false(cache_key_equal(&first, &second));
    arena_finish(&arena);
}

static void the_seed_decides_the_bucket(void **state)
{
    (void)state;
    struct arena arena;
    struct cache_key_facts facts = FACTS("shop", "a", "http", "example.com", "/x");
    struct cache_key other;
    arena_init(&arena, ARENA_MAX);
    struct cache_key key = make(&arena, facts);
    assert_int_equal(cache_key_make(&facts, (struct hash_key){3, 4}, &arena, &other), OK);
    assert_true(bytes_equal(key.text, other.text));
    assert_int_not_equal(key.hash, other.hash);
    arena_finish(&arena);
}

static void a_key_is_bounded(void **state)
{
    (void)state;
    static char long_target[CACHE_KEY_MAX + 1];
    struct arena arena;
    struct cache_key key = {.hash = 42};
    struct cache_key_facts facts = FACTS("shop", "a", "http", "example.com", "/");
    memset(long_target, '/', sizeof long_target);
    arena_init(&arena, ARENA_MAX);
    facts.target = bytes_make(long_target, sizeof long_target);
    assert_int_equal(cache_key_make(&facts, seed, &arena, &key), ERR_LIMIT);
    facts.target.size = CACHE_KEY_MAX - 30;
    assert_int_equal(cache_key_make(&facts, seed, &arena, &key), ERR_LIMIT);
    assert_int_equal(key.hash, 42);
    facts.target.size = CACHE_KEY_MAX / 2;
    assert_int_equal(cache_key_make(&facts, seed, &arena, &key), OK);
    arena_finish(&arena);
}

/* ---- Vary ---- */

struct vary_play {
    const char *name;
    const char *vary;
    const char *stored; /* the request whose answer was kept */
    const char *asked;
    bool is_match;
};

static const struct vary_play vary_plays[] = {
    {"no Vary matches everything", "", "Accept: a", "Accept: b", true},
    {"the same", "Vary: accept-language", "Accept-Language: de", "Accept-Language: de", true},
    {"another", "Vary: accept-language", "Accept-Language: de", "Accept-Language: fr", false},
    {"a field that is not named", "Vary: accept-language", "Accept-Language: de\nX: 1",
     "X: 2\nAccept-Language: de", true},
    {"absent from both", "Vary: accept-language", "", "X: 1", true},
    {"absent from the stored", "Vary: accept-language", "", "Accept-Language: de", false},
    {"absent from the new", "Vary: accept-language", "Accept-Language: de", "", false},
    {"empty is not absent", "Vary: accept-language", "Accept-Language:", "", false},
    {"absent is not empty", "Vary: accept-language", "", "Accept-Language:", false},
    {"names have no case", "Vary: X-A", "x-a: 1", "X-A: 1", true},
    {"several names, all the same", "Vary: x-a, x-b", "x-a: 1\nx-b: 2", "x-b: 2\nx-a: 1", true},
    {"several names, one differs", "Vary: x-a, x-b", "x-a: 1\nx-b: 2", "x-a: 1\nx-b: 3", false},
    {"several lines of Vary", "Vary: x-a\nVary: x-b", "x-a: 1\nx-b: 2", "x-a: 1\nx-b: 3", false},
    {"a name twice", "Vary: x-a, X-A", "x-a: 1", "x-a: 1", true},
    {"two lines are one with a comma", "Vary: x-a", "x-a: 1\nx-a: 2", "x-a: 1, 2", true},
    {"the order of lines counts", "Vary: x-a", "x-a: 1\nx-a: 2", "x-a: 2\nx-a: 1", false},
    {"a longer value that begins alike", "Vary: x-a", "x-a: ab", "x-a: abc", false},
    {"a shorter value that begins alike", "Vary: x-a", "x-a: abc", "x-a: ab", false},
    {"blanks count where nobody knows better", "Vary: user-agent", "User-Agent: a (b, c)",
     "User-Agent: a (b,c)", false},
    {"case counts where nobody knows better", "Vary: x-a", "x-a: A", "x-a: a", false},
    {"blanks in lists of preferences do not", "Vary: accept-encoding",
     "Accept-Encoding: gzip, br;q=0.5", "Accept-Encoding: gzip,br; q=0.5", true},
    {"nor does their case", "Vary: accept-encoding", "Accept-Encoding: GZIP",
     "Accept-Encoding: gzip", true},
    {"nor how many lines they have", "Vary: accept-language", "Accept-Language: de, fr",
     "Accept-Language: de\nAccept-Language: fr", true},
    {"their order does", "Vary: accept-language", "Accept-Language: de, fr",
     "Accept-Language: fr, de", false},
    {"parameters of types have case", "Vary: accept", "Accept: a/b;v=X", "Accept: a/b;v=x", false},
    {"blanks in quotes count", "Vary: accept", "Accept: a/b;v=\"x y\"", "Accept: a/b;v=\"xy\"",
     false},
    {"another's cookie", "Vary: cookie", "Cookie: session=1", "Cookie: session=2", false},
    {"the same cookie", "Vary: cookie", "Cookie: session=1", "Cookie: session=1", true},
    {"a cookie and none", "Vary: cookie", "Cookie: session=1", "", false},
    {"Serin's own cookies do not count", "Vary: cookie",
     "Cookie: serin=00000000000000ab.7; session=1", "Cookie: session=1; serin-endpoint=aa", true},
    {"only Serin's own are none", "Vary: cookie", "Cookie: serin=00000000000000ab.7", "", true},
    {"two lines of cookies", "Vary: cookie", "Cookie: a=1; b=2", "Cookie: a=1\nCookie: b=2", true},
};

static void vary_selects_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vary_plays); i++) {
        const struct vary_play *play = &vary_plays[i];
        struct fields_text texts[3];
        struct fields response = fields_text_read(&texts[0], play->vary);
        struct fields stored = fields_text_read(&texts[1], play->stored);
        struct fields asked = fields_text_read(&texts[2], play->asked);
        struct arena arena;
        struct bytes vary;
        arena_init(&arena, ARENA_MAX);
        assert_int_equal(cache_vary_make(&response, &stored, &arena, &vary), OK);
        assert_true(cache_vary_matches(vary, &stored));
        if (cache_vary_matches(vary, &asked) != play->is_match) {
            fail_msg("%s", play->name);
        }
        arena_finish(&arena);
    }
}

/* Requests match exactly when their secondary keys would be the same text. */
static void matching_agrees_with_making(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vary_plays); i++) {
        for (size_t j = 0; j < COUNT_OF(vary_plays); j++) {
            struct fields_text texts[3];
            struct fields response = fields_text_read(&texts[0], vary_plays[i].vary);
            struct fields stored = fields_text_read(&texts[1], vary_plays[i].stored);
            struct fields asked = fields_text_read(&texts[2], vary_plays[j].asked);
            struct arena arena;
            struct bytes first;
            struct bytes second;
            arena_init(&arena, ARENA_MAX);
            assert_int_equal(cache_vary_make(&response, &stored, &arena, &first), OK);
            assert_int_equal(cache_vary_make(&response, &asked, &arena, &second), OK);
            assert_int_equal(cache_vary_matches(first, &asked), bytes_equal(first, second));
            arena_finish(&arena);
        }
    }
}

static void what_is_no_list_of_names_never_matches(void **state)
{
    (void)state;
    static const char *const texts[] = {"Vary: *",   "Vary: accept, *",  "Vary: accept\nVary: *",
                                        "Vary: a b", "Vary: \"accept\"", "Vary: a=b"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct fields_text text;
        struct fields response = fields_text_read(&text, texts[i]);
        struct fields none = {NULL, 0};
        struct arena arena;
        struct bytes vary;
        arena_init(&arena, ARENA_MAX);
        assert_int_equal(cache_vary_make(&response, &none, &arena, &vary), ERR_UNSUPPORTED);
        arena_finish(&arena);
    }
}

static void a_secondary_key_is_bounded(void **state)
{
    (void)state;
    static char long_value[CACHE_VARY_MAX];
    struct field by_cookie = {BYTES("Vary"), BYTES("x-long"), FIELD_VARY};
    struct field said = {BYTES("X-Long"), bytes_make(long_value, sizeof long_value), FIELD_OTHER};
    struct field by_many = {BYTES("Vary"),
                            BYTES("a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q"), FIELD_VARY};
    struct fields request = {&said, 1};
    struct fields response = {&by_cookie, 1};
    struct arena arena;
    struct bytes vary;
    memset(long_value, 'x', sizeof long_value);
    arena_init(&arena, ARENA_MAX);
    assert_int_equal(cache_vary_make(&response, &request, &arena, &vary), ERR_LIMIT);
    said.value.size = CACHE_VARY_MAX / 2;
    assert_int_equal(cache_vary_make(&response, &request, &arena, &vary), OK);
    response.items = &by_many;
    assert_int_equal(cache_vary_make(&response, &request, &arena, &vary), ERR_LIMIT);
    by_many.value.size -= 3; /* one name less */
    assert_int_equal(cache_vary_make(&response, &request, &arena, &vary), OK);
    arena_finish(&arena);
}

static void want_of_memory_is_told(void **state)
{
    (void)state;
    struct cache_key_facts facts = FACTS("shop", "a", "http", "example.com", "/x");
    struct fields_text texts[2];
    struct fields response = fields_text_read(&texts[0], "Vary: x-a");
    struct fields request = fields_text_read(&texts[1], "X-A: 1");
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct arena arena;
        struct cache_key key;
        struct bytes vary;
        arena_init(&arena, ARENA_MAX);
        enum err made = cache_key_make(&facts, seed, &arena, &key);
        assert_true(made == OK || made == ERR_NOMEM);
        enum err varied = cache_vary_make(&response, &request, &arena, &vary);
        assert_true(varied == OK || varied == ERR_NOMEM);
        arena_finish(&arena);
        if (!alloc_fail_end()) {
            assert_int_equal(made, OK);
            assert_int_equal(varied, OK);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_names_the_same_place_has_one_key),
        cmocka_unit_test(what_differs_in_anything_has_another_key),
        cmocka_unit_test(a_hash_that_collides_does_not_make_keys_equal),
        cmocka_unit_test(the_seed_decides_the_bucket),
        cmocka_unit_test(a_key_is_bounded),
        cmocka_unit_test(vary_selects_as_the_table_says),
        cmocka_unit_test(matching_agrees_with_making),
        cmocka_unit_test(what_is_no_list_of_names_never_matches),
        cmocka_unit_test(a_secondary_key_is_bounded),
        cmocka_unit_test(want_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
