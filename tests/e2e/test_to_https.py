"""The way to HTTPS: plain requests sent on, browsers told to stay, challenges of certificate authorities answered."""

import os
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from certificates import Authority  # noqa: E402
from play import SLOW, Link, answer, case, expect, free_port, run, wait_for  # noqa: E402

TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}
CHALLENGES = "/.well-known/acme-challenge/"


class Site:
    """A proxy with an address that sends on to HTTPS, one that speaks it, and a plain one."""

    def __init__(self, stage, redirect="on", service=None, **settings):
        self.stage = stage
        self.port, self.secure_port = free_port(), free_port()
        self.authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
        listen = [{"address": f"127.0.0.1:{self.port}", "redirect_https": redirect},
                  {"address": f"127.0.0.1:{self.secure_port}", "tls": [self.authority.make("site", f"DNS:{stage.host}")]}]
        self.serin = stage.start_serin({"services": [stage.service(**(service or {}))], "listen": listen, **settings})

    def plain(self):
        return self.stage.connect(port=self.port)

    def secure(self):
        raw = socket.create_connection(("127.0.0.1", self.secure_port), 10 * SLOW)
        sealed = self.authority.context().wrap_socket(raw, server_hostname=self.stage.host)
        return Link(sealed, "client", self.stage.transcript)

    def ask(self, link, method="GET", **more):
        link.send(self.stage.request(method, **more))
        return link.read_response(method)


# --- sent on ----------------------------------------------------------------------------------------------------------
@case(starts_proxy=False)
def plain_requests_are_sent_on_to_https(stage):
    site = Site(stage)
    link = site.plain()
    for method, host, target, wanted in (
            ("GET", stage.host, "/", f"https://{stage.host}/"),
            ("GET", f"{stage.host}:8080", "/a/b?c=d&e", f"https://{stage.host}/a/b?c=d&e"),
            ("HEAD", f"{stage.host}.", "//other.test/x", f"https://{stage.host}//other.test/x"),
            ("OPTIONS", stage.host, "*", f"https://{stage.host}/"),
            ("DELETE", stage.host, "/x", f"https://{stage.host}/x")):
        response = site.ask(link, method, host=host, target=target)
        expect((response.status, response.get("Location")), (308, wanted), f"{method} {target}")
        expect(response.has("Strict-Transport-Security"), False, "HSTS over plain HTTP")
    expect(len(stage.origin.requests), 0, "requests that reached the origin")
    expect(stage.rejected(), {"https_redirect": 5}, "counted")
    codes = stage.serin.metrics().by("serin_requests_total", "code", service=stage.name)
    expect(codes, {"308": 5}, "as the service's answers")
    wait_for(lambda: len(stage.serin.access_log()) == 5, "they are in the log")


@case(starts_proxy=False)
def another_port_is_named(stage):
    site = Site(stage, redirect={"port": 8443})
    expect(site.ask(site.plain(), target="/x").get("Location"), f"https://{stage.host}:8443/x", "Location")


@case(starts_proxy=False)
def a_body_is_not_waited_for(stage):
    site = Site(stage)
    link = site.plain()
    link.send(f"POST /form HTTP/1.1\r\nHost: {stage.host}\r\nContent-Length: 1000000\r\n\r\n")
    response = link.read_response()
    expect((response.status, response.get("Location")), (308, f"https://{stage.host}/form"), "answer")
    link.close()


@case(starts_proxy=False)
def nobody_is_sent_to_a_name_that_is_not_ours(stage):
    site = Site(stage)
    for host in ("evil.test", f"{stage.host}.evil.test", "evil.test:443"):
        response = site.ask(site.plain(), host=host)
        expect((response.status, response.has("Location")), (404, False), host)
    for host in (f"{stage.host}@evil.test", f"{stage.host}/x", "a b", f"{stage.host}:x"):
        response = site.ask(site.plain(), host=host)
        expect((response.status, response.has("Location")), (400, False), host)
    link = site.plain()
    link.send("GET / HTTP/1.0\r\n\r\n")
    expect(link.read_response().status, 404, "without a host there is no service")


@case(starts_proxy=False)
def an_absolute_target_is_taken_apart_first(stage):
    site = Site(stage)
    response = site.ask(site.plain(), target=f"http://{stage.host}/a?b")
    expect((response.status, response.get("Location")), (308, f"https://{stage.host}/a?b"), "answer")


@case(starts_proxy=False)
def what_a_trusted_proxy_had_by_https_is_served(stage):
    site = Site(stage, service={"hsts": "on"}, **TRUSTED)
    response = site.ask(site.plain(), fields=["X-Forwarded-Proto: https"])
    expect((response.status, response.get("Strict-Transport-Security")), (200, "max-age=31536000"), "served")
    expect(site.ask(site.plain(), fields=["X-Forwarded-Proto: http"]).status, 308, "by plain HTTP")
    expect(site.ask(site.plain()).status, 308, "without a word")


