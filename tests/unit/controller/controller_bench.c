#include "tests/unit/controller/controller_bench.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf/conf_load.h"
#include "proxy/base/log.h"

enum { PATIENCE_MS = 30000, LOOK_MS = 5 };

unsigned bench_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(close(fd), 0);
    return ntohs(address.sin_port);
}

void bench_open(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    log_set_level(LOG_LEVEL_ERROR);
    (void)snprintf(bench->folder, sizeof bench->folder, "/tmp/serin-controller-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    (void)snprintf(bench->conf_path, sizeof bench->conf_path, "%s/serin.yaml", bench->folder);
    (void)snprintf(bench->state_path, sizeof bench->state_path, "%s/serin.db", bench->folder);
    (void)snprintf(bench->token_path, sizeof bench->token_path, "%s/token", bench->folder);
    bench->port = bench_free_port();
    assert_int_equal(loop_init(&bench->loop), OK);
}

void bench_close(struct bench *bench)
{
    static const char *const ends[] = {"serin.yaml", "serin.db", "serin.db-wal", "serin.db-shm",
                                       "token"};
    bench_stop(bench);
    loop_shutdown(&bench->loop);
    loop_run(&bench->loop);
    loop_finish(&bench->loop);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", bench->folder, ends[i]);
        (void)unlink(path);
    }
    (void)rmdir(bench->folder);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

void bench_configure(struct bench *bench, const char *more, const char *services)
{
    char text[8192];
    char usual[256] = "";
    if (strstr(more, "listen:") == NULL) {
        (void)snprintf(usual, sizeof usual, "listen: [{address: '127.0.0.1:%u'}]\n", bench->port);
    }
    if (strstr(more, "admin:") == NULL) {
        size_t used = strlen(usual);
        (void)snprintf(usual + used, sizeof usual - used, "admin: {address: 'unix:%s/admin'}\n",
                       bench->folder);
    }
    int size = snprintf(text, sizeof text,
                        "workers: 2\nstate: serin.db\naccess_log: off\n%s%sservices:\n%s", usual,
                        more, services);
    assert_true(size > 0 && (size_t)size < sizeof text);
    write_file(bench->conf_path, text);
}

void bench_write_token(struct bench *bench, const char *secret)
{
    write_file(bench->token_path, secret);
}

enum err bench_start(struct bench *bench)
{
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    enum err err = conf_load_file(bench->conf_path, &errors, &conf);
    if (err != OK) {
        conf_errors_print(&errors, stderr);
    }
    conf_errors_finish(&errors);
    assert_int_equal(err, OK);
    struct controller_options options = {.loop = &bench->loop,
                                         .conf = conf,
                                         .conf_path = bench->conf_path,
                                         .version = "1",
                                         .commit = "test",
                                         .clock = bench->clock};
    return controller_create(&options, &bench->note, &bench->controller);
}

void bench_stop(struct bench *bench)
{
    if (bench->controller != NULL) {
        controller_drain(bench->controller);
        loop_run(&bench->loop);
        controller_destroy(bench->controller);
        bench->controller = NULL;
        loop_shutdown(&bench->loop);
        loop_run(&bench->loop);
        loop_finish(&bench->loop);
        assert_int_equal(loop_init(&bench->loop), OK);
    }
}

static void on_look(uv_timer_t *timer)
{
    (void)timer;
}

void bench_run_until(struct bench *bench, bool (*is_done)(void *context), void *context)
{
    uv_timer_t look;
    assert_int_equal(uv_timer_init(&bench->loop.uv, &look), 0);
    assert_int_equal(uv_timer_start(&look, on_look, LOOK_MS, LOOK_MS), 0);
    uint64_t until_ms = uv_now(&bench->loop.uv) + PATIENCE_MS;
    while (!is_done(context)) {
        assert_true(uv_now(&bench->loop.uv) < until_ms);
        (void)uv_run(&bench->loop.uv, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&look, NULL);
    (void)uv_run(&bench->loop.uv, UV_RUN_NOWAIT);
}

/* ---- asking ---- */

static void on_answer(void *context, const struct admin_answer *answer)
{
    struct answer *into = context;
    into->status = answer->status;
    into->body = json_loadb(answer->body.data, answer->body.size, 0, NULL);
}

static void ask(struct bench *bench, enum method method, const char *target, const char *body,
                const char *token, struct answer *answer)
{
    char bearer[128];
    struct field items[3];
    struct fields fields = {items, 0};
    items[fields.count++] =
        (struct field){BYTES("Content-Type"), BYTES("application/json"), FIELD_CONTENT_TYPE};
    if (token != NULL) {
        (void)snprintf(bearer, sizeof bearer, "Bearer %s", token);
        items[fields.count++] =
            (struct field){BYTES("Authorization"), bytes_of(bearer), FIELD_AUTHORIZATION};
    }
    if (method == METHOD_PUT) {
        items[fields.count++] = (struct field){BYTES("If-Match"), BYTES("*"), FIELD_IF_MATCH};
    }
    struct admin_request request = {
        .method = method,
        .target = bytes_of(target),
        .authority = BYTES("127.0.0.1"),
        .fields = &fields,
        .body = bytes_of(body != NULL ? body : ""),
    };
    *answer = (struct answer){0};
    loop_enter(&bench->loop);
    (void)!admin_handle(bench->controller->admin, &request, on_answer, answer);
    loop_leave(&bench->loop);
}

static bool has_answer(void *context)
{
    const struct answer *answer = context;
    return answer->status != 0;
}

struct answer bench_ask(struct bench *bench, enum method method, const char *target,
                        const char *body, const char *token)
{
    struct answer answer;
    ask(bench, method, target, body, token, &answer);
    bench_run_until(bench, has_answer, &answer);
    return answer;
}

unsigned bench_status(struct bench *bench, enum method method, const char *target, const char *body)
{
    struct answer answer = bench_ask(bench, method, target, body, NULL);
    unsigned status = answer.status;
    bench_forget(&answer);
    return status;
}

void bench_set_weight(struct bench *bench, const char *percent)
{
    char body[64];
    (void)snprintf(body, sizeof body, "{\"current\":%s}", percent);
    assert_int_equal(bench_status(bench, METHOD_PUT, "/api/v1/services/shop/weight", body), 200);
}

void bench_reload(struct bench *bench, const char *services)
{
    bench_configure(bench, "", services);
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/reload", "{}"), 200);
}

void bench_ask_later(struct bench *bench, enum method method, const char *target, const char *body,
                     struct answer *answer)
{
    ask(bench, method, target, body, NULL, answer);
}

void bench_forget(struct answer *answer)
{
    json_decref(answer->body);
    *answer = (struct answer){0};
}

struct steward *bench_steward(struct bench *bench, const char *name)
{
    struct steward *steward = controller_find(bench->controller, name);
    assert_non_null(steward);
    return steward;
}

/* ---- the file ---- */

static void on_history_closed(void *context)
{
    *(bool *)context = true;
}

void bench_write(struct bench *bench, const struct history_change *change)
{
    struct history_options options = {.path = bench->state_path, .loop = &bench->loop.uv};
    struct history *history = NULL;
    bool is_closed = false;
    assert_int_equal(history_create(&options, &history), OK);
    assert_int_equal(history_write(history, change, HISTORY_SOON, NULL, NULL), OK);
    history_close(history, on_history_closed, &is_closed);
    while (!is_closed) {
        (void)uv_run(&bench->loop.uv, UV_RUN_ONCE);
    }
}

void bench_look_up(struct bench *bench, const char *sql, char text[256])
{
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    text[0] = '\0';
    assert_int_equal(sqlite3_open(bench->state_path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(database, 5000), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        (void)snprintf(text, 256, "%s", (const char *)sqlite3_column_text(statement, 0));
    }
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

void *bench_lock(struct bench *bench)
{
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(bench->state_path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(database, 5000), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return database;
}

void bench_unlock(void *lock)
{
    assert_int_equal(sqlite3_exec(lock, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(lock), SQLITE_OK);
}
