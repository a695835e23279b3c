"""kill -9 at each step of a rollback's journal: the next process goes on where the file stands. Traffic does not come
back to the canary, the platform is told once in effect, and there is one record and one report.

What is to be written is held back by a disk that hangs (tests/support/stall.c), so a kill comes before a certain write
and not by luck; the platform's answer is held back by its stand-in."""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import pages_api  # noqa: E402
from load import LoadOrigin  # noqa: E402
from pages_api import PagesApi  # noqa: E402
from play import SLOW, add_case, expect, run, wait_for  # noqa: E402

PATIENCE_S = 60
EVERY_S = 0.02 * SLOW


class Visitors:
    """Requests on connections of their own, one after the other, also while nobody is there to answer."""

    def __init__(self, port, host, count=3):
        self.port, self.host, self.answered = port, host, 0
        self.is_ended = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        request = f"GET / HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode()
        while not self.is_ended.wait(0.005):
            try:
                with socket.create_connection(("127.0.0.1", self.port), 30 * SLOW) as link:
                    link.sendall(request)
                    while link.recv(65536):
                        pass
                    self.answered += 1
            except OSError:
                pass  # killed meanwhile

    def stop(self):
        self.is_ended.set()
        for thread in self.threads:
            thread.join(40 * SLOW)


class Scene:
    """A good and a bad deployment at the platform's stand-in, visitors, a process whose disk can be made to hang."""

    def __init__(self, stage, holds_reports=False):
        self.stage, self.name = stage, stage.name
        self.folder = os.path.join(stage.folder, stage.name)
        self.marker = os.path.join(self.folder, "disk-hangs")
        self.reports = os.path.join(self.folder, "reports.db" if holds_reports else "reports")
        self.stable, self.canary = LoadOrigin("stable"), LoadOrigin("canary")
        self.visitors = None
        self.api = PagesApi()
        self.project = self.api.project("shop")
        self.good, self.bad = [self.project.deploy(letter * 40)["id"] for letter in "ab"]
        self.effects = []
        self.project.roll_back = self.note_effect(self.project.roll_back)
        service = stage.service(
            weight="50%", rollback={"every": f"{int(400 * SLOW)}ms", "instant_above": "90%"},
            previous={"deployment": self.good[:8], "endpoints": [self.stable.url]},
            current={"deployment": self.bad[:8], "endpoints": [self.canary.url]},
            platform={"pages": {"project": "shop", "account": self.api.account, "api_base": self.api.base}})
        self.serin = stage.start_serin({"incidents": self.reports, "services": [service]},
                                       environment={"CLOUDFLARE_API_TOKEN": self.api.token, **self.preloaded()})
        self.visitors = Visitors(self.serin.port, stage.host)

    def preloaded(self):
        library = os.path.join(os.path.dirname(self.stage.binary), "tests", "libserin_stall.so")
        expect(os.path.exists(library), True, f"there is {library}")
        # a sanitizer's runtime wants to be first; it passes every call on to the library
        linked = subprocess.run(["ldd", self.stage.binary], capture_output=True, text=True, check=True).stdout
        runtimes = re.findall(r"=> (\S*/lib[at]san\S*)", linked)
        return {"LD_PRELOAD": " ".join([*runtimes, library]), "SERIN_STALL_MARKER": self.marker}

    def note_effect(self, roll_back):
        def perform(identity):
            target = roll_back(identity)
            self.effects.append(identity)
            return target
        return perform

    def hang_disk(self):
        with open(self.marker, "w", encoding="utf-8"):
            pass

    def breaks(self, then=lambda: None):
        wait_for(lambda: sum(self.canary.counts().values()) > 30, "the canary has traffic", PATIENCE_S)
        then()
        self.canary.order(status=500, every=3)

    def state(self):
        return self.serin.service(self.name)

    def wait_phase(self, *phases):
        wait_for(lambda: self.state()["phase"] in phases, f"the phase is one of {phases}", PATIENCE_S, EVERY_S)

    def wait_weight(self, percent):
        wait_for(lambda: self.state()["weight"]["set"] <= percent, f"a weight of {percent} or less", PATIENCE_S,
                 EVERY_S)

    def records(self):
        return self.serin.admin("GET", "/api/v1/rollbacks").json["rollbacks"]

    def wait_record(self):
        """A row that the file has: the list is read from there."""
        wait_for(lambda: self.records(), "the record is written", PATIENCE_S, EVERY_S)

    def wait_told(self, method, path):
        wait_for(lambda: self.api.told(method, path), f"{method} {path}", PATIENCE_S, EVERY_S)

    def kill(self):
        self.serin.kill()
        if os.path.exists(self.marker):
            expect(os.path.exists(f"{self.marker}.given-up"), False, "the disk hung no longer")
            os.remove(self.marker)

    def on_disk(self, sql):
        connection = sqlite3.connect(self.serin.settings["state"])
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def reports_written(self):
        """(id, is complete) of each."""
        found = []
        for name in sorted(os.listdir(self.reports)) if os.path.isdir(self.reports) else []:
            path = os.path.join(self.reports, name, "report.json")
            if name.startswith("rb-") and os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    found.append((name, json.load(file)["is_complete"]))
        return found

    def close(self):
        if self.visitors:
            self.visitors.stop()
        if os.path.exists(self.marker):
            os.remove(self.marker)
        self.api.stop()
        self.stable.stop()
        self.canary.stop()


# ---- the steps: each plays until the moment of the kill --------------------------------------------------------------
def before_the_record_is_written(scene):
    scene.breaks(then=scene.hang_disk)
    scene.wait_weight(25)


