/* canary/cli/verbs_incident.c — the report of a rollback on the terminal. */
#include <stdio.h>
#include <string.h>

#include "canary/cli/verb.h"

/* The newest rollback that has one; "" and CLI_FAILED: there is none. */
static int find_newest(struct client *client, char id[VERB_NAME_SIZE])
{
    int exit = client_call(client, &(struct client_request){.path = "/api/v1/rollbacks?limit=50"});
    json_t *rows = json_object_get(client_json(client), "rollbacks");
    id[0] = '\0';
    for (size_t i = 0; exit == CLI_DONE && id[0] == '\0' && i < json_array_size(rows); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(rows, i), "incident"));
        (void)snprintf(id, VERB_NAME_SIZE, "%s", name != NULL ? name : "");
    }
    if (exit == CLI_DONE && id[0] == '\0') {
        (void)fprintf(stderr, "serin: no rollback has an incident report\n");
        exit = CLI_FAILED;
    }
    return exit;
}

int verb_run_incident(const struct cli_options *options)
{
    int exit = CLI_FAILED;
    char id[VERB_NAME_SIZE];
    char name[VERB_NAME_SIZE];
    char path[VERB_PATH_SIZE];
    if (options->is_json && options->is_svg) {
        (void)fprintf(stderr, "serin: only one of --json and --svg\n");
        return CLI_USAGE;
    }
    struct client *client = verb_open_client(options, &exit);
    if (client == NULL) {
        return exit;
    }
    const char *given = options->argument;
    exit = given != NULL ? CLI_DONE : find_newest(client, id);
    if (exit == CLI_DONE && !client_escape(given != NULL ? given : id, name, sizeof name)) {
        (void)fprintf(stderr, "serin: this is no incident's name\n");
        exit = CLI_USAGE;
    }
    if (exit == CLI_DONE) {
        const char *ending = options->is_svg ? "svg" : options->is_json ? "json" : "md";
        (void)snprintf(path, sizeof path, "/api/v1/incidents/%s.%s", name, ending);
        exit = client_call(client,
                           &(struct client_request){.path = path, .is_text = !options->is_json});
    }
    struct bytes body = client_body(client);
    if (exit == CLI_DONE && fwrite(body.data, 1, body.size, stdout) != body.size) {
        (void)fprintf(stderr, "serin: cannot write the report\n");
        exit = CLI_FAILED;
    }
    client_destroy(client);
    return exit;
}