@case(starts_proxy=False)
def others_cannot_say_that_they_came_by_https(stage):
    site = Site(stage)
    expect(site.ask(site.plain(), fields=["X-Forwarded-Proto: https"]).status, 308, "status")


@case(starts_proxy=False)
def other_addresses_serve_as_ever(stage):
    site = Site(stage)
    expect(site.ask(site.secure()).status, 200, "HTTPS")
    site.serin.change({"listen": [{**site.serin.settings["listen"][0], "redirect_https": "off"}, site.serin.settings["listen"][1]]})
    site.serin.signal(signal.SIGHUP)
    wait_for(lambda: site.ask(site.plain()).status == 200, "a reload that switches it off")


# --- told to stay -----------------------------------------------------------------------------------------------------
@case(starts_proxy=False)
def browsers_are_told_on_every_answer_over_tls(stage):
    stage.origin.reply = answer(fields=["Strict-Transport-Security: max-age=1", "strict-transport-security: max-age=2"])
    site = Site(stage, service={"cache": "off", "hsts": {"max_age": "730d", "include_subdomains": True, "preload": True}})
    link = site.secure()
    for _ in range(2):
        response = site.ask(link)
        expect(response.all("Strict-Transport-Security"), ["max-age=63072000; includeSubDomains; preload"], "from the origin")
    stage.origin.stop_listening()
    for held in stage.origin.links:
        held.interrupt()

    def fails():
        response = site.ask(site.secure())
        return response if response.status == 502 else None

    response = wait_for(fails, "the origin is gone")
    expect(response.all("Strict-Transport-Security"), ["max-age=63072000; includeSubDomains; preload"], "of our own")


@case(service={"hsts": {"max_age": "1d"}})
def nothing_is_said_over_plain_http(stage):
    stage.origin.reply = answer(fields=["Strict-Transport-Security: max-age=5"])
    expect(stage.ask().all("Strict-Transport-Security"), ["max-age=5"], "what the origin says is its own")


# --- challenges -------------------------------------------------------------------------------------------------------
class Webroot:
    def __init__(self, stage):
        self.path = os.path.join(stage.folder, stage.name, "webroot")
        self.folder = os.path.join(self.path, CHALLENGES.strip("/"))
        os.makedirs(self.folder)

    def put(self, token, text):
        with open(os.path.join(self.folder, token), "w", encoding="ascii") as out:
            out.write(text)


@case(starts_proxy=False)
def challenges_are_answered_everywhere_from_the_folder(stage):
    webroot = Webroot(stage)
    site = Site(stage, acme={"webroot": webroot.path})
    expect(site.ask(site.plain(), target=f"{CHALLENGES}tok-1_X").status, 404, "before it is there")
    webroot.put("tok-1_X", "tok-1_X.thumb")
    for link in (site.plain(), site.secure()):
        for host in (stage.host, "not-served-yet.test"):
            response = site.ask(link, target=f"{CHALLENGES}tok-1_X", host=host)
            expect((response.status, response.body), (200, b"tok-1_X.thumb"), host)
    response = site.ask(site.plain(), "HEAD", target=f"{CHALLENGES}tok-1_X")
    expect((response.status, response.get("Content-Length")), (200, "13"), "HEAD")
    expect(site.ask(site.plain(), "DELETE", target=f"{CHALLENGES}tok-1_X").status, 405, "DELETE")
    expect(len(stage.origin.requests), 0, "requests that reached the origin")
    expect(stage.rejected(), {"acme_challenge": 7}, "counted")


@case(starts_proxy=False)
def nothing_else_on_the_disk_can_be_had(stage):
    webroot = Webroot(stage)
    secret = os.path.join(webroot.path, "secret")
    with open(secret, "w", encoding="ascii") as out:
        out.write("s3cret")
    os.symlink(secret, os.path.join(webroot.folder, "link"))
    os.mkfifo(os.path.join(webroot.folder, "pipe"))
    webroot.put("long", "x" * 5000)
    site = Site(stage, acme={"webroot": webroot.path})
    link = site.plain()
    for token in ("link", "%2e%2e", "pipe", "long", "", "..", "%2e%2e/%2e%2e/secret", "..%2f..%2fsecret", "a/b", "a.b", "x" * 300):
        response = site.ask(link, target=f"{CHALLENGES}{token}")
        expect((response.status, b"s3cret" in response.body), (404, False), token)
    expect(len(stage.origin.requests), 0, "requests that reached the origin")


@case()
def without_a_folder_challenges_are_requests_like_others(stage):
    expect(stage.ask(target=f"{CHALLENGES}token").status, 200, "status")
    expect(stage.origin.requests[0].target, f"{CHALLENGES}token", "the origin's to answer")


if __name__ == "__main__":
    run(__file__)
