"""The whole story on real parts: a Pages site in two deployments on the real Pages runtime, each at its own *.pages.dev
host, visitors, a stand-in for the platform's API, which is watched, and a real Alertmanager that tells its receiver.

The new deployment goes live at the platform, begins to get traffic, and starts to fail. In the end the traffic is back,
the platform was told once and went back, people heard of the alert and of its end, a report is on disk, the history
has a row `Success`, and no visitor who asked safely saw an error."""

import http.client
import json
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from certificates import Authority  # noqa: E402
from pages_api import PagesApi  # noqa: E402
from pages_site import PagesSite  # noqa: E402
from play import SLOW, bare_environment, case, expect, health, run, wait_for  # noqa: E402
from receiver import Alertmanager, Receiver  # noqa: E402
from serin import leads  # noqa: E402

PATIENCE_S = 120
PROJECT, PUBLIC = "shop", "www.shop.test"
GOOD, BAD = "9c2e1a4b-0000-4000-8000-000000000001", "d7a3f2b1-0000-4000-8000-000000000002"
# The first step is where the story plays.
SLOWLY = {"steps": ["40%", "100%"], "min_time": "1h", "max_time": "2h", "bake": "1h"}
SAFE = ("/", "/api/items", "/about", "/app.js", "/api/items", "/old")
REQUESTS_OF_A_VISIT = 9
EVENTS = {"first_failure", "rollback.start", "weight", "platform.ack"}


def host_of(identity):
    return f"{identity[:8]}.{PROJECT}.pages.dev"


