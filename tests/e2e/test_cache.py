"""What is kept of good answers: given out when the origins fail, and only then; never to whom it does not belong."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from load import Load, LoadOrigin  # noqa: E402
from play import SLOW, case, expect, run, wait_for  # noqa: E402
from wire import answer  # noqa: E402

PAGE = "/page"


def page(body=b"the page", *fields, status=200):
    return answer(status, body, fields)


def kept(stage):
    """What the status says of the service's cache."""
    return stage.serin.service(stage.name)["cache"]


def wait_kept(stage, entries):
    wait_for(lambda: kept(stage)["entries"] == entries, f"{entries} entries are kept: {kept(stage)}", 30)


def results(stage, result):
    return int(stage.serin.metrics().sum("serin_cache_requests_total", service=stage.name, result=result))


def stop(*origins):
    """They are gone: nobody listens, and what was open is closed."""
    for origin in origins:
        origin.stop_listening()
        for link in list(origin.links):
            link.interrupt()


@case()
def page_that_was_seen_is_served_when_the_origin_is_gone(stage):
    stage.origin.reply = page(b"the page", "ETag: \"1\"", "Content-Type: text/plain")
    expect(stage.ask(target=PAGE).get("Cache-Status"), None, "a good answer comes from its origin")
    wait_kept(stage, 1)
    stop(stage.origin)
    response = stage.ask(target=PAGE)
    expect((response.status, response.body, response.get("Content-Type"), response.get("ETag")),
           (200, b"the page", "text/plain", '"1"'), "the kept page")
    status = response.get("Cache-Status")
    expect(status.startswith("serin; fwd=") and "stale-if-error" in status, True, f"Cache-Status: {status}")
    expect(response.get("Age").isdigit(), True, "Age")
    expect(stage.ask(target="/other").status, 502, "what nobody has seen")
    expect(results(stage, "stale"), 1, "served stale")
    expect(int(stage.serin.metrics().sum("serin_stale_served_total", service=stage.name)), 1, "stale served")
    expect(results(stage, "unavailable"), 1, "had nothing")
    expect(stage.serin.metrics().sum("serin_client_bad_responses_total", service=stage.name), 1, "bad for clients")


@case()
def head_range_and_conditions_are_answered_from_what_is_kept(stage):
    stage.origin.reply = page(b"0123456789", 'ETag: "1"')
    stage.ask(target=PAGE)
    wait_kept(stage, 1)
    stop(stage.origin)
    head = stage.ask("HEAD", PAGE)
    expect((head.status, head.get("Content-Length"), head.body), (200, "10", b""), "HEAD")
    part = stage.ask(target=PAGE, fields=["Range: bytes=2-4"])
    expect((part.status, part.body, part.get("Content-Range")), (206, b"234", "bytes 2-4/10"), "a range")
    beyond = stage.ask(target=PAGE, fields=["Range: bytes=20-"])
    expect((beyond.status, beyond.get("Content-Range")), (416, "bytes */10"), "a range beyond the end")
    same = stage.ask(target=PAGE, fields=['If-None-Match: "1"'])
    expect((same.status, same.body), (304, b""), "the client has it")
    expect(stage.ask("POST", PAGE, body=b"x").status, 502, "what may change something")


@case()
def what_is_not_for_everybody_is_never_kept(stage):
    replies = {"/cookie": ["Set-Cookie: session=1"], "/private": ["Cache-Control: private"],
               "/no-store": ["Cache-Control: no-store"], "/vary": ["Vary: *"]}
    stage.origin.reply = lambda request: page(b"secret", *replies.get(request.target, []))
    for target in replies:
        expect(stage.ask(target=target).status, 200, target)
    stage.ask(target="/login", fields=["Authorization: Bearer secret"])
    stage.ask(target="/mine", fields=["Cookie: session=1"])
    stage.ask(target="/error")
    stage.origin.reply = page(b"broken", status=404)
    stage.ask(target=PAGE, fields=["Cache-Control: no-store"])
    stage.origin.reply = page(b"the last one")
    stage.ask(target="/last")
    wait_for(lambda: kept(stage)["entries"] >= 2, "the others are kept", 30)
    stop(stage.origin)
    for target in [*replies, "/login", "/mine", PAGE]:
        expect(stage.ask(target=target).status, 502, f"{target} is not served")
    expect(stage.ask(target="/last", fields=["Authorization: Basic eA=="]).status, 502, "not for who says who he is")
    expect(stage.ask(target="/last").body, b"the last one", "the others are")


