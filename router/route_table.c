/* router/route_table.c — one hash table for exact names and wildcards, lines of a host side by
 * side.
 *
 * The host of a request is lowered once into zero-padded words. All its suffixes end where it ends,
 * so the padding serves them too, and a wildcard `*.example.com` is found by looking for each
 * suffix behind a dot, longest first. The hash need not be keyed: names get into the table from the
 * configuration only, so a client can at worst choose which of our own probe sequences it walks. */
#include "router/route_table.h"

#include <stdlib.h>

#include "proxy/base/arena.h"
#include "proxy/base/check.h"
#include "router/matcher.h"

enum { WORD_SIZE = 8, HOST_WORDS = MATCHER_HOST_MAX / WORD_SIZE + 2 };

/* A path prefix of a host, and whose it is. */
struct line {
    struct bytes prefix; /* in the table's arena */
    uint32_t service;
};

struct host {
    struct bytes name; /* lower-case; in the table's arena */
    uint64_t hash;
    enum host_pattern_kind kind;
    uint32_t line_first;
    uint32_t line_count;
};

struct route_table {
    struct arena arena; /* owns everything below */
    struct line *lines; /* of a host: side by side, longest prefix first */
    struct host *hosts;
    uint32_t *slots;     /* host index + 1, 0 is free; at most half of them taken */
    uint32_t slot_count; /* a power of two */
    uint32_t host_count;
    struct host *any;    /* the host of `*`, or NULL */
    size_t wildcard_min; /* sizes of the names behind `*.`; min > max when there is none */
    size_t wildcard_max;
};

/* A rule that was understood, while the table is being built. */
struct entry {
    enum host_pattern_kind kind;
    struct bytes name; /* lower-case */
    struct bytes prefix;
    uint32_t service;
    size_t rule; /* its index, for the note */
};

/* The host of a request, lowered. */
struct key {
    union {
        uint64_t words[HOST_WORDS];
        char text[HOST_WORDS * WORD_SIZE];
    };
    size_t size;
};

/* Lowers the ASCII capitals among eight bytes at once: adding moves exactly the letters' bytes past
 * 0x80. */
static uint64_t lower_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t sevens = word & (0x7f * ones);
    uint64_t from_a = sevens + (0x80 - 'A') * ones;
    uint64_t past_z = sevens + (0x7f - 'Z') * ones;
    uint64_t capitals = ~word & (from_a ^ past_z) & (0x80 * ones);
    return word | capitals >> 2;
}

/* `host` fits MATCHER_HOST_MAX. Leaves at least one word of zeros behind the name. */
static void key_init(struct key *key, struct bytes host)
{
    size_t word = 0;
    size_t start = 0;
    for (; start + WORD_SIZE <= host.size; start += WORD_SIZE, word++) {
        memcpy(&key->words[word], host.data + start, WORD_SIZE);
        key->words[word] = lower_word(key->words[word]);
    }
    key->words[word] = 0;
    key->words[word + 1] = 0;
    for (size_t i = start; i < host.size; i++) {
        key->text[i] = byte_lower(host.data[i]);
    }
    key->size = host.size;
}

/* Hashes the key from `start` to its end, a word at a time: multiply, and fold the upper half down.
 */
