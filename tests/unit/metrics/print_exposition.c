/* Prints the sample exposition, for promtool to check. */
#include <stdio.h>

#include "tests/unit/metrics/sample.h"

int main(void)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    struct sample *sample = sample_create();
    bool is_written = sample != NULL && exposition_write(sample_exposition(sample), &text) == OK;
    struct bytes bytes = buf_bytes(&text);
    is_written = is_written && fwrite(bytes.data, 1, bytes.size, stdout) == bytes.size;
    sample_destroy(sample);
    buf_finish(&text);
    return is_written ? 0 : 1;
}
