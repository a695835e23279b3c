"""Thousands of damaged messages: whatever goes through is something that a strict reader takes, whole and once.

Each round damages a good message in a few places, sends it and looks at the far end through the strict readers of
the harness. The seed is fixed, and SERIN_TEST_SEED tries others."""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Closed, TooLate, case, expect, run  # noqa: E402

SEED = int(os.environ.get("SERIN_TEST_SEED", "4711"))
ROUNDS = int(500 / SLOW)
PIECES = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b",", b";", b"0", b"\r\n\r\n", b"\x0b", b"\xff", b"chunked",
          b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Host: b\r\n",
          b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"HTTP/1.0", b"GET / HTTP/1.1\r\n", b"\r\n ", b"+", b"-1",
          b"0\r\n\r\n", b"Upgrade: x\r\n", b"A" * 300]
BODIES = [b"\r\n", b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
          b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nT: v\r\n\r\n", b"Content-Length: 0\r\n\r\n"]


def damage(chance, raw):
    data = bytearray(raw)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        at = chance.randrange(len(data))
        kind = chance.randrange(4)
        if kind == 0:
            data[at:at] = chance.choice(PIECES)
        elif kind == 1:
            del data[at : at + chance.randrange(1, 4)]
        elif kind == 2:
            data[at] = chance.randrange(256)
        else:
            end = min(len(data), at + chance.randrange(1, 40))
            data[end:end] = data[at:end]
    return bytes(data)


@case(proxy={"timeouts": {"client_header": f"{int(60 * SLOW)}ms", "client_body": f"{int(60 * SLOW)}ms",
                          "client_idle": f"{int(60 * SLOW)}ms"}}, service={"hosts": ["*"]})
def damaged_requests_leave_the_origin_nothing_to_object_to(stage):
    chance = random.Random(SEED)
    served = 0
    for number in range(ROUNDS):
        method = chance.choice((b"GET", b"POST", b"PUT", b"OPTIONS", b"HEAD"))
        raw = b"%s /n%d HTTP/1.1\r\nHost: a.test\r\nX: y\r\n%s" % (method, number, chance.choice(BODIES))
        link = stage.connect("client")
        stage.transcript = link.transcript = type(link.transcript)()
        stage.origin.transcript = stage.transcript
        try:
            link.send(damage(chance, raw))
            link.finish_sending()
            answered = link.read_to_end(20 * SLOW)
            served += answered.startswith(b"HTTP/1.1 200")
            if answered and not answered.startswith(b"HTTP/1.1 "):
                raise AssertionError(f"seed {SEED} round {number}: {answered[:200]!r}")
        except Closed:
            pass
        link.close()
        if stage.origin.failures:
            raise AssertionError(f"seed {SEED} round {number}: the origin objects")
    expect(ROUNDS // 20 < served < ROUNDS, True, f"{served} of {ROUNDS} were served")
    expect(stage.ask().status, 200, "a good request at the end")


@case(proxy={"timeouts": {"response_header": f"{int(60 * SLOW)}ms", "response_body": f"{int(60 * SLOW)}ms"}})
def damaged_answers_never_look_like_good_ones(stage):
    """The client's strict reader takes an answer whole or sees it broken off; and the next answer is its own."""
    chance = random.Random(SEED + 1)
    answers = {}

    def play(link):
        while True:
            request = stage.origin.read(link)
            if request.target == "/good":
                link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n/good")
                continue
            link.send(answers[request.target])
            if chance.random() < 0.3:
                return

    stage.origin.play = play
    whole = 0
    for number in range(ROUNDS):
        target = f"/n{number}"
        answers[target] = damage(chance, b"HTTP/1.1 200 OK\r\nX: y\r\n" + chance.choice(BODIES))
        link = stage.connect("client")
        stage.transcript = link.transcript = type(link.transcript)()
        stage.origin.transcript = stage.transcript
        link.send(stage.request(target=target))
        try:
            response = link.read_response(patience_s=20 * SLOW)
            whole += response.status == 200
            if (response.get("Connection") or "").lower() != "close":
                link.send(stage.request(target="/good"))
                after = link.read_response(patience_s=20 * SLOW)
                if (after.status, after.body) != (200, b"/good") and after.status != 504:  # slow machines are no liars
                    raise AssertionError(f"seed {SEED} round {number}: next answer {after.status} {after.body!r}")
        except TooLate:
            raise
        except Closed:
            pass
        link.close()
        stage.origin.links[:] = [one for one in stage.origin.links if one.is_open]
    expect(ROUNDS // 20 < whole < ROUNDS, True, f"{whole} of {ROUNDS} came whole")
    stage.expects_origin_failures = True


if __name__ == "__main__":
    run(__file__)
