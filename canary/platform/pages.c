/* A question's way:
 *
 *   LIST ── pages of deployments, and what is live ── end
 *   LOG ── (find) ── the log ── end
 *   LOOK, ROLL_BACK:
 *     read live ─┬─ find target (one by its id, or pages of the list) ── check ─┬─ LOOK: end
 *                │                                                              └─ post ─┐
 *                └──────────── read live again ◄── after a failure that may pass ◄──────┤
 *                                                       watch until it is live ◄─────────┘
 */
#include "canary/platform/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/fetch/retry.h"
#include "canary/platform/choice.h"
#include "proxy/base/check.h"

enum {
    PAGES_TAG = TAG('p', 'g', 's', '1'),
    NAME_SIZE = 256,
    PATH_SIZE = 320,
    LIST_PAGES_MAX = 40,
    DEPLOYMENTS_MAX = 1000,
    POSTS_MAX = 5,
    LIST_BODY_MAX = 4 << 20,
    LOG_BODY_MAX = 16 << 20,
    POLL_MAX_MS = 5000,
    UUID_SIZE = 36,
    LIST_DEFAULT = 25,
};

enum state { READ_LIVE, READ_TARGET, READ_LIST, READ_LOG, POST, WATCH };

struct platform_call {
    unsigned tag;
    struct cloudflare_provider *pages;
    struct cloudflare_call *request; /* NULL: none under way */
    enum platform_operation operation;
    enum state state;
    char wanted[NAME_SIZE]; /* "": the last good one */
    char expected[NAME_SIZE];
    char environment[DEPLOYMENT_WORD_SIZE];
    size_t limit;
    uint64_t deadline_us;
    uint64_t wait_ms;
    uint64_t watch_until_us;
    uint64_t retry_after_ms;
    uint64_t live_us; /* when it was read */
    struct platform_deployment live;
    struct platform_deployment target;
    struct platform_deployment *list; /* owned */
    size_t list_count;
    size_t list_capacity;
    unsigned page;
    unsigned posts;
    unsigned looks; /* while watching */
    bool has_live;
    bool has_target;
    bool is_decided;       /* what is to be done is: it is only made sure of what is live */
    bool was_live_already; /* before our first post, or the platform said so to it */
    bool is_starting;      /* inside start: nobody may be told yet */
    enum err start_err;
    struct buf log;
    platform_on_done *on_done;
    void *context;
};

static struct platform_call *call_of(void *context)
{
    struct platform_call *call = context;
    CHECK(call->tag == PAGES_TAG);
    return call;
}

/* ---- the end ---- */

static void call_destroy(struct platform_call *call)
{
    call->tag = 0;
    buf_finish(&call->log);
    free(call->list);
    free(call);
}

static void call_end(struct platform_call *call, enum platform_result result, bool has_moved,
                     const char *text)
{
    char clean[PLATFORM_SENTENCE_SIZE];
    platform_text_copy(clean, sizeof clean, text);
    struct platform_answer answer = {
        .result = result,
        .text = clean,
        .live = call->has_live ? &call->live : NULL,
        .target = call->has_target ? &call->target : NULL,
        .has_moved = has_moved,
        .deployments = call->list,
        .deployment_count = call->list_count < call->limit ? call->list_count : call->limit,
        .log = buf_bytes(&call->log),
        .retry_after_ms = call->retry_after_ms,
    };
    call->on_done(call->context, &answer);
    call_destroy(call);
}

static void call_end_note(struct platform_call *call, enum platform_result result,
                          const struct note *note)
{
    call_end(call, result, false, note->text);
}

/* The sentence of a failed request, with what was being done. */
static void call_fail(struct platform_call *call, const struct cloudflare_answer *answer)
{
    static const char *const doing[] = {
        [READ_LIVE] = "reading",
        [READ_TARGET] = "reading a deployment of",
        [READ_LIST] = "listing the deployments of",
        [READ_LOG] = "reading a build log of",
        [POST] = "asking for a rollback of",
        [WATCH] = "watching",
    };
    struct note note;
    bool is_unknown = answer->answer != NULL && answer->answer->code == ANSWER_CODE_NOT_FOUND;
    call->retry_after_ms = answer->retry_after_ms;
    if (is_unknown && call->state == READ_TARGET) {
        note_set(&note, "there is no deployment %s in project %s", call->wanted, call->pages->name);
    } else {
        note_set(&note, "%s project %s: %s", doing[call->state], call->pages->name, answer->text);
    }
    call_end_note(call, answer->result, &note);
}