def when_the_record_is_written(scene):
    scene.breaks()
    scene.wait_record()


def before_a_step_is_written(scene):
    scene.breaks()
    scene.wait_record()
    scene.hang_disk()
    scene.wait_weight(0)


def after_a_step(scene):
    scene.breaks()
    scene.wait_weight(13)
    scene.wait_record()


def before_the_platforms_task_is_written(scene):
    scene.breaks()
    scene.wait_record()
    scene.hang_disk()
    scene.wait_phase("verifying", "rolled_back")


def while_the_platform_is_looked_at(scene):
    scene.api.fault(pages_api.hang(), method="GET")
    scene.breaks()
    scene.wait_told("GET", "/shop")


def before_the_platform_did_it(scene):
    scene.api.fault(pages_api.hang(), method="POST")
    scene.breaks()
    scene.wait_told("POST", "/rollback")


def before_the_platforms_answer(scene):
    def done_and_silent(handler):
        handler.route()
        handler.server.api.is_stopping.wait(pages_api.PATIENCE_S)

    scene.api.fault(done_and_silent, method="POST")
    scene.breaks()
    wait_for(lambda: scene.effects, "the platform did it", PATIENCE_S, EVERY_S)


def before_the_platforms_answer_is_written(scene):
    def done_while_the_disk_hangs(handler):
        scene.hang_disk()
        handler.give(*handler.route())

    scene.api.fault(done_while_the_disk_hangs, method="POST")
    scene.breaks()
    wait_for(lambda: "platform.ack" in scene.serin.log(), "the platform went back", PATIENCE_S, EVERY_S)


def while_it_is_verified(scene):
    scene.breaks()
    scene.wait_phase("verifying", "rolled_back")


def before_its_end_is_written(scene):
    scene.breaks()
    wait_for(lambda: "platform.ack" in scene.serin.log(), "the platform went back", PATIENCE_S, EVERY_S)
    scene.hang_disk()
    scene.wait_phase("rolled_back")


def before_its_report_is_written(scene):
    scene.breaks()
    scene.wait_phase("verifying", "rolled_back")
    scene.hang_disk()
    scene.wait_phase("rolled_back")


def after_its_report(scene):
    scene.breaks()
    scene.wait_phase("rolled_back")
    wait_for(lambda: scene.reports_written() and scene.reports_written()[0][1], "the report is complete", PATIENCE_S)


# (step, records in the file at the kill, rollbacks there that the platform has still to be told; None: either may be)
STEPS = [(before_the_record_is_written, 0, 0), (when_the_record_is_written, 1, None),
         (before_a_step_is_written, 1, None), (after_a_step, 1, None), (before_the_platforms_task_is_written, 1, None),
         (while_the_platform_is_looked_at, 1, 1), (before_the_platform_did_it, 1, 1), (before_the_platforms_answer, 1, 1),
         (before_the_platforms_answer_is_written, 1, 1), (while_it_is_verified, 1, None),
         (before_its_end_is_written, 1, None), (before_its_report_is_written, 1, None), (after_its_report, 1, None)]


def is_over(scene):
    """All of it has ended, also on its way to the disk."""
    rows = scene.records()
    return [row for row in rows if row["status"] == "success" and row["phases"]["platform_ack_s"] is not None] or None


def goes_on(scene, recorded):
    """The next process, visitors at its door; the canary would fail them still."""
    wait_for(lambda: scene.canary.order()["links"] == 0, "the canary has seen all that was sent", PATIENCE_S)
    before = scene.canary.counts()
    scene.serin.start()
    scene.wait_phase("rolled_back")
    wait_for(lambda: is_over(scene), "the record has ended in all its parts", PATIENCE_S)
    seen = scene.visitors.answered
    wait_for(lambda: scene.visitors.answered > seen + 20, "visitors are served", PATIENCE_S)
    if recorded:
        expect(scene.canary.counts(), before, "requests at the canary since the kill")


def one_of_each(scene, recorded):
    rows = scene.records()
    identity = rows[0]["id"]
    expect(len(rows), 1, f"records {rows}")
    if recorded:
        expect([identity], [row[0] for row in recorded], "it is the same rollback")
    expect((scene.project.canonical, scene.effects), (scene.good, [scene.good]), "what the platform did")

    def complete():
        return [name for name, is_complete in scene.reports_written() if is_complete]

    wait_for(complete, "the report is complete", PATIENCE_S)
    expect(complete(), [identity], "reports")
    scene.serin.stop()
    expect(scene.on_disk("SELECT rollback FROM platform"), [], "what is left to be told")
    expect(scene.on_disk("SELECT weight_ppm, phase FROM service"), [(0, "rolled_back")], "where it stands")


def killed(step, record_count, task_count):
    def play(stage):
        scene = Scene(stage, holds_reports=step is before_its_report_is_written)
        try:
            step(scene)
            scene.kill()
            recorded = scene.on_disk("SELECT id FROM rollback")
            expect(len(recorded), record_count, "records in the file")
            if task_count is not None:
                expect(len(scene.on_disk("SELECT rollback FROM platform")), task_count, "nobody is told unwritten")
            goes_on(scene, recorded)
            one_of_each(scene, recorded)
        finally:
            scene.close()

    return play


for one_step, *rows_at_the_kill in STEPS:
    add_case(killed(one_step, *rows_at_the_kill), f"killed_{one_step.__name__}", starts_proxy=False)

if __name__ == "__main__":
    run(__file__, parallel=3)
