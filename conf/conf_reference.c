#include "conf/conf_reference.h"

#include "conf/conf_number.h"
#include "conf/conf_schema.h"
#include "conf/manual.h"
#include "proxy/base/check.h"

enum { SECTIONS_MAX = 64 };

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "<!-- Written from conf/conf_schema.c by `test_conf_reference --write`; a test holds it to "
    "that. -->\n"
    "\n"
    "Serin reads one YAML file: `--config FILE`, else `./serin.yaml`, else "
    "`/etc/serin/serin.yaml`. `serin check` tells "
    "every error in\nit at once, each as `file:line:column: key: what is wrong`, and a reload "
    "(SIGHUP) with an error "
    "leaves the running\nconfiguration as it is. `conf/serin.yaml` is a file to start from, "
    "`conf/examples/` has more.\n"
    "\n"
    "- **Keys.** An unknown key is an error, and so is a key given twice. Keys of features that "
    "are not built yet are "
    "errors\n  that say so.\n"
    "- **Durations** have a unit, `ms`, `s`, `m`, `h` or `d`: `250ms`, `1.5h`. **Sizes** have `B`, "
    "`KiB`, `MiB` or "
    "`GiB`.\n  **Rates** and weights are percent, in steps of 0.0001%: `5%`, `0.25%`. Bounds are "
    "inclusive.\n"
    "- **Off.** Where a thing can be switched off, `off`, `none`, `false` and `no` mean the same, "
    "in any case and with or\n"
    "  without quotes; `on`, `true` and `yes` switch it on as it is by default.\n"
    "- **Files.** A relative path starts at the folder of the configuration file, wherever Serin "
    "was started.\n"
    "- **Secrets** are never written in the file: keys say in which file or environment variable "
    "they are. They are read\n"
    "  when they are needed, and never shown.\n"
    "- **Aliases** (`&name`, `*name`) may be used; merge keys (`<<`) may not. One file is at most "
    "256 KiB.\n"
    "- **Reload.** Keys marked *restart* keep their old value until Serin is started anew; "
    "everything else changes "
    "without a\n  dropped request.\n";

static void append_value(struct buf *buf, const struct conf_key *key)
{
    if (key->list_max > 0 && (key->flags & CONF_KEY_SINGLE) == 0) {
        (void)buf_printf(buf, "list of %zu to %zu: ", key->list_min, key->list_max);
    }
    if (key->type != CONF_TYPE_CHOICE) {
        (void)buf_append(buf, bytes_of(conf_type_text(key->type)));
    }
    for (size_t i = 0; key->type == CONF_TYPE_CHOICE && key->choices[i] != NULL; i++) {
        (void)buf_printf(buf, "%s`%s`", i > 0 ? ", " : "", key->choices[i]);
    }
    if ((key->flags & CONF_KEY_NONE) != 0) {
        (void)buf_append(buf, key->type == CONF_TYPE_SECTION ? BYTES(", or `off`")
                                                             : BYTES(", or `none`"));
    }
    if ((key->flags & CONF_KEY_AUTO) != 0) {
        (void)buf_append(buf, BYTES(", or `auto`"));
    }
}

static void append_default(struct buf *buf, const struct conf_key *key)
{
    if ((key->flags & CONF_KEY_REQUIRED) != 0) {
        (void)buf_append(buf, BYTES("required"));
    } else if (key->fallback == NULL) {
        (void)buf_append(buf, BYTES("left out"));
    } else if (key->list_max > 0) {
        (void)buf_printf(buf, "`[%s]`", key->fallback);
    } else if (key->type == CONF_TYPE_SECTION && key->fallback[1] == 'n') {
        (void)buf_append(buf, BYTES("its own defaults"));
    } else {
        (void)buf_printf(buf, "`%s`", key->fallback);
    }
}

static void append_bounds(struct buf *buf, const struct conf_key *key)
{
    char least[CONF_NUMBER_TEXT_SIZE];
    char most[CONF_NUMBER_TEXT_SIZE];
    if (key->high > 0) {
        conf_number_format(key->type, key->low, least);
        conf_number_format(key->type, key->high, most);
        (void)buf_printf(buf, "%s to %s", least, most);
    }
}

static void append_key(struct buf *buf, const struct conf_key *key)
{
    (void)buf_printf(buf, "| `%s` | ", key->name);
    append_value(buf, key);
    (void)buf_append(buf, BYTES(" | "));
    append_default(buf, key);
    (void)buf_append(buf, BYTES(" | "));
    append_bounds(buf, key);
    bool needs_restart = (key->flags & CONF_KEY_RESTART) != 0;
    (void)buf_printf(buf, " | %s%s |\n", key->help, needs_restart ? " *restart*" : "");
}