/* ---- requests ---- */

static void on_answered(void *context, const struct cloudflare_answer *answer);

/* `tail` is what follows the project in the path. */
static void ask(struct platform_call *call, enum state state, const char *tail, uint64_t delay_ms)
{
    static const enum platform_operation counted[] = {
        [READ_LIVE] = PLATFORM_LOOK, [READ_TARGET] = PLATFORM_LOOK, [READ_LIST] = PLATFORM_LIST,
        [READ_LOG] = PLATFORM_LOG,   [POST] = PLATFORM_ROLL_BACK,   [WATCH] = PLATFORM_LOOK,
    };
    char path[PATH_SIZE];
    (void)snprintf(path, sizeof path, "/pages/projects/%s%s", call->pages->name, tail);
    call->state = state;
    struct cloudflare_request request = {
        .operation = counted[state],
        .is_post = state == POST,
        .is_single = state == POST,
        .path = path,
        .body_max = state == READ_LOG ? LOG_BODY_MAX : LIST_BODY_MAX,
        .delay_ms = delay_ms,
        .deadline_us = call->deadline_us,
    };
    enum err err = cloudflare_start(&call->pages->api, &request, on_answered, call, &call->request);
    if (err != OK && call->is_starting) {
        call->start_err = err;
    } else if (err != OK) {
        call->request = NULL;
        call_end(call, err == ERR_CLOSED ? PLATFORM_CANCELLED : PLATFORM_FAILED, false,
                 err_text(err));
    }
}

static void ask_list(struct platform_call *call)
{
    char tail[128];
    call->page++;
    /* Never per_page: what is too much for it is not written down, and an error. */
    (void)snprintf(tail, sizeof tail, "/deployments?env=%s&page=%u", call->environment, call->page);
    ask(call, READ_LIST, tail, 0);
}

static void ask_deployment(struct platform_call *call, enum state state, const char *id,
                           const char *tail)
{
    char whole[PATH_SIZE];
    (void)snprintf(whole, sizeof whole, "/deployments/%s%s", id, tail);
    ask(call, state, whole, 0);
}

/* ---- rolling back ---- */

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
}

static void post(struct platform_call *call)
{
    call->posts++;
    ask_deployment(call, POST, call->target.id, "/rollback");
}

static void watch(struct platform_call *call, uint64_t delay_ms)
{
    if (call->looks++ == 0) {
        uint64_t until_us = now_us() + call->wait_ms * 1000;
        call->watch_until_us = until_us < call->deadline_us ? until_us : call->deadline_us;
    }
    ask(call, WATCH, "", delay_ms);
}

static bool is_live(const struct platform_call *call, const struct platform_deployment *live)
{
    return strcmp(live->id, call->target.id) == 0;
}

static void end_moved(struct platform_call *call)
{
    struct note note;
    if (call->was_live_already) {
        note_set(&note, "%s is live already", call->target.id);
        call_end(call, PLATFORM_ALREADY, true, note.text);
        return;
    }
    note_set(&note, "%s is live again", call->target.id);
    call_end(call, PLATFORM_DONE, true, note.text);
}

/* The target is known: may it be gone back to from what is live? */
static void decide(struct platform_call *call)
{
    struct note note = {""};
    if (is_live(call, &call->live)) {
        call->was_live_already = call->posts == 0;
        end_moved(call);
        return;
    }
    if (choice_check(&call->target, &note) != OK) {
        call_end_note(call, PLATFORM_REFUSED, &note);
        return;
    }
    const char *expected = call->expected[0] != '\0' ? call->expected : NULL;
    if (!choice_is_expected(&call->live, expected)) {
        note_set(&note, "%s is live, not %s: nothing was changed", call->live.id, expected);
        call_end_note(call, PLATFORM_REFUSED, &note);
        return;
    }
    if (call->operation == PLATFORM_LOOK) {
        note_set(&note, "%s is live; a rollback would go to %s", call->live.id, call->target.id);
        call_end_note(call, PLATFORM_DONE, &note);
        return;
    }
    call->is_decided = true;
    if (cloudflare_is_fresh(&call->pages->api, call->live_us)) {
        post(call);
    } else {
        ask(call, READ_LIVE, "", 0);
    }
}

