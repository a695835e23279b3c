"""The edge on real parts: Chromium loads a site through Serin over HTTP/2 and TLS, from two deployments on the real Pages
runtime, each behind TLS at its own *.pages.dev host, while an operator moves the weight up and down again.

The files of a release have names of their own, as bundlers make them. Everybody stays with the version of their cookie
while the weight stands, and where a move goes past a page that is being loaded, it gets the files it asks for from the
release that has them: no request fails and the console has nothing to say. (A canary without weight is asked for nothing,
so when it loses its last weight those who have its cookie are just reading.)"""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from browser import Browser  # noqa: E402
from certificates import Authority, key_pin  # noqa: E402
from pages_site import HTTPS, PagesSite, free_address  # noqa: E402
from play import SLOW, case, expect, free_port, run, wait_for  # noqa: E402
from serin import leads  # noqa: E402
from tap import Tap  # noqa: E402

PATIENCE_S = 120
PUBLIC, PROJECT = "www.shop.test", "shop"
HOSTS = {"v1": f"9c2e1a4b.{PROJECT}.pages.dev", "v2": f"d7a3f2b1.{PROJECT}.pages.dev"}
ROLES = {"v1": "previous", "v2": "current"}
WEIGHTS = (10, 50, 100, 20, 0)
REGULARS = 3
# How many come at each weight, and how many of those stay.
NEWCOMERS = {10: (2, 2), 50: (6, 2), 100: (1, 0), 20: (1, 0), 0: (1, 0)}
UNTOLD_MAX = 0.02
WORKERS = 2
REQUESTS_OF_A_PAGE = 8

PAGE = """<!doctype html><html lang=en><meta charset=utf-8><title>NAME</title><link rel=icon href="data:,">
<link rel=stylesheet href=/style-NAME.css><script src=/app-NAME.js defer></script>
<img id=logo src=/logo-NAME.svg alt=""><p>release NAME"""
SCRIPT = """
async function ask(path, more) {
  const answer = await fetch(path, more);
  if (!answer.ok) {
    throw new Error(`${path}: ${answer.status}`);
  }
  await answer.text();
  return answer.headers.get("x-deployment");
}
window.whole = (async () => {
  const logo = document.getElementById("logo");
  await logo.decode().catch(() => {});
  const fetched = await Promise.all([ask("/data.json"), ask("/api/items"), ask("/api/moved"),
    ask("/api/order", {method: "POST", body: "one"})]);
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  return {
    page: document.title, script: "NAME", style: getComputedStyle(document.body).getPropertyValue("--release"),
    logo: `v${logo.naturalWidth}`, fetched, url: location.href,
    protocols: [...new Set(entries.filter((entry) => entry.name.startsWith(location.origin)).map((entry) => entry.nextHopProtocol))],
    requests: entries.filter((entry) => entry.name.startsWith(location.origin)).length,
  };
})();
"""
# What the edge of pages.dev adds to answers of a deployment's own host, the runtime is told to add here.
FUNCTION = """
export async function onRequest({ request, params }) {
    await request.text();
    const headers = { "x-deployment": "NAME", "x-robots-tag": "noindex", "cache-control": "no-store",
                      "set-cookie": "kept=NAME; Domain=.pages.dev; Path=/; Secure" };
    if (params.what === "moved") {
        return new Response(null, { status: 302, headers: { ...headers, location: "https://HOST/api/items" } });
    }
    return Response.json({ what: params.what }, { status: request.method === "POST" ? 201 : 200, headers });
}
"""
FILES = {
    "public/index.html": PAGE, "public/about.html": PAGE, "public/app-NAME.js": SCRIPT, "public/data.json": '{"is": "NAME"}',
    "public/style-NAME.css": "body { --release: NAME; margin: 0 }",
    "public/_headers": "/*\n  x-deployment: NAME\n  x-robots-tag: noindex\n  cache-control: no-store\n",
    "functions/api/[what].js": FUNCTION}
# A v1 is one pixel wide, a v2 two.
LOGO = '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{0}"/>'
VISIT = "window.whole ?? null"


