/* canary/alert/secret.h — what a key of the configuration only points at: a URL, a signing key.
 *
 * Read from the environment or a file, without blanks and newlines at its end. Never printed: notes
 * name its place, not its text. Reading a file blocks; at the start and on reload only. */
#pragma once
#include "conf/conf.h"
#include "proxy/base/bytes.h"

enum { SECRET_MAX = 4096 };

/* Gives the text to the caller, who hands it to secret_free. ERR_IO (not there, empty, longer
 * than SECRET_MAX, no text; the note says which), ERR_NOMEM. */
MUST_USE enum err secret_read(const struct conf_secret *conf, char **ret_secret, struct note *note);
/* Overwrites it first. NULL is fine. */
void secret_free(char *secret);
