"""The rules of shared caches (RFC 9111, RFC 5861), seen from outside: which answers stand in for a failing origin, and for whom.

Nothing is waited for to grow old: an answer's Age says how old it is."""

import os
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, add_case, case, expect, run, wait_for  # noqa: E402
from wire import answer  # noqa: E402

OLD = "Last-Modified: Fri, 13 Nov 2020 12:00:00 GMT"
STALE = ["Cache-Control: max-age=60", "Age: 100"]  # by 40 seconds
LOGIN = "Authorization: Basic dXNlcjpzZWNyZXQ="
SESSION = "Cookie: session=1"
STICKY = "Cookie: serin=00000000000000ab.7"
KEPT, GONE = True, False

# What it is: (what the request says, status and fields of the answer, what the later request says, whether it is served).
ALWAYS = {
    "an answer that says nothing": ([], 200, [], [], KEPT),
    "a fresh answer": ([], 200, ["Cache-Control: max-age=600"], [], KEPT),
    "a stale answer": ([], 200, STALE, [], KEPT),
    "an answer that expired": ([], 200, ["Expires: Fri, 13 Nov 2020 12:00:00 GMT"], [], KEPT),
    "an answer that never was fresh": ([], 200, ["Expires: 0"], [], KEPT),
    "an answer that allows less staleness": ([], 200, ["Cache-Control: max-age=60, stale-if-error=30", "Age: 100"], [], GONE),
    "an answer that allows more staleness": ([], 200, ["Cache-Control: max-age=60, stale-if-error=9999", "Age: 100"], [], KEPT),
    "an answer that allows none": ([], 200, ["Cache-Control: max-age=60, stale-if-error=0", "Age: 100"], [], GONE),
    "an answer too stale for anybody": ([], 200, ["Cache-Control: max-age=60", "Age: 9000"], [], GONE),
    "no-store": ([], 200, ["Cache-Control: no-store"], [], GONE),
    "no-store on a second line": ([], 200, ["Cache-Control: max-age=60", "Cache-Control: No-Store"], [], GONE),
    "no-store, but to whoever understands 200": ([], 200, ["Cache-Control: no-store, must-understand, max-age=60"], [], KEPT),
    "no-store inside a string of another directive": ([], 200, ['Cache-Control: x="a, no-store", max-age=60'], [], KEPT),
    "private": ([], 200, ["Cache-Control: private, max-age=60"], [], GONE),
    "private in spite of public": ([], 200, ["Cache-Control: public, max-age=60, private"], [], GONE),
    "private that names another field": ([], 200, ['Cache-Control: max-age=60, private="x-mine"', "X-Mine: 1"], [], KEPT),
    "a request that says no-store": (["Cache-Control: no-store"], 200, ["Cache-Control: max-age=60"], [], GONE),
    "a login": ([LOGIN], 200, ["Cache-Control: max-age=60"], [], GONE),
    "a login's public answer": ([LOGIN], 200, ["Cache-Control: public, max-age=60"], [LOGIN], KEPT),
    "anybody's answer for a login": ([], 200, ["Cache-Control: max-age=60"], [LOGIN], GONE),
    "a key's answer that says nothing": (["X-Api-Key: secret"], 200, [], [], GONE),
    "a session's answer that says nothing": ([SESSION], 200, [], [], GONE),
    "a session's answer that is only old": ([SESSION], 200, [OLD], [], GONE),
    "a session's answer with a lifetime": ([SESSION], 200, ["Cache-Control: max-age=60"], [], KEPT),
    "anybody's answer for a session": ([], 200, [], [SESSION], KEPT),
    "an answer to Serin's own cookie": ([STICKY], 200, [], [], KEPT),
    "Set-Cookie": ([], 200, ["Cache-Control: public, max-age=60", "Set-Cookie: a=b"], [], GONE),
    "Vary: *": ([], 200, ["Cache-Control: max-age=60", "Vary: *"], [], GONE),
    "Vary, and another value": (["X-Kind: a"], 200, ["Cache-Control: max-age=60", "Vary: X-Kind"], ["X-Kind: b"], GONE),
    "Vary, and the same value": (["X-Kind: a"], 200, ["Cache-Control: max-age=60", "Vary: X-Kind"], ["X-Kind: a"], KEPT),
    "Vary, and no value": (["X-Kind: a"], 200, ["Cache-Control: max-age=60", "Vary: X-Kind"], [], GONE),
    "Vary, and only other blanks": (["Accept-Encoding: gzip, br"], 200, ["Cache-Control: max-age=60", "Vary: accept-encoding"],
                                    ["Accept-Encoding: GZIP,br"], KEPT),
    "Vary: Cookie, and another session": ([SESSION], 200, ["Cache-Control: max-age=60", "Vary: Cookie"], ["Cookie: session=2"], GONE),
    "Vary: Cookie, and only Serin's differs": ([], 200, ["Cache-Control: max-age=60", "Vary: Cookie"], [STICKY], KEPT),
    "a 404, which is no better than an error": ([], 404, ["Cache-Control: max-age=60"], [], GONE),
    "a 301": ([], 301, ["Location: /elsewhere"], [], KEPT),
    "a 302 that says nothing": ([], 302, ["Location: /elsewhere"], [], GONE),
    "a 302 with a lifetime": ([], 302, ["Location: /elsewhere", "Cache-Control: max-age=60"], [], KEPT),
    "a part": (["Range: bytes=0-1"], 206, ["Content-Range: bytes 0-6/100", "Cache-Control: max-age=60"], [], GONE),
    "a status nobody knows": ([], 299, ["Cache-Control: max-age=60"], [], GONE),
    "a failure with a lifetime": ([], 501, ["Cache-Control: public, max-age=60"], [], GONE),
    "a client that reloads": ([], 200, ["Cache-Control: max-age=60"], ["Cache-Control: no-cache", "Pragma: no-cache"], KEPT),
    "a client that takes no stale answer for an error": ([], 200, STALE, ["Cache-Control: stale-if-error=10"], GONE),
    "a client with a condition for the origin": ([], 200, ["Cache-Control: max-age=60"], ['If-Match: "x"'], GONE),
}

