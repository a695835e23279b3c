/* canary/cli/github.h — what a job of GitHub Actions understands: outputs, a summary, annotations.
 *
 * Every text is escaped for the place where it goes, so that a commit message cannot become a
 * command, another output or markup. The escapes are pure. */
#pragma once
#include <stdbool.h>
#include <stdio.h>

#include "proxy/base/buf.h"

/* In the message of a workflow command: % CR LF. Appends; the buf notes failures. */
void github_append_data(struct buf *out, const char *text);
/* In a property of a workflow command: those, and : and , as well. */
void github_append_property(struct buf *out, const char *text);
/* In a cell of a Markdown table: no markup, no HTML, one line. */
void github_append_markdown(struct buf *out, const char *text);
/* "name<<DELIMITER", the value, "DELIMITER". ERR_SYNTAX: the value has a line that is the
 * delimiter. */
MUST_USE enum err github_append_output(struct buf *out, const char *name, const char *value,
                                       const char *delimiter);

/* Whether this runs in a job (GITHUB_ACTIONS=true). */
bool github_is_job(void);
/* An annotation; `level` is "error", "warning" or "notice". */
void github_annotate(FILE *out, const char *level, const char *text);
/* Lets the runner hide a text it does not know to be a secret. */
void github_mask(FILE *out, const char *secret);
/* Appends to the file that the variable names. OK also where it names none; ERR_IO. */
MUST_USE enum err github_append_file(const char *variable, struct bytes text);

enum { GITHUB_DELIMITER_SIZE = 40 };
/* One that nobody can foresee. ERR_IO. */
MUST_USE enum err github_make_delimiter(char ret_delimiter[GITHUB_DELIMITER_SIZE]);
