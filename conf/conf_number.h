/* conf/conf_number.h — numbers as people write them: 250ms, 1.5h, 8KiB, 0.25%, 100.
 *
 * A number is decimal digits, perhaps a fraction, and a unit of its kind. It is read exactly or not
 * at all: what does not come out as a whole number of the base unit (microsecond, byte, part per
 * million) is refused. Pure; any thread. */
#pragma once
#include "conf/conf_schema.h"

enum { CONF_NUMBER_TEXT_SIZE = 32 };

/* Reads a CONF_TYPE_COUNT, _DURATION, _SIZE or _RATE. On failure the note says what is wrong with
 * it; bounds are not looked at. */
MUST_USE enum err conf_number_parse(enum conf_type type, struct bytes text, struct note *note,
                                    uint64_t *ret_value);
/* Writes it with the largest unit that needs no fraction, rates as percent: "90s", "8KiB", "0.25%",
 * "100". */
void conf_number_format(enum conf_type type, uint64_t value, char text[CONF_NUMBER_TEXT_SIZE]);
