/* tests/unit/conf/test_conf_reference.c — docs/configuration.md says what the schema says.
 *
 * `test_conf_reference --write` renews the page. */
#include "conf/conf_file.h"
#include "conf/conf_reference.h"
#include "conf/manual.h"
#include "tests/unit/conf/conf_play.h"

static const char page_path[] = PROJECT_ROOT "/docs/configuration.md";
enum { PAGE_MAX = 1 << 18 };

static void committed_page_is_the_generated_one(void **state)
{
    (void)state;
    struct buf generated;
    struct buf committed;
    struct note note = {""};
    buf_init(&generated, PAGE_MAX);
    buf_init(&committed, PAGE_MAX);
    conf_reference(&generated);
    assert_false(generated.is_failed);
    assert_int_equal(conf_file_read(page_path, &note, &committed), OK);
    if (!bytes_equal(buf_bytes(&generated), buf_bytes(&committed))) {
        fail_msg(
            "docs/configuration.md is not what the schema says: run test_conf_reference --write");
    }
    buf_finish(&generated);
    buf_finish(&committed);
}

/* Headings of a page by what its lines begin with; none may come again. */
static void assert_told_once(const struct buf *page, const char *mark)
{
    struct bytes headings[128];
    size_t count = 0;
    struct bytes rest = buf_bytes(page);
    struct bytes line;
    while (rest.size > 0 && bytes_next(&rest, '\n', &line)) {
        if (!bytes_starts_with(line, bytes_of(mark))) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            if (bytes_equal(headings[i], line)) {
                fail_msg("told twice: %.*s", BYTES_ARGS(line));
            }
        }
        assert_true(count < COUNT_OF(headings));
        headings[count++] = line;
    }
    assert_true(count > 10);
}

static void each_section_is_told_once(void **state)
{
    (void)state;
    struct buf page;
    buf_init(&page, PAGE_MAX);
    conf_reference(&page);
    assert_told_once(&page, "## ");
    buf_clear(&page);
    manual_configuration(&page);
    assert_told_once(&page, ".SH ");
    buf_finish(&page);
}

static int write_page(void)
{
    struct buf page;
    buf_init(&page, PAGE_MAX);
    conf_reference(&page);
    FILE *file = page.is_failed ? NULL : fopen(page_path, "w");
    bool is_written = file != NULL && fwrite(buf_bytes(&page).data, buf_size(&page), 1, file) == 1;
    if (file != NULL) {
        is_written = fclose(file) == 0 && is_written;
    }
    buf_finish(&page);
    return is_written ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_page_is_the_generated_one),
        cmocka_unit_test(each_section_is_told_once),
    };
    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        return write_page();
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
