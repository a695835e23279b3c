"""Who gets the canary, what is counted and what comes of it, between every pair of protocols: one split, one verdict."""

import os
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from pairs import Crowd, scenario  # noqa: E402
from play import expect, run, wait_for  # noqa: E402

WORKERS = 2
PARALLEL = 16  # a rollback is mostly waited for
QUIET = {"rollback": {"on_breach": "alert"}}


def bodies(caller, count, fields=()):
    return [caller.ask(fields=fields).body.decode() for _ in range(count)]


@scenario(weight="25%", **QUIET)
def split_is_exact(pair):
    got = sum(bodies(pair.caller(), 10).count("canary") for _ in range(4))
    expect(abs(got - 10) <= WORKERS, True, f"{got} of 40 at 25 %")
    expect((len(pair.stable.asked), len(pair.canary.asked)), (40 - got, got), "requests at the origins")


@scenario(weight="50%", sticky={"by": "cookie"}, **QUIET)
def people_stay_where_they_are(pair):
    """A weight that grows takes nobody away from the canary, and one that shrinks gives it nobody."""
    people = []
    for _ in range(6):
        caller = pair.caller()
        told = caller.ask()
        cookie = told.get("set-cookie").split(";")[0]
        people.append((caller, told.body, int(cookie.rpartition(".")[2]) / 10000, [("cookie", cookie)]))
    expect({body for _, body, _, _ in people}, {b"stable", b"canary"}, "both are met")
    for percent in (50, 75, 20):
        if percent != 50:
            expect(pair.serin.set_weight(pair.name, percent).status, 200, "the move")
        for caller, _, bucket, cookie in people:
            wanted = b"canary" if bucket < percent else b"stable"
            told = wait_for(lambda c=caller, k=cookie, w=wanted: [one for one in [c.ask(fields=k)] if one.body == w],
                            f"bucket {bucket} at {percent} %")[0]
            expect(told.get("set-cookie"), None, "no other cookie")
    for caller, body, bucket, cookie in people:
        expect(body, b"canary" if bucket < 50 else b"stable", f"bucket {bucket} at first")
        expect(caller.ask(fields=[*cookie, ("serin-version", "current")]).body, b"canary", "by own wish")


@scenario(weight="50%", **QUIET)
def everything_is_counted_once(pair):
    """Codes, methods, bytes and bad answers, at the client, at the origins and in the metrics."""
    statuses = (200, 404, 500, 503, 200)

    def handle(asked):
        asked.read()
        asked.answer(statuses[int(asked.target[1:]) % len(statuses)], b"x" * 100)

    pair.stable.handle = pair.canary.handle = handle
    caller, codes, methods = pair.caller(), Counter(), Counter()
    for number in range(20):
        method = ("GET", "POST", "GET", "DELETE")[number % 4]
        told = caller.ask(method, f"/{number}", body=b"y" * 50 if method == "POST" else None)
        codes[str(told.status)] += 1
        methods[method] += 1
    pair.wait_over()
    metrics, service = pair.metrics(), {"service": pair.name}
    expect((metrics.by("serin_requests_total", "code", **service), metrics.by("serin_requests_total", "method", **service)),
           (dict(codes), dict(methods)), "requests by code and method")
    for role, answerer in (("previous", pair.stable), ("current", pair.canary)):
        asked = Counter(str(statuses[int(one.target[1:]) % len(statuses)]) for one in answerer.asked)
        bad = asked["500"] + asked["503"]
        expect(metrics.by("serin_upstream_requests_total", "code", **service, role=role), dict(asked), f"attempts at {role}")
        expect(metrics.sum("serin_client_bad_responses_total", **service, role=role), bad, f"bad answers of {role}")
        expect(metrics.by("serin_upstream_failures_total", "kind", **service, role=role), {"origin_5xx": bad} if bad else {}, role)
        expect(metrics.sum("serin_upstream_duration_seconds_count", **service, role=role), len(answerer.asked), f"durations of {role}")
        expect(pair.ledger(role), (len(answerer.asked), bad, bad), f"ledger of {role}")
    expect(metrics.sum("serin_request_duration_seconds_count", **service), 20, "durations")


@scenario(weight="100%", rollback={"on_breach": "alert", "max_bad_responses": 10})
def harm_is_contained(pair):
    """Each worker has five bad answers to give away, and then a trickle."""
    pair.canary.failing(500)
    caller, seen = pair.caller(), Counter()

    def is_held():
        calls = [caller.begin("POST", "/", [], True, 0) for _ in range(6)]
        for call in calls:
            call.end()
        seen.update((told.status, told.body) for told in [call.answer() for call in calls])
        return seen[(200, b"stable")] > 0

    wait_for(is_held, "it is held back", 30)
    expect((seen[(500, b"broken")] >= 5, set(seen)), (True, {(500, b"broken"), (200, b"stable")}), f"answers {seen}")
    wait_for(lambda: pair.serin.service(pair.name)["contained"], "it is shown")
    expect(pair.metrics().sum("serin_containments_total", service=pair.name) >= 1, True, "it is counted")


@scenario(weight="50%", rollback={"every": "200ms"})
def canary_that_breaks_is_rolled_back(pair):
    crowd = Crowd(pair)
    wait_for(lambda: crowd.of("canary") >= 10, "traffic flows", 60)
    expect(pair.serin.service(pair.name)["phase"], "idle", "phase before")
    pair.canary.failing(503)
    wait_for(lambda: pair.serin.service(pair.name)["phase"] == "rolled_back", "it is rolled back", 60)
    record = pair.serin.rollback_of(pair.name)
    asked = len(pair.canary.asked)
    good = crowd.of("stable")
    wait_for(lambda: crowd.of("stable") >= good + 30, "stable has the traffic", 60)
    seen = crowd.stop()
    expect({key for key in seen if key[0] != 200}, {(503, "broken")}, f"answers {seen}")
    expect((record["trigger"], record["status"], record["reason_code"] in ("absolute", "relative")), ("error_rate", "success", True),
           f"record {record}")
    expect(record["bad_responses"]["client"], seen[(503, "broken")], "bad answers that clients saw")
    expect(len(pair.canary.asked), asked, "requests at the canary after it")


@scenario(weight="50%", rescue={}, rollback={"every": "200ms"})
def canary_that_vanishes_is_rolled_back_and_nobody_saw_it(pair):
    crowd = Crowd(pair)
    wait_for(lambda: crowd.of("canary") >= 10, "traffic flows", 60)
    pair.canary.handle = lambda asked: asked.refuse()
    pair.stage.canary.stop_listening()
    wait_for(lambda: pair.serin.service(pair.name)["phase"] == "rolled_back", "it is rolled back", 60)
    record = pair.serin.rollback_of(pair.name)
    seen = crowd.stop()
    refused = pair.metrics().by("serin_rescues_total", "result", service=pair.name)
    refused = sum(count for result, count in refused.items() if result != "success")
    bad = sum(count for (status, _), count in seen.items() if status != 200)
    expect(bad <= refused, True, f"answers {seen}, {refused} rescues refused")
    expect((record["trigger"] in ("connect", "error_rate"), record["status"], record["bad_responses"]["origin"] > 0),
           (True, "success", True), f"record {record}")


if __name__ == "__main__":
    run(__file__, parallel=PARALLEL)
