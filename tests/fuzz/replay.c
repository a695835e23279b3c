/* tests/fuzz/replay.c — runs a fuzzer's corpus as a test, where the compiler has no libFuzzer.
 *
 * Usage: FUZZER CORPUS_FOLDER. Every file is one input; an empty or missing corpus is a failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *folder, const char *name)
{
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    enum { INPUT_MAX = 1 << 20 };
    /* Exactly as large as the input, so that a sanitizer sees a read past its end. */
    uint8_t *whole = malloc(INPUT_MAX);
    size_t size = whole != NULL ? fread(whole, 1, INPUT_MAX, file) : 0;
    (void)fclose(file);
    uint8_t *input = malloc(size > 0 ? size : 1);
    if (whole == NULL || input == NULL) {
        free(whole);
        free(input);
        return 1;
    }
    for (size_t i = 0; i < size; i++) {
        input[i] = whole[i];
    }
    free(whole);
    (void)LLVMFuzzerTestOneInput(input, size);
    free(input);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (folder == NULL) {
        perror(argv[1]);
        return 1;
    }
    int failed = 0;
    int count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            failed += replay_file(argv[1], entry->d_name);
            count++;
        }
    }
    (void)closedir(folder);
    (void)printf("%d inputs replayed\n", count);
    return failed > 0 || count == 0;
}
