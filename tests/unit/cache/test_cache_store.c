/* What the store holds: found by key and realm, bounded, accounted to the byte, shared by threads.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/cache/cache_fill.h"
#include "proxy/cache/cache_marks.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/fields_text.h"

enum { SIZE = 1024 * 1024, THREADS = 4, ROUNDS = 4000, NAME_SIZE = 32, REALM = 7 };

struct bench {
    struct cache_store *store;
    struct arena arena;
    struct fields_text text;
};

static struct bench bench;

static int set_up(void **state)
{
    (void)state;
    arena_init(&bench.arena, 64 * 1024 * 1024);
    return cache_store_create(SIZE, &bench.store) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    cache_store_unref(bench.store);
    arena_finish(&bench.arena);
    return 0;
}

static struct cache_key key_of(struct arena *arena, const char *target)
{
    struct cache_key_facts facts = {.service = BYTES("shop"),
                                    .deployment = BYTES("new"),
                                    .scheme = BYTES("https"),
                                    .authority = BYTES("shop.test"),
                                    .target = bytes_of(target)};
    struct cache_key key;
    CHECK(cache_key_make(&facts, cache_store_seed(bench.store), arena, &key) == OK);
    return key;
}

/* An entry of `body_size` bytes, not put. */
static struct cache_entry *make(struct arena *arena, uint64_t realm, const char *target,
                                size_t body_size)
{
    struct cache_parts parts = {.realm = realm,
                                .key = key_of(arena, target),
                                .authority = BYTES("shop.test"),
                                .target = bytes_of(target),
                                .status = 200};
    struct cache_entry *entry = NULL;
    char *body = calloc(1, body_size + 1);
    CHECK(body != NULL);
    CHECK(cache_entry_create(bench.store, &parts, body_size, &entry) == OK);
    CHECK(cache_entry_append(entry, bytes_make(body, body_size), body_size) == OK);
    free(body);
    return entry;
}

static const struct fields nothing = {NULL, 0};

static void put(uint64_t realm, const char *target, size_t body_size)
{
    struct cache_entry *entry = make(&bench.arena, realm, target, body_size);
    assert_int_equal(cache_store_put(bench.store, entry, &nothing), OK);
}

static bool has(uint64_t realm, const char *target)
{
    struct cache_key key = key_of(&bench.arena, target);
    bool has_other;
    struct cache_entry *entry = cache_store_find(bench.store, realm, &key, &nothing, &has_other);
    cache_entry_unref(entry);
    return entry != NULL;
}

static struct cache_usage usage(void)
{
    return cache_store_usage(bench.store);
}

static void what_was_put_is_found_and_nothing_else(void **state)
{
    (void)state;
    put(REALM, "/a", 100);
    assert_true(has(REALM, "/a"));
    assert_false(has(REALM, "/b"));
    assert_false(has(REALM + 1, "/a"));
    assert_int_equal(usage().entries, 1);
}

static void newer_answer_replaces_the_older_one(void **state)
{
    (void)state;
    put(REALM, "/a", 100);
    uint64_t before = usage().held_bytes;
    put(REALM, "/a", 100);
    assert_int_equal(usage().entries, 1);
    assert_int_equal(usage().held_bytes, before);
    assert_int_equal(usage().loose_bytes, 0);
}

static void keys_with_the_same_hash_are_told_apart(void **state)
{
    (void)state;
    struct cache_key key = key_of(&bench.arena, "/a");
    struct cache_key other = key_of(&bench.arena, "/b");
    other.hash = key.hash;
    bool has_other;
    put(REALM, "/a", 10);
    assert_null(cache_store_find(bench.store, REALM, &other, &nothing, &has_other));
    assert_false(has_other);
}

static struct cache_entry *make_variant(const char *language)
{
    char line[64];
    struct fields_text vary;
    struct fields_text request;
    (void)snprintf(line, sizeof line, "Accept-Language: %s", language);
    struct fields asked = fields_text_read(&request, line);
    struct fields said = fields_text_read(&vary, "Vary: Accept-Language");
    struct cache_parts parts = {
        .realm = REALM, .key = key_of(&bench.arena, "/v"), .target = bytes_of("/v"), .status = 200};
    struct cache_entry *entry = NULL;
    assert_int_equal(cache_vary_make(&said, &asked, &bench.arena, &parts.vary), OK);
    assert_int_equal(cache_entry_create(bench.store, &parts, 0, &entry), OK);
    assert_int_equal(cache_store_put(bench.store, entry, &asked), OK);
    return entry;
}

