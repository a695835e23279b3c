#include "canary/alert/channel.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "canary/alert/message.h"
#include "canary/alert/secret.h"
#include "canary/alert/signature.h"
#include "canary/fetch/retry.h"
#include "proxy/base/check.h"
#include "proxy/base/log.h"

enum {
    CHANNEL_TAG = TAG('c', 'h', 'a', 'n'),
    CALL_DEADLINE_MS = 10000,
    ANSWER_MAX = 64 * 1024,
    HEADER_SIZE = 160,
    HEADERS_MAX = 4,
    SHOWN_OUTPUT_MAX = 160,
    MS_US = 1000,
};

static const char *const kind_texts[CHANNEL_KIND_COUNT] = {"alertmanager", "slack", "webhook",
                                                           "exec"};

const char *channel_kind_text(enum channel_kind kind)
{
    CHECK(kind < CHANNEL_KIND_COUNT);
    return kind_texts[kind];
}

static enum channel_kind kind_of(const struct conf_alert *conf)
{
    return conf->has_alertmanager ? CHANNEL_ALERTMANAGER
           : conf->slack.is_on    ? CHANNEL_SLACK
           : conf->webhook.is_on  ? CHANNEL_WEBHOOK
                                  : CHANNEL_EXEC;
}

/* ---- what it is ---- */

static uint64_t mix(uint64_t sum, const char *text)
{
    static const struct hash_key key = {0x7365726e2d616c72u, 0x6368616e6e656c73u};
    char with_sum[CONF_WORD_MAX + 32];
    int size =
        snprintf(with_sum, sizeof with_sum, "%016" PRIx64 "%s", sum, text != NULL ? text : "\n");
    CHECK(size > 0 && (size_t)size < sizeof with_sum);
    return hash_bytes(key, bytes_make(with_sum, (size_t)size));
}

/* Where it leads, not with which secret: a key that is turned makes no other channel. */
void channel_key(const struct conf_alert *conf, char ret_key[CHANNEL_KEY_SIZE])
{
    uint64_t sum = 0;
    const char *places[] = {conf->alertmanager,           conf->slack.url.env,
                            conf->slack.url.file,         conf->webhook.url,
                            conf->webhook.url_secret.env, conf->webhook.url_secret.file};
    for (size_t i = 0; i < COUNT_OF(places); i++) {
        sum = mix(sum, places[i]);
    }
    for (size_t i = 0; i < conf->exec.command_count; i++) {
        sum = mix(sum, conf->exec.command[i]);
    }
    (void)snprintf(ret_key, CHANNEL_KEY_SIZE, "%s:%016" PRIx64, kind_texts[kind_of(conf)], sum);
}

struct settings {
    char *url;
    char *signing_key;
    char **words;
    size_t word_count;
    struct note unusable;
};

static void settings_finish(struct settings *settings)
{
    secret_free(settings->url);
    secret_free(settings->signing_key);
    for (size_t i = 0; i < settings->word_count; i++) {
        free(settings->words[i]);
    }
    free(settings->words);
}

/* A secret that is not there makes the channel unusable, not the configuration wrong. */
static enum err take_secret(const struct conf_secret *conf, char **to, struct note *unusable)
{
    if (conf->env == NULL && conf->file == NULL) {
        return OK;
    }
    enum err err = secret_read(conf, to, unusable);
    return err == ERR_NOMEM ? ERR_NOMEM : OK;
}

static enum err take_text(const char *text, char **to)
{
    *to = strdup(text);
    return *to != NULL ? OK : ERR_NOMEM;
}

/* The address without /api/v2/alerts, and maybe with a slash at its end. */
static enum err take_alertmanager(const char *address, char **to)
{
    static const char path[] = "/api/v2/alerts";
    size_t size = strlen(address);
    while (size > 0 && address[size - 1] == '/') {
        size--;
    }
    *to = malloc(size + sizeof path);
    if (*to == NULL) {
        return ERR_NOMEM;
    }
    memcpy(*to, address, size);
    memcpy(*to + size, path, sizeof path);
    return OK;
}

