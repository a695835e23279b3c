"""Before a canary has weight it gets copies of safe requests: what they say is judged, and no client ever notices."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402
from wire import answer  # noqa: E402

RATE = int(300 / SLOW)
QUICK = {"steps": ["30%", "100%"], "min_time": "1s", "max_time": "10m", "bake": "2s"}
HOLD = {**QUICK, "min_time": "10m", "max_time": "1h"}


class Mirrored:
    """A rollout under traffic whose canary first gets copies."""

    def __init__(self, stage, mirror="20%", rollout=None, starts=True, rate=RATE, settings=None, rollback=None, **load):
        self.stage, self.name = stage, stage.name
        self.stable, self.canary = LoadOrigin("stable"), LoadOrigin("canary")
        if not starts:
            self.canary.order(listen=False)
        self.service = stage.service(rollout=rollout or QUICK, mirror=mirror, rescue="off",
                                     rollback={"every": "200ms", **(rollback or {})},
                                     previous={"deployment": "good-1", "endpoints": [self.stable.url]},
                                     current={"deployment": "new-2", "endpoints": [self.canary.url]})
        del self.service["weight"]
        self.serin = stage.start_serin({**(settings or {}), "services": [self.service]})
        self.at_first = wait_for(lambda: self.is_copying() and self.state(), "copies are made")
        self.load = Load(self.serin.port, stage.host, connections=8, rate=rate, **load)
        self.load.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.load._ended.set()
        self.load.join(20)
        self.stable.stop()
        self.canary.stop()

    def state(self):
        return self.serin.service(self.name)

    def is_copying(self):
        return self.state()["mirror"]["active"]

    def wait_phase(self, phase, patience_s=60):
        wait_for(lambda: self.state()["phase"] == phase, f"the phase is {phase}", patience_s)

    def count(self, metric, **labels):
        return self.serin.metrics().sum(metric, service=self.name, **labels)

    def events(self):
        rows = self.serin.admin("GET", "/api/v1/audit?limit=200").json
        rows = rows if isinstance(rows, list) else rows["audit"]
        return [row["action"] for row in reversed(rows) if row["service"] == self.name]

    def ends_without_weight(self, trigger):
        """Rolled back and in quarantine, with a record, and nobody met the canary."""
        self.wait_phase("rolled_back")
        tally = self.load.stop()
        expect((tally.of("canary"), dict(tally.errors), set(tally.statuses)), (0, {}, {200}), "what clients saw")
        events = wait_for(lambda: "rollback.success" in self.events() and self.events(), "the end is on record")
        expect([event for event in events if event.startswith("rollout.")], ["rollout.start", "rollout.mirror"], "events")
        expect([row["deployment"] for row in self.state()["quarantine"]], ["new-2"], "quarantine")
        self.serin.rollback_of(self.name)
        rows = self.serin.admin("GET", "/api/v1/rollbacks").json["rollbacks"]
        expect([(row["trigger"], row["status"], row["deployment"]) for row in rows], [(trigger, "success", "new-2")], "records")
        expect(rows[0]["bad_responses"]["client"], 0, "bad responses seen by clients")
        expect(self.count("serin_weight_ratio", role="current", kind="set"), 0, "weight")


@case(starts_proxy=False)
def dead_canary_never_meets_a_user(stage):
    # connections alone decide: the other tests would be about as quick
    with Mirrored(stage, starts=False, rollback={"relative": "off", "error_rate": "60%"}) as rollout:
        rollout.ends_without_weight("connect")
        expect(rollout.count("serin_mirrored_requests_total") > 0, True, "copies")
        expect(rollout.count("serin_upstream_requests_total", role="current"), 0, "attempts at the canary")


@case(starts_proxy=False)
def canary_that_fails_copies_never_meets_a_user(stage):
    with Mirrored(stage, rollout=HOLD) as rollout:
        wait_for(lambda: rollout.canary.counts().get("200", 0) > 5, "copies are answered")
        rollout.canary.order(status=500)
        rollout.ends_without_weight("error_rate")


@case(starts_proxy=False)
def good_canary_climbs_after_copies(stage):
    with Mirrored(stage) as rollout:
        expect((rollout.at_first["phase"], rollout.at_first["step"]), ("progressing", 0), "phase and step without traffic")
        wait_for(lambda: rollout.state()["weight"]["set"] == 30, "the first weight", 60)
        mirror = rollout.state()["mirror"]
        expect((mirror["active"], mirror["share"], mirror["requests"] >= 59), (False, 20, True), f"mirror {mirror}")
        expect(rollout.count("serin_mirrored_requests_total"), mirror["requests"], "the metric")
        rollout.wait_phase("succeeded")
        expect(rollout.state()["mirror"]["requests"], mirror["requests"], "copies after the first weight")
        wait_for(lambda: "rollout.success" in rollout.events(), "the end is on record")
        expect([event for event in rollout.events() if event.startswith("rollout.")],
               ["rollout.start", "rollout.mirror", "rollout.step", "rollout.step", "rollout.bake", "rollout.success"], "events")
        expect(dict(rollout.load.stop().errors), {}, "errors at the clients")


@case(starts_proxy=False)
def copies_are_counted_apart_and_leave_the_split_alone(stage):
    with Mirrored(stage, mirror="50%", rollout=HOLD, rate=None, requests=400) as rollout:
        rollout.load.wait()
        wait_for(lambda: rollout.canary.counts().get("200") == rollout.count("serin_mirrored_requests_total"),
                 "the canary has all copies")
        metrics = rollout.serin.metrics()
        copies = metrics.sum("serin_mirrored_requests_total", service=stage.name)
        dropped = metrics.sum("serin_mirror_dropped_total", service=stage.name)
        expect(190 <= copies + dropped <= 202, True, f"{copies} + {dropped} copies of half of 400")  # a worker may learn late
        expect(metrics.sum("serin_requests_total", service=stage.name), 400, "requests")
        expect(metrics.by("serin_upstream_requests_total", "role", service=stage.name), {"previous": 400}, "attempts")
        expect(metrics.sum("serin_upstream_failures_total", service=stage.name), 0, "failures")
        wait_for(lambda: len(rollout.serin.access_log()) >= 400, "the access log is written")
        expect(len(rollout.serin.access_log()), 400, "lines of the access log")
        expect(rollout.serin.set_weight(stage.name, 30).status, 200, "weight by hand")
        again = Load(rollout.serin.port, stage.host, connections=8, requests=1000)
        again.start()
        canary = again.wait().of("canary")
        expect(298 <= canary <= 302, True, f"{canary} of 1000 at 30 %")
        expect(rollout.count("serin_mirrored_requests_total"), copies, "copies with weight")


@case(starts_proxy=False)
def unsafe_requests_are_never_copied(stage):
    with Mirrored(stage, mirror="100%", method_of=lambda number: "POST") as rollout:
        wait_for(lambda: rollout.load.tally.total > 300 / SLOW, "traffic flows", 30)
        expect(rollout.canary.counts(), {}, "what the canary got")
        expect((rollout.state()["step"], rollout.state()["weight"]["set"]), (0, 0), "step and weight: silence speaks for nobody")


def mirror_by_hand(stage, settings=None):
    """All safe requests are copied to the stage's own, scripted canary."""
    service = stage.service(mirror="100%", rollout=HOLD)
    del service["weight"]
    stage.start_serin({**(settings or {}), "services": [service]})
    wait_for(lambda: stage.serin.service(stage.name)["mirror"]["active"], "copies are made")
    stage.expects_origin_failures = True


