/* tests/unit/conf/test_conf_values.c — numbers with units, addresses and their ranges. */
#include <netinet/in.h>

#include "conf/conf_number.h"
#include "conf/conf_schema.h"
#include "tests/unit/conf/conf_play.h"

static void numbers_are_read_exactly_and_written_back(void **state)
{
    (void)state;
    const struct {
        enum conf_type type;
        const char *text;
        uint64_t value;
        const char *written;
    } cases[] = {
        {CONF_TYPE_COUNT, "0", 0, "0"},
        {CONF_TYPE_COUNT, "18446744073709551615", UINT64_MAX, "18446744073709551615"},
        {CONF_TYPE_DURATION, "0s", 0, "0ms"},
        {CONF_TYPE_DURATION, "250ms", 250000, "250ms"},
        {CONF_TYPE_DURATION, "1.5s", 1500000, "1500ms"},
        {CONF_TYPE_DURATION, "1.50s", 1500000, "1500ms"},
        {CONF_TYPE_DURATION, "0.000001s", 1, "1us"},
        {CONF_TYPE_DURATION, "60s", 60000000, "1m"},
        {CONF_TYPE_DURATION, "90s", 90000000, "90s"},
        {CONF_TYPE_DURATION, "36h", UINT64_C(129600000000), "36h"},
        {CONF_TYPE_DURATION, "7d", UINT64_C(604800000000), "7d"},
        {CONF_TYPE_DURATION, "0.5d", UINT64_C(43200000000), "12h"},
        {CONF_TYPE_SIZE, "1B", 1, "1B"},
        {CONF_TYPE_SIZE, "1.5KiB", 1536, "1536B"},
        {CONF_TYPE_SIZE, "0.125KiB", 128, "128B"},
        {CONF_TYPE_SIZE, "64MiB", 64 << 20, "64MiB"},
        {CONF_TYPE_SIZE, "2048KiB", 2 << 20, "2MiB"},
        {CONF_TYPE_RATE, "0%", 0, "0%"},
        {CONF_TYPE_RATE, "0.0001%", 1, "0.0001%"},
        {CONF_TYPE_RATE, "0.25%", 2500, "0.25%"},
        {CONF_TYPE_RATE, "12.5%", 125000, "12.5%"},
        {CONF_TYPE_RATE, "100%", 1000000, "100%"},
        {CONF_TYPE_RATE, "99.9999%", 999999, "99.9999%"},
        {CONF_TYPE_RATE, "10.0101%", 100101, "10.0101%"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t value = 12345;
        char written[CONF_NUMBER_TEXT_SIZE];
        struct note note = {""};
        assert_int_equal(conf_number_parse(cases[i].type, bytes_of(cases[i].text), &note, &value),
                         OK);
        assert_true(value == cases[i].value);
        conf_number_format(cases[i].type, value, written);
        assert_string_equal(written, cases[i].written);
    }
}

static void what_is_no_number_leaves_the_value_alone(void **state)
{
    (void)state;
    const struct {
        enum conf_type type;
        const char *text;
        enum err err;
    } cases[] = {
        {CONF_TYPE_COUNT, "", ERR_SYNTAX},
        {CONF_TYPE_COUNT, " 1", ERR_SYNTAX},
        {CONF_TYPE_COUNT, "+1", ERR_SYNTAX},
        {CONF_TYPE_COUNT, "0x10", ERR_SYNTAX},
        {CONF_TYPE_COUNT, "1_000", ERR_SYNTAX},
        {CONF_TYPE_COUNT, "18446744073709551616", ERR_RANGE},
        {CONF_TYPE_DURATION, ".5s", ERR_SYNTAX},
        {CONF_TYPE_DURATION, "1s ", ERR_SYNTAX},
        {CONF_TYPE_DURATION, "1S", ERR_SYNTAX},
        {CONF_TYPE_DURATION, "1h30m", ERR_SYNTAX},
        {CONF_TYPE_DURATION, "0.0000001s", ERR_RANGE},
        {CONF_TYPE_DURATION, "1.123456789d", ERR_RANGE},
        {CONF_TYPE_DURATION, "213503982334602d", ERR_RANGE},
        {CONF_TYPE_SIZE, "0.3KiB", ERR_RANGE},
        {CONF_TYPE_SIZE, "1kib", ERR_SYNTAX},
        {CONF_TYPE_SIZE, "17179869184GiB", ERR_RANGE},
        {CONF_TYPE_RATE, "5", ERR_SYNTAX},
        {CONF_TYPE_RATE, "%", ERR_SYNTAX},
        {CONF_TYPE_RATE, "5 %", ERR_SYNTAX},
        {CONF_TYPE_RATE, "0.00005%", ERR_RANGE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t value = 12345;
        struct note note = {""};
        assert_int_equal(conf_number_parse(cases[i].type, bytes_of(cases[i].text), &note, &value),
                         cases[i].err);
        assert_true(value == 12345);
        assert_true(note.text[0] != '\0');
    }
}

static void addresses_are_read_and_written(void **state)
{
    (void)state;
    const char *const cases[][2] = {
        {"192.0.2.1", "192.0.2.1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"2001:DB8:0:0::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"::", "::"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.99.100.9", "255.99.100.9"},
        {"10.0.200.101", "10.0.200.101"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ip ip;
        char text[IP_TEXT_SIZE];
        assert_true(ip_parse(bytes_of(cases[i][0]), &ip));
        ip_format(&ip, text);
        assert_string_equal(text, cases[i][1]);
    }
    const char *const wrong[] = {"",          "1.2.3",  "1.2.3.4.5", "01.2.3.4", "256.1.1.1",
                                 "[1.2.3.4]", "::1%lo", "1::2::3",   "[::1",     "::1]",
                                 "a",         "[]",     "1.2.3.4 "};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct ip ip;
        assert_false(ip_parse(bytes_of(wrong[i]), &ip));
    }
    struct ip ip;
    assert_true(ip_parse(BYTES("127.9.9.9"), &ip) && ip_is_loopback(&ip) && !ip_is_any(&ip));
    assert_true(ip_parse(BYTES("::1"), &ip) && ip_is_loopback(&ip) && !ip_is_v4(&ip));
    assert_true(ip_parse(BYTES("::"), &ip) && ip_is_any(&ip) && !ip_is_loopback(&ip));
    assert_true(ip_parse(BYTES("0.0.0.0"), &ip) && ip_is_any(&ip) && ip_is_v4(&ip));
}

static void ranges_cover_their_own_family_only(void **state)
{
    (void)state;
    const struct {
        const char *range;
        const char *ip;
        bool has_it;
    } cases[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "::ffff:10.1.1.1", true},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "1.2.3.4", false},
        {"::/0", "2001:db8::1", true},
        {"::ffff:0.0.0.0/96", "1.2.3.4", true},
        {"192.0.2.4/30", "192.0.2.7", true},
        {"192.0.2.4/30", "192.0.2.8", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1/32", "192.0.2.1", true},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"2001:db8::1/128", "2001:db8::1", true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ip_range range;
        struct ip ip;
        assert_true(ip_range_parse(bytes_of(cases[i].range), &range));
        assert_true(ip_parse(bytes_of(cases[i].ip), &ip));
        assert_int_equal(ip_ranges_have(&range, 1, &ip), cases[i].has_it);
    }
    const char *const wrong[] = {"10.0.0.0/33", "10.0.0.1/8",   "10.0.0.0/",
                                 "10.0.0.0/-1", "::/129",       "/8",
                                 "x/8",         "10.0.0.0/8/8", "2001:db8::1/32"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct ip_range range;
        assert_false(ip_range_parse(bytes_of(wrong[i]), &range));
    }
}

/* A table that says one thing in the file and another in the struct would be silent and wrong. */
static void schema_words_are_the_enums(void **state)
{
    (void)state;
    const struct {
        const char *key;
        const char *word;
        unsigned value;
    } cases[] = {
        {"opt_in", "off", CONF_OPT_IN_OFF},
        {"opt_in", "trusted", CONF_OPT_IN_TRUSTED},
        {"opt_in", "on", CONF_OPT_IN_ON},
        {"host", "auto", CONF_HOST_AUTO},
        {"host", "keep", CONF_HOST_KEEP},
        {"host", "origin", CONF_HOST_ORIGIN},
        {"forwarded", "x_forwarded", CONF_FORWARDED_X},
        {"forwarded", "rfc7239", CONF_FORWARDED_RFC7239},
        {"forwarded", "both", CONF_FORWARDED_BOTH},
        {"by", "none", CONF_STICKY_NONE},
        {"by", "cookie", CONF_STICKY_COOKIE},
        {"by", "client_ip", CONF_STICKY_CLIENT_IP},
        {"by", "header", CONF_STICKY_HEADER},
        {"relative", "off", CONF_RELATIVE_OFF},
        {"relative", "hold", CONF_RELATIVE_HOLD},
        {"relative", "rollback", CONF_RELATIVE_ROLLBACK},
        {"relative", "confirm", CONF_RELATIVE_CONFIRM},
        {"on_breach", "rollback", CONF_ON_BREACH_ROLLBACK},
        {"on_breach", "freeze", CONF_ON_BREACH_FREEZE},
        {"on_breach", "alert", CONF_ON_BREACH_ALERT},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct conf_key *key =
            conf_section_find(&conf_schema_service, bytes_of(cases[i].key));
        for (size_t j = 0; j < conf_schema_service.key_count && key == NULL; j++) {
            const struct conf_section *inner = conf_schema_service.keys[j].section;
            key = inner != NULL ? conf_section_find(inner, bytes_of(cases[i].key)) : NULL;
        }
        assert_non_null(key);
        assert_string_equal(key->choices[cases[i].value], cases[i].word);
    }
}

static void check_section(const struct conf_section *section)
{
    assert_true(section->key_count <= 64);
    for (size_t i = 0; i < section->key_count; i++) {
        const struct conf_key *key = &section->keys[i];
        assert_non_null(key->help);
        assert_ptr_equal(conf_section_find(section, bytes_of(key->name)), key);
        assert_ptr_equal(conf_section_nearest(section, bytes_of(key->name)), key);
        if (key->type != CONF_TYPE_UNBUILT) {
            assert_true(key->offset + (key->list_max > 0 ? sizeof(void *) : conf_key_size(key)) <=
                        section->size);
            assert_int_equal(key->list_max > 0, key->count_offset > 0);
        }
        if (key->section != NULL) {
            check_section(key->section);
        }
    }
}

static void schema_is_sound(void **state)
{
    (void)state;
    check_section(conf_schema());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_exactly_and_written_back),
        cmocka_unit_test(what_is_no_number_leaves_the_value_alone),
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(ranges_cover_their_own_family_only),
        cmocka_unit_test(schema_words_are_the_enums),
        cmocka_unit_test(schema_is_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