static struct cache_entry *find_variant(const char *language, bool *ret_has_other)
{
    char line[64];
    struct fields_text request;
    (void)snprintf(line, sizeof line, "Accept-Language: %s", language);
    struct fields asked = fields_text_read(&request, line);
    struct cache_key key = key_of(&bench.arena, "/v");
    return cache_store_find(bench.store, REALM, &key, &asked, ret_has_other);
}

static void variants_stand_side_by_side(void **state)
{
    (void)state;
    bool has_other;
    struct cache_entry *german = make_variant("de");
    struct cache_entry *english = make_variant("en");
    struct cache_entry *found = find_variant("de", &has_other);
    assert_ptr_equal(found, german);
    cache_entry_unref(found);
    found = find_variant("en", &has_other);
    assert_ptr_equal(found, english);
    cache_entry_unref(found);
    assert_null(find_variant("fr", &has_other));
    assert_true(has_other);
}

static void variants_of_a_key_are_bounded_and_the_oldest_goes(void **state)
{
    (void)state;
    char language[NAME_SIZE];
    bool has_other;
    for (int i = 0; i <= CACHE_VARIANTS_MAX; i++) {
        (void)snprintf(language, sizeof language, "l%d", i);
        (void)make_variant(language);
    }
    assert_int_equal(usage().entries, CACHE_VARIANTS_MAX);
    assert_null(find_variant("l0", &has_other));
    struct cache_key key = key_of(&bench.arena, "/v");
    cache_store_forget(bench.store, REALM, &key);
    assert_int_equal(usage().entries, 0);
}

/* A few large entries leave most shards without any: what is new does not go for want of older ones
 * beside it. */
static void newest_entry_stays_however_few_there_are(void **state)
{
    (void)state;
    char target[NAME_SIZE];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(target, sizeof target, "/n%d", i);
        put(REALM, target, SIZE * 2 / 5);
        assert_true(has(REALM, target));
        assert_true(usage().held_bytes <= SIZE);
    }
    assert_int_equal(usage().entries, 2);
}

static void store_never_holds_more_than_its_size(void **state)
{
    (void)state;
    char target[NAME_SIZE];
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(target, sizeof target, "/n%d", i);
        put(REALM, target, 2000);
        assert_true(usage().held_bytes <= SIZE);
    }
    assert_true(usage().held_bytes > SIZE / 2);
    assert_true(has(REALM, "/n1999"));
    assert_false(has(REALM, "/n0"));
}

/* In one shard the order is exact: of entries of the same hash the one that was found lately stays.
 */
static void what_was_used_the_longest_ago_goes_first(void **state)
{
    (void)state;
    struct cache_entry *entries[4];
    bool has_other;
    char target[NAME_SIZE];
    cache_store_resize(bench.store, 400000);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(target, sizeof target, "/n%d", i);
        entries[i] = make(&bench.arena, REALM, target, 120000);
        entries[i]->hash = 64;
        assert_int_equal(cache_store_put(bench.store, entries[i], &nothing), OK);
    }
    struct cache_key first = key_of(&bench.arena, "/n0");
    first.hash = 64;
    cache_entry_unref(cache_store_find(bench.store, REALM, &first, &nothing, &has_other));
    entries[3] = make(&bench.arena, REALM, "/n3", 120000);
    entries[3]->hash = 64;
    assert_int_equal(cache_store_put(bench.store, entries[3], &nothing), OK);
    struct cache_key second = key_of(&bench.arena, "/n1");
    second.hash = 64;
    assert_null(cache_store_find(bench.store, REALM, &second, &nothing, &has_other));
    struct cache_entry *found = cache_store_find(bench.store, REALM, &first, &nothing, &has_other);
    assert_ptr_equal(found, entries[0]);
    cache_entry_unref(found);
}

