/* The document is walked twice at once: along the schema, which knows what may stand where, and
 * along the nodes, which know what does. A mistake is noted and the walk goes on beside it, so that
 * one run tells them all; only an exhausted memory or node budget ends it. What is not given is
 * read from the schema's own text, by the same functions. */
#include "conf/conf_walk.h"

#include <stddef.h>
#include <stdio.h>

#include "conf/conf_load.h"
#include "conf/conf_policy.h"
#include "conf/conf_schema.h"
#include "conf/conf_value.h"
#include "conf/conf_version.h"
#include "proxy/base/check.h"

struct loader {
    yaml_document_t *document;  /* borrowed */
    struct conf_errors *errors; /* borrowed */
    struct conf_value_context context;
    size_t visited_count;
    enum err fatal; /* ends the walk: ERR_NOMEM or ERR_LIMIT */
};

/* The keys from the top of the file down to where we are. */
struct path {
    const struct path *above;
    const char *name;
};

enum { PATH_TEXT_SIZE = 128, SHOWN_MAX = 60 };

/* "a.b.c: ", or nothing at the top of the file. Written from its end, since the way leads up. */
static const char *path_text(const struct path *path, char text[PATH_TEXT_SIZE])
{
    size_t start = PATH_TEXT_SIZE - 1;
    text[start] = '\0';
    for (; path != NULL; path = path->above) {
        const char *separator = text[start] == '\0' ? ": " : ".";
        size_t size = strlen(path->name);
        CHECK(size + 2 < start);
        start -= strlen(separator);
        memcpy(text + start, separator, strlen(separator));
        start -= size;
        memcpy(text + start, path->name, size);
    }
    return text + start;
}

static struct conf_place place_of(const yaml_node_t *node)
{
    return (struct conf_place){(unsigned)node->start_mark.line + 1,
                               (unsigned)node->start_mark.column + 1};
}

#define REPORT(loader, node, path, format, ...)                                                    \
    conf_errors_add((loader)->errors, place_of(node), "%s" format,                                 \
                    path_text(path, (char[PATH_TEXT_SIZE]){""}), __VA_ARGS__)

/* The node behind an index, counted: an alias costs as much as what it stands for. NULL ends the
 * walk. */
static yaml_node_t *visit(struct loader *loader, int index, const yaml_node_t *outer)
{
    if (loader->fatal != OK) {
        return NULL;
    }
    if (++loader->visited_count > CONF_NODES_MAX) {
        conf_errors_add(loader->errors, outer != NULL ? place_of(outer) : (struct conf_place){0, 0},
                        "more than %d values, aliases counted each time", CONF_NODES_MAX);
        loader->fatal = ERR_LIMIT;
        return NULL;
    }
    yaml_node_t *node = yaml_document_get_node(loader->document, index);
    CHECK(node != NULL);
    return node;
}

static struct bytes scalar_text(const yaml_node_t *node)
{
    return bytes_make((const char *)node->data.scalar.value, node->data.scalar.length);
}

static bool is_control(char byte)
{
    return (unsigned char)byte < 0x20 || byte == 0x7f;
}

/* Copies what may be shown of a value: no controls, not endless. */
static const char *shown(struct bytes text, char copy[SHOWN_MAX + 4])
{
    size_t size = text.size < SHOWN_MAX ? text.size : SHOWN_MAX;
    for (size_t i = 0; i < size; i++) {
        copy[i] = is_control(text.data[i]) ? '?' : text.data[i];
    }
    memcpy(copy + size, "...", 4);
    if (size == text.size) {
        copy[size] = '\0';
    }
    return copy;
}

/* Somebody may have written the secret itself where its place belongs. */
static bool may_be_secret(const struct conf_key *key, struct bytes text)
{
    return key->type == CONF_TYPE_VARIABLE || key->type == CONF_TYPE_URL ||
           key->type == CONF_TYPE_WORD ||
           (key->type == CONF_TYPE_ENDPOINT && bytes_find(text, '@') < text.size);
}

static void load_scalar(struct loader *loader, const struct conf_key *key, struct bytes text,
                        const yaml_node_t *node, const struct path *path, void *ret_value)
{
    struct note note = {""};
    for (size_t i = 0; i < text.size; i++) {
        if (is_control(text.data[i])) {
            REPORT(loader, node, path, "%s", "holds a control character");
            return;
        }
    }
    enum err err = conf_value_parse(&loader->context, key, text, &note, ret_value);
    if (err == ERR_NOMEM) {
        loader->fatal = ERR_NOMEM;
    } else if (err != OK && may_be_secret(key, text)) {
        REPORT(loader, node, path, "%s", note.text);
    } else if (err != OK) {
        REPORT(loader, node, path, "\"%s\" %s", shown(text, (char[SHOWN_MAX + 4]){""}), note.text);
    }
}

