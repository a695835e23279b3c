/* canary/engine/judge_decide.h — from the evidence of all tests to one verdict.
 *
 * Internal to the judge. Precedence of a breach: connect, absolute, relative, latency; then
 * suspicion in the same order (half of the proof, or a proof that the guard holds back: both
 * versions fail), then promotion. Pure. */
#pragma once
#include "canary/engine/judge.h"

/* Sets judge->result, and the latch where it is a breach. */
void judge_decide(struct judge *judge, int64_t now_ms);
