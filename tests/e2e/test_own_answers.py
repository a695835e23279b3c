"""What Serin answers by itself: custom error pages, and 429 for clients that ask too often."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, answer, case, expect, run, wait_for  # noqa: E402

TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}
LONG = {"requests": 3, "per": "1h"}  # nothing comes back while a case runs, however slow the machine


def page(stage, name, text):
    folder = os.path.join(stage.folder, stage.name)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def seen(response):
    return response.status, response.get("Content-Type"), response.body.decode()


# --- pages ------------------------------------------------------------------------------------------------------------
@case(starts_proxy=False)
def own_answers_have_the_pages_that_are_configured(stage):
    shared = [{"statuses": [404], "file": page(stage, "404.html", "<p>nothing here")},
              {"statuses": ["5xx", "400-403"], "file": page(stage, "other.txt", "sorry")}]
    own = [{"statuses": [502], "file": page(stage, "502.json", '{"error":502}')}]
    stage.start_serin({"error_pages": shared, "services": [stage.service(error_pages=own)]})
    expect(seen(stage.ask(host="nobody.test")), (404, "text/html; charset=utf-8", "<p>nothing here"), "no service")
    link = stage.connect()
    link.send("GET / HTTP/1.1\r\n\r\n")
    expect(seen(link.read_response()), (400, "text/plain; charset=utf-8", "sorry"), "a request that is refused")
    stage.origin.play = lambda link: link.reset()
    expect(seen(stage.ask()), (502, "application/json", '{"error":502}'), "the service's own")
    link = stage.connect()
    link.send(stage.request("HEAD"))
    response = link.read_response("HEAD")
    expect((response.status, response.get("Content-Length"), response.body), (502, "13", b""), "HEAD")


@case(starts_proxy=False)
def what_an_origin_answers_is_never_replaced(stage):
    pages = [{"statuses": ["4xx", "5xx"], "file": page(stage, "page.html", "ours")}]
    stage.start_serin({"services": [stage.service(error_pages=pages)]})
    for status in (404, 500, 503):
        stage.origin.reply = answer(status, b"the origin's own")
        expect((stage.ask().status, stage.ask().body), (status, b"the origin's own"), "the origin's answer")


@case(starts_proxy=False)
def statuses_without_a_page_have_the_usual_line(stage):
    pages = [{"statuses": [503], "file": page(stage, "page.html", "ours")}]
    stage.start_serin({"error_pages": pages})
    expect(seen(stage.ask(host="nobody.test")), (404, "text/plain; charset=utf-8", "404 Not Found\n"), "404")


@case(starts_proxy=False)
def a_reload_reads_pages_again_and_a_bad_one_changes_nothing(stage):
    path = page(stage, "404.html", "before")
    stage.start_serin({"error_pages": [{"statuses": [404], "file": path}]})
    link = stage.connect()
    link.send(stage.request(host="nobody.test"))
    expect(link.read_response().body, b"before", "before")
    page(stage, "404.html", "x" * 70000)
    stage.serin.signal(signal.SIGHUP)
    wait_for(lambda: "longer than 64 KiB" in stage.serin.log(), "the log says why")
    link.send(stage.request(host="nobody.test"))
    expect(link.read_response().body, b"before", "kept in memory")
    page(stage, "404.html", "after " * 10000)
    stage.serin.signal(signal.SIGHUP)
    wait_for(lambda: stage.ask(host="nobody.test").body == b"after " * 10000, "the new page")
    os.remove(path)
    expect(stage.ask(host="nobody.test").body, b"after " * 10000, "no file is read while serving")


@case()
def check_reads_pages_as_run_would(stage):
    def check(pages):
        path = page(stage, "check.yaml", f"listen: [{{address: 127.0.0.1:1}}]\nerror_pages: {pages}\n"
                    "services: [{name: a, previous: {url: http://127.0.0.1:2}}]\n")
        done = subprocess.run([stage.binary, "check", "-c", path], capture_output=True, text=True, timeout=20 * SLOW)
        return done.returncode, done.stdout + done.stderr

    good = page(stage, "good.html", "fine")
    expect(check(f"[{{statuses: [404], file: {good}}}]")[0], 0, "a good one")
    for pages, wanted in ((f"[{{statuses: [404], file: {good}.not}}]", "cannot be read"),
                          (f"[{{statuses: [404], file: {stage.folder}}}]", "cannot be read"),
                          (f"[{{statuses: [200-404], file: {good}}}]", "200 is no error")):
        code, text = check(pages)
        expect((code, wanted in text), (1, True), f"{pages}: {text}")


# --- limits per client ------------------------------------------------------------------------------------------------
@case(service={"rate_limit": LONG})
def a_client_that_asks_too_often_is_told_when_to_come_back(stage):
    link = stage.connect()
    for _ in range(3):
        link.send(stage.request())
        expect(link.read_response().status, 200, "within the limit")
    link.send(stage.request())
    response = link.read_response()
    expect(response.status, 429, "beyond it")
    wait_s = int(response.get("Retry-After"))
    expect(0 < wait_s <= 1200, True, f"a third of an hour at most: {wait_s}")
    expect(stage.ask().status, 429, "on another connection, perhaps at another worker")
    expect(len(stage.origin.requests), 3, "requests that reached the origin")


@case(service={"rate_limit": LONG, "weight": "100%"})
def a_429_of_ours_counts_against_no_version(stage):
    for _ in range(3):
        expect(stage.ask().status, 200, "within the limit")
    refused = stage.rejected().get("rate_limit", 0)
    for _ in range(5):
        expect(stage.ask().status, 429, "beyond it")
    metrics = stage.serin.metrics()
    expect(metrics.by("serin_requests_total", "code", service=stage.name), {"200": 3, "429": 5}, "answers")
    expect(metrics.sum("serin_client_bad_responses_total", service=stage.name), 0, "bad answers")
    expect(metrics.by("serin_upstream_requests_total", "code", service=stage.name), {"200": 3}, "attempts")
    expect(stage.rejected()["rate_limit"] - refused, 5, "counted as ours")
    evidence = stage.serin.service(stage.name)["evidence"]
    expect("429" in str(evidence), False, "not in the evidence")


@case(proxy=TRUSTED, service={"rate_limit": {**LONG, "exempt": ["198.51.100.0/24"]}})
def clients_are_told_apart_by_what_trusted_proxies_say(stage):
    def ask(client):
        return stage.ask(fields=[f"X-Forwarded-For: {client}"]).status

    expect([ask("192.0.2.1") for _ in range(4)], [200, 200, 200, 429], "one client")
    expect([ask("192.0.2.2") for _ in range(4)], [200, 200, 200, 429], "another")
    expect([ask(f"2001:db8::{n}") for n in range(1, 5)], [200, 200, 200, 429], "one /64")
    expect([ask("2001:db8:0:1::1")], [200], "the next /64")
    expect([ask("198.51.100.7") for _ in range(9)], [200] * 9, "exempt")


@case(service={"rate_limit": LONG})
def others_cannot_pretend_to_be_many(stage):
    codes = [stage.ask(fields=[f"X-Forwarded-For: 192.0.2.{n}"]).status for n in range(1, 6)]
    expect(codes, [200, 200, 200, 429, 429], "statuses")


@case(service={"rate_limit": {"requests": 1, "per": "100ms", "burst": 1}})
def time_brings_requests_back(stage):
    expect(stage.ask().status, 200, "the first")
    for _ in range(3):
        wait_for(lambda: stage.ask().status == 200, "the next after a while")


@case(starts_proxy=False)
def a_reload_leaves_debts_as_they_are(stage):
    stage.start_serin({"services": [stage.service(rate_limit=LONG)]})
    for _ in range(3):
        expect(stage.ask().status, 200, "within the limit")
    expect(stage.ask().status, 429, "beyond it")
    limit = {**LONG, "burst": 6}
    stage.serin.change({"services": [stage.service(rate_limit=limit)]})
    stage.serin.signal(signal.SIGHUP)
    wait_for(lambda: stage.ask().status == 200, "a larger burst")
    expect([stage.ask().status for _ in range(3)], [200, 200, 429], "what was asked before still counts")
    stage.serin.change({"services": [stage.service()]})
    stage.serin.signal(signal.SIGHUP)
    wait_for(lambda: all(stage.ask().status == 200 for _ in range(20)), "no limit")


if __name__ == "__main__":
    run(__file__)
