"""Makes the packaged sample of SVAMP: the pool, the held-out questions, the warm-up rows, and chains with known errors.

    python tools/make_sample.py [--data FOLDER] [--out FOLDER]

`FOLDER` holds SVAMP as `train.jsonl.gz` and `validation.jsonl.gz`, with the equation of each question as
its `rationale`. The test split is never read. The same input gives the same files, byte for byte.

SVAMP varies about a hundred stories. Rows whose stories share half of their words are one story here, and
no story of the held-out file is in the pool or among the warm-up rows.

`steps.jsonl` holds chains of reasoning over questions of the pool, each with the place of its first wrong step.
Right ones are the rationale and its conclusion. In wrong ones one step, drawn by the seed, is spoilt in one of three
ways: another operation, a misread number, or a false result. The steps after it are calculated on from what it comes
to, so that the chain concludes with another number than the answer.
"""

import argparse
import gzip
import json
import operator
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"heldout": 60, "pool": 120, "warmup": 24}
WRONG_CHAINS = {1: 5, 2: 11}
"""How many wrong chains have one operation, and how many two."""
RIGHT_CHAINS = {1: 4, 2: 6}
SEED = 0
SAME_STORY = 0.5
"""Jaccard similarity of the words of two questions from which on they count as one story."""
COMMON_WORDS = frozenset(
    """all and are did does for from had has have her his how its left less many more much not now she
    some still that the their them then there they this total was were what will with would""".split()
)
WAYS = ("operation", "result", "number")
"""How a step is spoilt: another operation, a false result, a misread number."""
SIGNS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
NUMBER = re.compile(r"\d+(?:\.\d+)?")
STRAY = re.compile(r"[^\x20-\x7e]| [',.;]|\s{2}")
"""Marks of careless tokenising in a question: such rows are left out rather than mended."""


class UnfitError(ValueError):
    """A row that the sample does without, and why."""


@dataclass(frozen=True, kw_only=True)
class Sum:
    """One operation of an equation, with its result."""

    left: Fraction
    sign: str
    right: Fraction

    @property
    def result(self) -> Fraction:
        """The exact result. Raises UnfitError on a division by zero."""
        if self.sign == "/" and not self.right:
            raise UnfitError("division by zero")
        return SIGNS[self.sign](self.left, self.right)

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right} = {self.result}."


def sums(equation: str) -> list[Sum]:
    """The operations of a fully bracketed equation, innermost first.

    Raises: UnfitError when it is not one, or when its right side is not what its left side comes to.
    """
    left, _, right = equation.partition("=")
    tokens = left.split()
    done: list[Sum] = []
    value = _operand(tokens, done)
    if tokens or not done or value != _number(right.strip()):
        raise UnfitError(f"not a sum that holds: {equation}")
    return done


def _operand(tokens: list[str], done: list[Sum]) -> Fraction:
    """The value of a number or of a bracket, taken off the front; its operations go to `done`."""
    head = _next(tokens)
    if head != "(":
        return _number(head)
    left = _operand(tokens, done)
    sign = _next(tokens)
    right = _operand(tokens, done)
    if sign not in SIGNS or _next(tokens) != ")":
        raise UnfitError("not a bracket of one operation")
    step = Sum(left=left, sign=sign, right=right)
    done.append(step)
    return step.result


def _next(tokens: list[str]) -> str:
    if not tokens:
        raise UnfitError("ends too early")
    return tokens.pop(0)


def _number(text: str) -> Fraction:
    if not NUMBER.fullmatch(text):
        raise UnfitError(f"not a number: {text}")
    return Fraction(text)


def rationale(question: str, equation: str, answer: str) -> str:
    """The equation as one operation a line.

    Raises: UnfitError where the equation does not hold or misses the answer, where a number it starts from
    is not in the question, and where anything on the way is not a whole number of at least zero.
    """
    steps = sums(equation)
    values = [value for step in steps for value in (step.left, step.right, step.result)]
    if any(value < 0 or value.denominator != 1 for value in values):
        raise UnfitError("not in whole numbers")
    if steps[-1].result != Fraction(answer):
        raise UnfitError("misses the answer")
    known = {Fraction(number) for number in NUMBER.findall(question)}
    for step in steps:
        if not {step.left, step.right} <= known:
            raise UnfitError("starts from a number that the question does not give")
        known.add(step.result)
    return "\n".join(map(str, steps))


