/* tests/fuzz/fuzz_cache_control.c — whatever clients and origins write into the fields that caches
 * read, nothing is kept that must not be, and nothing that is kept is misread.
 *
 * The input: a byte for the method, one for the status, one for rules; then lines of fields, those
 * of the request up to an empty line, those of the answer up to the next, those of a 304 after. */
#include "proxy/base/check.h"
#include "proxy/cache/cache_answer.h"
#include "proxy/cache/cache_invalidate.h"
#include "proxy/cache/cache_key.h"
#include "proxy/cache/cache_status.h"
#include "proxy/cache/cache_validate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 32, ITEMS_MAX = 2 * LINES_MAX + 4, SECOND_US = 1000000, BODY_SIZE = 1000 };

static const struct cache_times times = {UINT64_C(50) * SECOND_US, UINT64_C(51) * SECOND_US,
                                         INT64_C(1795435200) * SECOND_US};

struct block {
    struct field items[LINES_MAX];
    struct fields fields;
};

struct input {
    struct block request;
    struct block response;
    struct block not_modified;
    enum method method;
    unsigned status;
    struct cache_rules rules;
};

/* Names are tokens and values hold no line ends, as framing leaves them. */
static void read_block(struct bytes *rest, struct block *block)
{
    struct bytes line;
    block->fields = (struct fields){block->items, 0};
    while (bytes_next(rest, '\n', &line) && line.size > 0) {
        size_t colon = bytes_find(line, ':');
        if (colon == 0 || colon == line.size || block->fields.count == LINES_MAX) {
            continue;
        }
        struct bytes name = bytes_slice(line, 0, colon);
        block->items[block->fields.count++] =
            (struct field){name, bytes_trim(bytes_slice(line, colon + 1, line.size - colon - 1)),
                           field_id_of(name)};
    }
}

static void read_input(const uint8_t *data, struct bytes rest, struct input *input)
{
    static const unsigned statuses[] = {200, 204, 206, 301, 302, 404, 410, 500, 503, 299};
    input->method = (enum method)(data[0] % METHOD_COUNT);
    input->status = statuses[data[1] % COUNT_OF(statuses)];
    input->rules = (struct cache_rules){.mode = data[2] & 1 ? CACHE_FULL : CACHE_FALLBACK,
                                        .stale_if_error_s = data[2] & 2 ? 60 : 0,
                                        .is_set_cookie_stored = (data[2] & 4) != 0,
                                        .is_revalidation_waived = (data[2] & 8) != 0};
    read_block(&rest, &input->request);
    read_block(&rest, &input->response);
    read_block(&rest, &input->not_modified);
}

/* What must hold of all that is kept, by another way than the code's own. */
static void check_kept(const struct input *input, const struct fields *kept,
                       const struct cache_meta *meta)
{
    struct cache_control control;
    cache_control_read(kept, &control);
    CHECK(input->method == METHOD_GET);
    CHECK(input->status != 206);
    CHECK(input->status < 500);
    CHECK(!control.is_private_whole);
    CHECK(!cache_control_has(&control, CACHE_CONTROL_NO_STORE) ||
          cache_control_has(&control, CACHE_CONTROL_MUST_UNDERSTAND));
    CHECK(fields_find(kept, FIELD_DATE) != NULL);
    CHECK(fields_find(kept, FIELD_AGE) == NULL);
    CHECK(fields_find(kept, FIELD_CONNECTION) == NULL);
    CHECK(fields_find(kept, FIELD_TRANSFER_ENCODING) == NULL);
    CHECK(input->rules.is_set_cookie_stored || fields_find(kept, FIELD_SET_COOKIE) == NULL);
    CHECK(!fields_has_token(kept, FIELD_VARY, BYTES("*")));
    for (size_t i = 0; i < kept->count; i++) {
        CHECK(!cache_control_withholds(kept, kept->items[i].name));
    }
    CHECK(meta->lifetime_us <= (uint64_t)CACHE_SECONDS_MAX * SECOND_US);
}

static void check_answer(const struct input *input, const struct request *request,
                         const struct fields *kept, struct arena *arena)
{
    struct field items[ITEMS_MAX + CACHE_ANSWER_ADDED_MAX];
    struct response head;
    const struct cache_stored stored = {input->status, *kept, BODY_SIZE, times.wall_us / SECOND_US};
    struct cache_answer answer = cache_answer_of(request, &stored);
    CHECK(answer.first <= BODY_SIZE);
    CHECK(answer.size <= BODY_SIZE - answer.first);
    CHECK(answer.kind != CACHE_ANSWER_RANGE || answer.size > 0);
    CHECK(answer.kind == CACHE_ANSWER_WHOLE || input->status == 200);
    CHECK(cache_answer_head(&stored, &answer, 1, BYTES("serin; hit"), arena, items, COUNT_OF(items),
                            &head) == OK);
    CHECK(head.has_content_length == (head.body == BODY_LENGTH));
}

