"""HTTPS at the admin address: every way in works over it, nothing goes unverified, and a reload exchanges certificates
under open connections."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from certificates import Authority  # noqa: E402
from play import SLOW, Link, bare_environment, case, expect, run, wait_for  # noqa: E402

TEN = {"weight": "10%", "rollback": {"on_breach": "alert", "every": "100ms"}}
DONE, FAILED, USAGE, REFUSED, DENIED, TIMED_OUT = range(6)
NAMES = "IP:127.0.0.1,DNS:localhost"


class Desk:
    """A Serin whose admin address speaks TLS, and whoever sits before it."""

    def __init__(self, stage, context=None, **admin):
        self.stage = stage
        self.authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
        self.site = self.authority.make("admin", admin.pop("names", NAMES))
        self.operator = self.authority.make("operator", "DNS:operator.test")
        self.pair = self.authority.path("operator-pair.pem")
        with open(self.pair, "w", encoding="utf-8") as pair:
            for part in self.operator["certificate"], self.operator["key"]:
                with open(part, encoding="utf-8") as file:
                    pair.write(file.read())
        wishes = {"certificate": self.operator} if "client_ca" in admin else {}
        if "client_ca" in admin:
            admin["client_ca"] = self.authority.path("ca.pem")
        self.context = context or self.authority.context(**wishes)
        self.serin = stage.start_serin({"admin": {"tls": [self.site], **admin}, "services": [stage.service(**TEN)]},
                                       admin_context=self.context)
        self.url = f"https://127.0.0.1:{self.serin.admin_port}"

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.serin.admin_port), 10 * SLOW)

    def connect(self):
        sealed = self.context.wrap_socket(self.raw(), server_hostname="127.0.0.1")
        return Link(sealed, "operator", self.stage.transcript)

    def ask(self, link, path="/healthz"):
        link.send(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.serin.admin_port}\r\n\r\n".encode())
        return link.read_response()

    def verb(self, *words, ca="ca.pem", admin=None, **environment):
        """Runs a client verb; gives exit code, standard output and standard error."""
        trust = {"SERIN_ADMIN_CA": self.authority.path(ca)} if ca else {}
        done = subprocess.run([self.stage.binary, *words], capture_output=True, text=True, check=False, timeout=60 * SLOW,
                              env={**bare_environment(), "SERIN_ADMIN": admin or self.url, **trust, **environment})
        self.stage.transcript.note("test", f"serin {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.returncode, done.stdout, done.stderr

    def reload(self, says="reload: done"):
        before = self.serin.log().count(says)
        self.serin.signal(signal.SIGHUP)
        wait_for(lambda: self.serin.log().count(says) > before, says)


def serial(link):
    return link.sock.getpeercert()["serialNumber"]


@case(starts_proxy=False)
def api_and_metrics_answer_over_tls(stage):
    desk = Desk(stage)
    link = desk.connect()
    expect((link.sock.version(), link.sock.selected_alpn_protocol()), ("TLSv1.3", "http/1.1"), "spoken")
    for path in ("/healthz", "/readyz", "/api/v1/status", "/metrics", "/"):
        expect(desk.ask(link, path).status, 200, f"status of {path} on one connection")
    answer = stage.serin.set_weight(stage.name, 20)
    expect((answer.status, answer.json["weight"]["set"]), (200, 20), "a change")
    expect(desk.serin.metrics().sum("serin_tls_handshakes_total"), 0, "clients' handshakes: operators' are not among them")


@case(starts_proxy=False)
def curl_and_openssl_get_through(stage):
    desk = Desk(stage)
    curl = ["curl", "-sS", "--max-time", str(int(30 * SLOW)), "--cacert", desk.authority.path("ca.pem")]
    done = subprocess.run([*curl, f"{desk.url}/healthz"], capture_output=True, text=True, check=False, timeout=60 * SLOW)
    expect((done.returncode, done.stdout), (0, "ok\n"), f"curl: {done.stderr}")
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{desk.serin.admin_port}", "-CAfile",
                           desk.authority.path("ca.pem"), "-verify_return_error", "-quiet"],
                          input=f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{desk.serin.admin_port}\r\nConnection: close\r\n\r\n",
                          capture_output=True, text=True, check=False, timeout=60 * SLOW)
    expect("HTTP/1.1 200 OK" in done.stdout, True, f"openssl: {done.stdout}{done.stderr}")
    done = subprocess.run([*curl, "--tls-max", "1.1", f"{desk.url}/healthz"], capture_output=True, text=True, check=False,
                          timeout=60 * SLOW)
    expect(done.returncode != 0, True, "older than TLS 1.2")


@case(starts_proxy=False)
def client_verbs_work_over_tls(stage):
    desk = Desk(stage)
    named = ("--service", stage.name)
    code, out, err = desk.verb("status")
    expect((code, stage.name in out), (DONE, True), f"status: {err}")
    code, out, err = desk.verb("status", "--admin-ca", desk.authority.path("ca.pem"), ca=None)
    expect((code, stage.name in out), (DONE, True), f"status with --admin-ca: {err}")
    code, out, err = desk.verb("top", "--once")
    expect((code, stage.name in out), (DONE, True), f"top: {err}")
    code, out, err = desk.verb("weight", "25%", *named)
    expect((code, stage.serin.service(stage.name)["weight"]["set"]), (DONE, 25), f"weight: {err}")
    expect(desk.verb("rollback", "--reason", "over TLS", "--instant", *named)[0], DONE, "rollback")
    expect(desk.verb("wait", *named)[0], FAILED, "wait says: rolled back")
    wait_for(lambda: "over TLS" in desk.verb("history", *named)[1], "the record is shown")
    expect(desk.verb("explain", f"http://{stage.host}/")[0], DONE, "explain")


@case(starts_proxy=False)
def events_stream_over_tls(stage):
    desk = Desk(stage)
    verb = subprocess.Popen([stage.binary, "events", "--json", "--counters"], stdout=subprocess.PIPE, text=True,
                            env={**bare_environment(), "SERIN_ADMIN": desk.url, "SERIN_ADMIN_CA": desk.authority.path("ca.pem")})
    try:
        verb.stdout.readline()  # counters: it listens
        stage.serin.set_weight(stage.name, 15)
        events = iter(verb.stdout.readline, "")
        expect(next(line for line in events if '"weight"' in line and '"counters"' not in line) != "", True, "the change is told")
    finally:
        verb.kill()
        verb.wait()
        verb.stdout.close()


@case(starts_proxy=False)
def what_cannot_be_verified_is_not_spoken_to(stage):
    """Another authority, or none that knows the certificate."""
    desk = Desk(stage)
    other = Authority(os.path.join(stage.folder, stage.name, "others"))
    for words, environment in ((("--admin-ca", other.path("ca.pem")), {}), ((), {}),
                               ((), {"SERIN_ADMIN_CA": other.path("ca.pem")})):
        code, out, err = desk.verb("status", *words, ca=None, **environment)
        expect((code, out), (FAILED, ""), f"{words} {environment}: {err}")
    code, _, err = desk.verb("status", "--admin-ca", desk.authority.path("nowhere.pem"))
    expect((code, "nowhere.pem" in err), (FAILED, True), f"an authority that is not there: {err}")
    code, _, err = desk.verb("status", "--admin-ca", desk.authority.path("ca.pem"), admin=f"http://127.0.0.1:{desk.serin.admin_port}")
    expect((code, "https://" in err), (USAGE, True), f"an authority for http://: {err}")
    expect(desk.verb("status")[0], DONE, "and with the right one")


@case(starts_proxy=False)
def the_name_must_be_the_certificates(stage):
    desk = Desk(stage, names="DNS:serin.test", context=_blind())
    code, out, err = desk.verb("status")
    expect((code, out, "certificate" in err or "SSL" in err), (FAILED, "", True), f"status: {err}")


def _blind():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@case(starts_proxy=False)
def plain_http_is_told_what_is_spoken_here(stage):
    desk = Desk(stage)
    code, _, err = desk.verb("status", ca=None, admin=f"http://127.0.0.1:{desk.serin.admin_port}")
    expect((code, "https://" in err), (FAILED, True), f"the verb says: {err}")
    link = Link(desk.raw(), "plain", stage.transcript)
    link.send(b"GET /api/v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    answer = link.read_response()
    expect((answer.status, json.loads(answer.body)["status"]), (400, 400), "a problem, and nothing of the status")
    link.expect_closed()


@case(starts_proxy=False)
def who_does_not_shake_hands_is_put_out(stage):
    """Silent ones, slow ones and those who talk nonsense, while others are served."""
    desk = Desk(stage)
    silent, slow, nonsense = desk.raw(), desk.raw(), desk.raw()
    slow.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    nonsense.sendall(b"\x00" * 64)
    nonsense.settimeout(60 * SLOW)
    while nonsense.recv(4096):
        pass
    expect(desk.ask(desk.connect()).status, 200, "meanwhile")
    for sock in silent, slow:
        sock.settimeout(60 * SLOW)
        expect(sock.recv(1), b"", "put out")
    crowd = [desk.raw() for _ in range(80)]  # more than may wait
    gone = []
    for sock in crowd:
        sock.settimeout(60 * SLOW)
        gone.append(sock.recv(1))
    expect(gone, [b""] * len(crowd), "all are put out")
    wait_for(lambda: desk.serin.admin("GET", "/healthz").status == 200, "and there is room again")


@case(starts_proxy=False)
def reload_exchanges_the_certificate_under_open_connections(stage):
    desk = Desk(stage)
    link, stream = desk.connect(), desk.connect()
    old = serial(link)
    expect(desk.ask(link).status, 200, "before")
    stream.send(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{desk.serin.admin_port}\r\n\r\n".encode())
    stream.read_until(b"event:")
    desk.authority.make("admin", NAMES)
    desk.reload()
    stream.read_until(b"event: config")
    expect(serial(desk.connect()) != old, True, "newcomers get the new one")
    expect((desk.ask(link).status, serial(link)), (200, old), "the old connection goes on")
    stage.serin.set_weight(stage.name, 17)
    stream.read_until(b"event: weight")


@case(starts_proxy=False)
def reload_with_a_broken_certificate_changes_nothing(stage):
    desk = Desk(stage)
    old = serial(desk.connect())
    with open(desk.authority.path("admin.pem"), "w", encoding="utf-8") as file:
        file.write("nothing\n")
    desk.reload(says="the configuration before stays in force")
    expect(serial(desk.connect()), old, "the certificate")
    done = subprocess.run([stage.binary, "check", "-c", desk.serin.config_path], capture_output=True, text=True, check=False,
                          timeout=60 * SLOW)
    expect((done.returncode, "admin.pem" in done.stderr and "admin 127.0.0.1" in done.stderr), (1, True), f"check: {done.stderr}")


@case(starts_proxy=False)
def reload_switches_tls_off_and_on(stage):
    desk = Desk(stage)
    link = desk.connect()
    expect(desk.ask(link).status, 200, "over TLS")
    desk.serin.change({"admin": {"tls": None}})
    desk.reload()
    desk.serin.admin_context = None
    wait_for(lambda: desk.serin.admin("GET", "/healthz").status == 200, "plain HTTP")
    expect(desk.ask(link).status, 200, "what was open goes on over TLS")
    desk.serin.change({"admin": {"tls": [desk.site]}})
    desk.reload()
    desk.serin.admin_context = desk.context
    expect(desk.serin.admin("GET", "/healthz").status, 200, "TLS again")


@case(starts_proxy=False)
def operators_show_certificates_where_they_must(stage):
    desk = Desk(stage, client_ca=True, client_certificates="required")
    expect(desk.verb("status", "--admin-cert", desk.pair)[0], DONE, "with one, as an option")
    expect(desk.verb("status", SERIN_ADMIN_CERT=desk.pair)[0], DONE, "with one, in the environment")
    code, out, err = desk.verb("status")
    expect((code, out), (FAILED, ""), f"without one: {err}")
    other = Authority(os.path.join(stage.folder, stage.name, "others"))
    stranger = other.make("stranger", "DNS:stranger.test")
    with open(other.path("pair.pem"), "w", encoding="utf-8") as pair:
        for part in stranger["certificate"], stranger["key"]:
            with open(part, encoding="utf-8") as file:
                pair.write(file.read())
    code, out, err = desk.verb("status", "--admin-cert", other.path("pair.pem"))
    expect((code, out), (FAILED, ""), f"with another authority's: {err}")


@case(starts_proxy=False)
def tokens_are_asked_for_over_tls_too(stage):
    token = os.path.join(stage.folder, stage.name, "token")
    os.makedirs(os.path.dirname(token), exist_ok=True)
    with open(token, "w", encoding="utf-8") as file:
        file.write("a-token-of-the-play\n")
    desk = Desk(stage, tokens=[{"name": "ops", "role": "operator", "file": token}])
    expect(desk.serin.admin("GET", "/api/v1/status").status, 401, "without one")
    expect(desk.verb("status")[0], DENIED, "the verb without one")
    expect(desk.verb("status", SERIN_TOKEN="a-token-of-the-play")[0], DONE, "with one")


if __name__ == "__main__":
    run(__file__, parallel=2)
