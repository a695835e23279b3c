/* conf/conf_value.h — one scalar of the file, read by the type of its key.
 *
 * Everything a value says is checked here by itself: its form, its unit, its bounds, its words.
 * What needs a second value to be judged is conf_check's. Results live in the arena that is given;
 * one thread at a time. */
#pragma once
#include "conf/conf_schema.h"

struct conf_value_context {
    struct arena *arena; /* borrowed: results live there */
    struct bytes folder; /* borrowed: where relative paths start, "" for the working directory */
};

/* Reads `text` as one value of `key` (one element, if it is a list) into `ret_value`,
 * conf_key_size(key) bytes. ERR_NOMEM, or any other error with a note that says what is wrong with
 * the value ("has no unit"). */
MUST_USE enum err conf_value_parse(const struct conf_value_context *context,
                                   const struct conf_key *key, struct bytes text, struct note *note,
                                   void *ret_value);
/* Is it one of the words that switch a thing off: off, none, false, no, null, ~, or nothing at all?
 * Bare words of YAML 1.1 come in any case. */
bool conf_word_is_off(struct bytes text);
/* on, true, yes. */
bool conf_word_is_on(struct bytes text);
/* One step of a rollout as it stands in a list: a rate above 0, or the word pause
 * (CONF_STEP_PAUSE). On failure the note says what is wrong with it. Pure. */
MUST_USE enum err conf_step_parse(struct bytes text, struct note *note, uint32_t *ret_step_ppm);