# Where the answer insists on its origin: served only where the configuration does not hold it to that.
INSISTING = {
    "must-revalidate": ["Cache-Control: max-age=60, must-revalidate", "Age: 100"],
    "proxy-revalidate": ["Cache-Control: max-age=60, proxy-revalidate", "Age: 100"],
    "s-maxage": ["Cache-Control: s-maxage=60", "Age: 100"],
    "no-cache": ["Cache-Control: no-cache"],
    "what hosts of static sites say": ["Cache-Control: public, max-age=0, must-revalidate"],
}


def stop(origin):
    origin.stop_listening()
    for link in list(origin.links):
        link.interrupt()


def play(rules):
    """Each rule has a target of its own; all are asked for, then the origin goes, then all are asked for again."""

    def perform(stage):
        answers = {f"/{number}": rule for number, rule in enumerate(rules.values())}
        stage.origin.reply = lambda request: answer(answers[request.target][1], b"content", answers[request.target][2])
        for target, (asked, status, _, _, _) in answers.items():
            expect(stage.ask(target=target, fields=asked).status, status, f"{target} from its origin")
        stop(stage.origin)
        wrong = []
        for name, (target, (_, status, _, later, is_kept)) in zip(rules, answers.items()):
            response = stage.ask(target=target, fields=later)
            says = response.get("Cache-Status", "")
            is_ours = says.startswith("serin; fwd=") and says.endswith("detail=stale-if-error")
            is_served = is_ours and response.status == status
            if is_served != is_kept or (not is_served and response.status < 500):
                wrong.append(f"{name}: {response.status}, {response.get('Cache-Status')}")
            if is_served and (response.body != b"content" or response.get("Age") is None or response.get("X-Mine")):
                wrong.append(f"{name}: {response.fields}")
        expect(wrong, [], "rules that did not hold")

    return perform


def insisting(is_kept):
    return {name: ([], 200, fields, [], is_kept) for name, fields in INSISTING.items()}


FALLBACK = {"mode": "fallback", "stale_if_error": "1h"}
add_case(play(ALWAYS), "rules_that_always_hold", service={"cache": FALLBACK}, workers=1)
add_case(play(ALWAYS), "rules_that_always_hold_when_strict", service={"cache": {**FALLBACK, "strict": "on"}}, workers=1)
add_case(play(insisting(KEPT)), "answers_that_insist_on_their_origin_are_served", service={"cache": FALLBACK}, workers=1)
add_case(play(insisting(GONE)), "answers_that_insist_on_their_origin_are_not_when_strict",
         service={"cache": {**FALLBACK, "strict": "on"}}, workers=1)


def fields_of(response, *names):
    return {name: response.get(name) for name in names}


@case(service={"cache": FALLBACK}, workers=1)
def age_counts_what_other_caches_said(stage):
    stage.origin.reply = answer(200, b"x", ["Cache-Control: max-age=10", "Age: 500, 9"])
    stage.ask(target="/")
    stop(stage.origin)
    response = stage.ask(target="/")
    age = int(response.get("Age"))
    expect(age >= 500, True, f"Age: {age}")
    ttl = [int(part.split("=")[1]) for part in response.get("Cache-Status").split("; ") if part.startswith("ttl=")]
    expect(len(ttl) == 1 and ttl[0] <= -490, True, f"Cache-Status: {response.get('Cache-Status')}")
    expect("; fwd=stale;" in response.get("Cache-Status"), True, "it is stale")


