#include "canary/platform/exec.h"

#include <stdlib.h>
#include <string.h>

#include "canary/command/command.h"
#include "proxy/base/buf.h"
#include "proxy/base/check.h"
#include "proxy/base/list.h"

enum { EXEC_TAG = TAG('e', 'x', 'e', 'c') };

struct exec {
    struct provider provider; /* first */
    uv_loop_t *loop;
    char *argv[EXEC_ARGUMENTS_MAX + 1]; /* owned */
    size_t argument_count;
    struct list calls;
    bool is_closing;
    void (*on_closed)(void *context);
    void *closed_context;
};

struct platform_call {
    unsigned tag;
    struct list link;
    struct exec *exec;
    struct command *command;
    platform_on_done *on_done;
    void *context;
};

static struct platform_call *call_of(void *context)
{
    struct platform_call *call = context;
    CHECK(call->tag == EXEC_TAG);
    return call;
}

static void exec_destroy(struct exec *exec)
{
    for (size_t i = 0; exec->argv[i] != NULL; i++) {
        free(exec->argv[i]);
    }
    free(exec);
}

static void finish_closing(struct exec *exec)
{
    if (!exec->is_closing || !list_is_empty(&exec->calls)) {
        return;
    }
    void (*on_closed)(void *) = exec->on_closed;
    void *context = exec->closed_context;
    exec_destroy(exec);
    if (on_closed != NULL) {
        on_closed(context);
    }
}

static enum platform_result result_of(const struct command_result *result)
{
    switch (result->err) {
    case OK:
        break;
    case ERR_CLOSED:
        return PLATFORM_CANCELLED;
    case ERR_TIMEOUT:
        return PLATFORM_TIMED_OUT;
    default:
        return PLATFORM_FAILED;
    }
    if (result->signal != 0) {
        return PLATFORM_FAILED;
    }
    switch (result->exit_code) {
    case 0:
        return PLATFORM_DONE;
    case 3:
        return PLATFORM_REFUSED;
    case 4:
        return PLATFORM_DENIED;
    case 5:
        return PLATFORM_TIMED_OUT;
    default:
        return PLATFORM_FAILED;
    }
}

static void explain(const struct command_result *result, const char *program, struct note *ret_note)
{
    char name[DEPLOYMENT_TEXT_SIZE];
    platform_text_copy(name, sizeof name, program);
    if (result->err == ERR_CLOSED) {
        note_set(ret_note, "it was cancelled");
    } else if (result->err == ERR_TIMEOUT) {
        note_set(ret_note, "%s did not end in time and was killed", name);
    } else if (result->err != OK) {
        note_set(ret_note, "%s cannot be started: %s", name, result->why);
    } else if (result->signal != 0) {
        note_set(ret_note, "%s was ended by signal %d", name, result->signal);
    } else {
        note_set(ret_note, "%s ended with exit code %d", name, result->exit_code);
    }
}

static void on_command_done(void *context, const struct command_result *result)
{
    struct platform_call *call = call_of(context);
    struct exec *exec = call->exec;
    struct note note;
    enum platform_result outcome = result_of(result);
    explain(result, exec->argv[0], &note);
    exec->provider.counts.requests[PLATFORM_ROLL_BACK][outcome]++;
    list_remove(&call->link);
    call->tag = 0;
    call->on_done(call->context, &(struct platform_answer){
                                     .result = outcome, .text = note.text, .log = result->output});
    free(call);
    finish_closing(exec);
}

static enum err exec_start(struct provider *provider, const struct platform_ask *wish,
                           platform_on_done *on_done, void *context,
                           struct platform_call **ret_call)
{
    struct exec *exec = CONTAINER_OF(provider, struct exec, provider);
    if (exec->is_closing) {
        return ERR_CLOSED;
    }
    if (wish->operation != PLATFORM_ROLL_BACK) {
        return ERR_UNSUPPORTED;
    }
    struct platform_call *call = calloc(1, sizeof *call);
    struct buf record;
    buf_init(&record, wish->record.size + 1);
    enum err err = call == NULL ? ERR_NOMEM : buf_append(&record, wish->record);
    err = err != OK ? err : buf_append(&record, BYTES("\n"));
    if (err == OK) {
        call->tag = EXEC_TAG;
        call->exec = exec;
        call->on_done = on_done;
        call->context = context;
        struct command_request request = {
            .words = (const char *const *)exec->argv,
            .word_count = exec->argument_count,
            .input = buf_bytes(&record),
            .deadline_ms = wish->deadline_ms != 0 ? wish->deadline_ms : PLATFORM_DEADLINE_MS,
            .output_max = EXEC_OUTPUT_MAX,
        };
        uv_update_time(exec->loop);
        err = command_start(exec->loop, &request, on_command_done, call, &call->command);
    }
    buf_finish(&record);
    if (err != OK) {
        free(call);
        return err;
    }
    list_push_back(&exec->calls, &call->link);
    if (ret_call != NULL) {
        *ret_call = call;
    }
    return OK;
}

static void exec_cancel(struct platform_call *call)
{
    command_kill(call->command);
}

static void exec_close(struct provider *provider, void (*on_closed)(void *context), void *context)
{
    struct exec *exec = CONTAINER_OF(provider, struct exec, provider);
    CHECK(!exec->is_closing);
    exec->is_closing = true;
    exec->on_closed = on_closed;
    exec->closed_context = context;
    for (struct list *link = exec->calls.next; link != &exec->calls; link = link->next) {
        exec_cancel(CONTAINER_OF(link, struct platform_call, link));
    }
    finish_closing(exec);
}

static const struct provider_ops ops = {.name = "exec",
                                        .start = exec_start,
                                        .cancel = exec_cancel,
                                        .close = exec_close,
                                        .is_blind = true};

enum err exec_create(uv_loop_t *loop, const char *const *argv, struct provider **ret_provider)
{
    if (argv[0] == NULL || argv[0][0] == '\0') {
        return ERR_SYNTAX;
    }
    struct exec *exec = calloc(1, sizeof *exec);
    if (exec == NULL) {
        return ERR_NOMEM;
    }
    exec->provider.ops = &ops;
    exec->loop = loop;
    list_init(&exec->calls);
    for (size_t i = 0; argv[i] != NULL; i++) {
        bool is_too_many = i == EXEC_ARGUMENTS_MAX;
        exec->argv[i] = is_too_many ? NULL : strdup(argv[i]);
        if (is_too_many || exec->argv[i] == NULL) {
            exec_destroy(exec);
            return is_too_many ? ERR_SYNTAX : ERR_NOMEM;
        }
        exec->argument_count++;
    }
    *ret_provider = &exec->provider;
    return OK;
}

bool exec_is(const struct provider *provider, const char *const *argv)
{
    if (provider == NULL || provider->ops != &ops) {
        return false;
    }
    const struct exec *exec = CONTAINER_OF(provider, const struct exec, provider);
    size_t count = 0;
    while (argv[count] != NULL && exec->argv[count] != NULL &&
           strcmp(argv[count], exec->argv[count]) == 0) {
        count++;
    }
    return argv[count] == NULL && exec->argv[count] == NULL;
}
