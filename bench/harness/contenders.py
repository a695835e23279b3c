"""Who runs in a bench: the origin, the floor, the peers and Serin, each with its configuration and version."""
import shutil
import subprocess
from enum import Enum
from pathlib import Path

from harness.processes import Server, cores, free_ports, render

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "bench/peers"
FLOOR = ROOT / "build/release/load/floor"
HANDSHAKES = ROOT / "build/release/load/handshakes"
SERIN = ROOT / "build/release/serin"

SMALL_SIZE = 66
SMALL = {version: f"{version:.<{SMALL_SIZE}}" for version in ("previous", "current")}
FILE_SIZES = {"/10k": 10 * 1024, "/1m": 1024 * 1024}

SERVICE = """  - name: {name}
    hosts: [{hosts}]
    previous: {{deployment: stable, endpoints: ["http://127.0.0.1:{previous}"]}}
{canary}    sticky: {sticky}"""
SPLIT = """    current: {{deployment: canary, endpoints: ["http://127.0.0.1:{current}"]}}
    weight: 10%
"""
HOSTS_PER_SERVICE = 100
MANY_HOSTS = 1000
HOST_ASKED = "host500.bench.test"


def body_size(path):
    return FILE_SIZES.get(path, SMALL_SIZE)


class Front(Enum):
    """What the client speaks."""

    PLAIN = "HTTP/1.1"
    TLS = "HTTP/1.1 over TLS"
    HTTP2 = "HTTP/2 over TLS"


