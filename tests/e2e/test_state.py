"""What a restart, a crash and a changed file do to weights, quarantine and records (sections 3 and 5)."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, answer, case, expect, run, wait_for  # noqa: E402

ALERT = {"rollback": {"on_breach": "alert"}}


def weight(serin, stage):
    return serin.service(stage.name)["weight"]["set"]


def service_at(stage, percent, deployment="canary", **more):
    return stage.service(weight=f"{percent}%", current={"deployment": deployment, "endpoints": [stage.canary.url]}, **more)


def reload(serin, settings):
    stamp = serin.metrics().sum("serin_config_last_reload_success_timestamp_seconds")
    serin.change(settings)
    serin.signal(signal.SIGHUP)
    wait_for(lambda: serin.metrics().sum("serin_config_last_reload_success_timestamp_seconds") != stamp, "the reload")


def audit(serin):
    rows = serin.admin("GET", "/api/v1/audit").json
    return rows if isinstance(rows, list) else next(value for value in rows.values() if isinstance(value, list))


@case(starts_proxy=False)
def weight_of_the_file_counts_once(stage):
    serin = stage.start_serin({"services": [service_at(stage, 10, **ALERT)]})
    expect(weight(serin, stage), 10, "weight at first")
    expect(serin.set_weight(stage.name, 35).status, 200, "an operator's weight")
    serin.stop()
    serin.start()
    expect(weight(serin, stage), 35, "the state wins after a restart")
    reload(serin, {"services": [service_at(stage, 10, paths=["/", "/x"], **ALERT)]})
    expect(weight(serin, stage), 35, "and after a reload with the same number")


@case(starts_proxy=False)
def weight_changed_in_the_file_is_a_change_by_config(stage):
    serin = stage.start_serin({"services": [service_at(stage, 10, **ALERT)]})
    expect(serin.set_weight(stage.name, 35).status, 200, "an operator's weight")
    reload(serin, {"services": [service_at(stage, 20, **ALERT)]})
    wait_for(lambda: weight(serin, stage) == 20, "the number of the file")
    wait_for(lambda: any(row["actor"] == "config" for row in audit(serin)), "the actor is config")


@case(starts_proxy=False)
def new_deployment_takes_the_weight_of_the_file(stage):
    serin = stage.start_serin({"services": [service_at(stage, 10, **ALERT)]})
    expect(serin.set_weight(stage.name, 35).status, 200, "an operator's weight")
    reload(serin, {"services": [service_at(stage, 5, "canary-2", **ALERT)]})
    wait_for(lambda: serin.service(stage.name)["current"]["deployment"] == "canary-2", "the deployment")
    wait_for(lambda: weight(serin, stage) == 5, "the weight of the file")


@case(starts_proxy=False)
def raised_weight_survives_a_crash(stage):
    """Towards risk it is written before it is in effect: who got a 200 finds it after kill -9."""
    serin = stage.start_serin({"services": [service_at(stage, 10, **ALERT)]})
    for percent in (20, 30, 55):
        expect(serin.set_weight(stage.name, percent).status, 200, "raise")
        serin.kill()
        serin.start()
        expect(weight(serin, stage), percent, "weight after the crash")


@case(starts_proxy=False)
def revision_never_goes_back(stage):
    serin = stage.start_serin({"services": [service_at(stage, 10, **ALERT)]})
    revisions = []
    for percent in (20, 30, 10):
        expect(serin.set_weight(stage.name, percent).status, 200, "weight")
        revisions.append(serin.service(stage.name)["revision"])
        serin.stop()
        serin.start()
        revisions.append(serin.service(stage.name)["revision"])
    expect(revisions, sorted(revisions), "revisions")


@case(starts_proxy=False)
def quarantine_and_record_survive_restart_and_reload(stage):
    stable, canary = LoadOrigin("stable"), LoadOrigin("canary")
    load = None
    try:
        def service(percent, **more):
            return stage.service(weight=f"{percent}%", rollback={"every": "100ms"},
                                 previous={"deployment": "good", "endpoints": [stable.url]},
                                 current={"deployment": "bad", "endpoints": [canary.url]}, **more)

        serin = stage.start_serin({"services": [service(50)]})
        load = Load(serin.port, stage.host, connections=4, rate=200 / SLOW)
        load.start()
        wait_for(lambda: load.tally.of("canary") > 20, "traffic flows")
        canary.order(status=500)
        wait_for(lambda: serin.service(stage.name)["phase"] == "rolled_back", "the rollback", 30)
        load.stop()
        serin.rollback_of(stage.name)
        identity = serin.admin("GET", "/api/v1/rollbacks").json
        for end in (serin.stop, serin.kill):
            end()
            serin.start()
            expect((weight(serin, stage), serin.service(stage.name)["phase"]), (0, "rolled_back"), "weight and phase")
            expect(serin.set_weight(stage.name, 1).status, 422, "a weight for a quarantined deployment")
            expect(serin.admin("GET", "/api/v1/rollbacks").json, identity, "records")
        reload(serin, {"services": [service(30)]})
        expect(weight(serin, stage), 0, "weight after a reload with another number")
        expect("quarantine" in serin.log(), True, "the log says why the number was not taken")
    finally:
        if load:
            load._ended.set()
            load.join(10)
        stable.stop()
        canary.stop()


@case(starts_proxy=False)
def state_of_a_newer_serin_is_left_alone(stage):
    import sqlite3

    serin = stage.start_serin({"services": [service_at(stage, 10, **ALERT)]})
    serin.stop()
    connection = sqlite3.connect(serin.settings["state"])
    connection.execute("PRAGMA user_version = 9999")
    connection.commit()
    connection.close()
    serin.start()
    expect(stage.ask().status, 200, "traffic flows")
    wait_for(serin.conditions, "the condition is shown")
    serin.stop()
    connection = sqlite3.connect(serin.settings["state"])
    expect(connection.execute("PRAGMA user_version").fetchone()[0], 9999, "version of the file")
    connection.close()


@case(starts_proxy=False)
def second_process_on_the_same_state_does_not_harm_the_first(stage):
    first = stage.start_serin({"services": [service_at(stage, 10, **ALERT)]})
    second = stage.start_serin({"services": [service_at(stage, 10, **ALERT)], "state": first.settings["state"]}, wait=False,
                               name="second")
    wait_for(lambda: second.process.poll() is not None or "ready" in second.log() or "serves" in second.log(), "it is up")
    stage.serin = first
    expect(stage.ask().status, 200, "traffic of the first")
    expect(first.set_weight(stage.name, 20).status, 200, "a change at the first")
    if second.process.poll() is not None:
        second.process = None


@case(starts_proxy=False)
def weight_changes_under_load_lose_nothing_and_keep_no_memory(stage):
    stable, canary = LoadOrigin("stable"), LoadOrigin("canary")
    load = None
    try:
        serin = stage.start_serin({"services": [stage.service(
            weight="1%", cache="off", **ALERT, previous={"deployment": "s", "endpoints": [stable.url]},
            current={"deployment": "c", "endpoints": [canary.url]})]})
        load = Load(serin.port, stage.host, connections=16)
        load.start()

        def change(count):
            for number in range(count):
                expect(serin.set_weight(stage.name, 1 + number % 60).status, 200, "weight")

        change(50)
        before = serin.rss_kib()
        change(int(300 / SLOW))
        grown = serin.rss_kib() - before
        tally = load.stop()
        expect((dict(tally.errors), set(tally.statuses)), ({}, {200}), "errors and statuses")
        if SLOW == 1 and grown > 4096:
            raise AssertionError(f"the proxy grew by {grown} KiB over 300 weight changes")
        expect(serin.metrics().sum("serin_requests_total", service=stage.name, code=200), tally.total, "counted")
    finally:
        if load:
            load._ended.set()
            load.join(10)
        stable.stop()
        canary.stop()


@case(starts_proxy=False)
def reload_with_a_taken_port_changes_nothing(stage):
    serin = stage.start_serin({"services": [service_at(stage, 10, **ALERT)]})
    old = {"address": f"127.0.0.1:{serin.port}"}
    stage.origin.reply = answer(body=b"old")
    mark = len(serin.log())
    serin.change({"listen": [old, {"address": f"127.0.0.1:{stage.origin.port}"}]})
    serin.signal(signal.SIGHUP)
    wait_for(lambda: str(stage.origin.port) in serin.log()[mark:], "the log names the port")
    expect(stage.ask().body, b"old", "traffic")
    reload(serin, {"listen": [old]})
    expect(stage.ask().body, b"old", "traffic after a good reload")


if __name__ == "__main__":
    run(__file__, parallel=3)
