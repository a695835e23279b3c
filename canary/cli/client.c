#include "canary/cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "canary/cli/table.h"
#include "proxy/base/check.h"

enum {
    BASE_MAX = 512,
    URL_MAX = 4096,
    TOKEN_MAX = 4096,
    ANSWER_MAX = 64 * 1024 * 1024,
    STREAM_DEADLINE_MS = INT32_MAX,
};

struct client {
    uv_loop_t loop;
    struct fetch *fetch;
    char base[BASE_MAX];
    const char *unix_path; /* borrowed from the options; NULL: TCP */
    const char *admin;     /* as the user wrote it */
    const char *ca;        /* borrowed: whom to trust; NULL: the system's authorities */
    const char *cert;      /* borrowed: our own certificate and its key; NULL: none */
    char authorization[TOKEN_MAX + 32];
    uint64_t timeout_ms;
    /* The last answer. */
    struct buf body;
    json_t *json; /* owned */
    char etag[128];
    unsigned status;
    enum err err;
    char error[256];
    bool is_told;
    bool is_stream;
    bool has_closed;
    const struct client_request *request; /* during a call */
};

/* ---- address and token ---- */

enum err client_split_address(const char *text, char *ret_base, size_t base_size,
                              const char **ret_unix_path)
{
    static const char unix_prefix[] = "unix:";
    if (strncmp(text, unix_prefix, sizeof unix_prefix - 1) == 0) {
        const char *path = text + sizeof unix_prefix - 1;
        if (path[0] != '/') {
            return ERR_SYNTAX;
        }
        (void)snprintf(ret_base, base_size, "http://localhost");
        *ret_unix_path = path;
        return OK;
    }
    bool has_scheme = strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
    if (!has_scheme && (strstr(text, "://") != NULL || strchr(text, ':') == NULL)) {
        return ERR_SYNTAX;
    }
    int size = snprintf(ret_base, base_size, "%s%s", has_scheme ? "" : "http://", text);
    if (size < 0 || (size_t)size >= base_size) {
        return ERR_SYNTAX;
    }
    for (size_t end = (size_t)size; end > 0 && ret_base[end - 1] == '/'; end--) {
        ret_base[end - 1] = '\0';
    }
    *ret_unix_path = NULL;
    return strpbrk(ret_base, "?# \r\n") == NULL ? OK : ERR_SYNTAX;
}

enum err client_read_token(const char *path, char *ret_token, size_t size, struct note *note)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        note_set(note, "the token cannot be read from %s: %s", path, strerror(errno));
        return ERR_IO;
    }
    size_t used = fread(ret_token, 1, size - 1, file);
    bool is_broken = ferror(file) != 0;
    (void)fclose(file);
    ret_token[used] = '\0';
    ret_token[strcspn(ret_token, "\r\n")] = '\0';
    if (is_broken || ret_token[0] == '\0') {
        note_set(note, "there is no token in %s", path);
        return ERR_IO;
    }
    return OK;
}

static enum err find_token(struct client *client, const char *file, struct note *note)
{
    char token[TOKEN_MAX] = "";
    const char *environment = getenv("SERIN_TOKEN");
    if (file != NULL) {
        enum err err = client_read_token(file, token, sizeof token, note);
        if (err != OK) {
            return err;
        }
    } else if (environment != NULL) {
        (void)snprintf(token, sizeof token, "%s", environment);
    }
    if (token[0] != '\0') {
        (void)snprintf(client->authorization, sizeof client->authorization,
                       "Authorization: Bearer %s", token);
    }
    return OK;
}

