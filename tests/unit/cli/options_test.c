/* The command line: what it takes, what it refuses, and that help and table agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/cli/cli.h"
#include "canary/cli/client.h"
#include "canary/cli/options.h"

enum { WORDS_MAX = 24 };

static enum err parse(struct cli_options *options, struct note *note, const char *line)
{
    static char text[512]; /* with the words, what the options point into */
    static char *words[WORDS_MAX];
    char *rest = NULL;
    int count = 0;
    (void)snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    return cli_options_parse(count, words, NULL, options, note);
}

static void options_of_a_verb_are_read(void **state)
{
    (void)state;
    struct cli_options options;
    struct note note = {""};
    assert_int_equal(parse(&options, &note,
                           "serin rollback --service shop --reason=broken --instant -n "
                           "--admin unix:/run/s --timeout 2s --json --token-file t"),
                     OK);
    assert_string_equal(options.verb->name, "rollback");
    assert_string_equal(options.service, "shop");
    assert_string_equal(options.reason, "broken");
    assert_true(options.is_instant);
    assert_true(options.is_dry_run);
    assert_true(options.is_json);
    assert_string_equal(options.admin, "unix:/run/s");
    assert_string_equal(options.token_file, "t");
    assert_int_equal(options.timeout_ms, 2000);
}

static void start_takes_its_url_and_what_is_known_of_it(void **state)
{
    (void)state;
    struct cli_options options;
    struct note note = {""};
    assert_int_equal(parse(&options, &note, "serin start http://a:1"), OK);
    assert_string_equal(options.argument, "http://a:1");
    assert_null(options.deployment);
    assert_null(options.steps);
    assert_false(options.is_waiting);
    assert_int_equal(parse(&options, &note,
                           "serin start --deployment v2 --steps 1%,pause,100% http://a:1 --wait"),
                     OK);
    assert_string_equal(options.deployment, "v2");
    assert_string_equal(options.steps, "1%,pause,100%");
    assert_true(options.is_waiting);
    assert_int_equal(parse(&options, &note, "serin start"), ERR_SYNTAX);
    assert_int_equal(parse(&options, &note, "serin start a b"), ERR_SYNTAX);
    assert_int_equal(parse(&options, &note, "serin pause --wait"), ERR_SYNTAX);
}

static void admin_address_has_an_order(void **state)
{
    (void)state;
    struct cli_options options;
    char *plain[] = {"serin", "status"};
    char *given[] = {"serin", "status", "--admin", "http://a:1"};
    assert_int_equal(cli_options_parse(2, plain, NULL, &options, NULL), OK);
    assert_string_equal(options.admin, "http://127.0.0.1:9901");
    assert_int_equal(cli_options_parse(2, plain, "", &options, NULL), OK);
    assert_string_equal(options.admin, "http://127.0.0.1:9901");
    assert_int_equal(cli_options_parse(2, plain, "http://b:2", &options, NULL), OK);
    assert_string_equal(options.admin, "http://b:2");
    assert_int_equal(cli_options_parse(4, given, "http://b:2", &options, NULL), OK);
    assert_string_equal(options.admin, "http://a:1");
}

static void trust_is_named_by_every_verb_that_asks_a_serin(void **state)
{
    (void)state;
    struct cli_options options;
    struct note note = {""};
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        bool is_asking = (verb->options & CLI_OPTION_ADMIN) != 0;
        unsigned trust = CLI_OPTION_ADMIN_CA | CLI_OPTION_ADMIN_CERT;
        assert_int_equal(verb->options & trust, is_asking ? trust : 0);
    }
    assert_int_equal(parse(&options, &note,
                           "serin status --admin https://a:1 --admin-ca ca.pem "
                           "--admin-cert=me.pem"),
                     OK);
    assert_true(options.has_admin);
    assert_false(options.has_timeout);
    assert_string_equal(options.admin_ca, "ca.pem");
    assert_string_equal(options.admin_cert, "me.pem");
    assert_int_equal(parse(&options, &note, "serin status --admin-ca="), ERR_SYNTAX);
    assert_string_equal(note.text, "--admin-ca is empty");
}

static void headers_gather(void **state)
{
    (void)state;
    struct cli_options options;
    char *words[] = {"serin", "explain", "-H", "A: b", "http://x/", "-HC:d", "--header=E: f"};
    assert_int_equal(cli_options_parse(7, words, NULL, &options, NULL), OK);
    assert_int_equal(options.header_count, 3);
    assert_string_equal(options.headers[1], "C:d");
    assert_string_equal(options.argument, "http://x/");
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    struct cli_options options;
    char *words[] = {"serin", "release", "--reason", "ok", "--", "--help"};
    assert_int_equal(cli_options_parse(6, words, NULL, &options, NULL), OK);
    assert_string_equal(options.argument, "--help");
    assert_false(options.is_help);
}

static void command_begins_at_its_first_word(void **state)
{
    (void)state;
    struct cli_options options;
    struct note note;
    assert_int_equal(parse(&options, &note, "serin guard -p x --admin a:1 -- make -n --help -- y"),
                     OK);
    assert_string_equal(options.project, "x");
    assert_true(options.has_admin);
    assert_false(options.is_dry_run);
    assert_false(options.is_help);
    assert_string_equal(options.command[0], "make");
    assert_string_equal(options.command[2], "--help");
    assert_string_equal(options.command[4], "y");
    assert_int_equal(parse(&options, &note, "serin guard make -p x"), OK);
    assert_null(options.project);
    assert_string_equal(options.command[1], "-p");
    assert_int_equal(parse(&options, &note, "serin guard --project x --"), ERR_SYNTAX);
    assert_string_equal(note.text, "guard needs -- COMMAND...");
}

