"""Several endpoints of a version: balance, outlier ejection, health checks, names; and failures by their kind."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Origin, add_case, answer, case, expect, health, run, wait_for  # noqa: E402

HEALTH = health()


class Farm:
    """`count` endpoints of the stable version."""

    def __init__(self, stage, count, workers=1, **service):
        self.stage = stage
        self.origins = [Origin(stage.transcript, f"origin{number}-") for number in range(count)]
        for number, origin in enumerate(self.origins):
            origin.reply = answer(body=b"%d" % number)
        previous = {"deployment": "stable", "endpoints": [origin.url for origin in self.origins]}
        stage.start_serin({"services": [stage.service(previous=previous, **service)]}, workers=workers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for origin in self.origins:
            origin.stop()

    def ask(self, count):
        """Which endpoint answered how often; 5xx under their status."""
        tally = {}
        link = self.stage.connect()
        for _ in range(count):
            link.send(self.stage.request())
            response = link.read_response()
            key = int(response.body) if response.status == 200 else response.status
            tally[key] = tally.get(key, 0) + 1
        link.close()
        return tally

    def kill(self, number):
        self.origins[number].stop_listening()
        for link in self.origins[number].links:
            link.interrupt()

    def metric(self, name, number):
        return self.stage.serin.metrics().sum(name, service=self.stage.name, endpoint=self.origins[number].authority)


@case(starts_proxy=False)
def every_endpoint_gets_its_part(stage):
    with Farm(stage, 3, workers=2) as farm:
        tally = farm.ask(300)
        expect(sorted(tally), [0, 1, 2], "who answered")
        expect(min(tally.values()) > 50, True, f"parts {tally}")


@case(starts_proxy=False)
def endpoint_that_fails_in_a_row_is_ejected_and_comes_back(stage):
    outlier = {"consecutive": 3, "eject": f"{int(3000 * SLOW)}ms", "max_ejected": "50%"}
    with Farm(stage, 2, outlier=outlier) as farm:
        farm.origins[1].reply = answer(500, b"")
        tally = farm.ask(30)
        expect(tally.get(500), 3, f"failures that clients saw: {tally}")
        expect(farm.metric("serin_outlier_ejections_total", 1), 1, "ejections")
        farm.origins[1].reply = answer(body=b"1")
        wait_for(lambda: 1 in farm.ask(10), "it is back")


@case(starts_proxy=False)
def last_endpoint_is_never_ejected(stage):
    outlier = {"consecutive": 2, "eject": "60s", "max_ejected": "100%"}
    with Farm(stage, 2, outlier=outlier) as farm:
        for origin in farm.origins:
            origin.reply = answer(500, b"")
        expect(farm.ask(40), {500: 40}, "answers come from an endpoint, not from us")
        ejections = sum(farm.metric("serin_outlier_ejections_total", number) for number in (0, 1))
        expect(ejections, 1, "ejections")


@case(starts_proxy=False)
def unhealthy_endpoint_is_left_out_and_comes_back(stage):
    with Farm(stage, 2, health=HEALTH) as farm:
        wait_for(lambda: farm.metric("serin_endpoint_up", 0) == farm.metric("serin_endpoint_up", 1) == 1, "both are up")
        farm.origins[0].reply = lambda request: answer(503, b"") if request.target == "/up" else answer(body=b"0")
        wait_for(lambda: farm.metric("serin_endpoint_up", 0) == 0, "the first is down")
        expect(farm.ask(40), {1: 40}, "who answers")
        farm.origins[0].reply = answer(body=b"0")
        wait_for(lambda: farm.metric("serin_endpoint_up", 0) == 1, "the first is up")
        wait_for(lambda: 0 in farm.ask(10), "it answers again")


@case(starts_proxy=False)
def dead_endpoint_costs_no_request_once_it_is_known(stage):
    with Farm(stage, 2, health=HEALTH) as farm:
        wait_for(lambda: farm.metric("serin_endpoint_up", 0) == farm.metric("serin_endpoint_up", 1) == 1, "both are up")
        farm.kill(0)
        wait_for(lambda: farm.metric("serin_endpoint_up", 0) == 0, "the first is down")
        expect(farm.ask(50), {1: 50}, "who answers")


@case(starts_proxy=False)
def health_checks_are_not_counted_as_requests(stage):
    with Farm(stage, 1, health=HEALTH) as farm:
        farm.origins[0].wait_requests(3)
        expect({request.target for request in farm.origins[0].requests}, {"/up"}, "what was asked")
        metrics = stage.serin.metrics()
        expect((metrics.sum("serin_upstream_requests_total"), metrics.sum("serin_requests_total")), (0, 0), "counted")


@case(starts_proxy=False)
def names_are_resolved(stage):
    url = stage.origin.url.replace("127.0.0.1", "localhost")
    stage.start_serin({"services": [stage.service(previous={"deployment": "s", "endpoints": [url]}, host="origin")]})
    wait_for(lambda: stage.ask().status == 200, "the name is resolved")
    expect(stage.origin.requests[-1].get("Host"), f"localhost:{stage.origin.port}", "Host")


@case(starts_proxy=False)
def names_that_do_not_exist_are_no_live_endpoints(stage):
    """The version that has one gives its share to the other; when that has none either it is a 503."""
    nowhere = {"endpoints": [f"http://nowhere.invalid:{stage.origin.port}"]}
    stage.canary.reply = answer(body=b"canary")
    serin = stage.start_serin({"services": [stage.service(previous={"deployment": "s", **nowhere})]})
    expect(stage.ask().body, b"canary", "body")
    serin.stop()
    serin.change({"services": [stage.service(previous={"deployment": "s", **nowhere}, current={"deployment": "c", **nowhere})]})
    serin.start()
    expect(stage.ask().status, 503, "status")
    expect(stage.serin.admin("GET", "/healthz").status, 200, "healthz")


# --- failures by their kind (sections 6 and 9) ------------------------------------------------------------------------
KINDS = {500: "origin_5xx", 501: "origin_5xx", 502: "origin_5xx", 503: "origin_5xx", 504: "origin_5xx",
         519: "origin_5xx", 520: "edge_52x", 523: "edge_52x", 527: "edge_52x", 528: "origin_5xx", 530: "edge_52x",
         599: "origin_5xx", 404: None, 429: None, 301: None, 200: None}


def is_counted_as(status, kind):
    def function(stage):
        stage.origin.reply = answer(status, b"x", reason="X")
        expect(stage.ask().status, status, "status")
        expect(stage.failures(), {kind: 1} if kind else {}, "failures")
        metrics = stage.serin.metrics()
        expect(metrics.by("serin_upstream_requests_total", "code", service=stage.name), {str(status): 1}, "attempts")
        expect(metrics.by("serin_requests_total", "code", service=stage.name), {str(status): 1}, "requests")
        expect(metrics.sum("serin_client_bad_responses_total", service=stage.name), 1 if kind else 0, "bad answers")

    return function


for code, code_kind in KINDS.items():
    add_case(is_counted_as(code, code_kind), f"status_{code}_is_{code_kind or 'no_failure'}")

if __name__ == "__main__":
    run(__file__, parallel=4)
