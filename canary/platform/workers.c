/* A question's way: read the deployments; decide; post one; read again until the first is ours.
 * After a post that failed in a way that may pass, what is live is read before another one. */
#include "canary/platform/workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "canary/fetch/retry.h"
#include "proxy/base/check.h"

enum {
    WORKERS_TAG = TAG('w', 'r', 'k', '1'),
    PATH_SIZE = 256,
    SPLITS_MAX = 100,
    POSTS_MAX = 5,
    BODY_MAX = 4 << 20,
    POLL_MAX_MS = 5000,
};

struct platform_call {
    unsigned tag;
    struct cloudflare_provider *workers;
    struct cloudflare_call *request;
    enum platform_operation operation;
    char wanted[DEPLOYMENT_ID_SIZE];
    char expected[DEPLOYMENT_ID_SIZE];
    char reason[DEPLOYMENT_TEXT_SIZE];
    uint64_t deadline_us;
    uint64_t wait_ms;
    uint64_t watch_until_us;
    uint64_t retry_after_ms;
    struct platform_deployment live;
    struct platform_deployment target;
    char live_split[DEPLOYMENT_ID_SIZE]; /* id of the deployment that was live first */
    struct answer_split splits[SPLITS_MAX];
    size_t split_count;
    unsigned posts;
    unsigned looks;
    bool is_posting;
    bool is_decided; /* as in pages.c */
    bool is_watching;
    bool has_live;
    bool has_target;
    platform_on_done *on_done;
    void *context;
};

static uint64_t now_us(void)
{
    return uv_hrtime() / 1000;
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
        .retry_after_ms = call->retry_after_ms,
    };
    call->on_done(call->context, &answer);
    call->tag = 0;
    free(call);
}

static void call_end_note(struct platform_call *call, enum platform_result result,
                          const struct note *note)
{
    call_end(call, result, false, note->text);
}

/* ---- requests ---- */

static void on_answered(void *context, const struct cloudflare_answer *answer);

static enum err request(struct platform_call *call, enum platform_operation operation,
                        struct bytes body, uint64_t delay_ms)
{
    char path[PATH_SIZE];
    bool is_post = operation == PLATFORM_ROLL_BACK;
    (void)snprintf(path, sizeof path, "/workers/scripts/%s/deployments", call->workers->name);
    call->is_posting = is_post;
    return cloudflare_start(&call->workers->api,
                            &(struct cloudflare_request){
                                .operation = operation,
                                .is_post = is_post,
                                .is_single = is_post,
                                .path = path,
                                .body = body,
                                .body_max = BODY_MAX,
                                .delay_ms = delay_ms,
                                .deadline_us = call->deadline_us,
                            },
                            on_answered, call, &call->request);
}

static void ask(struct platform_call *call, enum platform_operation operation, struct bytes body,
                uint64_t delay_ms)
{
    enum err err = request(call, operation, body, delay_ms);
    if (err != OK) {
        call_end(call, err == ERR_CLOSED ? PLATFORM_CANCELLED : PLATFORM_FAILED, false,
                 err_text(err));
    }
}

static void look(struct platform_call *call, uint64_t delay_ms)
{
    ask(call, PLATFORM_LOOK, BYTES(""), delay_ms);
}

static void post(struct platform_call *call)
{
    const char *reason = call->reason[0] != '\0' ? call->reason : "rollback";
    json_t *wish = json_pack("{s:s, s:[{s:s, s:i}], s:{s:s}}", "strategy", "percentage", "versions",
                             "version_id", call->target.id, "percentage", 100, "annotations",
                             "workers/message", reason);
    char *text = wish != NULL ? json_dumps(wish, JSON_COMPACT) : NULL;
    json_decref(wish);
    if (text == NULL) {
        call_end(call, PLATFORM_FAILED, false, err_text(ERR_NOMEM));
        return;
    }
    call->posts++;
    ask(call, PLATFORM_ROLL_BACK, bytes_of(text), 0);
    free(text);
}

static void watch(struct platform_call *call, uint64_t delay_ms)
{
    if (call->looks++ == 0) {
        uint64_t until_us = now_us() + call->wait_ms * 1000;
        call->watch_until_us = until_us < call->deadline_us ? until_us : call->deadline_us;
    }
    call->is_watching = true;
    look(call, delay_ms);
}

/* ---- deciding ---- */

static void name_version(struct platform_deployment *version, const char *id, const char *created,
                         const char *message)
{
    *version = (struct platform_deployment){
        .environment = "production", .stage = "deploy", .status = "success"};
    platform_text_copy(version->id, sizeof version->id, id);
    platform_text_copy(version->created, sizeof version->created, created);
    platform_text_copy(version->message, sizeof version->message, message);
    version->created_us = platform_time_parse(created);
}