/* After a post whose end is not known, what is live says what it did; before one, when much time
 * has passed, whether it is still called for. */
static void decide_again(struct platform_call *call, const struct platform_deployment *live)
{
    struct note note;
    if (is_live(call, live)) {
        call->was_live_already = call->posts == 0;
        end_moved(call);
        return;
    }
    if (strcmp(live->id, call->live.id) != 0) {
        note_set(&note, "%s went live meanwhile: nothing more was changed", live->id);
        call_end_note(call, PLATFORM_REFUSED, &note);
        return;
    }
    post(call);
}

static void find(struct platform_call *call)
{
    struct note note = {""};
    bool is_any = call->wanted[0] == '\0';
    const char *expected = call->expected[0] != '\0' ? call->expected : NULL;
    if (is_any && !choice_is_expected(&call->live, expected)) {
        note_set(&note, "%s is live, not %s: nothing was changed", call->live.id, expected);
        call_end_note(call, PLATFORM_REFUSED, &note);
    } else if (!is_any && (deployment_is_named(&call->live, call->wanted) ||
                           deployment_is_of_commit(&call->live, call->wanted))) {
        call->target = call->live;
        call->has_target = true;
        decide(call);
    } else if (strlen(call->wanted) == UUID_SIZE && platform_id_is_plain(call->wanted)) {
        ask_deployment(call, READ_TARGET, call->wanted, "");
    } else {
        ask_list(call);
    }
}

static void on_live_read(struct platform_call *call, const struct answer *answer)
{
    struct platform_deployment live;
    struct note note;
    enum err err = answer_live(answer->result, &live);
    if (err == ERR_SYNTAX) {
        call_end(call, PLATFORM_FAILED, false, "what it calls the project is none");
        return;
    }
    if (err != OK && call->operation != PLATFORM_LIST) {
        note_set(&note, "project %s has no live deployment", call->pages->name);
        call_end_note(call, PLATFORM_REFUSED, &note);
        return;
    }
    if (call->is_decided) {
        decide_again(call, &live);
        return;
    }
    call->has_live = err == OK;
    call->live_us = now_us();
    call->live = err == OK ? live : call->live;
    if (call->operation == PLATFORM_LIST) {
        ask_list(call);
        return;
    }
    find(call);
}

/* ---- the list ---- */

static enum err append(struct platform_call *call, const struct platform_deployment *one)
{
    if (call->list_count == call->list_capacity) {
        size_t capacity = call->list_capacity != 0 ? call->list_capacity * 2 : 32;
        struct platform_deployment *larger = realloc(call->list, capacity * sizeof *larger);
        if (larger == NULL) {
            return ERR_NOMEM;
        }
        call->list = larger;
        call->list_capacity = capacity;
    }
    call->list[call->list_count++] = *one;
    return OK;
}

/* ERR_SYNTAX: it is no list. `ret_is_last`: no older ones can follow. */
static enum err take_page(struct platform_call *call, const struct answer *answer,
                          bool *ret_is_last)
{
    size_t count = json_array_size(answer->result);
    if (!json_is_array(answer->result)) {
        return ERR_SYNTAX;
    }
    for (size_t i = 0; i < count && call->list_count < DEPLOYMENTS_MAX; i++) {
        struct platform_deployment one;
        if (answer_deployment(json_array_get(answer->result, i), &one) != OK) {
            continue;
        }
        enum err err = append(call, &one);
        if (err != OK) {
            return err;
        }
    }
    bool is_all = answer->total != UINT64_MAX && answer->per_page > 0 &&
                  call->page * answer->per_page >= answer->total;
    *ret_is_last =
        count == 0 || is_all || call->page >= LIST_PAGES_MAX || call->list_count >= DEPLOYMENTS_MAX;
    return OK;
}

static void end_without_target(struct platform_call *call)
{
    struct note note;
    if (call->operation == PLATFORM_LOG) {
        note_set(&note, "project %s has no %s deployment %s", call->pages->name, call->environment,
                 call->wanted);
    } else if (call->wanted[0] != '\0') {
        note_set(&note, "project %s has no good production deployment %s", call->pages->name,
                 call->wanted);
    } else {
        note_set(&note, "project %s has no good production deployment older than %s",
                 call->pages->name, call->live.id);
    }
    call_end_note(call, PLATFORM_REFUSED, &note);
}

