#include "conf/conf_number.h"

#include <inttypes.h>
#include <stdio.h>

#include "proxy/base/check.h"

struct unit {
    const char *name;
    uint64_t factor; /* base units in one */
};

static const struct unit durations[] = {
    {"d", UINT64_C(86400000000)},
    {"h", UINT64_C(3600000000)},
    {"m", 60000000},
    {"s", 1000000},
    {"ms", 1000},
};
static const struct unit sizes[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}};
static const struct unit rates[] = {{"%", CONF_PPM / 100}};
static const struct unit counts[] = {{"", 1}};

struct kind {
    const struct unit *units; /* the largest first */
    size_t unit_count;
    const char *advice;
};

static const struct kind kinds[] = {
    [CONF_TYPE_COUNT] = {counts, COUNT_OF(counts), "write a plain whole number"},
    [CONF_TYPE_DURATION] = {durations, COUNT_OF(durations),
                            "write it with ms, s, m, h or d, as in 10s"},
    [CONF_TYPE_SIZE] = {sizes, COUNT_OF(sizes), "write it with B, KiB, MiB or GiB, as in 8KiB"},
    [CONF_TYPE_RATE] = {rates, COUNT_OF(rates), "write it as percent, as in 5%"},
};

static const struct kind *kind_of(enum conf_type type)
{
    CHECK(type < COUNT_OF(kinds));
    return &kinds[type];
}

static const struct unit *find_unit(const struct kind *kind, struct bytes name)
{
    for (size_t i = 0; i < kind->unit_count; i++) {
        if (bytes_equal(bytes_of(kind->units[i].name), name)) {
            return &kind->units[i];
        }
    }
    return NULL;
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static size_t digits_at(struct bytes text, size_t start)
{
    size_t end = start;
    while (end < text.size && is_digit(text.data[end])) {
        end++;
    }
    return end - start;
}

enum { FRACTION_DIGITS_MAX = 8 }; /* so that digits times the largest factor stay below 2^64 */

/* Adds 0.digits of a unit; false unless that is a whole number of base units. */
static bool add_fraction(struct bytes digits, uint64_t factor, uint64_t *value)
{
    while (digits.size > 0 && digits.data[digits.size - 1] == '0') {
        digits.size--;
    }
    if (digits.size > FRACTION_DIGITS_MAX) {
        return false;
    }
    uint64_t numerator = 0;
    uint64_t denominator = 1;
    for (size_t i = 0; i < digits.size; i++) {
        numerator = numerator * 10 + (uint64_t)(digits.data[i] - '0');
        denominator *= 10;
    }
    numerator *= factor;
    return numerator % denominator == 0 &&
           !__builtin_add_overflow(*value, numerator / denominator, value);
}

enum err conf_number_parse(enum conf_type type, struct bytes text, struct note *note,
                           uint64_t *ret_value)
{
    const struct kind *kind = kind_of(type);
    size_t whole_size = digits_at(text, 0);
    struct bytes whole = bytes_slice(text, 0, whole_size);
    struct bytes fraction = {NULL, 0};
    size_t end = whole_size;
    if (end < text.size && text.data[end] == '.') {
        fraction = bytes_slice(text, end + 1, digits_at(text, end + 1));
        end += 1 + fraction.size;
        if (fraction.size == 0) {
            whole_size = 0;
        }
    }
    if (whole_size == 0) {
        note_set(note, "is not a number: %s", kind->advice);
        return ERR_SYNTAX;
    }
    struct bytes name = bytes_slice(text, end, text.size - end);
    const struct unit *unit = find_unit(kind, name);
    if (unit == NULL) {
        note_set(note, name.size == 0 ? "has no unit: %s" : "has an unknown unit: %s",
                 kind->advice);
        return ERR_SYNTAX;
    }
    uint64_t value;
    if (!bytes_to_u64(whole, &value) || __builtin_mul_overflow(value, unit->factor, &value)) {
        note_set(note, "is far too large");
        return ERR_RANGE;
    }
    if (!add_fraction(fraction, unit->factor, &value)) {
        note_set(note, "is finer than can be kept: %s", kind->advice);
        return ERR_RANGE;
    }
    *ret_value = value;
    return OK;
}

static void format_rate(uint64_t ppm, char text[CONF_NUMBER_TEXT_SIZE])
{
    const unsigned percent = CONF_PPM / 100;
    int size = snprintf(text, CONF_NUMBER_TEXT_SIZE, "%" PRIu64 ".%04u", ppm / percent,
                        (unsigned)(ppm % percent));
    CHECK(size > 0 && size < CONF_NUMBER_TEXT_SIZE - 1);
    while (text[size - 1] == '0') {
        size--;
    }
    if (text[size - 1] == '.') {
        size--;
    }
    text[size] = '%';
    text[size + 1] = '\0';
}

void conf_number_format(enum conf_type type, uint64_t value, char text[CONF_NUMBER_TEXT_SIZE])
{
    if (type == CONF_TYPE_RATE || type == CONF_TYPE_STEP) {
        format_rate(value, text);
        return;
    }
    const struct kind *kind = kind_of(type);
    size_t i = 0;
    while (i + 1 < kind->unit_count && (value == 0 || value % kind->units[i].factor != 0)) {
        i++;
    }
    if (value % kind->units[i].factor != 0) {
        (void)snprintf(text, CONF_NUMBER_TEXT_SIZE, "%" PRIu64 "us", value);
        return;
    }
    (void)snprintf(text, CONF_NUMBER_TEXT_SIZE, "%" PRIu64 "%s", value / kind->units[i].factor,
                   kind->units[i].name);
}
