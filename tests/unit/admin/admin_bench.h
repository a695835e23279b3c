/* tests/unit/admin/admin_bench.h — the admin API with a controller that only pretends, and words to
 * ask it. */
#pragma once
#include "canary/admin/admin.h"

/* Remembers what it was asked to do; answers with `result`, at once or when told to. */
struct fake_controller {
    struct admin_service service; /* the only one: "showcase" */
    bool is_ready;
    enum admin_result result;
    bool is_late; /* keep the call for fake_answer */
    struct admin_call *kept;
    unsigned asked; /* changes asked for so far */
    char last[256]; /* the last one in words: "weight showcase 125000 rev=7 by ops" */
    char explained[256];
};

struct admin_bench {
    struct fake_controller fake;
    struct conf_admin conf;
    struct admin *admin;
    struct field fields[8];
    size_t field_count;
    const char *authority;
    bool is_tls;
    /* The last answer. */
    unsigned answers;
    unsigned status;
    char content_type[64];
    char body[131072];
    char etag[64];
    char location[256];
    char allow[64];
    char www_authenticate[128];
    bool is_stream;
    uint64_t last_event;
};

extern const struct admin_ops fake_ops;

void admin_bench_init(struct admin_bench *bench, struct history *history);
void admin_bench_finish(struct admin_bench *bench);
/* Adds a field to the next request. */
void with(struct admin_bench *bench, const char *name, const char *value);
/* Asks; returns the status, 0 when the answer is to come later. Fields are forgotten afterwards. */
unsigned ask(struct admin_bench *bench, enum method method, const char *target, const char *body);
/* The same as JSON, with its Content-Type. */
unsigned ask_json(struct admin_bench *bench, enum method method, const char *target,
                  const char *body);
/* Lets the kept call be answered. */
void fake_answer(struct admin_bench *bench);
/* The last answer as JSON, to be json_decrefed; asserts that it is. */
json_t *answer_json(const struct admin_bench *bench);
/* Asserts that the last answer is a problem document with this status and field (NULL: none). */
void assert_problem(const struct admin_bench *bench, unsigned status, const char *field);
