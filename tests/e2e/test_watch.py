"""The project is watched: a new deployment begins a rollout, a failed build is recorded, what moved by itself raises an
alert; through outages, restarts and crashes, and nothing twice."""

import json
import os
import shutil
import sqlite3
import sys
import tempfile
from datetime import datetime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import pages_api  # noqa: E402
from load import LoadOrigin  # noqa: E402
from pages_api import PagesApi  # noqa: E402
from play import case, expect, run, wait_for  # noqa: E402
from receiver import Receiver  # noqa: E402

PATIENCE_S = 60
# Once begun, a rollout stays where it is: the plays look at what began.
SLOWLY = {"steps": ["10%", "100%"], "min_time": "1h", "max_time": "2h", "bake": "1h"}
AT_ONCE = {"steps": ["100%"], "min_time": "100ms", "max_time": "1h", "bake": "100ms"}


class Watched:
    """An emulator with one live deployment, a proxy that serves it and watches, and somebody who is told."""

    def __init__(self, stage, rollout=None, **service):
        self.stage, self.name = stage, stage.name
        self.origins = []
        self.told = Receiver()
        self.api = PagesApi()
        self.project = self.api.project("demo")
        self.old = self.deploy("0" * 40)
        self.first = self.deploy("a" * 40)
        service = stage.service(rollback={"latency": "off"}, rollout=rollout or SLOWLY, **service,
                                previous={"deployment": self.first[:8], "endpoints": [self.url_of(self.first)]},
                                platform={"pages": {"project": "demo", "account": self.api.account, "watch": True,
                                                    "watch_every": "2s", "api_base": self.api.base}})
        del service["weight"], service["current"]
        self.settings = {"services": [service], "alerts": [{"webhook": {"url": self.told.url}}]}
        self.serin = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.api.stop()
        self.told.stop()
        for origin in self.origins:
            origin.stop()

    def deploy(self, commit, **more):
        """A deployment with an origin of its own, which its URL leads to."""
        origin = LoadOrigin(commit[:1])
        self.origins.append(origin)
        return self.project.deploy(commit, url=origin.url, **more)["id"]

    def url_of(self, identity):
        return self.project.find(identity)["url"]

    def start(self):
        self.serin = self.stage.start_serin(self.settings, environment={"CLOUDFLARE_API_TOKEN": self.api.token})
        self.wait_looks(1)

    def looks(self):
        """Looks that came to their end: nothing was asked after the last list but by the next look."""
        return len([told for told in self.api.told("GET") if told.path.endswith("/deployments")])

    def wait_looks(self, count):
        seen = self.looks() + count
        wait_for(lambda: self.looks() >= seen, f"{count} more looks", PATIENCE_S)

    def kept(self):
        """What the state file has of the watch, {} if nothing; by a copy, because the process has the file to itself."""
        def read():
            with tempfile.TemporaryDirectory() as folder:
                for end in ("", "-wal"):
                    shutil.copy(self.serin.settings["state"] + end, os.path.join(folder, "copy" + end))
                connection = sqlite3.connect(os.path.join(folder, "copy"))
                try:
                    row = connection.execute("SELECT body FROM watch").fetchone()
                    return [json.loads(row[0]) if row else {}]
                except sqlite3.Error:
                    return None  # copied while it was written
                finally:
                    connection.close()
        return wait_for(read, "the state file can be read")[0]

    def wait_noted(self, made):
        """Until the state file says that this build needs no more telling."""
        created_us = round(datetime.fromisoformat(made["created_on"].replace("Z", "+00:00")).timestamp() * 1e6)

        def is_so():
            kept = self.kept()
            return kept["ended_us"] >= created_us or made["id"] in [row[0] for row in kept["ended"]]
        wait_for(is_so, "the failed build is noted", PATIENCE_S)

    def wait_kept(self, **wanted):
        def is_so():
            kept = self.kept()
            return kept and all(kept.get(key) == value for key, value in wanted.items())
        wait_for(is_so, f"the state file has {wanted}", PATIENCE_S)

    def begin(self):
        """Starts, and waits until what is live is known to be so."""
        self.start()
        self.wait_kept(live=self.project.canonical)

    def crash(self):
        self.serin.kill()
        self.serin.start()

    def versions(self):
        state = self.serin.service(self.name)
        return tuple(state[role] and state[role]["deployment"] for role in ("current", "previous"))

    def wait_versions(self, current, previous):
        wanted = (current and current[:8], previous[:8])
        wait_for(lambda: self.versions() == wanted, f"the versions are {wanted}", PATIENCE_S)

    def phase(self):
        return self.serin.service(self.name)["phase"]

    def wait_phase(self, phase):
        wait_for(lambda: self.phase() == phase, f"the phase is {phase}", PATIENCE_S)

    def audit(self, action):
        rows = self.serin.admin("GET", "/api/v1/audit?limit=1000").json
        rows = rows if isinstance(rows, list) else rows["audit"]
        return [row for row in rows if row["action"] == action]

    def builds(self):
        rows = self.serin.admin("GET", "/api/v1/rollbacks?limit=100").json
        rows = rows if isinstance(rows, list) else rows["rollbacks"]
        return [row for row in rows if row["trigger"] == "build"]

    def wait_told(self, name, state, deployment):
        def is_so():
            return [event for event in self.told.events() if event["state"] == state
                    and event["labels"]["alertname"] == name and event["labels"].get("deployment") == deployment[:8]]
        wait_for(is_so, f"{name} of {deployment[:8]} is {state}", PATIENCE_S)

    def was_told(self, name):
        return [event for event in self.told.events() if event["labels"]["alertname"] == name]


