"""The dashboard, in a real browser: a rollout, a breach and a rollback are watched and steered, and who may not does not.

With SERIN_SCREENSHOTS=FOLDER the main states are photographed into it; those of docs/images were made so."""

import atexit
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from browser import Browser  # noqa: E402
from certificates import Authority  # noqa: E402
from play import case, expect, run, wait_for  # noqa: E402
from shop import SLOWLY, Shop  # noqa: E402

CARD = "article.service"
NAMELESS = """[...document.querySelectorAll("button, input, select, meter, [role=meter], summary, dialog[open]")]
    .filter((one) => one.checkVisibility())
    .filter((one) => !(one.getAttribute("aria-label") || one.getAttribute("aria-labelledby") || one.labels?.length
        || one.textContent.trim()))
    .map((one) => one.outerHTML)"""
_browsers = []


def the_browser():
    """One for all cases of the file."""
    if not _browsers:
        _browsers.append(Browser())
        atexit.register(_browsers[0].stop)
    return _browsers[0]


def url_of(serin):
    return f"http://127.0.0.1:{serin.admin_port}/"


def look(serin, **size):
    page = the_browser().open(**size)
    page.goto(url_of(serin))
    return page


def in_phase(page, phase):
    page.wait(f'{CARD}[data-phase="{phase}"]')


def photograph(page, name):
    folder = os.environ.get("SERIN_SCREENSHOTS")
    if folder:
        page.screenshot(os.path.join(folder, f"{name}.png"), whole=False)


def act(page, action, go=True, **values):
    """Presses a button of the card, fills what its dialog asks for, and confirms."""
    page.click(f'{CARD} button[data-action="{action}"]')
    page.wait("#action-dialog[open]")
    for name, value in values.items():
        field = f"#field-{name}"
        if value is True:
            page.click(field)
        elif page.evaluate(f"document.querySelector('{field}').tagName") == "SELECT":
            page.choose(field, value)
        else:
            page.fill(field, value)
    if go:
        page.click("#action-go")
        page.wait("#action-dialog", state="hidden")


def close(page):
    expect(page.complaints(), [], "what the console said")
    page.close()


@case(starts_proxy=False)
def rollout_breach_and_rollback_are_watched_and_steered(stage):
    with Shop(stage, rollout=SLOWLY) as shop:
        page = look(shop.serin)
        page.wait(f"{CARD} .name:text-is('{shop.name}')")
        page.wait("#link[data-state=live]")
        act(page, "start", url=shop.url("v2"), deployment="v2", steps="30%, pause, 60%, 100%")
        shop.wait_phase("progressing")
        in_phase(page, "progressing")
        page.wait(f"{CARD} .ladder li[data-state=now]:has-text('30 %')")
        expect(page.count(f"{CARD} .ladder li"), 4, "steps and pauses")
        act(page, "pause")
        in_phase(page, "paused")
        page.until("document.querySelectorAll('.chart canvas').length >= 3")
        photograph(page, "paused")
        act(page, "resume")
        in_phase(page, "progressing")
        act(page, "promote")
        shop.wait_weight(60)
        page.wait(f"{CARD} .weight-text:has-text('weight 60 %')")
        page.wait(f"{CARD} .versions .current .deployment:text-is('v2')")
        page.until("[...document.querySelectorAll('.versions .rate')].every((cell) => parseFloat(cell.textContent) > 0)")
        photograph(page, "progressing")
        shop.origins["v2"].order(status=500)
        in_phase(page, "rolled_back")
        photograph(page, "rolled-back")
        page.wait("#rollbacks tbody tr[data-status=success]")
        row = page.text("#rollbacks tbody tr")
        expect(("v2" in row, "failed" in row, "Success" in row), (True, True, True), row)
        page.wait("#rollbacks tbody button")
        page.click("#rollbacks tbody button")
        page.wait("#report-chart:not([hidden])")
        page.until("document.querySelector('#report-chart').naturalWidth > 0")
        expect("v2" in page.text("#report-text"), True, "the report names the deployment")
        photograph(page, "report")
        page.click("#report-close")
        act(page, "release", deployment="v2", reason="mended in the play")
        wait_for(lambda: shop.state()["quarantine"] == [], "the release has happened")
        page.wait("#audit td:has-text('mended in the play')")
        close(page)


