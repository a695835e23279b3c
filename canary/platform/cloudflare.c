#include "canary/platform/cloudflare.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/fetch/retry.h"
#include "proxy/base/check.h"

enum {
    CALL_TAG = TAG('c', 'f', 'c', 'l'),
    URL_SIZE = 1024,
    PATH_SIZE = 384,
    TRIES_MAX = 6,
    PAUSE_MAX_MS = 8000,
    TEXT_SIZE = 400,
};

struct cloudflare_call {
    unsigned tag;
    struct list link;
    struct cloudflare *api;
    uv_timer_t timer;
    struct fetch_call *fetch_call; /* NULL: it waits */
    enum platform_operation operation;
    char path[PATH_SIZE];
    char *body; /* owned; NULL: none */
    size_t body_size;
    size_t body_max;
    uint64_t deadline_us;
    unsigned tries;
    bool is_post;
    bool is_single;
    bool is_cancelled;
    bool is_told;
    uint64_t retry_after_ms;
    enum platform_result last; /* what the latest try came to */
    char text[TEXT_SIZE];      /* and why */
    cloudflare_on_done *on_done;
    void *context;
};

/* ---- where and who ---- */

static bool is_loopback(struct bytes host)
{
    char name[64];
    struct in_addr v4;
    if (host.size >= sizeof name) {
        return false;
    }
    memcpy(name, host.data, host.size);
    name[host.size] = '\0';
    if (inet_pton(AF_INET, name, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return strcmp(name, "[::1]") == 0 || strcmp(name, "localhost") == 0;
}

bool cloudflare_base_is_fit(const char *base)
{
    bool is_plain = strncmp(base, "http://", 7) == 0;
    if (!is_plain && strncmp(base, "https://", 8) != 0) {
        return false;
    }
    struct bytes rest = bytes_of(base + (is_plain ? 7 : 8));
    for (size_t i = 0; i < rest.size; i++) {
        if (rest.data[i] <= ' ' || rest.data[i] > '~' ||
            strchr("@?#\\\"<>", rest.data[i]) != NULL) {
            return false;
        }
    }
    struct bytes host = bytes_slice(rest, 0, bytes_find(rest, '/'));
    bool is_v6 = host.size > 0 && host.data[0] == '[';
    size_t end = is_v6 ? bytes_find(host, ']') + 1 : bytes_find(host, ':');
    if (end > host.size || end == 0) {
        return false;
    }
    return !is_plain || is_loopback(bytes_slice(host, 0, end));
}

static bool is_account(const char *text)
{
    return strlen(text) == CLOUDFLARE_ACCOUNT_SIZE - 1 &&
           strspn(text, "0123456789abcdefABCDEF") == CLOUDFLARE_ACCOUNT_SIZE - 1;
}

static bool is_token(const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~') {
            return false;
        }
    }
    return *text != '\0' && strlen(text) <= CLOUDFLARE_TOKEN_MAX;
}

enum err cloudflare_init(struct cloudflare *api, const struct cloudflare_options *options,
                         struct platform_counts *counts, struct note *note)
{
    const char *base = options->base != NULL ? options->base : CLOUDFLARE_BASE_DEFAULT;
    if (!cloudflare_base_is_fit(base) || strlen(base) >= CLOUDFLARE_BASE_SIZE) {
        note_set(note, "the API's address is https://HOST/PATH (http only to loopback)");
        return ERR_SYNTAX;
    }
    if (options->account == NULL || !is_account(options->account)) {
        note_set(note, "an account is 32 hexadecimal digits");
        return ERR_SYNTAX;
    }
    if (options->token == NULL || !is_token(options->token)) {
        note_set(note, "the API token is missing, or no token");
        return ERR_SYNTAX;
    }
    enum err err = fetch_prepare(options->fetch, note);
    if (err != OK) {
        return err;
    }
    *api = (struct cloudflare){
        .loop = options->loop,
        .fetch = options->fetch,
        .counts = counts,
        .try_ms = options->try_ms != 0 ? options->try_ms : CLOUDFLARE_TRY_MS,
        .pause_ms = options->pause_ms != 0 ? options->pause_ms : CLOUDFLARE_PAUSE_MS,
        .poll_ms = options->poll_ms != 0 ? options->poll_ms : CLOUDFLARE_POLL_MS,
        .trust_ms = options->trust_ms != 0 ? options->trust_ms : CLOUDFLARE_TRUST_MS,
    };
    list_init(&api->calls);
    budget_init(&api->budget, uv_hrtime() / 1000);
    random_init(&api->random, 0);
    (void)snprintf(api->base, sizeof api->base, "%s", base);
    for (size_t end = strlen(api->base); end > 0 && api->base[end - 1] == '/'; end--) {
        api->base[end - 1] = '\0';
    }
    (void)snprintf(api->account, sizeof api->account, "%s", options->account);
    (void)snprintf(api->authorization, sizeof api->authorization, "Authorization: Bearer %s",
                   options->token);
    return OK;
}

