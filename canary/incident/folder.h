/* canary/incident/folder.h — reports as files: one folder for each, in the folder of them all.
 *
 * A report is written beside the present one and takes its place as a whole: a crash leaves the old
 * one or the new one. Everything here waits for the disk: libuv's pool only. */
#pragma once
#include "canary/incident/incident.h"

struct access_log;

enum folder_file { FOLDER_JSON, FOLDER_MARKDOWN, FOLDER_CHART, FOLDER_FILE_COUNT };

/* Is this the name of a report, as rollbacks are named: letters, digits and inner dashes, no more
 * than INCIDENT_ID_SIZE - 1? Nothing that names another folder is. Pure; any thread. */
bool folder_is_id(const char *id);
/* Makes the report of what the work knows and writes it; moves access_after on and leaves the new
 * lines of `log` (NULL: off) in access_new. `note` says what failed. ERR_IO, ERR_NOMEM. */
MUST_USE enum err folder_write(const char *path, struct incident_work *work, struct access_log *log,
                               struct note *note);
/* Removes the oldest reports beyond `keep`, and what crashes left behind. Files and folders that
 * are no report's, and what people put beside a report, stay. */
void folder_prune(const char *path, size_t keep);
/* Reads one file of a report. ERR_NOT_FOUND, ERR_IO, ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err folder_read(const char *path, const char *id, enum folder_file file,
                              struct buf *out);
/* The ids of reports that say they are not complete, at most `max`; returns how many. */
size_t folder_find_incomplete(const char *path, char ret_ids[][INCIDENT_ID_SIZE], size_t max);
