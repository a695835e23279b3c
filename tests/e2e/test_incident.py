"""Each rollback gets a report: what failed, for whom, what was decided; without a secret, and through a crash."""

import glob
import json
import os
import stat
import subprocess
import sys
import threading
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from pages_api import PagesApi  # noqa: E402
from play import SLOW, bare_environment, case, expect, run, wait_for  # noqa: E402
from wire import answer  # noqa: E402

SECRETS = ["s3cr3t-bearer", "s3cr3t-basic", "s3cr3t-cookie", "s3cr3t-apikey", "s3cr3t-own", "s3cr3t-query",
           "s3cr3t-set", "s3cr3t-location", "s3cr3t-referer", "s3cr3t-custom"]
FIELDS = (b"Authorization: Bearer s3cr3t-bearer\r\nProxy-Authorization: Basic s3cr3t-basic\r\n"
          b"Cookie: session=s3cr3t-cookie\r\nX-Api-Key: s3cr3t-apikey\r\nX-Customer: s3cr3t-own\r\n"
          b"X-Auth-Token: s3cr3t-custom\r\nReferer: http://shop.test/a?code=s3cr3t-referer\r\n")
QUICK = {"every": f"{int(200 * SLOW)}ms"}


class Traffic:
    """Requests one after the other, each on a connection of its own, until it is told to stop."""

    def __init__(self, stage, serin, path_of=lambda number: b"/shop/%d" % number, fields=b"", method=b"GET"):
        self.stage, self.serin, self.path_of, self.fields, self.method = stage, serin, path_of, fields, method
        self.is_ended = threading.Event()
        self.statuses = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        number = 0
        while not self.is_ended.is_set():
            number += 1
            try:
                link = self.serin.connect("traffic")
                link.send(b"%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n"
                          % (self.method, self.path_of(number), self.stage.host.encode(), self.fields))
                link.sock.settimeout(10 * SLOW)
                got = b""
                while piece := link.sock.recv(65536):
                    got += piece
                link.close()
                self.statuses.append(int(got[9:12]) if len(got) > 12 else 0)
            except (OSError, ValueError):
                self.statuses.append(0)
            self.is_ended.wait(0.004)

    def stop(self):
        self.is_ended.set()
        self.thread.join(20 * SLOW)


def folder_of(stage):
    return os.path.join(stage.folder, stage.name, "reports")


class Scene:
    """A stable and a canary origin; `incidents` as the configuration has it."""

    def __init__(self, stage, incidents=None, settings=None, rescue="off", **service):
        self.stage = stage
        self.stable, self.canary = stage.origin, stage.canary
        self.stable.reply = answer(body=b"stable")
        self.canary.reply = answer(body=b"canary")
        self.folder = folder_of(stage)
        self.serin = stage.start_serin({
            "incidents": self.folder if incidents is None else incidents, **(settings or {}),
            "services": [stage.service(
                weight="50%", rollback=QUICK, rescue=rescue,
                previous={"deployment": "s", "endpoints": [self.stable.url]},
                current={"deployment": "c", "endpoints": [self.canary.url]}, **service)]})

    def breaks(self, fields=()):
        self.canary.reply = answer(500, fields=list(fields), body=b"broken")

    def phase(self):
        return self.serin.service(self.stage.name)["phase"]

    def roll_back(self, **traffic):
        """The canary breaks under traffic; returns the record and its report when both are complete."""
        load = Traffic(self.stage, self.serin, **traffic)
        try:
            wait_for(lambda: len(load.statuses) > 30, "traffic flows", 30)
            self.breaks(["Set-Cookie: id=s3cr3t-set", "Location: /x?token=s3cr3t-location"])
            wait_for(lambda: self.phase() == "rolled_back", "it is rolled back", 60)
        finally:
            load.stop()
        record = self.record()
        return record, wait_for(lambda: self.report(record["incident"]), "the report is complete", 30)

    def record(self):
        return self.serin.rollback_of(self.stage.name)

    def report(self, incident):
        found = self.serin.admin("GET", f"/api/v1/incidents/{incident}")
        return found.json if found.status == 200 and found.json["is_complete"] else None