@case(starts_proxy=False)
def page_lives_over_tls(stage):
    """It loads, its events stream, a change goes through, and nothing of it is asked for without TLS."""
    authority = Authority(os.path.join(stage.folder, stage.name, "certificates"))
    site = authority.make("admin", "IP:127.0.0.1")
    with Shop(stage, rollout=SLOWLY, current="v2", admin={"tls": [site]}, admin_context=authority.context()) as shop:
        url = f"https://127.0.0.1:{shop.serin.admin_port}/"
        page = the_browser().open(trusting=True)
        page.goto(url)
        page.wait("#link[data-state=live]")
        in_phase(page, "progressing")
        act(page, "pause")
        in_phase(page, "paused")
        expect([one for one in page.requests() if not one.startswith((url, "data:", "blob:"))], [], "asked elsewhere")
        close(page)


@case(starts_proxy=False)
def operator_rolls_back_with_a_reason(stage):
    with Shop(stage, rollout=SLOWLY, current="v2") as shop:
        shop.wait_weight(30)
        page = look(shop.serin)
        in_phase(page, "progressing")
        act(page, "rollback", go=False)
        page.click("#action-go")
        expect(page.count("#action-dialog[open]"), 1, "without a reason nothing is sent")
        page.press("Escape")
        page.wait("#action-dialog", state="hidden")
        expect(shop.state()["phase"], "progressing", "nothing happened")
        act(page, "rollback", reason="it looks wrong", mode="instant")
        in_phase(page, "rolled_back")
        page.wait("#rollbacks td:has-text('Manual: it looks wrong')")
        close(page)


@case(starts_proxy=False)
def refusal_is_shown_and_the_dialog_stays(stage):
    with Shop(stage, rollout=SLOWLY) as shop:
        page = look(shop.serin)
        act(page, "start", go=False, url="ftp://nowhere.test/")
        page.click("#action-go")
        page.wait("#action-problem:not(:empty)")
        expect(page.count("#action-dialog[open]"), 1, "the dialog is there still")
        page.click("#action-cancel")
        page.wait("#action-dialog", state="hidden")
        page.close()


def with_tokens(stage):
    folder = os.path.join(stage.folder, stage.name + "-tokens")
    os.makedirs(folder)
    for name in ("ops", "eyes"):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(f"{name}-secret\n")
    tokens = [{"name": "ops", "role": "operator", "file": os.path.join(folder, "ops")},
              {"name": "eyes", "role": "viewer", "file": os.path.join(folder, "eyes")}]
    return stage.start_serin({"admin": {"tokens": tokens}, "services": [stage.service(weight="10%")]})


def sign_in(page, secret):
    page.wait("#token-dialog[open]")
    page.fill("#token", secret)
    page.press("Enter")


@case(starts_proxy=False)
def token_is_asked_for_and_never_in_an_address(stage):
    serin = with_tokens(stage)
    page = look(serin)
    sign_in(page, "wrong-secret")
    page.wait("#token-problem:has-text('not known')")
    sign_in(page, "ops-secret")
    page.wait("#identity:has-text('ops (operator)')")
    page.wait(f'{CARD} button[data-action="rollback"]')
    page.wait("#link[data-state=live]")
    expect([one for one in page.requests() if "secret" in one], [], "addresses with the token")
    page.click("#sign-out")
    page.wait("#token-dialog[open]")
    expect(page.evaluate("sessionStorage.length"), 0, "the token is forgotten")
    close(page)


