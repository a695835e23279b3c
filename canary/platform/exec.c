#include "canary/platform/exec.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/buf.h"
#include "proxy/base/check.h"
#include "proxy/base/list.h"

enum { EXEC_TAG = TAG('e', 'x', 'e', 'c'), CHUNK_SIZE = 4096 };

struct exec {
    struct provider provider; /* first */
    uv_loop_t *loop;
    char *argv[EXEC_ARGUMENTS_MAX + 1]; /* owned */
    struct list calls;
    bool is_closing;
    void (*on_closed)(void *context);
    void *closed_context;
};

struct platform_call {
    unsigned tag;
    struct list link;
    struct exec *exec;
    uv_process_t process;
    uv_pipe_t input;
    uv_pipe_t outputs[2]; /* standard output and error */
    uv_timer_t timer;
    uv_write_t write;
    unsigned open_handles;
    unsigned open_outputs; /* not yet at their end */
    char *record;          /* owned */
    struct buf output;
    char chunk[CHUNK_SIZE];
    int64_t exit_code;
    int exit_signal;
    bool has_exited;
    bool is_late;
    bool is_cancelled;
    bool is_ending;
    platform_on_done *on_done;
    void *context;
};

static struct platform_call *call_of(void *context)
{
    struct platform_call *call = context;
    CHECK(call->tag == EXEC_TAG);
    return call;
}

/* ---- the end ---- */

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

static enum platform_result result_of(const struct platform_call *call)
{
    if (call->is_cancelled) {
        return PLATFORM_CANCELLED;
    }
    if (call->is_late) {
        return PLATFORM_TIMED_OUT;
    }
    if (call->exit_signal != 0) {
        return PLATFORM_FAILED;
    }
    switch (call->exit_code) {
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

static void tell(struct platform_call *call)
{
    struct note note;
    char name[DEPLOYMENT_TEXT_SIZE];
    platform_text_copy(name, sizeof name, call->exec->argv[0]);
    enum platform_result result = result_of(call);
    if (call->is_cancelled) {
        note_set(&note, "it was cancelled");
    } else if (call->is_late) {
        note_set(&note, "%s did not end in time and was killed", name);
    } else if (call->exit_signal != 0) {
        note_set(&note, "%s was ended by signal %d", name, call->exit_signal);
    } else {
        note_set(&note, "%s ended with exit code %lld", name, (long long)call->exit_code);
    }
    call->exec->provider.counts.requests[PLATFORM_ROLL_BACK][result]++;
    call->on_done(call->context, &(struct platform_answer){.result = result,
                                                           .text = note.text,
                                                           .log = buf_bytes(&call->output)});
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct platform_call *call = call_of(handle->data);
    CHECK(call->open_handles > 0);
    if (--call->open_handles > 0) {
        return;
    }
    struct exec *exec = call->exec;
    list_remove(&call->link);
    call->tag = 0;
    buf_finish(&call->output);
    free(call->record);
    free(call);
    finish_closing(exec);
}

static void close_handle(struct platform_call *call, uv_handle_t *handle)
{
    (void)call;
    if (!uv_is_closing(handle)) {
        uv_close(handle, on_handle_closed);
    }
}

static void close_all(struct platform_call *call)
{
    close_handle(call, (uv_handle_t *)&call->process);
    close_handle(call, (uv_handle_t *)&call->input);
    close_handle(call, (uv_handle_t *)&call->outputs[0]);
    close_handle(call, (uv_handle_t *)&call->outputs[1]);
    close_handle(call, (uv_handle_t *)&call->timer);
}

/* Its group is killed as long as somebody in it may live: until the process was reaped, or while
 * somebody holds its outputs. */
static void kill_group(const struct platform_call *call)
{
    if (!call->has_exited || call->open_outputs > 0) {
        CHECK(call->process.pid > 1); /* 0 would be our own group */
        (void)kill(-call->process.pid, SIGKILL);
    }
}

static void call_end(struct platform_call *call)
{
    if (call->is_ending) {
        return;
    }
    call->is_ending = true;
    kill_group(call);
    tell(call);
    close_all(call);
}

/* ---- while it runs ---- */

static void on_grace_over(uv_timer_t *timer)
{
    call_end(call_of(timer->data));
}

static void on_exited(uv_process_t *process, int64_t code, int signal_number)
{
    struct platform_call *call = call_of(process->data);
    call->has_exited = true;
    call->exit_code = code;
    call->exit_signal = signal_number;
    if (call->open_outputs == 0 || call->is_late || call->is_cancelled) {
        call_end(call);
        return;
    }
    /* What it wrote last is still in the pipes; a child that it left behind may hold them. */
    (void)uv_timer_start(&call->timer, on_grace_over, EXEC_GRACE_MS, 0);
}

/* The end comes when the process was reaped, so that no zombie stays behind. */
static void on_deadline(uv_timer_t *timer)
{
    struct platform_call *call = call_of(timer->data);
    call->is_late = !call->is_cancelled;
    kill_group(call);
}

static void on_output_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct platform_call *call = call_of(handle->data);
    (void)suggested;
    *buf = uv_buf_init(call->chunk, sizeof call->chunk);
}

static void on_output(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct platform_call *call = call_of(stream->data);
    if (size >= 0) {
        size_t room = EXEC_OUTPUT_MAX - buf_size(&call->output);
        size_t kept = (size_t)size < room ? (size_t)size : room;
        (void)buf_append(&call->output, bytes_make(buf->base, kept));
        return;
    }
    (void)uv_read_stop(stream);
    call->open_outputs--;
    if (call->open_outputs == 0 && call->has_exited) {
        call_end(call);
    }
}

static void on_record_written(uv_write_t *write, int status)
{
    struct platform_call *call = call_of(write->data);
    (void)status; /* a command need not read it */
    close_handle(call, (uv_handle_t *)&call->input);
}

/* ---- the port ---- */

static void init_handles(struct platform_call *call)
{
    uv_loop_t *loop = call->exec->loop;
    int failed = uv_pipe_init(loop, &call->input, 0);
    failed |= uv_pipe_init(loop, &call->outputs[0], 0);
    failed |= uv_pipe_init(loop, &call->outputs[1], 0);
    failed |= uv_timer_init(loop, &call->timer);
    CHECK(failed == 0);
    call->input.data = call;
    call->outputs[0].data = call;
    call->outputs[1].data = call;
    call->timer.data = call;
    call->write.data = call;
    call->process.data = call;
    call->open_handles = 5;
}

static int spawn(struct platform_call *call)
{
    uv_stdio_container_t stdio[] = {
        {.flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&call->input},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&call->outputs[0]},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
         .data.stream = (uv_stream_t *)&call->outputs[1]},
    };
    uv_process_options_t options = {
        .file = call->exec->argv[0],
        .args = call->exec->argv,
        .exit_cb = on_exited,
        .stdio = stdio,
        .stdio_count = COUNT_OF(stdio),
        .flags = UV_PROCESS_DETACHED, /* a session, and so a group, of its own */
    };
    return uv_spawn(call->exec->loop, &call->process, &options);
}

