/* `serin top`: looks at the API once a second, shows it, and does what the keys say.
 *
 * A look is a chain of calls (status, then the chosen service, now and then the rollbacks), each
 * begun by the answer of the one before; a look that fails is tried again at the next second. So a
 * Serin that is gone, hangs or is another process now is only an age that grows. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "canary/cli/keys.h"
#include "canary/cli/table.h"
#include "canary/cli/terminal.h"
#include "canary/cli/top_view.h"
#include "canary/cli/verb.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"

enum {
    LOOK_EVERY_MS = 1000,
    LOOK_DEADLINE_MS = 5000, /* of each call, unless --timeout says otherwise */
    STALE_AFTER_US = 3 * 1000 * 1000,
    MESSAGE_US = 20 * 1000 * 1000,
    ESCAPE_MS = 100, /* the rest of a key's sequence comes within, also over a slow line */
    ROLLBACKS_EVERY = 5,
    ROLLBACKS_SHOWN = 5,
    TEXT_SIZE = 512,
    OUT_MAX = 8 * 1024 * 1024,
    INPUT_SIZE = 256,
    ETAG_SIZE = 32,
    PLAIN_COLUMNS = 120,
    ROWS_DEFAULT = 24,
    COLUMNS_DEFAULT = 80,
};

static const int SIGNALS[] = {SIGWINCH, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

struct top {
    const struct cli_options *options;
    struct client *client;
    uv_timer_t tick;
    uv_timer_t escape; /* runs while a key may still go on */
    uv_poll_t input;
    uv_signal_t signals[COUNT_OF(SIGNALS)];
    size_t open_count; /* handles that are not closed */
    /* what was seen */
    json_t *status;    /* owned; NULL: nothing yet */
    json_t *detail;    /* owned; of the chosen service, or NULL */
    json_t *rollbacks; /* owned; or NULL */
    struct top_rates rates;
    uint64_t seen_us;
    uint64_t begun_us;
    unsigned look_count; /* that succeeded */
    unsigned chain_count;
    json_int_t revisions; /* of all services, summed up: did anything change? */
    bool is_looking;
    bool has_failed; /* the last look; why is in: */
    char trouble[TEXT_SIZE];
    /* what is done with it */
    struct top_dialog dialog;
    struct keys keys;
    size_t chosen;
    char chosen_name[TOP_NAME_SIZE];
    bool is_ordering;
    enum top_action ordered;
    char message[TEXT_SIZE];
    bool is_message_bad;
    uint64_t message_us;
    /* how it is shown */
    bool is_live; /* has the screen */
    bool has_keys;
    bool is_colour;
    bool is_unicode;
    struct buf frame;
    struct buf out;
    /* how it ends */
    bool is_ending;
    int exit;
    int signal; /* that ended it, or 0 */
};

static uint64_t now_us(void)
{
    return clock_monotonic_us(clock_system());
}

static void end(struct top *top, int exit)
{
    if (!top->is_ending) {
        top->is_ending = true;
        top->exit = exit;
    }
}

/* ---- showing ---- */

static struct sheet_look look_of(const struct top *top)
{
    struct sheet_look look = {.columns = top->is_live ? COLUMNS_DEFAULT : PLAIN_COLUMNS,
                              .rows = ROWS_DEFAULT,
                              .is_colour = top->is_colour,
                              .is_unicode = top->is_unicode};
    (void)terminal_size(&look.columns, &look.rows);
    if (!top->is_live && look.columns < TOP_COLUMNS_MIN) {
        look.columns = PLAIN_COLUMNS;
    }
    return look;
}

/* Line by line over what stands there, so that nothing flickers; the last line has no end, which
 * would scroll. */
static void compose(struct top *top, unsigned rows)
{
    struct bytes rest = buf_bytes(&top->frame);
    struct bytes line;
    unsigned count = 0;
    (void)buf_append(&top->out, BYTES("\033[H"));
    while (rest.size > 0 && bytes_next(&rest, '\n', &line)) {
        (void)buf_append(&top->out, count == 0 ? BYTES("\033[2K") : BYTES("\r\n\033[2K"));
        (void)buf_append(&top->out, line);
        count++;
    }
    if (count < rows) {
        (void)buf_append(&top->out, BYTES("\r\n\033[J"));
    }
}

static void draw(struct top *top)
{
    char wall[CLOCK_TEXT_SIZE];
    char at[TEXT_SIZE];
    uint64_t now = now_us();
    clock_format(clock_wall_us(clock_system()), wall);
    (void)snprintf(at, sizeof at, "%.8s UTC", wall + sizeof "2026-11-23T" - 1);
    double age_s = (double)(now - (top->status != NULL ? top->seen_us : top->begun_us)) / 1e6;
    bool has_message = top->message[0] != '\0' && now < top->message_us + MESSAGE_US;
    struct top_scene scene = {
        .admin = top->options->admin,
        .clock = at,
        .status = top->status,
        .detail = top->detail,
        .rollbacks = top->rollbacks,
        .rates = &top->rates,
        .dialog = &top->dialog,
        .chosen = top->chosen,
        .age_s = age_s,
        .trouble = top->trouble[0] != '\0' ? top->trouble : NULL,
        .message = has_message ? top->message : NULL,
        .is_message_bad = top->is_message_bad,
        .is_stale = top->has_failed || age_s * 1e6 > STALE_AFTER_US,
        .has_keys = top->has_keys,
        .is_plain = !top->is_live,
    };
    struct sheet_look look = look_of(top);
    buf_clear(&top->frame);
    top_view_frame(&scene, &look, &top->frame);
    if (top->is_live) {
        compose(top, look.rows);
    } else {
        (void)buf_append(&top->out, buf_bytes(&top->frame));
    }
    if (!terminal_write(buf_bytes(&top->out))) {
        end(top, CLI_DONE);
    }
    buf_clear(&top->out);
}

/* A screen follows everything; text has a frame for each look. */
static void draw_if_live(struct top *top)
{
    if (top->is_live) {
        draw(top);
    }
}

static void tell(struct top *top, bool is_bad, const char *format, ...) PRINTF_LIKE(3, 4);

static void tell(struct top *top, bool is_bad, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(top->message, sizeof top->message, format, arguments);
    va_end(arguments);
    top->is_message_bad = is_bad;
    top->message_us = now_us();
}

/* ---- answers ---- */

/* Why a call failed, in a line. */
static void say_failure(const struct top *top, const struct fetch_answer *answer,
                        const json_t *document, char text[TEXT_SIZE])
{
    const char *title = json_string_value(json_object_get(document, "title"));
    const char *detail = json_string_value(json_object_get(document, "detail"));
    if (answer->err != OK) {
        (void)snprintf(text, TEXT_SIZE, "%s: %s", top->options->admin,
                       answer->error[0] != '\0' ? answer->error : err_text(answer->err));
    } else if (client_exit_of(answer->status) == CLI_DONE) {
        (void)snprintf(text, TEXT_SIZE, "%s: an answer that is not Serin's", top->options->admin);
    } else {
        (void)snprintf(text, TEXT_SIZE, "answered %u %s%s%s", answer->status,
                       title != NULL ? title : "", detail != NULL ? ": " : "",
                       detail != NULL ? detail : "");
    }
}

/* The document of a 2xx answer, owned by the caller; NULL: `text` says why. */
static json_t *take_answer(const struct top *top, const struct fetch_answer *answer,
                           char text[TEXT_SIZE])
{
    json_t *document =
        answer->body.size > 0 ? json_loadb(answer->body.data, answer->body.size, 0, NULL) : NULL;
    bool is_good = answer->err == OK && client_exit_of(answer->status) == CLI_DONE;
    if (is_good && json_is_object(document)) {
        return document;
    }
    say_failure(top, answer, document, text);
    json_decref(document);
    return NULL;
}

/* ---- a look ---- */

/* One frame is worth it only with rates, which need two looks. */
static void look_end(struct top *top)
{
    enum { LOOKS_FOR_RATES = 2 };
    top->is_looking = false;
    bool is_worth_it = top->is_live || top->has_failed || top->look_count >= LOOKS_FOR_RATES;
    if (is_worth_it) {
        draw(top);
    }
    if (is_worth_it && top->options->is_once) {
        end(top, CLI_DONE);
    }
}

/* Told where it can be seen: in the frame, or, when that is all there will be, as other verbs do.
 */
static void look_fail(struct top *top, const struct fetch_answer *answer, const char *why)
{
    int exit = answer->err == ERR_TIMEOUT ? CLI_TIMED_OUT
               : answer->err != OK        ? CLI_FAILED
                                          : client_exit_of(answer->status);
    bool is_hopeless = exit == CLI_DENIED && top->status == NULL;
    (void)snprintf(top->trouble, sizeof top->trouble, "%s", why);
    top->has_failed = true;
    if (top->options->is_once || is_hopeless) {
        end(top, exit == CLI_DONE ? CLI_FAILED : exit);
        return;
    }
    look_end(top);
}

static void start_call(struct top *top, const char *path, fetch_on_done *on_answer)
{
    struct client_request request = {.path = path};
    enum err err = client_start(top->client, &request, on_answer, top);
    if (err != OK) {
        (void)snprintf(top->trouble, sizeof top->trouble, "%s", err_text(err));
        top->has_failed = true;
        look_end(top);
    }
}

static void on_rollbacks(void *context, const struct fetch_answer *answer)
{
    struct top *top = context;
    char why[TEXT_SIZE];
    if (top->is_ending) {
        return;
    }
    json_t *document = take_answer(top, answer, why);
    if (document != NULL) {
        json_decref(top->rollbacks);
        top->rollbacks = document;
    }
    look_end(top);
}

static json_int_t sum_revisions(const json_t *status)
{
    json_int_t sum = 0;
    size_t index;
    json_t *service;
    json_array_foreach(json_object_get(status, "services"), index, service)
    {
        sum = (json_int_t)((uint64_t)sum +
                           (uint64_t)json_integer_value(json_object_get(service, "revision")));
    }
    return sum;
}

/* Those are read from a file there: not each second, unless something happened. */
static void look_at_rollbacks(struct top *top)
{
    json_int_t revisions = sum_revisions(top->status);
    bool is_due = revisions != top->revisions || top->chain_count % ROLLBACKS_EVERY == 1;
    top->revisions = revisions;
    char path[VERB_PATH_SIZE];
    char name[VERB_NAME_SIZE] = "";
    bool is_one =
        top->options->service != NULL && client_escape(top->options->service, name, sizeof name);
    if (!is_due && top->rollbacks != NULL) {
        look_end(top);
        return;
    }
    (void)snprintf(path, sizeof path, "/api/v1/rollbacks?limit=%d%s%s", ROLLBACKS_SHOWN,
                   is_one ? "&service=" : "", name);
    start_call(top, path, on_rollbacks);
}

static void look_begin(struct top *top);

static const char *name_at(const struct top *top, size_t index)
{
    const json_t *services = json_object_get(top->status, "services");
    return json_string_value(json_object_get(json_array_get(services, index), "name"));
}

static void on_detail(void *context, const struct fetch_answer *answer)
{
    struct top *top = context;
    char why[TEXT_SIZE];
    if (top->is_ending) {
        return;
    }
    json_decref(top->detail);
    top->detail = take_answer(top, answer, why);
    const char *name = json_string_value(json_object_get(top->detail, "name"));
    const char *chosen = name_at(top, top->chosen);
    if (name == NULL || chosen == NULL || strcmp(name, chosen) != 0) {
        json_decref(top->detail);
        top->detail = NULL;
    }
    look_at_rollbacks(top);
}

/* The chosen service by its name: others may come and go. */
static void choose_again(struct top *top)
{
    size_t count = json_array_size(json_object_get(top->status, "services"));
    for (size_t i = 0; i < count; i++) {
        const char *name = name_at(top, i);
        if (name != NULL && strcmp(name, top->chosen_name) == 0) {
            top->chosen = i;
            return;
        }
    }
    top->chosen = top->chosen < count ? top->chosen : 0;
}

static void choose(struct top *top, size_t index)
{
    const char *name = name_at(top, index);
    top->chosen = index;
    (void)snprintf(top->chosen_name, sizeof top->chosen_name, "%s", name != NULL ? name : "");
    json_decref(top->detail);
    top->detail = NULL;
    look_begin(top);
}

/* With --service the others are not there. */
static void keep_one(json_t *status, const char *service)
{
    json_t *services = json_object_get(status, "services");
    for (size_t i = json_array_size(services); i-- > 0;) {
        const char *name = json_string_value(json_object_get(json_array_get(services, i), "name"));
        if (name == NULL || strcmp(name, service) != 0) {
            (void)json_array_remove(services, i);
        }
    }
}

static void look_at_chosen(struct top *top)
{
    char name[VERB_NAME_SIZE];
    char path[VERB_PATH_SIZE];
    const char *text = name_at(top, top->chosen);
    if (text == NULL || !client_escape(text, name, sizeof name)) {
        json_decref(top->detail);
        top->detail = NULL;
        look_at_rollbacks(top);
        return;
    }
    (void)snprintf(path, sizeof path, "/api/v1/services/%s", name);
    start_call(top, path, on_detail);
}

static void on_status(void *context, const struct fetch_answer *answer)
{
    struct top *top = context;
    char why[TEXT_SIZE];
    if (top->is_ending) {
        return;
    }
    json_t *document = take_answer(top, answer, why);
    if (document == NULL) {
        look_fail(top, answer, why);
        return;
    }
    const char *service = top->options->service;
    if (service != NULL) {
        keep_one(document, service);
    }
    json_decref(top->status);
    top->status = document;
    top->seen_us = now_us();
    top->trouble[0] = '\0';
    top->has_failed = false;
    top->look_count++;
    if (top_rates_add(&top->rates, document, top->seen_us) != OK) {
        (void)snprintf(top->trouble, sizeof top->trouble, "%s", err_text(ERR_NOMEM));
    }
    if (service != NULL && name_at(top, 0) == NULL) {
        (void)snprintf(top->trouble, sizeof top->trouble, "there is no service %s", service);
        if (top->options->is_once) {
            end(top, CLI_REFUSED);
            return;
        }
    }
    choose_again(top);
    look_at_chosen(top);
}

static void look_begin(struct top *top)
{
    if (top->is_looking) {
        return;
    }
    top->is_looking = true;
    top->chain_count++;
    start_call(top, "/api/v1/status", on_status);
}

/* ---- orders ---- */

static void on_ordered(void *context, const struct fetch_answer *answer)
{
    struct top *top = context;
    char why[TEXT_SIZE];
    if (top->is_ending) {
        return;
    }
    top->is_ordering = false;
    json_t *document = take_answer(top, answer, why);
    const char *action = top_action_text(top->ordered);
    if (document != NULL) {
        tell(top, false, "%s: %s", action, top->ordered == TOP_ROLL_BACK ? "begun" : "done");
    } else {
        tell(top, true, "%s: %s", action, why);
    }
    json_decref(document);
    draw_if_live(top);
    look_begin(top);
}

/* Towards risk only what was seen is changed: If-Match. A rollback waits for no such thing. */
static void give_order(struct top *top)
{
    const struct top_dialog *dialog = &top->dialog;
    char name[VERB_NAME_SIZE];
    char path[VERB_PATH_SIZE];
    char etag[ETAG_SIZE];
    bool is_rollback = dialog->action == TOP_ROLL_BACK;
    bool is_risky = dialog->action == TOP_PROMOTE || dialog->action == TOP_RESUME;
    json_t *body = is_rollback ? json_pack("{s:s}", "reason", dialog->reason) : NULL;
    if (top->is_ordering || (is_rollback && body == NULL) ||
        !client_escape(dialog->service, name, sizeof name)) {
        tell(top, true, "%s: %s", top_action_text(dialog->action),
             top->is_ordering ? "the order before it is not answered yet"
                              : "the reason is not UTF-8");
        json_decref(body);
        return;
    }
    (void)snprintf(path, sizeof path, "/api/v1/services/%s/%s", name,
                   top_action_path(dialog->action));
    (void)snprintf(etag, sizeof etag, "\"%lld\"", (long long)dialog->revision);
    struct client_request request = {
        .method = "POST", .path = path, .body = body, .if_match = is_risky ? etag : NULL};
    enum err err = client_start(top->client, &request, on_ordered, top);
    json_decref(body);
    top->is_ordering = err == OK;
    top->ordered = dialog->action;
    tell(top, err != OK, "%s: %s", top_action_text(dialog->action),
         err == OK ? "asked for" : err_text(err));
}

/* ---- keys ---- */

static struct top_subject subject_of(const struct top *top)
{
    const json_t *services = json_object_get(top->status, "services");
    const json_t *one = json_array_get(services, top->chosen);
    const json_t *set = json_object_get(json_object_get(one, "weight"), "set");
    return (struct top_subject){
        .service = name_at(top, top->chosen),
        .canary = json_string_value(json_object_get(json_object_get(one, "current"), "deployment")),
        .stable =
            json_string_value(json_object_get(json_object_get(one, "previous"), "deployment")),
        .weight_percent = json_number_value(set),
        .revision = json_integer_value(json_object_get(one, "revision")),
    };
}

static void clear_screen(struct top *top)
{
    (void)buf_append(&top->out, BYTES("\033[2J"));
}

static void on_key(struct top *top, struct key key)
{
    struct top_subject subject = subject_of(top);
    size_t count = json_array_size(json_object_get(top->status, "services"));
    switch (top_dialog_key(&top->dialog, key, &subject)) {
    case TOP_NOTHING:
        break;
    case TOP_QUIT:
        end(top, CLI_DONE);
        break;
    case TOP_REDRAW:
        clear_screen(top);
        break;
    case TOP_ABOVE:
        choose(top, top->chosen > 0 ? top->chosen - 1 : 0);
        break;
    case TOP_BELOW:
        choose(top, top->chosen + 1 < count ? top->chosen + 1 : top->chosen);
        break;
    case TOP_ORDER:
        give_order(top);
        break;
    }
}

static void on_escape(uv_timer_t *timer)
{
    struct top *top = timer->data;
    struct key key;
    if (keys_expire(&top->keys, &key)) {
        on_key(top, key);
        draw(top);
    }
}

static void on_input(uv_poll_t *poll_handle, int status, int events)
{
    struct top *top = poll_handle->data;
    char bytes[INPUT_SIZE];
    (void)events;
    ssize_t size = status == 0 ? read(STDIN_FILENO, bytes, sizeof bytes) : 0;
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        end(top, CLI_DONE);
        return;
    }
    for (ssize_t i = 0; i < size && !top->is_ending; i++) {
        struct key key;
        if (keys_take(&top->keys, bytes[i], &key)) {
            on_key(top, key);
        }
    }
    if (keys_is_waiting(&top->keys)) {
        (void)uv_timer_start(&top->escape, on_escape, ESCAPE_MS, 0);
    } else {
        (void)uv_timer_stop(&top->escape);
    }
    if (!top->is_ending) {
        draw(top);
    }
}