static void search(struct platform_call *call, bool is_last)
{
    struct note note = {""};
    size_t index = 0;
    const char *wanted = call->wanted[0] != '\0' ? call->wanted : NULL;
    enum err err =
        call->operation == PLATFORM_LOG
            ? choice_find_named(call->list, call->list_count, call->wanted, &index, &note)
            : choice_find(call->list, call->list_count, &call->live, wanted, &index, &note);
    if (err == ERR_NOT_FOUND && !is_last) {
        ask_list(call);
    } else if (err == ERR_NOT_FOUND) {
        end_without_target(call);
    } else if (err != OK) {
        call_end_note(call, PLATFORM_REFUSED, &note);
    } else {
        call->target = call->list[index];
        call->has_target = true;
        if (call->operation == PLATFORM_LOG) {
            ask_deployment(call, READ_LOG, call->target.id, "/history/logs");
            return;
        }
        decide(call);
    }
}

static void on_list_read(struct platform_call *call, const struct answer *answer)
{
    bool is_last = true;
    enum err err = take_page(call, answer, &is_last);
    if (err != OK) {
        call_end(call, PLATFORM_FAILED, false,
                 err == ERR_SYNTAX ? "what it calls a list is none" : err_text(err));
        return;
    }
    if (call->operation != PLATFORM_LIST) {
        search(call, is_last);
    } else if (call->list_count < call->limit && !is_last) {
        ask_list(call);
    } else {
        call_end(call, PLATFORM_DONE, false, "");
    }
}

/* ---- answers ---- */

static void on_posted(struct platform_call *call, const struct cloudflare_answer *answer)
{
    struct note note;
    uint64_t pause_ms = 0;
    bool was_live = answer->answer != NULL && answer->answer->code == ANSWER_CODE_ALREADY_LIVE;
    call->was_live_already = was_live && call->posts == 1;
    if (answer->result == PLATFORM_DONE && call->wait_ms == 0) {
        note_set(&note, "the rollback to %s was accepted", call->target.id);
        call_end_note(call, PLATFORM_DONE, &note);
    } else if (answer->result == PLATFORM_DONE || was_live) {
        watch(call, 0);
    } else if (call->posts < POSTS_MAX && cloudflare_goes_on(&call->pages->api, answer, call->posts,
                                                             call->deadline_us, &pause_ms)) {
        ask(call, READ_LIVE, "", pause_ms);
    } else {
        call_fail(call, answer);
    }
}

static void on_watched(struct platform_call *call, const struct cloudflare_answer *answer)
{
    struct platform_deployment live = {.id = "nothing"};
    struct note note;
    bool is_read =
        answer->result == PLATFORM_DONE && answer_live(answer->answer->result, &live) == OK;
    if (is_read && is_live(call, &live)) {
        end_moved(call);
        return;
    }
    if (answer->result != PLATFORM_DONE && !answer->may_pass) {
        call_fail(call, answer);
        return;
    }
    uint64_t pause_ms = fetch_backoff_ms(call->looks, call->pages->api.poll_ms, POLL_MAX_MS,
                                         &call->pages->api.random);
    if (now_us() + pause_ms * 1000 < call->watch_until_us) {
        watch(call, pause_ms);
        return;
    }
    note_set(&note, "the rollback to %s was accepted, but %s is still live", call->target.id,
             is_read ? live.id : "something unknown");
    call_end_note(call, PLATFORM_TIMED_OUT, &note);
}

static void on_target_read(struct platform_call *call, const struct answer *answer)
{
    if (answer_deployment(answer->result, &call->target) != OK) {
        call_end(call, PLATFORM_FAILED, false, "what it calls a deployment is none");
        return;
    }
    call->has_target = true;
    decide(call);
}

static void on_log_read(struct platform_call *call, const struct answer *answer)
{
    enum err err = answer_log(answer->result, &call->log);
    call_end(call, err == OK ? PLATFORM_DONE : PLATFORM_FAILED, false,
             err == ERR_SYNTAX ? "what it calls a log is none"
             : err == OK       ? ""
                               : err_text(err));
}

