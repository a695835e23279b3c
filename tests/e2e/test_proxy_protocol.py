"""The PROXY protocol on both sides: who is believed to be the client, and what origins are told."""

import os
import socket
import ssl
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from certificates import Authority  # noqa: E402
from play import SLOW, Closed, Link, case, expect, free_port, run, wait_for  # noqa: E402
from wire import parse_request_head  # noqa: E402

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n"
TRUSTED = ["127.0.0.1/32"]
EVERY = f"{int(500 * SLOW)}ms"
HEALTH = {"path": "/up", "interval": EVERY, "timeout": EVERY, "healthy": 1, "unhealthy": 10}


def binary(command=0x21, family=0x11, rest=b""):
    return SIGNATURE + struct.pack("!BBH", command, family, len(rest)) + rest


def tcp4(client="203.0.113.7", server="198.51.100.1", ports=(56324, 443), options=b""):
    return binary(rest=socket.inet_aton(client) + socket.inet_aton(server) + struct.pack("!HH", *ports) + options)


class Edge:
    """A proxy of the case's own with one address that takes PROXY headers."""

    def __init__(self, stage, tls=False, **settings):
        self.stage = stage
        self.port = free_port()
        listen = {"address": f"127.0.0.1:{self.port}", "proxy_protocol": True}
        if tls:
            self.authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
            listen["tls"] = [self.authority.make("site", f"DNS:{stage.host}")]
        service = {key: value for key, value in stage.service(**settings.pop("service", {})).items() if value is not None}
        self.serin = stage.start_serin({"listen": [listen, {"address": f"127.0.0.1:{free_port()}"}], "services": [service],
                                        "trusted_proxies": TRUSTED, **settings})

    def connect(self, source="127.0.0.1"):
        sock = socket.create_connection(("127.0.0.1", self.port), 10 * SLOW, (source, 0))
        return Link(sock, "client", self.stage.transcript)

    def ask(self, header, **more):
        link = self.connect()
        link.send(header + self.stage.request(**more))
        response = link.read_response()
        link.close()
        return response

    def refused(self):
        return self.serin.metrics().by("serin_rejected_connections_total", "reason")


def clients_of(stage):
    return [request.get("X-Forwarded-For") for request in stage.origin.requests]


