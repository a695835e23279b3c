/* conf/conf_reference.h — docs/configuration.md, written from the schema.
 *
 * A test holds the committed page to it; `test_conf_reference --write` renews the page. */
#pragma once
#include "proxy/base/buf.h"

/* Appends the whole page, Markdown. The buf says whether it fitted (64 KiB is plenty). Pure; any
 * thread. */
void conf_reference(struct buf *buf);
