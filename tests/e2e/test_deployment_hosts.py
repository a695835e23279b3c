"""Origins at *.pages.dev: they answer to their own name alone, and clients learn nothing of that name. The bytes are held to."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from certificates import Authority  # noqa: E402
from play import case, expect, run  # noqa: E402
from sealed import Sealed, server_context  # noqa: E402
from serin import leads  # noqa: E402

STABLE, CANARY = "9c2e1a4b.showcase.pages.dev", "d7a3f2b1.showcase.pages.dev"
SITE = "www.showcase.test"


class Pages:
    """Two deployments at names of pages.dev, which lead to this machine for the proxy alone."""

    def __init__(self, stage, settings=None, process=None, **changes):
        self.stage = stage
        folder = os.path.join(stage.folder, stage.name)
        authority = Authority(os.path.join(folder, "certificates"))
        site = authority.make("pages", "DNS:*.showcase.pages.dev")
        self.stable = Sealed(stage.origin, server_context(site))
        self.canary = Sealed(stage.canary, server_context(site))
        self.service = stage.service(origin_tls={"ca": authority.path("ca.pem")}, **{
            "hosts": [SITE], "previous": {"deployment": "9c2e1a4b", "url": self.stable.url_at(STABLE)},
            "current": {"deployment": "d7a3f2b1", "url": self.canary.url_at(CANARY)}, **changes})
        stage.start_serin({"workers": 1, "timeouts": {"connect": "60s"}, **(settings or {}), "services": [self.service]},
                          wrapper=leads(folder, {host: "127.0.0.1" for host in (STABLE, CANARY)}))

    def ask(self, fields=(), target="/", host=SITE, version="HTTP/1.1"):
        return self.stage.ask(target=target, fields=fields, host=host, version=version)

    def answers(self, lines, body=b""):
        head = ["HTTP/1.1 200 OK", *lines, f"Content-Length: {len(body)}"]
        self.stage.origin.reply = self.stage.canary.reply = "\r\n".join(head).encode() + b"\r\n\r\n" + body


def fields_of(message, *ours):
    """As they were written, without those that say what the proxy adds."""
    return [line for line in message.raw.decode().split("\r\n")[1:-2] if line.split(":")[0] not in ours]


@case(starts_proxy=False)
def each_deployment_is_asked_by_its_own_name(stage):
    pages = Pages(stage)
    for version, origin, host in (("previous", stage.origin, STABLE), ("current", stage.canary, CANARY)):
        expect(pages.ask([f"Serin-Version: {version}"]).status, 200, version)
        expect(origin.requests[0].get("Host"), f"{host}:{origin.port}", "Host")
    expect((pages.stable.names, pages.canary.names), ([STABLE], [CANARY]), "SNI")


@case(starts_proxy=False)
def the_edges_own_fields_come_from_no_client(stage):
    pages = Pages(stage, {"trusted_proxies": ["127.0.0.0/8"]})
    pages.ask(["CF-Connecting-IP: 6.6.6.6", "Accept: */*", "cf-visitor: {}", "CF-RAY: 1", "Cf-Ipcountry: XX", "X-Cf: kept"])
    request = stage.origin.requests[0]
    expect(fields_of(request, "X-Request-Id", "traceparent"),
           [f"Host: {STABLE}:{stage.origin.port}", "Accept: */*", "X-Cf: kept", "Via: 1.1 serin", "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Proto: http", f"X-Forwarded-Host: {SITE}"], "what the origin gets")


@case(starts_proxy=False)
def nothing_of_the_origins_name_comes_through(stage):
    pages = Pages(stage)
    pages.answers(["Date: Mon, 23 Nov 2026 12:00:00 GMT", f"Location: https://{STABLE}/next?a=b#c", "X-Robots-Tag: noindex",
                   f"Content-Location: //{STABLE}/here", 'alt-svc: h3=":443"; ma=86400', "Set-Cookie: a=b; Domain=.pages.dev; Secure",
                   f"Set-Cookie: c=d; Path=/; domain={STABLE}", "Set-Cookie: e=f", "Server: cloudflare", "ETag: \"x\""], b"hello")
    answer = pages.ask()
    expect(fields_of(answer),
           ["Date: Mon, 23 Nov 2026 12:00:00 GMT", f"Location: http://{SITE}/next?a=b#c", f"Content-Location: http://{SITE}/here",
            f"Set-Cookie: a=b; Domain={SITE}; Secure", f"Set-Cookie: c=d; Path=/; Domain={SITE}", "Set-Cookie: e=f",
            "Server: cloudflare", 'ETag: "x"', "Via: 1.1 serin", "Content-Length: 5"], "what the client gets")
    expect(answer.body, b"hello", "body")


@case(starts_proxy=False)
def nothing_of_it_comes_through_a_304_either(stage):
    pages = Pages(stage, cache={"mode": "full"}, weight="0%")
    own = ["X-Robots-Tag: noindex", f"Content-Location: https://{STABLE}/here", 'Alt-Svc: h3=":443"', 'ETag: "1"']
    pages.answers([*own, "Cache-Control: max-age=60", "Age: 100"], b"hello")
    pages.ask()
    lines = ["HTTP/1.1 304 Not Modified", *own, "Cache-Control: max-age=600"]
    stage.origin.reply = "\r\n".join(lines).encode() + b"\r\n\r\n"
    for way in ("fwd=stale; fwd-status=304", "hit"):
        answer = pages.ask()
        expect((answer.status, answer.body, way in answer.get("Cache-Status")), (200, b"hello", True), answer.get("Cache-Status"))
        expect((answer.get("X-Robots-Tag"), answer.get("Alt-Svc"), answer.get("Content-Location")),
               (None, None, f"http://{SITE}/here"), way)


@case(starts_proxy=False)
def write_that_leads_to_a_page_by_the_origins_name_makes_it_new(stage):
    pages = Pages(stage, cache={"mode": "full"}, weight="0%")
    pages.answers(["Cache-Control: max-age=600"], b"hello")
    pages.ask(target="/page")
    expect("hit" in pages.ask(target="/page").get("Cache-Status"), True, "it is kept")
    stage.origin.reply = f"HTTP/1.1 303 See Other\r\nLocation: https://{STABLE}/page\r\nContent-Length: 0\r\n\r\n".encode()
    expect(stage.ask("POST", "/form", host=SITE).status, 303, "the write")
    pages.answers(["Cache-Control: max-age=600"], b"news")
    expect(pages.ask(target="/page").body, b"news", "the page")


@case(starts_proxy=False)
def what_the_application_says_stays(stage):
    pages = Pages(stage)
    lines = ["Date: Mon, 23 Nov 2026 12:00:00 GMT", "X-Robots-Tag: noindex, nofollow", "X-Robots-Tag: otherbot: noindex",
             "Set-Cookie: a=b; Domain=elsewhere.test", f"Link: <https://{STABLE}/>; rel=canonical"]
    for location in ("https://elsewhere.test/", "/next", f"https://{CANARY}/"):
        pages.answers([*lines, f"Location: {location}"])
        expect(fields_of(pages.ask(), "Via", "Content-Length"), [*lines, f"Location: {location}"], "fields")


@case(starts_proxy=False)
def the_site_is_what_a_trusted_proxy_says_it_is(stage):
    pages = Pages(stage, {"trusted_proxies": ["127.0.0.0/8"]})
    pages.answers([f"Location: https://{STABLE}/x", "Set-Cookie: a=b; Domain=pages.dev"])
    answer = pages.ask(["X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example.com:8443"])
    expect((answer.get("Location"), answer.get("Set-Cookie")),
           ("https://shop.example.com:8443/x", "a=b; Domain=shop.example.com"), "as the proxy in front says")
    answer = pages.ask(["X-Forwarded-Proto: gopher", "X-Forwarded-Host: a, b"])
    expect(answer.get("Location"), f"http://{SITE}/x", "nonsense is not repeated")


@case(starts_proxy=False)
def a_stranger_does_not_say_what_the_site_is(stage):
    pages = Pages(stage)
    pages.answers([f"Location: https://{STABLE}/x"])
    answer = pages.ask(["X-Forwarded-Proto: https", "X-Forwarded-Host: evil.test"])
    expect(answer.get("Location"), f"http://{SITE}/x", "Location")


@case(starts_proxy=False)
def a_client_that_names_no_host_gets_the_redirect_as_it_is(stage):
    pages = Pages(stage, hosts=["*"])
    pages.answers([f"Location: https://{STABLE}/x", "Set-Cookie: a=b; Domain=pages.dev", "X-Robots-Tag: noindex", "Connection: close"])
    link = stage.connect()
    link.send(b"GET / HTTP/1.0\r\n\r\n")
    answer = link.read_response()
    expect((answer.get("Location"), answer.get("Set-Cookie"), answer.has("X-Robots-Tag")), (f"https://{STABLE}/x", "a=b", False), "fields")


@case(starts_proxy=False)
def a_rescued_answer_is_of_the_origin_that_gave_it(stage):
    pages = Pages(stage, weight="100%", rescue={"assets": "off"})
    stage.origin.reply = f"HTTP/1.1 302 Found\r\nLocation: https://{STABLE}/x\r\nContent-Length: 0\r\n\r\n".encode()
    stage.canary.reply = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    expect(pages.ask().get("Location"), f"http://{SITE}/x", "Location")
    stage.canary.reply = f"HTTP/1.1 302 Found\r\nLocation: https://{CANARY}/x\r\nContent-Length: 0\r\n\r\n".encode()
    expect(pages.ask().get("Location"), f"http://{SITE}/x", "Location")
    expect((pages.stable.names, pages.canary.names), ([STABLE], [CANARY]), "a connection for each")


@case(starts_proxy=False)
def all_of_it_can_be_switched_off(stage):
    pages = Pages(stage, hide_origin="off")
    pages.answers([f"Location: https://{STABLE}/x", "X-Robots-Tag: noindex", "Set-Cookie: a=b; Domain=pages.dev"])
    answer = pages.ask(["CF-Ray: 1"])
    expect((answer.get("Location"), answer.get("X-Robots-Tag"), answer.get("Set-Cookie")),
           (f"https://{STABLE}/x", "noindex", "a=b; Domain=pages.dev"), "fields")
    expect(stage.origin.requests[0].get("CF-Ray"), "1", "what the origin gets")


@case(service={"hide_origin": "on"})
def it_can_be_asked_for_elsewhere(stage):
    stage.origin.reply = (f"HTTP/1.1 302 Found\r\nLocation: {stage.origin.url}/x\r\nX-Robots-Tag: noindex\r\n"
                          "Content-Length: 0\r\n\r\n").encode()
    answer = stage.ask(fields=["CF-Ray: 1"])
    expect((answer.get("Location"), answer.has("X-Robots-Tag")), (f"http://{stage.host}/x", False), "fields")
    expect(stage.origin.requests[0].has("CF-Ray"), False, "what the origin gets")


@case()
def other_origins_say_what_they_say(stage):
    stage.origin.reply = (f"HTTP/1.1 302 Found\r\nLocation: {stage.origin.url}/x\r\nX-Robots-Tag: noindex\r\n"
                          "Content-Length: 0\r\n\r\n").encode()
    answer = stage.ask(fields=["CF-Ray: 1"])
    expect((answer.get("Location"), answer.get("X-Robots-Tag")), (f"{stage.origin.url}/x", "noindex"), "fields")
    expect(stage.origin.requests[0].get("CF-Ray"), "1", "what the origin gets")


if __name__ == "__main__":
    run(__file__)
