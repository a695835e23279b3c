#include "canary/incident/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "canary/incident/access_lines.h"
#include "canary/incident/escape.h"
#include "canary/incident/report.h"
#include "metrics/access_log.h"
#include "proxy/base/check.h"

enum {
    FOLDER_MODE = 0750,
    FILE_MODE = 0640,
    ACCESS_LINES = 200, /* taken at each of the moments at which a report is written */
    PATH_SIZE = 4096,
    READ_SIZE = 64 * 1024,
};

/* Names that no report has. */
#define NEW_PREFIX ".new-"
#define OLD_PREFIX ".old-"
static_assert(sizeof NEW_PREFIX == sizeof OLD_PREFIX, "one length is enough");

/* What reports consist of. */
static const char *const known_files[] = {"report.json",    "report.md",  "chart.svg",
                                          "requests.jsonl", "access.log", "build.log"};

static const char *const file_names[FOLDER_FILE_COUNT] = {
    [FOLDER_JSON] = "report.json", [FOLDER_MARKDOWN] = "report.md", [FOLDER_CHART] = "chart.svg"};

bool folder_is_id(const char *id)
{
    size_t size = strlen(id);
    for (size_t i = 0; i < size; i++) {
        char byte = id[i];
        bool is_plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                        (byte >= 'A' && byte <= 'Z') || (byte == '-' && i > 0);
        if (!is_plain) {
            return false;
        }
    }
    return size > 0 && size < INCIDENT_ID_SIZE;
}

/* Does it look as the controller names rollbacks, "rb-20261123T101500-..."? Nothing else in the
 * folder is ever removed. */
static bool is_ours(const char *name)
{
    static const char shape[] = "rb-00000000T000000-";
    for (size_t i = 0; shape[i] != '\0'; i++) {
        bool is_fit = shape[i] == '0' ? name[i] >= '0' && name[i] <= '9' : name[i] == shape[i];
        if (!is_fit) {
            return false;
        }
    }
    return folder_is_id(name);
}

/* What a crash left: "" or the name of the report that it was to be. */
static const char *left_name(const char *name)
{
    size_t size = sizeof NEW_PREFIX - 1;
    bool is_left = strncmp(name, NEW_PREFIX, size) == 0 || strncmp(name, OLD_PREFIX, size) == 0;
    return is_left && is_ours(name + size) ? name + size : "";
}

/* ---- single files ---- */

static enum err fail(struct note *note, const char *what)
{
    note_set(note, "%s: %s", what, strerror(errno));
    return ERR_IO;
}

static enum err write_all(int fd, struct bytes bytes)
{
    while (bytes.size > 0) {
        ssize_t written = write(fd, bytes.data, bytes.size);
        if (written < 0 && errno != EINTR) {
            return ERR_IO;
        }
        size_t size = written > 0 ? (size_t)written : 0;
        bytes = bytes_slice(bytes, size, bytes.size - size);
    }
    return OK;
}

static enum err write_file(int folder, const char *name, struct bytes bytes, struct note *note)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    if (fd < 0) {
        return fail(note, name);
    }
    enum err err = write_all(fd, bytes);
    if (err == OK && fsync(fd) != 0) {
        err = ERR_IO;
    }
    if (err != OK) {
        (void)fail(note, name);
    }
    if (close(fd) != 0 && err == OK) {
        err = fail(note, name);
    }
    return err;
}

/* The file, or ERR_LIMIT with as much of its beginning as `out` holds. */
static enum err read_all(int fd, struct buf *out)
{
    for (;;) {
        size_t left = out->max - buf_size(out);
        size_t size = left < READ_SIZE ? left : READ_SIZE;
        char byte;
        char *place = size > 0 ? buf_reserve(out, size) : &byte;
        if (place == NULL) {
            return ERR_NOMEM;
        }
        ssize_t count = read(fd, place, size > 0 ? size : 1);
        if (count < 0 && errno != EINTR) {
            return ERR_IO;
        }
        if (count <= 0) {
            if (count == 0) {
                return OK;
            }
            continue;
        }
        if (size == 0) {
            return ERR_LIMIT;
        }
        buf_grew(out, (size_t)count);
    }
}

static enum err read_file(const char *path, const char *id, const char *name, struct buf *out)
{
    char text[PATH_SIZE];
    int size = snprintf(text, sizeof text, "%s/%s/%s", path, id, name);
    if (size < 0 || (size_t)size >= sizeof text) {
        return ERR_LIMIT;
    }
    int fd = open(text, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO;
    }
    enum err err = read_all(fd, out);
    (void)close(fd);
    return err;
}

enum err folder_read(const char *path, const char *id, enum folder_file file, struct buf *out)
{
    CHECK(folder_is_id(id));
    return read_file(path, id, file_names[file], out);
}

