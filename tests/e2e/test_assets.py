"""A page of one release whose script is asked of the other: who has it answers, and nobody is blamed."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Closed, answer, case, chunked, expect, run, wait_for  # noqa: E402

HTML = ["Content-Type: text/html; charset=utf-8"]
SCRIPT = ["Sec-Fetch-Dest: script"]
FOUND = answer(200, b"found()", ["Content-Type: text/javascript"])
LACKING = answer(404, b"no such file here", ["Content-Type: text/plain", "X-Of: chosen"])
FALLBACK = answer(200, b"<html>chosen", HTML)
RESULTS = ("asset_success", "asset_failure", "asset_no_budget", "asset_not_asked")


class Skew:
    """All requests are the canary's unless told otherwise; `chosen` and `other` are its origin and the stable one's."""

    def __init__(self, stage, weight="100%", rescue=None, **service):
        self.stage = stage
        rescue = rescue or {}
        patient = {"timeout": f"{int(10 * SLOW)}s", **rescue.get("assets", {})}
        service = {"weight": weight, "rescue": {**rescue, "assets": patient}, **service}
        self.serin = stage.start_serin({"services": [stage.service(**service)]}, workers=1)
        self.chosen, self.other = (stage.canary, stage.origin) if weight == "100%" else (stage.origin, stage.canary)
        self.chosen.reply, self.other.reply = LACKING, FOUND

    def ask(self, method="GET", target="/app.js", fields=SCRIPT):
        return self.stage.ask(method, target, fields)

    def results(self):
        found = self.serin.metrics().by("serin_rescues_total", "result", service=self.stage.name)
        return {result: int(found.get(result, 0)) for result in RESULTS if found.get(result, 0)}

    def ledger(self, role):
        version = self.serin.service(self.stage.name)[role]
        return version["requests"], version["failures"]

    def in_flight(self):
        return self.serin.metrics().sum("serin_requests_in_flight")


def expect_held(answered, status=404, body=b"no such file here"):
    """The client got the chosen version's own answer, unchanged."""
    expect((answered.status, answered.body), (status, body), "the held answer")


@case(starts_proxy=False)
def stable_has_what_the_canary_lacks(stage):
    skew = Skew(stage, failures={"status": [404, "5xx"]})
    for held in (LACKING, FALLBACK):
        skew.chosen.reply = held
        got = skew.ask()
        expect((got.status, got.body, got.get("content-type")), (200, b"found()", "text/javascript"), "answer")
    expect(skew.results(), {"asset_success": 2}, "results")
    expect((skew.ledger("current"), skew.ledger("previous")), ((2, 0), (0, 0)), "two requests, and no failure though 404 is one")
    metrics = skew.serin.metrics()
    expect(metrics.by("serin_requests_total", "code", service=stage.name), {"200": 2.0}, "what the client got")
    expect(metrics.by("serin_upstream_requests_total", "code", service=stage.name, role="current"), {"200": 1.0, "404": 1.0},
           "attempts at the canary")
    expect(metrics.by("serin_upstream_requests_total", "code", service=stage.name, role="previous"), {"200": 2.0}, "at stable")
    wait_for(lambda: len(skew.serin.access_log()) == 2, "the access log")
    expect([(line["rescued"], line["role"], line["attempts"]) for line in skew.serin.access_log()], [(True, "current", 2)] * 2, "log")


@case(starts_proxy=False)
def canary_has_what_stable_lacks(stage):
    skew = Skew(stage, weight="1%")
    expect(skew.ask().body, b"found()", "body")
    expect(skew.results(), {"asset_success": 1}, "results")
    expect((skew.ledger("current"), skew.ledger("previous")), ((0, 0), (1, 0)), "the canary is not judged on it")


@case(starts_proxy=False)
def assets_are_told_by_destination_or_path(stage):
    skew = Skew(stage, rescue={"assets": {"paths": ["/static/*", "/*.css"]}})
    for destination in ("script", "style", "image", "font"):
        expect(skew.ask(fields=[f"Sec-Fetch-Dest: {destination}"]).body, b"found()", destination)
    for target in ("/static/x", "/a/b.css", "/a.css?v=1"):
        expect(skew.ask(target=target, fields=[]).body, b"found()", target)
    for fields, target in (([], "/app.js"), (["Sec-Fetch-Dest: document"], "/"), (["Sec-Fetch-Dest: empty"], "/api"),
                           ([], "/static"), ([], "/a?x.css")):
        expect_held(skew.ask(target=target, fields=fields))
    expect(skew.results(), {"asset_success": 7}, "results")