/* An option, or what the environment says; NULL: neither. */
static const char *option_or(const char *option, const char *variable)
{
    const char *value = option != NULL ? option : getenv(variable);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* An authority that was named and has nothing to vouch for is a mistake that would not show. */
static enum err find_trust(struct client *client, const struct cli_options *options,
                           struct note *note)
{
    bool is_named = options->admin_ca != NULL || options->admin_cert != NULL;
    client->ca = option_or(options->admin_ca, "SERIN_ADMIN_CA");
    client->cert = option_or(options->admin_cert, "SERIN_ADMIN_CERT");
    if (is_named && strncmp(client->base, "https://", 8) != 0) {
        note_set(note, "--admin-ca and --admin-cert are for https://, and --admin is %s",
                 options->admin);
        return ERR_SYNTAX;
    }
    return OK;
}

/* ---- life ---- */

enum err client_create(const struct cli_options *options, struct client **ret_client,
                       struct note *note)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return ERR_NOMEM;
    }
    buf_init(&client->body, ANSWER_MAX);
    client->admin = options->admin;
    client->timeout_ms = options->timeout_ms;
    enum err err =
        client_split_address(options->admin, client->base, sizeof client->base, &client->unix_path);
    if (err != OK) {
        note_set(note, "--admin is http://host:port, https://host:port or unix:/path, not %s",
                 options->admin);
    } else {
        err = find_trust(client, options, note);
    }
    if (err == OK) {
        err = find_token(client, options->token_file, note);
    }
    if (err == OK && uv_loop_init(&client->loop) != 0) {
        err = ERR_NOMEM;
    }
    if (err == OK) {
        err = fetch_create(&client->loop, &client->fetch);
        if (err != OK) {
            (void)uv_loop_close(&client->loop);
        }
    }
    if (err != OK) {
        free(client);
        return err;
    }
    err = fetch_prepare(client->fetch, note);
    if (err != OK) {
        client_destroy(client);
        return err;
    }
    *ret_client = client;
    return OK;
}

static void on_closed(void *context)
{
    struct client *client = context;
    client->has_closed = true;
}

void client_destroy(struct client *client)
{
    if (client == NULL) {
        return;
    }
    fetch_close(client->fetch, on_closed, client);
    while (!client->has_closed) {
        (void)uv_run(&client->loop, UV_RUN_ONCE);
    }
    (void)uv_loop_close(&client->loop);
    json_decref(client->json);
    buf_finish(&client->body);
    free(client);
}

/* ---- a call ---- */

static void on_done(void *context, const struct fetch_answer *answer)
{
    struct client *client = context;
    client->is_told = true;
    client->err = answer->err;
    client->status = answer->status;
    (void)snprintf(client->error, sizeof client->error, "%s", answer->error);
    (void)snprintf(client->etag, sizeof client->etag, "%s",
                   answer->etag != NULL ? answer->etag : "");
    buf_clear(&client->body);
    (void)buf_append(&client->body, answer->body);
    json_decref(client->json);
    client->json = json_loadb(answer->body.data != NULL ? answer->body.data : "", answer->body.size,
                              JSON_DECODE_ANY, NULL);
}

static bool on_data(void *context, struct bytes data)
{
    struct client *client = context;
    return client->request->on_data(client->request->context, data);
}

int client_exit_of(unsigned status)
{
    if (status >= 200 && status < 300) {
        return CLI_DONE;
    }
    switch (status) {
    case 401:
    case 403:
        return CLI_DENIED;
    case 404:
    case 409:
    case 412:
    case 422:
        return CLI_REFUSED;
    case 408:
    case 429:
    case 504:
        return CLI_TIMED_OUT;
    default:
        return CLI_FAILED;
    }
}

static void print_clean(const char *text)
{
    struct buf line;
    buf_init(&line, TABLE_TEXT_MAX);
    if (table_append_clean(&line, text) == OK) {
        struct bytes bytes = buf_bytes(&line);
        (void)fprintf(stderr, "%.*s", BYTES_ARGS(bytes));
    }
    buf_finish(&line);
}

static void tell_problem(const struct client *client)
{
    const char *detail = json_string_value(json_object_get(client->json, "detail"));
    const char *title = json_string_value(json_object_get(client->json, "title"));
    if (detail == NULL && title == NULL) {
        (void)fprintf(
            stderr, "serin: %s: %u, an answer that is not Serin's; is it the address of `admin`?\n",
            client->admin, client->status);
        return;
    }
    (void)fprintf(stderr, "serin: %u ", client->status);
    print_clean(title != NULL ? title : "");
    (void)fprintf(stderr, "%s", detail != NULL ? ": " : "");
    print_clean(detail != NULL ? detail : "");
    (void)fprintf(stderr, "\n");
    size_t index;
    json_t *error;
    json_array_foreach(json_object_get(client->json, "errors"), index, error)
    {
        print_clean(json_string_value(error) != NULL ? json_string_value(error) : "");
        (void)fprintf(stderr, "\n");
    }
}

/* Of a unix socket curl says only that port 80 of localhost refused. */
static const char *why_failed(const struct client *client)
{
    if (client->unix_path == NULL || strstr(client->error, "connect to") == NULL) {
        return client->error;
    }
    return access(client->unix_path, R_OK | W_OK) != 0 ? strerror(errno) : "nobody listens there";
}