# --- from balancers ---------------------------------------------------------------------------------------------------
@case(starts_proxy=False)
def the_client_is_the_one_the_header_names(stage):
    edge = Edge(stage)
    for header in (V1, tcp4(), b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n", tcp4(options=b"\x02\0\x04site\x04\0\0")):
        expect(edge.ask(header).status, 200, "status")
    expect(clients_of(stage), ["203.0.113.7", "203.0.113.7", "2001:db8::7", "203.0.113.7"], "X-Forwarded-For")
    wait_for(lambda: len(edge.serin.access_log()) == 4, "four lines in the access log")
    expect(sorted({line["client"] for line in edge.serin.access_log()}), ["2001:db8::7", "203.0.113.7"], "in the log")
    expect(edge.refused(), {}, "refused")


@case(starts_proxy=False)
def a_header_in_pieces_is_a_header(stage):
    edge = Edge(stage)
    for header in (V1, tcp4(options=b"\x04\0\x40" + b"x" * 64)):
        link = edge.connect()
        link.send_in_cuts(header + stage.request())
        expect(link.read_response().status, 200, "status")
        link.send(stage.request(target="/again"))
        expect(link.read_response().status, 200, "on the same connection")
    expect(clients_of(stage), ["203.0.113.7"] * 4, "X-Forwarded-For")


@case(starts_proxy=False)
def it_stands_before_tls(stage):
    edge = Edge(stage, tls=True)
    context = edge.authority.context()
    for header in (V1, tcp4()):
        raw = edge.connect()
        raw.send_in_cuts(header, 7)
        link = Link(context.wrap_socket(raw.sock, server_hostname=stage.host), "client", stage.transcript)
        link.send(stage.request())
        expect(link.read_response().status, 200, "status")
        link.close()
    expect(clients_of(stage), ["203.0.113.7"] * 2, "X-Forwarded-For")
    expect([request.get("X-Forwarded-Proto") for request in stage.origin.requests], ["https"] * 2, "X-Forwarded-Proto")


@case(starts_proxy=False)
def header_and_client_hello_may_come_in_one_breath(stage):
    edge = Edge(stage, tls=True)
    link = edge.connect()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    sealed = edge.authority.context().wrap_bio(incoming, outgoing, server_hostname=stage.host)
    first = V1
    while True:
        try:
            sealed.do_handshake()
            break
        except ssl.SSLWantReadError:
            link.send(first + outgoing.read())
            first = b""
            incoming.write(link.read_some())
    sealed.write(stage.request())
    link.send(first + outgoing.read())
    got = b""
    while b"\r\n\r\n" not in got:
        incoming.write(link.read_some())
        try:
            got += sealed.read(65536)
        except ssl.SSLWantReadError:
            pass
    expect(got.startswith(b"HTTP/1.1 200 "), True, "answered")
    expect(clients_of(stage), ["203.0.113.7"], "X-Forwarded-For")


@case(starts_proxy=False)
def a_header_that_names_nobody_leaves_the_balancer_as_the_client(stage):
    edge = Edge(stage)
    for header in (b"PROXY UNKNOWN\r\n", binary(0x20, 0), binary(0x20, 0x11, b"\xff" * 9), binary(0x21, 0),
                   binary(0x21, 0x31, b"/" * 216)):
        expect(edge.ask(header).status, 200, "status")
    expect(clients_of(stage), ["127.0.0.1"] * 5, "X-Forwarded-For")


BAD = {
    "none": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "malformed": b"PROXY TCP4 203.0.113.7 198.51.100.1 56324\r\n",
    "wrong address": b"PROXY TCP4 203.0.113.777 198.51.100.1 1 2\r\n",
    "endless line": b"PROXY UNKNOWN " + b"x" * 200,
    "cut signature": SIGNATURE[:9] + b"NOPE",
    "cut addresses": binary(0x21, 0x11, b"\x01\x02\x03"),
    "options too long": tcp4(options=b"\x04\xff\xff"),
    "over the limit": SIGNATURE + b"\x21\x11\xff\xff",
    "bad checksum": tcp4(options=b"\x03\0\x04\0\0\0\0"),
    "no such command": binary(0x2f, 0x11, b"\0" * 12),
}


@case(starts_proxy=False)
def what_is_no_header_is_never_served(stage):
    edge = Edge(stage)
    for count, (what, header) in enumerate(BAD.items(), 1):
        link = edge.connect()
        link.send(header)
        link.expect_closed()
        link.close()
        wait_for(lambda: edge.refused() == {"proxy_header": count}, f"{what} is counted")
    link = edge.connect()
    link.send(V1[:20])
    link.finish_sending()
    link.expect_closed()
    wait_for(lambda: edge.refused() == {"proxy_header": len(BAD) + 1}, "a header cut short is counted")
    expect(len(stage.origin.requests), 0, "requests")


@case(starts_proxy=False)
def who_only_knocks_is_not_counted(stage):
    edge = Edge(stage)
    for _ in range(3):
        edge.connect().close()
    expect(edge.ask(V1).status, 200, "and the next is served")
    wait_for(lambda: edge.serin.metrics().sum("serin_client_connections") == 0, "all are gone")
    expect(edge.refused(), {}, "refused")


@case(starts_proxy=False)
def a_slow_header_is_put_out(stage):
    edge = Edge(stage, timeouts={"client_header": f"{int(500 * SLOW)}ms"})
    silent, slow = edge.connect(), edge.connect()
    slow.send(V1[:-3])
    silent.expect_closed()
    slow.expect_closed()
    wait_for(lambda: edge.refused() == {"proxy_timeout": 2}, "counted")


@case(starts_proxy=False)
def others_than_trusted_peers_are_clients(stage):
    edge = Edge(stage)
    link = edge.connect("127.0.0.2")
    link.send(stage.request())
    expect(link.read_response().status, 200, "a client who came by itself")
    expect(clients_of(stage), ["127.0.0.2"], "X-Forwarded-For")
    for header in (V1, tcp4()):
        link = edge.connect("127.0.0.2")
        link.send(header + stage.request())
        expect(link.read_response().status, 400, "a header of its own invention")
    expect(len(stage.origin.requests), 1, "requests")


@case(starts_proxy=False)
def forwarding_fields_are_believed_of_the_client_that_is_named(stage):
    """The balancer is trusted, not what it carries: unless that is a trusted proxy itself."""
    edge = Edge(stage, trusted_proxies=[*TRUSTED, "203.0.113.0/24"])
    fields = ["X-Forwarded-For: 192.0.2.1"]
    edge.ask(V1, fields=fields)
    edge.ask(V1.replace(b"203.0.113.7", b"198.51.100.9"), fields=fields)
    expect(clients_of(stage), ["192.0.2.1, 203.0.113.7", "198.51.100.9"], "X-Forwarded-For")


@case(starts_proxy=False)
def a_drain_does_not_wait_for_headers_for_ever(stage):
    edge = Edge(stage, timeouts={"drain": "500ms", "client_header": "60s"})
    link = edge.connect()
    link.send(V1[:10])
    wait_for(lambda: edge.serin.metrics().sum("serin_client_connections") == 1, "it waits")
    edge.serin.stop()
    link.expect_closed()


# --- to origins -------------------------------------------------------------------------------------------------------
class Told:
    """An origin that wants a PROXY header on each connection, and keeps what it said."""

    def __init__(self, origin, context=None):
        self.origin, self.context, self.headers = origin, context, []
        origin.play = self.play

    @staticmethod
    def read_byte_by_byte(sock):
        """Not a byte more than the header: what follows is for TLS to read."""
        header = sock.recv(1)
        is_line = header == b"P"

        def is_whole():
            if is_line:
                return header.endswith(b"\r\n")
            return len(header) >= 16 and len(header) == 16 + struct.unpack("!H", header[14:16])[0]

        while not is_whole():
            piece = sock.recv(1)
            if not piece:
                raise Closed(f"a header cut short: {header!r}")
            header += piece
        return header

    def play(self, link):
        self.headers.append(self.read_byte_by_byte(link.sock))
        if self.context:
            link.sock = self.context.wrap_socket(link.sock, server_side=True)
        self.origin.polite(link)


def told(stage, version, role="previous"):
    origin = stage.origin if role == "previous" else stage.canary
    named = {"deployment": "stable" if role == "previous" else "canary", "endpoints": [origin.url], "proxy_protocol": version}
    return Told(origin), {role: named}


@case(starts_proxy=False)
def origins_are_told_by_a_line(stage):
    seen, service = told(stage, "v1")
    stage.start_serin({"services": [stage.service(**service)]})
    link = stage.connect()
    port = link.sock.getsockname()[1]
    for _ in range(2):
        link.send(stage.request())
        expect(link.read_response().status, 200, "status")
    line = f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {stage.serin.port}\r\n".encode()
    expect(seen.headers, [line, line], "one header for each request")
    wait_for(lambda: stage.serin.metrics().sum("serin_upstream_connections", service=stage.name) == 0, "connections are not kept")


@case(starts_proxy=False)
def origins_are_told_in_binary_and_what_a_balancer_said_is_passed_on(stage):
    seen, service = told(stage, "v2")
    edge = Edge(stage, service=service)
    expect(edge.ask(V1).status, 200, "status")
    expect(edge.ask(tcp4(ports=(1, 65535))).status, 200, "status")
    expect(edge.ask(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 2\r\n").status, 200, "status")
    v6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    expect(seen.headers, [tcp4(), tcp4(ports=(1, 65535)), binary(0x21, 0x21, v6 + b"\0\1\0\2")], "headers")


@case(starts_proxy=False)
def it_goes_ahead_of_tls_to_origins(stage):
    authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
    site = authority.make("origin", "DNS:localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site["certificate"], site["key"])
    for version, header in (("v1", V1), ("v2", tcp4())):
        seen = Told(stage.origin, context)
        named = {"deployment": "stable", "endpoints": [f"https://localhost:{stage.origin.port}"], "proxy_protocol": version}
        edge = Edge(stage, service={"previous": named, "origin_tls": {"ca": authority.path("ca.pem")}})
        expect(edge.ask(V1).status, 200, version)
        expect(seen.headers, [header], version)
        edge.serin.stop()


@case(starts_proxy=False)
def no_client_goes_by_the_header_of_another(stage):
    seen, service = told(stage, "v2")
    edge = Edge(stage, service=service)
    for last in range(1, 9):
        client = f"203.0.113.{last}"
        expect(edge.ask(tcp4(client)).status, 200, "status")
    heads = [parse_request_head(bytes(link.received)) for link in stage.origin.links]
    pairs = [(socket.inet_ntoa(header[16:20]), head.get("X-Forwarded-For")) for header, head in zip(seen.headers, heads)]
    expect(pairs, [(f"203.0.113.{last}",) * 2 for last in range(1, 9)], "header and request of each connection")


@case(starts_proxy=False)
def only_the_version_that_wants_it_gets_it(stage):
    seen, service = told(stage, "v1", "current")
    stage.start_serin({"services": [stage.service(weight="50%", **service)]})
    for _ in range(20):
        expect(stage.ask().status, 200, "status")
    expect(len(seen.headers) > 0, True, "the canary is told")
    expect(len(seen.headers), len(stage.canary.requests), "of each request")
    expect(len(stage.origin.requests) + len(stage.canary.requests), 20, "requests")


@case(starts_proxy=False)
def large_bodies_pass_behind_it(stage):
    seen, service = told(stage, "v2")
    stage.start_serin({"services": [stage.service(**service)]})
    body = os.urandom(1 << 20)
    expect(stage.ask("POST", body=body).status, 200, "status")
    expect(stage.origin.requests[0].body == body, True, "the body came through")
    expect(len(seen.headers), 1, "headers")


@case(starts_proxy=False)
def health_checks_speak_for_themselves(stage):
    stable, service = told(stage, "v1")
    canary, more = told(stage, "v2", "current")
    stage.start_serin({"services": [stage.service(health=HEALTH, **service, **more)]})
    wait_for(lambda: stable.headers and canary.headers, "both are asked")
    expect(stable.headers[0], b"PROXY UNKNOWN\r\n", "version 1")
    expect(canary.headers[0], binary(0x20, 0), "version 2")
    wait_for(lambda: any(request.target == "/up" for request in stage.origin.requests), "the check follows")


@case(starts_proxy=False)
def copies_for_a_canary_name_the_client_too(stage):
    canary, service = told(stage, "v2", "current")
    edge = Edge(stage, service={"weight": None, "mirror": "100%", "rollout": {"min_time": "1h"}, "health": HEALTH, **service})

    def is_copied():
        edge.ask(V1)
        return any(request.has("Serin-Mirror") for request in stage.canary.requests)

    wait_for(is_copied, "a copy")
    expect(tcp4() in canary.headers, True, "the client is named")


if __name__ == "__main__":
    run(__file__)
