"""Sessions inside a version: a client stays with its endpoint, and another takes over when that is gone."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from play import Origin, answer, case, expect, health, run, wait_for  # noqa: E402

TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}
COOKIE = re.compile(r"serin-endpoint=([0-9a-f]{16}); Path=/; HttpOnly; SameSite=Lax\Z")
PASSIVE = {"outlier": {"consecutive": 1, "eject": "10m", "max_ejected": "50%"}}


class Farm:
    """Endpoints of the stable version that say which one they are."""

    def __init__(self, stage, affinity, count=4, settings=None, workers=2, **service):
        self.stage = stage
        self.origins = [Origin(stage.transcript, f"origin{number}-") for number in range(count)]
        for number, origin in enumerate(self.origins):
            origin.reply = answer(body=b"%d" % number)
        previous = {"deployment": "stable", "endpoints": [origin.url for origin in self.origins]}
        service = stage.service(previous=previous, affinity=affinity, **service)
        stage.start_serin({**(settings or {}), "services": [service]}, workers=workers)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for origin in self.origins:
            origin.stop()

    def ask(self, *fields):
        """Who answers, on a connection of its own, and so by chance at either worker."""
        response = self.stage.ask(fields=fields)
        expect(response.status, 200, "status")
        return int(response.body)

    def kill(self, number):
        self.origins[number].stop_listening()
        for link in self.origins[number].links:
            link.interrupt()


@case(starts_proxy=False)
def a_cookie_keeps_a_client_with_its_endpoint(stage):
    with Farm(stage, {"by": "cookie"}):
        seen = set()
        for _ in range(12):
            first = stage.ask()
            match = COOKIE.match(first.get("Set-Cookie", ""))
            expect(match is not None, True, f"a cookie: {first.get('Set-Cookie')}")
            for _ in range(4):
                again = stage.ask(fields=[f"Cookie: a=b; serin-endpoint={match.group(1)}; c=d"])
                expect((again.body, again.get("Set-Cookie")), (first.body, None), "the same endpoint, no new cookie")
            seen.add(first.body)
        expect(len(seen) > 1, True, "not all clients have the same endpoint")


@case(starts_proxy=False)
def what_is_no_key_of_ours_gets_a_new_one(stage):
    with Farm(stage, {"by": "cookie"}):
        for value in ("", "x", "0" * 16, "0123456789ABCDEF", "0" * 400):
            response = stage.ask(fields=[f"Cookie: serin-endpoint={value}"])
            expect(COOKIE.match(response.get("Set-Cookie", "")) is not None, True, f"a new cookie for {value[:20]!r}")


@case(starts_proxy=False)
def a_header_or_an_address_keeps_a_client_too(stage):
    with Farm(stage, {"by": "header", "name": "X-Session"}) as farm:
        homes = {name: farm.ask(f"X-Session: {name}") for name in "abcdefghijklmnop"}
        expect(len(set(homes.values())) > 1, True, "they are spread")
        for name, home in homes.items():
            expect([farm.ask(f"x-session: {name}") for _ in range(3)], [home] * 3, f"session {name}")
        expect(stage.ask(fields=["X-Session: a"]).has("Set-Cookie"), False, "no cookie is needed")


@case(starts_proxy=False)
def addresses_are_told_apart_behind_trusted_proxies(stage):
    with Farm(stage, {"by": "client_ip"}, settings=TRUSTED) as farm:
        homes = {n: farm.ask(f"X-Forwarded-For: 192.0.2.{n}") for n in range(16)}
        expect(len(set(homes.values())) > 1, True, "they are spread")
        for n, home in homes.items():
            expect(farm.ask(f"X-Forwarded-For: 192.0.2.{n}"), home, f"client {n}")


@case(starts_proxy=False)
def others_take_over_for_an_endpoint_that_is_gone_and_give_back(stage):
    names = [f"s{n}" for n in range(24)]
    with Farm(stage, {"by": "header", "name": "X-Session"}, health=health()) as farm:
        homes = {name: farm.ask(f"X-Session: {name}") for name in names}
        lost = homes[names[0]]
        farm.origins[lost].reply = lambda request: answer(503, b"") if request.target == "/up" else answer(body=b"%d" % lost)
        wait_for(lambda: farm.ask(f"X-Session: {names[0]}") != lost, "another takes over")
        moved = {name: farm.ask(f"X-Session: {name}") for name in names}
        for name in names:
            if homes[name] != lost:
                expect(moved[name], homes[name], f"{name} stays")
            else:
                expect(moved[name] != lost, True, f"{name} has moved")
        farm.origins[lost].reply = answer(body=b"%d" % lost)
        wait_for(lambda: farm.ask(f"X-Session: {names[0]}") == lost, "it is back")
        expect({name: farm.ask(f"X-Session: {name}") for name in names}, homes, "all are where they were")


@case(starts_proxy=False)
def a_refused_connection_moves_the_session(stage):
    with Farm(stage, {"by": "header", "name": "X-Session"}, workers=1, **PASSIVE) as farm:
        home = farm.ask("X-Session: a")
        farm.kill(home)
        wait_for(lambda: stage.ask(fields=["X-Session: a"]).status == 200, "another answers once this one is ejected")
        other = farm.ask("X-Session: a")
        expect(other != home, True, "another endpoint")
        expect([farm.ask("X-Session: a") for _ in range(5)], [other] * 5, "and always the same")


@case(service={"affinity": "on"})
def one_endpoint_needs_no_cookie(stage):
    expect(stage.ask().has("Set-Cookie"), False, "Set-Cookie")


if __name__ == "__main__":
    run(__file__)