@case(starts_proxy=False)
def hanging_canary_holds_up_nobody(stage):
    heard = []
    stage.canary.play = lambda link: (heard.append(stage.canary.read(link)), link.expect_closed(patience_s=60))
    mirror_by_hand(stage)
    client = stage.connect()
    for number in range(20):
        client.send(stage.request(target=f"/{number}"))
        expect(client.read_response().status, 200, f"answer {number}")
    stage.canary.wait_requests(20)
    expect({(request.get("Serin-Mirror"), request.get("Host")) for request in heard}, {("1", stage.host)}, "mark and host")
    expect([request.get("Serin-Mirror") for request in stage.origin.requests], [None] * 20, "marks at the stable version")
    expect(stage.serin.service(stage.name)["current"]["requests"], 0, "none of them is answered, all clients are")
    # Neither a reload nor the end waits for them.
    expect(stage.serin.admin("POST", "/api/v1/reload").status, 200, "reload")
    client.send(stage.request(target="/after"))
    expect(client.read_response().status, 200, "after the reload")
    client.close()
    stage.serin.stop(patience_s=10)


@case(starts_proxy=False)
def huge_copies_are_cut_off_and_count_as_good(stage):
    def pour(link):
        stage.canary.read(link)
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            link.send(b"x" * 65536)

    stage.canary.play = pour
    mirror_by_hand(stage)
    for number in range(5):
        expect(stage.ask(target=f"/{number}").body, b"ok", f"answer {number}")
    wait_for(lambda: stage.serin.service(stage.name)["current"]["requests"] == 5, "they are counted")
    expect(stage.serin.service(stage.name)["current"]["failures"], 0, "failures")


@case(starts_proxy=False)
def marks_of_clients_are_taken_off(stage):
    stage.canary.reply = answer(body=b"canary")
    mirror_by_hand(stage)
    expect(stage.ask("POST", fields=["Serin-Mirror: 1"], body=b"x").status, 200, "answer")
    expect(stage.origin.requests[-1].get("Serin-Mirror"), None, "the mark at the origin")
    expect(stage.canary.requests, [], "copies of an unsafe request")


@case(starts_proxy=False)
def copies_do_not_ask_about_what_is_kept_of_the_stable_version(stage):
    service = stage.service(mirror="100%", rollout=HOLD, cache={"mode": "full"})
    del service["weight"]
    stage.start_serin({"services": [service]}, workers=1)
    wait_for(lambda: stage.serin.service(stage.name)["mirror"]["active"], "copies are made")
    stage.origin.reply = answer(200, b"page", ["Cache-Control: max-age=60", "Age: 100", 'ETag: "1"'])
    for _ in range(2):
        expect(stage.ask(target="/").status, 200, "the page")
    stage.canary.wait_requests(2)
    expect([request.get("If-None-Match") for request in stage.origin.requests], [None, '"1"'], "the stable version")
    expect([request.get("If-None-Match") for request in stage.canary.requests], [None, None], "the canary")


if __name__ == "__main__":
    run(__file__, parallel=2)
