/* canary/replay/recording_read.h — a flight recording, line by line, believed in nothing.
 *
 * The format is docs/OPERATING.md's. Each line is one strict JSON object with known members; what
 * a row cannot mean (more failures than requests, time or numbers that go back, counts too large to
 * add up) is refused with its line. A recording is whole when its last line says that nothing
 * follows. Nothing is kept but the head and where it stands, so a recording may be of any length up
 * to RECORDING_ROWS_MAX. Embedded; pure but for memory that jansson takes; one thread. */
#pragma once
#include "canary/engine/observe.h"
#include "canary/engine/recording.h"
#include "conf/conf.h"
#include "proxy/base/err.h"

enum {
    RECORDING_ROWS_MAX = 1000000,
    RECORDING_POLICIES_MAX = OBSERVE_MAX + 1 /* the service's own, and those it observes */
};

/* The most of one count in one row: a million such rows still add up. */
static const uint64_t RECORDING_COUNT_MAX = UINT64_C(1000000000000);

/* As the first line says it. */
struct recording_head {
    char service[CONF_NAME_MAX + 1];
    int64_t begun_ms; /* by the wall */
    char current[RECORDING_NAME_MAX + 1];
    char previous[RECORDING_NAME_MAX + 1];
    /* The first is the service's own. Names point into `policy_names`: the head is not copied. */
    struct conf_policy policies[RECORDING_POLICIES_MAX];
    char policy_names[RECORDING_POLICIES_MAX][CONF_NAME_MAX + 1];
    size_t policy_count;
    uint32_t not_found_ppm; /* 0: 404s are not judged */
    uint32_t shift_ppm[CONF_SHIFT_MAX];
    size_t shift_count;
    uint64_t every_ms;
};

enum recording_kind { RECORDING_HEAD, RECORDING_ROW, RECORDING_END };

struct recording_reader {
    struct recording_head head;
    size_t line; /* of the last one read, from 1 */
    bool has_head;
    bool is_in_page; /* between a head and its end */
    bool has_more;   /* the last end said so */
    uint64_t next;   /* ... after this row */
    uint64_t page_rows;
    uint64_t row_count;
    uint64_t missing_count; /* numbers that were left out */
    uint64_t last_row, last_ms;
};

void recording_reader_init(struct recording_reader *reader);
/* Reads a line without its newline. `ret_row` is filled for RECORDING_ROW. ERR_SYNTAX: `note` says
 * what is wrong and in which line; nothing more can be read then. ERR_NOMEM. */
MUST_USE enum err recording_read_line(struct recording_reader *reader, struct bytes line,
                                      enum recording_kind *ret_kind, struct recording_row *ret_row,
                                      struct note *note);
/* After the last line. ERR_SYNTAX: something is missing, as the note says. */
MUST_USE enum err recording_read_end(const struct recording_reader *reader, struct note *note);
