"""What models and users wrote is shown, bounded, and never run: on the page, in Markdown, and in JSON."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from loop_kit import experiment
from markdown_it import MarkdownIt
from report_kit import Parsed, written
from test_cli import elad
from typer.testing import CliRunner

from elad.cli import app
from elad.errors import InputError
from elad.ledger.events import FILE
from elad.loop import run
from elad.report import report as writing
from elad.report.page.hypertext import hypertext
from elad.report.page.markdown import markdown
from elad.report.page.wording import visible
from elad.report.report import FORMATS, compose, gather, write

DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""All characters that order text."""
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script src=https://evil.example/x.js></script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</pre></td></table></section><h1>gone</h1>",
    "<style>*{display:none}</style><link rel=stylesheet href=//evil.example>",
    "<!-- <base href=//evil.example> <meta http-equiv=refresh content=0;url=//evil.example>",
    '" onmouseover="alert(1)" x="',
    "{{ 7*7 }} {% include 'page.html' %}",
    "\u202egnp.exe \u2066\u200fabc\u2069",
    "\x00\x1b[31m\x07",
    "$$\\frac{1}{2}$$ \\(x\\) $x$",
    "# heading\n\n- list\n\n| a | b |\n|---|---|\n| c | d |",
    "```\n# out of the fence\n``````\n<b>bold</b>",
    "[click](javascript:alert(1)) ![](https://evil.example/p.png) <https://evil.example>",
    "https://evil.example www.evil.example me@evil.example",
    "&lt;script&gt; &#60;b&#62; *so* __strong__ ~~no~~ `code`",
    "مرحبا بالعالم",
)
TAGS = {"table", "thead", "tbody", "tr", "th", "td", "p", "ul", "li", "h1", "h2", "h3", "h4", "strong", "pre", "code"}
"""What our own Markdown makes."""


