/* tests/fuzz/fuzz_cookie.c — whatever a client writes into Cookie, Serin-Version and Host, decide
 * stays sound.
 *
 * The input's lines are: authority and target (split at the first blank), Serin-Version, and the
 * rest as a Cookie. */
#include "proxy/base/check.h"
#include "router/affinity.h"
#include "router/cookie.h"
#include "router/decide.h"
#include "router/matcher.h"
#include "router/sticky.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROLLOUT = 0xabc, WEIGHT = 300000 };

static void check_parts(struct bytes whole, struct bytes part)
{
    if (part.size > 0) {
        CHECK(part.data >= whole.data);
        CHECK(part.data + part.size <= whole.data + whole.size);
    }
}

/* A key that was read is one that would be written the same way. */
static void check_affinity(struct bytes value)
{
    char text[AFFINITY_SET_COOKIE_MAX];
    uint64_t key = 0;
    if (affinity_parse(value, &key)) {
        struct bytes written = affinity_format(key, false, text);
        struct bytes prefix = BYTES(AFFINITY_COOKIE "=");
        CHECK(bytes_starts_with(written, prefix));
        CHECK(bytes_equal(bytes_slice(written, prefix.size, value.size), value));
    }
}

static void check_cookies(struct bytes field)
{
    struct bytes rest = field;
    struct cookie cookie;
    size_t count = 0;
    while (cookie_next(&rest, &cookie)) {
        check_affinity(cookie.value);
        check_parts(field, cookie.name);
        check_parts(field, cookie.value);
        CHECK(cookie.name.size > 0);
        count++;
    }
    CHECK(count <= field.size);
}

/* A bucket that was read is one that would be written the same way. */
static void check_bucket(const struct sticky *sticky, uint32_t bucket, struct bytes field)
{
    char text[STICKY_SET_COOKIE_MAX];
    struct bytes written = sticky_format(sticky, bucket, false, text);
    size_t equals = bytes_find(written, '=');
    struct bytes value = bytes_slice(written, equals + 1, bytes_find(written, ';') - equals - 1);
    CHECK(memmem(field.data, field.size, value.data, value.size) != NULL);
}

static void check_decision(struct bytes version, struct bytes field)
{
    const struct decide_service service = {.weight_ppm = WEIGHT,
                                           .sticky = {.by = STICKY_COOKIE, .rollout = ROLLOUT}};
    const struct decide_facts facts = {
        .is_live = {true, true}, .version_header = version, .cookies = &field, .cookie_count = 1};
    struct split_accumulator accumulator;
    split_accumulator_init(&accumulator, 0, 1);
    uint32_t before = accumulator.filled;
    struct random random;
    random_init(&random, 1);
    struct decision decision = decide(&service, &facts, &accumulator, &random);
    CHECK(decision.role < ROLE_COUNT);
    CHECK(decision.bucket < SPLIT_TOTAL);
    CHECK((decision.reason == DECIDE_WEIGHT) == (accumulator.filled != before));
    CHECK(decision.sets_cookie == (decision.reason == DECIDE_WEIGHT));
    if (decision.reason == DECIDE_STICKY) {
        CHECK(decision.role == split_pick(WEIGHT, decision.bucket));
        check_bucket(&service.sticky, decision.bucket, field);
    }
}

static void check_matcher(struct bytes line)
{
    size_t blank = bytes_find(line, ' ');
    struct bytes authority = bytes_slice(line, 0, blank);
    struct bytes target = bytes_slice(line, blank, line.size - blank);
    check_parts(line, matcher_host_of(authority));
    CHECK(matcher_path_of(bytes_trim(target)).data[0] == '/');
    enum host_pattern_kind kind;
    struct bytes name;
    if (matcher_host_pattern(authority, &kind, &name)) {
        CHECK(name.size <= MATCHER_HOST_MAX);
        CHECK(matcher_host_of(name).size == name.size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes rest = {(const char *)data, size};
    struct bytes line = {NULL, 0};
    struct bytes version = {NULL, 0};
    (void)bytes_next(&rest, '\n', &line);
    (void)bytes_next(&rest, '\n', &version);
    check_matcher(line);
    check_cookies(rest);
    check_decision(version, rest);
    return 0;
}
