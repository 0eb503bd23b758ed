"""The whole flow in a real browser: by keyboard, with two at once, in dark and narrow windows."""

from pathlib import Path
from typing import Any

import pytest
from conftest import serving, window

from elad.ledger.events import Kind, Ledger
from elad.ledger.people import review_of


def said(folder: Path) -> list[tuple[str, str]]:
    with Ledger(folder, write=False) as ledger:
        return [(one.reviewer, one.decision) for one in map(review_of, ledger.events(Kind.REVIEW))]


def by_keyboard(chromium: Any, folder: Path) -> None:
    """Opens the first repaired question, decides, goes on, takes back, and edits, without a pointer."""
    with serving(folder, "ana") as links, window(chromium, links["ana"]) as ana:
        ana.open("/?state=revised")
        ana.press("j", "Enter")
        ana.says("What the teacher made of it")
        first = ana.page.url
        ana.press("a")
        ana.says("Accepted.")
        ana.press("r")
        ana.says("Rejected: later rounds do not learn from it.")
        ana.press("u")
        ana.says("Undone.")
        ana.press("j")
        ana.page.wait_for_url(lambda url: url != first)
        ana.says("none stands")
        ana.press("e")
        area = ana.page.locator("textarea")
        area.fill("1 + 1 = 2.\nThe answer is 2.")
        ana.press("Tab", "Enter")
        ana.says("Saved: later rounds learn from it as edited.")
        ana.press("k")
        ana.page.wait_for_url(first)
        ana.says("accept by ana")
    assert said(folder) == [("ana", "accept"), ("ana", "reject"), ("ana", "undo"), ("ana", "edit")]


def test_a_run_is_reviewed_by_keyboard(chromium: Any, folder: Path) -> None:
    by_keyboard(chromium, folder)


@pytest.mark.slow
@pytest.mark.model
def test_a_run_of_a_real_student_is_reviewed_by_keyboard(chromium: Any, tmp_path: Path) -> None:
    from elad.loop import run
    from elad.methods.elad import experiment

    small = ["data.warmup=[]", "data.limit.pool=4", "data.limit.heldout=2", "rounds.count=1", "rounds.questions=3"]
    run(experiment().but([*small, "training.epochs=1", "drafting.max_tokens=24"]), tmp_path)
    by_keyboard(chromium, tmp_path)


def test_two_at_once_do_not_overwrite_one_another(chromium: Any, folder: Path) -> None:
    with (
        serving(folder, "ana", "ben") as links,
        window(chromium, links["ana"]) as ana,
        window(chromium, links["ben"]) as ben,
    ):
        for tab in (ana, ben):
            tab.open("/?state=revised").press("j", "Enter")
            tab.says("none stands")
        assert ana.page.url == ben.page.url
        ana.press("r")
        ana.says("Rejected")
        ben.press("a")
        ben.says("someone else was quicker")
        ben.says("reject by ana")
        ben.press("a")
        ben.says("Accepted.")
    assert said(folder) == [("ana", "reject"), ("ben", "accept")]


def test_a_decision_that_was_not_saved_is_told(chromium: Any, folder: Path) -> None:
    with serving(folder, "ana") as links, window(chromium, links["ana"]) as ana:
        ana.open("/?state=revised").press("j", "Enter")
        ana.says("none stands")
        for answer, why in (
            (lambda route: route.fulfill(status=500, body="secret"), "the server failed (500)."),
            (lambda route: route.fulfill(status=413, body="This form is too long."), "This form is too long."),
            (lambda route: route.abort(), "the server does not answer."),
        ):
            ana.page.route("**/review", answer)
            ana.press("a")
            ana.says(f"Not saved: {why}")
            assert ana.barriers() == []
            ana.page.unroute("**/review")
        assert ana.page.get_by_role("alert").inner_text() == "Not saved: the server does not answer."
        ana.press("a")
        ana.says("Accepted.")
        assert ana.page.locator("#trouble").inner_text() == ""
        ana.faults.clear()  # what browser and htmx say of the three
    assert said(folder) == [("ana", "accept")]


def test_a_key_in_a_field_is_a_letter(chromium: Any, folder: Path) -> None:
    with serving(folder, "ana") as links, window(chromium, links["ana"]) as ana:
        ana.open("/?state=revised").press("j", "Enter")
        ana.says("none stands")
        ana.press("e")
        before = ana.page.locator("textarea").input_value()
        ana.page.locator("textarea").press("End")
        ana.page.keyboard.type("arujke/")
        assert ana.page.locator("textarea").input_value().replace("arujke/", "") == before
        ana.press("Escape", "Control+a")
        ana.says("none stands")
    assert said(folder) == []


def test_the_table_filters_as_one_types(chromium: Any, folder: Path) -> None:
    with serving(folder, "ana") as links, window(chromium, links["ana"]) as ana:
        ana.says("30 questions")
        ana.press("/")
        ana.page.keyboard.type("no such question")
        ana.says("No question is like that")
        assert "find=no%20such%20question" in ana.page.url
        ana.page.locator("#find").fill("")
        ana.says("30 questions")
        ana.page.get_by_label("State").select_option("revised")
        ana.says("16 questions")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_no_serious_barrier_and_nothing_beyond_the_edge(chromium: Any, folder: Path, scheme: str, width: int) -> None:
    settings = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    with serving(folder, "ana") as links, window(chromium, links["ana"], **settings) as ana:
        ana.open("/?state=revised").press("j", "Enter")
        ana.says("none stands")
        ana.press("r")
        ana.says("Rejected")
        ana.press("e")
        for address in (None, "/", "/?part=heldout", "/run"):
            if address:
                ana.open(address)
            assert ana.barriers() == [], (address, scheme, width)
            across = ana.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert across <= 0, (address, width)


def test_without_a_link_there_is_no_way_in(chromium: Any, folder: Path) -> None:
    with serving(folder, "ana") as links, window(chromium, links["ana"]) as ana:
        other = chromium.new_context()
        page = other.new_page()
        assert page.goto(f"{ana.origin}/").status == 403
        assert page.goto(links["ana"]).status == 403
        other.close()
