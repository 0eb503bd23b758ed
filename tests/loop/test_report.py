"""`elad report` on runs of the loop: what it tells adds up, its forms say the same, and every run has one."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from loop_kit import experiment, problems
from markdown_it import MarkdownIt
from report_kit import Parsed

from elad.errors import RunFolderError
from elad.experiment import Data
from elad.ledger.events import CONTROL, FILE, MAIN, Kind, Ledger
from elad.ledger.reconcile import reconcile
from elad.loop import run
from elad.plan.plan import keep, plan
from elad.report.page.document import Document, Figure
from elad.report.page.hypertext import hypertext
from elad.report.page.markdown import markdown
from elad.report.page.wording import visible
from elad.report.report import FORMATS, compose, gather
from elad.report.status import status
from elad.students.fake import FakeStudent

PRICE = {"input": 1.0, "output": 3.0}
FAULTS = {"wrong_end": 0.2, "garbage": 0.1, "refused": 0.1}
PRICED = {"kind": "fake", "price": PRICE, "faults": FAULTS}
DATA = Data(pool=problems(60, 1, "p"), heldout=problems(30, 2, "h"), warmup=problems(4, 3, "w"))


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rounds with a control, a price, faults and a forecast."""
    folder = tmp_path_factory.mktemp("controlled")
    whole = experiment("control.share=0.25", data=DATA, teacher=PRICED, rounds={"count": 3, "questions": 12})
    keep(plan(whole), folder)
    run(whole, folder)
    return folder


def forms(told: dict[str, Any]) -> tuple[Document, Parsed, str]:
    """The document, and what its page and its Markdown say once they are rendered."""
    document = compose(told)
    rendered = MarkdownIt("commonmark").enable("table").render(markdown(document))
    return document, Parsed(hypertext(document)), Parsed(rendered).words


def strings(value: object, *, charts: bool) -> Iterator[str]:
    """All strings of a document, those of its charts too where they are wanted."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        skipped = {"kind", "name", "mark"} | ({"charts"} if isinstance(value, Figure) and not charts else set())
        for field in fields(value):
            if field.name not in skipped:
                yield from strings(getattr(value, field.name), charts=charts)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item, charts=charts)


def plain(text: str) -> str:
    return " ".join(visible(text).split())


def check(folder: Path) -> dict[str, Any]:
    """What a run's report tells; whatever it is, all forms can be written and say the same."""
    told = gather(folder)
    document, page, words = forms(told)
    for text in strings(document, charts=False):
        assert plain(text) in page.words
        assert plain(text) in words
    assert json.loads(FORMATS["json"](told)) == told
    return told


def test_all_forms_say_the_same(controlled: Path) -> None:
    told = check(controlled)
    document, page, _ = forms(told)
    names = [section.name for section in document.sections]
    assert len(names) == len(set(names)) == 14
    assert [link["href"] for link in page.named("a")] == [f"#{name}" for name in names]
    assert {attributes.get("id") for attributes in page.named("section")} == set(names)


def test_the_sums_are_those_of_the_books(controlled: Path) -> None:
    told = gather(controlled)
    with Ledger(controlled, write=False) as ledger:
        books, spent = reconcile(ledger), ledger.spent()
    found = told["spending"]
    assert found["total"]["replies"] == books.replies + books.lost > 0
    for group in ("by_purpose", "by_round", "by_outcome"):
        rows = found[group]
        assert sum(row["replies"] for row in rows) == found["total"]["replies"]
        assert sum(row["tokens_in"] for row in rows) == spent.tokens_in
        assert sum(row["tokens_out"] for row in rows) == spent.tokens_out
        assert sum(row["money"] for row in rows) == pytest.approx(spent.money)
    assert {row["what"] for row in found["by_purpose"]} == {"judge", "continue"}
    assert sum(row["tokens_out"] for row in told["bought"]) == sum(
        row["tokens_out"] for row in told["bought"] if row["outcome"]
    )
    assert told["books"]["problems"] == []