class Visitors:
    """Browsers that come, look at some pages and order something, keep their cookies as long as they stay, and go.
    What each request got is kept: (method, path, status or what went wrong, deployment, fields)."""

    def __init__(self, port, count=4):
        self.port = port
        self.seen = []
        self.is_ended = threading.Event()
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        while not self.is_ended.is_set():
            self._visit()

    def _visit(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120 * SLOW)
        cookies = {}
        try:
            for number in range(REQUESTS_OF_A_VISIT):
                method, path = ("POST", "/api/order") if number == 4 else ("GET", SAFE[number % len(SAFE)])
                self.seen.append(self._ask(connection, method, path, cookies))
                if self.is_ended.wait(0.02 * SLOW):
                    return
        finally:
            connection.close()

    @staticmethod
    def _ask(connection, method, path, cookies):
        fields = {"Host": PUBLIC}
        if cookies:
            fields["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        try:
            connection.request(method, path, b"one" if method == "POST" else None, fields)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return method, path, repr(error), None, {}
        for line in response.headers.get_all("Set-Cookie") or []:
            name, _, value = line.split(";")[0].partition("=")
            cookies[name] = value
        return method, path, response.status, response.headers.get("x-deployment"), dict(response.headers)

    def count_of(self, deployment):
        return sum(one[3] == deployment for one in list(self.seen))

    def last(self, count):
        return list(self.seen)[-count:]

    def stop(self):
        self.is_ended.set()
        for thread in self.threads:
            thread.join(150 * SLOW)


class Story:
    def __init__(self, stage):
        self.stage, self.name = stage, stage.name
        self.folder = os.path.join(stage.folder, stage.name)
        self.reports = os.path.join(self.folder, "incidents")
        authority = Authority(os.path.join(self.folder, "certificates"))
        pair = authority.make("pages", f"DNS:*.{PROJECT}.pages.dev")
        self.api, self.sites, self.visitors, self.manager = PagesApi(), [], None, None
        self.people = Receiver()
        try:
            self.sites = [PagesSite(self.folder, name, host_of(identity), pair)
                          for name, identity in (("v1", GOOD), ("v2", BAD))]
            self.project = self.api.project(PROJECT)
            self.manager = Alertmanager(webhook=self.people.url)
            self.v1, self.v2 = [site.wait_ready() for site in self.sites]
            self.deploy(GOOD, self.v1)
            self.serin = stage.start_serin(self.settings(self.service(authority)), wrapper=leads(self.folder, {site.host: site.address for site in self.sites}),
                                           environment={"CLOUDFLARE_API_TOKEN": self.api.token})
            self.visitors = Visitors(self.serin.port)
        except BaseException:
            self.close()
            raise

    def settings(self, service):
        return {"services": [service], "incidents": self.reports, "timeouts": {"connect": "60s"},
                "alerts": [{"alertmanager": self.manager.url}]}

    def service(self, authority):
        service = self.stage.service(
            hosts=[PUBLIC], sticky={"by": "cookie"}, rescue={}, rollout=SLOWLY,
            origin_tls={"ca": authority.path("ca.pem")}, health=health(unhealthy=5, every_ms=2000),
            previous={"deployment": GOOD[:8], "url": f"https://{host_of(GOOD)}"},
            platform={"pages": {"project": PROJECT, "account": self.api.account, "watch": True, "watch_every": "2s",
                                "api_base": self.api.base}})
        del service["weight"], service["current"]
        return service

    def deploy(self, identity, site):
        self.project.deploy(identity[:4] * 10, f"makes {site.name}", identity=identity)

    def is_watched(self):
        """Two looks at what is live: the second one begins when the first one has ended."""
        lists = [told for told in self.api.told("GET") if told.path.endswith("/deployments")]
        return len(lists) >= 2

    def record(self):
        """The record when all of its parts have ended."""
        rows = self.serin.admin("GET", "/api/v1/rollbacks").json["rollbacks"]
        whole = [row for row in rows if None not in row["phases"].values() and row["status"] != "in_progress"]
        return whole[0] if whole else None

    def report(self, identity):
        path = os.path.join(self.reports, identity, "report.json")
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
        events = {moment["event"] for moment in report["time_line"]}
        return report if report["is_complete"] and EVENTS <= events else None

    def heard(self):
        """What people were told of the rollback: firing, resolved."""
        posts = [json.loads(message["body"]) for message in list(self.people.taken)]
        return [alert["status"] for post in posts for alert in post["alerts"]
                if (alert["labels"]["alertname"], alert["labels"].get("deployment")) == ("SerinRollback", BAD[:8])]

    def verb(self, *words):
        environment = {**bare_environment(), "SERIN_ADMIN": f"http://127.0.0.1:{self.serin.admin_port}"}
        done = subprocess.run([self.stage.binary, *words], env=environment, capture_output=True, text=True, check=False,
                              timeout=60 * SLOW)
        expect(done.returncode, 0, f"serin {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def close(self):
        if self.visitors:
            self.visitors.stop()
        for site in self.sites:
            site.stop()
        if self.manager:
            self.manager.stop()
        self.people.stop()
        self.api.stop()


def new_deployment_gets_its_share(story):
    wait_for(lambda: story.visitors.count_of("v1") >= 40, "visitors see the first one", PATIENCE_S)
    wait_for(story.is_watched, "what is live is known", PATIENCE_S)
    expect(story.visitors.count_of("v2"), 0, "the other one, before it is live")
    story.deploy(BAD, story.v2)
    wait_for(lambda: story.visitors.count_of("v2") >= 60, "visitors see the new one", PATIENCE_S)
    expect(story.serin.service(story.name)["phase"], "progressing", "the rollout")


def traffic_comes_back(story):
    story.v2.breaks()
    record = wait_for(story.record, "the rollback has ended in all its parts", PATIENCE_S)
    state = story.serin.service(story.name)
    expect((state["phase"], state["weight"]["set"]), ("rolled_back", 0), "the service")
    seen = len(story.visitors.seen)
    wait_for(lambda: len(story.visitors.seen) > seen + 100, "visitors go on", PATIENCE_S)
    expect({one[3] for one in story.visitors.last(60)} <= {"v1", None}, True, "only the good one is seen")
    return record


def platform_went_back(story, record):
    posts = story.api.told("POST")
    expect([post.path.rsplit("/", 2)[1:] for post in posts], [[GOOD, "rollback"]], "what the platform was told")
    expect((story.project.canonical, record["evidence"]["platform"]), (GOOD, "acknowledged"), "what is live there")


def people_were_told(story):
    wait_for(lambda: "resolved" in story.heard(), "the alert is over", PATIENCE_S)
    expect((story.heard()[0], story.heard()[-1]), ("firing", "resolved"), f"alerts {story.heard()}")
    wait_for(lambda: not story.manager.alerts(alertname="SerinRollback"), "the Alertmanager has it no more", PATIENCE_S)


def record_is_kept(story, record):
    expect((record["deployment"], record["target"], record["status"], record["trigger"]),
           (BAD[:8], GOOD[:8], "success", "error_rate"), "the record")
    phases = record["phases"]
    order = [phases[name] for name in ("detect_s", "decide_s", "shift_s", "verify_s")]
    expect(order, sorted(order), f"phases {phases}")
    rows = [line for line in story.verb("history").splitlines() if BAD[:8] in line]
    expect((len(rows), "Success" in rows[0]), (1, True), f"rows of the history {rows}")
    story.verb("history", "--verify")


def report_is_on_disk(story, record):
    report = wait_for(lambda: story.report(record["id"]), "the report is complete", PATIENCE_S)
    expect(report["record"]["status"], "success", "its record")
    routes = {(row["route"], row["status"]) for row in report["routes"]}
    expect(("/api/items", 503) in routes, True, f"failing routes {routes}")
    for name in ("report.md", "chart.svg", "requests.jsonl"):
        expect(os.path.getsize(os.path.join(story.reports, record["id"], name)) > 0, True, name)


def visitors_saw_nothing(story):
    story.visitors.stop()
    seen = story.visitors.seen
    bad = [one[:3] for one in seen if one[0] == "GET" and one[2] not in (200, 301)]
    rescues = story.serin.metrics().by("serin_rescues_total", "result", service=story.name)
    # Where the machine is so busy that the stable version becomes slow, it is not asked for more than its share.
    refused = int(sum(count for result, count in rescues.items() if result != "success"))
    expect((bad[refused:], rescues.get("success", 0) > 0), ([], True), f"errors that visitors saw, rescues {rescues}")
    told = [one for one in seen if "x-robots-tag" in str(one[4]).lower() or ".pages.dev" in str(one[4])]
    expect(told, [], "answers that tell of the origin's name")


@case(starts_proxy=False)
def new_deployment_that_fails_is_taken_back_and_nobody_saw_it(stage):
    story = Story(stage)
    try:
        new_deployment_gets_its_share(story)
        record = traffic_comes_back(story)
        platform_went_back(story, record)
        people_were_told(story)
        record_is_kept(story, record)
        report_is_on_disk(story, record)
        visitors_saw_nothing(story)
        platform_went_back(story, record)
        expect(story.api.token in story.serin.log(), False, "the token in the log")
    finally:
        story.close()


if __name__ == "__main__":
    run(__file__)