static void entry_in_use_outlives_its_eviction(void **state)
{
    (void)state;
    bool has_other;
    put(REALM, "/a", 1000);
    struct cache_key key = key_of(&bench.arena, "/a");
    struct cache_entry *entry = cache_store_find(bench.store, REALM, &key, &nothing, &has_other);
    cache_store_resize(bench.store, 0);
    assert_false(cache_store_shrink(bench.store, 1));
    assert_int_equal(usage().entries, 0);
    assert_int_equal(usage().held_bytes, 0);
    assert_int_equal(usage().loose_bytes, entry->size);
    assert_int_equal(entry->body.size, 1000);
    cache_store_remove(bench.store, entry);
    cache_entry_unref(entry);
    assert_int_equal(usage().loose_bytes, 0);
}

static void too_much_at_a_time_is_not_begun(void **state)
{
    (void)state;
    struct cache_parts parts = {.realm = REALM, .key = key_of(&bench.arena, "/a"), .status = 200};
    struct cache_entry *entries[2];
    struct cache_entry *entry = NULL;
    assert_int_equal(cache_entry_create(bench.store, &parts, SIZE, &entry), ERR_LIMIT);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cache_entry_create(bench.store, &parts, SIZE * 2 / 5, &entries[i]), OK);
    }
    assert_int_equal(cache_entry_create(bench.store, &parts, SIZE / 4, &entry), ERR_LIMIT);
    for (int i = 0; i < 2; i++) {
        cache_entry_unref(entries[i]);
    }
    assert_int_equal(usage().loose_bytes, 0);
}

/* Clients that read slowly, each of an answer whose size nobody has said. */
static void bodies_that_grow_together_stay_within_the_stores_size(void **state)
{
    (void)state;
    enum { FILLS = 40 };
    struct cache_parts parts = {.realm = REALM, .key = key_of(&bench.arena, "/a"), .status = 200};
    struct cache_entry *entries[FILLS];
    static const char piece[50000];
    size_t refused_count = 0;
    for (size_t i = 0; i < FILLS; i++) {
        assert_int_equal(cache_entry_create(bench.store, &parts, 0, &entries[i]), OK);
    }
    for (size_t i = 0; i < FILLS; i++) {
        enum err err = cache_entry_append(entries[i], bytes_make(piece, sizeof piece), SIZE);
        assert_true(err == OK || err == ERR_LIMIT);
        assert_true(usage().loose_bytes <= SIZE);
        refused_count += err != OK;
    }
    assert_in_range(refused_count, 1, FILLS - 1);
    for (size_t i = 0; i < FILLS; i++) {
        cache_entry_unref(entries[i]);
    }
    assert_int_equal(usage().loose_bytes, 0);
}

static void body_of_unknown_size_grows_to_its_bound_and_is_trimmed(void **state)
{
    (void)state;
    struct cache_parts parts = {.realm = REALM, .key = key_of(&bench.arena, "/a"), .status = 200};
    struct cache_entry *entry = NULL;
    static const char piece[3000];
    assert_int_equal(cache_entry_create(bench.store, &parts, 0, &entry), OK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(cache_entry_append(entry, bytes_make(piece, sizeof piece), 30000), OK);
        assert_int_equal(usage().loose_bytes, entry->size);
    }
    assert_int_equal(cache_entry_append(entry, BYTES("x"), 30000), ERR_LIMIT);
    assert_int_equal(cache_store_put(bench.store, entry, &nothing), OK);
    assert_int_equal(entry->body_room, 30000);
    assert_int_equal(usage().held_bytes, entry->size);
}

static void smaller_size_is_reached_a_few_entries_at_a_time(void **state)
{
    (void)state;
    char target[NAME_SIZE];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(target, sizeof target, "/n%d", i);
        put(REALM, target, 100);
    }
    uint64_t held = usage().held_bytes;
    cache_store_resize(bench.store, held / 2);
    assert_int_equal(usage().entries, 200);
    assert_true(cache_store_shrink(bench.store, 10));
    assert_int_equal(usage().entries, 190);
    put(REALM, "/another", 100);
    assert_in_range(usage().entries, 188, 190);
    while (cache_store_shrink(bench.store, 10)) {
    }
    assert_true(usage().held_bytes <= held / 2);
    assert_in_range(usage().entries, 90, 100);
}