/* ---- the end of a call ---- */

static struct cloudflare_call *call_of(void *context)
{
    struct cloudflare_call *call = context;
    CHECK(call->tag == CALL_TAG);
    return call;
}

static void finish_closing(struct cloudflare *api)
{
    if (api->is_closing && list_is_empty(&api->calls) && api->on_closed != NULL) {
        void (*on_closed)(void *) = api->on_closed;
        api->on_closed = NULL;
        on_closed(api->closed_context);
    }
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct cloudflare_call *call = call_of(handle->data);
    struct cloudflare *api = call->api;
    list_remove(&call->link);
    call->tag = 0;
    free(call->body);
    free(call);
    finish_closing(api);
}

/* Tells, and begins to be gone. */
static void call_end(struct cloudflare_call *call, const struct cloudflare_answer *answer)
{
    CHECK(!call->is_told);
    call->is_told = true;
    call->on_done(call->context, answer);
    uv_close((uv_handle_t *)&call->timer, on_timer_closed);
}

static void call_give_up(struct cloudflare_call *call, enum platform_result result,
                         const char *text)
{
    call_end(call, &(struct cloudflare_answer){.result = result,
                                               .may_pass = result != PLATFORM_CANCELLED,
                                               .text = text,
                                               .retry_after_ms = call->retry_after_ms});
}

/* ---- a try ---- */

static void on_timer(uv_timer_t *timer);

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

/* Comes back in `wait_ms`, if that is before the deadline; otherwise ends as the latest try did. */
static void call_wait(struct cloudflare_call *call, uint64_t wait_ms)
{
    if (now_us() + wait_ms * 1000 >= call->deadline_us) {
        bool has_reason = call->text[0] != '\0';
        call_give_up(call, call->last, has_reason ? call->text : "there is no time left");
        return;
    }
    uv_update_time(call->api->loop);
    (void)uv_timer_start(&call->timer, on_timer, wait_ms, 0);
}

static enum platform_result result_of(const struct fetch_answer *answer,
                                      const struct answer *envelope)
{
    if (answer->err != OK) {
        return answer->err == ERR_TIMEOUT ? PLATFORM_TIMED_OUT : PLATFORM_FAILED;
    }
    switch (answer->status) {
    case 401:
    case 403:
        return PLATFORM_DENIED;
    case 408:
    case 504:
        return PLATFORM_TIMED_OUT;
    case 429:
        return PLATFORM_RATE_LIMITED;
    default:
        break;
    }
    if (answer->status >= 200 && answer->status < 300 && envelope != NULL) {
        return envelope->is_success ? PLATFORM_DONE : PLATFORM_REFUSED;
    }
    /* Missing and misshapen credentials have codes of their own, with status 400. */
    bool is_credential = envelope != NULL && (envelope->code == 9106 || envelope->code == 6003 ||
                                              envelope->code == 9109 || envelope->code == 10000);
    if (answer->status == 400 && is_credential) {
        return PLATFORM_DENIED;
    }
    return answer->status >= 400 && answer->status < 500 ? PLATFORM_REFUSED : PLATFORM_FAILED;
}

/* " (cf-ray ID)", or nothing. */
static void describe_ray(const char *ray, char *ret_text, size_t size)
{
    char clean[DEPLOYMENT_WORD_SIZE];
    platform_text_copy(clean, sizeof clean, ray);
    (void)snprintf(ret_text, size, "%s%s%s", clean[0] != '\0' ? " (cf-ray " : "", clean,
                   clean[0] != '\0' ? ")" : "");
}

static void describe(struct cloudflare_call *call, const struct fetch_answer *answer,
                     const struct answer *envelope)
{
    char ray[DEPLOYMENT_WORD_SIZE + 16];
    char why[ANSWER_MESSAGE_SIZE];
    describe_ray(answer->ray, ray, sizeof ray);
    platform_text_copy(why, sizeof why, answer->error);
    if (answer->err != OK) {
        (void)snprintf(call->text, sizeof call->text, "the request failed: %s", why);
    } else if (answer->status >= 300 && answer->status < 400) {
        (void)snprintf(call->text, sizeof call->text,
                       "it answered %u, a redirect, which is not followed%s", answer->status, ray);
    } else if (envelope == NULL) {
        (void)snprintf(call->text, sizeof call->text, "it answered %u without readable JSON%s",
                       answer->status, ray);
    } else {
        (void)snprintf(call->text, sizeof call->text, "it answered %u, code %lld: %s%s",
                       answer->status, (long long)envelope->code, envelope->message, ray);
    }
}

