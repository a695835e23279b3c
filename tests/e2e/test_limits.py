"""Limits hold to the byte, refuse new work and keep old work."""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Closed, answer, case, chunked, expect, run, wait_for  # noqa: E402

SMALL = {"limits": {"header_size": "4KiB", "header_line": "1KiB", "headers": 16, "body": "64KiB"}}


def status_of(stage, raw):
    link = stage.connect()
    link.send(raw)
    response = link.read_response()
    if response.status >= 400:
        link.expect_closed()
    link.close()
    return response.status


@case(proxy=SMALL)
def request_line_is_limited(stage):
    line = len("GET / HTTP/1.1")
    expect(status_of(stage, stage.request(target="/" + "a" * (1024 - line))), 200, "at the limit")
    expect(status_of(stage, stage.request(target="/" + "a" * (1025 - line))), 414, "one byte over it")
    expect(status_of(stage, b"GET /" + b"a" * 100000), 414, "a line that never ends")


@case(proxy=SMALL)
def field_line_is_limited(stage):
    expect(status_of(stage, stage.request(fields=["A: " + "b" * 1021])), 200, "at the limit")
    expect(status_of(stage, stage.request(fields=["A: " + "b" * 1022])), 431, "one byte over it")


@case(proxy=SMALL)
def whole_head_is_limited(stage):
    def head_of(size):
        raw = stage.request(fields=["A: " + "b" * 900] * 4)
        return raw[:-2] + b"C: " + b"d" * (size - len(raw) - 5) + b"\r\n\r\n"

    expect(len(head_of(4096)), 4096, "the test's own sum")
    expect(status_of(stage, head_of(4096)), 200, "at the limit")
    expect(status_of(stage, head_of(4097)), 431, "one byte over it")


@case(proxy=SMALL)
def number_of_fields_is_limited(stage):
    expect(status_of(stage, stage.request(fields=[f"A{number}: b" for number in range(15)])), 200, "at the limit")
    expect(status_of(stage, stage.request(fields=[f"A{number}: b" for number in range(16)])), 431, "one over it")


@case(proxy=SMALL)
def counted_body_is_limited_before_anything_is_forwarded(stage):
    expect(status_of(stage, stage.request("POST", body=b"x" * 65536)), 200, "at the limit")
    expect(status_of(stage, stage.request("POST", fields=["Content-Length: 65537"])), 413, "one byte over it")
    expect(len(stage.origin.requests), 1, "requests at the origin")


@case(proxy=SMALL)
def chunked_body_is_limited(stage):
    fields = ["Transfer-Encoding: chunked"]
    expect(status_of(stage, stage.request("POST", fields=fields) + chunked(b"x" * 65000, b"y" * 536)), 200, "at the limit")
    expect(status_of(stage, stage.request("POST", fields=fields) + chunked(b"x" * 65000, b"y" * 537)), 413, "over it")
    expect(len(stage.origin.requests), 1, "whole requests at the origin")


@case(proxy=SMALL)
def trailers_are_limited(stage):
    fields = ["Transfer-Encoding: chunked"]
    many = b"".join(b"A%d: b\r\n" % number for number in range(2000))
    status = status_of(stage, stage.request("POST", fields=fields) + chunked(b"x", trailers=many))
    if status not in (400, 431):
        raise AssertionError(f"status {status}")
    expect(stage.origin.requests, [], "whole requests at the origin")


@case(proxy={"limits": {"client_connections": 8}}, workers=1)
def client_connections_are_limited(stage):
    links = []
    for _ in range(8):
        link = stage.connect()
        link.send(stage.request())
        expect(link.read_response().status, 200, "status within the limit")
        links.append(link)
    extra = stage.connect()
    try:
        extra.send(stage.request())
        expect(extra.read_response().status, 503, "status of the ninth, if it gets any")
    except Closed:
        pass
    expect(stage.serin.metrics().by("serin_rejected_connections_total", "reason"), {"limit": 1}, "refused connections")
    for link in links:
        link.send(stage.request())
        expect(link.read_response().status, 200, "old connections live on")
    links.pop().close()

    def is_served():
        link = stage.connect()
        try:
            link.send(stage.request())
            return link.read_response().status == 200
        except Closed:
            return False
        finally:
            link.close()

    wait_for(is_served, "a place is free again")


@case(proxy={"limits": {"upstream_connections": 2}}, workers=1)
def upstream_connections_are_limited(stage):
    release = threading.Event()
    stage.origin.reply = lambda request: release.wait(10 * SLOW) and answer()
    links = [stage.connect() for _ in range(3)]
    for link in links[:2]:
        link.send(stage.request())
    stage.origin.wait_requests(2)
    links[2].send(stage.request())
    expect(links[2].read_response().status, 503, "status of the third")
    expect(stage.serin.metrics().sum("serin_rejected_requests_total", reason="upstream_limit"), 1, "refusals")
    release.set()
    expect([link.read_response().status for link in links[:2]], [200, 200], "statuses of those within the limit")
    links[2].send(stage.request())
    expect(links[2].read_response().status, 200, "status afterwards")
    expect(len(stage.origin.links), 2, "connections to the origin")


@case(starts_proxy=False)
def few_descriptors_refuse_new_work_and_keep_old_work(stage):
    serin = stage.start_serin(descriptors=96, workers=2)
    first = stage.connect()
    first.send(stage.request())
    expect(first.read_response().status, 200, "status of the first")
    links = [stage.connect(f"c{number}") for number in range(150)]
    served = 0
    for link in links:
        try:
            link.send(stage.request())
            served += link.read_response().status == 200
        except Closed:
            pass
    if not 10 <= served < 96:
        raise AssertionError(f"{served} of 150 were served with 96 descriptors")
    first.send(stage.request())
    expect(first.read_response().status, 200, "the first connection lives on")
    refused = serin.metrics().by("serin_rejected_connections_total", "reason")
    expect(sum(refused.values()), 150 - served, f"refused connections {refused}")
    for link in links:
        link.close()

    def is_served():
        try:
            return stage.ask().status == 200
        except Closed:
            return False

    wait_for(is_served, "new connections are served again")


@case(starts_proxy=False)
def own_lack_of_descriptors_is_no_failure_of_the_origin(stage):
    """Each request holds two descriptors: when they run out the origin must not be blamed (section 9)."""
    release = threading.Event()
    stage.origin.reply = lambda request: release.wait(20 * SLOW) and answer()
    stage.start_serin(descriptors=140, workers=1)
    links = [stage.connect(f"c{number}") for number in range(150)]
    for link in links:
        try:
            link.send(stage.request())
        except Closed:
            pass

    def is_settled():
        seen = len(stage.origin.requests)
        time.sleep(0.5)
        return seen > 5 and len(stage.origin.requests) == seen

    wait_for(is_settled, "no further request comes through")
    release.set()
    statuses = []
    for link in links:
        try:
            statuses.append(link.read_response().status)
        except Closed:
            statuses.append(None)
        link.close()
    expect(set(statuses) <= {200, 503, None}, True, f"statuses {set(statuses)}")
    expect((statuses.count(200) > 5, stage.failures()), (True, {}), "served, and failures of the origin")


if __name__ == "__main__":
    run(__file__)