def near(real, wanted, what):
    """One request may have been under way when one of the two was counted for the last time."""
    expect(wanted - 1 <= real <= wanted + 1, True, f"{what}: {real} for {wanted}")


def verb(stage, *words):
    environment = {**bare_environment(), "SERIN_ADMIN": f"http://127.0.0.1:{stage.serin.admin_port}"}
    done = subprocess.run([stage.binary, *words], env=environment, capture_output=True, check=False, timeout=30 * SLOW)
    stage.transcript.note("test", f"serin {' '.join(words)}: {done.returncode} {done.stderr}")
    return done.returncode, done.stdout


def bytes_below(folder):
    for path in glob.glob(os.path.join(folder, "**"), recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                yield path, file.read()


def no_secret(scene):
    paths = [*bytes_below(scene.folder)]
    expect(len(paths), 5, "files of the report")
    for extra in glob.glob(scene.serin.settings["state"] + "*") + [scene.serin.log_path]:
        with open(extra, "rb") as file:
            paths.append((extra, file.read()))
    for path, content in paths:
        for secret in SECRETS:
            expect(secret.encode() in content, False, f"{secret} in {path}")


@case(starts_proxy=False)
def a_rollback_leaves_a_report_that_names_what_failed(stage):
    scene = Scene(stage, rescue={})
    record, report = scene.roll_back()
    expect(record["incident"], record["id"], "the record names its report")
    expect(report["record"]["status"], "success", "the record in the report")
    expect([(row["route"], row["method"], row["status"]) for row in report["routes"]], [("/shop/{n}", "GET", 500)],
           "failing routes")
    near(report["counts"]["failed"], record["bad_responses"]["origin"], "failures noted")
    expect(report["routes"][0]["failed"], report["counts"]["failed"], "failures of the route")
    near(report["counts"]["client_bad"], record["bad_responses"]["client"], "failures that clients saw")
    rescues = scene.serin.metrics().by("serin_rescues_total", "result", service=stage.name).get("success", 0)
    near(report["counts"]["rescued"], rescues, "rescued")
    expect(report["failures"], {"origin_5xx": report["counts"]["failed"]}, "kinds")
    expect(len(report["pairs"]) > 0, True, "paired evidence")
    for pair in report["pairs"]:
        expect((pair["canary"]["status"], pair["stable"]["status"], pair["stable"]["bytes"]), (500, 200, 6), f"{pair}")
    events = [moment["event"] for moment in report["time_line"]]
    expect([event for event in ("first_failure", "rollback.start", "weight") if event not in events], [], f"{events}")
    expect(sorted(report["time_line"], key=lambda moment: moment["timestamp"]), report["time_line"], "order of time")
    expect(len(report["points"]) > 0, True, "points of the chart")


@case(starts_proxy=False)
def report_is_on_disk_and_at_the_api(stage):
    scene = Scene(stage)
    record, report = scene.roll_back()
    folder = os.path.join(scene.folder, record["id"])
    expect(sorted(os.listdir(folder)), ["access.log", "chart.svg", "report.json", "report.md", "requests.jsonl"], "files")
    wait_for(lambda: not [name for name in os.listdir(scene.folder) if name.startswith(".")], "nothing is left of writing", 30)

    def same(incident, ending, name):
        """The API's answer, if it is what the file has; the report may be written once more between the two."""
        found = scene.serin.admin("GET", f"/api/v1/incidents/{incident}{ending}")
        with open(os.path.join(folder, name), "rb") as file:
            return found if found.body == file.read() else None

    kinds = {"": "application/json", ".json": "application/json", ".md": "text/markdown; charset=utf-8",
             ".svg": "image/svg+xml"}
    names = {"": "report.json", ".json": "report.json", ".md": "report.md", ".svg": "chart.svg"}
    for ending, kind in kinds.items():
        found = wait_for(lambda: same(record["id"], ending, names[ending]), f"the API has what is on disk: {ending}", 30)
        expect((found.status, found.fields["Content-Type"]), (200, kind), ending)
        expect(found.fields["X-Content-Type-Options"], "nosniff", "nosniff")
        expect("default-src 'none'" in (found.fields["Content-Security-Policy"] or ""), ending == ".svg", "policy")
    picture = xml.etree.ElementTree.parse(os.path.join(folder, "chart.svg")).getroot()
    expect(picture.tag, "{http://www.w3.org/2000/svg}svg", "the chart")
    lines = [json.loads(line) for line in open(os.path.join(folder, "requests.jsonl"), encoding="utf-8")]
    expect(len(lines), report["counts"]["described"], "failed requests in full")
    expect({(line["failure"], line["canary"]["status"], line["deployment"]) for line in lines}, {("origin_5xx", 500, "c")},
           "of what they tell")
    expect(all(line["request_head"].startswith("GET /shop/") for line in lines), True, "request heads")
    with open(os.path.join(folder, "access.log"), encoding="utf-8") as file:
        expect(any(json.loads(line)["status"] == 500 for line in file), True, "failed requests in the access log")
    with open(os.path.join(folder, "report.md"), encoding="utf-8") as file:
        text = file.read()
    for heading in ("Harm", "What to do next", "Recovery time", "Decision", "Time line", "Failing routes"):
        expect(f"# {heading}\n" in text, True, heading)


@case(starts_proxy=False)
def report_can_be_had_on_the_command_line(stage):
    scene = Scene(stage)
    expect((verb(stage, "incident")[0], verb(stage, "incident", "rb-20200101T000000-000abcdef")[0]), (1, 3), "exit codes")
    record, _ = scene.roll_back()
    for words, ending in ((), "md"), ((record["id"],), "md"), ((record["id"], "--json"), "json"), (("--svg",), "svg"):
        body = scene.serin.admin("GET", f"/api/v1/incidents/{record['id']}.{ending}").body
        expect(verb(stage, "incident", *words), (0, body), f"serin incident {words}")
    expect(verb(stage, "incident", "--json", "--svg")[0], 2, "both")
    expect(verb(stage, "incident", "x/serin.db")[0] in (2, 3), True, "another file")


@case(starts_proxy=False)
def its_writing_is_counted_and_on_the_trail(stage):
    scene = Scene(stage)
    record, _ = scene.roll_back()

    def on_trail():
        rows = scene.serin.admin("GET", "/api/v1/audit?limit=200").json["audit"]
        return [row for row in rows if row["action"] == "incident.written" and record["id"] in json.dumps(row)]

    expect(len(wait_for(on_trail, "the audit trail tells of it", 20)), 1, "rows")
    wait_for(lambda: record["id"] in scene.serin.log() and "is complete" in scene.serin.log(), "the log tells of it", 20)
    metrics = scene.serin.metrics()
    expect((metrics.sum("serin_incident_reports_total", result="written") >= 1,
            metrics.sum("serin_incident_reports_total", result="failed")), (True, 0), "reports")


@case(starts_proxy=False)
def log_of_the_build_is_in_the_report(stage):
    api = PagesApi()
    try:
        project = api.project("demo")
        good = project.deploy("a" * 40)["id"]
        bad = project.deploy("b" * 40)["id"]
        project.logs[bad] = ["\x1b[31mnpm WARN\x1b[0m <script>x</script>", "Deployed\r", "\x1b]0;title\x07end"]
        folder = folder_of(stage)
        serin = stage.start_serin({"incidents": folder, "services": [stage.service(
            weight="50%", previous={"deployment": good[:8], "endpoints": [stage.origin.url]},
            current={"deployment": bad[:8], "endpoints": [stage.canary.url]},
            platform={"pages": {"project": "demo", "account": api.account, "api_base": api.base}})]},
            environment={"CLOUDFLARE_API_TOKEN": api.token})
        answered = serin.admin("POST", f"/api/v1/services/{stage.name}/rollback", {"reason": "it hurts", "mode": "instant"})
        identity = answered.json["id"]

        def built():
            found = serin.admin("GET", f"/api/v1/incidents/{identity}")
            return found.json if found.status == 200 and found.json["is_complete"] and "build_log_end" in found.json else None

        report = wait_for(built, "the report has the build's log", 60)
        expect("build.log" in report["files"], True, f"{report['files']}")
        with open(os.path.join(folder, identity, "build.log"), encoding="utf-8") as file:
            text = file.read()
        expect(("npm WARN" in text, "<script>x</script>\n" in text, "\x1b" in text, "\r" in text), (True, True, False, False), text)
        shown = serin.admin("GET", f"/api/v1/incidents/{identity}.md").body.decode()
        block = shown[shown.index("## The end of the build log\n\n") :].split("\n")[2:]
        expect([line for line in block[: block.index("")] if not line.startswith("    ")], [], "it is a block of code")
        expect("platform.ack" in [moment["event"] for moment in report["time_line"]], True, "the platform's word")
        for path, content in bytes_below(folder):
            expect(api.token.encode() in content, False, f"the token in {path}")
    finally:
        api.stop()


@case(starts_proxy=False)
def no_secret_gets_into_a_report(stage):
    scene = Scene(stage, incidents={"path": folder_of(stage), "redact": ["X-Customer"]}, rescue={})
    record, _ = scene.roll_back(path_of=lambda number: b"/pay/%d?token=s3cr3t-query" % number, fields=FIELDS)
    with open(os.path.join(scene.folder, record["id"], "requests.jsonl"), encoding="utf-8") as file:
        head = json.loads(file.readline())["request_head"]
    for name in ("Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "X-Customer", "X-Auth-Token"):
        expect(f"{name}: [redacted]\n" in head, True, f"{name} in {head!r}")
    expect(head.startswith("GET /pay/"), True, head)
    scene.serin.stop()
    no_secret(scene)


@case(starts_proxy=False)
def names_of_reports_lead_nowhere_else(stage):
    scene = Scene(stage)
    scene.roll_back()
    with open(os.path.join(stage.folder, stage.name, "report.json"), "w", encoding="utf-8") as file:
        file.write("{}")
    for name in ("..", "%2e%2e", "..%2f", "%2e%2e%2fserin.db", ".new-x", "-x", "x", "x.md", "a" * 200, ".json", "a%00b"):
        status = scene.serin.admin("GET", f"/api/v1/incidents/{name}").status
        expect(status in (400, 404), True, f"{name}: {status}")
    expect(scene.serin.admin("GET", "/api/v1/incidents/x?y=1").status, 400, "an unknown parameter")
    expect(scene.serin.admin("POST", "/api/v1/incidents/x").status, 405, "POST")


@case(starts_proxy=False)
def what_attackers_write_stays_text(stage):
    paths = [b"/<script>alert(1)</script>", b"/\"quoted\"|[x](javascript:a)", b"/`code`&amp;**b**", b"/\xff\xfe\xc3",
             b"/%0a%0d", b"/${jndi}", b"/\xc2\x9b31m\xe2\x80\xae"]
    scene = Scene(stage)
    record, report = scene.roll_back(path_of=lambda number: paths[number % len(paths)])
    routes = {row["route"] for row in report["routes"]}
    expect("/%0a%0d" in routes, True, f"{routes}")
    text = scene.serin.admin("GET", f"/api/v1/incidents/{record['id']}.md").body.decode("utf-8")
    for bad in ("<script", "](javascript", "**b**", "`code`"):
        expect(bad in text, False, f"{bad} in the report")
    expect("script" in text, True, "the route is named all the same")
    expect([char for char in text if char in "\x1b\r\x9b\u202e"], [], "what terminals obey")
    for path, content in bytes_below(scene.folder):
        expect([what for what in (b"\xc2\x9b", b"\xe2\x80\xae", b"\r", b"\x1b") if what in content], [], f"in {path}")
    for row in text.splitlines():
        if row.startswith("| GET "):
            expect(row.count(" |"), 6, f"cells of {row!r}")
    xml.etree.ElementTree.fromstring(scene.serin.admin("GET", f"/api/v1/incidents/{record['id']}.svg").body)


@case(starts_proxy=False)
def a_thousand_paths_are_counted_in_bounded_memory(stage):
    scene = Scene(stage, incidents={"path": folder_of(stage), "failures": 10})

    def path_of(number):
        return b"/hot" if number % 3 == 0 else b"/page-%s" % "".join(chr(97 + int(d)) for d in str(number)).encode()

    record, report = scene.roll_back(path_of=path_of)
    near(report["counts"]["failed"], record["bad_responses"]["origin"], "all are counted")
    expect(sum(row["failed"] for row in report["routes"]) + report["other_routes"], report["counts"]["failed"], "the sum")
    expect(len(report["routes"]) <= 20, True, "rows")
    expect(report["counts"]["described"] <= 10, True, "described")


@case(starts_proxy=False)
def clients_are_counted_by_their_buckets(stage):
    scene = Scene(stage, sticky={"by": "header", "name": "X-User"})
    load = Traffic(stage, scene.serin, fields=b"X-User: one\r\n")
    others = [Traffic(stage, scene.serin, fields=b"X-User: user-%d\r\n" % number) for number in range(7)]
    try:
        wait_for(lambda: len(load.statuses) > 20, "traffic flows", 30)
        scene.breaks()
        wait_for(lambda: scene.phase() == "rolled_back", "it is rolled back", 60)
    finally:
        for one in [load, *others]:
            one.stop()
    record = scene.record()
    report = wait_for(lambda: scene.report(record["incident"]), "the report is complete", 30)
    buckets = set()
    with open(os.path.join(scene.folder, record["id"], "requests.jsonl"), encoding="utf-8") as file:
        for line in file:
            buckets.add(json.loads(line)["bucket"])
    clients = report["clients"]
    expect((clients["is_at_least"], clients["requests_without_bucket"]), (False, 0), "all have a bucket")
    expect(1 <= len(buckets) <= clients["distinct"] <= 8, True, f"{clients} and {buckets}")


@case(starts_proxy=False)
def killed_before_its_end_a_report_is_finished_by_the_next_process(stage):
    scene = Scene(stage, settings={"timeouts": {"connect": "2s"}})
    load = Traffic(stage, scene.serin)
    try:
        wait_for(lambda: len(load.statuses) > 30, "traffic flows", 30)
        scene.breaks()

        def begun():
            for path in glob.glob(os.path.join(scene.folder, "rb-*", "report.json")):
                with open(path, encoding="utf-8") as file:
                    report = json.load(file)
                if not report["is_complete"]:
                    return report
            return None

        wait_for(begun, "the beginning of a report", 60, 0.002)
        scene.serin.kill()
    finally:
        load.stop()
    before = begun() or {"is_complete": True}
    expect(before["is_complete"], False, "the report before the crash")
    scene.serin.start()
    wait_for(lambda: scene.phase() == "rolled_back", "it is rolled back in the end", 60)
    report = wait_for(lambda: scene.report(before["id"]), "the report is complete", 30)
    expect(report["record"]["status"], "success", "its record")
    expect(report["routes"], before["routes"], "what the process before knew")
    expect(report["points"][:len(before["points"])], before["points"], "the chart")
    expect([note for note in report["notes"] if "restarted" in note] != [], True, f"what was lost: {report['notes']}")
    with open(os.path.join(scene.folder, before["id"], "requests.jsonl"), encoding="utf-8") as file:
        expect(len(file.readlines()), before["counts"]["described"], "failed requests in full")


@case(starts_proxy=False)
def folder_that_cannot_be_written_delays_nothing(stage):
    os.makedirs(os.path.join(stage.folder, stage.name))
    blocker = os.path.join(stage.folder, stage.name, "blocker")
    with open(blocker, "w", encoding="utf-8") as file:
        file.write("not a folder")
    scene = Scene(stage, incidents=os.path.join(blocker, "reports"))
    load = Traffic(stage, scene.serin)
    try:
        wait_for(lambda: len(load.statuses) > 30, "traffic flows", 30)
        scene.breaks()
        wait_for(lambda: scene.phase() == "rolled_back", "it is rolled back", 60)
    finally:
        load.stop()
    wait_for(lambda: any("incident reports cannot be written" in one for one in scene.serin.conditions()), "a condition says so")
    wait_for(lambda: scene.serin.metrics().sum("serin_condition", condition="incidents") == 1, "the condition's metric")
    expect(scene.serin.admin("GET", f"/api/v1/incidents/{scene.record()['id']}").status, 404, "the report")
    os.unlink(blocker)
    wait_for(lambda: scene.report(scene.record()["id"]), "it is written when it can be", 30)
    wait_for(lambda: scene.serin.conditions() == [], "the condition is over")


@case(starts_proxy=False)
def a_report_that_waited_for_the_next_rollback_has_its_chart(stage):
    """The next rollback begins before the first one's report could be written: nothing of it is missing."""
    os.makedirs(os.path.join(stage.folder, stage.name))
    blocker = os.path.join(stage.folder, stage.name, "blocker")
    with open(blocker, "w", encoding="utf-8") as file:
        file.write("not a folder")
    scene = Scene(stage, incidents=os.path.join(blocker, "reports"))
    load = Traffic(stage, scene.serin)
    service = f"/api/v1/services/{stage.name}"
    try:
        wait_for(lambda: len(load.statuses) > 30, "traffic flows", 30)
        scene.breaks()
        wait_for(lambda: scene.phase() == "rolled_back", "it is rolled back", 60)
        first = scene.record()["id"]
        scene.canary.reply = answer(body=b"canary")
        expect(scene.serin.admin("POST", f"{service}/quarantine/c/release", {"reason": "mended"}).status, 200, "release")
        expect(scene.serin.set_weight(stage.name, 50).status, 200, "weight")
        expect(scene.serin.admin("POST", f"{service}/rollback", {"reason": "once more", "mode": "instant"}).status, 202, "rollback")
        wait_for(lambda: scene.record()["id"] != first, "the second is on record", 60)
    finally:
        load.stop()
    os.unlink(blocker)
    report = wait_for(lambda: scene.report(first), "the first report is written", 60)
    expect(len(report["points"]) > 0, True, "points of the chart")
    wait_for(lambda: scene.report(scene.record()["id"]), "the second report is written", 60)


@case(starts_proxy=False)
def reports_can_be_off(stage):
    scene = Scene(stage, incidents="off")
    load = Traffic(stage, scene.serin)
    try:
        wait_for(lambda: len(load.statuses) > 30, "traffic flows", 30)
        scene.breaks()
        wait_for(lambda: scene.phase() == "rolled_back", "it is rolled back", 60)
    finally:
        load.stop()
    expect((scene.record()["incident"], os.path.exists(os.path.join(stage.folder, stage.name, "incidents"))), (None, False), "reports")


@case(starts_proxy=False)
def oldest_reports_make_room(stage):
    folder = folder_of(stage)
    for number in range(5):
        os.makedirs(os.path.join(folder, f"rb-2020010{number}T000000-000abcdef"))
    os.makedirs(os.path.join(folder, "kept by somebody"))
    scene = Scene(stage, incidents={"path": folder, "keep": 2})
    record, _ = scene.roll_back()
    wait_for(lambda: sorted(name for name in os.listdir(folder) if name.startswith("rb-"))
             == ["rb-20200104T000000-000abcdef", record["id"]], "the two newest", 10)
    expect(os.path.isdir(os.path.join(folder, "kept by somebody")), True, "what is no report")
    mode = stat.S_IMODE(os.stat(os.path.join(folder, record["id"], "requests.jsonl")).st_mode)
    expect(mode & 0o007, 0, "others may not read it")


if __name__ == "__main__":
    run(__file__, parallel=3)
