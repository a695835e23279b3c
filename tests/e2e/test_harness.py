"""The harness itself: strict readers refuse, scripted origins play, transcripts tell. Client and origin, no proxy."""

import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import (Closed, Link, Malformed, Metrics, Reset, TooLate, WireError, add_case, answer, case, chunked, expect,
                  free_port, run, wait_for)  # noqa: E402
from load import Load, LoadOrigin  # noqa: E402

alone = {"starts_proxy": False}


def dial(stage, origin=None):
    return Link(socket.create_connection(("127.0.0.1", (origin or stage.origin).port), 5), "client", stage.transcript)


@case(**alone)
def polite_origin_answers_pipelined_requests_in_order(stage):
    stage.origin.reply = lambda request: answer(body=request.target.encode())
    link = dial(stage)
    link.send(stage.request(target="/a") + stage.request("POST", "/b", body=b"xyz") + stage.request(target="/c"))
    expect([link.read_response().body for _ in range(3)], [b"/a", b"/b", b"/c"], "bodies")
    expect(stage.origin.requests[1].body, b"xyz", "body at the origin")
    link.close()


@case(**alone)
def bytes_one_by_one_make_the_same_message(stage):
    link = dial(stage)
    body = chunked(b"hello ", b"world", trailers=b"X-Sum: 11\r\n")
    link.send_in_cuts(stage.request("POST", fields=["Transfer-Encoding: chunked"], body=body))
    expect(link.read_response().status, 200, "status")
    request = stage.origin.requests[0]
    expect((request.body, request.trailers), (b"hello world", [("X-Sum", "11")]), "body and trailers")
    link.close()


@case(**alone)
def interim_responses_are_kept_apart(stage):
    stage.origin.reply = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    link = dial(stage)
    link.send(stage.request())
    response = link.read_response()
    expect((response.status, [one.status for one in response.interim]), (204, [103]), "statuses")
    link.close()


@case(**alone)
def end_reset_silence_and_stray_bytes_are_told_apart(stage):
    stage.origin.plays = [lambda link: link.close(), lambda link: (link.read_request(), link.reset()),
                          lambda link: link.read_some(), lambda link: link.send(b"x")]
    dial(stage).expect_closed(may_reset=False)
    link = dial(stage)
    link.send(stage.request())
    raises(Reset, link.read_response)
    link = dial(stage)
    link.expect_silence(0.05)
    raises(TooLate, lambda: link.read_some(0.05))
    link.close()
    raises(WireError, dial(stage).expect_closed)


@case(**alone)
def half_close_ends_one_direction_only(stage):
    def play(link):
        expect(link.read_to_end(), b"question", "until the end")
        link.send(b"answer")

    stage.origin.play = play
    link = dial(stage)
    link.send(b"question")
    link.finish_sending()
    expect(link.read_to_end(), b"answer", "after the half-close")


@case(**alone)
def failures_of_an_origin_fail_the_case(stage):
    stage.expects_origin_failures = True
    link = dial(stage)
    link.send(b"GET / HTTP/1.1\nHost: a\r\n\r\n")
    raises(Closed, link.read_response)
    expect(len(stage.origin.failures), 1, "failures")


@case(**alone)
def metrics_are_summed_by_label(stage):
    metrics = Metrics('# HELP a b\na_total{x="1",y="p\\"q"} 2\na_total{x="2",y="r"} 3\nb NaN\n')
    expect(metrics.sum("a_total"), 5.0, "all")
    expect(metrics.sum("a_total", x=2), 3.0, "one")
    expect(metrics.by("a_total", "x"), {"1": 2.0, "2": 3.0}, "by label")
    expect(len({free_port() for _ in range(20)}), 20, "free ports are different")


@case(**alone)
def load_counts_what_its_origin_counts(stage):
    origin = LoadOrigin("canary")
    try:
        origin.order(status=503, every=4)
        tally = start(Load(origin.port, "a.test", connections=20, requests=4000)).wait()
        expect((tally.total, dict(tally.errors), tally.of("canary")), (4000, {}, 4000), "answers")
        expect(origin.counts(), {"200": 3000, "503": 1000}, "at the origin")
        expect(tally.statuses, {200: 3000, 503: 1000}, "at the clients")
        origin.order(end=True)
        tally = start(Load(origin.port, "a.test", connections=2, requests=10)).wait()
        expect(sum(tally.errors.values()), 10, "ends instead of answers")
        paced = start(Load(origin.port, "a.test", connections=2, rate=50))
        origin.order(end=None, status=200, delay_ms=5)
        wait_for(lambda: paced.tally.total >= 5, "answers come")
        paced.stop()
    finally:
        origin.stop()


REPORTING_PLAY = """
import subprocess, sys
sys.path.insert(0, {support!r})
from play import add_case, run
add_case(lambda stage: subprocess.run(["sh", "-c", {command!r}], check=False), "passes", starts_proxy=False)
run("sample")
"""


@case(**alone)
def report_of_any_process_fails_the_run(stage):
    """Also of one whose exit code nobody looks at."""
    support = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support")
    for command, code in (("true", 0), ('echo "WARNING: ThreadSanitizer: data race" >"${TSAN_OPTIONS##*log_path=}.1"; exit 3', 1)):
        path = os.path.join(stage.folder, "sample.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(REPORTING_PLAY.format(support=support, command=command))
        done = subprocess.run([sys.executable, path, "/bin/true"], capture_output=True, text=True, check=False)
        expect((done.returncode, "ThreadSanitizer: data race" in done.stdout), (code, code == 1), done.stdout + done.stderr)


def start(load):
    load.start()
    return load


def raises(kind, function):
    try:
        function()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was not raised")


BAD_RESPONSES = {
    "two_lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "length_and_coding": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare_lf": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
    "no_reason_space": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "folded_field": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
    "space_before_colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "length_in_204": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    "chunk_extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n",
    "chunk_end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok!\r\n0\r\n\r\n",
    "other_coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
}
for bad_name, bad_bytes in BAD_RESPONSES.items():
    def refuses(stage, wrong=bad_bytes):
        stage.origin.play = lambda link: (link.read_request(), link.send(wrong))
        link = dial(stage)
        link.send(stage.request())
        raises(Malformed, link.read_response)
        link.close()

    add_case(refuses, f"strict_reader_refuses_{bad_name}", **alone)

if __name__ == "__main__":
    run(__file__, parallel=4)