/* What the answer says about all calls. */
static void heed(struct cloudflare_call *call, const struct fetch_answer *answer)
{
    struct cloudflare *api = call->api;
    uint64_t now = now_us();
    budget_note(&api->budget, now, answer->ratelimit);
    uint64_t asked_ms = fetch_retry_after_ms(answer->retry_after, clock_wall_us(clock_system()));
    call->retry_after_ms = asked_ms < CLOUDFLARE_BLOCK_MAX_MS ? asked_ms : CLOUDFLARE_BLOCK_MAX_MS;
    if (answer->status == 429) {
        budget_block(&api->budget, now + call->retry_after_ms * 1000);
    }
}

static void on_fetched(void *context, const struct fetch_answer *fetched)
{
    struct cloudflare_call *call = call_of(context);
    struct answer envelope = {0};
    call->fetch_call = NULL;
    bool is_read = fetched->err == OK && answer_parse(fetched->body, &envelope) == OK;
    enum platform_result result =
        call->is_cancelled ? PLATFORM_CANCELLED : result_of(fetched, is_read ? &envelope : NULL);
    call->api->counts->requests[call->operation][result]++;
    heed(call, fetched);
    describe(call, fetched, is_read ? &envelope : NULL);
    bool is_garbled = fetched->err == OK && fetched->status < 300 && !is_read;
    bool may_pass = is_garbled || fetch_may_pass(fetched->err, fetched->status);
    call->last = result;
    if (may_pass && !call->is_cancelled && !call->is_single && call->tries < TRIES_MAX) {
        uint64_t pause_ms =
            fetch_backoff_ms(call->tries, call->api->pause_ms, PAUSE_MAX_MS, &call->api->random);
        call_wait(call, pause_ms > call->retry_after_ms ? pause_ms : call->retry_after_ms);
    } else {
        call_end(call, &(struct cloudflare_answer){
                           .result = result,
                           .may_pass = may_pass,
                           .answer = is_read ? &envelope : NULL,
                           .text = result == PLATFORM_DONE ? "" : call->text,
                           .retry_after_ms = call->retry_after_ms,
                       });
    }
    answer_finish(&envelope);
}

static enum err send_try(struct cloudflare_call *call, uint64_t left_ms)
{
    struct cloudflare *api = call->api;
    char url[URL_SIZE];
    const char *headers[] = {api->authorization, "Accept: application/json",
                             call->body != NULL ? "Content-Type: application/json"
                                                : "Content-Type:"};
    int size = snprintf(url, sizeof url, "%s/accounts/%s%s", api->base, api->account, call->path);
    if (size < 0 || (size_t)size >= sizeof url) {
        return ERR_LIMIT;
    }
    struct fetch_request request = {
        .method = call->is_post ? "POST" : "GET",
        .url = url,
        .headers = headers,
        .header_count = COUNT_OF(headers),
        .deadline_ms = left_ms < api->try_ms ? left_ms : api->try_ms,
        .body_max = call->body_max,
    };
    if (call->is_post) {
        request.body = bytes_make(call->body != NULL ? call->body : "", call->body_size);
    }
    return fetch_start(api->fetch, &request, on_fetched, call, &call->fetch_call);
}

static void on_timer(uv_timer_t *timer)
{
    struct cloudflare_call *call = call_of(timer->data);
    struct cloudflare *api = call->api;
    uint64_t now = now_us();
    if (call->is_cancelled) {
        call_give_up(call, PLATFORM_CANCELLED, "it was cancelled");
        return;
    }
    uint64_t wait_us = budget_wait_us(&api->budget, now);
    if (wait_us > 0) {
        call->last = PLATFORM_RATE_LIMITED;
        call->retry_after_ms = wait_us / 1000 + 1;
        (void)snprintf(call->text, sizeof call->text,
                       "the API's rate limit is used up for the next %llu s",
                       (unsigned long long)(wait_us / 1000000 + 1));
        call_wait(call, wait_us / 1000 + 1);
        return;
    }
    uint64_t left_ms = call->deadline_us > now ? (call->deadline_us - now) / 1000 : 0;
    if (left_ms == 0) {
        call_give_up(call, PLATFORM_TIMED_OUT, "there is no time left");
        return;
    }
    budget_take(&api->budget, now);
    call->tries++;
    enum err err = send_try(call, left_ms);
    if (err != OK) {
        call_give_up(call, PLATFORM_FAILED, err_text(err));
    }
}

/* ---- its beginning ---- */

