/* conf/conf_walk.h — a YAML document, walked along the schema into a `struct conf`.
 *
 * Used by conf_load alone. What the conf holds afterwards borrows nothing from the document.
 * Control. */
#pragma once
#include <yaml.h>

#include "conf/conf_errors.h"

/* Fills the cleared `conf`, whose arena is ready, with values and defaults; relative paths start at
 * `folder`. Wrong values are noted in `errors` and left zero. ERR_NOMEM, or ERR_LIMIT (noted) when
 * the document is too costly. */
MUST_USE enum err conf_walk(yaml_document_t *document, struct bytes folder,
                            struct conf_errors *errors, struct conf *conf);