@case()
def variants_go_to_whom_they_fit(stage):
    stage.origin.reply = lambda request: page((request.get("Accept-Language") or "none").encode(),
                                              "Vary: Accept-Language")
    for language in ("de", "en"):
        wait_for(lambda: stage.ask(target=PAGE, fields=[f"Accept-Language: {language}"]).status == 200
                 and kept(stage)["entries"] == (1 if language == "de" else 2), f"{language} is kept", 30)
    stop(stage.origin)
    for language in ("de", "en"):
        got = stage.ask(target=PAGE, fields=[f"Accept-Language: {language}"])
        expect((got.status, got.body), (200, language.encode()), "the client's own language")
    expect(stage.ask(target=PAGE, fields=["Accept-Language: fr"]).status, 502, "a language nobody asked for")


@case(starts_proxy=False)
def page_that_fails_by_itself_is_no_outage(stage):
    stage.start_serin({"services": [stage.service()]}, workers=1)
    stage.origin.reply = page(b"good")
    for target in (PAGE, "/bad"):
        stage.ask(target=target)
    wait_kept(stage, 2)
    stage.origin.reply = lambda request: page(b"x", status=500 if request.target == "/bad" else 200)
    for _ in range(3):
        expect(stage.ask(target="/bad").status, 500, "its error is seen")
        expect(stage.ask(target=PAGE).status, 200, "the others are well")
    expect(results(stage, "stale"), 0, "nothing stood in")


@case()
def answer_made_for_one_address_is_for_nobody_else(stage):
    stage.origin.reply = page(b"for you alone", "Vary: X-Forwarded-For", "Cache-Control: max-age=600")
    stage.ask(target=PAGE)
    stage.origin.reply = page(b"for all", "Cache-Control: max-age=600")
    stage.ask(target="/other")
    wait_for(lambda: kept(stage)["entries"] >= 1, "the other page is kept", 30)
    stop(stage.origin)
    expect(stage.ask(target="/other").status, 200, "what is for all is served")
    expect(stage.ask(target=PAGE).status, 502, "what is not is not")


@case()
def answer_that_breaks_off_is_not_kept(stage):
    def broken(link):
        stage.origin.read(link)
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
        link.close()

    stage.origin.play = broken
    link = stage.connect()
    link.send(stage.request(target=PAGE))
    link.read_to_end()
    stop(stage.origin)
    expect(stage.ask(target=PAGE).status, 502, "half an answer is none")
    expect(kept(stage)["bytes"], 0, "nothing is held of it")


@case(http2=True)
def large_body_is_served_at_the_clients_pace(stage):
    body = bytes(range(256)) * 3000
    stage.origin.reply = page(body)
    expect(len(stage.ask(target="/large").body), len(body), "from the origin")
    stage.origin.reply = page(b"x" * (2 << 20))
    stage.ask(target="/too-large")
    wait_kept(stage, 1)
    stop(stage.origin)
    expect(stage.ask(target="/large").body == body, True, "the kept body")
    expect(stage.ask(target="/too-large").status, 502, "beyond max_object")
    link = stage.http2()
    expect(link.read_answer(link.ask(stage.host, path="/large")).body == body, True, "the kept body by HTTP/2")