static enum err take_body(struct cloudflare_call *call, struct bytes body)
{
    if (body.size == 0) {
        return OK;
    }
    call->body = malloc(body.size);
    if (call->body == NULL) {
        return ERR_NOMEM;
    }
    memcpy(call->body, body.data, body.size);
    call->body_size = body.size;
    return OK;
}

enum err cloudflare_start(struct cloudflare *api, const struct cloudflare_request *request,
                          cloudflare_on_done *on_done, void *context,
                          struct cloudflare_call **ret_call)
{
    if (api->is_closing) {
        return ERR_CLOSED;
    }
    if (strlen(request->path) >= PATH_SIZE) {
        return ERR_LIMIT;
    }
    struct cloudflare_call *call = calloc(1, sizeof *call);
    if (call == NULL || take_body(call, request->body) != OK) {
        free(call);
        return ERR_NOMEM;
    }
    call->tag = CALL_TAG;
    call->api = api;
    call->operation = request->operation;
    (void)snprintf(call->path, sizeof call->path, "%s", request->path);
    call->body_max = request->body_max;
    call->deadline_us = request->deadline_us;
    call->is_post = request->is_post;
    call->is_single = request->is_single;
    call->last = PLATFORM_TIMED_OUT;
    call->on_done = on_done;
    call->context = context;
    CHECK(uv_timer_init(api->loop, &call->timer) == 0);
    call->timer.data = call;
    list_push_back(&api->calls, &call->link);
    uv_update_time(api->loop);
    (void)uv_timer_start(&call->timer, on_timer, request->delay_ms, 0);
    if (ret_call != NULL) {
        *ret_call = call;
    }
    return OK;
}

bool cloudflare_goes_on(struct cloudflare *api, const struct cloudflare_answer *answer,
                        unsigned tries, uint64_t deadline_us, uint64_t *ret_pause_ms)
{
    uint64_t pause_ms = fetch_backoff_ms(tries, api->pause_ms, PAUSE_MAX_MS, &api->random);
    pause_ms = answer->retry_after_ms > pause_ms ? answer->retry_after_ms : pause_ms;
    if (!answer->may_pass || now_us() + pause_ms * 1000 >= deadline_us) {
        return false;
    }
    *ret_pause_ms = pause_ms;
    return true;
}

bool cloudflare_is_fresh(const struct cloudflare *api, uint64_t read_us)
{
    uint64_t now = now_us();
    return now + budget_wait_us(&api->budget, now) <= read_us + api->trust_ms * 1000;
}

void cloudflare_cancel(struct cloudflare_call *call)
{
    if (call->is_told || call->is_cancelled) {
        return;
    }
    call->is_cancelled = true;
    if (call->fetch_call != NULL) {
        fetch_cancel(call->fetch_call);
    } else {
        (void)uv_timer_start(&call->timer, on_timer, 0, 0);
    }
}

void cloudflare_close(struct cloudflare *api, void (*on_closed)(void *context), void *context)
{
    CHECK(!api->is_closing);
    api->is_closing = true;
    api->on_closed = on_closed;
    api->closed_context = context;
    for (struct list *link = api->calls.next; link != &api->calls; link = link->next) {
        cloudflare_cancel(CONTAINER_OF(link, struct cloudflare_call, link));
    }
    finish_closing(api);
}

/* ---- a provider ---- */

struct cloudflare_provider *cloudflare_provider_of(struct provider *provider)
{
    return CONTAINER_OF(provider, struct cloudflare_provider, provider);
}

static void on_api_closed(void *context)
{
    struct cloudflare_provider *one = context;
    void (*on_closed)(void *) = one->on_closed;
    void *closed_context = one->closed_context;
    /* The token does not stay behind in freed memory. */
    explicit_bzero(one->api.authorization, sizeof one->api.authorization);
    free(one);
    if (on_closed != NULL) {
        on_closed(closed_context);
    }
}

void cloudflare_provider_close(struct provider *provider, void (*on_closed)(void *context),
                               void *context)
{
    struct cloudflare_provider *one = cloudflare_provider_of(provider);
    one->on_closed = on_closed;
    one->closed_context = context;
    cloudflare_close(&one->api, on_api_closed, one);
}

enum err cloudflare_provider_create(const struct provider_ops *ops,
                                    const struct cloudflare_options *options, const char *name,
                                    struct provider **ret_provider, struct note *note)
{
    struct cloudflare_provider *one = calloc(1, sizeof *one);
    if (one == NULL) {
        return ERR_NOMEM;
    }
    enum err err = cloudflare_init(&one->api, options, &one->provider.counts, note);
    if (err != OK) {
        free(one);
        return err;
    }
    CHECK(strlen(name) < sizeof one->name);
    one->provider.ops = ops;
    (void)snprintf(one->name, sizeof one->name, "%s", name);
    *ret_provider = &one->provider;
    return OK;
}