class Edge:
    def __init__(self, stage):
        self.stage, self.name = stage, stage.name
        self.folder = os.path.join(stage.folder, stage.name)
        authority = Authority(os.path.join(self.folder, "certificates"))
        back = authority.make("pages", f"DNS:*.{PROJECT}.pages.dev")
        front = authority.make("shop", f"DNS:{PUBLIC}")
        self.sites, self.taps, self.browser = {}, {}, None
        self.weight, self.everybody, self.unlucky = 0, [], set()
        try:
            for name, host in HOSTS.items():
                logo = {f"public/logo-{name}.svg": LOGO.format(name[1])}
                self.sites[name] = PagesSite(self.folder, name, host, back, {**FILES, **logo})
                self.taps[name] = Tap((free_address(), HTTPS), (self.sites[name].address, HTTPS))
            self.port = free_port()
            self.origin = f"https://{PUBLIC}:{self.port}"
            self.browser = Browser(f"--ignore-certificate-errors-spki-list={key_pin(front['certificate'])}",
                                   f"--host-resolver-rules=MAP {PUBLIC} 127.0.0.1")
            for site in self.sites.values():
                site.wait_ready()
            listen = [{"address": f"127.0.0.1:{self.port}", "tls": [front]}]
            addresses = {HOSTS[name]: tap.address for name, tap in self.taps.items()}
            self.serin = stage.start_serin({"listen": listen, "services": [self.service(authority)],
                                            "timeouts": {"connect": "60s", "response_header": "60s", "upstream_idle": "1s"}},
                                           workers=WORKERS, wrapper=leads(self.folder, addresses))
        except BaseException:
            self.close()
            raise

    def service(self, authority):
        return self.stage.service(
            hosts=[PUBLIC], sticky={"by": "cookie"}, rescue={"assets": {"timeout": "60s"}}, rollback={"on_breach": "alert"},
            origin_tls={"ca": authority.path("ca.pem")},
            previous={"deployment": "9c2e1a4b", "url": f"https://{HOSTS['v1']}"},
            current={"deployment": "d7a3f2b1", "url": f"https://{HOSTS['v2']}"})

    # ---- people ----

    def come(self, count):
        """So many who were never here."""
        people = [self.browser.open() for _ in range(count)]
        self.everybody += people
        return people

    def visit(self, people, rounds=1):
        visits = self.browser.visit(people, [f"{self.origin}/", f"{self.origin}/old"], VISIT, rounds)
        for told in [told for visit in visits for told in visit if told]:
            expect((told["protocols"], told["requests"] >= REQUESTS_OF_A_PAGE), (["h2"], True), f"protocols of {told}")
        return visits

    def bucket(self, person):
        """The share, in percent, from which on the canary is theirs; None for who has no cookie."""
        cookie = person.cookies().get("serin")
        return int(cookie.split(".")[1]) / 10000 if cookie else None

    def requests(self):
        return self.serin.metrics().sum("serin_requests_total", service=self.name)

    def move(self, percent):
        expect(self.serin.set_weight(self.name, percent).status, 200, f"the move to {percent} %")
        self.weight = percent

    def rescues(self):
        return self.serin.metrics().by("serin_rescues_total", "result", service=self.name)

    def refused(self):
        """Files that the other release was not asked for: where the machine is so busy that the stable version becomes
        slow, it is not asked for more than its share."""
        return self.rescues().get("asset_not_asked", 0)

    def close(self):
        if self.browser:
            self.browser.stop()
        for tap in self.taps.values():
            tap.stop()
        for site in self.sites.values():
            site.stop()


def versions_of(told):
    return {told["page"], told["script"], told["style"], told["logo"], *told["fetched"]}


def is_of_one_release(told):
    """What has a release in its name is of the page's own release, wherever the rest came from."""
    return told is not None and {told["script"], told["style"], told["logo"]} == {told["page"]}


def everybody_is_where_they_belong(edge, people):
    """The weight stands: a page and all of it come from the version that the cookie says."""
    visits = edge.visit(people)
    for person, (told,) in zip(people, visits):
        bucket = edge.bucket(person)
        if edge.weight in (0, 100):
            wanted = "v2" if edge.weight else "v1"
        else:
            wanted = "v2" if bucket < edge.weight else "v1"
        expect(versions_of(told), {wanted}, f"one version at {edge.weight} % with bucket {bucket}: {told}")


def newcomers_are_split_by_weight(edge, count):
    people = edge.come(count)
    got = sum(told["page"] == "v2" for (told,) in edge.visit(people))
    wanted = count * edge.weight / 100
    expect(abs(got - wanted) <= WORKERS, True, f"{got} of {count} newcomers at {edge.weight} %, wanted {wanted}")
    if edge.weight in (0, 100):
        expect([edge.bucket(one) for one in people], [None] * count, "a cookie where there is nothing to choose")
    return people


