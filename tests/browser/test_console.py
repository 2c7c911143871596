"""The administrator's console: what it shows is what the service says, and its buttons do it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Route, expect
from pycrdt import Doc, Map

from tests.browser.accessibility import COLOURS, RULES, assert_accessible
from tests.browser.conftest import People
from tests.browser.console import Console
from tests.browser.evaluate import Evaluate
from tests.browser.people import PATIENCE, Person, until
from tests.browser.service import Service, draft

CASES = [{"id": "a", "title": "A late refund"}, {"id": "b", "title": "An angry customer"}]
NARROW = {"width": 360, "height": 740}


def rates(subject: str, value: int, question: str = "accuracy") -> Callable[[Doc[Any]], None]:
    """A change: an answer of somebody's own."""

    def change(doc: Doc[Any]) -> None:
        doc.get("ratings", type=Map)[f"{subject}/{question}"] = value

    return change


def history(service: Service, session: str) -> str:
    """A draft of a new session, in three versions by three people; Lena overrules Alice."""
    service.session(session, test_cases=CASES)
    name = draft(session, "a")
    service.edit(name, rates("alice", 2), by="alice")
    service.edit(name, rates("bob", 4, "tone"), by="bob")
    service.edit(name, rates("alice", 5), by="lena")
    return name


def place(name: str, part: str = "") -> str:
    return f"documents/{name.replace('/', '%2F')}/{part}".rstrip("/")


# ---------------------------------------------------------------------------------------- sign-in


def test_who_is_no_administrator_is_told(service: Service, people: People) -> None:
    admin = people("admin")
    admin.expect("status of 401", "status of 403")
    page = admin.page
    page.goto(f"{service.url}/console")
    field, trouble = page.get_by_label("Token", exact=True), page.get_by_role("alert")
    sign_in = page.get_by_role("button", name="Sign in")
    sign_in.click()
    expect(trouble).to_have_text("Paste a token first.")
    field.fill("abracadabra")
    sign_in.click()
    expect(trouble).to_contain_text("three parts")
    field.fill(service.token("lena"))
    sign_in.click()
    expect(trouble).to_contain_text("it is Lena's, who is no administrator")
    field.fill(service.token("admin", ttl=60))
    page.clock.set_system_time(time.time() + 90)
    sign_in.click()
    expect(trouble).to_contain_text("This token expired at")
    field.fill(service.token("admin")[:-4] + "AAAA")
    sign_in.click()
    expect(trouble).to_contain_text("does not take this token")
    admin.shot("refused")
    assert_accessible(page, "sign-in")
    field.fill(service.token("admin"))
    field.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    page.get_by_role("button", name="Sign out").click()
    expect(trouble).to_have_text("You have signed out.")
    assert page.evaluate("() => sessionStorage.length") == 0