class Origin:
    """nginx with one worker on two ports, one per version, pinned beside the client."""

    def __init__(self, directory):
        self.previous, self.current = free_ports(2)
        files = Path(directory) / "files"
        files.mkdir(exist_ok=True)
        for path, size in FILE_SIZES.items():
            files.joinpath(path[1:]).write_bytes(bytes(ord("a") + i % 26 for i in range(1024)) * (size // 1024))
        configuration = render(
            PEERS / "origin.conf",
            {"dir": directory, "previous": self.previous, "current": self.current,
             "small_previous": SMALL["previous"], "small_current": SMALL["current"]},
            Path(directory) / "origin.conf")
        _, core = cores()
        self.server = Server("origin", [find("nginx"), "-c", configuration], core, self.current, directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.stop()


def find(program):
    """Servers often stand in sbin, which is not on every user's path."""
    return shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")


def first_line(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.stdout else "unknown"


SEALED = (Front.TLS, Front.HTTP2)


class Contender:
    """One proxy under test. `template` is its configuration, `arguments` stand before the configuration's path."""

    is_peer = True

    def __init__(self, name, template, arguments, version_flag, sealed=None):
        self.name = name
        self.template = template
        self.arguments = arguments
        self.version_flag = version_flag
        self.sealed = sealed  # what the configuration says for TLS, {front: text with {pem} and {key}}; None: it cannot

    def program(self):
        return find(self.name)

    def is_installed(self):
        return self.program() is not None

    def why_absent(self):
        return "not installed"

    def version(self):
        return first_line([self.program(), self.version_flag])

    def values(self, listen, origin, directory):
        return {"dir": directory, "listen": listen, "previous": origin.previous, "current": origin.current}

    def command(self, listen, origin, directory, front):
        sealed = "" if front is Front.PLAIN else self.sealed[front].format(
            pem=Path(directory) / "site.pem", key=Path(directory) / "site.key")
        configuration = render(self.template, {"sealed": sealed, **self.values(listen, origin, directory)},
                               Path(directory) / f"{self.name}.conf")
        return [self.program(), *self.arguments, configuration]

    def start(self, origin, directory, wrapper=(), front=Front.PLAIN):
        """Gives the running server and the port it serves on; `wrapper` is a program that runs it."""
        (listen,) = free_ports(1)
        core, _ = cores()
        command = [*wrapper, *self.command(listen, origin, directory, front)]
        return Server(self.name, command, core, listen, directory), listen


class Floor(Contender):
    is_peer = False

    def __init__(self):
        super().__init__("floor", None, [], None)

    def program(self):
        return FLOOR

    def is_installed(self):
        return FLOOR.exists()

    def why_absent(self):
        return "not built: cmake --preset release && cmake --build --preset release --target floor"

    def version(self):
        return "the byte shoveler of bench/load/floor.c"

    def command(self, listen, origin, directory, front):
        return [FLOOR, listen, origin.previous, origin.current]


class Serin(Contender):
    """Serin, in a variant of the bench's route. `host` is what the client asks for."""

    is_peer = False

    def __init__(self, name="serin", canary=SPLIT, sticky="{by: none}", hosts=('"*"',), host=None,
                 wants_cookie=False, idle_connections=0):
        super().__init__(name, ROOT / "bench/load/serin.yaml", ["run", "-c"], None,
                         sealed=dict.fromkeys(SEALED, "    tls: [{{certificate: {pem}, key: {key}}}]\n"))
        self.canary = canary
        self.sticky = sticky
        self.hosts = hosts
        self.host = host
        self.wants_cookie = wants_cookie
        self.idle_connections = idle_connections

    def program(self):
        return SERIN

    def is_installed(self):
        return SERIN.exists()

    def why_absent(self):
        return "not built: cmake --preset release && cmake --build --preset release"

    def version(self):
        commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        return f"commit {commit.stdout.strip() or 'unknown'}"

    def values(self, listen, origin, directory):
        (admin,) = free_ports(1)
        for leftover in Path(directory).glob("serin.db*"):
            leftover.unlink()
        services = "\n".join(self.services(origin))
        return {"services": services, "admin": admin, **super().values(listen, origin, directory)}

    def headers(self, cookie):
        """What a request has to say; `cookie` is the Set-Cookie of an answer before it."""
        if self.wants_cookie and cookie:
            return {"Host": self.host or "bench", "Cookie": cookie.split(";")[0]}
        return {"Host": self.host or "bench"}

    def services(self, origin):
        """One service, or as many as the hosts need."""
        for first in range(0, len(self.hosts), HOSTS_PER_SERVICE):
            yield SERVICE.format(
                name=f"bench{first}", hosts=", ".join(self.hosts[first:first + HOSTS_PER_SERVICE]),
                canary=self.canary.format(current=origin.current), previous=origin.previous, sticky=self.sticky)


def make_certificate(directory):
    """One of its own authority, P-256, as site.pem and site.key (and both in one file, as HAProxy wants them)."""
    folder = Path(directory)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench", "-keyout", "site.key", "-out", "site.pem"],
                   cwd=folder, capture_output=True, check=True)
    (folder / "site.pem.both").write_bytes((folder / "site.pem").read_bytes() + (folder / "site.key").read_bytes())
    for name in ("site.pem", "site.key", "site.pem.both"):
        (folder / name).chmod(0o644)


def proxies():
    """The contenders of the main table, in the order of their turns."""
    nginx = "; ssl_certificate {pem}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3"
    haproxy = " ssl crt {pem}.both alpn "
    h2o = "  ssl:\n    certificate-file: {pem}\n    key-file: {key}\n"
    return [
        Floor(),
        Contender("nginx", PEERS / "nginx.conf", ["-c"], "-v",
                  sealed={Front.TLS: " ssl" + nginx, Front.HTTP2: " ssl http2" + nginx}),
        Contender("haproxy", PEERS / "haproxy.cfg", ["-f"], "-v",
                  sealed={Front.TLS: haproxy + "http/1.1", Front.HTTP2: haproxy + "h2"}),
        Contender("h2o", PEERS / "h2o.conf", ["-c"], "-v", sealed=dict.fromkeys(SEALED, h2o)),
        Serin(),
    ]


def variants():
    """Serin in the shapes whose costs are compared with each other. The first is what the others are held against."""
    many = [f"host{i}.bench.test" for i in range(MANY_HOSTS)]
    return [
        Serin("one version", canary=""),
        Serin("split, counted, judged"),
        Serin("sticky by cookie", sticky="{by: cookie}", wants_cookie=True),
        Serin("one host", hosts=(HOST_ASKED,), host=HOST_ASKED),
        Serin(f"{MANY_HOSTS} hosts", hosts=many, host=HOST_ASKED),
        Serin("100 idle connections", idle_connections=100),
        Serin("10000 idle connections", idle_connections=10000),
    ]