/* ---- time and signals ---- */

static void on_tick(uv_timer_t *timer)
{
    struct top *top = timer->data;
    draw_if_live(top);
    if (!top->is_ending) {
        look_begin(top);
    }
}

static void suspend(struct top *top)
{
    terminal_leave();
    (void)raise(SIGSTOP);
    top->has_keys = terminal_enter();
    draw(top);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct top *top = handle->data;
    if (top->is_ending) {
        return;
    }
    if (number == SIGTSTP) {
        suspend(top);
    } else if (number == SIGWINCH) {
        clear_screen(top);
        draw(top);
    } else {
        top->signal = number == SIGINT ? 0 : number;
        end(top, CLI_DONE);
    }
}

/* ---- life ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct top *top = handle->data;
    top->open_count--;
}

static void open_handle(struct top *top, uv_handle_t *handle)
{
    handle->data = top;
    top->open_count++;
}

static void take_screen(struct top *top, uv_loop_t *loop)
{
    top->has_keys = terminal_enter();
    for (size_t i = 0; i < COUNT_OF(SIGNALS); i++) {
        if (uv_signal_init(loop, &top->signals[i]) == 0) {
            open_handle(top, (uv_handle_t *)&top->signals[i]);
            (void)uv_signal_start(&top->signals[i], on_signal, SIGNALS[i]);
        }
    }
    if (top->has_keys && uv_poll_init(loop, &top->input, STDIN_FILENO) == 0) {
        open_handle(top, (uv_handle_t *)&top->input);
        (void)uv_poll_start(&top->input, UV_READABLE, on_input);
    }
    draw(top);
}

static void run(struct top *top)
{
    uv_loop_t *loop = client_loop(top->client);
    (void)uv_timer_init(loop, &top->tick);
    (void)uv_timer_init(loop, &top->escape);
    open_handle(top, (uv_handle_t *)&top->tick);
    open_handle(top, (uv_handle_t *)&top->escape);
    if (top->is_live) {
        take_screen(top, loop);
    }
    (void)uv_timer_start(&top->tick, on_tick, 0, LOOK_EVERY_MS);
    while (!top->is_ending) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
    if (top->is_live) {
        terminal_leave();
    }
}

static void close_one(uv_handle_t *handle, void *context)
{
    if (handle->data == context && !uv_is_closing(handle)) {
        uv_close(handle, on_handle_closed);
    }
}

static void finish(struct top *top)
{
    uv_loop_t *loop = client_loop(top->client);
    uv_walk(loop, close_one, top);
    while (top->open_count > 0) {
        (void)uv_run(loop, UV_RUN_NOWAIT);
    }
    client_destroy(top->client);
    top_rates_finish(&top->rates);
    json_decref(top->status);
    json_decref(top->detail);
    json_decref(top->rollbacks);
    buf_finish(&top->frame);
    buf_finish(&top->out);
}

static int end_of(const struct top *top)
{
    int exit = top->exit;
    if (exit != CLI_DONE && top->trouble[0] != '\0') {
        struct buf text;
        buf_init(&text, TABLE_TEXT_MAX);
        (void)table_append_clean(&text, top->trouble);
        struct bytes clean = buf_bytes(&text);
        (void)fprintf(stderr, "serin: %.*s\n", BYTES_ARGS(clean));
        buf_finish(&text);
    }
    return exit;
}

int verb_run_top(const struct cli_options *options)
{
    int exit = CLI_FAILED;
    struct cli_options each = *options;
    each.timeout_ms = options->has_timeout ? options->timeout_ms : LOOK_DEADLINE_MS;
    bool is_capable = terminal_is_capable();
    struct top top = {
        .options = options,
        .begun_us = now_us(),
        .is_live = is_capable && !options->is_once,
        .is_colour = is_capable && terminal_is_coloured(),
        .is_unicode = terminal_is_unicode(),
        .client = verb_open_client(&each, &exit),
    };
    if (top.client == NULL) {
        return exit;
    }
    top_rates_init(&top.rates);
    buf_init(&top.frame, OUT_MAX);
    buf_init(&top.out, OUT_MAX);
    run(&top);
    exit = end_of(&top);
    finish(&top);
    if (top.signal != 0) {
        (void)signal(top.signal, SIG_DFL);
        (void)raise(top.signal);
    }
    return exit;
}
