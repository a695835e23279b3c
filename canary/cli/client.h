/* canary/cli/client.h — one call to the admin API, waited for: address, token, answer, exit code.
 */
#pragma once
#include <jansson.h>

#include "canary/cli/options.h"
#include "canary/fetch/fetch.h"
#include "proxy/base/bytes.h"

struct client;

/* Finds address and token. ERR_SYNTAX: the address cannot be read; ERR_IO: the token file cannot,
 * or libcurl cannot be loaded; `note` says why. */
MUST_USE enum err client_create(const struct cli_options *options, struct client **ret_client,
                                struct note *note);
void client_destroy(struct client *client);

struct client_request {
    const char *method; /* NULL: GET */
    const char *path;
    json_t *body;         /* borrowed; NULL: none */
    const char *if_match; /* NULL: none */
    bool is_text;         /* the answer is no JSON */
    /* For event streams: each piece as it comes; false ends. No deadline applies then. */
    bool (*on_data)(void *context, struct bytes data);
    void *context;
};

/* Runs a call to its end. CLI_DONE: a 2xx answer that is a JSON object, or a text where one was
 * asked for: what else answers is no Serin. Everything else has been told on standard error, no
 * answer several times in a row only once. The answer's body is in client_body, as JSON in
 * client_json, until the next call. */
int client_call(struct client *client, const struct client_request *request);
/* Did the last call end without an answer: nobody there, or a deadline? */
bool client_was_silent(const struct client *client);
struct bytes client_body(const struct client *client);
/* Borrowed; NULL when the answer was no JSON: a text, or an error of something in between. */
json_t *client_json(const struct client *client);
/* "" when there was none. */
const char *client_etag(const struct client *client);

/* For verbs that have a loop of their own turns: begins a call without waiting, and without a word
 * on standard error; `on_done` is told how it ended (fetch.h). The loop lives as long as the
 * client, and whoever has handles on it closes them before. */
MUST_USE enum err client_start(struct client *client, const struct client_request *request,
                               fetch_on_done *on_done, void *context);
uv_loop_t *client_loop(struct client *client);

/* The first line of a file, as a token. ERR_IO; `note` says why. */
MUST_USE enum err client_read_token(const char *path, char *ret_token, size_t size,
                                    struct note *note);

/* Escapes one path segment; false when it does not fit. */
bool client_escape(const char *text, char *ret_text, size_t size);

/* Splits "http://host:port", "https://host:port", "unix:/path" or "host:port" into what fetch
 * wants. Pure. */
MUST_USE enum err client_split_address(const char *text, char *ret_base, size_t base_size,
                                       const char **ret_unix_path);
/* What a status means for the exit code. Pure. */
int client_exit_of(unsigned status);
