"""TLS to origins: who is believed, what a connection may be used for, and what becomes of what goes wrong."""

import os
import socket
import ssl
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from certificates import Authority  # noqa: E402
from play import SLOW, Closed, WireError, answer, case, expect, free_port, run, wait_for  # noqa: E402
from sealed import Sealed, server_context  # noqa: E402

PATIENTLY = {"timeouts": {"connect": "60s"}}
QUICKLY = {"timeouts": {"connect": f"{int(700 * SLOW)}ms"}}


class Back:
    """An authority, and both of the stage's origins behind certificates of it."""

    def __init__(self, stage, names="DNS:localhost", **more):
        self.stage = stage
        self.authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
        self.site = self.authority.make("origin", names, **more)
        self.stable = Sealed(stage.origin, self.context())
        self.canary = Sealed(stage.canary, self.context())

    def context(self):
        return server_context(self.site)

    def service(self, **changes):
        tls = changes.pop("origin_tls", {"ca": self.authority.path("ca.pem")})
        service = self.stage.service(origin_tls=tls, **changes)
        service["previous"] = {"deployment": "stable", "endpoints": [self.stable.url], **changes.get("previous", {})}
        service["current"] = {"deployment": "canary", "endpoints": [self.canary.url], **changes.get("current", {})}
        return service

    def start(self, settings=None, **changes):
        return self.stage.start_serin({"workers": 1, **(settings or PATIENTLY), "services": [self.service(**changes)]})


def fails_as_tls(stage, status=502):
    """One request, which fails before anything of it is seen, as the kind that TLS is."""
    expect(stage.ask(target="/secret").status, status, "status")
    expect(stage.failures(), {"tls": 1}, "failures")
    expect(stage.origin.requests, [], "requests that the origin saw")


@case(starts_proxy=False)
def requests_go_over_tls_with_the_origins_own_name(stage):
    back = Back(stage)
    back.start()
    link = stage.connect()
    for number in range(3):
        link.send(stage.request(target=f"/{number}"))
        expect(link.read_response().status, 200, "status")
    expect(back.stable.names, ["localhost"], "one handshake, and its SNI")
    expect([request.get("Host") for request in stage.origin.requests], [f"localhost:{stage.origin.port}"] * 3, "Host")
    expect([request.get("X-Forwarded-Host") for request in stage.origin.requests], [stage.host] * 3, "X-Forwarded-Host")
    expect(stage.origin.links[0].sock.selected_alpn_protocol(), "http/1.1", "protocol")
    expect(stage.origin.links[0].sock.version(), "TLSv1.3", "version")


@case(starts_proxy=False)
def the_clients_host_is_kept_where_that_is_said(stage):
    back = Back(stage)
    back.start(host="keep")
    expect(stage.ask().status, 200, "status")
    expect(stage.origin.requests[0].get("Host"), stage.host, "Host")
    expect(back.stable.names, ["localhost"], "SNI")


@case(starts_proxy=False)
def a_plain_version_beside_a_sealed_one_keeps_its_host(stage):
    back = Back(stage)
    stage.origin.play = stage.origin.polite
    back.start(previous={"endpoints": [stage.origin.url]}, opt_in="on")
    for version in ("previous", "current", "previous"):
        expect(stage.ask(fields=[f"Serin-Version: {version}"]).status, 200, version)
    expect([request.get("Host") for request in stage.origin.requests], [stage.host] * 2, "the plain one's")
    expect([request.get("Host") for request in stage.canary.requests], [f"localhost:{stage.canary.port}"], "the sealed one's")


@case(starts_proxy=False)
def large_bodies_pass_both_ways(stage):
    back = Back(stage)
    stage.origin.reply = lambda request: answer(body=request.body)
    back.start()
    body = os.urandom(3 << 20)
    expect(stage.ask("POST", body=body).body == body, True, "the body came back")
    back.stable.context.maximum_version = ssl.TLSVersion.TLSv1_2
    serin = stage.start_serin({"workers": 1, **PATIENTLY, "services": [back.service()]}, name="second")
    expect(serin is stage.serin, True, "another proxy")
    expect(stage.ask("POST", body=body).body == body, True, "the body came back over TLS 1.2")
    expect(stage.origin.links[-1].sock.version(), "TLSv1.2", "version")


