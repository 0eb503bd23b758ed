"""The table and the page of a question: what is on them, and that what a model wrote is only shown."""

import json
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from loop_kit import experiment, problems
from web_kit import HOSTILE, Seat, append, bought, make_hostile, sitting

from elad.experiment import Data
from elad.ledger.events import Kind, Ledger
from elad.loop import run
from elad.web.index import key_of
from elad.web.shown import MOST_CHARACTERS, shown
from elad.web.wanted import PAGE_ROWS, Wanted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    run(experiment(), made)
    return made


@pytest.fixture
def seat(folder: Path) -> Iterator[Seat]:
    with sitting(folder) as one:
        yield one


def test_the_table_counts_and_filters(seat: Seat) -> None:
    assert "30 questions" in seat.read("/")
    assert "16 questions" in seat.read("/?state=revised")
    assert "12 questions" in seat.read("/?part=heldout")
    assert "14 questions" in seat.read("/?state=scored")
    assert "No question is like that" in seat.read("/?review=reject")
    assert "16 questions" in seat.read("/?review=none")
    assert "30 questions" in seat.read("/?find=PENS")
    assert "No question is like that" in seat.read("/?find=%25")
    assert "30 questions" in seat.read("/?state=nonsense&order=;drop&page=-1")


def test_rows_alone_are_given_where_only_they_change(seat: Seat) -> None:
    rows = seat.client.get("/?state=revised", headers={"hx-request": "true", "hx-target": "rows"}).text
    assert "16 questions" in rows
    assert "<html" not in rows


def test_pages_hold_every_question_once(tmp_path: Path) -> None:
    count = 2 * PAGE_ROWS + 7
    data = Data(pool=problems(count, 1, "p"), heldout=problems(2, 2, "h"))
    run(experiment("rounds.count=1", data=data), tmp_path)
    with sitting(tmp_path) as seat:
        pages = [seat.read(f"/?page={number}") for number in (1, 2, 3, 4)]
    found = [page.count('class="open"') for page in pages]
    assert found == [PAGE_ROWS, PAGE_ROWS, 7, 0]
    keys = {part.split('"')[0].split("?")[0] for page in pages for part in page.split('href="/questions/')[1:]}
    assert len(keys) == count


def test_next_and_previous_go_through_all_in_the_order_of_the_table(seat: Seat) -> None:
    for query in ("", "?order=data", "?state=revised"):
        table = seat.read(f"/{query}")
        keys = [part.split('"')[0].split("?")[0] for part in table.split('class="open" href="/questions/')[1:]]
        walked = [keys[0]]
        while 'data-key="j"' in (page := seat.read(f"/questions/{walked[-1]}{query}")):
            walked.append(page.split('data-key="j" rel="next" href="/questions/')[1].split('"')[0].split("?")[0])
        assert walked == keys
        assert f'rel="prev" href="/questions/{keys[-2]}' in page


def test_the_page_of_a_question_tells_all_that_is_known_of_it(seat: Seat, folder: Path) -> None:
    repaired = [one for one in bought(folder) if one[2]["outcome"] == "repaired"]
    key, problem, revision = repaired[0]
    page = unescape(seat.read(f"/questions/{key}"))
    assert problem.question in page
    assert revision["reason"] in page
    for line in revision["after"].splitlines():
        assert line.strip() in page
    assert f"first wrong step {revision['first_error'] + 1}" in page
    with Ledger(folder, write=False) as ledger:
        draft = next(e for e in ledger.events(Kind.DRAFT) if e.payload["problem_id"] == problem.id)
        scores = [e.payload for e in ledger.events(Kind.SCORE) if e.round == draft.round]
    assert any(f"<dd>{one['aggregate']:.3f}</dd>" in page for one in scores)
    for step in draft.payload["steps"]:
        assert step["text"].strip() in page
    assert page.count("Concludes after it") >= 1
    assert "others from here" in page


def test_each_step_is_tinted_by_its_number_and_the_number_stands_beside(seat: Seat, folder: Path) -> None:
    page = seat.read(f"/questions/{bought(folder)[0][0]}")
    rows = page.split('<tr class="u')[1:]
    assert rows
    for row in rows:
        value = float(row.split("<b>")[1].split("</b>")[0])
        assert int(row[0]) == min(9, int(value * 10))