static void dropped_realm_is_never_found_and_is_swept(void **state)
{
    (void)state;
    char target[NAME_SIZE];
    uint64_t other = cache_store_new_realm(bench.store);
    for (int i = 0; i < 200; i++) {
        (void)snprintf(target, sizeof target, "/n%d", i);
        put(i % 2 == 0 ? REALM : other, target, 100);
    }
    uint64_t fresh = cache_store_new_realm(bench.store);
    assert_int_not_equal(fresh, other);
    assert_false(has(fresh, "/n0"));
    uint64_t living[] = {other};
    assert_false(cache_store_sweep(bench.store, living, 1, 64));
    assert_int_equal(usage().entries, 200);
    cache_store_drop(bench.store);
    size_t turns = 0;
    while (cache_store_sweep(bench.store, living, 1, CACHE_SWEEP_CHAINS)) {
        turns++;
    }
    assert_true(turns > 0);
    assert_int_equal(usage().entries, 100);
    assert_true(has(other, "/n1"));
}

static bool is_under(const struct cache_entry *entry, const void *context)
{
    return bytes_starts_with(entry->target, bytes_of(context));
}

static void purge_takes_what_it_condemns(void **state)
{
    (void)state;
    put(REALM, "/a/1", 10);
    put(REALM, "/a/2", 10);
    put(REALM, "/b", 10);
    uint64_t before = cache_store_purge_count(bench.store);
    assert_int_equal(cache_store_purge(bench.store, is_under, "/a/"), 2);
    assert_int_equal(cache_store_purge_count(bench.store), before + 1);
    assert_true(has(REALM, "/b"));
    assert_int_equal(usage().entries, 1);
}

static void purge_in_pieces_takes_what_one_at_a_time_takes(void **state)
{
    (void)state;
    char target[NAME_SIZE];
    for (int i = 0; i < 200; i++) {
        (void)snprintf(target, sizeof target, i % 2 == 0 ? "/a/%d" : "/b/%d", i);
        put(REALM, target, 100);
    }
    struct cache_walk walk = cache_store_begin_purge(bench.store);
    assert_int_equal(usage().entries, 200);
    size_t turns = 1;
    while (cache_store_go_on(bench.store, &walk, 20, is_under, "/a/")) {
        turns++;
    }
    assert_true(turns > 1);
    assert_int_equal(walk.gone_count, 100);
    assert_int_equal(usage().entries, 100);
    assert_false(cache_store_go_on(bench.store, &walk, 20, is_under, "/b/"));
    assert_true(has(REALM, "/b/1"));
}

static enum err put_since(const char *target, uint64_t era)
{
    struct cache_entry *entry = make(&bench.arena, REALM, target, 10);
    return cache_store_put_since(bench.store, entry, &nothing, era);
}

static void answer_that_a_purge_or_a_write_overtook_is_not_put(void **state)
{
    (void)state;
    uint64_t before_write = cache_store_era(bench.store);
    struct cache_key key = key_of(&bench.arena, "/a");
    cache_store_forget(bench.store, REALM, &key);
    uint64_t after_write = cache_store_era(bench.store);
    assert_int_equal(put_since("/a", before_write), ERR_STATE);
    assert_int_equal(put_since("/a", after_write), OK);
    (void)cache_store_purge(bench.store, is_under, "/else");
    assert_int_equal(put_since("/b", after_write), ERR_STATE);
    assert_int_equal(put_since("/b", cache_store_era(bench.store)), OK);
    assert_int_equal(usage().entries, 2);
    assert_int_equal(usage().loose_bytes, 0);
}