static void on_answered(void *context, const struct cloudflare_answer *answer)
{
    struct platform_call *call = call_of(context);
    call->request = NULL;
    if (answer->result == PLATFORM_CANCELLED) {
        call_end(call, PLATFORM_CANCELLED, false, "it was cancelled");
        return;
    }
    if (call->state == POST) {
        on_posted(call, answer);
        return;
    }
    if (call->state == WATCH) {
        on_watched(call, answer);
        return;
    }
    if (answer->result != PLATFORM_DONE) {
        call_fail(call, answer);
        return;
    }
    switch (call->state) {
    case READ_LIVE:
        on_live_read(call, answer->answer);
        break;
    case READ_TARGET:
        on_target_read(call, answer->answer);
        break;
    case READ_LIST:
        on_list_read(call, answer->answer);
        break;
    case READ_LOG:
        on_log_read(call, answer->answer);
        break;
    case POST:
    case WATCH:
        break;
    }
}

/* ---- the port ---- */

static bool copy_name(char *ret_name, size_t size, const char *name)
{
    int length = snprintf(ret_name, size, "%s", name != NULL ? name : "");
    return length >= 0 && (size_t)length < size;
}

static void begin(struct platform_call *call)
{
    if (call->operation != PLATFORM_LOG) {
        ask(call, READ_LIVE, "", 0);
    } else if (strlen(call->wanted) == UUID_SIZE && platform_id_is_plain(call->wanted)) {
        ask_deployment(call, READ_LOG, call->wanted, "/history/logs");
    } else {
        ask_list(call);
    }
}

static enum err pages_start(struct provider *provider, const struct platform_ask *wish,
                            platform_on_done *on_done, void *context,
                            struct platform_call **ret_call)
{
    struct cloudflare_provider *pages = cloudflare_provider_of(provider);
    const char *environment = wish->environment != NULL ? wish->environment : "production";
    bool is_fit = strcmp(environment, "production") == 0 || strcmp(environment, "preview") == 0;
    if (pages->api.is_closing) {
        return ERR_CLOSED;
    }
    struct platform_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return ERR_NOMEM;
    }
    is_fit = is_fit && copy_name(call->wanted, sizeof call->wanted, wish->target) &&
             copy_name(call->expected, sizeof call->expected, wish->expect_current) &&
             copy_name(call->environment, sizeof call->environment, environment);
    if (!is_fit || (wish->operation == PLATFORM_LOG && call->wanted[0] == '\0')) {
        free(call);
        return ERR_SYNTAX;
    }
    uint64_t deadline_ms = wish->deadline_ms != 0 ? wish->deadline_ms : PLATFORM_DEADLINE_MS;
    call->tag = PAGES_TAG;
    call->pages = pages;
    call->operation = wish->operation;
    call->limit = wish->limit != 0 ? wish->limit : LIST_DEFAULT;
    call->deadline_us = now_us() + deadline_ms * 1000;
    call->wait_ms = wish->wait_ms;
    call->on_done = on_done;
    call->context = context;
    buf_init(&call->log, 2 * ANSWER_LOG_MAX);
    call->is_starting = true;
    begin(call);
    call->is_starting = false;
    if (call->start_err != OK) {
        enum err err = call->start_err;
        call_destroy(call);
        return err;
    }
    if (ret_call != NULL) {
        *ret_call = call;
    }
    return OK;
}

static void pages_cancel(struct platform_call *call)
{
    CHECK(call->request != NULL);
    cloudflare_cancel(call->request);
}

bool pages_project_is_fit(const char *project)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    size_t size = project != NULL ? strlen(project) : 0;
    return size > 0 && size <= PAGES_PROJECT_MAX && project[0] != '-' &&
           strspn(project, plain) == size;
}

enum err pages_create(const struct cloudflare_options *options, const char *project,
                      struct provider **ret_provider, struct note *note)
{
    static const struct provider_ops ops = {.name = "pages",
                                            .start = pages_start,
                                            .cancel = pages_cancel,
                                            .close = cloudflare_provider_close};
    if (!pages_project_is_fit(project)) {
        note_set(note, "a project's name has lower-case letters, digits and '-'");
        return ERR_SYNTAX;
    }
    return cloudflare_provider_create(&ops, options, project, ret_provider, note);
}