@case(starts_proxy=False)
def page_is_not_taken_for_an_asset_that_is_there(stage):
    skew = Skew(stage)
    for reply in (FOUND, answer(200, b"", ["Content-Type: image/png"]), answer(304, b""), answer(403, b"no", HTML),
                  answer(302, b"", ["Location: /login"])):
        skew.chosen.reply = reply if b" 304 " not in reply else b"HTTP/1.1 304 Not Modified\r\n\r\n"
        skew.ask()
    expect((skew.results(), len(skew.other.requests)), ({}, 0), "results, requests at the other version")


def not_better(reply):
    def function(stage):
        skew = Skew(stage, failures={"status": [404, "5xx"]})
        skew.other.reply = reply
        for held, status, body in ((LACKING, 404, b"no such file here"), (FALLBACK, 200, b"<html>chosen")):
            skew.chosen.reply = held
            expect_held(skew.ask(), status, body)
        expect(skew.results(), {"asset_failure": 2}, "results")
        expect((skew.ledger("current"), skew.ledger("previous")), ((2, 1), (0, 0)), "now the 404 is a failure of the canary alone")
        expect((len(skew.chosen.requests), len(skew.chosen.links)), (2, 1), "the chosen version is asked once, its connection kept")

    return function


NOT_BETTER = {"404": answer(404, b"nor here"), "page": answer(200, b"<html>other", HTML), "500": answer(500, b"oops"),
              "304": b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", "redirect": answer(302, b"", ["Location: /login"]),
              "long_404": answer(404, b"y" * 300000)}


def add_not_better():
    from play import add_case
    for name, reply in NOT_BETTER.items():
        add_case(not_better(reply), f"answer_that_is_no_better_gives_the_first_one_{name}", starts_proxy=False)


add_not_better()


@case(starts_proxy=False)
def held_answer_of_any_form_is_given_whole(stage):
    skew = Skew(stage)
    skew.other.reply = answer(404, b"")
    head = "HTTP/1.1 404 Not Found\r\n"
    page = b"z" * 400000
    forms = {
        "empty": (answer(404, b""), b""),
        "long": (answer(404, page), page),
        "chunked": (head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"one ", b"two"), b"one two"),
        "until close": (head.encode() + b"Connection: close\r\n\r\nto the end", b"to the end"),
    }
    for name, (reply, body) in forms.items():
        skew.chosen.reply = reply
        answered = skew.ask()
        expect((answered.status, len(answered.body), answered.body == body), (404, len(body), True), name)
    expect(skew.results(), {"asset_failure": 4}, "results")
    expect(skew.in_flight(), 0, "in flight")


@case(starts_proxy=False)
def head_is_asked_of_the_other_too(stage):
    skew = Skew(stage)
    skew.chosen.reply = b"HTTP/1.1 404 Not Found\r\nContent-Length: 17\r\n\r\n"
    got = skew.ask("HEAD")
    expect((got.status, got.get("content-type")), (200, "text/javascript"), "answer")
    skew.chosen.reply = LACKING
    expect(skew.ask("POST").status, 404, "POST")
    expect([request.method for request in skew.other.requests], ["HEAD"], "asked of the other")


@case(starts_proxy=False)
def hostile_other_version_costs_no_more_than_its_time(stage):
    """It hangs up, is silent, sends half a head or no HTTP: the client gets the held answer each time."""
    stage.expects_origin_failures = True
    skew = Skew(stage, rescue={"assets": {"timeout": f"{int(300 * SLOW)}ms"}})

    def hangs_up(link):
        skew.other.read(link)

    def is_silent(link):
        skew.other.read(link)
        link.patience_s = 60
        link.read_to_end()

    def stops_in_its_head(link):
        skew.other.read(link)
        link.send(b"HTTP/1.1 200 OK\r\nContent-")

    def says_nonsense(link):
        skew.other.read(link)
        link.send(b"SSH-2.0-OpenSSH\r\n\r\n")

    for play in (hangs_up, is_silent, stops_in_its_head, says_nonsense):
        skew.other.play = play
        expect_held(skew.ask())
    skew.other.stop_listening()
    expect_held(skew.ask())
    expect((skew.results(), skew.in_flight()), ({"asset_failure": 5}, 0), "results, in flight")
    expect(skew.ledger("previous"), (0, 0), "the other version is not judged on it")


