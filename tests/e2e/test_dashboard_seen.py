"""The dashboard, in a real browser: that everybody can read it, on a phone too, in light and dark; that it says what is
so when something is missing, lost or in trouble; and that the keyboard stays where it is."""

import atexit
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from browser import Browser  # noqa: E402
from play import answer, case, expect, run, wait_for  # noqa: E402
from shop import SLOWLY, Shop  # noqa: E402

CARD = "article.service"
TOO_WIDE = """[document.documentElement, ...document.querySelectorAll("main *")]
    .filter((one) => one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1 && !one.matches(".unseen, .meter, pre, thead, thead *"))
    .filter((one) => !one.closest(".chart"))
    .map((one) => `${one.tagName}.${one.className}: ${one.scrollWidth} in ${one.clientWidth}`)"""
STREAMS_MAX = 64
# The first request that has a key gets lost before it is sent.
LOSING = """(() => {
    const send = window.fetch;
    window.keys = [];
    window.fetch = (path, options) => {
        const key = options?.headers?.["Idempotency-Key"];
        if (key !== undefined) {
            window.keys.push(key);
        }
        return key !== undefined && window.keys.length === 1 ? Promise.reject(new TypeError("lost")) : send(path, options);
    };
})()"""
_browsers = []


def the_browser():
    """One for all cases of the file."""
    if not _browsers:
        _browsers.append(Browser())
        atexit.register(_browsers[0].stop)
    return _browsers[0]


def look(serin, **size):
    page = the_browser().open(**size)
    page.goto(f"http://127.0.0.1:{serin.admin_port}/")
    return page


def both_shades(serin, **size):
    return [look(serin, dark=dark, **size) for dark in (False, True)]


def in_phase(page, phase):
    page.wait(f'{CARD}[data-phase="{phase}"]')


def everybody_can_use(page, what):
    expect(page.violations(), [], f"what keeps people from {what}")


