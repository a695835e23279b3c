#include "canary/about/about.h"

#include <string.h>

#include "canary/about/libraries.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, TEXT_MAX = 64 * 1024 };

#if defined(__clang__)
static const char COMPILER[] = "clang " __clang_version__;
#else
static const char COMPILER[] = "gcc " __VERSION__;
#endif

/* ---- telling ---- */

const char *about_version(void)
{
    return SERIN_VERSION;
}

const char *about_commit(void)
{
    return SERIN_COMMIT;
}

void about_append_text(struct buf *out)
{
    struct about_library library;
    (void)buf_printf(out, "serin %s (%s)\n", SERIN_VERSION, SERIN_COMMIT);
    (void)buf_printf(out, "%-10s %s, for %s\n", "compiler", COMPILER, SERIN_TARGET);
    (void)buf_printf(out, "%-10s %s\n", "preset", SERIN_PRESET);
    (void)buf_printf(out, "%-10s %s\n", "flags", SERIN_FLAGS);
    (void)buf_append(out, BYTES("libraries, as built and as they run:\n"));
    for (size_t i = 0; about_library_at(i, &library); i++) {
        (void)buf_printf(out, "  %-8s %-10s %s\n", library.name, library.built, library.running);
    }
}

static void append_member(struct buf *out, const char *name, const char *value)
{
    (void)buf_append_json(out, bytes_of(name));
    (void)buf_append_byte(out, ':');
    (void)buf_append_json(out, bytes_of(value));
}

void about_append_json(struct buf *out)
{
    static const struct {
        const char *name;
        const char *value;
    } members[] = {
        {"version", SERIN_VERSION}, {"commit", SERIN_COMMIT}, {"compiler", COMPILER},
        {"target", SERIN_TARGET},   {"preset", SERIN_PRESET}, {"flags", SERIN_FLAGS},
    };
    struct about_library library;
    (void)buf_append_byte(out, '{');
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        append_member(out, members[i].name, members[i].value);
        (void)buf_append_byte(out, ',');
    }
    (void)buf_append(out, BYTES("\"libraries\":["));
    for (size_t i = 0; about_library_at(i, &library); i++) {
        (void)buf_append(out, i == 0 ? BYTES("{") : BYTES(",{"));
        append_member(out, "name", library.name);
        (void)buf_append_byte(out, ',');
        append_member(out, "built", library.built);
        (void)buf_append_byte(out, ',');
        append_member(out, "running", library.running);
        (void)buf_append_byte(out, '}');
    }
    (void)buf_append(out, BYTES("]}\n"));
}

int about_run(int argc, char **argv)
{
    bool is_json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !is_json) {
        bool is_help = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
        (void)fputs("usage: serin version [--json]\n", is_help ? stdout : stderr);
        return is_help ? EXIT_DONE : EXIT_USAGE;
    }
    struct buf text;
    buf_init(&text, TEXT_MAX);
    is_json ? about_append_json(&text) : about_append_text(&text);
    struct bytes bytes = buf_bytes(&text);
    bool is_told = !text.is_failed && fwrite(bytes.data, 1, bytes.size, stdout) == bytes.size &&
                   fflush(stdout) == 0;
    buf_finish(&text);
    return is_told ? EXIT_DONE : EXIT_FAILED;
}