@case(starts_proxy=False)
def viewer_sees_everything_and_no_buttons(stage):
    page = look(with_tokens(stage))
    sign_in(page, "eyes-secret")
    page.wait("#identity:has-text('eyes (viewer)')")
    page.wait(f"{CARD} .versions .current .deployment:text-is('canary')")
    page.wait("#audit tbody tr")
    expect(page.count(f"{CARD} .actions button"), 0, "buttons")
    close(page)


@case(starts_proxy=False)
def page_says_when_it_is_stale_and_comes_back(stage):
    serin = stage.start_serin({"services": [stage.service(weight="10%")]})
    page = look(serin)
    page.wait("#link[data-state=live]")
    serin.kill()
    page.wait("#link[data-state=stale]")
    serin.start()
    page.wait("#link[data-state=live]")
    page.wait(f"{CARD} .weight-text:has-text('weight 10 %')")
    page.close()


@case(starts_proxy=False)
def texts_are_no_markup_whatever_they_hold(stage):
    hostile = "<img src=x onerror=document.title='taken'><b>why</b>"
    serin = stage.start_serin({"services": [stage.service(weight="10%")]})
    page = look(serin)
    path = f"/api/v1/services/{stage.name}/rollback"
    expect(serin.admin("POST", path, {"reason": hostile, "mode": "instant"}).status, 202, "a rollback with a hostile reason")
    page.wait("#rollbacks td:has-text('onerror')")
    page.wait("#audit td:has-text('onerror')")
    expect(hostile in page.text("#rollbacks tbody tr"), True, "the reason")
    expect((page.evaluate("document.title"), page.count("main b"), page.count("main img")), ("Serin", 0, 0), "no markup of theirs")
    close(page)


@case(starts_proxy=False)
def page_asks_nobody_else_and_forbids_it(stage):
    serin = stage.start_serin({"services": [stage.service(weight="10%")]})
    page = look(serin)
    page.wait("#link[data-state=live]")
    page.wait(f"{CARD} .versions .current .deployment:text-is('canary')")
    expect([one for one in page.requests() if not one.startswith(url_of(serin))], [], "requests to others")
    close(page)
    answer = serin.admin("GET", "/")
    policy = answer.fields["Content-Security-Policy"]
    expect(("default-src 'none'" in policy, "unsafe" in policy, "frame-ancestors 'none'" in policy), (True, False, True), policy)
    again = serin.admin("GET", "/", None, {"If-None-Match": answer.fields["ETag"]})
    expect((again.status, again.body), (304, b""), "the page that is known already")
    expect(serin.admin("GET", "/", None, {"Host": "evil.test"}).status, 403, "under another's name")


@case(starts_proxy=False)
def phone_and_keyboard_reach_everything(stage):
    with Shop(stage, rollout=SLOWLY, current="v2") as shop:
        shop.wait_weight(30)
        page = look(shop.serin, width=390, height=800, dark=True)
        in_phase(page, "progressing")
        page.wait(f'{CARD} button[data-action="pause"]')
        page.until("document.querySelectorAll('.chart canvas').length >= 3")
        page.wait("#link[data-state=live]")
        page.until("[...document.querySelectorAll('.versions .rate')].every((cell) => parseFloat(cell.textContent) > 0)")
        expect(page.evaluate("document.documentElement.scrollWidth - innerWidth"), 0, "nothing is wider than the phone")
        expect(page.evaluate(NAMELESS), [], "controls without a name")
        photograph(page, "phone-dark")
        page.press("Tab")
        expect(page.evaluate("document.activeElement.className"), "skip", "the first stop")
        page.evaluate(f"document.querySelector('{CARD} button[data-action=pause]').focus()")
        page.press("Enter")
        page.wait("#action-dialog[open]")
        expect(page.evaluate("document.querySelector('#action-dialog').contains(document.activeElement)"), True, "focus")
        expect(page.evaluate(NAMELESS), [], "controls of the dialog without a name")
        page.press("Escape")
        page.wait("#action-dialog", state="hidden")
        expect(page.evaluate("document.activeElement.dataset.action"), "pause", "the focus is where it was")
        close(page)


if __name__ == "__main__":
    run(__file__)