@pytest.fixture(scope="module", params=range(len(HOSTILE)))
def attack(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


@pytest.fixture(scope="module")
def attacked(attack: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which every text that is not ours says it."""
    return written(tmp_path_factory.mktemp("hostile"), 12, lambda word: f"{word} {attack}")


def seen(text: str) -> str:
    return " ".join(visible(text).split())


def test_the_page_shows_it_and_runs_nothing(attacked: Path, attack: str) -> None:
    text = FORMATS["html"](gather(attacked))
    page = Parsed(text)
    for tag in ("script", "img", "link", "base", "iframe", "object", "form", "input"):
        assert list(page.named(tag)) == []
    assert sum(1 for _ in page.named("h1")) == sum(1 for _ in page.named("style")) == 1
    assert len(list(page.named("meta"))) == 5
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style", "srcdoc")], tag
        assert (attributes.get("href") or "#").startswith("#")
    for word in ("question", "step 1", "reason", "edit", "after"):
        assert seen(f"{word} {attack}") in page.words
    assert not set(DIRECTIONS + "\x00\x1b\x07") & set(text)
    assert "49" not in page.words or "7*7" not in attack


def test_the_page_allows_its_own_style_and_nothing_else(attacked: Path) -> None:
    page = Parsed(FORMATS["html"](gather(attacked)))
    (policy,) = [one["content"] for one in page.named("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    allowed = dict(part.strip().split(" ", 1) for part in (policy or "").split(";"))
    own = b64encode(sha256(page.style.encode()).digest()).decode()
    assert allowed == {
        "default-src": "'none'",
        "style-src": f"'sha256-{own}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "//" not in page.style.replace("http://www.w3.org", "")


def test_markdown_shows_it_and_makes_nothing_of_it(attacked: Path, attack: str) -> None:
    text = FORMATS["md"](gather(attacked))
    page = Parsed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))
    assert {tag for tag, _ in page.elements} <= TAGS
    assert sum(1 for _ in page.named("h1")) == 1
    ours = [section.title for section in compose(gather(attacked)).sections]
    assert sum(1 for _ in page.named("h2")) == len(ours)
    for word in ("question", "step 1", "reason", "after"):
        assert seen(f"{word} {attack}") in page.words
    assert seen("\n".join(f"+ {line}" for line in f"edit {attack}".split("\n"))) in page.words
    assert not set(DIRECTIONS + "\x00\x1b\x07") & set(text)
    outside = re.sub(r"^(`{3,})\w+\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.search(r"(?<!\\)\$|(?<!\\)<|https?://|(?<!\\)`", outside)


def test_json_keeps_it_as_it_is_and_controls_no_terminal(attacked: Path, attack: str) -> None:
    text = FORMATS["json"](gather(attacked))
    assert text.isascii()
    assert not set("\x00\x1b\x07") & set(text)
    told = json.loads(text)
    assert any(attack in one["question"] for one in told["examples"])


def test_a_step_of_a_megabyte_is_cut_and_told(tmp_path: Path) -> None:
    long = "x" * 1_000_000
    written(tmp_path, 12, lambda word: f"{word} {long}" if word not in ("id", "pool", "heldout") else word)
    told = gather(tmp_path)
    for to in FORMATS:
        assert len(FORMATS[to](told)) < 400_000
    more = "more characters]"
    step = told["examples"][0]["steps"][1]["text"]
    assert step.startswith("step 1 xxx")
    assert step.endswith(f"[… {len('step 1 ') + 1_000_000 - 1000:,} {more}")
    assert more in Parsed(FORMATS["html"](told)).words


def test_five_thousand_questions_are_a_page_of_less_than_two_megabytes(tmp_path: Path) -> None:
    asked = "Robin has 28 pens, buys 14 more at the fair and finds 7 of them broken. How many pens are left?"
    written(
        tmp_path, 5000, lambda word: asked if word == "question" else f"{word} of a usual length, such as 28 + 14 = 42."
    )
    told = gather(tmp_path)
    text = FORMATS["html"](told)
    assert len(told["bought"]) == 5000
    assert 500_000 < len(text.encode()) < 2_000_000
    page = Parsed(text)
    leaves = [one for one in page.named("details") if one.get("class") == "leaf"]
    assert len(leaves) == 50
    assert "open" in leaves[0]
    assert not any("open" in one for one in leaves[1:])
    assert sum(1 for _ in page.named("tr")) > 5000
    assert "Rows 4901 to 5000 of 5000" in page.words


def test_more_rows_than_a_page_bears_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elad.report.parts import bought

    monkeypatch.setattr(bought, "MOST_ROWS", 5)
    told = gather(written(tmp_path, 12))
    assert len(told["bought"]) == 12
    assert "The first 5 of 12" in Parsed(hypertext(compose(told))).words
    assert "The first 5 of 12" in markdown(compose(told))


@pytest.fixture
def done(tmp_path: Path) -> Path:
    run(experiment("rounds.count=1"), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(("to", "begins"), [("html", "<!doctype html>"), ("md", "# elad report: fake"), ("json", "{")])
def test_the_verb_writes_each_form(done: Path, to: str, begins: str) -> None:
    told = CliRunner().invoke(app, ["report", str(done), *(["--format", to] if to != "html" else [])])
    assert told.exit_code == 0, told.output
    assert (done / f"report.{to}").read_text(encoding="utf-8").startswith(begins)
    assert f"report.{to}" in told.output.replace("\n", "")


def test_the_verb_writes_elsewhere(done: Path, tmp_path: Path) -> None:
    ran = elad("report", "run", "--out", "pages/mine.html", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in (tmp_path / "pages").iterdir()] == ["mine.html"]
    assert not (done / "report.html").exists()


def test_the_page_says_nothing_of_the_machine_s_folders(done: Path, tmp_path: Path) -> None:
    for to in FORMATS:
        write(done, to, tmp_path / f"x.{to}")
        assert str(tmp_path) not in (tmp_path / f"x.{to}").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["report", "nowhere"], "not a run folder"),
        (["report", "run", "--format", "htm"], "did you mean 'html'?"),
        (["report", "run", "--out", f"run/{FILE}"], "belongs to the run"),
        (["report", "run", "--out", "run"], "cannot be written"),
        (["report", "run", "--out", "mine.yaml/x.html"], "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_a_clear_error(done: Path, tmp_path: Path, words: list[str], told: str) -> None:
    (tmp_path / "mine.yaml").write_text("")
    before = (done / FILE).read_bytes()
    ran = elad(*words, cwd=tmp_path)
    assert ran.returncode == 2
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr
    assert (done / FILE).read_bytes() == before
    assert not [path for path in (*tmp_path.iterdir(), *done.iterdir()) if path.name.startswith(("x.html", "run."))]


def test_without_jinja2_the_extra_is_named(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'elad\[report\]'"):
        write(done, "html", done / "report.html")
    write(done, "md", done / "report.md")
