/* canary/engine/judge_sentence.h — a verdict in one sentence with its numbers, for people.
 *
 * The same words stand in status, log, audit trail and alert: "canary 23 of 180 requests failed
 * (12.8 %), limit 5 %, stable 2 of 1,620; evidence 9.1 of 7.8 needed". Pure; any thread. */
#pragma once
#include <stddef.h>

#include "canary/engine/judge.h"
#include "proxy/base/err.h"

enum { JUDGE_COUNT_TEXT_SIZE = 32 };

/* Says judge->result; after a breach, the numbers it was decided on. */
void judge_sentence(const struct judge *judge, struct note *ret_sentence);

/* What was counted since the canary's trouble began, or without any since the weight last changed,
 * whatever the verdict: "canary 23 of 180 requests failed (12.8 %), limit 5 %, stable 2 of 1,620".
 */
void judge_sentence_counts(const struct judge *judge, struct note *ret_sentence);

/* A whole number with commas between thousands: "1,620". */
void judge_count_text(double count, char ret_text[JUDGE_COUNT_TEXT_SIZE]);
/* A ratio as percent with what digits it needs: "12.8 %", "0.25 %", "5 %". */
void judge_percent_text(double ratio, char ret_text[JUDGE_COUNT_TEXT_SIZE]);