@case(starts_proxy=False)
def origin_that_answers_errors_is_covered_until_it_is_well(stage):
    stage.start_serin({"services": [stage.service()]}, workers=1)
    stage.origin.reply = page(b"good")
    stage.ask(target=PAGE)
    wait_kept(stage, 1)
    stage.origin.reply = page(b"broken", status=500)
    expect(stage.ask(target=PAGE).status, 500, "one bad answer is no outage")
    for status in (500, 502, 503, 504):
        stage.origin.reply = page(b"broken", status=status)
        covered = stage.ask(target=PAGE)
        expect((covered.status, covered.body), (200, b"good"), f"in place of {status}")
        expect(f"fwd-status={status}" in covered.get("Cache-Status"), True, covered.get("Cache-Status"))
        expect(stage.ask(target="/other").status, status, "what is not kept is the origin's")
    stage.origin.reply = page(b"well", status=404)
    expect(stage.ask(target=PAGE).status, 404, "what is no failure is not covered")
    expect(int(stage.failures()["origin_5xx"]), 9, "each was counted against the version")


FULL = {"cache": {"mode": "full"}}


@case(service=FULL)
def fresh_page_needs_no_origin(stage):
    stage.origin.reply = page(b"0123456789", "Cache-Control: max-age=600", 'ETag: "1"')
    first = stage.ask(target=PAGE)
    expect("fwd=uri-miss" in first.get("Cache-Status"), True, first.get("Cache-Status"))
    wait_kept(stage, 1)
    hit = stage.ask(target=PAGE)
    expect((hit.status, hit.body, hit.get("Cache-Status").startswith("serin; hit; ttl=")),
           (200, b"0123456789", True), f"a hit: {hit.get('Cache-Status')}")
    expect(stage.ask("HEAD", PAGE).get("Content-Length"), "10", "HEAD")
    part = stage.ask(target=PAGE, fields=["Range: bytes=-3"])
    expect((part.status, part.body), (206, b"789"), "a range")
    expect(stage.ask(target=PAGE, fields=['If-None-Match: "1"']).status, 304, "the client has it")
    expect(len(stage.origin.requests), 1, "requests at the origin")
    expect(results(stage, "hit"), 4, "hits")
    expect(stage.ask(target=PAGE, fields=["Cache-Control: no-cache"]).status, 200, "a reload")
    expect(len(stage.origin.requests), 2, "a reload asks the origin")
    expect(stage.ask(target="/new", fields=["Cache-Control: only-if-cached"]).status, 504, "only if it is kept")
    expect(stage.ask(target=PAGE, fields=["Authorization: x"]).get("Cache-Status").startswith("serin; fwd"), True,
           "who says who he is asks the origin")


@case(service=FULL)
def stale_page_is_asked_about(stage):
    def reply(request):
        if request.get("If-None-Match") == '"1"':
            return answer(304, b"", ['ETag: "1"', "Cache-Control: max-age=0", "X-News: yes"]).replace(b"Content-Length: 0\r\n", b"")
        return page(b"the page", "Cache-Control: max-age=0", 'ETag: "1"')

    stage.origin.reply = reply
    stage.ask(target=PAGE)
    wait_kept(stage, 1)
    again = stage.ask(target=PAGE)
    expect((again.status, again.body, again.get("X-News")), (200, b"the page", "yes"), "made fresh by a 304")
    expect("fwd-status=304" in again.get("Cache-Status"), True, again.get("Cache-Status"))
    expect(results(stage, "revalidated"), 1, "revalidated")
    stage.origin.reply = page(b"another page", "Cache-Control: max-age=600")
    expect(stage.ask(target=PAGE).body, b"another page", "a new one takes its place")
    wait_for(lambda: stage.ask(target=PAGE).get("Cache-Status").startswith("serin; hit"), "and is kept", 30)
    stop(stage.origin)
    expect(stage.ask(target=PAGE, fields=["Cache-Control: no-cache"]).body, b"another page", "when the origin fails")


@case(starts_proxy=False)
def page_that_everybody_wants_is_fetched_once(stage):
    stage.start_serin({"services": [stage.service(**FULL)]}, workers=1)
    begun, gate = threading.Event(), threading.Event()

    def slow(link):
        stage.origin.read(link)
        begun.set()
        gate.wait(60 * SLOW)
        link.send(page(b"the page", "Cache-Control: max-age=600"))

    stage.origin.play = slow
    links = [stage.connect() for _ in range(20)]
    links[0].send(stage.request(target=PAGE))
    expect(begun.wait(30 * SLOW), True, "the first one's request is at the origin")
    for link in links[1:]:
        link.send(stage.request(target=PAGE))
    wait_for(lambda: stage.serin.metrics().sum("serin_requests_in_flight", service=stage.name) == 20, "all wait", 30)
    gate.set()
    bodies = {link.read_response().body for link in links}
    expect(bodies, {b"the page"}, "what they got")
    expect(results(stage, "collapsed") + len(stage.origin.requests), 20, "each waited or asked")
    expect(results(stage, "collapsed") > 0, True, "who waited long enough got it")