def test_a_token_in_the_address_is_taken_out_of_it_and_stays_in_the_tab(
    service: Service, people: People
) -> None:
    admin = people("admin")
    page = admin.page
    page.goto(service.link("admin", admin.network.url, page="console"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    assert page.url == f"{admin.network.url}/console#/overview"
    assert page.evaluate("() => [localStorage.length, document.cookie]") == [0, ""]
    page.reload()
    expect(page.get_by_role("banner").get_by_text("Ready")).to_be_visible()
    other = admin.tab()
    other.goto(f"{admin.network.url}/console")
    expect(other.get_by_label("Token", exact=True)).to_be_visible()


def test_the_end_of_a_token_asks_for_another_and_goes_on_there(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=CASES)
    admin = people("admin")
    admin.expect("status of 401")
    page = admin.page
    page.clock.install()
    token = service.token("admin", ttl=200)
    page.goto(f"{admin.network.url}/console#token={token}&view=sessions/{session}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Autumn release")
    page.clock.run_for(1_000)
    expect(page.get_by_text(re.compile("token ends in"))).to_be_visible()
    page.clock.fast_forward(200_000)
    expect(page.get_by_role("alert")).to_contain_text("Your token has expired")
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    page.get_by_label("Token", exact=True).fill(service.token("admin"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Autumn release")


# --------------------------------------------------------------------------------------- overview


def number(text: str | None) -> int:
    return int(re.sub(r"\D", "", (text or "").split("since", maxsplit=1)[0]) or -1)


def test_the_overview_is_what_the_api_says_and_moves(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=CASES)
    admin, alice = people("admin"), people("alice")
    console = Console.open(service, admin)
    form = Evaluate.open(alice, session, "a")
    form.online()

    def told() -> Any:
        return service.api("GET", "status", by="admin")

    def shown(tile: str, figure: Callable[[Any], int]) -> None:
        """What the API says now: rooms that earlier tests left are still closed meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while f"{figure(told()):,}" != (seen := console.tile(tile).inner_text()):
            assert time.monotonic() < deadline, f"{tile}: {seen}"
            console.page.wait_for_timeout(20)

    shown("Connections", lambda status: sum(status["connections"].values()))
    shown("Rooms", lambda status: status["rooms"])
    before = told()["edits"]["committed"]
    form.text("Reasoning").press_sequentially("Too late, and said kindly.", delay=5)
    form.saved()
    after = told()["edits"]["committed"]
    assert after > before
    edits = console.page.locator(".tile").filter(has=console.page.get_by_text("Edits", exact=True))
    expect(edits).to_contain_text(f"{after:,} since the start")
    expect(console.tile("Edits")).not_to_have_text("0/s")
    chart = console.region("Edits a second")
    until(console.page, "() => document.querySelector('.line').getAttribute('d').includes('L')")
    plot = chart.get_by_role("img")
    assert re.search(r"edits \d", plot.get_attribute("aria-label") or "")
    plot.focus()
    plot.press("ArrowLeft")
    expect(chart.locator(".chart-tip")).to_contain_text(re.compile(r"\d\d:\d\d:\d\d.*edits"))
    admin.shot("overview")


def test_nothing_is_asked_while_nobody_looks(service: Service, people: People) -> None:
    admin = people("admin")
    page = admin.page
    page.clock.install()
    Console.open(service, admin)
    page.evaluate(
        """() => {
          Object.defineProperty(document, 'hidden', { get: () => window.hiddenNow })
          window.hiddenNow = true
          window.asked = 0
          const fetch = window.fetch
          window.fetch = (...all) => { window.asked += 1; return fetch(...all) }
        }"""
    )
    page.clock.run_for(10_000)
    assert page.evaluate("() => window.asked") <= 1
    page.evaluate(
        "() => { window.hiddenNow = false; document.dispatchEvent(new Event('visibilitychange')) }"
    )
    until(page, "() => window.asked > 1")


# --------------------------------------------------------------------------------------- sessions


def test_a_session_is_followed_and_stopped(service: Service, people: People, session: str) -> None:
    service.session(session, test_cases=CASES)
    admin, alice = people("admin"), people("alice")
    form = Evaluate.open(alice, session, "a")
    form.online()
    console = Console.open(service, admin, "sessions?state=running")
    page = console.page
    page.get_by_role("row").filter(has_text=session).get_by_role("link", name=session).click()
    expect(console.heading()).to_contain_text("Running")
    everybody = console.region("People")
    row = everybody.get_by_role("row").filter(has_text="Alice")
    expect(row).to_contain_text("Online")
    expect(row.get_by_role("link", name=draft(session, "a"))).to_be_visible()
    form.score("Accuracy", 4)
    meter = page.get_by_role("meter", name=re.compile("alice: 1 of 7"))
    expect(meter).to_be_visible()
    log = page.get_by_role("log", name="Events")
    expect(log).to_contain_text("session.started")
    service.publish(session, "guidance.message", {"text": "Mind the policy of 30 days"})
    expect(log).to_contain_text("Mind the policy of 30 days")
    console.button("Pause …").click()
    console.confirm("Pause")
    expect(console.heading()).to_contain_text("Paused")
    console.button("Stop …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("drafts become read-only")
    admin.shot("stop")
    dialog.get_by_role("button", name="Cancel").click()
    assert service.api("GET", f"sessions/{session}")["state"] == "paused"
    console.button("Stop …").click()
    console.confirm("Stop")
    expect(console.heading()).to_contain_text("Stopped")
    expect(console.button("Stop …")).to_be_hidden()
    assert service.api("GET", f"sessions/{session}")["state"] == "stopped"
    form.stopped()
    admin.shot("session")


# -------------------------------------------------------------------------------------- documents


def test_documents_are_found_by_a_part_of_their_name(
    service: Service, people: People, session: str
) -> None:
    for name in ("refund-one", "refund-two", "angry"):
        service.edit(f"drafts/{session}/{name}", rates("bob", 3))
    console = Console.open(service, people("admin"), "documents")
    page = console.page
    page.get_by_label("Name begins with").fill(f"drafts/{session}/")
    page.get_by_label("Name has").press_sequentially("REFUND")
    rows = page.get_by_role("rowheader")
    expect(rows).to_have_text([f"drafts/{session}/refund-one", f"drafts/{session}/refund-two"])
    assert "search=REFUND" in page.url
    page.get_by_label("Name has").fill("nothing like it")
    expect(console.region("Documents")).to_contain_text("There is no document like this.")


def test_of_many_sessions_the_newest_are_read(service: Service, people: People) -> None:
    asked: list[int] = []

    def three_hundred(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        after, limit = int(query["after"][0]), int(query["limit"][0])
        asked.append(after)
        last = min(300, after + limit)
        told = [{"id": number} for number in range(after + 1, last + 1)]
        route.fulfill(json={"sessions": told, "next": last if last < 300 else None})

    page = Console.open(service, people("admin")).page
    page.route("**/api/v1/sessions?*", three_hundred)
    read = """async ([state, counted]) => {
      const { service } = await import('/console/service.js')
      const { newest } = await import('/console/sessions.js')
      service.now = { sessions: { running: counted } }
      const { found, more } = await newest(state, 50, new AbortController().signal)
      return [found.length, found[0].id, found.at(-1).id, more]
    }"""
    assert page.evaluate(read, ["", 300]) == [50, 300, 251, True]
    assert asked == [250]
    assert page.evaluate(read, ["", 20]) == [50, 300, 251, True], "more have come since"


def test_the_content_follows_who_types(service: Service, people: People, session: str) -> None:
    service.session(session, test_cases=CASES)
    admin, alice = people("admin"), people("alice")
    form = Evaluate.open(alice, session, "a")
    form.online()
    form.score("Accuracy", 4)
    form.saved()
    console = Console.open(service, admin, place(draft(session, "a")))
    content = console.region("Content")
    expect(content.get_by_role("meter", name=re.compile("alice: 1 of 7"))).to_be_visible()
    expect(console.region("People in it now")).to_contain_text("Alice")
    form.text("Reasoning").press_sequentially("Kindly said.")
    expect(content).to_contain_text("Kindly said.")
    form.score("Accuracy", 5)
    changed = content.locator(".changed")
    expect(changed).to_contain_text("4")
    expect(changed.locator("ins")).to_have_text("5")
    console.button("Raw").click()
    expect(content).to_contain_text("alice/accuracy")
    alice.context.close()
    expect(console.region("People in it now")).to_contain_text("Nobody has it open.")
    admin.shot("now")


def test_what_is_in_a_document_is_never_markup(
    service: Service, people: People, session: str
) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    name = f"drafts/{session}/{'<b>bold'}"

    def change(doc: Doc[Any]) -> None:
        doc.get(evil, type=Map)[evil] = evil

    service.edit(name, change)
    console = Console.open(service, people("admin"), "feed")
    for view in ("documents", place(name.replace("<", "%3C").replace(">", "%3E"))):
        console.go(view)
        expect(console.page.get_by_text("<b>bold").first).to_be_visible()
    expect(console.region("Content")).to_contain_text(evil)
    assert console.page.locator("img, main b").count() == 0
    assert "owned" not in console.page.title()


def test_the_slider_goes_through_time(service: Service, people: People, session: str) -> None:
    name = history(service, session)
    admin = people("admin")
    console = Console.open(service, admin, place(name, "past"))
    slider, then = console.slider, console.region("Content as of then")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Version 3 of 3: by lena"))
    accuracy = then.locator(".answers > div").filter(has_text="Accuracy")
    expect(accuracy).to_contain_text("5")
    expect(accuracy.locator("del")).to_have_text("2")
    slider.focus()
    keyboard, mouse = admin.page.keyboard, admin.page.mouse
    keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Version 2 of 3: by bob"))
    expect(accuracy).to_contain_text("2")
    expect(accuracy.locator("del, ins")).to_have_count(0)
    tone = then.locator(".answers > div").filter(has_text="Tone")
    expect(tone.locator("ins")).to_have_text("4")
    keyboard.press("ArrowLeft")  # it has kept the focus
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Version 1 of 3: by alice"))
    expect(tone).to_contain_text("not answered")
    expect(accuracy).to_contain_text("2")
    console.button("Play").click()
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Version 3 of 3"))
    expect(console.button("Play")).to_be_visible()
    console.button("Edits").click()
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Edit 3 of 3"))
    expect(accuracy.locator("del")).to_have_text("2")
    box = slider.bounding_box()
    assert box is not None
    x, y = box["x"], box["y"] + box["height"] / 2
    mouse.move(x + box["width"] - 8, y)
    mouse.down()
    for share, edit in ((0.0, 1), (0.5, 2)):  # dragged, while the page draws what it was
        mouse.move(x + 8 + share * (box["width"] - 16), y)
        expect(slider).to_have_attribute("aria-valuetext", re.compile(f"Edit {edit} of 3"))
    mouse.up()
    expect(tone.locator("ins")).to_have_text("4")
    admin.page.reload()  # the address is that of the step
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Edit 2 of 3"))
    service.edit(name, rates("bob", 5, "tone"))
    console.button("Newer edits are there: read them").click()
    expect(slider).to_have_attribute("aria-valuetext", re.compile("Edit 4 of 4"))
    admin.shot("past")


def test_blame_and_comparison_name_the_authors(
    service: Service, people: People, session: str
) -> None:
    name = history(service, session)
    admin = people("admin")
    console = Console.open(service, admin, place(name, "blame"))
    table = console.region("Who set what")
    accuracy = table.get_by_role("row").filter(has_text="Accuracy")
    expect(accuracy.get_by_role("cell")).to_have_count(5)
    expect(accuracy.get_by_role("cell").nth(0)).to_have_text("5")
    expect(accuracy.get_by_role("cell").nth(1)).to_have_text("lena")
    expect(accuracy.get_by_role("cell").nth(3)).to_have_text("2")
    tone = table.get_by_role("row").filter(has_text="Tone")
    expect(tone.get_by_role("cell").nth(1)).to_have_text("bob")
    admin.shot("blame")
    console.page.get_by_role("link", name="Compare").click()
    differs = console.region("What differs")
    expect(differs.get_by_role("row").filter(has_text="Accuracy")).to_contain_text("5")
    expect(differs.get_by_role("row").filter(has_text="Tone")).to_have_count(0)
    differs.get_by_label("From").select_option("start")
    expect(differs.get_by_role("row").filter(has_text="Tone")).to_contain_text("nothing")
    assert console.page.url.endswith("compare?from=start")
    console.page.reload()
    expect(differs.get_by_role("row").filter(has_text="Tone")).to_contain_text("nothing")
    admin.shot("compare")


def test_a_restored_version_is_merged_by_who_has_it_open(
    service: Service, people: People, session: str
) -> None:
    name = history(service, session)
    alice, admin = people("alice"), people("admin")
    form = Evaluate.open(alice, session, "a")
    form.online()
    expect(form.option("Accuracy", "5")).to_be_checked()
    console = Console.open(service, admin, place(name, "past"))
    console.slider.press("Home")
    expect(console.slider).to_have_attribute("aria-valuetext", re.compile("Version 1 of 3"))
    console.button("Restore to this point …").click()
    expect(console.page.get_by_role("dialog")).to_contain_text("what they type meanwhile stays")
    admin.shot("restore")
    console.confirm("Restore")
    expect(console.page.get_by_text("Restored: 2 places changed.").first).to_be_attached()
    expect(form.option("Accuracy", "2")).to_be_checked()
    form.online()
    form.score("Accuracy", 3)
    form.saved()
    assert service.fresh(name)["ratings"] == {"alice/accuracy": 3}


def test_deleting_closes_them_and_it_can_be_brought_back(
    service: Service, people: People, session: str
) -> None:
    name = history(service, session)
    alice, admin = people("alice"), people("admin")
    alice.expect("status of 404", "4404")
    admin.expect("status of 404")
    form = Evaluate.open(alice, session, "a")
    form.online()
    console = Console.open(service, admin, place(name))
    expect(console.region("People in it now")).to_contain_text("Alice")
    console.button("Delete …").click()
    expect(console.page.get_by_role("dialog")).to_contain_text("can bring it back")
    console.confirm("Delete")
    expect(console.heading()).to_contain_text("Deleted")
    expect(console.region("People in it now")).to_contain_text("Nobody has it open.")
    assert name not in json.dumps(service.api("GET", f"documents?prefix={name}", by="admin"))
    console.page.get_by_role("link", name="Past", exact=True).click()
    expect(console.region("Content as of then")).to_contain_text("Accuracy")
    admin.shot("deleted")
    console.slider.press("Home")
    console.button("Restore to this point …").click()
    console.confirm("Restore")
    expect(console.button("Delete …")).to_be_visible()
    assert service.fresh(name)["ratings"] == {"alice/accuracy": 2}
    console.button("Delete …").click()
    console.confirm("Delete")
    expect(console.heading()).to_contain_text("Deleted")
    console.go("documents?deleted=true")
    console.page.get_by_role("link", name=name).click()
    console.button("Bring back …").click()
    console.confirm("Bring back")
    expect(console.button("Delete …")).to_be_visible()
    assert service.fresh(name)["ratings"] == {"alice/accuracy": 2}
    console.button("Delete …").click()
    console.confirm("Delete")
    console.button("Remove for ever …").click()
    dialog = console.page.get_by_role("dialog")
    forever = dialog.get_by_role("button", name="Remove for ever")
    expect(forever).to_be_disabled()
    dialog.get_by_label("Type its name").fill(name)
    admin.shot("purge")
    console.confirm("Remove for ever")
    expect(console.page.get_by_role("alert")).to_contain_text("was deleted for ever")
    expect(console.button("Bring back …")).to_be_hidden()


def test_a_document_is_downloaded(
    service: Service, people: People, session: str, tmp_path: Path
) -> None:
    name = history(service, session)
    console = Console.open(service, people("admin"), place(name))
    with console.page.expect_download() as download:
        console.button("Download JSON").click()
    download.value.save_as(tmp_path / "it.json")
    assert json.loads((tmp_path / "it.json").read_text())["content"]["ratings"]["bob/tone"] == 4
    with console.page.expect_download() as download:
        console.button("Download Yjs update").click()
    download.value.save_as(tmp_path / "it.bin")
    doc: Doc[Any] = Doc()
    doc.apply_update((tmp_path / "it.bin").read_bytes())
    assert doc.get("ratings", type=Map).to_py() == {"alice/accuracy": 5, "bob/tone": 4}


# ------------------------------------------------------------------------------- feed and trouble


def test_the_feed_tells_edits_and_events_as_they_come(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=CASES)
    name = draft(session, "a")
    admin = people("admin")
    console = Console.open(service, admin, "feed")
    edits = console.page.get_by_role("log", name="Latest edits")
    events = console.page.get_by_role("log", name="Latest session events")
    expect(events.locator(".entry").filter(has_text=session).first).to_contain_text(
        "session.started"
    )
    service.edit(name, rates("bob", 3))
    first = edits.locator(".entry").first
    expect(first).to_contain_text("bob")
    expect(first.get_by_role("link", name=name)).to_be_visible()
    service.edit(name, rates("alice", 4), by="alice")
    expect(first).to_contain_text("alice")
    service.publish(session, "guidance.message", {"text": "Mind the policy"})
    said = events.locator(".entry").filter(has_text=session).filter(has_text="Mind the policy")
    expect(said).to_be_visible()
    admin.shot("feed")


def test_trouble_tells_refusals_and_sorts_connections(
    service: Service, people: People, session: str
) -> None:
    service.session(session, test_cases=CASES)
    admin, alice, bob = people("admin"), people("alice"), people("bob")
    for person in (alice, bob):
        Evaluate.open(person, session, "a").online()
    console = Console.open(service, admin, "trouble")
    expect(console.region("Parts")).to_contain_text("saving")
    expect(console.region("Dead letters of webhooks")).to_contain_text("taken everything")
    table = console.region("Connections")
    table.get_by_role("button", name="Person").click()
    heads = table.get_by_role("rowheader")
    expect(heads.filter(has_text="Bob").first).to_be_visible()
    expect(table.get_by_role("columnheader", name="Person")).to_have_attribute(
        "aria-sort", "ascending"
    )
    names = heads.all_inner_texts()
    assert names == sorted(names)
    table.get_by_role("button", name="Person").click()
    until(console.page, "() => document.querySelector('[aria-sort=descending]')")
    names = heads.all_inner_texts()
    assert names == sorted(names, reverse=True)
    admin.shot("trouble")


# ------------------------------------------------------------------------------------------ looks


@pytest.mark.parametrize("look", ["wide", "narrow"])
def test_every_view_is_clean(service: Service, people: People, session: str, look: str) -> None:
    name = history(service, session)
    options: dict[str, Any] = {"viewport": NARROW} if look == "narrow" else {}
    admin = people("admin", **options)
    console = Console.open(service, admin)
    views = {
        "overview": console.tile("Rooms"),
        "sessions": console.page.get_by_role("rowheader").first,
        f"sessions/{session}": console.region("Progress"),
        "documents": console.page.get_by_role("rowheader").first,
        place(name): console.region("Content").locator(".answers").first,
        place(name, "past"): console.region("Content as of then"),
        place(name, "blame"): console.region("Who set what").get_by_role("row").first,
        place(name, "compare"): console.region("What differs").get_by_role("row").first,
        "feed": console.page.get_by_role("log", name="Latest edits").locator(".entry").first,
        "trouble": console.region("Parts"),
    }
    for view, there in views.items():
        console.go(view)
        expect(there).to_be_visible()
        check(admin, f"{look}-{view.replace(name.replace('/', '%2F'), 'one').replace('/', '-')}")


def check(person: Person, what: str) -> None:
    """All rules in the light; in the dark, where all but the colours is the same, those."""
    looks: tuple[tuple[Literal["light", "dark"], tuple[str, ...]], ...]
    looks = (("light", RULES), ("dark", COLOURS))
    for scheme, rules in looks:
        person.page.emulate_media(color_scheme=scheme)
        person.shot(f"{what.replace(' ', '')}-{scheme}")
        assert_accessible(person.page, f"{what}, {scheme}", rules)
