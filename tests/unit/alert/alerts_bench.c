#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/alert/alerts_bench.h"

static uint64_t monotonic_us(void *context)
{
    return ((struct bench *)context)->now_us;
}

static int64_t wall_us(void *context)
{
    return ((struct bench *)context)->wall_us;
}

static void forget(struct bench *bench, size_t index)
{
    free(bench->rows[index].body);
    bench->row_count--;
    memmove(&bench->rows[index], &bench->rows[index + 1],
            (bench->row_count - index) * sizeof bench->rows[0]);
}

static void write_row(void *context, int64_t seq, const char *body)
{
    struct bench *bench = context;
    bench->write_count++;
    for (size_t i = 0; i < bench->row_count; i++) {
        if (bench->rows[i].seq == seq) {
            forget(bench, i);
            break;
        }
    }
    if (body == NULL) {
        return;
    }
    assert_true(bench->row_count < BENCH_ROWS_MAX);
    size_t at = bench->row_count;
    while (at > 0 && bench->rows[at - 1].seq > seq) {
        at--;
    }
    memmove(&bench->rows[at + 1], &bench->rows[at],
            (bench->row_count - at) * sizeof bench->rows[0]);
    bench->rows[at] = (struct bench_row){seq, strdup(body)};
    bench->row_count++;
}

static void open_alerts(struct bench *bench)
{
    struct alerts_options options = {
        .loop = &bench->loop,
        .clock = &bench->clock,
        .seed = 1,
        .write = write_row,
        .context = bench,
    };
    assert_int_equal(alerts_create(&options, &bench->alerts), OK);
    alerts_name(bench->alerts, "http://127.0.0.1:9901");
    assert_int_equal(alerts_configure(bench->alerts, &bench->conf), OK);
}

void bench_init(struct bench *bench, size_t channel_count)
{
    memset(bench, 0, sizeof *bench);
    bench->now_us = 1000000;
    bench->wall_us = INT64_C(1790000000000000);
    bench->clock = (struct clock){monotonic_us, wall_us, bench};
    (void)snprintf(bench->folder, sizeof bench->folder, "/tmp/serin-alerts-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    assert_int_equal(uv_loop_init(&bench->loop), 0);
    for (size_t i = 0; i < channel_count; i++) {
        (void)snprintf(bench->script[i], sizeof bench->script[i],
                       "[ ! -e %s/fail ] && { cat; echo; } >> %s/%zu", bench->folder, bench->folder,
                       i);
        bench->words[i][0] = "sh";
        bench->words[i][1] = "-c";
        bench->words[i][2] = bench->script[i];
        bench->channels[i].exec =
            (struct conf_alert_exec){true, bench->words[i], 3, UINT64_C(60000000)};
    }
    bench->conf.alerts = bench->channels;
    bench->conf.alert_count = channel_count;
    open_alerts(bench);
}

static void on_closed(void *context)
{
    ((struct bench *)context)->is_closed++;
}

static void close_alerts(struct bench *bench)
{
    bench->is_closed = 0;
    alerts_close(bench->alerts, on_closed, bench);
    (void)uv_run(&bench->loop, UV_RUN_DEFAULT);
    assert_int_equal(bench->is_closed, 1);
}

void bench_lose(struct bench *bench)
{
    while (bench->row_count > 0) {
        forget(bench, 0);
    }
}

void bench_finish(struct bench *bench)
{
    close_alerts(bench);
    assert_int_equal(uv_loop_close(&bench->loop), 0);
    bench_lose(bench);
    const char *names[] = {"0", "1", "fail"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[96];
        (void)snprintf(path, sizeof path, "%s/%s", bench->folder, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(bench->folder), 0);
}

void bench_restart(struct bench *bench)
{
    struct bench_row rows[BENCH_ROWS_MAX];
    size_t count = bench->row_count;
    close_alerts(bench);
    assert_int_equal(bench->row_count, count);
    memcpy(rows, bench->rows, sizeof rows);
    bench->row_count = 0;
    open_alerts(bench);
    for (size_t i = 0; i < count; i++) {
        alerts_restore(bench->alerts, rows[i].seq, rows[i].body);
        free(rows[i].body);
    }
}

void bench_set_failing(struct bench *bench, bool is_failing)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/fail", bench->folder);
    if (is_failing) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        (void)fclose(file);
    } else {
        (void)unlink(path);
    }
}

void bench_turn(struct bench *bench, uint64_t us)
{
    bench->now_us += us;
    bench->wall_us += (int64_t)us;
    assert_int_equal(alerts_configure(bench->alerts, &bench->conf), OK);
}

static uint64_t attempts_of(struct bench *bench, size_t channel)
{
    struct alerts_channel view;
    alerts_channel_at(bench->alerts, channel, &view);
    return view.counts[ALERT_DELIVERED] + view.counts[ALERT_FAILED] + view.counts[ALERT_REFUSED];
}

void bench_wait(struct bench *bench, size_t channel, uint64_t attempts)
{
    while (attempts_of(bench, channel) < attempts && uv_run(&bench->loop, UV_RUN_ONCE) != 0) {
    }
    assert_int_equal(attempts_of(bench, channel), attempts);
}

json_t *bench_told(struct bench *bench, size_t channel)
{
    char path[96];
    char line[4096];
    json_t *told = json_array();
    (void)snprintf(path, sizeof path, "%s/%zu", bench->folder, channel);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        json_t *message = json_loads(line, 0, NULL);
        assert_non_null(message);
        (void)json_array_append_new(told, message);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return told;
}

const char *bench_states(struct bench *bench, size_t channel, char text[256])
{
    json_t *told = bench_told(bench, channel);
    size_t size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < json_array_size(told); i++) {
        const char *state = json_string_value(json_object_get(json_array_get(told, i), "state"));
        size += (size_t)snprintf(text + size, 256 - size, "%s%s", i > 0 ? " " : "", state);
    }
    json_decref(told);
    return text;
}

struct event_facts bench_facts(const char *name)
{
    return (struct event_facts){name, "shop", "v2", "critical", "absolute", "5 of 10 failed"};
}