static void append_unbuilt(struct buf *buf, const struct conf_section *section)
{
    size_t count = 0;
    for (size_t i = 0; i < section->key_count; i++) {
        if (section->keys[i].type == CONF_TYPE_UNBUILT) {
            (void)buf_printf(buf, "%s`%s`",
                             count++ == 0 ? "\nNot built yet, and an error until then: " : ", ",
                             section->keys[i].name);
        }
    }
    if (count > 0) {
        (void)buf_append(buf, BYTES(".\n"));
    }
}

/* Sections that a page has: several keys may have the same one. */
struct told {
    const struct conf_section *sections[SECTIONS_MAX];
    size_t count;
};

/* Is there a section to be told, which was not yet? */
static bool is_untold(struct told *told, const struct conf_key *key)
{
    if (key->type != CONF_TYPE_SECTION) {
        return false;
    }
    for (size_t i = 0; i < told->count; i++) {
        if (told->sections[i] == key->section) {
            return false;
        }
    }
    CHECK(told->count < SECTIONS_MAX);
    told->sections[told->count++] = key->section;
    return true;
}

static void append_section(struct buf *buf, const struct conf_section *section, struct told *told)
{
    (void)buf_printf(buf, "\n## %s\n\n%s\n\n", section->title, section->help);
    (void)buf_append(
        buf, BYTES("| Key | Value | Default | Bounds | Meaning |\n|---|---|---|---|---|\n"));
    for (size_t i = 0; i < section->key_count; i++) {
        if (section->keys[i].type != CONF_TYPE_UNBUILT) {
            append_key(buf, &section->keys[i]);
        }
    }
    append_unbuilt(buf, section);
    for (size_t i = 0; i < section->key_count; i++) {
        if (is_untold(told, &section->keys[i])) {
            append_section(buf, section->keys[i].section, told);
        }
    }
}

void conf_reference(struct buf *buf)
{
    struct told told = {.count = 0};
    (void)buf_append(buf, bytes_of(introduction));
    append_section(buf, conf_schema(), &told);
}

/* ---- the same for man(1) ---- */

enum { CELL_MAX = 16 * 1024 };

/* What stands in the table's cells, as text behind the key. */
static void append_facts(struct buf *page, const struct conf_key *key)
{
    struct buf cell;
    buf_init(&cell, CELL_MAX);
    (void)buf_append(&cell, BYTES("("));
    append_value(&cell, key);
    (void)buf_append(&cell, BYTES("; "));
    (void)buf_append(&cell, key->fallback != NULL && (key->flags & CONF_KEY_REQUIRED) == 0
                                ? BYTES("default ")
                                : BYTES(""));
    append_default(&cell, key);
    (void)buf_append(&cell, key->high > 0 ? BYTES("; ") : BYTES(""));
    append_bounds(&cell, key);
    (void)buf_append(&cell, BYTES(")"));
    (void)buf_append_byte(&cell, '\0');
    manual_term(page, key->name, cell.is_failed ? NULL : buf_bytes(&cell).data);
    buf_finish(&cell);
}

static void append_manual_section(struct buf *page, const struct conf_section *section,
                                  struct told *told)
{
    manual_heading(page, section->title);
    manual_text(page, section->help);
    for (size_t i = 0; i < section->key_count; i++) {
        const struct conf_key *key = &section->keys[i];
        if (key->type != CONF_TYPE_UNBUILT) {
            append_facts(page, key);
            manual_text(page, key->help);
            manual_text(page, (key->flags & CONF_KEY_RESTART) != 0 ? "*restart*" : "");
        }
    }
    for (size_t i = 0; i < section->key_count; i++) {
        if (is_untold(told, &section->keys[i])) {
            append_manual_section(page, section->keys[i].section, told);
        }
    }
}

void manual_configuration(struct buf *page)
{
    struct told told = {.count = 0};
    manual_begin(page, "SERIN.YAML", "5", "serin.yaml", "the configuration of serin(1)");
    manual_heading(page, "DESCRIPTION");
    manual_text(page, introduction);
    append_manual_section(page, conf_schema(), &told);
    manual_heading(page, "SEE ALSO");
    (void)buf_append(page, BYTES("\\fBserin\\fR(1)\n"));
}
