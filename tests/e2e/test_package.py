"""The Debian package: what is in it, and its whole life (install, run, upgrade, remove, purge) in a root of its own.

That root is this machine's, with a layer of memory over it and a network of its own: dpkg, adduser and the scripts of the
package are the real ones, and nothing stays. Where layers may not be mounted the life is not played, and the play says so."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from confined import settings  # noqa: E402
from play import SLOW, bare_environment, case, expect, run, wait_for  # noqa: E402

SUPPORT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support")
UNIT = "usr/lib/systemd/system/serin.service"
EPOCH = "1700000000"
EXPOSURE_MAX = 1.5  # of 10, as systemd-analyze weighs it
PATIENCE_S = 30


def tried(stage, *command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120 * SLOW, stdin=subprocess.DEVNULL, **more)
    stage.transcript.note("test", f"{' '.join(command)}: {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done


def must(stage, *command, **more):
    done = tried(stage, *command, **more)
    expect(done.returncode, 0, f"exit code of {' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def package(stage):
    """The package, made once of the build that is tested."""
    folder = os.path.join(stage.folder, "package")
    if os.path.isdir(folder):
        return next(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".deb"))
    build = os.path.dirname(stage.binary)
    must(stage, "cpack", "-G", "DEB", "--config", os.path.join(build, "CPackConfig.cmake"), "-B", folder, cwd=build,
         env={**bare_environment(), "SOURCE_DATE_EPOCH": EPOCH})
    (name,) = [name for name in os.listdir(folder) if name.endswith(".deb")]
    return os.path.join(folder, name)


def unpacked(stage):
    deb, folder = package(stage), os.path.join(stage.folder, stage.name)
    must(stage, "dpkg-deb", "-R", deb, folder)
    return deb, folder


@case(starts_proxy=False)
def everything_is_in_its_place_and_belongs_to_root(stage):
    deb, folder = unpacked(stage)
    rows = [line.split(None, 5) for line in must(stage, "dpkg-deb", "-c", deb).strip().split("\n")]
    expect({row[1] for row in rows}, {"root/root"}, "owners")
    modes = {row[0] for row in rows if row[5] != "./usr/bin/serin"}
    expect(modes <= {"drwxr-xr-x", "-rw-r--r--"}, True, f"modes: {modes}")
    paths = {row[5].removeprefix("./") for row in rows}
    for path in ("usr/bin/serin", UNIT, "usr/lib/systemd/system/serin.socket", "etc/serin/serin.yaml", "usr/share/man/man1/serin.1.gz",
                 "usr/share/man/man5/serin.yaml.5.gz", "usr/share/doc/serin/copyright", "usr/share/doc/serin/changelog.Debian.gz",
                 "usr/share/doc/serin/docs/INSTALL.md", "usr/share/bash-completion/completions/serin"):
        expect(path in paths, True, f"{path} in the package")
    with open(os.path.join(folder, "DEBIAN", "conffiles"), encoding="utf-8") as file:
        expect(file.read(), "/etc/serin/serin.yaml\n", "conffiles")
    for name in ("postinst", "prerm", "postrm"):
        must(stage, "sh", "-n", os.path.join(folder, "DEBIAN", name))


@case(starts_proxy=False)
def it_depends_on_the_packages_of_every_library_it_loads(stage):
    deb, _ = unpacked(stage)
    depends = {re.split(r"[ (]", one.strip())[0] for one in must(stage, "dpkg-deb", "-f", deb, "Depends").split(",")}
    late = "libcurl.so.4"
    needed = [late, *re.findall(r"NEEDED.*\[(.*)\]", must(stage, "readelf", "-d", stage.binary))]
    loads = must(stage, "env", f"LD_PRELOAD={late}", "ldd", stage.binary)
    paths = dict(re.findall(r"^\s+(\S+) => (\S+)", loads, re.M))
    expect(len(needed) > 5, True, "libraries it needs")
    for library in needed:
        path = os.path.realpath(paths[library])
        owner = tried(stage, "dpkg", "-S", path).stdout or must(stage, "dpkg", "-S", path.removeprefix("/usr"))
        expect(owner.split(":")[0] in depends, True, f"{library} of {owner.strip()} in {depends}")


@case(starts_proxy=False)
def its_unit_leaves_it_little(stage):
    _, folder = unpacked(stage)
    unit = settings(os.path.join(folder, UNIT))
    expect(unit["ExecStart"], ["/usr/bin/serin run -c /etc/serin/serin.yaml"], "what is started")
    expect((unit["Type"], unit["WatchdogSec"]), (["notify"], ["30s"]), "how it is watched")
    found = must(stage, "systemd-analyze", "security", "--offline=true", "--no-pager", os.path.join(folder, UNIT))
    exposure = float(re.search(r"exposure level for serin.service: ([\d.]+)", found).group(1))
    expect(exposure <= EXPOSURE_MAX, True, f"exposure {exposure}:\n{found}")


class Root:
    """A root of its own for one case."""

    SCRIPT = ("ip link set lo up && mount -t tmpfs tmpfs {here} && mkdir {here}/upper {here}/work {here}/merged && "
              "mount -t overlay overlay -o lowerdir=/,upperdir={here}/upper,workdir={here}/work {here}/merged && "
              "mount --rbind /proc {here}/merged/proc && mount --rbind /dev {here}/merged/dev && "
              "mount -t tmpfs tmpfs {here}/merged/run && mount -t tmpfs tmpfs {here}/merged/tmp && mkdir {here}/merged/tmp/in && "
              "mount --bind {inbox} {here}/merged/tmp/in && echo ready && cat")

    def __init__(self, stage):
        self.stage = stage
        self.here, self.inbox = (os.path.join(stage.folder, f"{stage.name}-{name}") for name in ("root", "in"))
        for folder in (self.here, self.inbox):
            os.makedirs(folder)
        script = self.SCRIPT.format(here=self.here, inbox=self.inbox)
        self.holder = subprocess.Popen(["unshare", "-m", "-n", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
        self.is_there = self.holder.stdout.readline() == "ready\n"

    def words(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-n", "chroot", f"{self.here}/merged", "env", "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", *command]

    def tried(self, *command):
        return tried(self.stage, *self.words(*command))

    def must(self, *command):
        return must(self.stage, *self.words(*command))

    def dpkg(self, *words):
        """Without triggers: the manual's index of the whole machine would be made anew each time."""
        return self.must("dpkg", "--no-triggers", "--force-unsafe-io", *words)

    def traces(self):
        """Whatever the layer holds whose name is Serin's, without what was only deleted, and the manual's own cache."""
        found = must(self.stage, "nsenter", "-t", str(self.holder.pid), "-m", "find", f"{self.here}/upper", "-name", "*serin*", "!", "-type", "c")
        return [path for path in found.split("\n") if path and "/upper/var/cache/man/" not in path]

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()