/* NULL: that is no report. */
static json_t *report_parse(const struct buf *text)
{
    struct bytes bytes = buf_bytes(text);
    return bytes.size > 0 ? json_loadb(bytes.data, bytes.size, 0, NULL) : NULL;
}

static json_t *read_report(const char *path, const char *id)
{
    struct buf text;
    buf_init(&text, INCIDENT_REPORT_MAX);
    json_t *report = folder_read(path, id, FOLDER_JSON, &text) == OK ? report_parse(&text) : NULL;
    buf_finish(&text);
    return report;
}

/* ---- folders ---- */

static bool is_known_file(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(known_files); i++) {
        if (strcmp(name, known_files[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Removes what reports consist of; a folder into which people put something stays with it. */
static void remove_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return;
    }
    for (size_t i = 0; i < COUNT_OF(known_files); i++) {
        (void)unlinkat(fd, known_files[i], 0);
    }
    (void)close(fd);
    (void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* What people put beside a report goes with it. */
static void move_notes(int parent, const char *from_name, const char *to_name)
{
    int from = openat(parent, from_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    int to = openat(parent, to_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *folder = from >= 0 && to >= 0 ? fdopendir(from) : NULL;
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        bool is_dots = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        if (!is_dots && !is_known_file(entry->d_name)) {
            (void)renameat(from, entry->d_name, to, entry->d_name);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    } else if (from >= 0) {
        (void)close(from);
    }
    if (to >= 0) {
        (void)close(to);
    }
}

static enum err make_folders(const char *path)
{
    char text[PATH_SIZE];
    int size = snprintf(text, sizeof text, "%s", path);
    if (size <= 0 || (size_t)size >= sizeof text) {
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    for (char *slash = strchr(text + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(text, FOLDER_MODE);
        *slash = '/';
    }
    return mkdir(text, FOLDER_MODE) == 0 || errno == EEXIST ? OK : ERR_IO;
}

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The new folder takes the name; the old one goes. Where the kernel can exchange the two there is
 * no moment without a report. */
static enum err take_place(int parent, const char *new_name, const char *id)
{
    char old_name[sizeof OLD_PREFIX + INCIDENT_ID_SIZE];
    if (renameat2(parent, new_name, parent, id, RENAME_NOREPLACE) == 0) {
        return OK;
    }
    if (renameat2(parent, new_name, parent, id, RENAME_EXCHANGE) == 0) {
        move_notes(parent, new_name, id);
        remove_folder(parent, new_name);
        return OK;
    }
    (void)snprintf(old_name, sizeof old_name, OLD_PREFIX "%s", id);
    remove_folder(parent, old_name);
    (void)renameat(parent, id, parent, old_name);
    if (renameat(parent, new_name, parent, id) != 0) {
        (void)renameat(parent, old_name, parent, id);
        return ERR_IO;
    }
    move_notes(parent, old_name, id);
    remove_folder(parent, old_name);
    return OK;
}

/* What a crash left goes, but for a report whose place nothing has taken yet. */
static void mend(int parent, const char *name)
{
    const char *id = left_name(name);
    bool is_old = strncmp(name, OLD_PREFIX, sizeof OLD_PREFIX - 1) == 0;
    if (is_old && renameat2(parent, name, parent, id, RENAME_NOREPLACE) == 0) {
        return;
    }
    move_notes(parent, name, id);
    remove_folder(parent, name);
}

/* ---- reports ---- */

/* All that a report consists of. */
struct papers {
    struct buf json, markdown, chart;
};

static void papers_init(struct papers *papers)
{
    buf_init(&papers->json, INCIDENT_REPORT_MAX);
    buf_init(&papers->markdown, INCIDENT_REPORT_MAX);
    buf_init(&papers->chart, INCIDENT_REPORT_MAX);
}

static void papers_finish(struct papers *papers)
{
    buf_finish(&papers->json);
    buf_finish(&papers->markdown);
    buf_finish(&papers->chart);
}

static enum err papers_make(const struct incident_work *work, const json_t *before,
                            struct papers *papers)
{
    json_t *report = report_make(work, before);
    char *text =
        report != NULL
            ? json_dumps(report, JSON_INDENT(1) | JSON_REAL_PRECISION(12) | JSON_ENSURE_ASCII)
            : NULL;
    if (text != NULL) {
        (void)buf_append(&papers->json, bytes_of(text));
        (void)buf_append_byte(&papers->json, '\n');
        report_write_markdown(report, &papers->markdown);
        report_write_chart(report, &papers->chart);
    }
    bool is_whole = text != NULL && !papers->json.is_failed && !papers->markdown.is_failed &&
                    !papers->chart.is_failed;
    free(text);
    json_decref(report);
    return is_whole ? OK : ERR_NOMEM;
}

static enum err write_papers(int folder, const struct papers *papers,
                             const struct incident_work *work, struct note *note)
{
    struct {
        const char *name;
        struct bytes bytes;
    } files[] = {
        {"report.json", buf_bytes(&papers->json)}, {"report.md", buf_bytes(&papers->markdown)},
        {"chart.svg", buf_bytes(&papers->chart)},  {"requests.jsonl", buf_bytes(&work->requests)},
        {"access.log", buf_bytes(&work->access)},  {"build.log", buf_bytes(&work->build_log)},
    };
    enum err err = OK;
    for (size_t i = 0; i < COUNT_OF(files) && err == OK; i++) {
        bool is_left_out = strcmp(files[i].name, "build.log") == 0 && files[i].bytes.size == 0;
        err = is_left_out ? OK : write_file(folder, files[i].name, files[i].bytes, note);
    }
    /* Their names too, before they take the place of a report that is whole. */
    (void)fsync(folder);
    return err;
}

static enum err write_folder(const char *path, const struct papers *papers,
                             const struct incident_work *work, struct note *note)
{
    char name[sizeof NEW_PREFIX + INCIDENT_ID_SIZE];
    (void)snprintf(name, sizeof name, NEW_PREFIX "%s", work->id);
    int parent = make_folders(path) == OK ? open_folder(path) : -1;
    if (parent < 0) {
        return fail(note, path);
    }
    remove_folder(parent, name);
    enum err err = mkdirat(parent, name, FOLDER_MODE) == 0 ? OK : fail(note, path);
    if (err == OK) {
        int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        err = folder >= 0 ? write_papers(folder, papers, work, note) : fail(note, path);
        if (folder >= 0) {
            (void)close(folder);
        }
        if (err == OK && take_place(parent, name, work->id) != OK) {
            err = fail(note, path);
        }
        if (err != OK) {
            remove_folder(parent, name);
        }
    }
    (void)fsync(parent);
    (void)close(parent);
    return err;
}

/* How much of a file comes from processes before: all of it, if this one has not written yet. */
static size_t carried_size(const json_t *before, const struct incident_work *work, const char *key,
                           size_t whole)
{
    const json_t *carried = json_object_get(before, "carried");
    bool is_own = json_integer_value(json_object_get(carried, "by")) == work->resumed_wall_us;
    json_int_t size = json_integer_value(json_object_get(carried, key));
    return is_own && size >= 0 && (size_t)size < whole ? (size_t)size : whole;
}

/* A file of processes before, and what it is to be with the work's own lines behind it. */
struct carried {
    const char *name;
    struct buf *own; /* borrowed: the work's */
    size_t size;     /* of the bytes that come from before */
    struct buf whole;
};

/* As much of the text as `max` allows, in whole lines. */
static struct bytes whole_lines(struct bytes text, size_t max)
{
    size_t size = text.size < max ? text.size : max;
    while (size > 0 && size < text.size && text.data[size - 1] != '\n') {
        size--;
    }
    return bytes_slice(text, 0, size);
}

/* What comes from before counts more than what is new: that is how it began. */
static enum err carry(const char *path, const struct incident_work *work, const json_t *before,
                      struct carried *carried)
{
    struct buf text;
    buf_init(&text, carried->own->max + 1);
    buf_init(&carried->whole, carried->own->max);
    enum err err = read_file(path, work->id, carried->name, &text);
    if (err == OK || err == ERR_LIMIT) {
        size_t size = carried_size(before, work, carried->name, buf_size(&text));
        struct bytes old = whole_lines(bytes_slice(buf_bytes(&text), 0, size), carried->own->max);
        carried->size = old.size;
        err = buf_append(&carried->whole, old);
    } else if (err == ERR_NOT_FOUND) {
        err = OK;
    }
    buf_finish(&text);
    if (err == OK) {
        size_t room = carried->own->max - carried->size;
        err = buf_append(&carried->whole, whole_lines(buf_bytes(carried->own), room));
    }
    return err;
}

static void replace(struct carried *carried, size_t *ret_size)
{
    buf_finish(carried->own);
    *carried->own = carried->whole;
    *ret_size = carried->size;
}

/* Both are there before either is taken: a try that fails leaves the work as it was. */
static enum err carry_all(const char *path, struct incident_work *work, const json_t *before)
{
    struct carried requests = {.name = "requests.jsonl", .own = &work->requests};
    struct carried access = {.name = "access.log", .own = &work->access};
    enum err err = carry(path, work, before, &requests);
    if (err == OK) {
        err = carry(path, work, before, &access);
        if (err != OK) {
            buf_finish(&access.whole);
        }
    }
    if (err != OK) {
        buf_finish(&requests.whole);
        return err;
    }
    replace(&requests, &work->carried_requests);
    replace(&access, &work->carried_access);
    return OK;
}

/* The files that processes before left are kept, with what is new behind it. A disk that cannot be
 * read is no reason to write over what it holds. */
static enum err read_before(const char *path, struct incident_work *work, struct note *note)
{
    if (work->resumed_wall_us == 0 || work->has_read_before) {
        return OK;
    }
    buf_clear(&work->before);
    enum err err = folder_read(path, work->id, FOLDER_JSON, &work->before);
    json_t *before = err == OK ? report_parse(&work->before) : NULL;
    err = err == ERR_NOT_FOUND || err == ERR_LIMIT ? OK : err;
    if (before != NULL) {
        err = carry_all(path, work, before);
    }
    if (before != NULL && err == OK && buf_size(&work->build_log) == 0) {
        (void)!read_file(path, work->id, "build.log", &work->build_log);
    }
    json_decref(before);
    work->has_read_before = err == OK;
    return err == OK ? OK : fail(note, path);
}

static void clean_build_log(struct incident_work *work)
{
    struct buf clean;
    buf_init(&clean, work->build_log.max);
    escape_log(&clean, buf_bytes(&work->build_log));
    buf_finish(&work->build_log);
    work->build_log = clean;
}

static void take_access_lines(struct incident_work *work, struct access_log *log)
{
    struct buf text;
    buf_init(&text, INCIDENT_ACCESS_MAX);
    work->access_after = access_log_tail(log, work->access_after, &text);
    access_lines_append(&work->access_new, buf_bytes(&text), ACCESS_LINES);
    buf_finish(&text);
    (void)buf_append(&work->access, buf_bytes(&work->access_new));
}

enum err folder_write(const char *path, struct incident_work *work, struct access_log *log,
                      struct note *note)
{
    CHECK(folder_is_id(work->id));
    enum err err = read_before(path, work, note);
    if (err != OK) {
        return err;
    }
    struct papers papers;
    take_access_lines(work, log);
    clean_build_log(work);
    json_t *before = report_parse(&work->before);
    papers_init(&papers);
    err = papers_make(work, before, &papers);
    if (err != OK) {
        note_set(note, "the report does not fit into memory");
    } else {
        err = write_folder(path, &papers, work, note);
    }
    papers_finish(&papers);
    json_decref(before);
    return err;
}

/* ---- all of them ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void mend_all(const char *path)
{
    int parent = open_folder(path);
    DIR *folder = parent >= 0 ? opendir(path) : NULL;
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (left_name(entry->d_name)[0] != '\0') {
            mend(parent, entry->d_name);
        }
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    if (parent >= 0) {
        (void)close(parent);
    }
}

/* Names of reports, the oldest first: they begin with their time. What crashes left is mended on
 * the way. `ret_names` and each name are freed by the caller. */
static size_t list_reports(const char *path, char ***ret_names)
{
    mend_all(path);
    DIR *folder = opendir(path);
    size_t count = 0;
    size_t room = 0;
    char **names = NULL;
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        if (!is_ours(entry->d_name)) {
            continue;
        }
        if (count == room) {
            size_t more = room > 0 ? 2 * room : 64;
            char **grown = realloc(names, more * sizeof *names);
            if (grown == NULL) {
                break;
            }
            names = grown;
            room = more;
        }
        names[count] = strdup(entry->d_name);
        count += names[count] != NULL;
    }
    if (folder != NULL) {
        (void)closedir(folder);
    }
    if (count > 0) {
        qsort(names, count, sizeof *names, by_name);
    }
    *ret_names = names;
    return count;
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
    }
    free(names);
}

void folder_prune(const char *path, size_t keep)
{
    char **names = NULL;
    size_t count = list_reports(path, &names);
    int parent = count > keep ? open_folder(path) : -1;
    for (size_t i = 0; parent >= 0 && i < count - keep; i++) {
        remove_folder(parent, names[i]);
    }
    if (parent >= 0) {
        (void)close(parent);
    }
    free_names(names, count);
}

size_t folder_find_incomplete(const char *path, char ret_ids[][INCIDENT_ID_SIZE], size_t max)
{
    char **names = NULL;
    size_t count = list_reports(path, &names);
    size_t found = 0;
    /* The newest: one that was left unfinished long ago is not waited for by anybody. */
    size_t first = count > 4 * max ? count - 4 * max : 0;
    for (size_t i = first; i < count && found < max; i++) {
        json_t *report = read_report(path, names[i]);
        if (report != NULL && !json_is_true(json_object_get(report, "is_complete"))) {
            (void)snprintf(ret_ids[found++], INCIDENT_ID_SIZE, "%s", names[i]);
        }
        json_decref(report);
    }
    free_names(names, count);
    return found;
}
