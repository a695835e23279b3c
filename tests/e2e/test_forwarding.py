"""What a request and its answer look like on the other side of the proxy (RFC 9110 section 7.6)."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import add_case, answer, case, expect, run  # noqa: E402

TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
LOOPBACK_TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}


def forwarded(stage, method="GET", target="/", fields=(), **more):
    """The request as the origin got it."""
    count = len(stage.origin.requests)
    expect(stage.ask(method, target, fields, **more).status, 200, "status")
    return stage.origin.requests[count]


# --- requests: what stays behind, what comes in -----------------------------------------------------------------------
HOP_BY_HOP = ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5", "TE: gzip",
              "HTTP2-Settings: AAMAAABkAAQAAP__"]


@case()
def hop_by_hop_fields_of_a_request_stay_behind(stage):
    request = forwarded(stage, fields=[*HOP_BY_HOP, "Connection: HTTP2-Settings, close", "Accept: x"])
    for name in ("Keep-Alive", "Proxy-Connection", "HTTP2-Settings", "TE", "Upgrade"):
        expect(request.all(name), [], name)
    expect(request.get("Accept"), "x", "Accept")


@case()
def fields_named_in_connection_go_no_further(stage):
    request = forwarded(stage, fields=["Connection: X-One, x-two", "X-One: 1", "X-TWO: 2", "X-Three: 3",
                                       "connection: x-four", "X-Four: 4"])
    expect([request.has(name) for name in ("X-One", "X-Two", "X-Four", "X-Three")], [False, False, False, True],
           "what arrived")


@case()
def fields_named_in_connection_of_an_answer_go_no_further(stage):
    stage.origin.reply = answer(fields=["Connection: X-One, keep-alive", "X-One: 1", "Keep-Alive: timeout=3",
                                        "Proxy-Connection: keep-alive", "X-Two: 2", "Upgrade: h2c"])
    response = stage.ask()
    for name in ("X-One", "Keep-Alive", "Proxy-Connection", "Upgrade"):
        expect(response.all(name), [], name)
    expect(response.get("X-Two"), "2", "X-Two")


@case()
def connection_cannot_name_away_what_routing_needs(stage):
    """Naming Host or Content-Length in Connection must not strip what the message cannot do without."""
    link = stage.connect()
    link.send(stage.request("POST", fields=["Connection: Host, Content-Length, X-Forwarded-For"], body=b"abc"))
    response = link.read_response()
    if response.status == 200:
        request = stage.origin.requests[0]
        expect((request.get("Host"), request.body), (stage.host, b"abc"), "Host and body")
        expect(request.get("X-Forwarded-For"), "127.0.0.1", "X-Forwarded-For")
    else:
        expect(response.status, 400, "status")


@case()
def via_is_added_in_both_directions(stage):
    stage.origin.reply = answer(fields=["Via: 1.0 inner"])
    response = stage.ask(fields=["Via: 1.0 fred"])
    vias = (stage.origin.requests[0].get("Via"), response.get("Via"))
    if not re.match(r"1\.0 fred, 1\.1 \S+", vias[0]) or not re.match(r"1\.0 inner, 1\.1 \S+", vias[1]):
        raise AssertionError(f"Via: {vias}")


@case()
def via_says_the_version_that_was_received(stage):
    via = forwarded(stage, version="HTTP/1.0").get("Via")
    if not via.startswith("1.0 "):
        raise AssertionError(f"Via: {via}")


@case()
def forwarded_fields_of_strangers_are_replaced(stage):
    request = forwarded(stage, fields=["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https",
                                       "X-Forwarded-Host: evil.test", "X-Forwarded-For: 7.7.7.7",
                                       "Forwarded: for=6.6.6.6"])
    expect(request.all("X-Forwarded-For"), ["127.0.0.1"], "X-Forwarded-For")
    expect(request.all("X-Forwarded-Proto"), ["http"], "X-Forwarded-Proto")
    expect(request.all("X-Forwarded-Host"), [stage.host], "X-Forwarded-Host")
    if "6.6.6.6" in (request.get("Forwarded") or ""):
        raise AssertionError("a stranger's Forwarded was passed on")


@case(service={"forwarded": "rfc7239"})
def forwarded_in_the_form_of_rfc_7239(stage):
    request = forwarded(stage)
    parts = dict(part.split("=", 1) for part in request.get("Forwarded").split(";"))
    expect(parts["for"].strip('"'), "127.0.0.1", "for")
    expect((parts["proto"], parts["host"].strip('"')), ("http", stage.host), "proto and host")
    expect(request.has("X-Forwarded-For"), False, "X-Forwarded-For is there")


@case(service={"forwarded": "both"})
def forwarded_in_both_forms(stage):
    request = forwarded(stage)
    expect((request.has("Forwarded"), request.has("X-Forwarded-For")), (True, True), "both forms")


@case(proxy=LOOPBACK_TRUSTED)
def forwarded_fields_of_trusted_proxies_are_continued(stage):
    request = forwarded(stage, fields=["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https",
                                       "X-Forwarded-Host: shop.test"])
    expect(request.get("X-Forwarded-For"), "192.0.2.7, 127.0.0.1", "X-Forwarded-For")
    expect(request.get("X-Forwarded-Proto"), "https", "X-Forwarded-Proto")
    expect(request.get("X-Forwarded-Host"), "shop.test", "X-Forwarded-Host")


@case(proxy=LOOPBACK_TRUSTED, service={"forwarded": "rfc7239"})
def forwarded_of_trusted_proxies_is_continued(stage):
    value = forwarded(stage, fields=["Forwarded: for=192.0.2.7;proto=https"]).get("Forwarded")
    if not value.startswith("for=192.0.2.7;proto=https, ") or "127.0.0.1" not in value:
        raise AssertionError(f"Forwarded: {value}")


@case()
def request_id_is_kept(stage):
    expect(forwarded(stage, fields=["X-Request-Id: abc-123"]).all("X-Request-Id"), ["abc-123"], "id")


@case()
def request_id_is_made_and_never_the_same(stage):
    ids = {forwarded(stage).get("X-Request-Id") for _ in range(5)}
    expect((len(ids), None in ids), (5, False), "ids")


@case()
def traceparent_is_passed_with_its_trace(stage):
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    request = forwarded(stage, fields=[f"traceparent: {given}", "tracestate: a=b"])
    expect(request.get("traceparent")[:35], given[:35], "trace id")
    expect(request.get("tracestate"), "a=b", "tracestate")


@case()
def traceparent_is_started_where_there_is_none(stage):
    value = forwarded(stage).get("traceparent")
    if not TRACEPARENT.match(value or ""):
        raise AssertionError(f"traceparent: {value}")


@case()
def malformed_traceparent_is_replaced(stage):
    request = forwarded(stage, fields=["traceparent: 00-zz-1-01", "tracestate: a=b"])
    expect(len(request.all("traceparent")), 1, "number of traceparents")
    if not TRACEPARENT.match(request.get("traceparent")):
        raise AssertionError(f"traceparent: {request.get('traceparent')}")


@case()
def host_is_kept(stage):
    expect(forwarded(stage).get("Host"), stage.host, "Host")


@case(service={"host": "origin"})
def host_is_the_origins_own_when_asked_for(stage):
    request = forwarded(stage)
    expect(request.all("Host"), [stage.origin.authority], "Host")
    expect(request.get("X-Forwarded-Host"), stage.host, "X-Forwarded-Host")


@case()
def host_with_port_finds_its_service(stage):
    expect(forwarded(stage, host=f"{stage.host.upper()}:8080").get("Host"), f"{stage.host.upper()}:8080", "Host")


@case()
def order_case_and_repetition_of_fields_survive(stage):
    request = forwarded(stage, fields=["X-b: 1", "x-A: 2", "X-b: 3", "Cookie: a=b", "X-Empty:", "X-Blank:   x  y\t"])
    kept = [(name, value) for name, value in request.fields if name.lower() in ("x-a", "x-b", "x-empty", "x-blank")]
    expect(kept, [("X-b", "1"), ("x-A", "2"), ("X-b", "3"), ("X-Empty", ""), ("X-Blank", "x  y")], "fields")


@case()
def cookies_of_an_answer_stay_separate(stage):
    stage.origin.reply = answer(fields=["Set-Cookie: a=1", "X-A: b", "Set-Cookie: b=2"])
    expect(stage.ask().all("Set-Cookie"), ["a=1", "b=2"], "cookies")


@case()
def high_bytes_in_values_survive(stage):
    stage.origin.reply = answer(fields=["X-Name: caf\xe9"])
    response = stage.ask(fields=["X-Name: na\xefve"])
    expect((stage.origin.requests[0].get("X-Name"), response.get("X-Name")), ("na\xefve", "caf\xe9"), "values")


# --- targets and methods ----------------------------------------------------------------------------------------------
@case()
def target_is_passed_byte_for_byte(stage):
    target = "/a%2Fb/../c//d/./e?x=%zz&y=[1]|{2}^`\"<>\\&q=?"
    response = stage.ask(target=target)
    if response.status == 200:
        expect(stage.origin.requests[0].target, target, "target")
    else:
        expect(response.status, 400, "refused, since not all of it is allowed in a URI")
    expect(forwarded(stage, target="/a%2Fb/../c//d/./e?x=%41&y=;:@").target, "/a%2Fb/../c//d/./e?x=%41&y=;:@", "target")


@case()
def absolute_target_becomes_origin_form(stage):
    request = forwarded(stage, target=f"http://{stage.host}/a?b")
    expect((request.target, request.get("Host")), ("/a?b", stage.host), "target and Host")


@case()
def absolute_target_without_path_becomes_a_slash(stage):
    expect(forwarded(stage, target=f"http://{stage.host}").target, "/", "target")
    for host in (stage.host, f"{stage.host}:80"):
        expect(forwarded(stage, target=f"http://{host}?a=b").target, "/?a=b", "target with a query (RFC 9112 section 3.2.1)")
    expect(forwarded(stage, "OPTIONS", f"http://{stage.host}?a=b").target, "/?a=b", "a query is more than a star")


@case()
def absolute_target_finds_the_host_in_any_case(stage):
    expect(forwarded(stage, target=f"HTTP://{stage.host.upper()}:80/x").target, "/x", "target")


@case()
def options_star_reaches_the_origin(stage):
    expect(forwarded(stage, "OPTIONS", "*").target, "*", "target")


@case()
def options_with_absolute_target_and_no_path_is_a_star(stage):
    expect(forwarded(stage, "OPTIONS", f"http://{stage.host}").target, "*", "target (RFC 9112 section 3.2.4)")


def passes_method(method):
    def function(stage):
        request = forwarded(stage, method, body=b"" if method in ("GET", "OPTIONS", "DELETE") else b"abc")
        expect(request.method, method, "method")

    return function


for method_name in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "REPORT", "PURGE"):
    add_case(passes_method(method_name), f"passes_method_{method_name.lower()}")


@case()
def body_of_a_get_is_passed(stage):
    expect(forwarded(stage, body=b"a body").body, b"a body", "body")


# --- answers of our own -----------------------------------------------------------------------------------------------
@case()
def unknown_host_is_answered_without_any_origin(stage):
    link = stage.connect()
    link.send(stage.request(host="nobody-here.test"))
    response = link.read_response()
    if response.status not in (404, 421):
        raise AssertionError(f"status {response.status}")
    link.send(stage.request())
    expect(link.read_response().status, 200, "the connection lives on")
    expect(len(stage.origin.requests), 1, "requests at the origin")


@case()
def answers_without_date_get_one(stage):
    value = stage.ask().get("Date") or ""
    if not re.match(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\Z", value):
        raise AssertionError(f"Date: {value!r}")


@case()
def head_of_our_own_answers_has_no_body(stage):
    link = stage.connect()
    link.send(stage.request("HEAD", host="nobody-here.test") + stage.request())
    if link.read_response("HEAD").status not in (404, 421):
        raise AssertionError("status")
    expect(link.read_response().body, b"ok", "the next answer")


if __name__ == "__main__":
    run(__file__, parallel=4)