@case(service={"cache": FALLBACK}, workers=1)
def answer_that_is_fresh_still_is_said_to_be_no_hit(stage):
    stage.origin.reply = answer(200, b"x", ["Cache-Control: max-age=86400"])
    stage.ask(target="/")
    stop(stage.origin)
    expect("; fwd=bypass;" in stage.ask(target="/").get("Cache-Status"), True, "the origin was to be asked")


@case(service={"cache": FALLBACK}, workers=1)
def date_is_added_where_the_origin_said_none(stage):
    stage.origin.reply = answer(200, b"x", ["Cache-Control: max-age=600"])
    stage.ask(target="/")
    stop(stage.origin)
    first = stage.ask(target="/")
    expect(first.get("Date").endswith(" GMT"), True, f"Date: {first.get('Date')}")
    expect(len(first.all("Date")), 1, "one Date")


@case(service={"cache": FALLBACK}, workers=1)
def fields_of_one_connection_are_not_kept(stage):
    stage.origin.reply = answer(200, b"x", ["Connection: x-hop", "X-Hop: 1", "Keep-Alive: timeout=5", "X-Stays: 1"])
    stage.ask(target="/")
    stop(stage.origin)
    response = stage.ask(target="/")
    expect(fields_of(response, "X-Hop", "Keep-Alive", "X-Stays"), {"X-Hop": None, "Keep-Alive": None, "X-Stays": "1"}, "fields")


# A write: its method, the answer's status and fields, and which of the kept pages are gone by it.
WRITES = {
    "POST": ("POST", 200, [], {"/a"}),
    "PUT": ("PUT", 201, [], {"/a"}),
    "DELETE": ("DELETE", 204, [], {"/a"}),
    "PATCH that leads elsewhere": ("PATCH", 303, ["Location: /b"], {"/a", "/b"}),
    "POST that says what it wrote": ("POST", 200, ["Content-Location: ./c"], {"/a", "/c"}),
    "POST to another site": ("POST", 303, ["Location: http://elsewhere.test/b"], {"/a"}),
    "POST that failed": ("POST", 422, ["Location: /b"], set()),
    "POST that broke": ("POST", 500, [], set()),
    "OPTIONS": ("OPTIONS", 200, [], set()),
}


def kept(stage):
    return stage.serin.service(stage.name)["cache"]["entries"]


def write(method, status, fields, gone):
    def perform(stage):
        pages = ["/a", "/b", "/c"]
        reply = answer(status, b"", fields) if status != 204 else b"HTTP/1.1 204 OK\r\n\r\n"
        page = answer(200, b"content")
        stage.origin.reply = lambda request: reply if request.method == method else page
        for target in pages:
            expect(stage.ask(target=target).status, 200, f"{target} from its origin")
        expect(stage.ask(method, "/a").status, status, "the write")
        stop(stage.origin)
        expect({target for target in pages if stage.ask(target=target).status != 200}, gone, "pages that are gone")

    return perform


for name, what in WRITES.items():
    add_case(write(*what), f"write_{name.lower().replace(' ', '_')}", service={"cache": FALLBACK}, workers=1)


@case(service={"cache": FALLBACK, "weight": "50%"}, workers=1)
def write_counts_for_both_versions_and_for_all_variants(stage):
    stage.origin.reply = stage.canary.reply = answer(200, b"content", ["Vary: X-Kind"])
    before = 0
    for version in ("current", "previous"):
        for kind in ("a", "b"):
            wanted = [f"Serin-Version: {version}", f"X-Kind: {kind}"]
            wait_for(lambda: stage.ask(target="/", fields=wanted).status == 200 and kept(stage) > before,
                     "it is kept", 60)
            before = kept(stage)
    expect(before, 4, "kept pages")
    expect(stage.ask("POST", "/", fields=["Serin-Version: previous"]).status, 200, "the write")
    expect(kept(stage), 0, "kept pages after it")


@case(starts_proxy=False)
def version_that_comes_back_knows_nothing_of_before(stage):
    """A request that goes on keeps it known meanwhile; what is kept is freed slowly, for the store is large."""
    def service(deployment):
        return stage.service(cache={"mode": "full", "size": "1GiB"}, weight="0%",
                             current={"deployment": deployment, "endpoints": [stage.canary.url]})

    def change(deployment):
        stage.serin.change({"services": [service(deployment)]})
        stage.serin.signal(signal.SIGHUP)
        wait_for(lambda: stage.serin.service(stage.name)["current"]["deployment"] == deployment, f"{deployment} is there", 60)

    stage.start_serin({"services": [service("first")]}, workers=1)
    is_over = threading.Event()
    page = answer(200, b"content", ["Cache-Control: max-age=600"])

    def play(request):
        if request.target == "/slow":
            is_over.wait(60 * SLOW)
        return page

    stage.canary.reply, stage.origin.reply = play, answer(200, b"written")
    wanted = ["Serin-Version: current"]
    stage.ask(target="/", fields=wanted)
    expect("hit" in stage.ask(target="/", fields=wanted).get("Cache-Status"), True, "its page is kept")
    slow = stage.connect()
    slow.send(stage.request(target="/slow", fields=wanted))
    stage.canary.wait_requests(2)
    change("second")
    expect(stage.ask("POST", "/", fields=["Serin-Version: previous"]).status, 200, "a write without it")
    change("first")
    expect("hit" in stage.ask(target="/", fields=wanted).get("Cache-Status"), False, "after the write")
    is_over.set()
    slow.read_response()


