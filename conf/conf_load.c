#include "conf/conf_load.h"

#include <stdlib.h>
#include <yaml.h>

#include "conf/conf_check.h"
#include "conf/conf_file.h"
#include "conf/conf_syntax.h"
#include "conf/conf_walk.h"

static struct conf_place place_of_mark(yaml_mark_t mark)
{
    return (struct conf_place){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

static enum err report_parser(const yaml_parser_t *parser, struct bytes text,
                              struct conf_errors *errors)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        return ERR_NOMEM;
    }
    conf_syntax_report(parser, text, errors);
    return ERR_SYNTAX;
}

/* How deep the event leads: +1 into a collection, -1 out of it. */
static int depth_step(yaml_event_type_t type)
{
    bool is_start = type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
    bool is_end = type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
    return is_start - is_end;
}

struct survey {
    int depth;
    size_t event_count;
    size_t document_count;
};

/* false ends the survey: the event is one too many, and `errors` says so. */
static bool survey_event(struct survey *survey, const yaml_event_t *event,
                         struct conf_errors *errors)
{
    struct conf_place place = place_of_mark(event->start_mark);
    survey->depth += depth_step(event->type);
    survey->event_count++;
    if (survey->depth > CONF_DEPTH_MAX) {
        conf_errors_add(errors, place, "nested deeper than %d levels", CONF_DEPTH_MAX);
        return false;
    }
    if (survey->event_count > CONF_NODES_MAX) {
        conf_errors_add(errors, place, "more than %d values", CONF_NODES_MAX);
        return false;
    }
    /* A second document would be read by nobody. */
    survey->document_count += event->type == YAML_DOCUMENT_START_EVENT;
    if (survey->document_count > 1) {
        conf_errors_add(errors, place, "a second YAML document: there may be only one");
        return false;
    }
    return true;
}

/* Looks through the file once without keeping anything. The time of libyaml's scanner grows with
 * size times depth (41 s were seen for 200 000 opening brackets), so depth is bounded here, before
 * a document is built. */
static enum err survey(struct bytes text, struct conf_errors *errors)
{
    yaml_parser_t parser;
    struct survey survey = {0, 0, 0};
    if (!yaml_parser_initialize(&parser)) {
        return ERR_NOMEM;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.size);
    enum err err = OK;
    bool is_over = false;
    while (err == OK && !is_over) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            err = report_parser(&parser, text, errors);
            break;
        }
        is_over = event.type == YAML_STREAM_END_EVENT;
        err = survey_event(&survey, &event, errors) ? OK : ERR_SYNTAX;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return err;
}

static enum err load_document(yaml_document_t *document, const char *name,
                              struct conf_errors *errors, struct conf *conf)
{
    const char *slash = strrchr(name, '/');
    size_t folder_size = slash != NULL ? (size_t)(slash - name) + 1 : 0;
    char *file = arena_alloc(&conf->arena, strlen(name) + 1);
    if (file == NULL) {
        return ERR_NOMEM;
    }
    memcpy(file, name, strlen(name) + 1);
    conf->file = file;
    enum err err = conf_walk(document, bytes_make(name, folder_size), errors, conf);
    return err != OK ? err : conf_check(conf, errors);
}

static enum err parse(const char *name, struct bytes text, struct conf_errors *errors,
                      struct conf *conf)
{
    yaml_parser_t parser;
    yaml_document_t document;
    enum err err = survey(text, errors);
    if (err != OK) {
        return err;
    }
    if (!yaml_parser_initialize(&parser)) {
        return ERR_NOMEM;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.size);
    if (!yaml_parser_load(&parser, &document)) {
        err = report_parser(&parser, text, errors);
        yaml_parser_delete(&parser);
        return err;
    }
    err = load_document(&document, name, errors, conf);
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    return err;
}

/* Names the file for the errors to come. */
static enum err begin(const char *name, struct conf_errors *errors)
{
    conf_errors_finish(errors);
    errors->file = strdup(name);
    return errors->file != NULL ? OK : ERR_NOMEM;
}

static enum err load_text(const char *name, struct bytes text, struct conf_errors *errors,
                          struct conf **ret_conf)
{
    if (text.size > CONF_FILE_MAX) {
        conf_errors_add(errors, (struct conf_place){0, 0}, "is larger than %d KiB",
                        CONF_FILE_MAX >> 10);
        return ERR_LIMIT;
    }
    struct conf *conf = calloc(1, sizeof *conf);
    if (conf == NULL) {
        return ERR_NOMEM;
    }
    arena_init(&conf->arena, CONF_ARENA_MAX);
    enum err err = parse(name, text, errors, conf);
    if (err == OK && !conf_errors_are_none(errors)) {
        err = ERR_SYNTAX;
    }
    conf_errors_sort(errors);
    if (err != OK) {
        conf_destroy(conf);
        return err;
    }
    *ret_conf = conf;
    return OK;
}

static enum err end(enum err err, struct conf_errors *errors)
{
    if (err == ERR_NOMEM) {
        conf_errors_add(errors, (struct conf_place){0, 0}, "%s", err_text(err));
        conf_errors_sort(errors);
    }
    return err;
}

enum err conf_load_memory(const char *name, struct bytes text, struct conf_errors *errors,
                          struct conf **ret_conf)
{
    enum err err = begin(name, errors);
    return end(err != OK ? err : load_text(name, text, errors, ret_conf), errors);
}

enum err conf_load_file(const char *path, struct conf_errors *errors, struct conf **ret_conf)
{
    struct buf text;
    struct note note = {""};
    buf_init(&text, CONF_FILE_MAX);
    enum err err = begin(path, errors);
    if (err == OK) {
        err = conf_file_read(path, &note, &text);
        if (err != OK && err != ERR_NOMEM) {
            /* The path, with which the note begins, is said by the errors themselves. */
            const char *why = note.text + strlen(path) + strlen(": ");
            conf_errors_add(errors, (struct conf_place){0, 0}, "%s",
                            strlen(note.text) > strlen(path) + 2 ? why : note.text);
        }
    }
    if (err == OK) {
        err = load_text(path, buf_bytes(&text), errors, ret_conf);
    }
    buf_finish(&text);
    return end(err, errors);
}