@case(service=FULL)
def purge_makes_the_origin_be_asked_again(stage):
    stage.origin.reply = page(b"the page", "Cache-Control: max-age=600")
    for target in ("/a", "/img/1", "/img/2"):
        stage.ask(target=target)
    wait_kept(stage, 3)
    purge = f"/api/v1/services/{stage.name}/cache/purge"
    expect(stage.serin.admin("POST", purge, {"path": "/img/*"}).json["purged"], 2, "purged beneath /img/")
    expect(stage.serin.admin("POST", purge, {"path": "img"}).status, 422, "what is no path")
    expect(stage.ask(target="/a").get("Cache-Status").startswith("serin; hit"), True, "the others are left")
    expect(stage.serin.admin("POST", purge, {"path": "*"}).json["purged"], 1, "purged all")
    expect(stage.ask(target="/a").get("Cache-Status").startswith("serin; fwd"), True, "nothing is found")
    wait_kept(stage, 1)
    audit = stage.serin.admin("GET", "/api/v1/audit").body
    wait_for(lambda: b"cache.purge" in stage.serin.admin("GET", "/api/v1/audit").body, f"the audit trail: {audit}", 30)


class Held:
    """The origin has a request, and answers it when told to."""

    def __init__(self, stage, reply):
        self.begun, self.gate, self.origin, self.reply = threading.Event(), threading.Event(), stage.origin, reply
        stage.origin.play = self.play

    def play(self, link):
        self.origin.read(link)
        self.begun.set()
        self.gate.wait(60 * SLOW)
        link.send(self.reply)

    def let_go(self):
        self.origin.play = None
        self.gate.set()


def purged(stage):
    return stage.serin.admin("POST", f"/api/v1/services/{stage.name}/cache/purge", {"path": PAGE}).json["purged"]


@case(service=FULL)
def page_that_was_on_its_way_when_it_was_purged_is_not_kept(stage):
    held = Held(stage, page(b"old", "Cache-Control: max-age=600"))
    link = stage.connect()
    link.send(stage.request(target=PAGE))
    expect(held.begun.wait(30 * SLOW), True, "the origin has the request")
    expect(purged(stage), 0, "nothing is there yet")
    held.let_go()
    expect(link.read_response().body, b"old", "who asked before the purge gets it")
    stage.origin.reply = page(b"new", "Cache-Control: max-age=600")
    expect(stage.ask(target=PAGE).body, b"new", "the next one does not")


@case(service=FULL)
def a_304_does_not_bring_back_what_was_purged(stage):
    stage.origin.reply = page(b"old", "Cache-Control: max-age=600", 'ETag: "1"', "Connection: close")
    stage.ask(target=PAGE)
    wait_kept(stage, 1)
    held = Held(stage, b"HTTP/1.1 304 OK\r\nETag: \"1\"\r\nCache-Control: max-age=600\r\n\r\n")
    link = stage.connect()
    link.send(stage.request(target=PAGE, fields=["Cache-Control: no-cache"]))
    expect(held.begun.wait(30 * SLOW), True, "the origin is asked whether it still holds")
    expect(purged(stage), 1, "it was kept")
    held.let_go()
    expect(link.read_response().body, b"old", "who asked before the purge gets it")
    stage.origin.reply = page(b"new", "Cache-Control: max-age=600")
    expect(stage.ask(target=PAGE).body, b"new", "the next one does not")