static void set_place(void *object, size_t offset, const yaml_node_t *node)
{
    if (offset > 0 && node != NULL) {
        struct conf_place place = place_of(node);
        memcpy((char *)object + offset, &place, sizeof place);
    }
}

static void set_flag(void *object, size_t offset)
{
    if (offset > 0) {
        bool is_set = true;
        memcpy((char *)object + offset, &is_set, sizeof is_set);
    }
}

static void load_section(struct loader *loader, const struct conf_section *section,
                         const yaml_node_t *node, const struct path *path, void *object);

/* An address or endpoint keeps its own place. */
static void set_value_place(const struct conf_key *key, const yaml_node_t *node, void *value)
{
    switch (key->type) {
    case CONF_TYPE_LISTEN:
    case CONF_TYPE_ADDRESS:
        set_place(value, offsetof(struct conf_address, place), node);
        break;
    case CONF_TYPE_ENDPOINT:
        set_place(value, offsetof(struct conf_endpoint, place), node);
        break;
    default:
        break;
    }
}

/* One value, or one element of a list. */
static void load_value(struct loader *loader, const struct conf_key *key, const yaml_node_t *node,
                       const struct path *path, void *ret_value)
{
    if (key->type == CONF_TYPE_SECTION) {
        load_section(loader, key->section, node, path, ret_value);
        return;
    }
    if (node->type != YAML_SCALAR_NODE) {
        REPORT(loader, node, path, "must be a %s", conf_type_text(key->type));
        return;
    }
    load_scalar(loader, key, scalar_text(node), node, path, ret_value);
    set_value_place(key, node, ret_value);
}

static void set_list(const struct conf_key *key, void *first, size_t count, void *object)
{
    memcpy((char *)object + key->offset, &first, sizeof first);
    memcpy((char *)object + key->count_offset, &count, sizeof count);
}

static void *allocate_list(struct loader *loader, const struct conf_key *key, size_t count,
                           void *object)
{
    void *first = arena_zalloc(loader->context.arena, count * conf_key_size(key));
    if (first == NULL) {
        loader->fatal = ERR_NOMEM;
        return NULL;
    }
    set_list(key, first, count, object);
    return first;
}

static size_t error_count(const struct loader *loader)
{
    return loader->errors->count + loader->errors->omitted_count;
}

static void load_elements(struct loader *loader, const struct conf_key *key,
                          const yaml_node_t *node, const struct path *path, size_t count,
                          void *object)
{
    const yaml_node_item_t *items = node->data.sequence.items.start;
    size_t errors_before = error_count(loader);
    char *values = allocate_list(loader, key, count, object);
    for (size_t i = 0; i < count && values != NULL; i++) {
        const yaml_node_t *item = visit(loader, items[i], node);
        if (item == NULL) {
            return;
        }
        load_value(loader, key, item, path, values + i * conf_key_size(key));
    }
    /* Values that could not be read must not be held against others: that would be a second error
     * for the first. */
    if (key->type != CONF_TYPE_SECTION && error_count(loader) > errors_before) {
        set_list(key, NULL, 0, object);
    }
}

static void load_list(struct loader *loader, const struct conf_key *key, const yaml_node_t *node,
                      const struct path *path, void *object)
{
    if (node->type != YAML_SEQUENCE_NODE) {
        REPORT(loader, node, path, "must be a list of %s values", conf_type_text(key->type));
        return;
    }
    const yaml_node_item_t *items = node->data.sequence.items.start;
    size_t count = (size_t)(node->data.sequence.items.top - items);
    if (count < key->list_min || count > key->list_max) {
        REPORT(loader, node, path, "has %zu values and may have from %zu to %zu", count,
               key->list_min, key->list_max);
        return;
    }
    if (count > 0) {
        load_elements(loader, key, node, path, count, object);
    }
}

static bool is_scalar_word(const yaml_node_t *node, bool (*is_word)(struct bytes text))
{
    return node->type == YAML_SCALAR_NODE && is_word(scalar_text(node));
}