static int judge_answer(const struct client *client, bool was_silent)
{
    bool is_enough = client->request->on_data != NULL && client->err == ERR_CLOSED;
    if (is_enough) {
        return CLI_DONE;
    }
    if (client->err != OK) {
        if (!was_silent) {
            bool is_default = strcmp(client->admin, CLI_ADMIN_DEFAULT) == 0;
            (void)fprintf(stderr, "serin: %s: %s%s\n", client->admin, why_failed(client),
                          is_default ? "; does Serin run, or listen elsewhere (--admin)?" : "");
        }
        return client->err == ERR_TIMEOUT ? CLI_TIMED_OUT : CLI_FAILED;
    }
    int exit = client_exit_of(client->status);
    bool is_told_as_json = client->request->on_data == NULL && !client->request->is_text;
    if (exit != CLI_DONE) {
        tell_problem(client);
    } else if (is_told_as_json && !json_is_object(client->json)) {
        (void)fprintf(stderr, "serin: %s: an answer that is not Serin's\n", client->admin);
        exit = CLI_FAILED;
    }
    return exit;
}

static enum err start(struct client *client, const struct client_request *request,
                      struct bytes body, fetch_on_done *on_end, void *context)
{
    char url[URL_MAX];
    char if_match[160];
    const char *headers[4];
    size_t count = 0;
    int size = snprintf(url, sizeof url, "%s%s", client->base, request->path);
    if (size < 0 || (size_t)size >= sizeof url) {
        return ERR_LIMIT;
    }
    headers[count++] = "Accept: application/json, application/problem+json, text/event-stream";
    if (client->authorization[0] != '\0') {
        headers[count++] = client->authorization;
    }
    if (body.data != NULL) {
        headers[count++] = "Content-Type: application/json";
    }
    if (request->if_match != NULL && request->if_match[0] != '\0') {
        (void)snprintf(if_match, sizeof if_match, "If-Match: %s", request->if_match);
        headers[count++] = if_match;
    }
    CHECK(count <= COUNT_OF(headers));
    bool is_stream = request->on_data != NULL;
    struct fetch_request call = {
        .method = request->method,
        .url = url,
        .unix_path = client->unix_path,
        .ca = client->ca,
        .certificate = client->cert,
        .headers = headers,
        .header_count = count,
        .body = body,
        .deadline_ms = is_stream ? STREAM_DEADLINE_MS : client->timeout_ms,
        .body_max = ANSWER_MAX,
        .on_data = is_stream ? on_data : NULL,
    };
    return fetch_start(client->fetch, &call, on_end, context, NULL);
}

static enum err start_with_body(struct client *client, const struct client_request *request,
                                fetch_on_done *on_end, void *context)
{
    char *text = request->body != NULL ? json_dumps(request->body, JSON_COMPACT) : NULL;
    bool is_post = request->method != NULL;
    /* A change without a body says so: Content-Length: 0. */
    struct bytes body = text != NULL ? bytes_of(text) : bytes_make(is_post ? "" : NULL, 0);
    enum err err = start(client, request, body, on_end, context);
    free(text);
    return err;
}

enum err client_start(struct client *client, const struct client_request *request,
                      fetch_on_done *on_end, void *context)
{
    CHECK(request->on_data == NULL);
    return start_with_body(client, request, on_end, context);
}

uv_loop_t *client_loop(struct client *client)
{
    return &client->loop;
}

int client_call(struct client *client, const struct client_request *request)
{
    client->request = request;
    client->is_told = false;
    bool was_silent = client_was_silent(client);
    enum err err = start_with_body(client, request, on_done, client);
    if (err != OK) {
        (void)fprintf(stderr, "serin: %s: %s\n", client->admin, err_text(err));
        return CLI_FAILED;
    }
    while (!client->is_told) {
        (void)uv_run(&client->loop, UV_RUN_ONCE);
    }
    int exit = judge_answer(client, was_silent);
    client->request = NULL;
    return exit;
}

bool client_was_silent(const struct client *client)
{
    return client->err != OK;
}

struct bytes client_body(const struct client *client)
{
    return buf_bytes(&client->body);
}

json_t *client_json(const struct client *client)
{
    return client->json;
}

const char *client_etag(const struct client *client)
{
    return client->etag;
}

bool client_escape(const char *text, char *ret_text, size_t size)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~";
    size_t used = 0;
    for (; *text != '\0'; text++) {
        if (used + 4 > size) {
            return false;
        }
        if (strchr(plain, *text) != NULL) {
            ret_text[used++] = *text;
        } else {
            (void)snprintf(ret_text + used, size - used, "%%%02X", (unsigned char)*text);
            used += 3;
        }
    }
    ret_text[used] = '\0';
    return used > 0;
}
