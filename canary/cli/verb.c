#include "canary/cli/verb.h"

#include "canary/cli/service.h"
#include "canary/cli/table.h"

struct client *verb_open_client(const struct cli_options *options, int *ret_exit)
{
    struct note note = {""};
    struct client *client = NULL;
    enum err err = client_create(options, &client, &note);
    if (err != OK) {
        (void)fprintf(stderr, "serin: %s\n", note.text[0] != '\0' ? note.text : err_text(err));
        *ret_exit = err == ERR_SYNTAX ? CLI_USAGE : CLI_FAILED;
        return NULL;
    }
    return client;
}

int verb_print_answer(const struct client *client, const struct cli_options *options,
                      enum err (*show)(json_t *, struct buf *))
{
    struct bytes body = client_body(client);
    if (options->is_json) {
        (void)printf("%.*s\n", BYTES_ARGS(body));
        return CLI_DONE;
    }
    struct buf text;
    buf_init(&text, TABLE_TEXT_MAX);
    enum err err = show(client_json(client), &text);
    if (err == OK) {
        struct bytes bytes = buf_bytes(&text);
        (void)fwrite(bytes.data, 1, bytes.size, stdout);
    } else {
        (void)fprintf(stderr, "serin: %s\n", err_text(err));
    }
    buf_finish(&text);
    return err == OK ? CLI_DONE : CLI_FAILED;
}

int verb_find_service(struct client *client, const struct cli_options *options,
                      char name[VERB_NAME_SIZE])
{
    return service_find(client, options->service, name, VERB_NAME_SIZE);
}

int verb_change_service(struct client *client, const struct cli_options *options,
                        const char *action, json_t *body)
{
    char name[VERB_NAME_SIZE];
    char path[VERB_PATH_SIZE];
    int exit = verb_find_service(client, options, name);
    if (exit == CLI_DONE) {
        (void)snprintf(path, sizeof path, "/api/v1/services/%s/%s", name, action);
        exit = client_call(client,
                           &(struct client_request){.method = "POST", .path = path, .body = body});
    }
    json_decref(body);
    return exit;
}

enum err verb_show_changed(json_t *service, struct buf *out)
{
    json_t *status = json_pack("{s:[O]}", "services", service);
    enum err err = status != NULL ? show_status(status, out) : ERR_NOMEM;
    json_decref(status);
    return err;
}

int verb_post_and_show(const struct cli_options *options, const char *action, json_t *body,
                       enum err (*show)(json_t *, struct buf *))
{
    int exit = CLI_FAILED;
    struct client *client = verb_open_client(options, &exit);
    if (client == NULL) {
        json_decref(body);
        return exit;
    }
    exit = verb_change_service(client, options, action, body);
    if (exit == CLI_DONE) {
        exit = verb_print_answer(client, options, show);
    }
    client_destroy(client);
    return exit;
}