static void on_not_spawned(uv_timer_t *timer)
{
    call_end(call_of(timer->data));
}

static void run(struct platform_call *call, uint64_t deadline_ms, size_t record_size)
{
    static const int exit_code_not_found = 127;
    uv_update_time(call->exec->loop);
    if (spawn(call) != 0) {
        call->exit_code = exit_code_not_found;
        call->has_exited = true;
        (void)uv_timer_start(&call->timer, on_not_spawned, 0, 0);
        return;
    }
    call->open_outputs = 2;
    (void)uv_timer_start(&call->timer, on_deadline, deadline_ms, 0);
    (void)uv_read_start((uv_stream_t *)&call->outputs[0], on_output_room, on_output);
    (void)uv_read_start((uv_stream_t *)&call->outputs[1], on_output_room, on_output);
    uv_buf_t piece = uv_buf_init(call->record, (unsigned)record_size);
    if (uv_write(&call->write, (uv_stream_t *)&call->input, &piece, 1, on_record_written) != 0) {
        close_handle(call, (uv_handle_t *)&call->input);
    }
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
    char *record = malloc(wish->record.size + 1);
    if (call == NULL || record == NULL) {
        free(call);
        free(record);
        return ERR_NOMEM;
    }
    if (wish->record.size > 0) {
        memcpy(record, wish->record.data, wish->record.size);
    }
    record[wish->record.size] = '\n';
    call->tag = EXEC_TAG;
    call->exec = exec;
    call->record = record;
    call->on_done = on_done;
    call->context = context;
    buf_init(&call->output, EXEC_OUTPUT_MAX);
    list_push_back(&exec->calls, &call->link);
    init_handles(call);
    if (ret_call != NULL) {
        *ret_call = call;
    }
    run(call, wish->deadline_ms != 0 ? wish->deadline_ms : PLATFORM_DEADLINE_MS,
        wish->record.size + 1);
    return OK;
}

static void exec_cancel(struct platform_call *call)
{
    if (call->is_ending || call->is_cancelled) {
        return;
    }
    call->is_cancelled = true;
    uv_update_time(call->exec->loop);
    (void)uv_timer_start(&call->timer, call->has_exited ? on_grace_over : on_deadline, 0, 0);
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

enum err exec_create(uv_loop_t *loop, const char *const *argv, struct provider **ret_provider)
{
    static const struct provider_ops ops = {
        .name = "exec", .start = exec_start, .cancel = exec_cancel, .close = exec_close};
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
    }
    *ret_provider = &exec->provider;
    return OK;
}
