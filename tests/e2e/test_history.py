"""The history: what it sums up, that nobody changes it unseen, and that it does not grow for ever."""

import glob
import hashlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, add_case, bare_environment, case, expect, run, wait_for  # noqa: E402

TEN = {"weight": "10%", "rollback": {"on_breach": "alert", "every": "100ms"}}
DONE, FAILED, USAGE = range(3)
DAY_US = 86400 * 1000000
LOOSEN = "DROP TRIGGER audit_is_not_updated; DROP TRIGGER audit_is_not_deleted; DROP TRIGGER audit_grows_at_its_end;"


def serin(stage, *words):
    """Runs a verb; gives exit code, standard output and standard error."""
    environment = {**bare_environment(), "SERIN_ADMIN": f"http://127.0.0.1:{stage.serin.admin_port}"}
    done = subprocess.run([stage.binary, *words], env=environment, capture_output=True, text=True, check=False,
                          timeout=30 * SLOW)
    stage.transcript.note("test", f"serin {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.returncode, done.stdout, done.stderr


def tamper(process, sql):
    """What somebody does to the file while nobody looks."""
    process.stop()
    connection = sqlite3.connect(process.settings["state"])
    connection.executescript(sql)
    connection.commit()
    connection.close()
    process.start()


def chained(previous, seq, at_us, actor, action, service, detail):
    """The hash of a row as canary/history/chain.h says it."""
    content = previous + struct.pack("<qq", seq, at_us)
    for text in (actor, action, service, detail):
        content += b"\xff" * 8 if text is None else struct.pack("<Q", len(text.encode())) + text.encode()
    return hashlib.sha256(content).digest()


def make_old(path, count, days):
    """The trail of a Serin that has run for long: one row a day, the last one `days` ago."""
    connection = sqlite3.connect(path)
    triggers = [row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE type='trigger' AND tbl_name='audit'")]
    connection.executescript(LOOSEN + "DELETE FROM audit; DELETE FROM sqlite_sequence WHERE name='audit';")
    now_us, previous = int(time.time() * 1e6), bytes(32)
    for seq in range(1, count + 1):
        row = (seq, now_us - (days + count - seq) * DAY_US, "token:ops", "weight.set", "shop", json.dumps({"text": f"row {seq}"}))
        made = chained(previous, *row)
        connection.execute("INSERT INTO audit VALUES (?,?,?,?,?,?,?,?)", (*row, previous, made))
        previous = made
    for sql in triggers:
        connection.execute(sql)
    connection.commit()
    connection.close()


@case(starts_proxy=False)
def trail_that_nobody_touched_is_whole(stage):
    stage.start_serin({"services": [stage.service(**TEN)]})
    serin(stage, "weight", "20%", "--service", stage.name)
    wait_for(lambda: "weight.set" in serin(stage, "history", "--audit")[1], "it is written")
    code, out, _ = serin(stage, "history", "--verify")
    expect((code, "is whole" in out), (DONE, True), f"answer {out}")
    code, out, _ = serin(stage, "history", "--verify", "--json")
    answer = json.loads(out)
    expect((answer["intact"], answer["first_bad"], answer["anchor"]), (True, None, None), "answer")
    expect(serin(stage, "history", "--verify", "--audit")[0], USAGE, "two at once")
    code, out, _ = serin(stage, "history", "--export", "--json")
    answer = json.loads(out)
    with open(answer["path"], encoding="utf-8") as file:
        kinds = [json.loads(line)["kind"] for line in file]
    expect((code, len(kinds), kinds.count("service")), (DONE, answer["rows"], 1), "the export")
    expect(os.path.dirname(answer["path"]), stage.serin.folder, "beside the state file")
    expect("rows are in" in serin(stage, "history", "--export")[1], True, "for people")
    wait_for(lambda: "history.export" in serin(stage, "history", "--audit")[1], "the trail tells of it")


def is_caught(sql, row):
    def function(stage):
        process = stage.start_serin({"services": [stage.service(**TEN)]})
        for percent in ("20%", "30%", "40%"):
            serin(stage, "weight", percent, "--service", stage.name)
        wait_for(lambda: serin(stage, "history", "--audit")[1].count("weight.set") >= 3, "it is written")
        tamper(process, LOOSEN + sql)
        code, out, _ = serin(stage, "history", "--verify")
        expect((code, f"BROKEN at row {row}:" in out), (FAILED, True), f"answer {out}")

    return function


for what, sql, row in (("edited", "UPDATE audit SET detail='{}' WHERE seq=2", 2),
                       ("deleted", "DELETE FROM audit WHERE seq=2", 2),
                       ("swapped", "UPDATE audit SET seq=-1 WHERE seq=2; UPDATE audit SET seq=2 WHERE seq=3;"
                                   "UPDATE audit SET seq=3 WHERE seq=-1", 2)):
    add_case(is_caught(sql, row), f"{what}_row_is_caught", starts_proxy=False)


@case(starts_proxy=False)
def old_rows_are_exported_and_the_rest_is_whole(stage):
    process = stage.start_serin({"services": [stage.service(**TEN)], "history": {"keep": "100d"}})
    process.stop()
    make_old(process.settings["state"], 60, 70)  # the first 30 are older than 100 days
    process.start()
    files = wait_for(lambda: glob.glob(process.settings["state"] + ".*.jsonl"), "the export is there")
    expect([os.path.basename(file) for file in files], ["serin.db.1-30.jsonl"], "files")
    wait_for(lambda: "behind row 30" in serin(stage, "history", "--verify")[1], "they are taken out")
    code, out, _ = serin(stage, "history", "--verify")
    expect((code, "is whole" in out), (DONE, True), f"answer {out}")
    previous = bytes(32)
    with open(files[0], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        made = chained(previous, *(row[key] for key in ("seq", "at_us", "actor", "action", "service", "detail")))
        expect((row["previous"], row["hash"]), (previous.hex(), made.hex()), "the chain in the file")
        previous = made
    anchor = process.admin("GET", "/api/v1/audit/verify").json["anchor"]
    expect((anchor["seq"], anchor["hash"], anchor["export"]), (30, previous.hex(), "serin.db.1-30.jsonl"), "anchor")
    wait_for(lambda: "history.retain" in serin(stage, "history", "--audit")[1], "the trail tells of it")
    tamper(process, LOOSEN + "UPDATE audit SET actor='nobody' WHERE seq=40")
    code, out, _ = serin(stage, "history", "--verify")
    expect((code, "BROKEN at row 40:" in out), (FAILED, True), f"answer {out}")


@case(starts_proxy=False)
def trail_that_is_broken_is_not_taken_out(stage):
    process = stage.start_serin({"services": [stage.service(**TEN)], "history": {"keep": "100d"}})
    process.stop()
    make_old(process.settings["state"], 60, 70)
    connection = sqlite3.connect(process.settings["state"])
    connection.executescript(LOOSEN.split(";")[0] + ";UPDATE audit SET actor='nobody' WHERE seq=3")
    connection.commit()
    connection.close()
    process.start()
    wait_for(lambda: any("row 3 of the audit trail is broken" in text for text in process.conditions()), "it is told")
    expect(glob.glob(process.settings["state"] + ".*.jsonl*"), [], "files")
    expect(stage.ask().status, 200, "traffic flows on")


@case(starts_proxy=False)
def summary_has_success_rate_and_times(stage):
    process = stage.start_serin({"services": [stage.service(**TEN)]})
    serin(stage, "rollback", "--reason", "it hurts", "--instant", "--service", stage.name)
    wait_for(lambda: process.service(stage.name)["phase"] == "rolled_back", "it is rolled back", 30)
    expect(process.rollback_of(stage.name)["status"], "success", "status")
    serin(stage, "rollback", "--reason", "dry", "--dry-run", "--service", stage.name)
    code, out, _ = serin(stage, "history", "--summary", "day")
    lines = [[word.strip() for word in line.split("  ") if word.strip()] for line in out.strip().split("\n")]
    expect(lines[0], ["Since", "Rollbacks", "Success", "Failed", "Success rate", "RTO mean", "p50", "p90", "p99", "worst"],
           "headings")
    expect((code, lines[1][0], lines[1][1:5]), (DONE, time.strftime("%Y-%m-%d", time.gmtime()), ["1", "1", "0", "100.0 %"]),
           "today")
    record = process.admin("GET", "/api/v1/rollbacks?limit=2").json["rollbacks"][-1]
    answer = process.admin("GET", f"/api/v1/rollbacks?summary=month&service={stage.name}").json
    expect((answer["total"]["success_rate"], answer["total"]["duration_s"]["p99"]), (1.0, record["duration_s"]), "the API")
    expect(process.admin("GET", "/api/v1/rollbacks?summary=year").status, 422, "no such period")
    expect(process.admin("GET", "/api/v1/rollbacks?summary=day&before=x").status, 400, "not together")
    expect(process.admin("GET", "/api/v1/audit?summary=day").status, 400, "not of the trail")
    expect(serin(stage, "history", "--summary", "year")[0], USAGE, "usage")


if __name__ == "__main__":
    run(__file__, parallel=3)
