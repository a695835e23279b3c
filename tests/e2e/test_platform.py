"""A rollback is told to the platform that hosts the site: after the shift, once in effect, through crashes and outages."""

import json
import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import pages_api  # noqa: E402
from pages_api import PagesApi  # noqa: E402
from play import case, expect, run, wait_for  # noqa: E402


class Site:
    """An emulator with a good and a bad deployment, the bad one live, and a proxy that splits between them."""

    def __init__(self, stage):
        self.stage = stage
        self.api = PagesApi()
        self.project = self.api.project("demo")
        self.good = self.project.deploy("a" * 40)["id"]
        self.bad = self.project.deploy("b" * 40)["id"]
        self.serin = None

    def service(self, **changes):
        return self.stage.service(**{
            "weight": "50%", "previous": {"deployment": self.good[:8], "endpoints": [self.stage.origin.url]},
            "current": {"deployment": self.bad[:8], "endpoints": [self.stage.canary.url]},
            "platform": {"pages": {"project": "demo", "account": self.api.account, "api_base": self.api.base}}, **changes})

    def start(self, token=None, **changes):
        self.serin = self.stage.start_serin({"services": [self.service(**changes)]},
                                            environment={"CLOUDFLARE_API_TOKEN": token or self.api.token})

    def roll_back(self):
        answer = self.serin.admin("POST", f"/api/v1/services/{self.stage.name}/rollback",
                                  {"reason": "it hurts", "mode": "instant"})
        expect(answer.status, 202, f"rollback: {answer}")
        return answer.json["id"]

    def record(self, identity):
        return self.serin.admin("GET", f"/api/v1/rollbacks/{identity}").json

    def posts(self):
        return self.api.told("POST")

    def wait_for_state(self, identity, state):
        def is_so():
            record = self.record(identity)
            return record.get("evidence", {}).get("platform") == state and record
        return wait_for(is_so, f"the platform's part is {state}", 60)

    def condition(self):
        return self.serin.metrics().sum("serin_condition", condition="platform")


def play(function):
    """A case with a Site of its own."""
    def perform(stage):
        site = Site(stage)
        try:
            function(site)
            if site.serin:
                expect(site.api.token in site.serin.log(), False, "the token in the log")
        finally:
            site.api.stop()
    perform.__name__ = function.__name__
    return case(starts_proxy=False)(perform)


@play
def platform_is_told_once_and_acknowledges(site):
    site.api.moves_after = 1
    site.start()
    identity = site.roll_back()
    record = site.wait_for_state(identity, "acknowledged")
    expect((site.project.canonical, len(site.posts())), (site.good, 1), "live at the platform, posts")
    phases = record["phases"]
    expect(phases["platform_ack_s"] >= phases["shift_s"], True, f"order of {phases}")
    wait_for(lambda: site.record(identity)["status"] == "success", "it is confirmed", 30)
    expect(site.record(identity)["phases"]["platform_ack_s"], phases["platform_ack_s"], "it stays")
    def counted():
        metrics = site.serin.metrics()
        return (metrics.sum("serin_platform_requests_total", provider="pages", operation="rollback", result="done"),
                metrics.sum("serin_rollback_phase_duration_seconds_count", phase="platform_ack"), site.condition())

    wait_for(lambda: counted() == (1, 1, 0), "the metrics tell of one call, its time and no condition")


@play
def canary_that_is_not_live_there_needs_no_call(site):
    site.project.canonical = site.good
    site.start()
    identity = site.roll_back()
    record = site.wait_for_state(identity, "not_needed")
    expect((record["phases"]["platform_ack_s"], site.posts()), (None, []), "acknowledgement and posts")
    site.project.canonical = site.project.deploy("c" * 40)["id"]
    expect(site.posts(), [], "another deployment is left alone")


@play
def platform_that_is_down_delays_its_own_part_only(site):
    site.api.fault(pages_api.status(500), times=10 ** 6)
    site.start()
    identity = site.roll_back()
    wait_for(lambda: site.record(identity)["status"] == "success", "the rollback succeeds", 30)
    expect(site.serin.service(site.stage.name)["weight"]["set"], 0, "weight")
    wait_for(lambda: site.condition() == 1, "the condition is shown", 60)
    wait_for(lambda: any("does not go back" in text for text in site.serin.conditions()), "it says what is wrong")
    site.api._faults.clear()
    site.wait_for_state(identity, "acknowledged")
    wait_for(lambda: site.condition() == 0, "the condition is over", 30)
    expect((len(site.posts()) >= 1, site.project.canonical), (True, site.good), "live at the platform")


@play
def restart_tells_what_was_not_told(site):
    site.api.fault(pages_api.status(503), times=10 ** 6)
    site.start()
    identity = site.roll_back()
    wait_for(lambda: site.record(identity)["status"] == "success", "the rollback succeeds", 30)
    wait_for(lambda: site.condition() == 1, "it was tried", 60)
    site.serin.kill()
    expect(journal_of(site), 1, "in the journal")
    site.api._faults.clear()
    site.serin.start()
    wait_for(lambda: site.project.canonical == site.good, "the platform went back", 60)
    wait_for(lambda: site.record(identity)["phases"]["platform_ack_s"] is not None, "the record has it", 30)
    site.serin.kill()
    expect(journal_of(site), 0, "in the journal")
    before = len(site.api.told())
    site.serin.start()
    expect(len(site.api.told()), before, "nothing is left to be asked")