static void load_key(struct loader *loader, const struct conf_key *key, const yaml_node_t *node,
                     const struct path *path, void *object)
{
    char *place = (char *)object + key->offset;
    set_place(object, key->place_offset, node);
    if ((key->flags & CONF_KEY_SINGLE) != 0) {
        void *value = allocate_list(loader, key, 1, object);
        if (value != NULL) {
            load_value(loader, key, node, path, value);
        }
    } else if (key->list_max > 0) {
        bool is_none = (key->flags & CONF_KEY_NONE) != 0 && is_scalar_word(node, conf_word_is_off);
        if (!is_none) {
            load_list(loader, key, node, path, object);
        }
    } else if (key->type == CONF_TYPE_SECTION && (key->flags & CONF_KEY_NONE) != 0 &&
               is_scalar_word(node, conf_word_is_off)) {
        return;
    } else if (key->type == CONF_TYPE_SECTION && (key->flags & CONF_KEY_NONE) != 0 &&
               is_scalar_word(node, conf_word_is_on)) {
        set_flag(object, key->flag_offset);
        load_section(loader, key->section, NULL, path, place);
    } else if ((key->flags & CONF_KEY_SHORT) != 0 && node->type == YAML_SCALAR_NODE) {
        const struct conf_key *first = &key->section->keys[0];
        set_flag(object, key->flag_offset);
        load_section(loader, key->section, NULL, path, place);
        load_value(loader, first, node, path, place + first->offset);
    } else {
        set_flag(object, key->flag_offset);
        load_value(loader, key, node, path, place);
    }
}

/* A default's text may be quoted, since the reference page shows it as one would write it. */
static struct bytes unquoted(struct bytes text)
{
    bool is_quoted = text.size >= 2 && text.data[0] == '"';
    return is_quoted ? bytes_slice(text, 1, text.size - 2) : text;
}

static size_t default_count(struct bytes text)
{
    size_t count = text.size > 0 ? 1 : 0;
    for (size_t i = 0; i < text.size; i++) {
        count += text.data[i] == ',';
    }
    return count;
}

static void load_default_value(struct loader *loader, const struct conf_key *key, struct bytes text,
                               void *ret_value)
{
    struct note note = {""};
    enum err err =
        conf_value_parse(&loader->context, key, unquoted(bytes_trim(text)), &note, ret_value);
    if (err != OK) {
        CHECK(err == ERR_NOMEM);
        loader->fatal = err;
    }
}

static void load_default(struct loader *loader, const struct conf_key *key, const struct path *path,
                         void *object)
{
    char *place = (char *)object + key->offset;
    struct bytes text = bytes_of(key->fallback);
    if (key->fallback == NULL || loader->fatal != OK) {
        return;
    }
    if (key->list_max > 0) {
        size_t count = default_count(text);
        char *values = count > 0 ? allocate_list(loader, key, count, object) : NULL;
        struct bytes element;
        for (size_t i = 0; i < count && values != NULL && bytes_next(&text, ',', &element); i++) {
            load_default_value(loader, key, element, values + i * conf_key_size(key));
        }
    } else if (key->type != CONF_TYPE_SECTION) {
        load_default_value(loader, key, text, place);
    } else if (conf_word_is_on(text)) {
        set_flag(object, key->flag_offset);
        load_section(loader, key->section, NULL, path, place);
    }
}

/* Where a misplaced key would be right: "weight" at the top of the file belongs to a service. */
static const struct conf_section *find_home(const struct conf_section *section, struct bytes name)
{
    for (size_t i = 0; i < section->key_count; i++) {
        const struct conf_section *inner = section->keys[i].section;
        if (inner == NULL) {
            continue;
        }
        const struct conf_section *home =
            conf_section_find(inner, name) != NULL ? inner : find_home(inner, name);
        if (home != NULL) {
            return home;
        }
    }
    return NULL;
}

static void report_unknown(struct loader *loader, const struct conf_section *section,
                           const yaml_node_t *name_node, const struct path *path)
{
    struct bytes name = scalar_text(name_node);
    const char *text = shown(name, (char[SHOWN_MAX + 4]){""});
    const struct conf_key *nearest = conf_section_nearest(section, name);
    const struct conf_section *home = find_home(conf_schema(), name);
    if (bytes_equal(name, BYTES("<<"))) {
        REPORT(loader, name_node, path, "%s", "merge keys (<<) are not supported");
    } else if (nearest != NULL) {
        REPORT(loader, name_node, path, "unknown key \"%s\"; did you mean \"%s\"?", text,
               nearest->name);
    } else if (conf_section_find(conf_schema(), name) != NULL) {
        REPORT(loader, name_node, path,
               "unknown key \"%s\" here; it belongs to the top of the file", text);
    } else if (home != NULL) {
        REPORT(loader, name_node, path, "unknown key \"%s\" here; it belongs to %s", text,
               home->title);
    } else {
        REPORT(loader, name_node, path, "unknown key \"%s\"", text);
    }
}