def copied(root, path, name):
    with open(path, "rb") as source, open(os.path.join(root.inbox, name), "wb") as target:
        target.write(source.read())
    return f"/tmp/in/{name}"


def newer(stage, deb):
    """The same package in a later version."""
    folder = os.path.join(stage.folder, f"{stage.name}-newer")
    must(stage, "dpkg-deb", "-R", deb, folder)
    control = os.path.join(folder, "DEBIAN", "control")
    with open(control, encoding="utf-8") as file:
        text = file.read()
    with open(control, "w", encoding="utf-8") as file:
        file.write(re.sub(r"^(Version: .*)$", r"\1+later", text, flags=re.M))
    must(stage, "dpkg-deb", "--root-owner-group", "-b", folder, f"{folder}.deb")
    return f"{folder}.deb"


def runs_as_its_unit_says(root):
    """Started with the unit's command and rights, asked, and ended by SIGTERM."""
    stage = root.stage
    unit = root.must("cat", f"/{UNIT}")
    command = re.search(r"^ExecStart=(.*)$", unit, re.M).group(1).split()
    script = copied(root, os.path.join(SUPPORT, "confined.py"), "confined.py")
    log_path = os.path.join(stage.folder, f"{stage.name}.log")
    with open(log_path, "ab") as log:
        process = subprocess.Popen(root.words("/usr/bin/python3", script, f"/{UNIT}", *command), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        def is_ready():
            if process.poll() is not None:
                with open(log_path, encoding="utf-8") as file:
                    raise AssertionError(f"it ended with {process.returncode}: {file.read()[-2000:]}")
            return root.tried("/usr/bin/serin", "status").returncode == 0

        wait_for(is_ready, "it answers", PATIENCE_S)
        status = json.loads(root.must("/usr/bin/serin", "status", "--json"))
        expect([service["name"] for service in status["services"]], ["site"], "services")
        expect(status["conditions"], [], "conditions")
        answer = root.must("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8080/")
        expect(answer, "502", "status without an origin")
        rights = root.must("cat", f"/proc/{process.pid}/status")
        has = dict(line.split(":\t", 1) for line in rights.strip().split("\n"))
        expect((has["NoNewPrivs"], has["CapBnd"], has["Groups"].strip()), ("1", "0000000000000400", ""), "rights")
        expect(set(has["Uid"].split()) & {"0"}, set(), "that it is root")
        wait_for(lambda: root.tried("test", "-s", "/var/lib/serin/serin.db").returncode == 0, "its state is written", PATIENCE_S)
    finally:
        process.terminate()
        code = process.wait(60 * SLOW)
    expect(code, 0, "exit code")
    expect(root.must("stat", "-c", "%U %a", "/var/lib/serin/serin.db").strip(), "serin 600", "whose the state is")


@case(starts_proxy=False)
def it_installs_runs_upgrades_and_purges_clean(stage):
    expect(os.geteuid(), 0, "user: only root may install")
    deb, root = package(stage), Root(stage)
    if not root.is_there:
        print(f"not played: no layer can be mounted here ({root.holder.communicate()[1].strip()})")
        return
    try:
        before = {path: root.must("cat", path) for path in ("/etc/passwd", "/etc/group")}
        here = copied(root, deb, "serin.deb")
        for _ in range(2):  # again is fine
            root.dpkg("-i", here)
            expect(root.must("stat", "-c", "%U:%G %a", "/var/lib/serin").strip(), "serin:serin 750", "where its state goes")
        root.must("/usr/bin/serin", "check", "-c", "/etc/serin/serin.yaml")
        runs_as_its_unit_says(root)
        verified = root.tried("systemd-analyze", "verify", "serin.service", "serin.socket")
        expect([line for line in (verified.stdout + verified.stderr).split("\n") if "serin" in line], [], "what systemd says of the units")
        root.must("sh", "-c", "echo '# ours' >>/etc/serin/serin.yaml")
        state = root.must("sha256sum", "/var/lib/serin/serin.db")
        root.dpkg("-i", copied(root, newer(stage, deb), "newer.deb"))
        expect(root.must("tail", "-1", "/etc/serin/serin.yaml"), "# ours\n", "the configuration after an upgrade")
        expect(root.must("sha256sum", "/var/lib/serin/serin.db"), state, "the state after an upgrade")
        runs_as_its_unit_says(root)
        root.must("systemctl", "enable", "serin.socket")
        root.dpkg("-r", "serin")
        expect(root.must("tail", "-1", "/etc/serin/serin.yaml"), "# ours\n", "the configuration after a removal")
        expect(root.tried("test", "-e", "/var/lib/serin/serin.db").returncode, 0, "the state is there after a removal")
        expect(root.tried("test", "-e", "/usr/bin/serin").returncode, 1, "the program is gone")
        for _ in range(2):
            root.dpkg("-P", "serin")
        expect(root.traces(), [], "what is left")
        for path, text in before.items():
            expect(root.must("cat", path), text, path)
    finally:
        root.close()


if __name__ == "__main__":
    run(__file__)