@case(starts_proxy=False)
def write_counts_for_a_version_that_came_while_it_was_written(stage):
    def service(deployment):
        return stage.service(cache={"mode": "full"}, weight="0%", current={"deployment": deployment, "endpoints": [stage.canary.url]})

    stage.start_serin({"services": [service("first")]}, workers=1)
    is_written = threading.Event()
    page = answer(200, b"content", ["Cache-Control: max-age=600"])

    def write_slowly(request):
        is_written.wait(60 * SLOW)
        return answer(200, b"written")

    stage.origin.reply, stage.canary.reply = write_slowly, page
    writer = stage.connect()
    writer.send(stage.request("POST", "/", fields=["Serin-Version: previous"]))
    stage.origin.wait_requests(1)
    stage.serin.change({"services": [service("second")]})
    stage.serin.signal(signal.SIGHUP)
    wait_for(lambda: stage.serin.service(stage.name)["current"]["deployment"] == "second", "the new version is there", 60)
    wanted = ["Serin-Version: current"]
    wait_for(lambda: "hit" in stage.ask(target="/", fields=wanted).get("Cache-Status"), "its page is kept", 60)
    is_written.set()
    expect(writer.read_response().body, b"written", "the write")
    expect("hit" in stage.ask(target="/", fields=wanted).get("Cache-Status"), False, "and its page is not, after the write")


@case(service={"cache": FALLBACK, "weight": "50%", "sticky": {"by": "header", "name": "X-Customer"},
               "affinity": {"by": "header", "name": "X-Seat"}}, workers=1)
def header_that_clients_are_known_by_says_who_asks(stage):
    stage.origin.reply = stage.canary.reply = answer(200, b"content")
    asked = {"/a": ["X-Customer: me"], "/b": ["X-Seat: 7"], "/c": []}
    for target, fields in asked.items():
        expect(stage.ask(target=target, fields=[*fields, "Serin-Version: previous"]).status, 200, f"{target} from its origin")
    stop(stage.origin)
    served = [target for target in asked if stage.ask(target=target, fields=["Serin-Version: previous"]).status == 200]
    expect(served, ["/c"], "what is served to anybody")


@case(service={"cache": FALLBACK}, workers=1)
def page_is_kept_again_after_a_write(stage):
    for body in (b"before", b"after"):
        stage.origin.reply = answer(200, body)
        expect(stage.ask("POST", "/").status, 200, "the write")
        expect(stage.ask(target="/").body, body, "the page")
    stop(stage.origin)
    expect(stage.ask(target="/").body, b"after", "what is kept")


def not_modified(*fields):
    return "\r\n".join(["HTTP/1.1 304 OK", *fields]).encode() + b"\r\n\r\n"


@case(service={"cache": FALLBACK}, workers=1)
def client_that_has_the_page_keeps_it_from_nobody(stage):
    stage.origin.reply = lambda request: not_modified('ETag: "1"') if request.get("If-None-Match") else answer(200, b"content", ['ETag: "1"'])
    expect(stage.ask(target="/", fields=['If-None-Match: "1"']).status, 304, "who has it")
    expect(stage.ask(target="/").status, 200, "who has not")
    stop(stage.origin)
    expect(stage.ask(target="/").body, b"content", "it is kept")


