#include "canary/cli/demo_report.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

enum { REAL_DIGITS = 6 };

static void phase_text(const char *name, double seconds, struct buf *out)
{
    if (isnan(seconds)) {
        (void)buf_printf(out, "    %-13s      -\n", name);
        return;
    }
    (void)buf_printf(out, "    %-13s %6.2f s\n", name, seconds);
}

void demo_report_text(const struct demo_record *record, const struct demo_load_counts *clients,
                      struct buf *out)
{
    (void)buf_printf(out, "Rollback %s\n", record->id);
    (void)buf_printf(out, "  %s -> %s: %s (%s, trigger %s, by %s)\n", record->deployment,
                     record->target, record->status, record->mode, record->trigger, record->actor);
    (void)buf_printf(out, "  %s\n", record->reason);
    (void)buf_printf(out, "  from the first bad response to the end of each phase:\n");
    for (size_t i = 0; i < DEMO_PHASES; i++) {
        phase_text(record->phases[i].name, record->phases[i].seconds, out);
    }
    phase_text("duration", record->duration_s, out);
    (void)buf_printf(out, "  bad responses: %llu from the canary, %llu seen by clients%s\n",
                     (unsigned long long)record->bad_origin, (unsigned long long)record->bad_client,
                     record->bad_client < record->bad_origin
                         ? " (the others were rescued: asked of the stable version in time)"
                         : "");
    (void)buf_printf(out, "  the clients themselves counted %llu bad of %llu answers%s\n",
                     (unsigned long long)clients->bad,
                     (unsigned long long)(clients->answered + clients->lost),
                     clients->bad == record->bad_client ? ": the same number" : "");
}

static json_int_t count_of(uint64_t count)
{
    return count > INT64_MAX ? INT64_MAX : (json_int_t)count;
}

enum err demo_report_json(struct bytes rollbacks, const struct demo_load_counts *clients,
                          struct buf *out)
{
    json_t *list = json_loadb(rollbacks.data, rollbacks.size, 0, NULL);
    json_t *record = json_array_get(json_object_get(list, "rollbacks"), 0);
    if (!json_is_object(record)) {
        json_decref(list);
        return ERR_SYNTAX;
    }
    json_t *report =
        json_pack("{s:O, s:{s:I, s:I, s:I, s:I}}", "rollback", record, "clients", "answered",
                  count_of(clients->answered), "bad", count_of(clients->bad), "lost",
                  count_of(clients->lost), "skipped", count_of(clients->skipped));
    char *text = report != NULL
                     ? json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(REAL_DIGITS))
                     : NULL;
    enum err err = text != NULL ? buf_append(out, bytes_of(text)) : ERR_NOMEM;
    if (err == OK) {
        err = buf_append_byte(out, '\n');
    }
    free(text);
    json_decref(report);
    json_decref(list);
    return err;
}
