#include "canary/cli/service.h"

#include "canary/cli/table.h"

static void tell_services(const json_t *services)
{
    size_t index;
    json_t *service;
    struct buf names;
    buf_init(&names, TABLE_TEXT_MAX);
    json_array_foreach(services, index, service)
    {
        const char *name = json_string_value(json_object_get(service, "name"));
        (void)buf_append_byte(&names, ' ');
        (void)table_append_clean(&names, name != NULL ? name : "-");
    }
    struct bytes text = buf_bytes(&names);
    (void)fprintf(stderr, "serin: there are several services, --service says which:%.*s\n",
                  BYTES_ARGS(text));
    buf_finish(&names);
}

int service_find(struct client *client, const char *name, char *ret_name, size_t size)
{
    const char *found = name;
    if (found == NULL) {
        int exit = client_call(client, &(struct client_request){.path = "/api/v1/status"});
        if (exit != CLI_DONE) {
            return exit;
        }
        json_t *services = json_object_get(client_json(client), "services");
        if (json_array_size(services) != 1) {
            tell_services(services);
            return CLI_USAGE;
        }
        found = json_string_value(json_object_get(json_array_get(services, 0), "name"));
    }
    if (found == NULL || !client_escape(found, ret_name, size)) {
        (void)fprintf(stderr, "serin: this is no service's name\n");
        return CLI_USAGE;
    }
    return CLI_DONE;
}