static enum err take_words(const struct conf_alert_exec *conf, struct settings *settings)
{
    settings->words = calloc(conf->command_count + 1, sizeof *settings->words);
    if (settings->words == NULL) {
        return ERR_NOMEM;
    }
    for (; settings->word_count < conf->command_count; settings->word_count++) {
        enum err err =
            take_text(conf->command[settings->word_count], &settings->words[settings->word_count]);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

static enum err settings_read(const struct conf_alert *conf, struct settings *settings)
{
    const struct conf_alert_webhook *webhook = &conf->webhook;
    enum err err;
    switch (kind_of(conf)) {
    case CHANNEL_ALERTMANAGER:
        return take_alertmanager(conf->alertmanager, &settings->url);
    case CHANNEL_SLACK:
        return take_secret(&conf->slack.url, &settings->url, &settings->unusable);
    case CHANNEL_WEBHOOK:
        err = webhook->has_url
                  ? take_text(webhook->url, &settings->url)
                  : take_secret(&webhook->url_secret, &settings->url, &settings->unusable);
        return err != OK
                   ? err
                   : take_secret(&webhook->secret, &settings->signing_key, &settings->unusable);
    case CHANNEL_EXEC:
        return take_words(&conf->exec, settings);
    case CHANNEL_KIND_COUNT:
        break;
    }
    CHECK(false);
    return ERR_STATE;
}

/* What makes calls is ready for them now: an event must not wait for the disk. */
static enum err prepare_calls(const struct channel *channel, struct note *unusable)
{
    if (channel->kind == CHANNEL_EXEC) {
        return OK;
    }
    enum err err = fetch_prepare(channel->host->fetch, unusable);
    return err == ERR_NOMEM ? ERR_NOMEM : OK;
}

enum err channel_configure(struct channel *channel, const struct conf_alert *conf)
{
    struct settings settings = {0};
    CHECK(kind_of(conf) == channel->kind);
    enum err err = settings_read(conf, &settings);
    if (err == OK) {
        err = prepare_calls(channel, &settings.unusable);
    }
    if (err != OK) {
        settings_finish(&settings);
        return err;
    }
    struct settings old = {
        channel->url, channel->signing_key, channel->words, channel->word_count, {""}};
    channel->url = settings.url;
    channel->signing_key = settings.signing_key;
    channel->words = settings.words;
    channel->word_count = settings.word_count;
    channel->unusable = settings.unusable;
    channel->timeout_ms = conf->exec.timeout_us / MS_US;
    settings_finish(&old);
    return OK;
}

static void channel_destroy(struct channel *channel)
{
    struct settings settings = {
        channel->url, channel->signing_key, channel->words, channel->word_count, {""}};
    settings_finish(&settings);
    outbox_finish(&channel->outbox);
    channel->tag = 0;
    free(channel);
}

enum err channel_create(struct channel_host *host, const struct conf_alert *conf,
                        struct channel **ret_channel)
{
    struct channel *channel = calloc(1, sizeof *channel);
    if (channel == NULL) {
        return ERR_NOMEM;
    }
    channel->tag = CHANNEL_TAG;
    list_init(&channel->link);
    channel->host = host;
    channel->kind = kind_of(conf);
    channel_key(conf, channel->key);
    outbox_init(&channel->outbox);
    enum err err = channel_configure(channel, conf);
    if (err != OK) {
        channel_destroy(channel);
        return err;
    }
    *ret_channel = channel;
    return OK;
}

bool channel_takes(const struct channel *channel, const struct event *event)
{
    return event->state != EVENT_NOTICE || channel->kind != CHANNEL_ALERTMANAGER;
}

/* ---- an attempt ends ---- */

static struct channel *channel_of(void *context)
{
    struct channel *channel = context;
    CHECK(channel->tag == CHANNEL_TAG);
    return channel;
}

static void note_trouble(struct channel *channel, enum alert_result result, const char *why)
{
    bool is_news = !channel->is_failing || strcmp(channel->trouble.text, why) != 0;
    note_set(&channel->trouble, "%s", why);
    if (result == ALERT_REFUSED) {
        log_error("alert channel %s: the receiver does not take the message, it is given up: %s",
                  channel->label, why);
    } else if (is_news) {
        log_warn("alert channel %s: %s; it is tried again", channel->label, why);
    }
    channel->is_failing = true;
}

static void note_success(struct channel *channel)
{
    if (channel->is_failing) {
        log_info("alert channel %s: works again", channel->label);
    }
    channel->is_failing = false;
    channel->trouble.text[0] = '\0';
}

static void finish_closing(struct channel *channel)
{
    struct channel_host *host = channel->host;
    channel_destroy(channel);
    host->on_closed(host->context);
}

static void end_attempt(struct channel *channel, enum alert_result result, uint64_t asked_us,
                        const char *why)
{
    struct channel_host *host = channel->host;
    uint64_t now_us = clock_monotonic_us(host->clock);
    channel->call = NULL;
    channel->command = NULL;
    if (channel->is_closing) {
        outbox_break_off(&channel->outbox);
        finish_closing(channel);
        return;
    }
    bool was_reminder = !channel->outbox.has_head;
    if (result == ALERT_DELIVERED) {
        note_success(channel);
    } else {
        note_trouble(channel, result, why);
    }
    if (result != ALERT_FAILED && (was_reminder || channel->again_us == 0)) {
        channel->again_us = now_us + UINT64_C(1000000) * MESSAGE_AGAIN_S;
    }
    struct event *done = outbox_end(&channel->outbox, result, asked_us, &host->random, now_us);
    host->on_attempt(host->context, channel, done);
}

/* Is it the message that is not wanted, or is the receiver in trouble? Of the latter it may mend.
 */
static bool blames_message(unsigned status)
{
    static const unsigned statuses[] = {400, 413, 414, 415, 422};
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        if (status == statuses[i]) {
            return true;
        }
    }
    return false;
}

/* A 2xx has taken the message, whatever becomes of the rest of the answer. */
static void on_answer(void *context, const struct fetch_answer *answer)
{
    struct channel *channel = channel_of(context);
    struct note why = {""};
    if (answer->status >= 200 && answer->status < 300) {
        end_attempt(channel, ALERT_DELIVERED, 0, "");
    } else if (answer->status == 0) {
        note_set(&why, "%s", answer->error);
        end_attempt(channel, ALERT_FAILED, 0, why.text);
    } else {
        bool is_refused = blames_message(answer->status);
        bool is_redirect = answer->status >= 300 && answer->status < 400;
        note_set(&why, "answered %u%s", answer->status,
                 is_redirect ? ", and redirects are not followed" : "");
        int64_t wall_us = clock_wall_us(channel->host->clock);
        end_attempt(channel, is_refused ? ALERT_REFUSED : ALERT_FAILED,
                    MS_US * fetch_retry_after_ms(answer->retry_after, wall_us), why.text);
    }
}

/* Its first line, without what a terminal would take for more than text. */
static void show_output(struct bytes output, char ret_text[SHOWN_OUTPUT_MAX + 1])
{
    size_t size = 0;
    for (; size < output.size && size < SHOWN_OUTPUT_MAX && output.data[size] != '\n'; size++) {
        char byte = output.data[size];
        ret_text[size] = byte >= ' ' && byte < 0x7f ? byte : '?';
    }
    ret_text[size] = '\0';
}

static void on_command_done(void *context, const struct command_result *result)
{
    struct channel *channel = channel_of(context);
    struct note why = {""};
    char shown[SHOWN_OUTPUT_MAX + 1];
    show_output(result->output, shown);
    const char *colon = shown[0] != '\0' ? ": " : "";
    if (result->err == OK && result->signal == 0 && result->exit_code == 0) {
        end_attempt(channel, ALERT_DELIVERED, 0, "");
        return;
    }
    if (result->err == ERR_IO) {
        note_set(&why, "the command cannot be started: %s", result->why);
    } else if (result->err == ERR_TIMEOUT) {
        note_set(&why, "the command did not end in time and was killed%s%s", colon, shown);
    } else if (result->signal != 0) {
        note_set(&why, "the command was ended by signal %d%s%s", result->signal, colon, shown);
    } else {
        note_set(&why, "the command said %d%s%s", result->exit_code, colon, shown);
    }
    end_attempt(channel, ALERT_FAILED, 0, why.text);
}

/* ---- an attempt begins ---- */

static char *make_body(struct channel *channel, const struct event *event)
{
    const struct channel_host *host = channel->host;
    if (channel->kind == CHANNEL_SLACK) {
        return message_slack(event);
    }
    if (channel->kind != CHANNEL_ALERTMANAGER) {
        return message_json(event, host->origin);
    }
    struct event *events[CHANNEL_ACTIVE_MAX];
    size_t count = 1;
    if (event != NULL) {
        events[0] = (struct event *)(uintptr_t)event;
    } else {
        count = host->active(host->context, events);
    }
    return message_alertmanager(events, count, host->origin, clock_wall_us(host->clock));
}

struct headers {
    char texts[HEADERS_MAX][HEADER_SIZE];
    const char *list[HEADERS_MAX];
    size_t count;
};

static void add_header(struct headers *headers, const char *name, const char *value)
{
    CHECK(headers->count < HEADERS_MAX);
    char *text = headers->texts[headers->count];
    (void)snprintf(text, HEADER_SIZE, "%s: %s", name, value);
    headers->list[headers->count++] = text;
}

static enum err sign(const struct channel *channel, const char *body, struct headers *headers)
{
    char stamp[24];
    char signature[SIGNATURE_SIZE];
    int64_t now_s = clock_wall_us(channel->host->clock) / 1000000;
    enum err err = signature_make(bytes_of(channel->signing_key), now_s, bytes_of(body), signature);
    if (err == OK) {
        (void)snprintf(stamp, sizeof stamp, "%" PRId64, now_s);
        add_header(headers, "Serin-Timestamp", stamp);
        add_header(headers, "Serin-Signature", signature);
    }
    return err;
}

static enum err post(struct channel *channel, const struct event *event, const char *body)
{
    struct headers headers = {.count = 0};
    enum err err = OK;
    add_header(&headers, "Content-Type", "application/json");
    if (channel->kind == CHANNEL_WEBHOOK) {
        char id[EVENT_ID_SIZE];
        event_id(event, id);
        add_header(&headers, "Serin-Event", id);
        err = channel->signing_key != NULL ? sign(channel, body, &headers) : OK;
    }
    struct fetch_request request = {
        .method = "POST",
        .url = channel->url,
        .headers = headers.list,
        .header_count = headers.count,
        .body = bytes_of(body),
        .deadline_ms = CALL_DEADLINE_MS,
        .body_max = ANSWER_MAX,
    };
    return err != OK
               ? err
               : fetch_start(channel->host->fetch, &request, on_answer, channel, &channel->call);
}

static enum err run(struct channel *channel, const char *body)
{
    struct command_request request = {
        .words = (const char *const *)channel->words,
        .word_count = channel->word_count,
        .input = bytes_of(body),
        .deadline_ms = channel->timeout_ms,
    };
    return command_start(channel->host->loop, &request, on_command_done, channel,
                         &channel->command);
}

static void begin_attempt(struct channel *channel, const struct event *event)
{
    outbox_begin(&channel->outbox, event != NULL);
    if (channel->unusable.text[0] != '\0') {
        struct note why = channel->unusable;
        end_attempt(channel, ALERT_FAILED, 0, why.text);
        return;
    }
    char *body = make_body(channel, event);
    enum err err = ERR_NOMEM;
    if (body != NULL) {
        err = channel->kind == CHANNEL_EXEC ? run(channel, body) : post(channel, event, body);
    }
    free(body);
    if (err != OK) {
        const char *why = err == ERR_SYNTAX ? "its URL cannot be used" : err_text(err);
        end_attempt(channel, ALERT_FAILED, 0, why);
    }
}

static bool has_reminders(const struct channel *channel, size_t active_count)
{
    return channel->kind == CHANNEL_ALERTMANAGER && active_count > 0;
}

void channel_look(struct channel *channel, size_t active_count)
{
    uint64_t now_us = clock_monotonic_us(channel->host->clock);
    if (!outbox_is_ready(&channel->outbox, now_us)) {
        return;
    }
    struct event *event = outbox_first(&channel->outbox);
    if (event != NULL || (has_reminders(channel, active_count) && now_us >= channel->again_us)) {
        begin_attempt(channel, event);
    }
}

uint64_t channel_due_us(const struct channel *channel, size_t active_count)
{
    uint64_t ready_us = outbox_ready_us(&channel->outbox);
    if (outbox_first(&channel->outbox) != NULL || ready_us == UINT64_MAX) {
        return ready_us;
    }
    if (!has_reminders(channel, active_count)) {
        return UINT64_MAX;
    }
    return channel->again_us > ready_us ? channel->again_us : ready_us;
}

void channel_close(struct channel *channel)
{
    CHECK(!channel->is_closing);
    channel->is_closing = true;
    if (channel->call != NULL) {
        fetch_cancel(channel->call);
    } else if (channel->command != NULL) {
        command_kill(channel->command);
    } else {
        finish_closing(channel);
    }
}