def test_the_curve_is_that_of_the_rounds_and_within_its_band(controlled: Path) -> None:
    told = gather(controlled)
    rounds = {MAIN: told["status"]["rounds"], CONTROL: told["status"]["control"]["rounds"]}
    assert told["curve"]["costs"] == ["money", "questions"]
    for arm, its in told["curve"]["arms"].items():
        assert [row["accuracy"] for row in its["rounds"]] == [row["accuracy"] for row in rounds[arm]]
        assert [row["money"] for row in its["rounds"]] == pytest.approx(
            [sum(row["money"] for row in rounds[arm][: i + 1]) for i in range(4)]
        )
        for band in its["bands"].values():
            assert all(one["low"] <= one["accuracy"] <= one["high"] for one in band)
    change, last = told["curve"]["change"], rounds[MAIN][-1]["accuracy"] - rounds[MAIN][0]["accuracy"]
    assert change["gained"] - change["lost"] == pytest.approx(30 * last)
    assert str(told["curve"]["heldout"]) == "30"


def test_what_was_selected_scores_highest_and_every_open_question_is_in_one_group(controlled: Path) -> None:
    rounds = gather(controlled)["picking"]["rounds"]
    left = 60
    for row in rounds:
        assert row["selected"]["n"] == 9
        assert row["selected"]["n"] + row["not_selected"]["n"] == left
        assert row["selected"]["scored"] + row["not_selected"]["scored"] == left
        assert row["selected"]["score"] > row["not_selected"]["score"]
        left -= 9


def test_first_errors_are_those_of_the_revisions(controlled: Path) -> None:
    found = gather(controlled)["first_errors"]
    with Ledger(controlled, write=False) as ledger:
        revisions = [event.payload for event in ledger.of(MAIN).events(Kind.REVISION)]
    for row in found["positions"]:
        assert row["wrong"] == sum(one["first_error"] == row["position"] - 1 for one in revisions)
        assert row["wrong"] <= row["judged"]
    assert sum(row["wrong"] for row in found["positions"]) + found["without"] == found["judged"]
    assert found["positions"][0]["judged"] == found["judged"] > 0


def test_the_bins_add_up_to_the_calibration_of_the_rounds(controlled: Path) -> None:
    told = gather(controlled)
    for kind in ("steps", "questions"):
        rows = [row[kind] for row in told["status"]["calibration"]]
        found = told["calibration"][kind]
        assert (found["n"], found["wrong"]) == (sum(row["n"] for row in rows), sum(row["wrong"] for row in rows))
        assert sum(one["n"] for one in found["bins"]) == found["n"]


def test_examples_follow_their_rules(controlled: Path) -> None:
    told = gather(controlled)
    scores = sorted((one["score"] for one in told["bought"] if one["arm"] == MAIN), reverse=True)
    by_rule: dict[str, list[Any]] = {}
    for one in told["examples"]:
        by_rule.setdefault(one["rule"], []).append(one)
    assert [one["score"] for one in by_rule["Largest uncertainty"]] == scores[:3]
    assert {one["outcome"] for one in by_rule["Repaired"]} == {"repaired"}
    assert not {one["outcome"] for one in by_rule["Rejected"]} & {"repaired", "accepted"}
    shown = [(one["problem_id"], one["round"]) for one in told["examples"]]
    assert len(shown) == len(set(shown))
    for one in by_rule["Repaired"]:
        assert one["steps"][one["first_error"]]["verdict"] == "wrong"
        assert one["steps"][0]["score"] is not None
        assert one["edit"]
        assert one["after"]
    assert told["wrong"]["unread"] is None
    for one in told["wrong"]["examples"]:
        assert one["question"]
        assert one["gold"]
        assert not one["after"]["right"]
        assert one["before"]["right"] is (one["rule"] == "right before and wrong now")