# What a later request says of ten kept bytes: its status, its content, its Content-Range.
CONDITIONS = {
    "the same tag": (['If-None-Match: "1"'], 304, b"", None),
    "a weak tag like ours": (['If-None-Match: W/"1"'], 304, b"", None),
    "one of several tags": (['If-None-Match: "0", "1"'], 304, b"", None),
    "another tag": (['If-None-Match: "0"'], 200, b"0123456789", None),
    "any": (["If-None-Match: *"], 304, b"", None),
    "not modified since": (["If-Modified-Since: Fri, 13 Nov 2020 12:00:00 GMT"], 304, b"", None),
    "not modified since, in its oldest form": (["If-Modified-Since: Fri Nov 13 12:00:00 2020"], 304, b"", None),
    "modified since": (["If-Modified-Since: Fri, 13 Nov 2020 11:59:59 GMT"], 200, b"0123456789", None),
    "the tag goes before the date": (['If-None-Match: "0"', "If-Modified-Since: Fri, 13 Nov 2020 12:00:00 GMT"], 200, b"0123456789", None),
    "the first bytes": (["Range: bytes=0-3"], 206, b"0123", "bytes 0-3/10"),
    "the last bytes": (["Range: bytes=-3"], 206, b"789", "bytes 7-9/10"),
    "past the end": (["Range: bytes=8-99"], 206, b"89", "bytes 8-9/10"),
    "behind the end": (["Range: bytes=10-"], 416, b"", "bytes */10"),
    "several ranges": (["Range: bytes=0-1,4-5"], 200, b"0123456789", None),
    "a range of what is still the same": (["Range: bytes=0-1", 'If-Range: "1"'], 206, b"01", "bytes 0-1/10"),
    "a range of what has changed": (["Range: bytes=0-1", 'If-Range: "0"'], 200, b"0123456789", None),
    "a range by a weak tag": (["Range: bytes=0-1", 'If-Range: W/"1"'], 200, b"0123456789", None),
    "a range by the very date": (["Range: bytes=0-1", "If-Range: Fri, 13 Nov 2020 12:00:00 GMT"], 206, b"01", "bytes 0-1/10"),
    "who has it all needs no part": (["Range: bytes=0-1", 'If-None-Match: "1"'], 304, b"", None),
}


@case(service={"cache": FALLBACK}, workers=1)
def conditions_and_ranges_are_judged_here(stage):
    stage.origin.reply = answer(200, b"0123456789", ['ETag: "1"', OLD, "Cache-Control: max-age=600", "Content-Type: text/plain"])
    stage.ask(target="/")
    stop(stage.origin)
    for name, (asked, status, body, part) in CONDITIONS.items():
        response = stage.ask(target="/", fields=asked)
        expect((response.status, response.body, response.get("Content-Range")), (status, body, part), name)
        has_type = status in (200, 206)
        expect(response.get("Content-Type"), "text/plain" if has_type else None, f"{name}: Content-Type")
        head = stage.ask("HEAD", "/", asked)
        expect(head.status, 304 if status == 304 else 200, f"{name}: HEAD")


# ---- mode full ----

FULL = {"mode": "full", "stale_if_error": "1h", "strict": "on"}
TAG = 'ETag: "1"'
HIT, ASKED, FETCHED, REFUSED = "hit", "asked", "fetched", "refused"
FRESH = ["Cache-Control: max-age=600", TAG]
OUTDATED = [*STALE, TAG]

# What the first request says, fields of its answer, what the second one says, and where its answer comes from.
SECOND = {
    "a fresh answer": ([], FRESH, [], HIT),
    "an answer that says nothing": ([], [], [], FETCHED),
    "an answer that expires": ([], ["Expires: Fri, 13 Nov 2099 12:00:00 GMT"], [], HIT),
    "an answer that expired": ([], ["Expires: 0", TAG], [], ASKED),
    "a guess": ([], [OLD], [], HIT),
    "a guess is not for a session": ([], [OLD, TAG], [SESSION], ASKED),
    "a guess is for Serin's own cookie": ([], [OLD], [STICKY], HIT),
    "a stale answer": ([], OUTDATED, [], ASKED),
    "a stale answer with a date": ([], [*STALE, OLD], [], ASKED),
    "a stale answer that cannot be asked about": ([], STALE, [], FETCHED),
    "a stale answer with a tag that is none": ([], [*STALE, "ETag: 1"], [], FETCHED),
    "s-maxage goes before max-age": ([], ["Cache-Control: max-age=0, s-maxage=600"], [], HIT),
    "max-age goes before Expires": ([], ["Cache-Control: max-age=600", "Expires: 0"], [], HIT),
    "two lifetimes are none": ([], ["Cache-Control: max-age=600, max-age=900", TAG], [], ASKED),
    "must-revalidate, while it is fresh": ([], ["Cache-Control: max-age=600, must-revalidate"], [], HIT),
    "no-cache": ([], ["Cache-Control: no-cache, max-age=600", TAG], [], ASKED),
    "no-cache that names a field": ([], ['Cache-Control: no-cache="x-mine", max-age=600', "X-Mine: 1"], [], HIT),
    "no-store": ([], ["Cache-Control: no-store"], [], FETCHED),
    "private": ([], ["Cache-Control: private, max-age=600", TAG], [], FETCHED),
    "Set-Cookie": ([], [*FRESH, "Set-Cookie: a=b"], [], FETCHED),
    "a request that says no-store": (["Cache-Control: no-store"], FRESH, [], FETCHED),
    "a reload": ([], FRESH, ["Cache-Control: no-cache"], ASKED),
    "a reload in its old form": ([], FRESH, ["Pragma: no-cache"], ASKED),
    "a reload of its other kind": ([], FRESH, ["Cache-Control: max-age=0"], ASKED),
    "a client for whom it is young enough": ([], FRESH, ["Cache-Control: max-age=500"], HIT),
    "a client that wants it fresh for longer": ([], FRESH, ["Cache-Control: min-fresh=900"], ASKED),
    "a client that wants what is stored, and it is": ([], FRESH, ["Cache-Control: only-if-cached"], HIT),
    "a client that wants what is stored, and it is stale": ([], OUTDATED, ["Cache-Control: only-if-cached"], REFUSED),
    "a client that wants what is stored, and nothing is": ([], ["Cache-Control: no-store"], ["Cache-Control: only-if-cached"],
                                                           REFUSED),
    "a login": ([], FRESH, [LOGIN], ASKED),
    "a login, for what is public": ([], ["Cache-Control: public, max-age=600"], [LOGIN], HIT),
    "Vary, and another value": (["X-Kind: a"], [*FRESH, "Vary: X-Kind"], ["X-Kind: b"], FETCHED),
    "Vary, and the same value": (["X-Kind: a"], [*FRESH, "Vary: X-Kind"], ["X-Kind: a"], HIT),
    "Vary: *": ([], [*FRESH, "Vary: *"], [], FETCHED),
    "a condition that only its origin can judge": ([], FRESH, ['If-Match: "1"'], FETCHED),
}