static void want_of_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    struct cache_parts parts = {.realm = REALM, .key = key_of(&bench.arena, "/a"), .status = 200};
    static const char piece[5000];
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct cache_entry *entry = NULL;
        enum err err = cache_entry_create(bench.store, &parts, 0, &entry);
        if (err == OK) {
            err = cache_entry_append(entry, bytes_make(piece, sizeof piece), 10000);
        }
        if (err == OK) {
            err = cache_store_put(bench.store, entry, &nothing);
        } else {
            cache_entry_unref(entry);
        }
        bool was_refused = alloc_fail_end();
        assert_true(err == OK || (was_refused && err == ERR_NOMEM));
        assert_int_equal(usage().loose_bytes, 0);
        if (!was_refused) {
            break;
        }
    }
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct cache_store *store = NULL;
        enum err err = cache_store_create(SIZE, &store);
        bool was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_NOMEM : OK);
        cache_store_unref(store);
        if (!was_refused) {
            break;
        }
    }
}

/* ---- threads ---- */

static void *work(void *context)
{
    struct random random;
    struct arena arena;
    bool has_other;
    random_init(&random, (uint64_t)(uintptr_t)context + 1);
    arena_init(&arena, 1024 * 1024);
    for (int round = 0; round < ROUNDS; round++) {
        char target[NAME_SIZE];
        (void)snprintf(target, sizeof target, "/n%u", (unsigned)random_below(&random, 300));
        struct cache_key key = key_of(&arena, target);
        struct cache_entry *entry =
            cache_store_find(bench.store, REALM, &key, &nothing, &has_other);
        if (entry == NULL) {
            entry = make(&arena, REALM, target, (size_t)random_below(&random, 20000));
            (void)!cache_store_put(bench.store, entry, &nothing);
        } else {
            CHECK(bytes_equal(entry->target, bytes_of(target)));
            if (random_below(&random, 20) == 0) {
                cache_store_remove(bench.store, entry);
            }
            cache_entry_unref(entry);
        }
        if (random_below(&random, 1000) == 0) {
            (void)cache_store_purge(bench.store, is_under, "/n1");
        }
        arena_reset(&arena);
    }
    arena_finish(&arena);
    return NULL;
}

static void threads_share_it_and_every_byte_is_accounted_for(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    }
    for (size_t i = 0; i < 1000; i++) {
        uint64_t living[] = {REALM};
        cache_store_drop(bench.store);
        (void)cache_store_sweep(bench.store, living, 1, CACHE_SWEEP_CHAINS);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(usage().held_bytes <= SIZE);
    assert_int_equal(usage().loose_bytes, 0);
    (void)cache_store_purge(bench.store, is_under, "/");
    assert_int_equal(usage().entries, 0);
    assert_int_equal(usage().held_bytes, 0);
    assert_int_equal(usage().loose_bytes, 0);
}

/* ---- marks ---- */

static void mark_holds_for_its_time_and_until_a_purge(void **state)
{
    (void)state;
    struct cache_marks *marks = cache_marks_create();
    assert_true(cache_marks_are_due(marks, 5, 0, 100));
    cache_marks_set(marks, 5, 0, 200);
    assert_false(cache_marks_are_due(marks, 5, 0, 199));
    assert_true(cache_marks_are_due(marks, 5, 0, 200));
    assert_true(cache_marks_are_due(marks, 5, 1, 199));
    cache_marks_set(marks, 6, 1, 300);
    assert_true(cache_marks_are_due(marks, 5, 1, 199));
    assert_true(cache_marks_are_due(marks, 5 + CACHE_MARKS, 1, 199));
    cache_marks_destroy(marks);
}

/* ---- fills ---- */

struct fill_bench {
    struct request request;
    struct cache_request asked;
    struct response response;
    struct cache_rules rules;
    _Atomic uint64_t realm;
    struct fields_text request_text, response_text;
    struct cache_fill fill;
};

