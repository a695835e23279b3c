#include <assert.h>

#include "conf/conf_schema.h"
#include "proxy/base/check.h"

static const struct {
    const char *text;
    size_t size;
} types[] = {
    [CONF_TYPE_COUNT] = {"number", sizeof(uint64_t)},
    [CONF_TYPE_DURATION] = {"duration", sizeof(uint64_t)},
    [CONF_TYPE_SIZE] = {"size", sizeof(uint64_t)},
    [CONF_TYPE_RATE] = {"rate", sizeof(uint32_t)},
    [CONF_TYPE_STEP] = {"rate or `pause`", sizeof(uint32_t)},
    [CONF_TYPE_SWITCH] = {"on or off", sizeof(bool)},
    [CONF_TYPE_CHOICE] = {"word", sizeof(unsigned)},
    [CONF_TYPE_NAME] = {"name", sizeof(char *)},
    [CONF_TYPE_DEPLOYMENT] = {"deployment", sizeof(char *)},
    [CONF_TYPE_FIELD] = {"header field", sizeof(char *)},
    [CONF_TYPE_VARIABLE] = {"environment variable", sizeof(char *)},
    [CONF_TYPE_FILE] = {"file", sizeof(char *)},
    [CONF_TYPE_URL_PATH] = {"path", sizeof(char *)},
    [CONF_TYPE_PREFIX] = {"path", sizeof(char *)},
    [CONF_TYPE_GLOB] = {"path pattern", sizeof(char *)},
    [CONF_TYPE_HOST] = {"host", sizeof(char *)},
    [CONF_TYPE_PATTERN] = {"host", sizeof(char *)},
    [CONF_TYPE_LISTEN] = {"address", sizeof(struct conf_address)},
    [CONF_TYPE_ADDRESS] = {"address", sizeof(struct conf_address)},
    [CONF_TYPE_RANGE] = {"address range", sizeof(struct ip_range)},
    [CONF_TYPE_ENDPOINT] = {"URL", sizeof(struct conf_endpoint)},
    [CONF_TYPE_URL] = {"URL", sizeof(char *)},
    [CONF_TYPE_WORD] = {"word", sizeof(char *)},
    [CONF_TYPE_STATUSES] = {"status", sizeof(struct conf_statuses)},
    [CONF_TYPE_SECTION] = {"mapping", 0},
    [CONF_TYPE_UNBUILT] = {"not built yet", 0},
};
static_assert(COUNT_OF(types) == CONF_TYPE_TOTAL, "every type has its row");

size_t conf_key_size(const struct conf_key *key)
{
    return key->type == CONF_TYPE_SECTION ? key->section->size : types[key->type].size;
}

const char *conf_type_text(enum conf_type type)
{
    return types[type].text;
}

const struct conf_key *conf_section_find(const struct conf_section *section, struct bytes name)
{
    for (size_t i = 0; i < section->key_count; i++) {
        if (bytes_equal(bytes_of(section->keys[i].name), name)) {
            return &section->keys[i];
        }
    }
    return NULL;
}

enum { DISTANCE_NAME_MAX = 40 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to add, drop, change or swap with a neighbour (optimal string alignment distance). */
static size_t distance(struct bytes a, struct bytes b)
{
    size_t rows[3][DISTANCE_NAME_MAX + 1];
    CHECK(a.size <= DISTANCE_NAME_MAX);
    CHECK(b.size <= DISTANCE_NAME_MAX);
    for (size_t j = 0; j <= b.size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.size; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            char x = byte_lower(a.data[i - 1]);
            char y = byte_lower(b.data[j - 1]);
            row[j] = least(least(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            bool is_swapped =
                i > 1 && j > 1 && x == byte_lower(b.data[j - 2]) && byte_lower(a.data[i - 2]) == y;
            if (is_swapped) {
                row[j] = least(row[j], rows[(i - 2) % 3][j - 2] + 1);
            }
        }
    }
    return rows[a.size % 3][b.size];
}

/* What the documents call a thing beside its key. */
static const struct {
    const char *word;
    const char *key;
} other_words[] = {{"canary", "current"}, {"stable", "previous"}, {"baseline", "previous"}};

static const struct conf_key *find_meant(const struct conf_section *section, struct bytes name)
{
    for (size_t i = 0; i < sizeof other_words / sizeof other_words[0]; i++) {
        if (bytes_equal(name, bytes_of(other_words[i].word))) {
            return conf_section_find(section, bytes_of(other_words[i].key));
        }
    }
    return NULL;
}

const struct conf_key *conf_section_nearest(const struct conf_section *section, struct bytes name)
{
    const struct conf_key *meant = find_meant(section, name);
    if (meant != NULL) {
        return meant;
    }
    if (name.size == 0 || name.size > DISTANCE_NAME_MAX) {
        return NULL;
    }
    const struct conf_key *nearest = NULL;
    size_t best = 1 + least(3, (name.size + 1) / 3);
    for (size_t i = 0; i < section->key_count; i++) {
        size_t here = distance(name, bytes_of(section->keys[i].name));
        if (here < best) {
            best = here;
            nearest = &section->keys[i];
        }
    }
    return nearest;
}
