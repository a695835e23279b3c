#include "canary/replay/replay_verb.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/cli/service.h"
#include "canary/cli/table.h"
#include "canary/policy/policy.h"
#include "canary/replay/recording_read.h"
#include "canary/replay/replay.h"
#include "canary/replay/replay_options.h"
#include "canary/replay/replay_show.h"
#include "conf/conf_load.h"
#include "conf/conf_policy.h"
#include "proxy/base/check.h"

enum {
    CHUNK_SIZE = 64 * 1024,
    PENDING_MAX = 32 * 1024 * 1024, /* of a page that the API gave, and of a line in any case */
    NAMES_MAX = 64 * 1024,
    NAME_SIZE = 512,
    PATH_SIZE = 1024
};

_Static_assert((int)REPLAY_POLICIES_MAX >= (int)RECORDING_POLICIES_MAX + (int)REPLAY_ADHOC_MAX,
               "there is room for all policies");

struct run {
    const struct replay_options *options;
    struct conf *conf; /* owned; NULL: none was named */
    struct arena names;
    struct buf pending; /* a line that is not whole yet */
    struct recording_reader reader;
    struct recording_row row;
    struct replay *replay; /* owned; NULL before the head is read */
};

static void tell(const char *text)
{
    (void)fprintf(stderr, "serin: %s\n", text);
}

/* ---- the policies ---- */

struct choice {
    struct observe_policy list[REPLAY_POLICIES_MAX];
    size_t count;
    struct conf_policy own;
    uint32_t not_found_ppm;
    double shift_s;
};