def focused(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")


def post(serin, path, body=None, status=202):
    reply = serin.admin("POST", path, body)
    expect(reply.status, status, f"{path}: {reply}")


@case(starts_proxy=False)
def everybody_can_use_it_in_every_phase(stage):
    with Shop(stage, rollout=SLOWLY) as shop:
        pages = both_shades(shop.serin)
        for page in pages:
            page.wait("#link[data-state=live]")
            page.wait(f"{CARD} .charts-note:has-text('while there is a canary')")
            everybody_can_use(page, "an idle service")
        shop.ask({"url": shop.url("v2"), "deployment": "v2", "steps": ["30%", "pause", "100%"]})
        for page in pages:
            in_phase(page, "progressing")
            page.until("document.querySelectorAll('.chart canvas').length >= 3")
            everybody_can_use(page, "a rollout")
            page.click(f'{CARD} button[data-action="rollback"]')
            page.wait("#action-dialog[open]")
            everybody_can_use(page, "a dialog")
            page.press("Escape")
        shop.origins["v2"].order(status=500)
        for page in pages:
            in_phase(page, "rolled_back")
            page.wait("#rollbacks tbody tr[data-status=success] button")
            page.wait(f"{CARD} .notes .quarantined:has-text('v2')")
            everybody_can_use(page, "a rollback")
            page.click("#rollbacks tbody button")
            page.wait("#report-chart:not([hidden])")
            everybody_can_use(page, "a report")
            page.press("Escape")
        shop.end_load()
        shop.serin.kill()
        for page in pages:
            page.wait("#link[data-state=stale]:has-text('stale since')")
            everybody_can_use(page, "what is stale")
            page.close()
        shop.serin.start()


@case(starts_proxy=False)
def phone_shows_all_columns_however_long_the_words(stage):
    long_name = "pr-1234-" + "a-branch-without-end-" * 4
    service = stage.service(weight="30%", cache={"mode": "full"})
    service["current"]["deployment"] = long_name
    serin = stage.start_serin({"services": [service]})
    post(serin, f"/api/v1/services/{stage.name}/rollback", {"reason": "/a/path/without/end" * 40, "mode": "instant"})
    for page in both_shades(serin, width=375, height=800):
        page.wait("#link[data-state=live]")
        page.wait("#rollbacks td:has-text('/a/path')")
        page.wait("#audit td:has-text('/a/path')")
        page.wait(f"{CARD} .cache:has-text('answers/s from it')")
        page.until("document.querySelectorAll('.chart canvas').length >= 3")
        expect(page.evaluate(TOO_WIDE), [], "what has to be pushed about to be read")
        everybody_can_use(page, "a phone")
        page.close()
    page = look(serin, width=1280)
    page.wait("#rollbacks td:has-text('/a/path')")
    expect(page.evaluate(TOO_WIDE), [], "what is wider than a screen")
    page.close()


@case(starts_proxy=False)
def report_is_laid_out_and_strangers_words_are_words(stage):
    hostile = "<b>why</b> | [not](https://a.test/) &#60;i&#62; **loud** /a_b"
    serin = stage.start_serin({"services": [stage.service(weight="30%")]})
    post(serin, f"/api/v1/services/{stage.name}/rollback", {"reason": hostile, "mode": "instant"})
    page = look(serin)
    page.wait("#rollbacks tbody tr[data-status=success] button")
    page.click("#rollbacks tbody button")
    page.wait("#report-text h4:text-is('Harm')")
    page.wait("#report-text th:text-is('Traffic went back to')")
    text = page.text("#report-text")
    expect((hostile in text, "|--" in text, "##" in text), (True, False, False), text)
    expect(page.evaluate("document.querySelectorAll('#report-text :is(a, b, i, img, script)').length"), 0, "markup of theirs")
    everybody_can_use(page, "a report")
    page.close()


@case(starts_proxy=False)
def live_numbers_need_neither_canary_nor_recorder(stage):
    with Shop(stage) as shop:
        page = look(shop.serin)
        page.until("parseFloat(document.querySelector('.versions .previous .rate')?.textContent) > 0")
        expect(page.text(f"{CARD} .versions .current .rate"), "–", "of a canary that is not there")
        page.close()


@case(starts_proxy=False)
def recorder_that_is_switched_on_is_seen(stage):
    serin = stage.start_serin({"services": [stage.service(weight="30%")], "recorder": "off"})
    page = look(serin)
    page.wait(f"{CARD} .charts-note:has-text('recorder is off')")
    expect(page.count(".chart canvas"), 0, "charts")
    serin.change({"recorder": {"keep": "1h"}})
    post(serin, "/api/v1/reload", {}, 200)
    page.until("document.querySelectorAll('.chart canvas').length >= 3")
    page.wait(f"{CARD} .charts-note", state="hidden")
    page.close()


@case(starts_proxy=False)
def cache_is_seen_and_says_when_it_stands_in(stage):
    stage.origin.reply = lambda request: answer(body=b"a page")
    stage.start_serin({"services": [stage.service(cache={"mode": "fallback"})]})
    page = look(stage.serin)
    page.wait(f"{CARD} .cache:has-text('Cache (fallback): 0 entries')")
    expect(stage.ask(target="/page").status, 200, "a page")
    page.wait(f"{CARD} .cache:has-text('Cache (fallback): 1 entry')")
    page.wait(f"{CARD} .cache:has-text('0 stale answers in place of errors')")
    stage.origin.stop_listening()
    for link in list(stage.origin.links):
        link.interrupt()
    expect(stage.ask(target="/page").status, 200, "the page, stale")
    page.wait(f"{CARD} .cache:has-text('1 stale answer in place of errors')")
    page.close()


@case(starts_proxy=False)
def rollback_that_is_not_confirmed_says_why(stage):
    stage.origin.reply = lambda request: answer(status=503 if request.target == "/up" else 200)
    verify = {"within": "2s", "timeout": "1s", "interval": "200ms", "path": "/up"}
    serin = stage.start_serin({"services": [stage.service(weight="50%", rollback={"verify": verify})]})
    post(serin, f"/api/v1/services/{stage.name}/rollback", {"reason": "it hurts", "mode": "instant"})
    page = look(serin)
    in_phase(page, "rollback_failed")
    page.wait(f"{CARD} .notes .verification:has-text('answered with status 503')")
    page.wait(f"{CARD} .notes .quarantined:has-text('it hurts')")
    page.close()


@case(starts_proxy=False)
def keyboard_stays_where_it_is_while_all_changes(stage):
    with Shop(stage, rollout=SLOWLY, current="v2") as shop:
        path = f"/api/v1/services/{shop.name}"
        shop.wait_weight(30)
        page = look(shop.serin)
        page.click(f'{CARD} button[data-action="pause"]')
        page.wait("#action-dialog[open]")
        post(shop.serin, f"{path}/rollout/pause", status=200)
        page.wait(f'{CARD} button[data-action="resume"]', state="attached")
        page.press("Escape")
        page.wait("#action-dialog", state="hidden")
        page.until(f"document.querySelector('{CARD} .actions').contains(document.activeElement)")
        post(shop.serin, f"{path}/rollback", {"reason": "for the play", "mode": "instant"})
        page.wait("#rollbacks tbody button")
        page.evaluate("document.querySelector('#rollbacks tbody button').focus()")
        report = focused(page)
        in_phase(page, "rolled_back")
        page.wait("#rollbacks tbody tr[data-status=success]")
        wait_for(lambda: shop.state()["quarantine"], "it is in quarantine")
        post(shop.serin, f"{path}/quarantine/v2/release", {"reason": "for the focus"}, 200)
        page.wait("#audit td:has-text('for the focus')")
        expect(focused(page), report, "the focus, when the lists were read again")
        page.close()


@case(starts_proxy=False)
def intention_that_got_lost_keeps_its_key(stage):
    with Shop(stage, rollout=SLOWLY, current="v2") as shop:
        shop.wait_weight(30)
        page = look(shop.serin)
        page.click(f'{CARD} button[data-action="rollback"]')
        page.wait("#action-dialog[open]")
        page.evaluate(LOSING)
        page.fill("#field-reason", "it is lost")
        page.click("#action-go")
        page.wait("#action-problem:has-text('cannot be reached')")
        page.click("#action-go")
        page.wait("#action-dialog", state="hidden")
        keys = page.evaluate("window.keys")
        expect((len(keys), len(set(keys))), (2, 1), f"keys: {keys}")
        page.close()


@case(starts_proxy=False)
def many_services_are_seen_at_a_glance(stage):
    names = [f"number-{i}" for i in range(6)]
    serin = stage.start_serin({"services": [stage.service(name=name, hosts=[f"{name}.test"], weight="10%") for name in names]})
    page = look(serin)
    page.wait("#overview a")
    expect(page.evaluate("[...document.querySelectorAll('#overview a .link-name')].map((one) => one.textContent)"), names, "links")
    page.wait("#overview a:has-text('number-5 idle')")
    post(serin, "/api/v1/services/number-5/rollback", {"reason": "for the play", "mode": "instant"})
    page.wait("#overview a:has-text('number-5 rolled back')")
    page.click("#overview a:has-text('number-5')")
    page.until("document.querySelector('#service-number-5').getBoundingClientRect().top < innerHeight")
    everybody_can_use(page, "many services")
    page.close()


@case(starts_proxy=False)
def page_without_a_stream_asks_each_second(stage):
    serin = stage.start_serin({"services": [stage.service(weight="10%")]})
    links = [serin.connect(f"stream {i}", stage.transcript, serin.admin_port) for i in range(STREAMS_MAX)]
    for link in links:
        link.send(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{serin.admin_port}\r\n\r\n".encode())
    wait_for(lambda: serin.admin("HEAD", "/api/v1/events").status == 503, "there are no more streams")
    page = look(serin)
    page.wait("#link[data-state=live]:has-text('without events')")
    post(serin, f"/api/v1/services/{stage.name}/rollback", {"reason": "for the play", "mode": "instant"})
    in_phase(page, "rolled_back")
    for link in links:
        link.close()
    page.until("document.querySelector('#link').textContent === 'live'")
    page.close()


if __name__ == "__main__":
    run(__file__)