@case(starts_proxy=False)
def other_version_that_breaks_off_is_never_taken_for_whole(stage):
    skew = Skew(stage)

    def breaks_off(link):
        skew.other.read(link)
        link.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: 100\r\n\r\nfound(")

    skew.other.play = breaks_off
    try:
        skew.ask()
        raise AssertionError("a short body looks whole")
    except Closed:
        pass
    wait_for(lambda: skew.in_flight() == 0, "the request is over")


@case(starts_proxy=False)
def held_answer_that_breaks_meanwhile_is_a_502(stage):
    """The other version is slow, and the chosen one dies with its body unsent."""
    skew = Skew(stage)

    def dies(link):
        skew.chosen.read(link)
        link.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100000\r\n\r\nno such")
        skew.other.wait_requests(1)
        link.reset()

    def is_late(link):
        skew.other.read(link)
        wait_for(lambda: not skew.chosen.links[0].is_open, "the chosen one is gone")
        link.send(answer(404, b"nor here"))
        link.read_to_end()

    skew.chosen.play, skew.other.play = dies, is_late
    try:
        expect(skew.ask().status, 502, "status")
    except Closed:
        pass  # the death was seen only when the body was asked for
    wait_for(lambda: skew.in_flight() == 0, "the request is over")
    expect(skew.ledger("current"), (1, 1), "a truncated answer is a failure")


@case(starts_proxy=False)
def conditions_are_not_passed_to_another_version(stage):
    skew = Skew(stage)
    got = skew.ask(fields=[*SCRIPT, 'If-None-Match: "of-the-chosen"', "If-Modified-Since: Sun, 01 Nov 2026 00:00:00 GMT"])
    expect((got.status, got.body), (200, b"found()"), "the whole asset")
    names = {name.lower() for name, _ in skew.other.requests[0].fields}
    expect(names & {"if-none-match", "if-modified-since"}, set(), "conditions at the other version")
    expect('"of-the-chosen"', skew.chosen.requests[0].get("If-None-Match"), "at the chosen one")
    for field in ("Range: bytes=5-", "If-Range: \"x\"", "If-Match: \"x\"", "If-Unmodified-Since: Sun, 01 Nov 2026 00:00:00 GMT"):
        expect_held(skew.ask(fields=[*SCRIPT, field]))
    expect(skew.results(), {"asset_success": 1}, "results")


@case(starts_proxy=False)
def budget_bounds_it_and_is_not_that_of_failed_requests(stage):
    skew = Skew(stage, rescue={"budget": "0%"}, outlier="off")
    bodies = [skew.ask().body for _ in range(103)]
    expect((bodies.count(b"found()"), bodies[100:]), (100, [b"no such file here"] * 3), "asked for 100")
    expect(skew.results(), {"asset_success": 100, "asset_no_budget": 3}, "results")
    skew.chosen.reply = answer(503, b"busy")
    expect(skew.ask().body, b"found()", "a failed request is still rescued")


@case(starts_proxy=False)
def other_version_without_a_live_endpoint_is_not_asked(stage):
    nowhere = {"deployment": "stable", "endpoints": [f"http://nowhere.invalid:{stage.origin.port}"]}
    skew = Skew(stage, previous=nowhere)
    expect_held(skew.ask())
    expect(skew.results(), {"asset_not_asked": 1}, "results")


@case(starts_proxy=False)
def own_wish_and_switch_are_heard(stage):
    skew = Skew(stage)
    expect_held(skew.ask(fields=[*SCRIPT, "Serin-Version: current"]))
    for rescue in ({"assets": "off"}, "off"):
        skew.serin.stop()
        skew.serin.change({"services": [stage.service(weight="100%", rescue=rescue)]})
        skew.serin.start()
        expect_held(skew.ask())
    expect((skew.results(), len(skew.other.requests)), ({}, 0), "results, requests at the other version")


@case(starts_proxy=False)
def canary_without_weight_is_asked_for_nothing(stage):
    skew = Skew(stage, weight="0%")
    expect_held(skew.ask())
    expect((skew.results(), len(skew.other.requests)), ({}, 0), "results, requests at the canary")


@case(starts_proxy=False)
def client_that_leaves_meanwhile_leaves_nothing_behind(stage):
    skew = Skew(stage, rescue={"assets": {"timeout": "30s"}})

    def is_silent(link):
        skew.other.read(link)
        link.patience_s = 60
        link.read_to_end()

    skew.other.play = is_silent
    link = stage.connect()
    link.send(stage.request("GET", "/app.js", SCRIPT))
    skew.other.wait_requests(1)
    link.reset()
    wait_for(lambda: skew.in_flight() == 0, "the request is over")
    expect(skew.ledger("current"), (1, 0), "the canary answered")
    skew.other.play = None
    skew.other.reply = FOUND
    expect(skew.ask().body, b"found()", "the next one")


@case(starts_proxy=False)
def kept_connections_carry_on(stage):
    skew = Skew(stage)
    link = stage.connect()
    for number in range(30):
        skew.other.reply = FOUND if number % 2 else answer(404, b"nor here")
        link.send(stage.request("GET", "/app.js", SCRIPT))
        answered = link.read_response("GET")
        expect(answered.body, b"found()" if number % 2 else b"no such file here", f"answer {number}")
    expect((len(skew.chosen.links), len(skew.other.links)), (1, 1), "connections to each version")


if __name__ == "__main__":
    run(__file__, parallel=3)
