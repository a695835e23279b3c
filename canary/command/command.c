#include "canary/command/command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "proxy/base/check.h"

enum {
    COMMAND_TAG = TAG('c', 'm', 'n', 'd'),
    STREAMS = 2, /* standard output and standard error */
    READ_SIZE = 4096,
    LINGER_MS = 500, /* for what was written to be read, once it has ended */
};

struct command {
    unsigned tag;
    uv_process_t process;
    uv_pipe_t input;
    uv_pipe_t outputs[STREAMS];
    uv_timer_t timer;
    uv_write_t write;
    char *input_bytes; /* owned */
    char read_buffer[READ_SIZE];
    char *output; /* owned; output_max bytes */
    size_t output_max;
    size_t output_size;
    unsigned open_handles;
    unsigned open_outputs; /* not at their end yet */
    bool is_started;
    bool has_ended;
    struct command_result result;
    command_on_done *on_done;
    void *context;
};

static struct command *command_of(void *context)
{
    struct command *command = context;
    CHECK(command->tag == COMMAND_TAG);
    return command;
}

static void command_destroy(struct command *command)
{
    command->tag = 0;
    free(command->output);
    free(command->input_bytes);
    free(command);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct command *command = command_of(handle->data);
    CHECK(command->open_handles > 0);
    if (--command->open_handles > 0) {
        return;
    }
    command->result.output = bytes_make(command->output, command->output_size);
    command->on_done(command->context, &command->result);
    command_destroy(command);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle)) {
        uv_close(handle, on_handle_closed);
    }
}

static void close_all(struct command *command)
{
    close_handle((uv_handle_t *)&command->process);
    close_handle((uv_handle_t *)&command->input);
    close_handle((uv_handle_t *)&command->timer);
    for (size_t i = 0; i < STREAMS; i++) {
        close_handle((uv_handle_t *)&command->outputs[i]);
    }
}

/* Only while its leader is not reaped, or somebody of it holds the output: a group without members
 * may have given its number to others. */
static void kill_group(struct command *command)
{
    if (command->is_started && (!command->has_ended || command->open_outputs > 0)) {
        (void)kill(-command->process.pid, SIGKILL);
    }
}

/* Somebody it left behind still holds its output. */
static void on_lingered(uv_timer_t *timer)
{
    struct command *command = command_of(timer->data);
    kill_group(command);
    close_all(command);
}

static void on_ended(uv_process_t *process, int64_t exit_code, int signal)
{
    struct command *command = command_of(process->data);
    command->has_ended = true;
    command->result.exit_code = (int)exit_code;
    command->result.signal = signal;
    if (command->open_outputs == 0) {
        close_all(command);
        return;
    }
    (void)uv_timer_start(&command->timer, on_lingered, LINGER_MS, 0);
}

static void on_deadline(uv_timer_t *timer)
{
    struct command *command = command_of(timer->data);
    command->result.err = ERR_TIMEOUT;
    kill_group(command);
}

static void on_allocate(uv_handle_t *handle, size_t size, uv_buf_t *ret_buffer)
{
    struct command *command = command_of(handle->data);
    (void)size;
    *ret_buffer = uv_buf_init(command->read_buffer, sizeof command->read_buffer);
}

/* Read to its end, or a command that says much would stand still. */
static void on_output(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct command *command = command_of(stream->data);
    if (size < 0) {
        CHECK(command->open_outputs > 0);
        command->open_outputs--;
        close_handle((uv_handle_t *)stream);
        if (command->has_ended && command->open_outputs == 0) {
            close_all(command);
        }
        return;
    }
    size_t room = command->output_max - command->output_size;
    size_t kept = (size_t)size < room ? (size_t)size : room;
    memcpy(command->output + command->output_size, buffer->base, kept);
    command->output_size += kept;
}

static void on_written(uv_write_t *write, int status)
{
    struct command *command = command_of(write->data);
    (void)status; /* a command need not read */
    close_handle((uv_handle_t *)&command->input);
}

static void init_handles(struct command *command, uv_loop_t *loop)
{
    int failed = uv_timer_init(loop, &command->timer);
    failed |= uv_pipe_init(loop, &command->input, 0);
    command->timer.data = command;
    command->input.data = command;
    for (size_t i = 0; i < STREAMS; i++) {
        failed |= uv_pipe_init(loop, &command->outputs[i], 0);
        command->outputs[i].data = command;
    }
    CHECK(failed == 0);
    command->process.data = command;
    command->write.data = command;
    command->open_handles = STREAMS + 3;
}

static int spawn(struct command *command, uv_loop_t *loop, const struct command_request *request)
{
    char *words[COMMAND_WORDS_MAX + 1] = {NULL};
    CHECK(request->word_count >= 1);
    CHECK(request->word_count <= COMMAND_WORDS_MAX);
    for (size_t i = 0; i < request->word_count; i++) {
        words[i] = (char *)(uintptr_t)request->words[i];
    }
    uv_stdio_container_t streams[1 + STREAMS];
    streams[0].flags = UV_CREATE_PIPE | UV_READABLE_PIPE;
    streams[0].data.stream = (uv_stream_t *)&command->input;
    for (size_t i = 0; i < STREAMS; i++) {
        streams[1 + i].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
        streams[1 + i].data.stream = (uv_stream_t *)&command->outputs[i];
    }
    uv_process_options_t options = {
        .exit_cb = on_ended,
        .file = words[0],
        .args = words,
        .flags = UV_PROCESS_DETACHED,
        .stdio = streams,
        .stdio_count = 1 + STREAMS,
    };
    return uv_spawn(loop, &command->process, &options);
}

static void feed(struct command *command, const struct command_request *request)
{
    uv_buf_t input = uv_buf_init(command->input_bytes, (unsigned)request->input.size);
    if (uv_write(&command->write, (uv_stream_t *)&command->input, &input, 1, on_written) != 0) {
        close_handle((uv_handle_t *)&command->input);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        command->open_outputs++;
        int failed = uv_read_start((uv_stream_t *)&command->outputs[i], on_allocate, on_output);
        CHECK(failed == 0);
    }
    (void)uv_timer_start(&command->timer, on_deadline, request->deadline_ms, 0);
}

enum err command_start(uv_loop_t *loop, const struct command_request *request,
                       command_on_done *on_done, void *context, struct command **ret_command)
{
    struct command *command = calloc(1, sizeof *command);
    if (command == NULL) {
        return ERR_NOMEM;
    }
    command->output_max = request->output_max != 0 ? request->output_max : COMMAND_OUTPUT_MAX;
    command->output = malloc(command->output_max);
    command->input_bytes = malloc(request->input.size + 1);
    if (command->output == NULL || command->input_bytes == NULL) {
        command_destroy(command);
        return ERR_NOMEM;
    }
    command->tag = COMMAND_TAG;
    command->on_done = on_done;
    command->context = context;
    command->result.why = "";
    if (request->input.size > 0) {
        memcpy(command->input_bytes, request->input.data, request->input.size);
    }
    init_handles(command, loop);
    int failed = spawn(command, loop, request);
    if (failed != 0) {
        command->result.err = ERR_IO;
        command->result.why = uv_strerror(failed);
        close_all(command);
    } else {
        command->is_started = true;
        feed(command, request);
    }
    *ret_command = command;
    return OK;
}

void command_kill(struct command *command)
{
    if (!command->is_started) {
        return;
    }
    command->result.err = ERR_CLOSED;
    kill_group(command);
    if (command->has_ended) {
        close_all(command);
    }
}
