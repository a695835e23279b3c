#include "canary/cli/pages_desk.h"

#include <stdlib.h>

#include "canary/cli/client.h"
#include "canary/cli/github.h"
#include "canary/platform/pages.h"

struct pages_desk {
    uv_loop_t loop;
    struct fetch *fetch;
    struct provider *provider;
    platform_on_done *on_done;
    void *context;
    bool is_told;
    bool has_closed;
};

static const char *or_environment(const char *given, const char *variable)
{
    const char *value = given != NULL ? given : getenv(variable);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

int pages_find_token(const struct cli_options *options, FILE *commands,
                     struct pages_token *ret_token, struct note *note)
{
    const char *file = options->token_file;
    const char *environment = or_environment(NULL, "CLOUDFLARE_API_TOKEN");
    if (file != NULL) {
        if (client_read_token(file, ret_token->text, sizeof ret_token->text, note) != OK) {
            return CLI_DENIED;
        }
        if (commands != NULL) {
            github_mask(commands, ret_token->text);
        }
        return CLI_DONE;
    }
    if (environment == NULL) {
        note_set(note, "there is no token: set CLOUDFLARE_API_TOKEN or --token-file");
        return CLI_DENIED;
    }
    (void)snprintf(ret_token->text, sizeof ret_token->text, "%s", environment);
    return CLI_DONE;
}

/* ---- life ---- */

static void on_closed(void *context)
{
    struct pages_desk *desk = context;
    desk->has_closed = true;
}

static void on_provider_closed(void *context)
{
    struct pages_desk *desk = context;
    fetch_close(desk->fetch, on_closed, desk);
}

void pages_desk_close(struct pages_desk *desk)
{
    if (desk == NULL) {
        return;
    }
    provider_close(desk->provider, on_provider_closed, desk);
    while (!desk->has_closed) {
        (void)uv_run(&desk->loop, UV_RUN_ONCE);
    }
    (void)uv_loop_close(&desk->loop);
    free(desk);
}

static struct pages_desk *create(void)
{
    struct pages_desk *desk = calloc(1, sizeof *desk);
    if (desk == NULL || uv_loop_init(&desk->loop) != 0) {
        free(desk);
        return NULL;
    }
    if (fetch_create(&desk->loop, &desk->fetch) != OK) {
        (void)uv_loop_close(&desk->loop);
        free(desk);
        return NULL;
    }
    return desk;
}

int pages_desk_open(const struct cli_options *options, const struct pages_token *token,
                    struct pages_desk **ret_desk, struct note *note)
{
    struct pages_desk *desk = create();
    if (desk == NULL) {
        note_set(note, "%s", err_text(ERR_NOMEM));
        return CLI_FAILED;
    }
    struct cloudflare_options cloudflare = {
        .loop = &desk->loop,
        .fetch = desk->fetch,
        .base = or_environment(NULL, "CLOUDFLARE_API_BASE_URL"),
        .account = or_environment(options->account, "CLOUDFLARE_ACCOUNT_ID"),
        .token = token->text,
    };
    enum err err = pages_create(&cloudflare, options->project, &desk->provider, note);
    if (err != OK) {
        if (note->text[0] == '\0') {
            note_set(note, "%s", err_text(err));
        }
        pages_desk_close(desk);
        return err == ERR_SYNTAX ? CLI_USAGE : CLI_FAILED;
    }
    *ret_desk = desk;
    return CLI_DONE;
}

/* ---- asking ---- */

static void on_done(void *context, const struct platform_answer *answer)
{
    struct pages_desk *desk = context;
    desk->is_told = true;
    desk->on_done(desk->context, answer);
}

enum err pages_desk_ask(struct pages_desk *desk, const struct platform_ask *ask,
                        platform_on_done *callback, void *context)
{
    desk->on_done = callback;
    desk->context = context;
    desk->is_told = false;
    enum err err = provider_start(desk->provider, ask, on_done, desk, NULL);
    while (err == OK && !desk->is_told) {
        (void)uv_run(&desk->loop, UV_RUN_ONCE);
    }
    return err;
}