def origin_of(answers):
    """Answers as told, and a condition that holds by a 304."""

    def reply(request):
        fields = answers[request.target]
        holds = request.get("If-None-Match") == '"1"' or request.get("If-Modified-Since") == OLD.split(": ", 1)[1]
        if not holds:
            return answer(200, b"content", fields)
        kept = [line for line in fields if not line.startswith("Age")]
        return "\r\n".join(["HTTP/1.1 304 OK", *kept]).encode() + b"\r\n\r\n"

    return reply


def way_of(stage, target, asked):
    """Where an answer comes from, as its origin saw it."""
    before = len(stage.origin.requests)
    response = stage.ask(target=target, fields=asked)
    seen = [request for request in stage.origin.requests[before:] if request.target == target]
    if response.status == 504:
        return REFUSED, response
    if not seen:
        return HIT, response
    conditions = [seen[0].get("If-None-Match"), seen[0].get("If-Modified-Since")]
    return (ASKED if any(conditions) else FETCHED), response


@case(service={"cache": FULL}, workers=1)
def second_request_is_answered_as_the_rules_say(stage):
    answers = {f"/{number}": rule[1] for number, rule in enumerate(SECOND.values())}
    stage.origin.reply = origin_of(answers)
    wrong = []
    for (name, (first, _, second, wanted)), target in zip(SECOND.items(), answers):
        expect(stage.ask(target=target, fields=first).status, 200, f"{name}: the first")
        way, response = way_of(stage, target, second)
        if way != wanted:
            wrong.append(f"{name}: {way}, {response.get('Cache-Status')}")
        if way != REFUSED and (response.status, response.body) != (200, b"content"):
            wrong.append(f"{name}: {response.status} {response.body}")
        is_hit = "; hit" in response.get("Cache-Status", "")
        if is_hit != (way == HIT):
            wrong.append(f"{name}: {way}, but {response.get('Cache-Status')}")
    expect(wrong, [], "rules that did not hold")


@case(service={"cache": FULL}, workers=1)
def what_a_304_says_is_kept(stage):
    stage.origin.reply = answer(200, b"content", [*OUTDATED, "X-A: old", "Content-Type: text/plain"])
    stage.ask(target="/")
    stage.origin.reply = (b"HTTP/1.1 304 OK\r\nETag: \"1\"\r\nCache-Control: max-age=600\r\nX-A: new\r\n"
                          b"Content-Type: text/html\r\n\r\n")
    for wanted in (ASKED, HIT):
        way, response = way_of(stage, "/", [])
        expect((way, response.status, response.body), (wanted, 200, b"content"), "the page")
        expect((response.get("X-A"), response.get("Content-Type")), ("new", "text/plain"), "its fields")


