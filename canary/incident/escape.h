/* canary/incident/escape.h — text of strangers made harmless for where it is shown.
 *
 * Paths, fields and reasons come from clients and origins, who may want to be read as markup. Each
 * function appends `text` so that a reader of that format sees the text and nothing else; bytes
 * that are not UTF-8 become U+FFFD, controls (and line ends) become blanks. Pure; any thread. */
#pragma once
#include "proxy/base/buf.h"

/* Between Markdown's words, also in a table's cell and inside HTML: every character that Markdown
 * or HTML could read as its own is written as a character reference. */
void escape_markdown(struct buf *out, struct bytes text);
/* As XML's character data or attribute value. */
void escape_xml(struct buf *out, struct bytes text);
/* As a block of code: each line is indented by four blanks, which nothing inside it can end. */
void escape_code(struct buf *out, struct bytes text);
/* As text with lines for a terminal: without the sequences that colour it, and with nothing else
 * that a terminal obeys. */
void escape_log(struct buf *out, struct bytes text);