@case(starts_proxy=False)
def an_authority_that_nobody_named_is_not_believed(stage):
    back = Back(stage)
    back.start(origin_tls={})
    fails_as_tls(stage)
    wait_for(lambda: "certificate:" in stage.serin.log(), "the log says why")


@case(starts_proxy=False)
def another_authority_is_not_believed(stage):
    back = Back(stage)
    other = Authority(os.path.join(stage.folder, stage.name, "others"))
    back.start(origin_tls={"ca": other.path("ca.pem")})
    fails_as_tls(stage)


@case(starts_proxy=False)
def a_certificate_of_another_name_is_refused(stage):
    back = Back(stage, names="DNS:elsewhere.test")
    back.start()
    fails_as_tls(stage)
    wait_for(lambda: "mismatch" in stage.serin.log().lower(), "the log says why")


@case(starts_proxy=False)
def the_name_may_be_said(stage):
    back = Back(stage, names="DNS:elsewhere.test")
    back.start(origin_tls={"ca": back.authority.path("ca.pem"), "name": "elsewhere.test"})
    expect(stage.ask().status, 200, "status")
    expect(back.stable.names, ["elsewhere.test"], "SNI")


@case(starts_proxy=False)
def an_address_needs_a_certificate_for_it(stage):
    back = Back(stage, names="IP:127.0.0.1")
    back.start(previous={"endpoints": [f"https://127.0.0.1:{stage.origin.port}"]})
    expect(stage.ask().status, 200, "status")
    expect(back.stable.names, [None], "an address is no SNI")


@case(starts_proxy=False)
def an_expired_certificate_is_refused(stage):
    back = Back(stage, ended=True)
    back.start()
    fails_as_tls(stage)
    wait_for(lambda: "expired" in stage.serin.log(), "the log says why")


@case(starts_proxy=False)
def whoever_answers_is_believed_only_when_that_is_said(stage):
    back = Back(stage, names="DNS:elsewhere.test")
    back.start(origin_tls={"verify": "off"})
    expect(stage.ask().status, 200, "status")
    expect(back.stable.names, ["localhost"], "SNI")
    wait_for(lambda: "not verified" in stage.serin.log(), "the log says so")


@case(starts_proxy=False)
def an_old_version_is_refused(stage):
    back = Back(stage)
    back.stable.context.set_ciphers("ALL:@SECLEVEL=0")
    back.stable.context.minimum_version = ssl.TLSVersion.TLSv1
    back.stable.context.maximum_version = ssl.TLSVersion.TLSv1_1
    back.start()
    fails_as_tls(stage)