static void check_judgement(const struct cache_meta *meta, const struct cache_request *request,
                            const struct cache_rules *rules)
{
    /* Who wants nothing but what is kept gets it stale where it allows that (max-stale). */
    bool is_kept_wanted = cache_control_has(&request->control, CACHE_CONTROL_ONLY_IF_CACHED);
    bool was_fresh = true;
    for (uint64_t later_s = 1; later_s < UINT64_C(1) << 33; later_s *= 4) {
        uint64_t now_us = times.response_us + later_s * SECOND_US;
        enum cache_verdict verdict = cache_judge(meta, request, rules, now_us).verdict;
        CHECK(rules->mode == CACHE_FULL || verdict == CACHE_MISS || verdict == CACHE_PASS);
        CHECK(was_fresh || verdict != CACHE_FRESH);
        CHECK(verdict != CACHE_FRESH || is_kept_wanted || cache_ttl_s(meta, now_us) >= 0);
        CHECK(verdict != CACHE_STALE_WHILE_REVALIDATE || !is_kept_wanted);
        CHECK(verdict != CACHE_STALE_WHILE_REVALIDATE || !meta->is_stale_forbidden);
        was_fresh = verdict == CACHE_FRESH;
        (void)cache_may_serve_on_error(meta, request, rules, now_us);
    }
}

static void check_vary(const struct input *input, struct arena *arena)
{
    struct bytes vary;
    enum err err = cache_vary_make(&input->response.fields, &input->request.fields, arena, &vary);
    CHECK(err == OK || err == ERR_UNSUPPORTED || err == ERR_LIMIT);
    if (err == OK) {
        struct bytes other;
        CHECK(cache_vary_matches(vary, &input->request.fields));
        err = cache_vary_make(&input->response.fields, &input->not_modified.fields, arena, &other);
        CHECK(err == OK || err == ERR_LIMIT);
        CHECK(err != OK ||
              bytes_equal(vary, other) == cache_vary_matches(vary, &input->not_modified.fields));
    }
}

static void check_invalidated(const struct input *input, struct request *request,
                              const struct response *response, struct arena *arena)
{
    struct bytes targets[CACHE_INVALIDATED_MAX];
    request->method = METHOD_POST;
    size_t count = cache_invalidated(request, BYTES("http"), response, arena, targets);
    CHECK((count > 0) == (input->status < 400));
    for (size_t i = 0; i < count; i++) {
        CHECK(bytes_starts_with(targets[i], BYTES("/")));
    }
}

static void check_stored(const struct input *input, const struct request *request,
                         const struct cache_request *read, const struct response *response,
                         const struct cache_meta *first_meta, struct arena *arena)
{
    struct field kept_items[ITEMS_MAX];
    struct field items[ITEMS_MAX];
    char dates[2][REPLY_DATE_SIZE];
    struct response stored = *response;
    struct cache_meta meta = *first_meta;
    CHECK(cache_stored_fields(response, &input->rules, &times, dates[0], kept_items, ITEMS_MAX,
                              &stored.fields) == OK);
    check_kept(input, &stored.fields, &meta);
    check_answer(input, request, &stored.fields, arena);
    check_judgement(&meta, read, &input->rules);
    struct request asked;
    CHECK(cache_fetch_request(request, &stored.fields, items, ITEMS_MAX, &asked) == OK);
    CHECK(fields_find(&asked.fields, FIELD_RANGE) == NULL);
    const struct response fresh = {.status = 304, .fields = input->not_modified.fields};
    struct fields fields;
    if (cache_selects(&stored.fields, &fresh.fields) &&
        cache_freshen(read, &stored, &fresh, &input->rules, &times, dates[1], items, ITEMS_MAX,
                      &fields, &meta) == CACHE_ADMIT_STORED) {
        check_kept(input, &fields, &meta);
        check_judgement(&meta, read, &input->rules);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { HEAD = 3 };
    static struct input input;
    struct arena arena;
    if (size < HEAD) {
        return 0;
    }
    read_input(data, bytes_make((const char *)data + HEAD, size - HEAD), &input);
    struct request request = {.method = input.method,
                              .target = BYTES("/a/b?c"),
                              .authority = BYTES("shop.test"),
                              .fields = input.request.fields};
    struct response response = {
        .status = input.status, .fields = input.response.fields, .body = BODY_LENGTH};
    struct cache_request read;
    struct cache_meta meta;
    arena_init(&arena, 1 << 20);
    cache_request_read(&request, &read);
    (void)cache_judge(NULL, &read, &input.rules, times.response_us);
    check_vary(&input, &arena);
    if (cache_admit(&read, &response, &input.rules, &times, &meta) == CACHE_ADMIT_STORED) {
        check_stored(&input, &request, &read, &response, &meta, &arena);
    }
    check_invalidated(&input, &request, &response, &arena);
    arena_finish(&arena);
    return 0;
}
