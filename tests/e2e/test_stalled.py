"""Neither a disk nor a DNS server that hangs holds up traffic, the admin endpoint or a rollback; IPv6 serves too."""

import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import Link, answer, case, expect, free_port, run, wait_for  # noqa: E402
from release import Release  # noqa: E402
from serin import preloaded  # noqa: E402

PATIENCE_S = 30


@case(starts_proxy=False)
def stalled_disk_does_not_hold_up_a_rollback(stage):
    marker = os.path.join(stage.folder, "stalled")
    with Release(stage, process={"environment": preloaded(stage.binary, SERIN_STALL_MARKER=marker)}) as release:
        with open(marker, "w", encoding="utf-8"):
            pass
        try:
            release.canary.order(status=500)
            release.wait_weight(0, PATIENCE_S)
            wait_for(lambda: os.path.exists(f"{marker}.held"), "a write is held", PATIENCE_S)
            expect(release.serin.admin("GET", "/api/v1/status").status, 200, "the admin endpoint's answer")
            release.stays_quiet()
            expect(os.path.exists(f"{marker}.given-up"), False, "the disk hung no longer")
        finally:
            os.remove(marker)
        expect(release.record()["status"], "success", "the record's status")
        expect(dict(release.load.stop().errors), {}, "errors at the clients")


def silent_server():
    """A DNS server of our own that nobody reads, and its address."""
    process = os.getpid()
    address = f"127.{53 + process % 100}.{process // 100 % 250 + 1}.{process // 25000 % 250 + 1}"
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    return server, address


@case(starts_proxy=False)
def silent_dns_server_does_not_hold_up_a_rollback(stage):
    expect(os.geteuid(), 0, "user: only root may give serin a resolv.conf of its own")
    server, address = silent_server()
    path = os.path.join(stage.folder, "resolv.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"nameserver {address}\n")
    wrapper = ["unshare", "-m", "sh", "-c", f'mount --bind "{path}" /etc/resolv.conf && exec "$@"', "sh"]
    nowhere = stage.service(previous={"deployment": "n1", "endpoints": ["http://stable.silent.test:8080"]},
                            current={"deployment": "n2", "endpoints": ["http://canary.silent.test:8080"]})
    nowhere.update(name="nowhere", hosts=["nowhere.test"])
    with server, Release(stage, others=[nowhere], process={"wrapper": wrapper}) as release:
        expect(stage.ask(host="nowhere.test").status, 503, "status without an address")
        release.canary.order(status=500)
        release.wait_weight(0, PATIENCE_S)
        expect(release.record()["status"], "success", "the record's status")
        release.stays_quiet()
        expect(stage.ask(host="nowhere.test").status, 503, "status without an address, later")
        expect(release.serin.admin("GET", "/readyz").status, 200, "readiness")
        expect(len(server.recv(512, socket.MSG_DONTWAIT)) > 0, True, "the server was asked")


class Deaf:
    """Listens at an address of its own and takes nobody: the kernel drops who asks once the backlog is full."""

    def __init__(self, address, port):
        self.listener = socket.create_server((address, port), backlog=0)
        self.fillers = [socket.socket() for _ in range(8)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex((address, port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in (*self.fillers, self.listener):
            each.close()


@case(starts_proxy=False)
def an_address_that_swallows_packets_costs_nobody_a_request(stage):
    expect(os.geteuid(), 0, "user: only root may give serin a hosts file of its own")
    folder = os.path.join(stage.folder, stage.name)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "hosts")
    with open(path, "w", encoding="utf-8") as file:
        file.write("127.0.0.1 localhost two.silent.test\n127.0.0.3 two.silent.test\n")
    wrapper = ["unshare", "-m", "sh", "-c", f'mount --bind "{path}" /etc/hosts && exec "$@"', "sh"]
    stage.origin.reply = answer(fields=["Connection: close"])
    endpoint = f"http://two.silent.test:{stage.origin.port}"
    service = stage.service(previous={"deployment": "two", "endpoints": [endpoint]})
    with Deaf("127.0.0.3", stage.origin.port):
        stage.start_serin({"workers": 1, "timeouts": {"connect": "60s"}, "services": [service]}, wrapper=wrapper)
        for number in range(12):  # which of the two is tried first is drawn
            expect(stage.ask(target=f"/{number}").status, 200, "status")
    expect(stage.failures(), {}, "failures")
    expect(len(stage.origin.requests), 12, "requests")


@case(starts_proxy=False)
def ipv6_listener_serves_beside_ipv4(stage):
    port = free_port()
    stage.start_serin({"listen": [{"address": f"127.0.0.1:{port}"}, {"address": f"[::1]:{port}"}]})
    for address in ("127.0.0.1", "::1"):
        link = Link(socket.create_connection((address, port), 10), "client", stage.transcript)
        link.send(stage.request())
        expect(link.read_response().status, 200, f"status by {address}")
        link.close()
    expect([request.get("X-Forwarded-For") for request in stage.origin.requests], ["127.0.0.1", "::1"], "clients")


if __name__ == "__main__":
    run(__file__)