def test_a_chart_is_sound_and_has_its_axes(controlled: Path) -> None:
    told = gather(controlled)
    document = compose(told)
    text = hypertext(document)
    drawn = [part for section in document.sections for part in section.parts if isinstance(part, Figure)]
    charts = [chart for figure in drawn for chart in figure.charts]
    found = [f"<svg{one.partition('</svg>')[0]}</svg>" for one in text.split("<svg")[1:]]
    assert len(found) == len(charts) >= 7
    for chart, svg in zip(charts, found, strict=True):
        words = " ".join(ElementTree.fromstring(svg).itertext())
        assert chart.x in words
        assert "nan" not in svg
        assert "None" not in svg
    for figure in drawn:
        assert "seed" in figure.caption or "CPUs" in figure.caption
    assert any("money (USD), so far" in chart.x for chart in charts)


def test_a_run_without_gold_answers_says_what_it_cannot_see(tmp_path: Path) -> None:
    pool = [
        replace(one, answer=None, metadata={"teacher_rationales": [{"text": one.rationale, "answer": one.answer}]})
        for one in problems(30, 1, "p")
    ]
    data = Data(pool=tuple(pool), heldout=tuple(problems(12, 2, "h")))
    run(experiment(data=data, teacher={"kind": "recorded"}, reviser={"kind": "rewrite"}), tmp_path)
    told = check(tmp_path)
    assert {one["outcome"] for one in told["bought"]} == {"rewritten"}
    assert any("no gold answer" in one for one in told["limits"])
    assert {one["gold"] for one in told["examples"]} == {None}


def test_a_run_of_one_round(tmp_path: Path) -> None:
    run(experiment("rounds.count=1"), tmp_path)
    told = check(tmp_path)
    assert len(told["curve"]["arms"][MAIN]["rounds"]) == 2
    assert any("No arm picked at random" in one for one in told["limits"])
    assert any("is no language model" in one for one in told["limits"])


def test_the_random_selector_has_no_scores(tmp_path: Path) -> None:
    run(experiment(selector={"kind": "random"}), tmp_path)
    told = check(tmp_path)
    assert told["picking"]["histogram"] is None
    assert [row["selected"]["scored"] for row in told["picking"]["rounds"]] == [0, 0]
    assert [row["not_selected"]["n"] for row in told["picking"]["rounds"]] == [22, 14]
    assert told["calibration"]["questions"]["n"] == 0
    assert "Largest uncertainty" not in {one["rule"] for one in told["examples"]}
    assert any("No question was scored" in one for one in told["limits"])


@pytest.mark.parametrize("kind", ["rewrite", "answer_only"])
def test_a_reviser_that_judges_nothing(tmp_path: Path, kind: str) -> None:
    run(experiment(reviser={"kind": kind}), tmp_path)
    told = check(tmp_path)
    assert told["first_errors"]["judged"] == 0
    assert told["calibration"]["questions"]["n"] == 0


def test_few_samples_at_first_are_found_as_scores(tmp_path: Path) -> None:
    run(experiment("adaptive.few=1", "uncertainty.samples=3"), tmp_path)
    rounds = check(tmp_path)["picking"]["rounds"]
    assert [row["not_selected"]["scored"] for row in rounds] == [22, 14]


def test_scores_of_questions_as_a_whole(tmp_path: Path) -> None:
    run(experiment(uncertainty={"kind": "entropy"}), tmp_path)
    told = check(tmp_path)
    assert told["calibration"]["steps"]["n"] == 0
    assert {step["score"] for one in told["examples"] for step in one["steps"]} == {None}