def fit_rows(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Rows of the sample, in the order of the source, without those that are unfit for it."""
    for row in rows:
        question = row["question"]
        if STRAY.search(question):
            continue
        try:
            text = rationale(question, row["rationale"], row["answer"])
        except UnfitError:
            continue
        source = row["source"].replace("SVAMP#", "svamp-")
        yield {"id": source, "question": question, "answer": row["answer"], "rationale": text}


def words(question: str) -> frozenset[str]:
    """The words that tell what a question is about; numbers are not among them."""
    return frozenset(re.findall(r"[a-z]{3,}", question.lower())) - COMMON_WORDS


def story_of(questions: Sequence[str]) -> list[int]:
    """For each question the index of the first that tells its story, directly or by way of others."""
    bags = [words(question) for question in questions]
    story = list(range(len(bags)))
    for later, bag in enumerate(bags):
        for earlier in range(later):
            if len(bag & bags[earlier]) >= SAME_STORY * len(bag | bags[earlier]):
                low, high = sorted((story[earlier], story[later]))
                story = [low if mark == high else mark for mark in story]
    return story


def draw(train: Sequence[dict[str, str]], held: Sequence[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """The rows of each file: whole stories go to the held-out side, until it is full."""
    story = story_of([row["question"] for row in (*train, *held)])
    train_story, held_story = story[: len(train)], story[len(train) :]
    rng = random.Random(SEED)
    order = sorted(set(held_story))
    rng.shuffle(order)
    heldout: list[dict[str, str]] = []
    taken: set[int] = set()
    for mark in order:
        if len(heldout) < SIZES["heldout"]:
            taken.add(mark)
            heldout += [row for row, own in zip(held, held_story, strict=True) if own == mark]
    rest = [row for row, own in zip(train, train_story, strict=True) if own not in taken]
    if len(heldout) < SIZES["heldout"] or len(rest) < SIZES["pool"] + SIZES["warmup"]:
        raise SystemExit("too few rows are fit for the sample")
    drawn = rng.sample(rest, SIZES["pool"] + SIZES["warmup"])
    return {
        "heldout": heldout[: SIZES["heldout"]],
        "pool": drawn[: SIZES["pool"]],
        "warmup": drawn[SIZES["pool"] :],
    }


def step_rows(pool: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """The rows of `steps.jsonl`: wrong chains, then right ones, each of its own question.

    The ways of spoiling take turns, and so do the places, as far as a chain has them.
    """
    rng = random.Random(SEED)
    rows: list[dict[str, Any]] = []
    for size in (1, 2):
        fit = [row for row in pool if row["rationale"].count("\n") + 1 == size]
        drawn = iter(rng.sample(fit, len(fit)))
        spoilt: list[dict[str, Any]] = []
        while len(spoilt) < WRONG_CHAINS[size]:
            turn = len(spoilt)
            changed = _spoilt(next(drawn), turn % size, WAYS[turn // size % len(WAYS)], rng)
            spoilt += [changed] if changed else []
        rows += spoilt
        rows += [_chain(next(drawn), None) for _ in range(RIGHT_CHAINS[size])]
    return sorted(rows, key=lambda row: row["first_error"] < 0)


def _chain(row: dict[str, str], steps: list[str] | None, first_error: int = -1, spoilt: str = "") -> dict[str, Any]:
    """A row of `steps.jsonl`; without `steps` the right chain."""
    right = row["rationale"].split("\n")
    steps = steps or right
    end = f"The answer is {NUMBER.findall(steps[-1])[-1]}."
    fields = {name: row[name] for name in ("id", "question", "answer")}
    return {
        **fields,
        "reference_solution": row["rationale"],
        "steps": [*steps, end],
        "first_error": first_error,
        "spoilt": spoilt,
    }


def _spoilt(row: dict[str, str], place: int, way: str, rng: random.Random) -> dict[str, Any] | None:
    """The row with the step at `place` spoilt and the rest calculated on from it; None where that cannot be done."""
    right = [_read_sum(line) for line in row["rationale"].split("\n")]
    done = right[place]
    known = {Fraction(number) for number in NUMBER.findall(row["question"])}
    for changed, result in _changes(done, way, known, rng):
        try:
            lines, end = _carried_on(right, place, changed, result)
        except UnfitError:
            continue
        if end != Fraction(row["answer"]):
            return _chain(row, lines, place, way)
    return None


def _changes(done: Sum, way: str, known: set[Fraction], rng: random.Random) -> list[tuple[Sum, Fraction]]:
    """Spoilt forms of a step with what each comes to, in an order drawn by `rng`."""
    if way == "operation":
        others = [Sum(left=done.left, sign=sign, right=done.right) for sign in SIGNS if sign != done.sign]
        found = [(one, one.result) for one in others if one.sign != "/" or one.right]
    elif way == "number":
        found = []
        for by in (-10, -3, -2, -1, 1, 2, 3, 10):
            for left, right in ((done.left + by, done.right), (done.left, done.right + by)):
                misread = Sum(left=left, sign=done.sign, right=right)
                elsewhere = ({left, right} - {done.left, done.right}) & known
                if min(left, right) > 0 and not elsewhere:
                    found.append((misread, misread.result))
    else:
        found = [(done, done.result + by) for by in (-10, -2, -1, 1, 2, 10)]
    return rng.sample(found, len(found))


def _carried_on(right: list[Sum], place: int, changed: Sum, result: Fraction) -> tuple[list[str], Fraction]:
    """The chain with the changed step, and what it ends at.

    Raises: UnfitError where a number is not whole or below zero, or where a step changes nothing.
    """
    lines = [str(done) for done in right[:place]]
    lines.append(f"{changed.left} {changed.sign} {changed.right} = {result}.")
    replaced, values = {right[place].result: result}, [changed.left, changed.right, result]
    for done in right[place + 1 :]:
        later = Sum(left=replaced.get(done.left, done.left), sign=done.sign, right=replaced.get(done.right, done.right))
        replaced[done.result] = later.result
        lines.append(str(later))
        values += [later.left, later.right, later.result]
    if any(value < 0 or value.denominator != 1 for value in values) or result == right[place].result:
        raise UnfitError("not in whole numbers, or nothing changed")
    return lines, values[-1]


def _read_sum(line: str) -> Sum:
    left, sign, right, *_ = line.split()
    return Sum(left=Fraction(left), sign=sign, right=Fraction(right))


def make(data: Path, out: Path) -> None:
    """Reads the train and validation splits in `data` and writes the four files into `out`."""
    train, held = (list(fit_rows(_read(data / f"{split}.jsonl.gz"))) for split in ("train", "validation"))
    drawn: dict[str, list[dict[str, Any]]] = {**draw(train, held)}
    drawn["steps"] = step_rows(drawn["pool"])
    for name, rows in drawn.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


def _read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description="Makes the packaged sample of SVAMP.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "svamp")
    parser.add_argument("--out", type=Path, default=ROOT / "src" / "elad" / "sample")
    options = parser.parse_args()
    make(options.data, options.out)


if __name__ == "__main__":
    main()
