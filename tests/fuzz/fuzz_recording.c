/* tests/fuzz/fuzz_recording.c — any bytes are a flight recording or are refused with a line, and
 * whatever is taken for one can be replayed and shown.
 *
 * Replaying costs a check of each policy for a row, so the rows of one input are few by its size.
 */
#include <math.h>

#include "canary/policy/policy.h"
#include "canary/replay/recording_read.h"
#include "canary/replay/replay.h"
#include "canary/replay/replay_show.h"
#include "proxy/base/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct replay *begin(const struct recording_head *head)
{
    struct observe_policy policies[RECORDING_POLICIES_MAX];
    struct replay *replay = NULL;
    CHECK(head->policy_count >= 1);
    for (size_t i = 0; i < head->policy_count; i++) {
        policies[i] = policy_of(&head->policies[i]);
        policy_watch_not_found(&policies[i], head->not_found_ppm);
    }
    double shift_s = replay_shift_s(head->shift_ppm, head->shift_count, (double)head->every_ms);
    CHECK(isfinite(shift_s));
    if (replay_create(policies, head->policy_count, shift_s, &replay) == OK) {
        replay_name(replay, head->current, head->previous);
    }
    return replay;
}

static void check_row(const struct recording_row *row)
{
    static char bytes[RECORDING_ROW_MAX];
    static struct recording_row back;
    CHECK(row->canary.failed <= row->canary.count);
    CHECK(row->canary.connect_failed <= row->canary.failed);
    size_t used = recording_encode(row, bytes);
    recording_decode(bytes_make(bytes, used), &back);
    back.number = row->number;
    CHECK(back.at_ms == row->at_ms);
    CHECK(back.canary.count == row->canary.count);
    CHECK(back.mark == row->mark);
}

static void finish(struct replay *replay, const struct recording_reader *reader)
{
    struct buf text;
    buf_init(&text, 16 * 1024 * 1024);
    enum err err = replay_show(replay, reader, &text);
    CHECK(err == OK || err == ERR_NOMEM);
    buf_finish(&text);
    json_t *json = replay_to_json(replay, reader);
    CHECK(json != NULL);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct recording_reader reader;
    static struct recording_row row;
    struct replay *replay = NULL;
    struct bytes rest = bytes_make((const char *)data, size);
    struct note note = {""};
    enum err err = OK;
    recording_reader_init(&reader);
    while (rest.size > 0 && err == OK) {
        enum recording_kind kind;
        size_t cut = bytes_find(rest, '\n');
        err = recording_read_line(&reader, bytes_slice(rest, 0, cut), &kind, &row, &note);
        CHECK(err == OK || note.text[0] != '\0');
        if (err == OK && kind == RECORDING_HEAD && replay == NULL) {
            replay = begin(&reader.head);
        }
        if (err == OK && kind == RECORDING_ROW && replay != NULL) {
            check_row(&row);
            err = replay_feed(replay, &row);
        }
        size_t used = cut < rest.size ? cut + 1 : cut;
        rest = bytes_slice(rest, used, rest.size - used);
    }
    if (err == OK && recording_read_end(&reader, &note) == OK && replay != NULL &&
        replay_end(replay) == OK) {
        finish(replay, &reader);
    }
    replay_destroy(replay);
    return 0;
}