def test_a_held_out_question_shows_its_grade_round_by_round(seat: Seat) -> None:
    page = seat.read(f"/questions/{key_of('heldout', 'h0')}")
    assert [page.count(f"Answer of round {number}") for number in (0, 1, 2)] == [1, 1, 1]
    assert page.count("<dt>Grade</dt>") == 3


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    make_hostile(folder)
    return folder


def test_hostile_content_is_shown_and_never_markup(hostile: Path) -> None:
    with sitting(hostile) as seat:
        calm = seat.read(f"/questions/{key_of('heldout', 'h0')}")
        for n, (key, problem, _) in enumerate(bought(hostile)):
            page = seat.read(f"/questions/{key}")
            assert HOSTILE[n] in unescape(page)
            assert problem.question in unescape(page)
            for word in ("<script>", "<img", "<svg", "onerror=alert(1)>", '<form action="//', "<!--", '<a href="//'):
                assert word not in page
            assert page.count("<script") == calm.count("<script")
            assert "49" not in page.replace(problem.question, "") or "{{ 7 * 7 }}" not in HOSTILE[n]
        table = seat.read("/")
        assert "<script>" not in table
        assert "<img" not in table
        assert "&lt;script&gt;" in table


def test_marks_that_turn_or_hide_text_are_named() -> None:
    told = shown("7\u202e8\u2066\u200b\x00\x1b[31m\ud800\ufeff")
    assert not set("\u202e\u2066\u200b\x00\x1b\ud800\ufeff") & set(told)
    for name in ("U+202E", "U+2066", "U+200B", "U+0000", "U+001B", "U+D800", "U+FEFF"):
        assert name in told
    assert shown("a\n\tb é 漢 🙂 עברית") == "a\n\tb é 漢 🙂 עברית"


def test_a_step_of_a_megabyte_is_cut_and_the_cut_is_told(tmp_path: Path) -> None:
    run(experiment("rounds.count=1"), tmp_path)
    key, problem, revision = bought(tmp_path)[0]
    huge = "<b>1 + 1 = 2</b> " * 60_000
    said = revision | {"after": f"{huge}\nThe answer is 7.", "edit": huge, "reason": huge, "before": huge}
    append(tmp_path, Kind.REVISION, "huge", said, 2)
    step = {"text": huge, "start": 0, "end": len(huge)}
    chain = {"text": huge, "steps": [step], "answer": huge, "outcome": "parsed", "tail": huge}
    append(tmp_path, Kind.DRAFT, "huge", chain | {"problem_id": problem.id, "sampling": {}, "seed": 0, "tokens": 1}, 2)
    with sitting(tmp_path) as seat:
        page = seat.read(f"/questions/{key}")
        assert len(seat.read("/")) < 50_000
    assert f"and {len(huge.strip()) - MOST_CHARACTERS:,} more characters" in page
    assert "<b>1 + 1" not in page
    assert len(page) < 4_000_000


def test_questions_that_are_not_at_hand_are_told_of(tmp_path: Path) -> None:
    pool = tmp_path / "pool.jsonl"
    rows = [{"id": one.id, "question": one.question, "answer": one.answer} for one in problems(20, 1, "p")]
    pool.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = Data(pool=(str(pool),), heldout=problems(2, 2, "h"))
    run(experiment("rounds.count=1", data=data), tmp_path / "run")
    pool.write_text("\n".join(map(json.dumps, rows[1:])), encoding="utf-8")
    with sitting(tmp_path / "run") as seat:
        page = seat.read("/")
        assert "have changed since" in page
        assert "20 questions" in page
    pool.unlink()
    with sitting(tmp_path / "run") as seat:
        page = seat.read("/")
        assert "are not at hand" in page
        assert str(tmp_path) not in page


def test_what_an_address_asks_for_comes_back_in_it() -> None:
    asked = Wanted(part="heldout", state="revised", find="a&b=c", order="data", page=3)
    query = dict(part.split("=") for part in asked.address()[1:].split("&"))
    assert query["page"] == "3"
    assert Wanted().address() == ""
    assert Wanted.of({"page": "٣"}).page == 1
    assert Wanted.of({"page": "9" * 5000}).page == 1
