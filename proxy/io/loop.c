#include "proxy/io/loop.h"

#include <stdlib.h>

#include "proxy/base/check.h"
#include "proxy/io/stream.h"

enum err loop_init(struct loop *loop)
{
    *loop = (struct loop){.now_us = uv_hrtime() / 1000};
    loop->read_buffer = malloc(LOOP_READ_SIZE);
    loop->cork_buffer = malloc(LOOP_CORK_SIZE);
    if (loop->read_buffer == NULL || loop->cork_buffer == NULL) {
        goto no_memory;
    }
    if (uv_loop_init(&loop->uv) != 0) {
        goto no_memory;
    }
    random_init(&loop->random, 0);
    deadline_wheel_init(&loop->wheel, loop);
    return OK;

no_memory:
    free(loop->read_buffer);
    free(loop->cork_buffer);
    return ERR_NOMEM;
}

void loop_finish(struct loop *loop)
{
    int status = uv_loop_close(&loop->uv);
    CHECK(status == 0);
    free(loop->read_buffer);
    free(loop->cork_buffer);
    loop->read_buffer = NULL;
    loop->cork_buffer = NULL;
}

void loop_run(struct loop *loop)
{
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

void loop_leave(struct loop *loop)
{
    CHECK(loop->depth > 0);
    if (loop->depth == 1 && (loop->corked != NULL || loop->broken != NULL)) {
        stream_settle(loop);
    }
    loop->depth--;
}

void loop_shutdown(struct loop *loop)
{
    deadline_wheel_finish(&loop->wheel);
}