def nobody_notices_a_move(edge, people, percent):
    """They load page after page while the weight moves."""
    before, asked, visits = edge.weight, edge.requests(), []
    if percent == 0:
        people = [person for person in people if edge.bucket(person) >= before]
    buckets = [edge.bucket(person) for person in people]
    loading = threading.Thread(target=lambda: visits.extend(edge.visit(people, rounds=2)), daemon=True)
    loading.start()
    if people:
        wait_for(lambda: edge.requests() > asked + len(people), "pages are being loaded", PATIENCE_S)
    edge.move(percent)
    loading.join()
    expect(len(visits), len(people), "visits")
    low, high = sorted((before, percent))
    for person, bucket, visit in zip(people, buckets, visits):
        stays = bucket is not None and not low <= bucket < high
        for told in visit:
            if not stays and not is_of_one_release(told):
                expect(edge.refused() > 0, True, f"files of the page with bucket {bucket}, {before} to {percent} %: {told}")
                edge.unlucky.add(person)
            if stays:
                expect(versions_of(told), {"v2" if bucket < low else "v1"}, f"bucket {bucket}, {before} to {percent} %")


def no_request_failed(edge):
    """Nor was there anything else to complain of, nor a word of the origins' own names."""
    for person in edge.everybody:
        if person not in edge.unlucky:
            expect((person.failed(), person.complaints()), ([], []), "failed requests and the console")
        answers = person.answers()
        expect({answer["status"] for answer in answers} <= {200, 201, 301, 302}, True, "statuses of " + str(answers))
        for answer in answers:
            expect(answer["url"].startswith(edge.origin), True, f"address {answer['url']}")
            told = {name for name, value in answer["fields"].items() if name == "x-robots-tag" or "pages.dev" in value}
            expect(told, set(), f"fields of {answer['url']}: {answer['fields']}")
        expect(person.cookies()["kept"] in HOSTS, True, "the origin's cookie is the public host's")


def counters_are_what_the_browser_saw(edge):
    codes, versions = {}, {"v1": 0, "v2": 0}
    for answer in (answer for person in edge.everybody for answer in person.answers()):
        code = str(answer["status"])
        codes[code] = codes.get(code, 0) + 1
        versions[answer["fields"]["x-deployment"]] += 1
    metrics = edge.serin.metrics()
    counted = metrics.by("serin_requests_total", "code", service=edge.name)
    expect(set(counted), set(codes), "codes of answers")
    # A browser may ask for a thing whose answer it tells nobody of: its page was closed, or had the thing meanwhile.
    untold = {code: counted[code] - seen for code, seen in codes.items()}
    surplus = sum(untold.values())
    expect(min(untold.values()) >= 0 and surplus <= UNTOLD_MAX * sum(codes.values()), True, f"answers {counted}, seen {codes}")
    rescued = edge.rescues()
    expect(set(rescued) <= {"asset_success", "asset_not_asked"}, True, f"rescues {rescued}")
    attempts = {name: metrics.sum("serin_upstream_requests_total", service=edge.name, role=role) for name, role in ROLES.items()}
    looked_up = rescued.get("asset_success", 0)
    expect(sum(attempts.values()) - looked_up, sum(counted.values()), f"attempts {attempts}, answers {counted}, rescued {rescued}")
    for name, count in versions.items():
        expect(count <= attempts[name] <= count + looked_up + surplus, True,
               f"attempts at {name}: {attempts}, seen {versions}, rescued {rescued}")
    expect(metrics.by("serin_upstream_failures_total", "kind", service=edge.name), {}, "failures")
    expect(metrics.sum("serin_client_bad_responses_total", service=edge.name), 0, "bad answers")
    expect(metrics.by("serin_rejected_requests_total", "reason"), {}, "refusals")
    expect(metrics.by("serin_http2_violations_total", "kind"), {}, "violations")
    protocols = {line["protocol"] for line in edge.serin.access_log()}
    expect(protocols, {"HTTP/2.0"}, "protocols of the access log")


def origins_are_met_again(edge):
    """When no connection is left, the next ones take up the sessions of before."""
    wait_for(lambda: not any(tap.open for tap in edge.taps.values()), "idle connections are closed", PATIENCE_S)
    before = {name: len(tap.resumed) for name, tap in edge.taps.items()}
    edge.move(50)
    edge.visit(edge.come(3 * WORKERS))
    for name, tap in edge.taps.items():
        expect(True in tap.resumed[before[name]:], True, f"handshakes with {name}: {tap.resumed}")
        expect(tap.failures, [], f"on the wire to {name}")


@case(starts_proxy=False)
def browsers_notice_nothing_while_the_weight_moves(stage):
    edge = Edge(stage)
    try:
        people = edge.come(REGULARS)
        everybody_is_where_they_belong(edge, people)
        for percent in WEIGHTS:
            nobody_notices_a_move(edge, people, percent)
            count, stay_count = NEWCOMERS[percent]
            people += newcomers_are_split_by_weight(edge, count)[:stay_count]
            everybody_is_where_they_belong(edge, people)
        origins_are_met_again(edge)
        no_request_failed(edge)
        counters_are_what_the_browser_saw(edge)
    finally:
        edge.close()


if __name__ == "__main__":
    run(__file__)