static uint64_t key_hash(const struct key *key, size_t start, enum host_pattern_kind kind)
{
    uint64_t hash = (key->size - start) << 2 | (uint64_t)kind;
    for (size_t at = start; at < key->size; at += WORD_SIZE) {
        uint64_t word;
        memcpy(&word, key->text + at, WORD_SIZE);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return hash;
}

static const struct host *find_host(const struct route_table *table, const struct key *key,
                                    size_t start, enum host_pattern_kind kind)
{
    uint64_t hash = key_hash(key, start, kind);
    struct bytes name = bytes_make(key->text + start, key->size - start);
    uint32_t mask = table->slot_count - 1;
    for (uint32_t slot = (uint32_t)hash & mask; table->slots[slot] != 0; slot = (slot + 1) & mask) {
        const struct host *host = &table->hosts[table->slots[slot] - 1];
        if (host->hash == hash && host->kind == kind && bytes_equal(host->name, name)) {
            return host;
        }
    }
    return NULL;
}

static uint32_t find_line(const struct route_table *table, const struct host *host,
                          struct bytes path)
{
    for (uint32_t i = 0; host != NULL && i < host->line_count; i++) {
        const struct line *line = &table->lines[host->line_first + i];
        if (matcher_path_is_covered(line->prefix, path)) {
            return line->service;
        }
    }
    return ROUTE_NONE;
}

static uint32_t find_wildcard(const struct route_table *table, const struct key *key,
                              struct bytes path)
{
    uint32_t service = ROUTE_NONE;
    for (size_t start = 2; service == ROUTE_NONE && start < key->size; start++) {
        size_t size = key->size - start;
        bool is_size = size >= table->wildcard_min && size <= table->wildcard_max;
        if (is_size && key->text[start - 1] == '.') {
            service = find_line(table, find_host(table, key, start, HOST_WILDCARD), path);
        }
    }
    return service;
}

uint32_t route_table_find(const struct route_table *table, struct bytes authority,
                          struct bytes target)
{
    struct bytes host = matcher_host_of(authority);
    struct bytes path = matcher_path_of(target);
    uint32_t service = ROUTE_NONE;
    if (host.size > 0 && host.size <= MATCHER_HOST_MAX) {
        struct key key;
        key_init(&key, host);
        service = find_line(table, find_host(table, &key, 0, HOST_EXACT), path);
        if (service == ROUTE_NONE && table->wildcard_min <= table->wildcard_max) {
            service = find_wildcard(table, &key, path);
        }
    }
    return service != ROUTE_NONE ? service : find_line(table, table->any, path);
}

/* ---- building ---- */

static int compare_bytes(struct bytes a, struct bytes b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size > 0 ? memcmp(a.data, b.data, size) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static int compare_hosts(const struct entry *a, const struct entry *b)
{
    return a->kind != b->kind ? (int)a->kind - (int)b->kind : compare_bytes(a->name, b->name);
}

/* Lines of a host side by side, the longest prefix first, equal ones in a row. */
static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left;
    const struct entry *b = right;
    int order = compare_hosts(a, b);
    if (order == 0 && a->prefix.size != b->prefix.size) {
        order = a->prefix.size > b->prefix.size ? -1 : 1;
    }
    return order != 0 ? order : compare_bytes(a->prefix, b->prefix);
}

static enum err read_rule(struct arena *arena, const struct route_rule *rule, struct note *note,
                          struct entry *entry)
{
    struct bytes name;
    struct bytes prefix;
    if (!matcher_host_pattern(rule->host, &entry->kind, &name)) {
        note_set(note, "\"%.*s\" is not a host, *.host or *", BYTES_ARGS(rule->host));
        return ERR_SYNTAX;
    }
    if (!matcher_path_prefix(rule->path, &prefix)) {
        note_set(note, "\"%.*s\" is not a path that starts with /", BYTES_ARGS(rule->path));
        return ERR_SYNTAX;
    }
    struct key key;
    key_init(&key, name);
    entry->name = arena_copy(arena, bytes_make(key.text, key.size));
    entry->prefix = arena_copy(arena, prefix);
    entry->service = rule->service;
    return entry->name.data != NULL && entry->prefix.data != NULL ? OK : ERR_NOMEM;
}

static enum err read_rules(struct arena *arena, const struct route_rule *rules, size_t rule_count,
                           struct note *note, struct entry *entries)
{
    for (size_t i = 0; i < rule_count; i++) {
        entries[i].rule = i;
        enum err err = read_rule(arena, &rules[i], note, &entries[i]);
        if (err != OK) {
            return err;
        }
    }
    qsort(entries, rule_count, sizeof *entries, compare_entries);
    for (size_t i = 1; i < rule_count; i++) {
        if (compare_entries(&entries[i - 1], &entries[i]) == 0) {
            const struct route_rule *rule = &rules[entries[i].rule];
            note_set(note, "host \"%.*s\" with path \"%.*s\" is there twice",
                     BYTES_ARGS(rule->host), BYTES_ARGS(rule->path));
            return ERR_EXISTS;
        }
    }
    return OK;
}

static void insert_host(struct route_table *table, struct host *host, uint32_t number)
{
    if (host->kind == HOST_ANY) {
        table->any = host;
        return;
    }
    if (host->kind == HOST_WILDCARD) {
        size_t size = host->name.size;
        table->wildcard_min = size < table->wildcard_min ? size : table->wildcard_min;
        table->wildcard_max = size > table->wildcard_max ? size : table->wildcard_max;
    }
    struct key key;
    key_init(&key, host->name);
    host->hash = key_hash(&key, 0, host->kind);
    uint32_t mask = table->slot_count - 1;
    uint32_t slot = (uint32_t)host->hash & mask;
    while (table->slots[slot] != 0) {
        slot = (slot + 1) & mask;
    }
    table->slots[slot] = number;
}

static enum err fill_table(struct route_table *table, const struct entry *entries, size_t count)
{
    table->slot_count = 2;
    while (table->slot_count < 2 * count) {
        table->slot_count *= 2;
    }
    table->slots = arena_zalloc(&table->arena, table->slot_count * sizeof *table->slots);
    table->hosts = arena_zalloc(&table->arena, count * sizeof *table->hosts);
    table->lines = arena_zalloc(&table->arena, count * sizeof *table->lines);
    if (table->slots == NULL || table->hosts == NULL || table->lines == NULL) {
        return ERR_NOMEM;
    }
    struct host *host = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = &entries[i];
        if (i == 0 || compare_hosts(&entries[i - 1], entry) != 0) {
            host = &table->hosts[table->host_count++];
            host->name = entry->name;
            host->kind = entry->kind;
            host->line_first = (uint32_t)i;
            insert_host(table, host, table->host_count);
        }
        host->line_count++;
        table->lines[i] = (struct line){entry->prefix, entry->service};
    }
    return OK;
}

static enum err build(struct route_table *table, const struct route_rule *rules, size_t rule_count,
                      struct note *note)
{
    if (rule_count == 0) {
        return fill_table(table, NULL, 0);
    }
    struct entry *entries = calloc(rule_count, sizeof *entries);
    if (entries == NULL) {
        return ERR_NOMEM;
    }
    enum err err = read_rules(&table->arena, rules, rule_count, note, entries);
    if (err == OK) {
        err = fill_table(table, entries, rule_count);
    }
    free(entries);
    return err;
}

enum err route_table_create(const struct route_rule *rules, size_t rule_count, struct note *note,
                            struct route_table **ret_table)
{
    if (rule_count > ROUTE_RULES_MAX) {
        note_set(note, "%zu hosts and paths; at most %d are possible", rule_count, ROUTE_RULES_MAX);
        return ERR_LIMIT;
    }
    struct route_table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        return ERR_NOMEM;
    }
    arena_init(&table->arena, SIZE_MAX);
    table->wildcard_min = MATCHER_HOST_MAX;
    enum err err = build(table, rules, rule_count, note);
    if (err != OK) {
        route_table_destroy(table);
        return err;
    }
    *ret_table = table;
    return OK;
}

void route_table_destroy(struct route_table *table)
{
    if (table == NULL) {
        return;
    }
    arena_finish(&table->arena);
    free(table);
}
