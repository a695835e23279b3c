#include "canary/cli/cli.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

int cli_run(int argc, char **argv)
{
    bool is_asked = argc >= 2 && strcmp(argv[1], "--help") == 0;
    (void)fprintf(is_asked ? stdout : stderr, "usage: serin run [-c FILE] | check [-c FILE]\n");
    return is_asked ? 0 : EXIT_USAGE;
}