/* One "key: value" of a mapping. `seen` has a bit for each key of the section. */
static void load_pair(struct loader *loader, const struct conf_section *section,
                      const yaml_node_t *mapping, const yaml_node_pair_t *pair,
                      const struct path *path, uint64_t *seen, void *object)
{
    const yaml_node_t *name_node = visit(loader, pair->key, mapping);
    const yaml_node_t *node = name_node != NULL ? visit(loader, pair->value, mapping) : NULL;
    if (node == NULL) {
        return;
    }
    if (name_node->type != YAML_SCALAR_NODE) {
        REPORT(loader, name_node, path, "%s", "a key must be a plain word");
        return;
    }
    const struct conf_key *key = conf_section_find(section, scalar_text(name_node));
    if (key == NULL) {
        report_unknown(loader, section, name_node, path);
        return;
    }
    struct path here = {path, key->name};
    uint64_t bit = UINT64_C(1) << (key - section->keys);
    if ((*seen & bit) != 0) {
        REPORT(loader, name_node, &here, "%s", "is given twice");
        return;
    }
    *seen |= bit;
    if (key->type == CONF_TYPE_UNBUILT) {
        REPORT(loader, name_node, &here, "%s", "is not built yet: leave it out");
        return;
    }
    load_key(loader, key, node, &here, object);
}

static uint64_t bit_of(const struct conf_section *section, const char *name)
{
    const struct conf_key *key = conf_section_find(section, bytes_of(name));
    CHECK(key != NULL);
    return UINT64_C(1) << (key - section->keys);
}

static void check_either(struct loader *loader, const struct conf_section *section,
                         const yaml_node_t *node, const struct path *path, uint64_t seen)
{
    const char *const *either = section->either;
    if (either[0] == NULL) {
        return;
    }
    bool has_first = (seen & bit_of(section, either[0])) != 0;
    bool has_second = (seen & bit_of(section, either[1])) != 0;
    if (has_first == has_second) {
        REPORT(loader, node, path, "needs exactly one of \"%s\" and \"%s\"", either[0], either[1]);
    }
}

static void load_section(struct loader *loader, const struct conf_section *section,
                         const yaml_node_t *node, const struct path *path, void *object)
{
    uint64_t seen = 0;
    if (node != NULL && node->type != YAML_MAPPING_NODE) {
        REPORT(loader, node, path, "%s", "must be a mapping of keys to values");
        return;
    }
    set_place(object, section->place_offset, node);
    if (node != NULL) {
        const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
        for (; pair < node->data.mapping.pairs.top && loader->fatal == OK; pair++) {
            load_pair(loader, section, node, pair, path, &seen, object);
        }
        check_either(loader, section, node, path, seen);
    }
    for (size_t i = 0; i < section->key_count && loader->fatal == OK; i++) {
        const struct conf_key *key = &section->keys[i];
        struct path here = {path, key->name};
        if ((seen & UINT64_C(1) << i) != 0) {
            continue;
        }
        if ((key->flags & CONF_KEY_REQUIRED) != 0 && node != NULL) {
            REPORT(loader, node, path, "\"%s\" is missing", key->name);
        }
        load_default(loader, key, &here, object);
    }
}

static void derive_deployment(struct loader *loader, struct conf_version *version)
{
    if (conf_version_derive(loader->context.arena, version) != OK) {
        loader->fatal = ERR_NOMEM;
    }
}

static void complete_policies(struct conf_service *service)
{
    struct conf_policy own = conf_policy_own(&service->rollback);
    for (size_t i = 0; i < service->observe_count; i++) {
        conf_policy_complete(&service->observe[i], &own);
    }
}

enum err conf_walk(yaml_document_t *document, struct bytes folder, struct conf_errors *errors,
                   struct conf *conf)
{
    struct loader loader = {.document = document, .errors = errors};
    loader.context = (struct conf_value_context){&conf->arena, folder};
    yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL) {
        conf_errors_add(errors, (struct conf_place){0, 0}, "the file is empty");
        return OK;
    }
    loader.visited_count++;
    load_section(&loader, conf_schema(), root, NULL, conf);
    for (size_t i = 0; i < conf->service_count && loader.fatal == OK; i++) {
        derive_deployment(&loader, &conf->services[i].previous);
        derive_deployment(&loader, &conf->services[i].current);
        complete_policies(&conf->services[i]);
    }
    return loader.fatal;
}
