#include "canary/cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/cli/options.h"

static bool asks_for_help(int argc, char **argv)
{
    return argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                         strcmp(argv[1], "help") == 0);
}

int cli_run(int argc, char **argv)
{
    if (asks_for_help(argc, argv)) {
        cli_print_help(stdout);
        return CLI_DONE;
    }
    if (argc < 2) {
        cli_print_help(stderr);
        return CLI_USAGE;
    }
    struct note note = {""};
    struct cli_options options;
    if (cli_options_parse(argc, argv, getenv("SERIN_ADMIN"), &options, &note) != OK) {
        (void)fprintf(stderr, "serin: %s\nserin --help says what there is.\n", note.text);
        return CLI_USAGE;
    }
    if (options.is_help) {
        cli_print_verb_help(stdout, options.verb);
        return CLI_DONE;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    return options.verb->run(&options);
}