static void help_asks_for_nothing_else(void **state)
{
    (void)state;
    struct cli_options options;
    struct note note = {""};
    assert_int_equal(parse(&options, &note, "serin rollback --help"), OK);
    assert_true(options.is_help);
    assert_int_equal(parse(&options, &note, "serin explain -h"), OK);
    assert_true(options.is_help);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *word;
    } cases[] = {
        {"serin", "verb"},
        {"serin dance", "dance"},
        {"serin status --instant", "--instant"},
        {"serin status -x", "-x"},
        {"serin status now", "now"},
        {"serin status --service", "--service"},
        {"serin status --json=1", "--json"},
        {"serin rollback", "--reason"},
        {"serin release d --service s", "--reason"},
        {"serin release --reason r", "DEPLOYMENT"},
        {"serin explain", "URL"},
        {"serin explain u v", "v"},
        {"serin explain u -H novalue", "--header"},
        {"serin history --limit 0", "--limit"},
        {"serin history --limit 1001", "--limit"},
        {"serin history --limit ten", "--limit"},
        {"serin status --timeout 0s", "--timeout"},
        {"serin status --timeout 8d", "--timeout"},
        {"serin status --timeout soon", "--timeout"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cli_options options;
        struct note note = {""};
        assert_int_equal(parse(&options, &note, cases[i].line), ERR_SYNTAX);
        assert_non_null(strstr(note.text, cases[i].word));
    }
}

static void every_verb_has_help(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cli_print_help(out);
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        cli_print_verb_help(out, verb);
    }
    (void)fclose(out);
    for (const struct cli_verb *verb = cli_verbs; verb->name != NULL; verb++) {
        char usage[64];
        (void)snprintf(usage, sizeof usage, "usage: serin %s", verb->name);
        assert_non_null(strstr(text, usage));
        assert_ptr_equal(cli_verb_find(verb->name), verb);
        assert_int_equal(verb->required & ~verb->options, 0);
    }
    assert_null(strstr(text, "(null)"));
    free(text);
}

static void usage_mistakes_exit_with_2(void **state)
{
    (void)state;
    char *none[] = {"serin"};
    char *unknown[] = {"serin", "dance"};
    char *address[] = {"serin", "status", "--admin", "ftp://x"};
    char *percent[] = {"serin", "weight", "101"};
    assert_int_equal(cli_run(1, none), CLI_USAGE);
    assert_int_equal(cli_run(2, unknown), CLI_USAGE);
    assert_int_equal(cli_run(4, address), CLI_USAGE);
    assert_int_equal(cli_run(3, percent), CLI_USAGE);
}

static void nobody_there_exits_with_1(void **state)
{
    (void)state;
    char *words[] = {"serin", "status", "--admin", "http://127.0.0.1:1"};
    char *missing[] = {"serin", "status", "--admin", "unix:/nonexistent/socket"};
    char *token[] = {"serin", "status", "--token-file", "/nonexistent/token"};
    assert_int_equal(cli_run(4, words), CLI_FAILED);
    assert_int_equal(cli_run(4, missing), CLI_FAILED);
    assert_int_equal(cli_run(4, token), CLI_FAILED);
}

static void addresses_are_taken_apart(void **state)
{
    (void)state;
    char base[64];
    const char *path = NULL;
    assert_int_equal(client_split_address("http://a:1/", base, sizeof base, &path), OK);
    assert_string_equal(base, "http://a:1");
    assert_null(path);
    assert_int_equal(client_split_address("127.0.0.1:9901", base, sizeof base, &path), OK);
    assert_string_equal(base, "http://127.0.0.1:9901");
    assert_int_equal(client_split_address("unix:/run/serin.sock", base, sizeof base, &path), OK);
    assert_string_equal(base, "http://localhost");
    assert_string_equal(path, "/run/serin.sock");
    const char *wrong[] = {"unix:relative", "ftp://a", "a", "", "http://a?b", "http://a b"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(client_split_address(wrong[i], base, sizeof base, &path), ERR_SYNTAX);
    }
}

static void statuses_have_exit_codes(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        int exit;
    } cases[] = {{200, CLI_DONE},    {202, CLI_DONE},      {400, CLI_FAILED},  {401, CLI_DENIED},
                 {403, CLI_DENIED},  {404, CLI_REFUSED},   {409, CLI_REFUSED}, {412, CLI_REFUSED},
                 {422, CLI_REFUSED}, {429, CLI_TIMED_OUT}, {500, CLI_FAILED},  {503, CLI_FAILED}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(client_exit_of(cases[i].status), cases[i].exit);
    }
}

static void names_are_escaped_for_the_path(void **state)
{
    (void)state;
    char text[32];
    assert_true(client_escape("a b/c?%\xc3", text, sizeof text));
    assert_string_equal(text, "a%20b%2Fc%3F%25%C3");
    assert_false(client_escape("", text, sizeof text));
    assert_false(client_escape("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", text, sizeof text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_a_verb_are_read),
        cmocka_unit_test(start_takes_its_url_and_what_is_known_of_it),
        cmocka_unit_test(admin_address_has_an_order),
        cmocka_unit_test(trust_is_named_by_every_verb_that_asks_a_serin),
        cmocka_unit_test(headers_gather),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(command_begins_at_its_first_word),
        cmocka_unit_test(help_asks_for_nothing_else),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(every_verb_has_help),
        cmocka_unit_test(usage_mistakes_exit_with_2),
        cmocka_unit_test(nobody_there_exits_with_1),
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(statuses_have_exit_codes),
        cmocka_unit_test(names_are_escaped_for_the_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