static bool has_version(const struct answer_split *split, const char *version)
{
    for (size_t i = 0; i < split->version_count; i++) {
        if (strcasecmp(split->versions[i], version) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_all(const struct answer_split *split, const char *version)
{
    return split->version_count == 1 && strcasecmp(split->versions[0], version) == 0;
}

static bool is_known(const struct platform_call *call, const char *version)
{
    for (size_t i = 0; i < call->split_count; i++) {
        if (has_version(&call->splits[i], version)) {
            return true;
        }
    }
    return false;
}

/* The version to go back to, or NULL: the one that is wanted, if it was ever deployed; the one that
 * shares the traffic with the one that is bad; the last one that had all of it. */
static const char *choose(const struct platform_call *call)
{
    const struct answer_split *live = &call->splits[0];
    if (call->wanted[0] != '\0') {
        return is_known(call, call->wanted) ? call->wanted : NULL;
    }
    const char *bad = call->expected[0] != '\0' ? call->expected : live->versions[0];
    if (live->version_count == 2 && call->expected[0] != '\0') {
        return live->versions[strcasecmp(live->versions[0], bad) == 0 ? 1 : 0];
    }
    for (size_t i = 1; i < call->split_count; i++) {
        const struct answer_split *one = &call->splits[i];
        bool was_bad = live->version_count == 1 && is_all(one, bad);
        if (one->version_count == 1 && !was_bad) {
            return one->versions[0];
        }
    }
    return NULL;
}

static void end_moved(struct platform_call *call)
{
    struct note note;
    bool is_ours = call->posts > 0;
    note_set(&note, is_ours ? "version %s has all traffic again" : "version %s has all traffic",
             call->target.id);
    call_end(call, is_ours ? PLATFORM_DONE : PLATFORM_ALREADY, true, note.text);
}

static void decide(struct platform_call *call)
{
    struct note note;
    const struct answer_split *live = &call->splits[0];
    bool is_unexpected = call->expected[0] != '\0' && !has_version(live, call->expected);
    bool is_there = call->wanted[0] != '\0' && is_all(live, call->wanted);
    const char *chosen = is_unexpected && !is_there ? NULL : choose(call);
    const char *named =
        is_unexpected || call->expected[0] == '\0' ? live->versions[0] : call->expected;
    name_version(&call->live, named, live->created, live->message);
    call->has_live = true;
    if (chosen == NULL && is_unexpected) {
        note_set(&note, "version %s is live, not %s: nothing was changed", live->versions[0],
                 call->expected);
        call_end_note(call, PLATFORM_REFUSED, &note);
        return;
    }
    if (chosen == NULL) {
        note_set(&note, "Worker %s has no earlier version %s to go back to", call->workers->name,
                 call->wanted);
        call_end_note(call, PLATFORM_REFUSED, &note);
        return;
    }
    name_version(&call->target, chosen, "", "");
    call->has_target = true;
    platform_text_copy(call->live_split, sizeof call->live_split, live->id);
    if (is_all(live, call->target.id)) {
        end_moved(call);
    } else if (call->operation == PLATFORM_LOOK) {
        note_set(&note, "version %s is live; a rollback would go to %s", call->live.id,
                 call->target.id);
        call_end_note(call, PLATFORM_DONE, &note);
    } else {
        call->is_decided = true;
        if (cloudflare_is_fresh(&call->workers->api, now_us())) {
            post(call);
        } else {
            look(call, 0);
        }
    }
}

/* After a post whose end is not known, or when one would come late after what was read. */
static void decide_again(struct platform_call *call)
{
    struct note note;
    const struct answer_split *live = &call->splits[0];
    if (is_all(live, call->target.id)) {
        end_moved(call);
    } else if (strcmp(live->id, call->live_split) != 0) {
        note_set(&note, "another deployment, %s, went live meanwhile: nothing more was changed",
                 live->id);
        call_end_note(call, PLATFORM_REFUSED, &note);
    } else {
        post(call);
    }
}

/* ---- answers ---- */

static enum err take_splits(struct platform_call *call, const struct answer *answer)
{
    const json_t *list = json_object_get(answer->result, "deployments");
    call->split_count = 0;
    if (!json_is_array(list)) {
        return ERR_SYNTAX;
    }
    for (size_t i = 0; i < json_array_size(list) && call->split_count < SPLITS_MAX; i++) {
        struct answer_split *place = &call->splits[call->split_count];
        if (answer_split(json_array_get(list, i), place) == OK) {
            call->split_count++;
        }
    }
    return call->split_count > 0 ? OK : ERR_NOT_FOUND;
}

static void call_fail(struct platform_call *call, const struct cloudflare_answer *answer)
{
    struct note note;
    call->retry_after_ms = answer->retry_after_ms;
    note_set(&note, "%s of Worker %s: %s",
             call->is_posting ? "asking for the rollback" : "reading the deployments",
             call->workers->name, answer->text);
    call_end_note(call, answer->result, &note);
}

static void on_posted(struct platform_call *call, const struct cloudflare_answer *answer)
{
    struct note note;
    uint64_t pause_ms = 0;
    if (answer->result == PLATFORM_DONE && call->wait_ms == 0) {
        note_set(&note, "the deployment of version %s was accepted", call->target.id);
        call_end_note(call, PLATFORM_DONE, &note);
    } else if (answer->result == PLATFORM_DONE) {
        watch(call, 0);
    } else if (call->posts < POSTS_MAX &&
               cloudflare_goes_on(&call->workers->api, answer, call->posts, call->deadline_us,
                                  &pause_ms)) {
        look(call, pause_ms);
    } else {
        call_fail(call, answer);
    }
}

static void on_watched(struct platform_call *call, const struct cloudflare_answer *answer)
{
    struct note note;
    bool is_read = answer->result == PLATFORM_DONE && take_splits(call, answer->answer) == OK;
    if (is_read && is_all(&call->splits[0], call->target.id)) {
        end_moved(call);
        return;
    }
    if (answer->result != PLATFORM_DONE && !answer->may_pass) {
        call_fail(call, answer);
        return;
    }
    uint64_t pause_ms = fetch_backoff_ms(call->looks, call->workers->api.poll_ms, POLL_MAX_MS,
                                         &call->workers->api.random);
    if (now_us() + pause_ms * 1000 < call->watch_until_us) {
        watch(call, pause_ms);
        return;
    }
    note_set(&note, "the deployment of version %s was accepted, but is not live yet",
             call->target.id);
    call_end_note(call, PLATFORM_TIMED_OUT, &note);
}

static void on_looked(struct platform_call *call, const struct cloudflare_answer *answer)
{
    struct note note;
    if (answer->result != PLATFORM_DONE) {
        call_fail(call, answer);
        return;
    }
    enum err err = take_splits(call, answer->answer);
    if (err == ERR_SYNTAX) {
        call_end(call, PLATFORM_FAILED, false, "what it calls deployments is none");
    } else if (err != OK) {
        note_set(&note, "Worker %s has no deployment", call->workers->name);
        call_end_note(call, PLATFORM_REFUSED, &note);
    } else if (call->is_decided) {
        decide_again(call);
    } else {
        decide(call);
    }
}

static void on_answered(void *context, const struct cloudflare_answer *answer)
{
    struct platform_call *call = context;
    CHECK(call->tag == WORKERS_TAG);
    call->request = NULL;
    if (answer->result == PLATFORM_CANCELLED) {
        call_end(call, PLATFORM_CANCELLED, false, "it was cancelled");
    } else if (call->is_posting) {
        on_posted(call, answer);
    } else if (call->is_watching) {
        on_watched(call, answer);
    } else {
        on_looked(call, answer);
    }
}

/* ---- the port ---- */

static bool copy_id(char ret_id[DEPLOYMENT_ID_SIZE], const char *id)
{
    if (id != NULL && !platform_id_is_plain(id)) {
        return false;
    }
    (void)snprintf(ret_id, DEPLOYMENT_ID_SIZE, "%s", id != NULL ? id : "");
    return true;
}

static enum err workers_start(struct provider *provider, const struct platform_ask *wish,
                              platform_on_done *on_done, void *context,
                              struct platform_call **ret_call)
{
    struct cloudflare_provider *workers = cloudflare_provider_of(provider);
    if (wish->operation != PLATFORM_LOOK && wish->operation != PLATFORM_ROLL_BACK) {
        return ERR_UNSUPPORTED;
    }
    struct platform_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return ERR_NOMEM;
    }
    if (!copy_id(call->wanted, wish->target) || !copy_id(call->expected, wish->expect_current)) {
        free(call);
        return ERR_SYNTAX;
    }
    uint64_t deadline_ms = wish->deadline_ms != 0 ? wish->deadline_ms : PLATFORM_DEADLINE_MS;
    call->tag = WORKERS_TAG;
    call->workers = workers;
    call->operation = wish->operation;
    call->deadline_us = now_us() + deadline_ms * 1000;
    call->wait_ms = wish->wait_ms;
    call->on_done = on_done;
    call->context = context;
    platform_text_copy(call->reason, sizeof call->reason, wish->reason);
    enum err err = request(call, PLATFORM_LOOK, BYTES(""), 0);
    if (err != OK) {
        free(call);
        return err;
    }
    if (ret_call != NULL) {
        *ret_call = call;
    }
    return OK;
}

static void workers_cancel(struct platform_call *call)
{
    CHECK(call->request != NULL);
    cloudflare_cancel(call->request);
}

enum err workers_create(const struct cloudflare_options *options, const char *script,
                        struct provider **ret_provider, struct note *note)
{
    static const struct provider_ops ops = {.name = "workers",
                                            .start = workers_start,
                                            .cancel = workers_cancel,
                                            .close = cloudflare_provider_close};
    if (!platform_id_is_plain(script)) {
        note_set(note, "a Worker's name has letters, digits, '-' and '_'");
        return ERR_SYNTAX;
    }
    return cloudflare_provider_create(&ops, options, script, ret_provider, note);
}