# Two requests that a store might take for one, though origins do not: what the first says and what the second says.
MISLEADING = {
    "the site is named twice, so that origins are told the Host": (["X-Forwarded-Host: b.test", "X-Forwarded-Host: c.test"],
                                                                  ["X-Forwarded-Host: b.test"]),
    "the site's name is for this hop alone": (["X-Forwarded-Host: b.test", "Connection: X-Forwarded-Host"], ["X-Forwarded-Host: b.test"]),
    "the scheme is named twice": (["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"], ["X-Forwarded-Proto: https"]),
    "the scheme, in the standard's words": (["Forwarded: for=1.2.3.4;proto=http;host=a"], ["Forwarded: for=1.2.3.5;proto=https;host=a"]),
    "the site, in the standard's words": (['Forwarded: host="a;b"'], ["Forwarded: host=a"]),
    "another port": (["X-Forwarded-Port: 80"], ["X-Forwarded-Port: 443"]),
    "another prefix": (["X-Forwarded-Prefix: /evil"], []),
    "the same site by another Host": (["X-Forwarded-Host: b.test"], ["X-Forwarded-Host: b.test", "Host: other"]),
    "a variant whose sign origins do not get": (["X-Kind: a", "Connection: X-Kind"], ["X-Kind: a"]),
    "another method": (["X-HTTP-Method-Override: DELETE"], []),
    "another target": (["X-Rewrite-URL: /secret"], []),
    "another host": (["X-Host: evil.test"], []),
}


def what_origins_see(request):
    seen = ("Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Kind", "X-HTTP-Method-Override", "X-Rewrite-URL", "X-Host")
    return "; ".join(f"{name}: {request.get(name)}" for name in seen).encode()


def ask_as(stage, target, fields):
    """With another Host, where the fields have one."""
    hosts = [line.split(": ")[1] for line in fields if line.startswith("Host: ")]
    return stage.ask(target=target, fields=[line for line in fields if not line.startswith("Host: ")], host=(hosts or [stage.host])[0])


@case(starts_proxy=False)
def request_is_kept_as_what_origins_got(stage):
    stage.start_serin({"trusted_proxies": ["127.0.0.0/8"], "services": [stage.service(cache=FULL, hosts=["*"])]}, workers=1)
    stage.origin.reply = lambda request: answer(200, what_origins_see(request), ["Cache-Control: max-age=600", "Vary: X-Kind"])
    for number, (name, (first, second)) in enumerate(MISLEADING.items()):
        target = f"/{number}"
        ask_as(stage, target, first)
        response = ask_as(stage, target, second)
        expect("; hit" in response.get("Cache-Status"), False, f"{name}: {response.get('Cache-Status')}, {response.body}")
        response = ask_as(stage, target, second)
        expect("; hit" in response.get("Cache-Status"), True, f"{name}, again: {response.get('Cache-Status')}")


@case(starts_proxy=False)
def who_asks_is_no_matter_of_the_key(stage):
    stage.start_serin({"trusted_proxies": ["127.0.0.0/8"], "services": [stage.service(cache=FULL)]}, workers=1)
    stage.origin.reply = answer(200, b"content", ["Cache-Control: max-age=600"])
    stage.ask(target="/", fields=["Forwarded: for=1.2.3.4;proto=https", "X-Forwarded-For: 1.2.3.4"])
    response = stage.ask(target="/", fields=["Forwarded: proto=https;for=1.2.3.5", "X-Forwarded-For: 1.2.3.5"])
    expect("; hit" in response.get("Cache-Status"), True, response.get("Cache-Status"))


@case(service={"cache": FULL}, workers=1)
def client_that_wants_what_is_stored_asks_nobody(stage):
    stage.origin.reply = answer(200, b"content", OUTDATED)
    stage.ask(target="/")
    way, response = way_of(stage, "/", ["Cache-Control: only-if-cached, max-stale"])
    expect((way, response.body), (HIT, b"content"), "it is stale, and wanted so")
    expect(stage.ask(target="/other", fields=["Cache-Control: only-if-cached"]).status, 504, "nothing is stored")
    expect(stage.serin.metrics().sum("serin_client_bad_responses_total", service=stage.name), 0, "bad for clients")


@case(service={"cache": FULL}, workers=1)
def tag_that_lost_its_weakness_is_the_same(stage):
    """Servers that compress weaken the tag of the content, and not the one of a 304."""
    stage.origin.reply = answer(200, b"content", [*STALE, 'ETag: W/"1"'])
    stage.ask(target="/")
    stage.origin.reply = not_modified('ETag: "1"', "Cache-Control: max-age=600")
    for wanted in (ASKED, HIT):
        way, response = way_of(stage, "/", [])
        expect((way, response.status, response.body, response.get("ETag")), (wanted, 200, b"content", 'W/"1"'), "the page")


@case(service={"cache": FULL}, workers=1)
def answer_about_another_tag_is_followed_by_a_fetch(stage):
    stage.origin.reply = answer(200, b"old", OUTDATED)
    stage.ask(target="/")
    stage.origin.reply = lambda request: (not_modified('ETag: "2"') if request.get("If-None-Match")
                                          else answer(200, b"new", ["Cache-Control: max-age=600", 'ETag: "2"']))
    before = len(stage.origin.requests)
    response = stage.ask(target="/")
    expect((response.status, response.body), (200, b"new"), "the page")
    asked = [request.get("If-None-Match") for request in stage.origin.requests[before:]]
    expect(asked, ['"1"', None], "what the origin was asked")
    expect(way_of(stage, "/", [])[0], HIT, "it is kept")