@case(starts_proxy=False)
def cache_that_shrinks_and_comes_back_is_asked_anew(stage):
    def load(cache):
        stage.serin.change({"services": [stage.service(cache=cache)]})
        expect(stage.serin.admin("POST", "/api/v1/reload", {}).status, 200, f"a reload: {cache}")

    stage.start_serin({"services": [stage.service(**FULL)]})
    stage.origin.reply = page(b"x" * 100000, "Cache-Control: max-age=600")
    for number in range(12):
        stage.ask(target=f"/{number}")
    wait_kept(stage, 12)
    load({"mode": "full", "size": "1MiB"})
    wait_for(lambda: kept(stage)["bytes"] <= 1 << 20, "what is beyond the size goes", 30)
    expect(kept(stage)["entries"] > 0, True, "and no more")
    load("off")
    load({"mode": "full"})
    expect(stage.ask(target="/11").get("Cache-Status").startswith("serin; fwd"), True, "nothing of before is found")


@case(starts_proxy=False)
def cache_that_is_off_keeps_nothing(stage):
    stage.start_serin({"services": [stage.service(cache="off")]})
    stage.origin.reply = page()
    stage.ask(target=PAGE)
    expect(kept(stage), None, "the status says so")
    stop(stage.origin)
    expect(stage.ask(target=PAGE).status, 502, "nothing is kept")


@case(starts_proxy=False)
def cached_pages_keep_coming_while_both_origins_are_gone(stage):
    stable, canary = LoadOrigin("stable"), LoadOrigin("canary")
    try:
        stage.start_serin({"services": [stage.service(
            weight="50%", rollback={"on_breach": "alert"},
            previous={"deployment": "s", "endpoints": [stable.url]},
            current={"deployment": "c", "endpoints": [canary.url]})]}, workers=2)
        load = Load(stage.serin.port, stage.host, connections=8, rate=200 / SLOW, paths=20)
        load.start()
        wait_for(lambda: kept(stage)["entries"] >= 40, "both versions' pages are kept", 60)
        for origin in (stable, canary):
            origin.order(listen=False)
        wait_for(lambda: results(stage, "stale") > 100, "kept pages are served", 60)

        def unknown():
            response = stage.ask(target="/unknown")
            return response.status == 503 and response.get("Retry-After") is not None
        wait_for(unknown, "what is not kept is a 503 with Retry-After", 60)
        for origin in (stable, canary):
            origin.order(listen=True)
        wait_for(lambda: stage.ask(target="/unknown").status == 200, "the origins answer again", 60)
        served = results(stage, "stale")
        before = sum(int(origin.counts()["200"]) for origin in (stable, canary))
        wait_for(lambda: sum(int(origin.counts()["200"]) for origin in (stable, canary)) > before + 100,
                 "traffic is at the origins again", 60)
        tally = load.stop()
        expect((set(tally.statuses) <= {200, 502, 503}, tally.statuses[200] > served), (True, True),
               f"what clients saw: {tally.statuses}")
        expect(dict(tally.errors), {}, "no connection broke")
        judged = stage.serin.service(stage.name)
        expect(judged["current"]["requests"] > 0, True, "the judge saw the canary fail")
    finally:
        stable.stop()
        canary.stop()


@case(starts_proxy=False)
def entries_of_a_rolled_back_version_are_gone(stage):
    stage.start_serin({"services": [stage.service(weight="50%", sticky={"by": "none"}, rescue="off")]})
    stage.origin.reply, stage.canary.reply = page(b"stable"), page(b"canary")
    seen = set()

    def both():
        seen.add(stage.ask(target=PAGE).body)
        return len(seen) == 2 and kept(stage)["entries"] == 2
    wait_for(both, "both versions' pages are kept", 60)
    stage.serin.admin("POST", f"/api/v1/services/{stage.name}/rollback", {"reason": "a test", "mode": "instant"})
    wait_for(lambda: stage.serin.service(stage.name)["phase"] == "rolled_back", "it is rolled back", 60)
    wait_kept(stage, 1)
    stop(stage.origin, stage.canary)
    for _ in range(6):
        expect(stage.ask(target=PAGE, fields=["Serin-Version: current"]).body, b"stable", "only stable's page is left")


if __name__ == "__main__":
    run(__file__)
