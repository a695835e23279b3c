/* Directives as people write them, and as nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/cache/cache_control.h"
#include "tests/support/fields_text.h"

#define BIT(directive) (UINT32_C(1) << CACHE_CONTROL_##directive)

enum { ANY = -1 };

struct play {
    const char *name;
    const char *text;
    uint32_t has;
    enum cache_directive directive; /* whose seconds are looked at */
    int64_t seconds;                /* ANY: nobody's */
};

#define MAX CACHE_SECONDS_MAX

static const struct play plays[] = {
    {"nothing said is nothing had", "Content-Type: text/html", 0, 0, ANY},
    {"an empty field says nothing", "Cache-Control:", 0, 0, ANY},
    {"one directive", "Cache-Control: no-store", BIT(NO_STORE), 0, ANY},
    {"names compare without case", "Cache-Control: No-StOrE, MAX-AGE=5",
     BIT(NO_STORE) | BIT(MAX_AGE), CACHE_CONTROL_MAX_AGE, 5},
    {"several lines are one list", "Cache-Control: public\nX: y\nCache-Control: max-age=60",
     BIT(PUBLIC) | BIT(MAX_AGE), CACHE_CONTROL_MAX_AGE, 60},
    {"empty elements are passed over", "Cache-Control: , ,public,,\t,max-age=1,",
     BIT(PUBLIC) | BIT(MAX_AGE), CACHE_CONTROL_MAX_AGE, 1},
    {"blanks around commas mean nothing", "Cache-Control:\tpublic \t, \tmax-age=1 ",
     BIT(PUBLIC) | BIT(MAX_AGE), CACHE_CONTROL_MAX_AGE, 1},
    {"unknown directives are passed over",
     "Cache-Control: immutable, pony=\"a, no-store\", max-age=2", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 2},
    {"a directive in quotes is none", "Cache-Control: x=\"no-store, private\"", 0, 0, ANY},
    {"an escaped quote does not end a string", "Cache-Control: x=\"a\\\", no-store\", public",
     BIT(PUBLIC), 0, ANY},
    {"a name that only begins like one is another", "Cache-Control: no-storeage, xmax-age=1", 0, 0,
     ANY},
    {"an argument where none belongs does not weaken a demand", "Cache-Control: no-store=1",
     BIT(NO_STORE), 0, ANY},
    {"an argument where none belongs takes a permission back", "Cache-Control: public=1", 0, 0,
     ANY},
    {"a permission with garbage behind it is none", "Cache-Control: public yes", 0, 0, ANY},
    {"a demand with garbage behind it is one", "Cache-Control: must-revalidate yes",
     BIT(MUST_REVALIDATE), 0, ANY},
    {"seconds in quotes are seconds", "Cache-Control: max-age=\"60\"", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 60},
    {"leading zeros are no octal", "Cache-Control: max-age=0060", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 60},
    {"a lifetime without a number is none", "Cache-Control: max-age", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 0},
    {"an empty number is none", "Cache-Control: max-age=", BIT(MAX_AGE), CACHE_CONTROL_MAX_AGE, 0},
    {"a negative number is none", "Cache-Control: max-age=-1", BIT(MAX_AGE), CACHE_CONTROL_MAX_AGE,
     0},
    {"a fraction is no number", "Cache-Control: max-age=1.5", BIT(MAX_AGE), CACHE_CONTROL_MAX_AGE,
     0},
    {"a number with a unit is none", "Cache-Control: max-age=1h", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 0},
    {"a blank before the number spoils it", "Cache-Control: max-age= 60", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 0},
    {"a blank behind the name spoils it", "Cache-Control: max-age =60", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 0},
    {"a missing comma spoils the number", "Cache-Control: max-age=60 public", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 0},
    {"a string that never ends spoils the number", "Cache-Control: max-age=\"60", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 0},
    {"more behind a string spoils the number", "Cache-Control: max-age=\"60\"1", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 0},
    {"2147483647 is itself", "Cache-Control: max-age=2147483647", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, MAX - 1},
    {"2147483648 is the most", "Cache-Control: max-age=2147483648", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, MAX},
    {"past 32 bits is the most", "Cache-Control: max-age=4294967297", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, MAX},
    {"past 64 bits is the most", "Cache-Control: max-age=99999999999999999999999", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, MAX},
    {"said twice alike is said once", "Cache-Control: max-age=60, max-age=60", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 60},
    {"two lifetimes are none", "Cache-Control: max-age=60, max-age=3600", BIT(MAX_AGE),
     CACHE_CONTROL_MAX_AGE, 0},
    {"two lifetimes on two lines are none", "Cache-Control: s-maxage=9\nCache-Control: s-maxage=8",
     BIT(S_MAXAGE), CACHE_CONTROL_S_MAXAGE, 0},
    {"two permissions to be stale are none", "Cache-Control: stale-if-error=9, stale-if-error=8",
     BIT(STALE_IF_ERROR), CACHE_CONTROL_STALE_IF_ERROR, 0},
    {"two demands of freshness are the most", "Cache-Control: min-fresh=9, min-fresh=8",
     BIT(MIN_FRESH), CACHE_CONTROL_MIN_FRESH, MAX},
    {"a demand that cannot be read is the most", "Cache-Control: min-fresh=soon", BIT(MIN_FRESH),
     CACHE_CONTROL_MIN_FRESH, MAX},
    {"max-stale without a number is any", "Cache-Control: max-stale", BIT(MAX_STALE),
     CACHE_CONTROL_MAX_STALE, MAX},
    {"max-stale with a broken number is none", "Cache-Control: max-stale=x", BIT(MAX_STALE),
     CACHE_CONTROL_MAX_STALE, 0},
    {"all at once",
     "Cache-Control: no-store, no-cache, max-age=1, s-maxage=2, must-revalidate, "
     "proxy-revalidate, must-understand, private, public, stale-if-error=3, "
     "stale-while-revalidate=4, max-stale=5, min-fresh=6, only-if-cached",
     (UINT32_C(1) << CACHE_DIRECTIVE_COUNT) - 1, CACHE_CONTROL_STALE_WHILE_REVALIDATE, 4},
};

