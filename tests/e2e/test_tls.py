"""HTTPS in front: who is spoken to, with which certificate, and what becomes of those who do not speak TLS."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from certificates import Authority  # noqa: E402
from play import SLOW, Link, WireError, answer, case, expect, free_port, run, wait_for  # noqa: E402


class Edge:
    """A proxy that speaks TLS on one port and plain HTTP on another."""

    def __init__(self, stage, listen=None, **settings):
        self.stage = stage
        self.authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
        self.site = self.authority.make("site", f"DNS:{stage.host},DNS:*.{stage.host}")
        self.port = free_port()
        self.listen = {"address": f"127.0.0.1:{self.port}", "tls": [self.site], **(listen or {})}
        self.plain = {"address": f"127.0.0.1:{free_port()}"}
        service = stage.service(**settings.pop("service", {}))
        service["hosts"] = [stage.host, f"*.{stage.host}"]
        self.serin = stage.start_serin({"listen": [self.listen, self.plain], "services": [service], **settings})

    def connect(self, name=None, context=None, session=None):
        raw = socket.create_connection(("127.0.0.1", self.port), 10 * SLOW)
        context = context or self.authority.context()
        sealed = context.wrap_socket(raw, server_hostname=name or self.stage.host, session=session)
        return Link(sealed, "client", self.stage.transcript)

    def ask(self, link, **more):
        link.send(self.stage.request(**more))
        return link.read_response()

    def handshakes(self):
        return self.serin.metrics().by("serin_tls_handshakes_total", "result")

    def reload(self):
        before = len(re.findall("the configuration was loaded again|reload:", self.serin.log()))
        self.serin.signal(signal.SIGHUP)
        wait_for(lambda: len(re.findall("the configuration was loaded again|reload:", self.serin.log())) > before, "a reload")


def names_of(link):
    return {value for _, value in link.sock.getpeercert()["subjectAltName"]}


@case(starts_proxy=False)
def requests_come_through_and_origins_learn_of_tls(stage):
    edge = Edge(stage)
    link = edge.connect()
    expect(link.sock.version(), "TLSv1.3", "version")
    expect(link.sock.selected_alpn_protocol(), "http/1.1", "protocol")
    for number in range(3):
        expect(edge.ask(link, target=f"/{number}").status, 200, "status")
    expect([request.get("X-Forwarded-Proto") for request in stage.origin.requests], ["https"] * 3, "X-Forwarded-Proto")
    expect(edge.handshakes(), {"full": 1}, "handshakes")


@case(starts_proxy=False)
def large_bodies_pass_both_ways(stage):
    body = os.urandom(3 << 20)
    stage.origin.reply = lambda request: answer(body=request.body)
    edge = Edge(stage)
    link = edge.connect()
    expect(edge.ask(link, method="POST", body=body).body == body, True, "the body came back")
    link = edge.connect(context=edge.authority.context(most=ssl.TLSVersion.TLSv1_2))
    expect(link.sock.version(), "TLSv1.2", "version")
    expect(edge.ask(link, method="POST", body=body).body == body, True, "the body came back")


@case(starts_proxy=False)
def a_client_that_reads_slowly_holds_back_the_origin(stage):
    """Sixteen megabytes for a client that reads none: what is in memory stays far below."""
    stage.origin.reply = answer(body=b"x" * (16 << 20))
    edge = Edge(stage)
    link = edge.connect()
    before = edge.serin.rss_kib()
    link.send(stage.request())
    stage.origin.wait_requests(1)
    for _ in range(20):
        edge.serin.metrics()
    grown = edge.serin.rss_kib() - before
    expect(grown < 12 << 10, True, f"{grown} KiB more is little")
    expect(len(link.read_response().body), 16 << 20, "bytes")


@case(starts_proxy=False)
def the_certificate_follows_the_name(stage):
    edge = Edge(stage)
    other = edge.authority.make("other", "DNS:other.test", kind="rsa")
    edge.serin.change({"listen": [{**edge.listen, "tls": [edge.site, other]}, edge.plain]})
    edge.reload()
    expect("other.test" in names_of(edge.connect("other.test")), True, "its own certificate")
    expect(stage.host in names_of(edge.connect(f"deep.{stage.host}")), True, "the wildcard's")
    context = edge.authority.context()
    context.check_hostname = False
    expect(stage.host in names_of(edge.connect("unknown.test", context)), True, "an unknown name gets the first")


@case(starts_proxy=False)
def a_client_gets_the_kind_of_certificate_it_can_check(stage):
    edge = Edge(stage)
    rsa = edge.authority.make("rsa", f"DNS:{stage.host}", kind="rsa")
    edge.serin.change({"listen": [{**edge.listen, "tls": [edge.site, rsa]}, edge.plain]})
    edge.reload()
    for ciphers, key in (("ECDHE-ECDSA-AES128-GCM-SHA256", "id-ecPublicKey"), ("ECDHE-RSA-AES128-GCM-SHA256", "rsaEncryption")):
        context = edge.authority.context(most=ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(ciphers)
        der = edge.connect(context=context).sock.getpeercert(True)
        text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-text"], input=der, capture_output=True,
                              timeout=20 * SLOW, check=True).stdout.decode()
        expect(key in text, True, f"{ciphers} has {key}")


@case(starts_proxy=False)
def new_certificates_are_taken_over_without_a_dropped_connection(stage):
    edge = Edge(stage)
    link = edge.connect()
    expect(edge.ask(link).status, 200, "before")
    old = link.sock.getpeercert()["serialNumber"]
    edge.authority.make("site", f"DNS:{stage.host}")
    edge.reload()
    expect(edge.ask(link).status, 200, "on the old connection")
    expect(edge.connect().sock.getpeercert()["serialNumber"] != old, True, "a new connection has the new certificate")


@case(starts_proxy=False)
def bad_files_on_reload_leave_the_old_certificate(stage):
    edge = Edge(stage)
    link = edge.connect()
    with open(edge.site["certificate"], "w", encoding="utf-8") as out:
        out.write("nonsense\n")
    edge.reload()
    expect(edge.site["certificate"] in edge.serin.log(), True, "the log names the file")
    expect(edge.ask(link).status, 200, "the old connection")
    expect(edge.ask(edge.connect()).status, 200, "a new connection")
    answered = edge.serin.admin("POST", "/api/v1/config:check")
    expect((answered.status, edge.site["certificate"] in answered.body.decode()), (422, True), "config:check names the file")


@case(starts_proxy=False)
def check_reads_certificates_as_run_would(stage):
    edge = Edge(stage)
    good = subprocess.run([stage.binary, "check", "-c", edge.serin.config_path], capture_output=True, text=True, timeout=30 * SLOW,
                          check=False)
    expect(good.returncode, 0, f"exit code: {good.stderr}")
    os.unlink(edge.site["key"])
    bad = subprocess.run([stage.binary, "check", "-c", edge.serin.config_path], capture_output=True, text=True, timeout=30 * SLOW,
                         check=False)
    expect((bad.returncode, edge.site["key"] in bad.stderr), (1, True), bad.stderr)


@case(starts_proxy=False)
def sessions_are_resumed_at_any_worker_and_after_a_reload(stage):
    edge = Edge(stage)
    context = edge.authority.context()
    link = edge.connect(context=context)
    expect(edge.ask(link).status, 200, "status")
    for number in range(6):
        if number == 3:
            edge.reload()
        link = edge.connect(context=context, session=link.sock.session)
        expect(link.sock.session_reused, True, f"connection {number} resumes")
        expect(edge.ask(link).status, 200, "status")
    expect(edge.handshakes(), {"full": 1, "resumed": 6}, "handshakes")


@case(starts_proxy=False)
def the_sticky_cookie_is_secure(stage):
    edge = Edge(stage, service={"weight": "50%", "sticky": {"by": "cookie"}})
    cookie = edge.ask(edge.connect()).get("Set-Cookie")
    expect("; Secure" in cookie, True, cookie)


@case(starts_proxy=False)
def those_who_speak_no_tls_are_told_apart(stage):
    edge = Edge(stage)
    cases = [("plain_http", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), ("malformed", b"\x00" * 64),
             ("malformed", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")]
    for result, sent in cases:
        before = edge.handshakes().get(result, 0)
        link = stage.connect(port=edge.port)
        link.send(sent)
        expect(len(link.read_to_end()) <= 7, True, "an alert at most, then the end")
        wait_for(lambda b=before, r=result: edge.handshakes().get(r, 0) == b + 1, f"{result} is counted")
    link = stage.connect(port=edge.port)
    link.send(b"\x16\x03\x01")
    link.close()
    wait_for(lambda: edge.handshakes().get("gone", 0) == 1, "one that went is counted")
    wait_for(lambda: edge.serin.metrics().sum("serin_client_connections") == 0, "no connection is left")
    expect(len(stage.origin.requests), 0, "requests")


@case(starts_proxy=False)
def old_versions_and_weak_ciphers_are_refused(stage):
    edge = Edge(stage)
    for wish in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"]):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", *wish], input=b"",
                              capture_output=True, timeout=30 * SLOW, check=False)
        expect(done.returncode != 0, True, f"{wish} is refused")
    wait_for(lambda: edge.handshakes() == {"unsupported_version": 1, "no_shared_cipher": 1}, "both are counted")


@case(starts_proxy=False)
def the_cheapest_suite_both_have_is_chosen(stage):
    edge = Edge(stage)
    aes256, aes128, chacha = "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"
    for wish, chosen in (([aes256, chacha, aes128], aes128), ([chacha, aes256, aes128], chacha), ([aes256], aes256)):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-brief", "-ciphersuites", ":".join(wish)],
                              input=b"", capture_output=True, timeout=30 * SLOW, check=False)
        expect(re.findall(rb"Ciphersuite: (\S+)", done.stdout + done.stderr), [chosen.encode()], f"of {wish}")


@case(starts_proxy=False)
def renegotiation_is_refused(stage):
    edge = Edge(stage)
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-tls1_2"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output, _ = process.communicate(b"R\n", 30 * SLOW)
    expect(b"no renegotiation" in output, True, output[-300:].decode(errors="replace"))


@case(starts_proxy=False)
def a_client_without_a_common_protocol_is_refused(stage):
    edge = Edge(stage)
    try:
        edge.connect(context=edge.authority.context(protocols=["spdy/3"]))
        raise AssertionError("the handshake went well")
    except ssl.SSLError:
        pass
    wait_for(lambda: edge.handshakes() == {"no_protocol": 1}, "it is counted")


@case(starts_proxy=False)
def client_certificates_are_asked_for_where_wanted(stage):
    authority = Authority(os.path.join(stage.folder, stage.name, "clients"))
    edge = Edge(stage, {"client_ca": authority.path("ca.pem"), "client_certificates": "required"})
    mine = authority.make("me", "DNS:me.test")
    expect(edge.ask(edge.connect(context=edge.authority.context(certificate=mine))).status, 200, "with a certificate")
    stranger = edge.authority.make("stranger", "DNS:stranger.test")
    for certificate in ({}, {"certificate": stranger}):
        try:
            link = edge.connect(context=edge.authority.context(**certificate))
            edge.ask(link)  # TLS 1.3 tells of it with the first read
            raise AssertionError("was served")
        except (OSError, WireError):
            pass
    wait_for(lambda: edge.handshakes() == {"full": 1, "bad_certificate": 2}, "handshakes")


@case(starts_proxy=False)
def a_staple_is_handed_out(stage):
    authority = Authority(os.path.join(stage.folder, stage.name, "stapled"))
    site = authority.make("site", f"DNS:{stage.host}")
    with open(authority.path("index.txt"), "w", encoding="utf-8"):
        pass
    for words in (["-issuer", "ca.pem", "-cert", "site.pem", "-reqout", "request.der"],
                  ["-index", "index.txt", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem", "-reqin", "request.der",
                   "-respout", "site.ocsp", "-ndays", "1"]):
        subprocess.run(["openssl", "ocsp", *words], cwd=authority.folder, capture_output=True, timeout=30 * SLOW, check=True)
    edge = Edge(stage, {"tls": [{**site, "ocsp": authority.path("site.ocsp")}]})
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-status", "-servername", stage.host],
                          input=b"", capture_output=True, timeout=30 * SLOW, check=False)
    expect(b"OCSP Response Status: successful" in done.stdout, True, done.stdout[-400:].decode(errors="replace"))


@case(starts_proxy=False)
def a_handshake_that_takes_too_long_is_ended(stage):
    edge = Edge(stage, timeouts={"client_header": f"{int(300 * SLOW)}ms"})
    link = stage.connect(port=edge.port)
    link.send(b"\x16\x03\x01\x02")
    link.expect_closed()
    wait_for(lambda: edge.handshakes() == {"timeout": 1}, "it is counted")


@case(starts_proxy=False)
def a_drain_waits_for_nobody_who_does_not_shake_hands(stage):
    edge = Edge(stage, timeouts={"client_header": "60s", "drain": f"{int(1 * SLOW)}s"})
    stage.connect(port=edge.port).send(b"\x16\x03\x01\x02")
    wait_for(lambda: edge.serin.metrics().sum("serin_client_connections") == 1, "the connection is counted")
    edge.serin.stop()


@case(starts_proxy=False)
def curl_and_the_plain_port_agree(stage):
    stage.origin.reply = answer(body=b"hello")
    edge = Edge(stage)
    common = ["curl", "-sS", "--max-time", "20", "--noproxy", "*"]
    tls = subprocess.run([*common, "--cacert", edge.authority.path("ca.pem"), "--resolve", f"{stage.host}:{edge.port}:127.0.0.1",
                          f"https://{stage.host}:{edge.port}/"], capture_output=True, timeout=30 * SLOW, check=False)
    plain = subprocess.run([*common, "-H", f"Host: {stage.host}", f"http://{edge.plain['address']}/"], capture_output=True,
                           timeout=30 * SLOW, check=False)
    expect((tls.returncode, tls.stdout), (0, b"hello"), tls.stderr.decode())
    expect((plain.returncode, plain.stdout), (0, b"hello"), plain.stderr.decode())


@case(starts_proxy=False)
def many_connections_at_once_are_all_served(stage):
    edge = Edge(stage)
    failures = []

    def visit():
        try:
            for _ in range(5):
                link = edge.connect()
                expect([edge.ask(link).status for _ in range(4)], [200] * 4, "statuses")
                link.close()
        except Exception as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=visit) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(failures, [], "failures")
    expect(len(stage.origin.requests), 400, "requests")


if __name__ == "__main__":
    run(__file__)
