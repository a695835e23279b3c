"""What counts as a failure, and as which, between every pair of protocols: the same events, the same numbers.

All requests are the canary's and nothing is rescued unless a play says otherwise. The ledger is the judge's: requests,
failures, and bad answers that clients saw."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from callers import is_http2, is_sealed  # noqa: E402
from http2 import REFUSED_STREAM  # noqa: E402
from pairs import BACKS, HTTP1, PARALLEL, kit, scenario  # noqa: E402
from play import SLOW, expect, run, wait_for  # noqa: E402

WAIT_S = 2.0 * SLOW
LONG_S = 60 * SLOW
QUICK = {"response_header": f"{int(WAIT_S * 1000)}ms"}
CANARY = {"weight": "100%", "rollback": {"on_breach": "alert"}}


def one_failure(pair, kind, status):
    """One request came to this, and is counted so."""
    told = pair.caller().ask()
    expect((told.status, told.is_whole), (status, True), "answer")
    expect(pair.failures(), {kind: 1}, "failures by kind")
    expect((pair.ledger(), pair.ledger("previous")), ((1, 1, 1), (0, 0, 0)), "ledgers")


def counts(pair):
    """Of the canary's attempts and of the client's answers: by code."""
    metrics = pair.metrics()
    return (metrics.by("serin_upstream_requests_total", "code", service=pair.name, role="current"),
            metrics.by("serin_requests_total", "code", service=pair.name))


@scenario(**CANARY)
def nobody_listens(pair):
    pair.stage.canary.stop_listening()
    one_failure(pair, "connect", 502)
    expect(counts(pair), ({"none": 1}, {"502": 1}), "codes")


@scenario(backs=[back for back in BACKS if is_sealed(back)], **CANARY)
def another_has_answered(pair):
    """The certificate is of another name."""
    seal = pair.stage.seals[1]
    seal.context.load_cert_chain(kit().stranger["certificate"], kit().stranger["key"])
    one_failure(pair, "tls", 502)
    expect(pair.canary.asked, [], "requests that it saw")


@scenario(timeouts=QUICK, **CANARY)
def nothing_comes_in_time(pair):
    over = threading.Event()
    pair.canary.handle = lambda asked: over.wait(LONG_S)
    try:
        one_failure(pair, "timeout", 504)
    finally:
        over.set()


@scenario(**CANARY)
def it_hangs_up_without_a_word(pair):
    pair.canary.handle = lambda asked: asked.read().refuse()
    one_failure(pair, "reset", 502)
    expect(len(pair.canary.asked), 1, "a new connection is not tried again")


@scenario(**CANARY)
def it_talks_nonsense(pair):
    pair.canary.handle = lambda asked: asked.read().talk_nonsense()
    one_failure(pair, "bad_response", 502)


@scenario(**CANARY)
def it_answers_5xx(pair):
    for count, status in enumerate((500, 503, 599), 1):
        pair.canary.failing(status)
        told = pair.caller().ask()
        expect((told.status, told.body), (status, b"broken"), "answer")
        expect((pair.failures(), pair.ledger()), ({"origin_5xx": count}, (count, count, count)), "failures")
    expect(counts(pair), ({"500": 1, "503": 1, "599": 1},) * 2, "codes")


@scenario(**CANARY)
def its_edge_says_52x(pair):
    pair.canary.failing(522)
    one_failure(pair, "edge_52x", 522)


@scenario(failures={"status": [429, "5xx"]}, **CANARY)
def listed_status_is_a_failure(pair):
    pair.canary.failing(429)
    one_failure(pair, "status", 429)


@scenario(**CANARY)
def what_is_below_500_is_none(pair):
    caller = pair.caller()
    for status in (200, 301, 404, 499):
        pair.canary.handle = lambda asked, s=status: asked.read().answer(s, b"well")
        expect(caller.ask().status, status, "status")
    pair.wait_ledger(4, 0, 0)
    expect(pair.failures(), {}, "failures")


@scenario(**CANARY)
def cut_answer_is_a_failure_that_was_seen(pair):
    def handle(asked):
        asked.read().begin(200, size=100)
        asked.send(b"half")
        taken.wait(LONG_S)
        asked.cut()

    pair.canary.handle = handle
    taken = threading.Event()
    call = pair.caller().begin()
    call.take(4)
    taken.set()
    expect(call.answer().is_whole, False, "whole")
    wait_for(lambda: pair.ledger()[1] == 1 and pair.failures() == {"bad_response": 1}, "it is counted")


@scenario(backs=HTTP1, **CANARY)
def kept_connection_that_was_closed_is_tried_again_where_that_is_safe(pair):
    """The first request of each connection is answered, and the next one is met with its end."""
    met = []

    def handle(asked):
        asked.read()
        is_first = all(link is not asked.link for link in met)
        met.append(asked.link)
        if is_first:
            asked.answer(body=b"first")
        else:
            asked.refuse()

    pair.canary.handle = handle
    caller = pair.caller()
    expect(caller.ask().status, 200, "on a new connection")
    pair.wait_over()
    told = caller.ask()
    expect((told.status, told.body), (200, b"first"), "tried again on another")
    pair.wait_ledger(2, 0, 0)
    expect(pair.failures(), {"reset": 1}, "failures: each attempt is counted")
    pair.wait_over()
    told = caller.ask("POST", body=b"pay")
    posts = [one.method for one in pair.canary.asked].count("POST")
    expect((told.status, posts, pair.failures()), (502, 1, {"reset": 2}), "what cannot be repeated is not")
    pair.wait_ledger(3, 1, 1)


@scenario(backs=[back for back in BACKS if is_http2(back)], **CANARY)
def request_that_nobody_looked_at_is_tried_again(pair):
    """Over HTTP/2 an origin can say so, and then it may be repeated whatever it is."""
    def handle(asked):
        asked.read()
        if len(pair.canary.asked) % 2:
            asked.refuse(REFUSED_STREAM)
        asked.answer(body=b"second")

    pair.canary.handle = handle
    caller = pair.caller()
    for method, body in (("GET", None), ("DELETE", None)):
        told = caller.ask(method, body=body)
        expect((told.status, told.body), (200, b"second"), method)
    pair.wait_ledger(2, 0, 0)


@scenario(**CANARY)
def client_that_goes_is_nobodys_failure(pair):
    gone = threading.Event()

    def handle(asked):
        asked.read()
        asked.wait_gone()
        gone.set()

    pair.canary.handle = handle
    call = pair.caller().begin()
    wait_for(lambda: pair.canary.asked, "the canary is asked", 30)
    call.cancel()
    expect(gone.wait(LONG_S), True, "the canary is let go")
    pair.wait_over()
    expect((pair.ledger(), pair.failures()), ((0, 0, 0), {}), "ledger, failures")


@scenario(**CANARY)
def own_refusals_are_no_evidence(pair):
    caller = pair.caller()
    for method, path, fields, status in (("BREW", "/", [], 501), ("GET", "/" + "a" * 9000, [], 414), ("GET", "/", [("x", "a" * 9000)], 431)):
        expect(caller.ask(method, path, fields).status, status, "status")
    expect((pair.ledger(), pair.failures(), pair.canary.asked), ((0, 0, 0), {}, []), "ledger, failures, requests")


@scenario(rollback={"on_breach": "alert"})
def own_wish_is_no_evidence(pair):
    pair.canary.failing(500)
    expect(pair.caller().ask(fields=[("serin-version", "current")]).status, 500, "status")
    expect((pair.ledger()[:2], pair.failures()), ((0, 0), {"origin_5xx": 1}), "ledger, failures by kind")


@scenario(rescue={}, timeouts=QUICK, **CANARY)
def whatever_fails_is_rescued_and_counts_against_the_canary(pair):
    over = threading.Event()
    handles = {"reset": lambda asked: asked.read().refuse(), "bad_response": lambda asked: asked.read().talk_nonsense(),
               "timeout": lambda asked: over.wait(LONG_S), "origin_5xx": lambda asked: asked.read().answer(503)}
    caller = pair.caller()
    for count, (kind, handle) in enumerate(handles.items(), 1):
        pair.canary.handle = handle
        told = caller.ask()
        expect((told.status, told.body), (200, b"stable"), f"rescued from {kind}")
        pair.wait_ledger(count, count, 0)
    over.set()
    expect(pair.failures(), {kind: 1 for kind in handles}, "failures by kind")
    expect(pair.metrics().by("serin_rescues_total", "result", service=pair.name), {"success": 4}, "rescues")
    expect(pair.ledger("previous"), (0, 0, 0), "stable is not judged on it")


@scenario(rescue={}, **CANARY)
def what_is_not_safe_is_not_rescued(pair):
    pair.canary.failing(500)
    caller = pair.caller()
    for method, body in (("POST", b"pay"), ("DELETE", None), ("GET", b"what for")):
        told = caller.ask(method, body=body)
        expect((told.status, told.body), (500, b"broken"), method)
    expect((pair.ledger(), pair.stable.asked), ((3, 3, 3), []), "ledger, requests at stable")


@scenario(rescue={"assets": {"timeout": "60s"}}, **CANARY)
def asset_of_the_other_release_is_found(pair):
    pair.canary.handle = lambda asked: asked.read().answer(404, b"lacking", [("content-type", "text/plain")])
    pair.stable.handle = lambda asked: asked.read().answer(200, b"found()", [("content-type", "text/javascript")])
    caller = pair.caller()
    told = caller.ask(path="/app.js", fields=[("sec-fetch-dest", "script")])
    expect((told.status, told.body), (200, b"found()"), "an asset")
    expect(caller.ask(path="/page").status, 404, "a page")
    expect(pair.metrics().by("serin_rescues_total", "result", service=pair.name), {"asset_success": 1}, "rescues")
    pair.wait_ledger(2, 0, 0)


if __name__ == "__main__":
    run(__file__, parallel=PARALLEL)
