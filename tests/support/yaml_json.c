/* tests/support/yaml_json.c — a YAML file as JSON on standard output, for plays that have no YAML
 * of their own. Every scalar is a string; exit code 1 with a line about what is wrong. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

static json_t *node_to_json(yaml_document_t *document, int index)
{
    const yaml_node_t *node = yaml_document_get_node(document, index);
    json_t *json = NULL;
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return json_stringn((const char *)node->data.scalar.value, node->data.scalar.length);
    case YAML_SEQUENCE_NODE:
        json = json_array();
        for (yaml_node_item_t *item = node->data.sequence.items.start;
             item < node->data.sequence.items.top; item++) {
            (void)json_array_append_new(json, node_to_json(document, *item));
        }
        return json;
    case YAML_MAPPING_NODE:
        json = json_object();
        for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
             pair < node->data.mapping.pairs.top; pair++) {
            const yaml_node_t *key = yaml_document_get_node(document, pair->key);
            const char *name = (const char *)key->data.scalar.value;
            if (json_object_get(json, name) != NULL) {
                (void)fprintf(stderr, "line %zu: %s stands here twice\n", key->start_mark.line + 1,
                              name);
                exit(1);
            }
            (void)json_object_set_new(json, name, node_to_json(document, pair->value));
        }
        return json;
    case YAML_NO_NODE:
        break;
    }
    return json_null();
}

int main(int argc, char **argv)
{
    yaml_parser_t parser;
    yaml_document_t document;
    FILE *file = argc == 2 ? fopen(argv[1], "re") : NULL;
    if (file == NULL || yaml_parser_initialize(&parser) == 0) {
        (void)fprintf(stderr, "usage: yaml_json FILE\n");
        return 2;
    }
    yaml_parser_set_input_file(&parser, file);
    json_t *json = NULL;
    if (yaml_parser_load(&parser, &document) == 0) {
        (void)fprintf(stderr, "line %zu: %s\n", parser.problem_mark.line + 1, parser.problem);
    } else {
        json = yaml_document_get_root_node(&document) != NULL ? node_to_json(&document, 1) : NULL;
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    (void)fclose(file);
    bool is_told = json != NULL && json_dumpf(json, stdout, JSON_INDENT(1)) == 0;
    json_decref(json);
    return is_told ? 0 : 1;
}