@case(service={"cache": FULL}, workers=1)
def what_a_304_says_to_one_client_is_for_that_client(stage):
    stage.origin.reply = answer(200, b"content", [*OUTDATED, "X-A: old"])
    stage.ask(target="/")
    stage.origin.reply = lambda request: (not_modified(*FRESH, "X-A: new", "Set-Cookie: session=1") if request.get("If-None-Match")
                                          else answer(200, b"content", FRESH))
    response = stage.ask(target="/")
    expect((response.status, response.body), (200, b"content"), "the page")
    expect((response.get("Set-Cookie"), response.get("X-A")), ("session=1", "new"), "what it was told besides")
    expect(int(response.get("Age")) < 60, True, f"it is as old as the word of its origin: {response.get('Age')}")
    way, response = way_of(stage, "/", [])
    expect((way, response.get("Set-Cookie")), (FETCHED, None), "the next one")


# Who may not have what is kept, or whose answer cannot be kept, takes it from nobody.
OTHERS = {
    "a login": (FRESH, "GET", [LOGIN]),
    "a login, for a stale answer": (OUTDATED, "GET", [LOGIN]),
    "a session, for a guess": ([OLD, TAG], "GET", [SESSION]),
    "a client that must not be kept": (FRESH, "GET", ["Cache-Control: no-cache, no-store"]),
    "HEAD": (["Cache-Control: max-age=60, stale-while-revalidate=9999", "Age: 100", TAG], "HEAD", []),
    "a part": (["Cache-Control: max-age=60, stale-while-revalidate=9999", "Age: 100", TAG], "GET", ["Range: bytes=0-1"]),
}


@case(service={"cache": FULL}, workers=1)
def requests_that_are_unfit_leave_what_is_kept(stage):
    answers = {f"/{number}": rule[0] for number, rule in enumerate(OTHERS.values())}
    stage.origin.reply = origin_of(answers)
    for (name, (_, method, asked)), target in zip(OTHERS.items(), answers):
        expect(stage.ask(target=target).status, 200, f"{name}: the first")
        before = kept(stage)
        expect(stage.ask(method, target, asked).status in (200, 206), True, f"{name}: the second")
        expect(kept(stage), before, f"{name}: kept pages")
        expect(stage.ask(target=target).body, b"content", f"{name}: the third")


@case(service={"cache": FULL}, workers=1)
def answer_that_varies_since_a_304_is_kept_for_its_like(stage):
    stage.origin.reply = answer(200, b"content", OUTDATED)
    stage.ask(target="/", fields=["X-Kind: a"])
    stage.origin.reply = lambda request: (not_modified(*FRESH, "Vary: X-Kind") if request.get("If-None-Match")
                                          else answer(200, b"for b", [*FRESH, "Vary: X-Kind"]))
    expect(way_of(stage, "/", ["X-Kind: a"])[0], ASKED, "when it is stale")
    expect(way_of(stage, "/", ["X-Kind: a"])[0], HIT, "its like")
    way, response = way_of(stage, "/", ["X-Kind: b"])
    expect((way, response.body), (FETCHED, b"for b"), "others")


@case(service={"cache": FULL}, workers=1)
def name_of_one_request_is_not_told_to_another(stage):
    stage.origin.reply = lambda request: answer(200, b"content", [*FRESH, f"X-Request-Id: {request.get('X-Request-Id')}"])
    expect(stage.ask(target="/").get("X-Request-Id") is not None, True, "the first has its own")
    way, response = way_of(stage, "/", [])
    expect((way, response.get("X-Request-Id")), (HIT, None), "the second")


@case(service={"cache": FULL}, workers=1)
def write_that_worked_makes_the_next_request_a_fetch(stage):
    stage.origin.reply = answer(200, b"content", FRESH)
    stage.ask(target="/")
    expect(way_of(stage, "/", [])[0], HIT, "before")
    stage.ask("POST", "/")
    expect(way_of(stage, "/", [])[0], FETCHED, "after")


@case(service={"cache": FULL}, workers=1)
def clients_condition_is_judged_by_what_is_kept(stage):
    stage.origin.reply = answer(200, b"0123456789", FRESH)
    stage.ask(target="/")
    before = len(stage.origin.requests)
    same = stage.ask(target="/", fields=['If-None-Match: "1"'])
    part = stage.ask(target="/", fields=["Range: bytes=2-3"])
    head = stage.ask("HEAD", "/")
    expect((same.status, same.body), (304, b""), "the client has it")
    expect((part.status, part.body), (206, b"23"), "a part")
    expect((head.status, head.get("Content-Length")), (200, "10"), "HEAD")
    expect(len(stage.origin.requests), before, "no request went to the origin")


if __name__ == "__main__":
    run(__file__)