def play(function):
    def perform(stage):
        with Watched(stage) as site:
            function(site)
            expect(site.api.token in site.serin.log(), False, "the token in the log")
    perform.__name__ = function.__name__
    return case(starts_proxy=False)(perform)


@play
def new_deployment_begins_a_rollout_against_the_one_before(site):
    site.begin()
    second = site.deploy("b" * 40)
    site.wait_versions(second, site.first)
    site.wait_phase("progressing")
    state = site.serin.service(site.name)
    expect((state["current"]["url"], state["previous"]["url"]), (site.url_of(second), site.url_of(site.first)), "pinned")
    wait_for(lambda: site.audit("watch.start"), "it is on record", PATIENCE_S)
    site.wait_looks(2)
    expect((len(site.audit("watch.start")), site.versions()), (1, (second[:8], site.first[:8])), "once")
    expect(site.was_told("SerinLiveMoved"), [], "alerts")


@play
def what_is_live_at_the_first_look_is_no_news(site):
    live = site.deploy("b" * 40)
    site.begin()
    site.wait_looks(2)
    expect((site.versions(), site.kept()["wanted"]), ((None, site.first[:8]), ""), "nothing was started")
    third = site.deploy("c" * 40)
    site.wait_versions(third, site.first)
    expect(live != third, True, "another one")


@play
def crash_starts_nothing_twice_and_misses_nothing(site):
    site.begin()
    site.serin.kill()
    second = site.deploy("b" * 40)
    site.serin.start()
    site.wait_versions(second, site.first)
    site.crash()
    site.wait_looks(2)
    expect(site.versions(), (second[:8], site.first[:8]), "versions")
    expect(site.phase(), "progressing", "phase")
    expect(len(site.audit("watch.start")) <= 1, True, "started once")
    expect(len(site.audit("rollout.start")) <= 1, True, "begun once")


@case(starts_proxy=False)
def winner_is_what_the_next_one_is_tried_against(stage):
    with Watched(stage, rollout=AT_ONCE) as site:
        site.begin()
        second = site.deploy("b" * 40)
        wait_for(lambda: site.serin.service(site.name)["weight"]["set"] == 100, "it has all traffic", PATIENCE_S)
        expect(site.serin.admin("POST", f"/api/v1/services/{site.name}/rollout/promote", {"full": True}).status, 200, "promote")
        site.wait_phase("succeeded")
        third = site.deploy("c" * 40)
        site.wait_versions(third, second)


@play
def next_one_waits_until_the_rollout_that_runs_has_ended(site):
    site.begin()
    second = site.deploy("b" * 40)
    site.wait_versions(second, site.first)
    third = site.deploy("c" * 40)
    site.wait_kept(wanted=third)
    expect(site.versions(), (second[:8], site.first[:8]), "versions meanwhile")
    site.crash()
    expect(site.serin.admin("POST", f"/api/v1/services/{site.name}/rollout/abort").status in (200, 202), True, "abort")
    site.wait_versions(third, site.first)
    site.wait_kept(wanted="")


@case(starts_proxy=False)
def rollback_of_what_the_watch_began_reaches_the_platform(stage):
    with Watched(stage) as site:
        site.begin()
        second = site.deploy("b" * 40)
        site.wait_versions(second, site.first)
        answer = site.serin.admin("POST", f"/api/v1/services/{site.name}/rollback", {"reason": "it hurts", "mode": "instant"})
        expect(answer.status, 202, f"{answer}")
        wait_for(lambda: site.project.canonical == site.first, "the platform went back", PATIENCE_S)
        site.wait_kept(live=site.first)
        site.wait_looks(1)
        expect((site.versions(), site.was_told("SerinLiveMoved")), ((second[:8], site.first[:8]), []), "our own move")
        third = site.deploy("c" * 40)
        site.wait_versions(third, site.first)


@play
def failed_build_is_recorded_and_told_once(site):
    site.begin()
    failed = site.project.deploy("b" * 40, stage="build", state="active")
    site.project.logs[failed["id"]] = ["npm run build", "npm ERR! missing script: build"]
    site.wait_looks(2)
    expect(site.builds(), [], "a build that runs")
    site.project.finish(failed["id"], "failure")
    site.wait_told("SerinBuildFailed", "firing", failed["id"])
    wait_for(site.builds, "it is on record", PATIENCE_S)
    record = site.builds()[-1]
    expect((record["deployment"], record["status"], record["actor"]), (failed["id"][:8], "dry_run", "watch"), "record")
    expect("missing script" in record["evidence"]["build_log"], True, f"log in {record['evidence']}")
    site.wait_noted(failed)
    site.crash()
    site.wait_looks(2)
    expect((len(site.builds()), site.versions()), (1, (None, site.first[:8])), "once, and nothing else")
    second = site.deploy("c" * 40)
    site.wait_versions(second, site.first)
    expect(site.serin.metrics().sum("serin_platform_requests_total", provider="pages", operation="list") > 0, True, "metric")