def journal_of(site):
    connection = sqlite3.connect(site.serin.settings["state"])
    try:
        return connection.execute("SELECT count(*) FROM platform").fetchone()[0]
    finally:
        connection.close()


@play
def kill_between_the_call_and_its_answer_changes_nothing_twice(site):
    def done_and_silent(handler):
        handler.route()
        handler.server.api.is_stopping.wait(pages_api.PATIENCE_S)

    site.api.fault(done_and_silent, method="POST")
    site.start()
    identity = site.roll_back()
    wait_for(lambda: site.project.moving_to == site.good, "it is asked, and does it", 30)
    site.serin.kill()
    site.serin.start()
    record = wait_for(lambda: site.record(identity)["phases"]["platform_ack_s"] is not None and site.record(identity),
                      "it is acknowledged", 60)
    expect((len(site.posts()), site.project.canonical, record["status"] in ("success", "in_progress")),
           (1, site.good, True), "posts")


@play
def token_that_is_missing_is_a_condition_until_it_is_mended(site):
    path = os.path.join(site.stage.folder, f"{site.stage.name}.token")
    pages = {"project": "demo", "account": site.api.account, "api_base": site.api.base, "token_file": path}
    site.start(platform={"pages": pages})
    wait_for(lambda: site.condition() == 1, "the condition is shown")
    identity = site.roll_back()
    site.wait_for_state(identity, "pending")
    with open(path, "w", encoding="utf-8") as file:
        file.write(site.api.token + "\n")
    expect(site.serin.admin("POST", "/api/v1/reload").status, 200, "reload")
    site.wait_for_state(identity, "acknowledged")
    wait_for(lambda: site.condition() == 0, "the condition is over")


@play
def operator_may_give_it_up(site):
    site.api.fault(pages_api.status(500), times=10 ** 6)
    site.start()
    identity = site.roll_back()
    wait_for(lambda: site.condition() == 1, "it fails", 60)
    answer = site.serin.admin("POST", f"/api/v1/services/{site.stage.name}/quarantine/{site.bad[:8]}/release",
                              {"reason": "it was the database"})
    expect(answer.status, 200, f"release: {answer}")
    site.wait_for_state(identity, "given_up")
    wait_for(lambda: site.condition() == 0, "the condition is over")


@play
def command_gets_the_record(site):
    path = os.path.join(site.stage.folder, f"{site.stage.name}.told")
    site.start(platform={"exec": {"command": ["sh", "-c", 'cat > "$0"', path]}})
    identity = site.roll_back()
    site.wait_for_state(identity, "acknowledged")
    with open(path, encoding="utf-8") as file:
        told = json.load(file)
    expect((told["id"], told["deployment"], told["target"], told["service"]),
           (identity, site.bad[:8], site.good[:8], site.stage.name), "the record")


@play
def command_that_runs_goes_on_through_a_reload(site):
    path = os.path.join(site.stage.folder, f"{site.stage.name}.runs")
    script = 'echo run >>"$0"; until [ -e "$0.go" ]; do sleep 0.05; done'
    site.start(platform={"exec": {"command": ["sh", "-c", script, path]}})
    identity = site.roll_back()
    wait_for(lambda: os.path.exists(path), "it runs", 30)
    expect(site.serin.admin("POST", "/api/v1/reload").status, 200, "reload")
    with open(f"{path}.go", "w", encoding="utf-8"):
        pass
    site.wait_for_state(identity, "acknowledged")
    with open(path, encoding="utf-8") as file:
        expect(file.read(), "run\n", "runs")


@play
def worker_gets_its_earlier_version_back(site):
    script = site.api.script("edge")
    one, two = script.version(), script.version()
    script.deploy({one: 100})
    script.deploy({one: 90, two: 10})
    workers = {"script": "edge", "account": site.api.account, "api_base": site.api.base}
    site.start(platform={"workers": workers}, previous={"deployment": one, "endpoints": [site.stage.origin.url]},
               current={"deployment": two, "endpoints": [site.stage.canary.url]})
    site.wait_for_state(site.roll_back(), "acknowledged")
    expect([(each["version_id"], each["percentage"]) for each in script.deployments[-1]["versions"]], [(one, 100)], "live")
    expect(script.deployments[-1]["annotations"]["workers/message"], "it hurts", "message")


@play
def nobody_is_told_where_there_is_no_platform(site):
    site.start(platform="none")
    identity = site.roll_back()
    wait_for(lambda: site.record(identity)["status"] == "success", "the rollback succeeds", 30)
    expect((site.record(identity)["phases"]["platform_ack_s"], site.api.told()), (None, []), "acknowledgement and requests")


@play
def abort_and_dry_run_tell_nobody(site):
    site.start()
    dry = site.serin.admin("POST", f"/api/v1/services/{site.stage.name}/rollback",
                           {"reason": "what if", "mode": "instant", "dry_run": True})
    expect(dry.status in (200, 202), True, f"{dry}")
    expect(site.serin.admin("POST", f"/api/v1/services/{site.stage.name}/rollout/abort").status, 200, "abort")
    wait_for(lambda: site.serin.service(site.stage.name)["phase"] == "idle", "it is aborted", 30)
    expect(site.api.told(), [], "requests")


if __name__ == "__main__":
    run(__file__, parallel=2)