@case(starts_proxy=False)
def a_plain_origin_is_no_tls(stage):
    back = Back(stage)
    stage.origin.play = lambda link: (link.read_some(), link.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
    back.start()
    fails_as_tls(stage)


@case(starts_proxy=False)
def one_that_hangs_up_in_the_handshake_is_no_tls(stage):
    back = Back(stage)
    stage.origin.play = lambda link: link.read_some()
    back.start()
    fails_as_tls(stage)


@case(starts_proxy=False)
def one_that_nobody_listens_for_is_a_connect_failure(stage):
    back = Back(stage)
    back.start()
    stage.origin.stop_listening()
    expect(stage.ask().status, 502, "status")
    expect(stage.failures(), {"connect": 1}, "failures")


@case(starts_proxy=False)
def a_handshake_that_stalls_ends_with_the_connect_deadline(stage):
    back = Back(stage)
    is_over = threading.Event()
    stage.origin.play = lambda link: (link.read_some(), is_over.wait(60 * SLOW))
    back.start(QUICKLY)
    try:
        fails_as_tls(stage, 504)
    finally:
        is_over.set()


def cut_after(data, how):
    """A play that answers with `data` and then ends the connection without close_notify."""

    def play(link, origin):
        origin.read(link)
        link.send(data)
        how(link)

    return play


def drop(link):
    """TCP's end without that of TLS, as an attacker or a crash would make it."""
    raw = socket.socket(fileno=link.sock.detach())
    raw.shutdown(socket.SHUT_WR)
    try:
        while raw.recv(4096):
            pass
    except OSError:
        pass
    raw.close()
    raise Closed("dropped")


def broken_record(link):
    """The beginning of a record that never becomes whole."""
    raw = socket.socket(fileno=link.sock.detach())
    raw.sendall(b"\x17\x03\x03\x01\x00" + b"x" * 40)
    raw.shutdown(socket.SHUT_WR)
    raw.close()
    raise Closed("broken off in a record")


def forged_record(link):
    raw = socket.socket(fileno=link.sock.detach())
    raw.sendall(b"\x17\x03\x03\x00\x28" + b"x" * 40)
    try:
        while raw.recv(4096):
            pass
    except OSError:
        pass
    raw.close()
    raise Closed("forged")


@case(starts_proxy=False)
def a_body_that_ends_without_close_notify_is_never_whole(stage):
    """A body until the end of the connection ends with close_notify, or was cut by somebody."""
    back = Back(stage)
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    back.start()
    for count, how in enumerate((drop, broken_record, forged_record), 1):
        back.stable.plays(lambda link, h=how: cut_after(head + b"half", h)(link, stage.origin))
        link = stage.connect()
        link.send(stage.request())
        try:
            response = link.read_response()
            raise AssertionError(f"{how.__name__}: the answer looks whole: {response.body!r}")
        except WireError:
            pass
        wait_for(lambda n=count: stage.failures() == {"bad_response": n}, f"{how.__name__} is counted")
    back.stable.plays(lambda link: (stage.origin.read(link), link.send(head + b"whole"), link.sock.unwrap()))
    expect(stage.ask().body, b"whole", "with close_notify")


@case(starts_proxy=False)
def an_answer_cut_before_its_head_is_a_reset(stage):
    back = Back(stage)
    back.stable.plays(lambda link: cut_after(b"", drop)(link, stage.origin))
    back.start()
    expect(stage.ask().status, 502, "status")
    expect(stage.failures(), {"reset": 1}, "failures")


@case(starts_proxy=False)
def sessions_are_resumed(stage):
    back = Back(stage)
    stage.origin.reply = answer(fields=["Connection: close"])
    back.start()
    for number in range(4):
        expect(stage.ask(target=f"/{number}").status, 200, "status")
    expect(back.stable.resumed, [False, True, True, True], "resumed")
    back.stable.context.maximum_version = ssl.TLSVersion.TLSv1_2
    for number in range(3):
        expect(stage.ask(target=f"/{number}").status, 200, "status")
    expect(back.stable.resumed[-2:], [True, True], "resumed with TLS 1.2")


@case(starts_proxy=False)
def a_reload_with_the_same_authority_keeps_connections(stage):
    back = Back(stage)
    serin = back.start()
    expect(stage.ask().status, 200, "before")
    serin.change({"services": [back.service(opt_in="off")]})
    reload(serin)
    expect(stage.ask().status, 200, "after")
    expect(len(back.stable.resumed), 1, "handshakes")


def reload(serin):
    before = serin.log().count("reload: done")
    serin.signal(1)
    wait_for(lambda: serin.log().count("reload: done") > before, "a reload")


@case(starts_proxy=False)
def other_settings_share_neither_connection_nor_session(stage):
    """What was let through without verification is not used once it is on."""
    back = Back(stage, names="DNS:elsewhere.test")
    serin = back.start(origin_tls={"verify": "off"}, cache="off")
    expect(stage.ask().status, 200, "unverified")
    serin.change({"services": [back.service(cache="off")]})
    reload(serin)
    expect(stage.ask().status, 502, "verified")
    expect(stage.failures(), {"tls": 1}, "failures")
    serin.change({"services": [back.service(origin_tls={"verify": "off"})]})
    reload(serin)
    expect(stage.ask().status, 200, "unverified again")
    expect(back.stable.resumed, [False, False], "whole handshakes, and full ones")


@case(starts_proxy=False)
def a_new_authority_in_the_file_counts_from_the_reload_on(stage):
    back = Back(stage)
    serin = back.start(cache="off")
    expect(stage.ask().status, 200, "before")
    other = Authority(os.path.join(stage.folder, stage.name, "others"))
    os.replace(other.path("ca.pem"), back.authority.path("ca.pem"))
    reload(serin)
    expect(stage.ask().status, 502, "after")
    expect(stage.failures(), {"tls": 1}, "failures")


@case(starts_proxy=False)
def two_names_at_one_address_share_nothing(stage):
    back = Back(stage, names="DNS:localhost,IP:127.0.0.1")
    port = stage.origin.port
    service = back.service(opt_in="on", previous={"endpoints": [f"https://localhost:{port}"]},
                           current={"endpoints": [f"https://127.0.0.1:{port}"]})
    stage.start_serin({"workers": 1, **PATIENTLY, "services": [service]})
    for version in ("previous", "current", "previous", "current"):
        expect(stage.ask(fields=[f"Serin-Version: {version}"]).status, 200, version)
    expect(sorted(str(name) for name in back.stable.names), ["None", "localhost"], "a handshake for each name")
    expect(back.stable.resumed, [False, False], "and a session for each")
    expect([request.get("Host") for request in stage.origin.requests],
           [f"localhost:{port}", f"127.0.0.1:{port}"] * 2, "hosts")
    for link in stage.origin.links:
        hosts = {line for line in bytes(link.received).split(b"\r\n") if line.lower().startswith(b"host:")}
        expect(len(hosts), 1, f"hosts on one connection: {hosts}")


@case(starts_proxy=False)
def a_closed_pool_connection_is_tried_again_only_where_that_is_safe(stage):
    """The origin ends each connection after its first answer, while the next request is on its way."""
    back = Back(stage)

    def play(link):
        stage.origin.read(link)
        link.send(answer())
        stage.origin.read(link)  # and no answer

    back.stable.plays(play)
    back.start()
    expect(stage.ask(target="/first").status, 200, "first")
    expect(stage.ask(target="/second").status, 200, "tried again on a new connection")
    expect(stage.ask("POST", target="/third", body=b"pay").status, 502, "not tried again")
    expect([request.target for request in stage.origin.requests], ["/first", "/second", "/second", "/third"], "requests")


@case(starts_proxy=False)
def a_canary_without_tls_is_rescued_and_counts_as_connect(stage):
    back = Back(stage)
    stage.canary.play = lambda link: link.read_some()
    back.start(rescue="on", weight="100%")
    expect(stage.ask().status, 200, "status")
    expect(stage.failures("current"), {"tls": 1}, "failures")
    expect(len(stage.origin.requests), 1, "the stable version answered")


@case(starts_proxy=False)
def health_checks_ask_as_requests_do(stage):
    back = Back(stage)
    health = {"path": "/healthz", "interval": "10s", "timeout": "10s", "healthy": 1, "unhealthy": 1}
    other = Authority(os.path.join(stage.folder, stage.name, "others"))
    back.canary.context.load_cert_chain(**_files(other.make("origin", "DNS:localhost")))
    serin = back.start(health=health)
    wait_for(lambda: any(request.target == "/healthz" for request in stage.origin.requests), "a check")
    wait_for(lambda: serin.metrics().all("serin_endpoint_up", role="current", service=stage.name)[0][1] == 0, "the canary is out")
    wait_for(lambda: serin.metrics().all("serin_endpoint_up", role="previous", service=stage.name)[0][1] == 1, "the stable one is in")
    expect(stage.origin.requests[0].get("Host"), f"localhost:{stage.origin.port}", "Host")
    wait_for(lambda: "TLS handshake failed" in serin.log(), "the log says why")
    expect(stage.canary.requests, [], "requests that got through to the canary")


def _files(site):
    return {"certfile": site["certificate"], "keyfile": site["key"]}


@case(starts_proxy=False)
def check_reads_authorities_as_run_would(stage):
    back = Back(stage)
    serin = back.start()

    def check():
        done = subprocess.run([stage.binary, "check", "-c", serin.config_path], capture_output=True, text=True, timeout=30 * SLOW,
                              check=False)
        return done.returncode, done.stderr

    expect(check()[0], 0, "a good file")
    for content in ("nonsense\n", "", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"):
        with open(back.authority.path("ca.pem"), "w", encoding="utf-8") as out:
            out.write(content)
        code, said = check()
        expect((code, back.authority.path("ca.pem") in said), (1, True), f"{content!r}: {said}")
    answered = serin.admin("POST", "/api/v1/config:check")
    expect((answered.status, back.authority.path("ca.pem") in answered.body.decode()), (422, True), "config:check names the file")
    expect(stage.ask().status, 200, "what runs goes on")


@case(starts_proxy=False)
def nginx_behind_tls_is_served(stage):
    """A real server: resumption, keep-alive, bodies of some size."""
    back = Back(stage)
    port = free_port()
    folder = os.path.join(stage.folder, stage.name, "nginx")
    os.makedirs(folder)
    with open(os.path.join(folder, "body"), "wb") as out:
        out.write(os.urandom(200000))
    with open(os.path.join(folder, "nginx.conf"), "w", encoding="utf-8") as out:
        out.write(f"""daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 100; }}
http {{
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  log_format reuse '$ssl_session_reused $ssl_server_name $connection_requests'; access_log {folder}/access.log reuse;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {back.site['certificate']}; ssl_certificate_key {back.site['key']};
    keepalive_requests 4; location / {{ root {folder}; }}
  }}
}}
""")
    nginx = subprocess.Popen(["nginx", "-p", folder, "-c", os.path.join(folder, "nginx.conf")], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _listens(port), "nginx listens")
        back.start(previous={"endpoints": [f"https://localhost:{port}"]})
        with open(os.path.join(folder, "body"), "rb") as file:
            wanted = file.read()
        link = stage.connect()
        for _ in range(12):
            link.send(stage.request(target="/body"))
            expect(link.read_response().body == wanted, True, "the body")
        wait_for(lambda: len(_lines(folder)) == 12, "the log is written")
        lines = [line.split() for line in _lines(folder)]
        expect([line[2] for line in lines], ["1", "2", "3", "4"] * 3, "requests of a connection")
        expect([line[0] for line in lines[::4]], [".", "r", "r"], "resumed")
        expect({line[1] for line in lines}, {"localhost"}, "SNI")
        expect(stage.failures(), {}, "failures")
    finally:
        nginx.terminate()
        nginx.wait(20)


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def _lines(folder):
    with open(os.path.join(folder, "access.log"), encoding="utf-8") as file:
        return file.read().splitlines()


@case(starts_proxy=False)
def a_proxy_header_stands_before_the_handshake(stage):
    back = Back(stage)
    heads = []

    def play(link):
        head = b""
        while not head.endswith(b"\r\n"):
            head += link.sock.recv(1)
        heads.append(head)
        back.stable.perform(link)

    stage.origin.play = play
    back.start(previous={"proxy_protocol": "v1"})
    expect(stage.ask().status, 200, "status")
    expect(heads[0].startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 "), True, f"{heads}")


@case(starts_proxy=False)
def copies_are_mirrored_over_tls(stage):
    back = Back(stage)
    service = back.service(mirror="100%", rollout={"steps": ["50%", "100%"], "min_time": "1h"})
    del service["weight"]
    serin = stage.start_serin({"workers": 1, **PATIENTLY, "services": [service]})
    wait_for(lambda: stage.ask().status == 200 and stage.canary.requests, "a copy comes")
    copy = stage.canary.requests[0]
    expect((copy.get("Serin-Mirror"), copy.get("Host")), ("1", f"localhost:{stage.canary.port}"), "a copy")
    expect(set(back.canary.names), {"localhost"}, "SNI")
    wait_for(lambda: serin.metrics().sum("serin_mirrored_requests_total", service=stage.name) > 0, "it is counted")


@case(starts_proxy=False)
def a_sealed_version_can_be_started_and_stays_over_a_restart(stage):
    back = Back(stage)
    service = back.service(rollout={"steps": ["50%", "100%"], "min_time": "1h"}, rollback={"latency": "off"})
    del service["weight"], service["current"]
    serin = stage.start_serin({"workers": 1, **PATIENTLY, "services": [service]})
    done = subprocess.run([stage.binary, "start", back.canary.url, "--deployment", "sealed", "--admin",
                           f"http://127.0.0.1:{serin.admin_port}"], capture_output=True, text=True, timeout=60 * SLOW, check=False)
    expect(done.returncode, 0, done.stderr)
    wait_for(lambda: serin.service(stage.name)["weight"]["set"] == 50, "its first weight")
    wait_for(lambda: stage.ask().status == 200 and stage.canary.requests, "it is asked")
    serin.stop()
    serin.start()
    expect(serin.service(stage.name)["current"]["url"], back.canary.url, "its URL after the restart")
    before = len(stage.canary.requests)
    wait_for(lambda: stage.ask().status == 200 and len(stage.canary.requests) > before, "it is asked again")
    expect(stage.failures("current"), {}, "failures")


if __name__ == "__main__":
    run(__file__)