@play
def build_that_is_being_tried_here_is_rolled_back(site):
    site.begin()
    made = site.project.deploy("b" * 40, stage="build", state="active", url=site.url_of(site.old))
    answer = site.serin.admin("POST", f"/api/v1/services/{site.name}/rollout",
                              {"deployment": made["id"][:8], "url": made["url"]})
    expect(answer.status, 202, f"{answer}")
    site.wait_versions(made["id"], site.first)
    site.project.finish(made["id"], "failure")
    wait_for(lambda: site.phase() in ("shifting_back", "verifying", "rolled_back"), "it goes back", PATIENCE_S)
    wait_for(site.builds, "it is on record", PATIENCE_S)
    expect(site.builds()[-1]["deployment"], made["id"][:8], "record")


@play
def move_that_nobody_made_here_raises_an_alert_until_it_is_undone(site):
    site.begin()
    site.project.canonical = site.old
    site.wait_told("SerinLiveMoved", "firing", site.old)
    expect(site.versions(), (None, site.first[:8]), "traffic stays where it is")
    site.wait_kept(moved=site.old)
    site.crash()
    site.wait_looks(2)
    expect([event["state"] for event in site.was_told("SerinLiveMoved") if event["state"] == "resolved"], [], "still so")
    site.project.canonical = site.first
    site.wait_told("SerinLiveMoved", "resolved", site.old)


@play
def version_with_a_name_of_its_own_is_known_by_its_host(site):
    made = site.project.deploy("c" * 40)
    site.settings["services"][0]["previous"] = {"deployment": "v3", "url": made["url"]}
    live = site.deploy("d" * 40)
    site.begin()
    site.project.canonical = made["id"]
    site.wait_kept(live=made["id"])
    expect((site.kept()["moved"], site.was_told("SerinLiveMoved")), ("", []), "it is where the service is")
    expect(site.kept()["before"], live, "before")


@case(starts_proxy=False)
def without_rollouts_a_new_deployment_is_only_told(stage):
    with Watched(stage, rollout="off") as site:
        site.begin()
        second = site.deploy("b" * 40)
        site.wait_told("SerinLiveMoved", "firing", second)
        expect(site.versions(), (None, site.first[:8]), "versions")


@play
def deployment_at_no_host_of_its_own_is_not_tried(site):
    site.begin()
    alias = site.project.deploy("b" * 40, url="https://demo.pages.dev")["id"]
    site.wait_told("SerinLiveMoved", "firing", alias)
    expect(site.versions(), (None, site.first[:8]), "versions")
    second = site.deploy("c" * 40)
    site.wait_versions(second, site.first)
    site.wait_told("SerinLiveMoved", "resolved", alias)


@play
def outage_of_the_api_is_a_condition_and_delays_nothing_else(site):
    site.begin()
    site.api.fault(pages_api.status(500), times=10 ** 6, method="GET")
    wait_for(lambda: site.serin.metrics().sum("serin_condition", condition="platform") == 1, "the condition", 3 * PATIENCE_S)
    second = site.deploy("b" * 40)
    site.api._faults.clear()
    site.wait_versions(second, site.first)
    wait_for(lambda: site.serin.metrics().sum("serin_condition", condition="platform") == 0, "it is over", PATIENCE_S)


@play
def rollback_is_posted_while_looks_are_told_to_wait(site):
    site.begin()
    second = site.deploy("b" * 40)
    site.wait_versions(second, site.first)
    site.api.fault(pages_api.rate_limited("3600"), times=1, method="GET")
    wait_for(lambda: site.api._faults[-1][1] == 0, "a look is told to wait", PATIENCE_S)
    answer = site.serin.admin("POST", f"/api/v1/services/{site.name}/rollback", {"reason": "it hurts", "mode": "instant"})
    expect(answer.status, 202, f"{answer}")
    wait_for(lambda: site.project.canonical == site.first, "the platform went back all the same", PATIENCE_S)
    site.wait_kept(live=second)


@play
def reload_without_the_watch_forgets_what_was_seen(site):
    site.begin()
    pages = dict(site.settings["services"][0]["platform"]["pages"], watch=False)
    site.serin.change({"services": [{**site.settings["services"][0], "platform": {"pages": pages}}]})
    expect(site.serin.admin("POST", "/api/v1/reload").status, 200, "reload")
    wait_for(lambda: site.kept() == {}, "it is forgotten", PATIENCE_S)
    site.deploy("b" * 40)
    site.serin.change(site.settings)
    expect(site.serin.admin("POST", "/api/v1/reload").status, 200, "reload")
    site.wait_kept(live=site.project.canonical)
    expect(site.versions(), (None, site.first[:8]), "what went live meanwhile is no news")


if __name__ == "__main__":
    run(__file__, parallel=4)
