"""A verdict says itself in one sentence with numbers, and says the same in status, log, audit trail, record and alert."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import case, expect, health, run, wait_for  # noqa: E402
from release import Release  # noqa: E402

HEALTH = health()
FAILED = re.compile(r"canary [\d,]+ of [\d,]+ requests failed( to connect)? \([\d.]+ %\), limit [\d.]+ %, "
                    r"stable [\d,]+ of [\d,]+; evidence [\d.]+ of [\d.]+ needed")


def audit(release):
    """(action, text) of this service, oldest first."""
    rows = release.serin.admin("GET", "/api/v1/audit?limit=200").json
    rows = rows if isinstance(rows, list) else rows["audit"]
    return [(row["action"], (row["detail"] or {}).get("text", "")) for row in reversed(rows) if row["service"] == release.name]


def says_the_same(release, event):
    """The sentence of a breach, found in every place; gives it."""
    wait_for(lambda: release.state()["verdict"] == "breach", "a breach", 60)
    sentence = release.state()["sentence"]
    rows = wait_for(lambda: (lambda found: found if {"verdict.breach", "alert", event} <= {row[0] for row in found} else None)(
        audit(release)), "it is on record")
    texts = dict(reversed(rows))  # the first of each
    expect(texts["verdict.breach"], sentence, "the audit trail's verdict")
    # before a breach is proven another alert may have been due
    expect(("alert", sentence) in rows, True, f"an alert in {rows}")
    expect(texts[event].endswith(sentence), True, f"{event}: {texts[event]!r} says {sentence!r}")
    for line in (f"{release.name}: {sentence} (verdict.breach by judge)", f"{release.name}: ALERT: {sentence}"):
        wait_for(lambda text=line: text in release.serin.log(), f"the log has: {line}")
    return sentence


@case(starts_proxy=False)
def failing_canary_is_told_in_five_places(stage):
    with Release(stage) as release:
        release.canary.order(status=500, every=3)
        sentence = says_the_same(release, "rollback.start")
        expect(bool(FAILED.fullmatch(sentence)), True, sentence)
        expect(release.record()["reason"], sentence, "the record")
        release.wait_phase("rolled_back", 60)
        expect(release.state()["sentence"], sentence, "the status when all is over")
        expect(release.state()["quarantine"][0]["reason"], sentence, "the quarantine")


@case(starts_proxy=False)
def dead_canary_is_told_in_five_places(stage):
    with Release(stage, rollback={"relative": "off", "error_rate": "60%"}) as release:
        release.canary.order(listen=False)
        sentence = says_the_same(release, "rollback.start")
        expect(bool(FAILED.fullmatch(sentence)), True, sentence)
        expect(release.record()["reason"], sentence, "the record")


@case(starts_proxy=False)
def unhealthy_canary_is_told_in_five_places(stage):
    with Release(stage, health=HEALTH, rate=1, starts=False) as release:
        release.canary.order(listen=False)
        sentence = says_the_same(release, "rollback.start")
        expect(sentence, "1 of 1 endpoints of the canary fail their health checks, 1 of stable live", "sentence")
        expect(release.record()["reason"], sentence, "the record")


@case(starts_proxy=False)
def breach_that_only_alerts_is_told_the_same(stage):
    with Release(stage, rollback={"on_breach": "alert"}) as release:
        release.canary.order(status=500)
        says_the_same(release, "breach")
        expect(release.records(), [], "records")


if __name__ == "__main__":
    run(__file__, parallel=2)
