/* Prints serin.1 or serin.yaml.5, for the build. */
#include <stdio.h>
#include <string.h>

#include "canary/cli/completion.h"
#include "conf/manual.h"

int main(int argc, char **argv)
{
    struct buf page;
    bool is_first = argc == 2 && strcmp(argv[1], "serin.1") == 0;
    if (!is_first && (argc != 2 || strcmp(argv[1], "serin.yaml.5") != 0)) {
        (void)fprintf(stderr, "usage: manual_pages serin.1|serin.yaml.5\n");
        return 2;
    }
    buf_init(&page, COMPLETION_MAX);
    if (is_first) {
        completion_manual(&page);
    } else {
        manual_configuration(&page);
    }
    struct bytes bytes = buf_bytes(&page);
    bool is_written = !page.is_failed && fwrite(bytes.data, 1, bytes.size, stdout) == bytes.size &&
                      fflush(stdout) == 0;
    buf_finish(&page);
    return is_written ? 0 : 1;
}
