"""Under a service manager: what it is told, the watchdog it feeds or starves, and the sockets it passes."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import SLOW, Link, case, expect, free_port, run, wait_for  # noqa: E402
from serin import preloaded  # noqa: E402

PATIENCE_S = 30
WATCHDOG_US = int(1_500_000 * SLOW)


class Manager:
    """Listens as systemd does, and keeps what it was told."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.words = []

    def told(self):
        """Everything so far, line by line."""
        while True:
            try:
                self.words += self.socket.recv(65536).decode().split("\n")
            except BlockingIOError:
                return self.words

    def count(self, word):
        return self.told().count(word)

    def value(self, name):
        """The last value of a name, or None."""
        values = [word.partition("=")[2] for word in self.told() if word.startswith(f"{name}=")]
        return values[-1] if values else None

    def wait(self, word, count=1):
        wait_for(lambda: self.count(word) >= count, f"the manager is told {word}, {count} times", PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def managed(stage, **environment):
    """A manager at a path, and the environment of whom it manages."""
    os.makedirs(os.path.join(stage.folder, stage.name), exist_ok=True)
    path = os.path.join(stage.folder, stage.name, "notify")
    return Manager(path), {"NOTIFY_SOCKET": path, **environment}


def monotonic_us():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


@case(starts_proxy=False)
def the_manager_is_told_of_start_status_and_end(stage):
    manager, environment = managed(stage)
    with manager:
        serin = stage.start_serin(environment=environment)
        manager.wait("READY=1")
        expect(stage.ask().status, 200, "status once it is ready")
        wait_for(lambda: (manager.value("STATUS") or "").endswith(f"; {stage.name}: idle, canary 0 %"), "where it stands", PATIENCE_S)
        revision = serin.service(stage.name)["revision"]
        serin.admin("PUT", f"/api/v1/services/{stage.name}/weight", {"current": 12.5}, {"If-Match": f'"{revision}"'})
        wait_for(lambda: (manager.value("STATUS") or "").endswith("canary 12.5 %"), "the weight is told", PATIENCE_S)
        expect(manager.count("STOPPING=1"), 0, "ends")
        serin.stop()
        manager.wait("STOPPING=1")
        expect(int(manager.value("EXTEND_TIMEOUT_USEC")) > 5_000_000, True, "how long the end may take")
        expect((manager.count("READY=1"), manager.count("WATCHDOG=1")), (1, 0), "starts, and signs of life nobody asked for")


@case(starts_proxy=False)
def an_abstract_socket_is_told_too(stage):
    name = f"@serin-{os.getpid()}-{stage.name}"
    with Manager(name) as manager:
        stage.start_serin(environment={"NOTIFY_SOCKET": name})
        manager.wait("READY=1")


@case(starts_proxy=False)
def a_reload_has_a_beginning_and_an_end(stage):
    manager, environment = managed(stage)
    with manager:
        serin = stage.start_serin(environment=environment)
        manager.wait("READY=1")
        before = monotonic_us()
        serin.signal(signal.SIGHUP)
        manager.wait("READY=1", 2)
        expect(manager.count("RELOADING=1"), 1, "reloads")
        expect(before <= int(manager.value("MONOTONIC_USEC")) <= monotonic_us(), True, "when it began")
        with open(serin.config_path, encoding="utf-8") as file:
            good = file.read()
        serin.write_text("listen: nowhere")
        serin.signal(signal.SIGHUP)
        manager.wait("READY=1", 3)
        expect(manager.count("RELOADING=1"), 2, "reloads, one of them of a bad file")
        serin.write_text(good)
        expect(stage.ask().status, 200, "status after a bad reload")
        words = [word for word in manager.told() if word in ("READY=1", "RELOADING=1")]
        expect(words, ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"], "the order")


@case(starts_proxy=False)
def a_manager_that_is_gone_or_means_another_harms_nobody(stage):
    missing = os.path.join(stage.folder, "nobody")
    for number, environment in enumerate(({"NOTIFY_SOCKET": missing}, {"NOTIFY_SOCKET": "vsock:2:9"},
                                          {"NOTIFY_SOCKET": missing, "WATCHDOG_USEC": "soon"},
                                          {"LISTEN_PID": "1", "LISTEN_FDS": "7", "LISTEN_FDNAMES": "a:b"})):
        serin = stage.start_serin(environment=environment, name=f"serin-{number}")
        expect(stage.ask().status, 200, f"status with {environment}")
        serin.stop()


@case(starts_proxy=False)
def the_watchdog_is_fed_while_all_goes_on_and_starves_when_a_worker_does_not(stage):
    marker = os.path.join(stage.folder, "worker-stalled")
    manager, environment = managed(stage, WATCHDOG_USEC=str(WATCHDOG_US),
                                   **preloaded(stage.binary, SERIN_STALL_WORKER_MARKER=marker))
    with manager:
        serin = stage.start_serin(environment=environment)
        manager.wait("WATCHDOG=1", 3)
        with open(marker, "w", encoding="utf-8"):
            pass
        try:
            wait_for(lambda: os.path.exists(f"{marker}.held"), "a worker hangs", PATIENCE_S)
            # it may have answered before it hung: once more all is well, and then the question after that is open
            fed = manager.count("WATCHDOG=1")
            wait_for(lambda: "has made no progress for" in serin.log(), "control misses it", PATIENCE_S)
            expect(manager.count("WATCHDOG=1") <= fed + 1, True, "signs of life of a process that hangs")
            silent = float(re.search(r"worker \d has made no progress for ([\d.]+) s", serin.log()).group(1))
            expect(silent * 1e6 >= WATCHDOG_US - 50_000, True, f"the watchdog is starved for {silent} s")
            expect(serin.admin("GET", "/api/v1/status").status, 200, "control's answer meanwhile")
            fed = manager.count("WATCHDOG=1")
        finally:
            os.remove(marker)
        manager.wait("WATCHDOG=1", fed + 3)
        wait_for(lambda: "every worker goes on" in serin.log(), "control says so", PATIENCE_S)
        expect(os.path.exists(f"{marker}.given-up"), False, "the worker hung no longer")
        expect(stage.ask().status, 200, "status afterwards")


def listening(host="127.0.0.1", port=None, **more):
    return socket.create_server((host, port or free_port()), **more)


def port_of(sock):
    return sock.getsockname()[1]


def activated(stage, sockets, admin=None, **settings):
    """Settings that listen where these sockets do."""
    addresses = [f"{one.getsockname()[0]}:{port_of(one)}" for _, one in sockets]
    listen = [{"address": address} for (name, _), address in zip(sockets, addresses) if name != "admin"]
    return {"listen": listen, **({"admin": {"address": admin}} if admin else {}), **settings}


def link_to(stage, port):
    return Link(socket.create_connection(("127.0.0.1", port), 10 * SLOW), "client", stage.transcript)


@case(starts_proxy=False)
def a_client_who_comes_before_serin_is_answered(stage):
    web, admin = listening(), listening()
    with web, admin:
        early = link_to(stage, port_of(web))
        early.send(stage.request())
        sockets = (("web", web), ("admin", admin))
        settings = activated(stage, sockets, f"127.0.0.1:{port_of(admin)}")
        serin = stage.start_serin(settings, wait=False, sockets=sockets, workers=3)
        serin.port, serin.admin_port = port_of(web), port_of(admin)
        serin.wait_ready()
        expect(early.read_response().status, 200, "status for who came early")
        early.close()
        for _ in range(40):
            expect(stage.ask().status, 200, "status")
        expect(serin.metrics().sum("serin_requests_total", service=stage.name), 41, "requests counted")


@case(starts_proxy=False)
def nobody_is_refused_between_two_processes(stage):
    web = listening()
    with web:
        sockets = (("web", web),)
        first = stage.start_serin(activated(stage, sockets), wait=True, sockets=sockets)
        first.port = port_of(web)
        expect(stage.ask().status, 200, "status by the first")
        first.stop()
        waiting = [link_to(stage, port_of(web)) for _ in range(5)]
        for link in waiting:
            link.send(stage.request())
        second = stage.start_serin(activated(stage, sockets), name="second", sockets=sockets)
        second.port = port_of(web)
        for link in waiting:
            expect(link.read_response().status, 200, "status for who came between")
            link.close()


@case(starts_proxy=False)
def several_sockets_of_an_address_and_one_for_both_families_are_served(stage):
    web = [listening(reuse_port=True)]
    web.append(listening(port=port_of(web[0]), reuse_port=True))
    both = socket.create_server(("::", free_port()), family=socket.AF_INET6, dualstack_ipv6=True)
    with web[0], web[1], both:
        sockets = (("web", web[0]), ("web", web[1]), ("both", both))
        listen = [{"address": f"127.0.0.1:{port_of(web[0])}"}, {"address": f"0.0.0.0:{port_of(both)}"}]
        serin = stage.start_serin({"listen": listen}, sockets=sockets)
        for port in [port_of(web[0])] * 20 + [port_of(both)] * 5:
            serin.port = port
            expect(stage.ask().status, 200, "status")


@case(starts_proxy=False)
def an_address_that_goes_and_comes_back_is_the_passed_one_again(stage):
    web = listening()
    with web:
        sockets = (("web", web),)
        own = free_port()
        serin = stage.start_serin(activated(stage, sockets), sockets=sockets)
        for addresses in ([own], [own, port_of(web)], [port_of(web)]):
            serin.change({"listen": [{"address": f"127.0.0.1:{port}"} for port in addresses]})
            expect(serin.admin("POST", "/api/v1/reload").status, 200, "reload")
            for port in addresses:
                serin.port = port
                expect(stage.ask().status, 200, f"status by {port}")


@case(starts_proxy=False)
def a_socket_that_nothing_listens_on_is_an_error_at_the_start(stage):
    web, stray = listening(), listening()
    with web, stray:
        sockets = (("web", web), ("stray", stray))
        serin = stage.start_serin({"listen": [{"address": f"127.0.0.1:{port_of(web)}"}]}, wait=False, sockets=sockets)
        expect(serin.process.wait(PATIENCE_S * SLOW), 1, "exit code")
        expect(f"the service manager passed a socket on 127.0.0.1:{port_of(stray)} (stray)" in serin.log(), True, "which one")
        serin.process = None


@case(starts_proxy=False)
def systemd_starts_it_with_the_first_client(stage):
    activate = shutil.which("systemd-socket-activate")
    if not activate:
        raise AssertionError("there is no systemd-socket-activate; .ci/setup test installs it")
    web, admin = free_port(), free_port()
    wrapper = [activate, "-l", f"127.0.0.1:{web}", "-l", f"127.0.0.1:{admin}", "--fdname=web:admin",
               *(f"-E{name}" for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS") if name in os.environ)]
    serin = stage.start_serin({"listen": [{"address": f"127.0.0.1:{web}"}], "admin": {"address": f"127.0.0.1:{admin}"}},
                              wait=False, wrapper=wrapper)
    serin.port, serin.admin_port = web, admin
    wait_for(lambda: f"Listening on 127.0.0.1:{admin}" in serin.log(), "systemd-socket-activate listens", PATIENCE_S)
    expect("serves" in serin.log(), False, "started before anybody came")
    expect(stage.ask().status, 200, "status of the first request")
    serin.wait_ready()


@case(starts_proxy=False)
def the_journal_gets_priorities_and_others_times(stage):
    """systemd names what it connected to its journal by device and inode; here that is a file."""
    for is_journal in (True, False):
        path = os.path.join(stage.folder, stage.name, f"said-{is_journal}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as said:
            status = os.fstat(said.fileno())
            stream = f"{status.st_dev}:{status.st_ino + (0 if is_journal else 1)}"
            with socket.create_server(("127.0.0.1", 0)) as taken:
                config = os.path.join(stage.folder, stage.name, "serin.yaml")
                with open(config, "w", encoding="utf-8") as file:
                    file.write(f"listen: [{{address: 127.0.0.1:{taken.getsockname()[1]}}}]\nadmin: {{address: 127.0.0.1:{free_port()}}}\n"
                               "services: [{name: site, previous: {url: \"http://127.0.0.1:9\"}}]\n")
                done = subprocess.run([stage.binary, "run", "-c", config], env={**os.environ, "JOURNAL_STREAM": stream}, stderr=said,
                                      timeout=60 * SLOW, check=False)
        with open(path, encoding="utf-8") as file:
            last = file.read().splitlines()[-1]
        begin = r"<3>error cannot start: " if is_journal else r"\d{4}-\d\d-\d\dT[\d:.]+Z error cannot start: "
        expect((done.returncode, bool(re.match(begin, last))), (1, True), last)


if __name__ == "__main__":
    run(__file__)
