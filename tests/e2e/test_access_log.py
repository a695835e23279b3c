"""One line per request, whatever clients put into it; both formats; reopened on SIGUSR1."""

import json
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import answer, case, expect, run, wait_for  # noqa: E402

COMBINED = re.compile(r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "((?:[^"\\]|\\.)*)" (\d{3}|-) (\d+|-)'
                      r' "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"\Z')


def path(serin):
    return serin.settings["access_log"]["path"]


def lines(serin, count, where=None):
    def read():
        with open(where or path(serin), "rb") as file:
            data = file.read()
        found = data.splitlines()
        return found if len(found) >= count and data.endswith(b"\n") else None

    found = wait_for(read, f"{count} lines in the log")
    expect(len(found), count, "lines")
    return found


@case(starts_proxy=False)
def json_lines_tell_of_each_request(stage):
    serin = stage.start_serin()
    stage.origin.reply = answer(404, b"nothing here")
    stage.ask("POST", "/a?b=c", ["User-Agent: curl", "Referer: http://x.test/", "X-Request-Id: id-1"], b"body!")
    line = json.loads(lines(serin, 1)[0])
    text = json.dumps(line)
    for piece in ("127.0.0.1", "POST", "/a?b=c", "curl", "http://x.test/", "id-1", stage.name, stage.host, stage.origin.authority):
        expect(piece in text, True, f"{piece} in {text}")
    expect(404 in line.values(), True, f"status in {text}")
    expect({5, 12} <= set(value for value in line.values() if isinstance(value, int)), True, f"sizes in {text}")


@case(starts_proxy=False)
def hostile_bytes_stay_inside_their_line(stage):
    serin = stage.start_serin()
    hostile = ['User-Agent: a"b\\c', "User-Agent: \xff\xfe\xe2\x80\xa8", 'Referer: "},{"x":"', "Referer: </script>\t{}"]
    for field in hostile:
        stage.ask(target="/%0a%22", fields=[field])
    for line in lines(serin, len(hostile)):
        expect(isinstance(json.loads(line), dict), True, "an object")


@case(starts_proxy=False)
def long_texts_are_cut(stage):
    serin = stage.start_serin()
    expect(stage.ask(target="/" + "a" * 7000, fields=["User-Agent: " + "\xc3\xa9" * 2000]).status, 200, "status")
    line = lines(serin, 1)[0]
    expect(len(line) < 8192, True, f"{len(line)} bytes")
    expect(isinstance(json.loads(line), dict), True, "an object")


@case(starts_proxy=False)
def combined_format_can_be_parsed(stage):
    folder = os.path.join(stage.folder, stage.name)
    os.makedirs(folder, exist_ok=True)
    serin = stage.start_serin({"access_log": {"path": os.path.join(folder, "a.log"), "format": "combined"}}, workers=1)
    stage.ask(fields=['User-Agent: a"b\\c]', "Referer: http://x.test/\xe9"])
    stage.ask("POST", "/x?y", body=b"abc")
    first, second = (COMBINED.match(line.decode("ascii")) for line in lines(serin, 2))
    expect((first.group(1), first.group(3), first.group(4), first.group(5)), ("127.0.0.1", "GET / HTTP/1.1", "200", "2"),
           "first")
    expect(second.group(3), "POST /x?y HTTP/1.1", "second")


@case(starts_proxy=False)
def log_is_reopened_on_a_signal(stage):
    serin = stage.start_serin()
    stage.ask()
    lines(serin, 1)
    moved = path(serin) + ".1"
    os.rename(path(serin), moved)
    serin.signal(signal.SIGUSR1)
    wait_for(lambda: os.path.exists(path(serin)), "a new file")
    stage.ask()
    lines(serin, 1)
    lines(serin, 1, moved)


@case(starts_proxy=False)
def failures_are_named(stage):
    serin = stage.start_serin()
    stage.origin.play = lambda link: (link.read_request_head(), link.reset())
    expect(stage.ask().status, 502, "status")
    expect(b"reset" in lines(serin, 1)[0], True, "the kind of failure")


@case(starts_proxy=False)
def log_can_be_off(stage):
    serin = stage.start_serin({"access_log": "off"})
    expect(stage.ask().status, 200, "status")
    expect(serin.metrics().sum("serin_access_log_dropped_total"), 0, "dropped")


if __name__ == "__main__":
    run(__file__, parallel=4)