static bool is_taken(const struct choice *choice, const char *name)
{
    for (size_t i = 0; i < choice->count; i++) {
        if (strcmp(choice->list[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void add_policy(struct choice *choice, const struct conf_policy *conf)
{
    struct observe_policy *policy = &choice->list[choice->count++];
    *policy = policy_of(conf);
    policy_watch_not_found(policy, choice->not_found_ppm);
}

static enum err choose_from_conf(const struct run *run, struct choice *choice, struct note *note)
{
    const char *name = run->reader.head.service;
    const struct conf_service *service = conf_service_find(run->conf, bytes_of(name));
    if (service == NULL) {
        note_set(note, "%s has no service %s, which the recording is of", run->options->config,
                 name);
        return ERR_NOT_FOUND;
    }
    const struct conf_rollback *rollback = &service->rollback;
    choice->own = conf_policy_own(rollback);
    choice->not_found_ppm = service->failures.not_found_ppm;
    choice->shift_s = replay_shift_s(rollback->shift_ppm, rollback->shift_count,
                                     (double)rollback->every_us / 1e6);
    add_policy(choice, &choice->own);
    for (size_t i = 0; i < service->observe_count; i++) {
        add_policy(choice, &service->observe[i]);
    }
    return OK;
}

static void choose_from_head(const struct recording_head *head, struct choice *choice)
{
    choice->own = head->policies[0];
    choice->not_found_ppm = head->not_found_ppm;
    choice->shift_s =
        replay_shift_s(head->shift_ppm, head->shift_count, (double)head->every_ms / 1000.0);
    for (size_t i = 0; i < head->policy_count; i++) {
        add_policy(choice, &head->policies[i]);
    }
}

static enum err add_adhoc(struct run *run, struct choice *choice, struct note *note)
{
    for (size_t i = 0; i < run->options->policy_count; i++) {
        struct conf_policy policy;
        struct note why = {""};
        const char *text = run->options->policies[i];
        enum err err = conf_policy_parse(bytes_of(text), &run->names, &why, &policy);
        if (err == OK && is_taken(choice, policy.name)) {
            note_set(&why, "there is a policy of that name already");
            err = ERR_EXISTS;
        }
        if (err != OK) {
            note_set(note, "--policy %s: %s", text, err == ERR_NOMEM ? err_text(err) : why.text);
            return err;
        }
        conf_policy_complete(&policy, &choice->own);
        add_policy(choice, &policy);
    }
    return OK;
}

static enum err begin(struct run *run, struct note *note)
{
    struct choice choice = {.count = 0};
    const struct recording_head *head = &run->reader.head;
    if (run->options->service != NULL && strcmp(run->options->service, head->service) != 0) {
        note_set(note, "the recording is of %s", head->service);
        return ERR_NOT_FOUND;
    }
    enum err err = OK;
    if (run->conf != NULL) {
        err = choose_from_conf(run, &choice, note);
    } else {
        choose_from_head(head, &choice);
    }
    if (err == OK) {
        err = add_adhoc(run, &choice, note);
    }
    if (err == OK) {
        err = replay_create(choice.list, choice.count, choice.shift_s, &run->replay);
    }
    if (err == OK) {
        replay_name(run->replay, head->current, head->previous);
    }
    return err;
}

/* ---- lines ---- */

static enum err take_line(struct run *run, struct bytes line, struct note *note)
{
    enum recording_kind kind;
    enum err err = recording_read_line(&run->reader, line, &kind, &run->row, note);
    if (err != OK) {
        return err;
    }
    if (kind == RECORDING_HEAD && run->replay == NULL) {
        return begin(run, note);
    }
    if (kind == RECORDING_ROW) {
        err = replay_feed(run->replay, &run->row);
        if (err == ERR_LIMIT) {
            note_set(note, "line %zu: more than %d runs", run->reader.line, REPLAY_RUNS_MAX);
        }
    }
    return err;
}

static enum err take_bytes(struct run *run, struct bytes bytes, struct note *note)
{
    enum err err = buf_append(&run->pending, bytes);
    while (err == OK) {
        struct bytes pending = buf_bytes(&run->pending);
        size_t cut = bytes_find(pending, '\n');
        if (cut == pending.size) {
            break;
        }
        err = take_line(run, bytes_slice(pending, 0, cut), note);
        buf_consume(&run->pending, cut + 1);
    }
    if (err == OK && buf_size(&run->pending) > RECORDING_LINE_MAX) {
        err = take_line(run, buf_bytes(&run->pending), note);
    }
    return err;
}

static enum err take_end(struct run *run, struct note *note)
{
    enum err err = OK;
    if (buf_size(&run->pending) > 0) {
        err = take_line(run, buf_bytes(&run->pending), note);
    }
    if (err == OK) {
        err = recording_read_end(&run->reader, note);
    }
    return err == OK ? replay_end(run->replay) : err;
}

/* ---- where it comes from ---- */

static enum err read_stream(struct run *run, FILE *stream, struct note *note)
{
    char *chunk = malloc(CHUNK_SIZE);
    enum err err = chunk != NULL ? OK : ERR_NOMEM;
    while (err == OK) {
        size_t size = fread(chunk, 1, CHUNK_SIZE, stream);
        if (size == 0) {
            break;
        }
        err = take_bytes(run, bytes_make(chunk, size), note);
    }
    free(chunk);
    if (err == OK && ferror(stream)) {
        note_set(note, "it cannot be read");
        err = ERR_IO;
    }
    return err;
}

static int tell_failure(const struct run *run, enum err err, const struct note *note)
{
    const char *source = run->options->source;
    (void)fprintf(stderr, "serin: %s%s%s\n", source != NULL ? source : "",
                  source != NULL ? ": " : "", note->text[0] != '\0' ? note->text : err_text(err));
    return CLI_FAILED;
}

static int read_source(struct run *run)
{
    const char *source = run->options->source;
    struct note note = {""};
    bool is_input = strcmp(source, "-") == 0;
    FILE *stream = is_input ? stdin : fopen(source, "rb");
    if (stream == NULL) {
        (void)fprintf(stderr, "serin: %s: %s\n", source, strerror(errno));
        return CLI_FAILED;
    }
    enum err err = read_stream(run, stream, &note);
    if (err == OK) {
        err = take_end(run, &note);
    }
    if (!is_input) {
        (void)fclose(stream);
    }
    return err == OK ? CLI_DONE : tell_failure(run, err, &note);
}

static int fetch_pages(struct run *run, struct client *client)
{
    char name[NAME_SIZE];
    char path[PATH_SIZE];
    struct note note = {""};
    int exit = service_find(client, run->options->service, name, sizeof name);
    enum err err = OK;
    bool has_more = exit == CLI_DONE;
    while (has_more && err == OK) {
        (void)snprintf(path, sizeof path, "/api/v1/services/%s/recording?after=%llu", name,
                       (unsigned long long)run->reader.next);
        exit = client_call(client, &(struct client_request){.path = path, .is_text = true});
        if (exit != CLI_DONE) {
            return exit;
        }
        err = take_bytes(run, client_body(client), &note);
        has_more = run->reader.has_more;
    }
    if (err == OK && exit == CLI_DONE) {
        err = take_end(run, &note);
    }
    return err == OK ? exit : tell_failure(run, err, &note);
}

static int fetch_source(struct run *run)
{
    const char *environment = getenv("SERIN_ADMIN");
    bool has_environment = environment != NULL && environment[0] != '\0';
    const char *standard = has_environment ? environment : CLI_ADMIN_DEFAULT;
    struct cli_options options = {
        .admin = run->options->admin != NULL ? run->options->admin : standard,
        .admin_ca = run->options->admin_ca,
        .admin_cert = run->options->admin_cert,
        .token_file = run->options->token_file,
        .timeout_ms = run->options->timeout_ms,
    };
    struct note note = {""};
    struct client *client = NULL;
    enum err err = client_create(&options, &client, &note);
    if (err != OK) {
        tell(note.text[0] != '\0' ? note.text : err_text(err));
        return err == ERR_SYNTAX ? CLI_USAGE : CLI_FAILED;
    }
    int exit = fetch_pages(run, client);
    client_destroy(client);
    return exit;
}

/* ---- the verb ---- */

static int print(const struct run *run)
{
    if (run->options->is_json) {
        json_t *json = replay_to_json(run->replay, &run->reader);
        int written =
            json != NULL ? json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) : -1;
        json_decref(json);
        (void)printf("\n");
        return written == 0 ? CLI_DONE : CLI_FAILED;
    }
    struct buf text;
    buf_init(&text, TABLE_TEXT_MAX);
    enum err err = replay_show(run->replay, &run->reader, &text);
    struct bytes bytes = buf_bytes(&text);
    if (err == OK) {
        (void)fwrite(bytes.data, 1, bytes.size, stdout);
    } else {
        tell(err_text(err));
    }
    buf_finish(&text);
    return err == OK ? CLI_DONE : CLI_FAILED;
}

static int load_conf(struct run *run)
{
    struct conf_errors errors;
    conf_errors_init(&errors);
    enum err err = conf_load_file(run->options->config, &errors, &run->conf);
    if (err != OK) {
        conf_errors_print(&errors, stderr);
    }
    conf_errors_finish(&errors);
    return err == OK ? CLI_DONE : CLI_FAILED;
}

static int replay_all(const struct replay_options *options)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        tell(err_text(ERR_NOMEM));
        return CLI_FAILED;
    }
    run->options = options;
    arena_init(&run->names, NAMES_MAX);
    buf_init(&run->pending, PENDING_MAX);
    recording_reader_init(&run->reader);
    int exit = options->config != NULL ? load_conf(run) : CLI_DONE;
    if (exit == CLI_DONE) {
        exit = options->source != NULL ? read_source(run) : fetch_source(run);
    }
    if (exit == CLI_DONE) {
        exit = print(run);
    }
    replay_destroy(run->replay);
    buf_finish(&run->pending);
    arena_finish(&run->names);
    conf_destroy(run->conf);
    free(run);
    return exit;
}

int replay_run(int argc, char **argv)
{
    struct replay_options options;
    struct note note = {""};
    if (replay_options_parse(argc, argv, &options, &note) != OK) {
        (void)fprintf(stderr, "serin: %s\nserin replay --help says what there is.\n", note.text);
        return CLI_USAGE;
    }
    if (options.is_help) {
        (void)fputs(REPLAY_USAGE, stdout);
        return CLI_DONE;
    }
    return replay_all(&options);
}