static enum cache_admission begin(struct fill_bench *one, const char *asked, const char *answered,
                                  uint64_t size)
{
    one->request = (struct request){.method = METHOD_GET,
                                    .version = HTTP_1_1,
                                    .target = BYTES("/a"),
                                    .authority = BYTES("shop.test"),
                                    .fields = fields_text_read(&one->request_text, asked)};
    cache_request_read(&one->request, &one->asked);
    one->response = (struct response){.status = 200,
                                      .version = HTTP_1_1,
                                      .fields = fields_text_read(&one->response_text, answered),
                                      .body = BODY_LENGTH,
                                      .content_length = size,
                                      .has_content_length = true};
    one->rules = (struct cache_rules){.mode = CACHE_FALLBACK, .stale_if_error_s = 60};
    atomic_store(&one->realm, REALM);
    struct cache_fill_facts facts = {
        .store = bench.store,
        .realm = &one->realm,
        .begun_realm = REALM,
        .begun_era = cache_store_era(bench.store),
        .key = {.service = BYTES("shop"),
                .deployment = BYTES("new"),
                .scheme = BYTES("https"),
                .authority = BYTES("shop.test"),
                .target = BYTES("/a")},
        .request = &one->asked,
        .response = &one->response,
        .rules = &one->rules,
        .times = {1000000, 1100000, INT64_C(1795411543250000)},
        .body_max = 1000,
    };
    return cache_fill_begin(&facts, &bench.arena, &one->fill);
}

static void answer_that_is_whole_is_put(void **state)
{
    (void)state;
    struct fill_bench one;
    assert_int_equal(begin(&one, "Accept: a", "ETag: \"1\"", 4), CACHE_ADMIT_STORED);
    assert_false(cache_fill_is_varied(&one.fill));
    assert_true(cache_fill_append(&one.fill, BYTES("ab")));
    assert_false(has(REALM, "/a"));
    assert_true(cache_fill_append(&one.fill, BYTES("cd")));
    assert_true(cache_fill_finish(&one.fill, &one.request.fields));
    bool has_other;
    struct cache_key key = key_of(&bench.arena, "/a");
    struct cache_entry *entry =
        cache_store_find(bench.store, REALM, &key, &one.request.fields, &has_other);
    assert_true(bytes_equal(entry->body, BYTES("abcd")));
    assert_int_equal(entry->fields.count, 2); /* its own, and a Date */
    cache_entry_unref(entry);
}

static void answer_that_breaks_off_leaves_nothing(void **state)
{
    (void)state;
    struct fill_bench one;
    assert_int_equal(begin(&one, "Accept: a", "ETag: \"1\"", 4), CACHE_ADMIT_STORED);
    assert_true(cache_fill_append(&one.fill, BYTES("ab")));
    cache_fill_abandon(&one.fill);
    cache_fill_abandon(&one.fill);
    assert_false(has(REALM, "/a"));
    assert_int_equal(usage().loose_bytes, 0);
}

static void answer_of_a_version_that_was_dropped_meanwhile_is_not_put(void **state)
{
    (void)state;
    struct fill_bench one;
    assert_int_equal(begin(&one, "Accept: a", "ETag: \"1\"", 0), CACHE_ADMIT_STORED);
    atomic_store(&one.realm, cache_store_new_realm(bench.store) + REALM);
    assert_false(cache_fill_finish(&one.fill, &one.request.fields));
    assert_int_equal(usage().entries + usage().loose_bytes, 0);
}

static void answer_that_was_asked_for_before_a_purge_is_not_put(void **state)
{
    (void)state;
    struct fill_bench one;
    assert_int_equal(begin(&one, "Accept: a", "ETag: \"1\"", 0), CACHE_ADMIT_STORED);
    (void)cache_store_purge(bench.store, is_under, "/");
    assert_false(cache_fill_finish(&one.fill, &one.request.fields));
    assert_int_equal(usage().entries + usage().loose_bytes, 0);
}

/* What Serin tells the origin there is not what the client said: all would share one variant. */
static void answer_that_varies_by_what_serin_says_is_not_kept(void **state)
{
    (void)state;
    static const char *const theirs[] = {"X-Forwarded-For", "forwarded",        "x-request-id",
                                         "Traceparent",     "X-Forwarded-Port", "CF-IPCountry"};
    struct fill_bench one;
    char vary[NAME_SIZE * 2];
    for (size_t i = 0; i < sizeof theirs / sizeof *theirs; i++) {
        (void)snprintf(vary, sizeof vary, "Vary: Accept, %s", theirs[i]);
        assert_int_equal(begin(&one, "Accept: a", vary, 4), CACHE_ADMIT_VARY);
    }
    assert_int_equal(begin(&one, "Accept: a", "Vary: Host, X-Forwarded-Proto", 4),
                     CACHE_ADMIT_STORED);
    cache_fill_abandon(&one.fill);
}

