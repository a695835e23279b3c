/* conf/manual.h — texts of the program as pages for man(1): roff with the macros of man(7).
 *
 * Appends to a buf, whose is_failed says whether it fitted. Pure; any thread. */
#pragma once
#include "proxy/base/buf.h"

/* A page's first lines: ".TH SERIN 1". */
void manual_begin(struct buf *page, const char *title, const char *section, const char *name,
                  const char *purpose);
void manual_heading(struct buf *page, const char *text);
/* A term in bold, what follows is its description; `more` is not bold, may be NULL. */
void manual_term(struct buf *page, const char *term, const char *more);
/* Text with the Markdown that our texts have: `code`, **strong**, *emphasis*, [links](there), lists
 * and paragraphs; headings and comments are left out. Ends with a line break. */
void manual_text(struct buf *page, const char *text);
/* Characters that mean themselves. */
void manual_plain(struct buf *page, const char *text);
/* serin.yaml(5): the reference of the configuration, from its schema. */
void manual_configuration(struct buf *page);
