/* tests/fuzz/fuzz_platform.c — the answers of a platform's API: whatever comes, ids fit a path,
 * texts have no controls, and what cannot be gone back to is never chosen. */
#include <string.h>

#include "canary/platform/answer.h"
#include "canary/platform/budget.h"
#include "canary/platform/choice.h"
#include "proxy/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIST_MAX = 64 };

static void check_text(const char *text, size_t size)
{
    CHECK(memchr(text, '\0', size) != NULL);
    for (const char *at = text; *at != '\0'; at++) {
        CHECK((unsigned char)*at >= 0x20);
        CHECK(*at != 0x7F);
    }
}

static void check_deployment(const struct platform_deployment *one)
{
    CHECK(platform_id_is_plain(one->id));
    check_text(one->short_id, sizeof one->short_id);
    check_text(one->url, sizeof one->url);
    check_text(one->branch, sizeof one->branch);
    check_text(one->commit, sizeof one->commit);
    check_text(one->message, sizeof one->message);
    check_text(deployment_state(one), DEPLOYMENT_WORD_SIZE);
    CHECK(deployment_is_named(one, one->id));
    CHECK(one->created_us >= 0);
}

static void check_choice(const struct platform_deployment *list, size_t count, const char *wanted)
{
    struct note note = {""};
    size_t index = count;
    if (choice_find(list, count, &list[0], wanted, &index, &note) == OK) {
        CHECK(index < count);
        CHECK(deployment_is_good(&list[index]));
        CHECK(wanted != NULL || list[index].created_us < list[0].created_us);
    } else {
        CHECK(index == count);
    }
    check_text(note.text, sizeof note.text);
}

static void check_list(const json_t *result)
{
    static struct platform_deployment list[LIST_MAX];
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(result) && count < LIST_MAX; i++) {
        if (answer_deployment(json_array_get(result, i), &list[count]) == OK) {
            check_deployment(&list[count]);
            count++;
        }
    }
    if (count > 0) {
        check_choice(list, count, NULL);
        check_choice(list, count, list[count - 1].commit);
        check_choice(list, count, list[count - 1].id);
    }
}

static void check_split(const json_t *value)
{
    struct answer_split split;
    if (answer_split(value, &split) == OK) {
        CHECK(split.version_count >= 1);
        CHECK(split.version_count <= 2);
        CHECK(platform_id_is_plain(split.versions[split.version_count - 1]));
        check_text(split.message, sizeof split.message);
    }
}

static void check_result(const json_t *result)
{
    struct platform_deployment one;
    struct buf log;
    if (answer_deployment(result, &one) == OK) {
        check_deployment(&one);
    }
    if (answer_live(result, &one) == OK) {
        check_deployment(&one);
    }
    check_list(result);
    const json_t *splits = json_object_get(result, "deployments");
    for (size_t i = 0; i < json_array_size(splits); i++) {
        check_split(json_array_get(splits, i));
    }
    buf_init(&log, 2 * ANSWER_LOG_MAX);
    if (answer_log(result, &log) == OK) {
        CHECK(buf_size(&log) <= 2 * ANSWER_LOG_MAX);
    }
    buf_finish(&log);
}

/* The first line is a Ratelimit field, the rest a body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes input = bytes_make((const char *)data, size);
    char field[256];
    size_t line = bytes_find(input, '\n');
    size_t kept = line < sizeof field ? line : sizeof field - 1;
    if (kept > 0) {
        memcpy(field, input.data, kept);
    }
    field[kept] = '\0';
    struct budget budget;
    budget_init(&budget, 1);
    budget_note(&budget, 1, field);
    CHECK(budget_wait_us(&budget, 1) <= 300 * 1000000);
    size_t start = line < size ? line + 1 : size;
    struct answer answer;
    if (answer_parse(bytes_slice(input, start, size - start), &answer) == OK) {
        check_text(answer.message, sizeof answer.message);
        check_result(answer.result);
        answer_finish(&answer);
    }
    return 0;
}