static void what_may_not_be_kept_is_not_begun(void **state)
{
    (void)state;
    struct fill_bench one;
    assert_int_equal(begin(&one, "Accept: a", "Cache-Control: no-store", 4), CACHE_ADMIT_NO_STORE);
    assert_int_equal(begin(&one, "Accept: a", "Set-Cookie: a=b", 4), CACHE_ADMIT_SET_COOKIE);
    assert_int_equal(begin(&one, "Authorization: x", "ETag: \"1\"", 4), CACHE_ADMIT_AUTHORIZATION);
    assert_int_equal(begin(&one, "Accept: a", "ETag: \"1\"", 1001), CACHE_ADMIT_TOO_LARGE);
    assert_null(one.fill.entry);
    assert_int_equal(usage().loose_bytes, 0);
}

static void more_body_than_is_kept_is_given_up(void **state)
{
    (void)state;
    struct fill_bench one;
    static const char piece[600];
    assert_int_equal(begin(&one, "Accept: a", "ETag: \"1\"", 0), CACHE_ADMIT_STORED);
    assert_true(cache_fill_append(&one.fill, bytes_make(piece, sizeof piece)));
    assert_false(cache_fill_append(&one.fill, bytes_make(piece, sizeof piece)));
    assert_null(one.fill.entry);
    assert_int_equal(usage().loose_bytes, 0);
}

static void fill_without_memory_leaves_nothing(void **state)
{
    (void)state;
    struct fill_bench one;
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct arena arena = bench.arena;
        arena_init(&bench.arena, 1024 * 1024);
        enum cache_admission admission =
            begin(&one, "Accept-Language: de", "Vary: Accept-Language", 4);
        cache_fill_abandon(&one.fill);
        arena_finish(&bench.arena);
        bench.arena = arena;
        bool was_refused = alloc_fail_end();
        assert_int_equal(admission, was_refused ? CACHE_ADMIT_NOMEM : CACHE_ADMIT_STORED);
        assert_int_equal(usage().loose_bytes, 0);
        if (!was_refused) {
            break;
        }
    }
}

#define PLAY(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(what_was_put_is_found_and_nothing_else),
        PLAY(newer_answer_replaces_the_older_one),
        PLAY(keys_with_the_same_hash_are_told_apart),
        PLAY(variants_stand_side_by_side),
        PLAY(variants_of_a_key_are_bounded_and_the_oldest_goes),
        PLAY(newest_entry_stays_however_few_there_are),
        PLAY(store_never_holds_more_than_its_size),
        PLAY(what_was_used_the_longest_ago_goes_first),
        PLAY(entry_in_use_outlives_its_eviction),
        PLAY(too_much_at_a_time_is_not_begun),
        PLAY(bodies_that_grow_together_stay_within_the_stores_size),
        PLAY(body_of_unknown_size_grows_to_its_bound_and_is_trimmed),
        PLAY(smaller_size_is_reached_a_few_entries_at_a_time),
        PLAY(dropped_realm_is_never_found_and_is_swept),
        PLAY(purge_takes_what_it_condemns),
        PLAY(purge_in_pieces_takes_what_one_at_a_time_takes),
        PLAY(answer_that_a_purge_or_a_write_overtook_is_not_put),
        PLAY(want_of_memory_leaves_nothing_behind),
        PLAY(threads_share_it_and_every_byte_is_accounted_for),
        PLAY(mark_holds_for_its_time_and_until_a_purge),
        PLAY(answer_that_is_whole_is_put),
        PLAY(answer_that_breaks_off_leaves_nothing),
        PLAY(answer_of_a_version_that_was_dropped_meanwhile_is_not_put),
        PLAY(answer_that_was_asked_for_before_a_purge_is_not_put),
        PLAY(answer_that_varies_by_what_serin_says_is_not_kept),
        PLAY(what_may_not_be_kept_is_not_begun),
        PLAY(more_body_than_is_kept_is_given_up),
        PLAY(fill_without_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