static void directives_are_read_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plays); i++) {
        struct fields_text text;
        struct fields fields = fields_text_read(&text, plays[i].text);
        struct cache_control control;
        cache_control_read(&fields, &control);
        bool is_same = control.has == plays[i].has;
        if (plays[i].seconds != ANY) {
            is_same &= control.seconds[plays[i].directive] == plays[i].seconds;
        }
        if (!is_same) {
            fail_msg("%s: has 0x%x, seconds %u", plays[i].name, control.has,
                     control.seconds[plays[i].directive]);
        }
    }
}

struct list_play {
    const char *name;
    const char *text;
    bool is_private_whole;
    bool is_no_cache_whole;
    const char *withheld; /* a name that must be; NULL: none */
    const char *told;     /* a name that must not be */
};

static const struct list_play list_plays[] = {
    {"private alone is all of it", "Cache-Control: private", true, false, NULL, "x-a"},
    {"private with names is those", "Cache-Control: private=\"X-A, x-b\"", false, false, "x-B",
     "x-c"},
    {"one name needs no quotes", "Cache-Control: no-cache=X-A", false, false, "x-a", "x-c"},
    {"no-cache with names is those", "Cache-Control: no-cache=\"set-cookie\"", false, false,
     "Set-Cookie", "x-a"},
    {"an empty list is all of it", "Cache-Control: private=\"\", no-cache=\" , \"", true, true,
     NULL, "x-a"},
    {"a list with what is no name is all of it", "Cache-Control: private=\"x-a, x b\"", true, false,
     "x-a", "x-c"},
    {"a list that never ends is all of it", "Cache-Control: private=\"x-a", true, false, "x-a",
     "x-c"},
    {"with and without is without", "Cache-Control: no-cache=\"x-a\", no-cache", false, true, "x-a",
     "x-c"},
    {"lists add up over lines", "Cache-Control: private=x-a\nCache-Control: private=x-b", false,
     false, "x-b", "x-c"},
    {"lists of other directives are not looked at", "Cache-Control: x=\"x-a\"", false, false, NULL,
     "x-a"},
};

static void names_in_private_and_no_cache_are_withheld(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(list_plays); i++) {
        const struct list_play *play = &list_plays[i];
        struct fields_text text;
        struct fields fields = fields_text_read(&text, play->text);
        struct cache_control control;
        cache_control_read(&fields, &control);
        bool is_good = control.is_private_whole == play->is_private_whole &&
                       control.is_no_cache_whole == play->is_no_cache_whole;
        is_good &= !cache_control_withholds(&fields, bytes_of(play->told));
        if (play->withheld != NULL) {
            is_good &= cache_control_withholds(&fields, bytes_of(play->withheld));
        }
        if (!is_good) {
            fail_msg("%s", play->name);
        }
    }
}

/* Whatever stands behind a demand, adding to a list never takes it away. */
static void more_directives_never_take_a_demand_away(void **state)
{
    (void)state;
    static const char *const demands[] = {"no-store", "no-cache", "private", "must-revalidate"};
    static const char *const others[] = {"max-age=1", "public",    "x=\"",     "private=\"a\"",
                                         "=",         "no-cache=", "\"public", "max-age=\"1, 2\""};
    for (size_t i = 0; i < COUNT_OF(demands); i++) {
        for (size_t j = 0; j < COUNT_OF(others); j++) {
            struct field items[] = {
                {BYTES("Cache-Control"), bytes_of(demands[i]), FIELD_CACHE_CONTROL},
                {BYTES("Cache-Control"), bytes_of(others[j]), FIELD_CACHE_CONTROL}};
            struct fields alone = {items, 1};
            struct fields both = {items, 2};
            struct cache_control before;
            struct cache_control after;
            cache_control_read(&alone, &before);
            cache_control_read(&both, &after);
            assert_int_equal(after.has & before.has, before.has);
            assert_true(after.is_private_whole >= before.is_private_whole);
            assert_true(after.is_no_cache_whole >= before.is_no_cache_whole);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directives_are_read_as_the_table_says),
        cmocka_unit_test(names_in_private_and_no_cache_are_withheld),
        cmocka_unit_test(more_directives_never_take_a_demand_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