def test_a_stopped_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        run(experiment("rounds.count=1"), tmp_path)
        patched.setattr(FakeStudent, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(experiment(), tmp_path)
    told = check(tmp_path)
    assert told["status"]["state"] == "stopped"
    assert any("stopped before its end (interrupted)" in one for one in told["limits"])
    assert len(told["bought"]) == 16
    assert len(told["curve"]["arms"][MAIN]["rounds"]) == 2
    assert [one["what"] for one in told["asked"]["changes"]] == ["rounds.count"]


def test_a_run_under_way_says_so(controlled: Path) -> None:
    with Ledger(controlled, write=True):
        told = check(controlled)
        _, page, words = forms(told)
    assert told["status"]["state"] == "running"
    assert any(attributes.get("class") == "state under-way" for attributes in page.named("p"))
    assert "Under way." in words
    assert any("is under way" in one for one in told["limits"])


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9])
def test_whatever_has_happened_so_far_can_be_told(controlled: Path, tmp_path: Path, share: float) -> None:
    """The ledger of a run that came no further than this."""
    shutil.copy(controlled / FILE, tmp_path / FILE)
    with sqlite3.connect(tmp_path / FILE) as db:
        whole = db.execute("SELECT max(seq) FROM events").fetchone()[0]
        db.execute("DELETE FROM events WHERE seq > ?", (max(1, int(share * whole)),))
    told = check(tmp_path)
    assert told["sentence"]
    assert bool(told["curve"]["arms"]) == bool(told["status"]["rounds"])


def test_replies_of_the_cache_are_told_with_what_they_had_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, controlled: Path
) -> None:
    folder = Path(shutil.copytree(controlled, tmp_path / "run"))
    with sqlite3.connect(folder / FILE) as db:
        key, payload = db.execute("SELECT key, payload FROM events WHERE kind = 'reply' LIMIT 1").fetchone()
        reply = json.loads(payload)
        reply |= {"cached": True, "original": reply["charge"], "charge": {}}
        db.execute("UPDATE events SET payload = ? WHERE key = ?", (json.dumps(reply), key))
        db.execute("DELETE FROM events WHERE kind = 'request' AND key LIKE ?", (f"{key}#%",))
    found = check(folder)["spending"]
    assert found["cached"]["replies"] == 1
    assert found["cached"]["had_cost"]["tokens_out"] == reply["original"]["tokens_out"]
    assert found["cached"]["had_cost"]["money"] == {"USD": reply["original"]["money"]}
    assert found["by_purpose"][-1]["what"] == "from the cache of replies"


def damaged(folder: Path, how: str) -> None:
    path = folder / FILE
    match how:
        case "emptied":
            path.write_bytes(b"")
        case "cut in a page":
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3 + 7])
        case "overwritten":
            half = path.stat().st_size // 2
            with path.open("r+b") as file:
                file.seek(half)
                file.write(b"\xff" * (path.stat().st_size - half))
        case _:
            path.unlink()


@pytest.mark.parametrize("how", ["emptied", "cut in a page", "overwritten", "gone"])
def test_a_torn_ledger_is_a_clear_error(controlled: Path, tmp_path: Path, how: str) -> None:
    folder = Path(shutil.copytree(controlled, tmp_path / "run"))
    damaged(folder, how)
    with pytest.raises(RunFolderError, match=str(folder)):
        gather(folder)


def test_a_folder_that_was_never_begun_is_a_clear_error(tmp_path: Path) -> None:
    with Ledger(tmp_path, write=True):
        pass
    with pytest.raises(RunFolderError, match="holds no session"):
        gather(tmp_path)


def test_held_out_questions_that_have_changed_are_not_shown(controlled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(controlled, tmp_path / "run"))
    with sqlite3.connect(folder / FILE) as db:
        identity = json.loads(db.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()[0])
        changed = json.dumps(identity | {"data.heldout": "another"})
        db.execute("UPDATE meta SET value = ? WHERE name = 'identity'", (changed,))
    found = check(folder)["wrong"]
    assert found["unread"] == "their file has changed since"
    assert {one["question"] for one in found["examples"]} == {None}


def test_the_report_changes_nothing(controlled: Path) -> None:
    before = (controlled / FILE).read_bytes()
    assert gather(controlled) == gather(controlled)
    assert status(controlled)["rounds"] == gather(controlled)["status"]["rounds"]
    assert (controlled / FILE).read_bytes() == before
