"""Multi-granularity revision: the correction and its log, the spans, and the span objective against plain loops."""

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from revision_kit import TASK, Cut, Script, candidate

from elad.errors import ConfigError
from elad.kinds import build, describe
from elad.learning import Full, Need, Targets, TopK
from elad.methods.multi_granularity import Phrases, Scrg, SpanConsistency, Windows
from elad.outcomes import ReplyOutcome, RevisionOutcome, Verdict
from elad.protocols import Ask, Contrast, Contrasting, Disagreement, Prompt
from elad.records import Request
from elad.revision.driving import ask_key

DRAFT = "3 * 4 = 13 apples.\n13 - 2 = 11.\nThe answer is 11."
MODULE = "elad.methods.multi_granularity"


def never(_: Request) -> str | ReplyOutcome:
    raise AssertionError("the teacher is never asked")


def objection(text: str, said: str, preferred: str, kl: float, *, after: str = "") -> Disagreement:
    """An objection to the first `said` behind `after`."""
    start = text.index(said, text.index(after))
    return Disagreement(start=start, end=start + len(said), preferred=preferred, divergence=kl)


def knowing(known: dict[str, Sequence[Disagreement]]) -> Any:
    """A guide that objects to these texts, and to no other."""

    def guide(ask: Contrasting) -> Contrast:
        return tuple(known.get(ask.text, ()))

    return guide


def student(rest: dict[str, str]) -> Any:
    return lambda prompt: rest[prompt.prefix]


def test_the_token_furthest_apart_is_replaced_and_the_student_goes_on() -> None:
    objections = [
        objection(DRAFT, " apples", " bags", 0.3),
        objection(DRAFT, " 13", " 12", 2.5),
        objection(DRAFT, " 11", " 10", 1.7),
    ]
    before, rest = "3 * 4 = 12", " apples.\n12 - 2 = 10.\nThe answer is 10."
    script = Script(never, student({before: rest}), guide=knowing({DRAFT: objections}))
    revision = script.run(Scrg(), candidate(DRAFT))
    assert revision.outcome is RevisionOutcome.REPAIRED
    assert revision.after == before + rest
    assert revision.before == DRAFT
    assert (revision.answer, revision.first_error, revision.edit) == ("10", 0, "3 * 4 = 12 apples.")
    assert revision.verdicts == (Verdict.UNJUDGED,) * 3
    assert revision.reason == "at 7..10 ' 13' became ' 12' (KL 2.500)"
    assert revision.detail == {"corrections": [{"start": 7, "end": 10, "said": " 13", "preferred": " 12", "kl": 2.5}]}
    assert (revision.charge.calls, revision.requests, revision.reviser) == (0, (), "scrg(1)")
    first, second = script.asked
    messages = TASK.messages(candidate(DRAFT).problem)
    assert first == Contrasting(prompt=Prompt(messages=messages), text=DRAFT)
    assert second == Prompt(messages=messages, prefix=before, seed=0)


def test_the_log_names_the_first_step_that_was_touched_by_several_corrections() -> None:
    middle = "3 * 4 = 13 apples.\n13 - 2 = 12.\nThe answer is 12."
    last = "3 * 4 = 12 apples.\n12 - 2 = 10.\nThe answer is 10."
    guide = knowing({
        DRAFT: [objection(DRAFT, " 11", " 12", 2.0)],
        middle: [objection(middle, " 13", " 12", 1.0)],
        last: [objection(last, " apples", " bags", 0.01)],
    })  # fmt: skip
    rests = {"3 * 4 = 13 apples.\n13 - 2 = 12": ".\nThe answer is 12.", "3 * 4 = 12": last[10:]}
    revision = Script(never, student(rests), guide=guide).run(Scrg(corrections=3, min_kl=0.05), candidate(DRAFT))
    assert revision.outcome is RevisionOutcome.REPAIRED
    assert (revision.after, revision.first_error, revision.edit) == (last, 0, "3 * 4 = 12 apples.")
    assert revision.reason == "at 27..30 ' 11' became ' 12' (KL 2.000); at 7..10 ' 13' became ' 12' (KL 1.000)"
    assert [entry["start"] for entry in revision.detail["corrections"]] == [27, 7]


def test_what_stands_before_the_correction_stays_and_so_do_the_steps_numbers() -> None:
    guide = knowing({DRAFT: [objection(DRAFT, " 11", " 10", 1.0)]})
    before = "3 * 4 = 13 apples.\n13 - 2 = 10"
    revision = Script(never, student({before: ".\nThe answer is 10."}), guide=guide).run(Scrg(), candidate(DRAFT))
    assert (revision.first_error, revision.edit) == (1, "13 - 2 = 10.")
    assert revision.after is not None
    assert revision.after.startswith(before)


def test_where_nothing_is_objected_to_the_draft_stays() -> None:
    right = DRAFT.replace("13", "12").replace("11", "10")
    for guide in (knowing({}), knowing({right: [objection(right, " 12", " 11", 0.09)]})):
        script = Script(never, guide=guide)
        revision = script.run(Scrg(min_kl=0.1), candidate(right))
        assert (revision.outcome, revision.after) == (RevisionOutcome.ACCEPTED, right)
        assert (revision.first_error, revision.edit, revision.detail) == (None, None, {"corrections": []})
        assert len(script.asked) == 1


def test_of_equal_divergences_the_first_is_corrected() -> None:
    guide = knowing({DRAFT: [objection(DRAFT, " 13", " 12", 1.0), objection(DRAFT, " 11", " 10", 1.0)]})
    script = Script(never, student({"3 * 4 = 12": ".\nThe answer is 10."}), guide=guide)
    assert script.run(Scrg(), candidate(DRAFT)).outcome is RevisionOutcome.REPAIRED


def test_where_the_guide_would_end_the_chain_ends_and_nobody_goes_on() -> None:
    long = "The answer is 10 and a half."
    guide = knowing({long: [objection(long, " and", "", 1.0)]})
    script = Script(never, guide=guide)
    revision = script.run(Scrg(), candidate(long))
    assert (revision.outcome, revision.after) == (RevisionOutcome.REPAIRED, "The answer is 10.")
    assert revision.reason == "at 16..20 ' and' became the end (KL 1.000)"
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("rest", "why"),
    [(" apples.\nThe answer is 12.", "the chain ends at '12'"), (Cut(" apples and"), "the chain does not conclude")],
)
def test_a_corrected_chain_that_ends_elsewhere_is_logged_and_not_learnt_from(rest: str, why: str) -> None:
    guide = knowing({DRAFT: [objection(DRAFT, " 13", " 12", 2.5)]})
    revision = Script(never, student({"3 * 4 = 12": rest}), guide=guide).run(Scrg(), candidate(DRAFT))
    assert (revision.outcome, revision.after, revision.first_error) == (RevisionOutcome.WRONG_END, None, 0)
    assert revision.reason == f"at 7..10 ' 13' became ' 12' (KL 2.500); {why}"
    assert len(revision.detail["corrections"]) == 1


def test_without_a_gold_answer_any_end_will_do_and_an_empty_draft_has_none() -> None:
    guide = knowing({DRAFT: [objection(DRAFT, " 13", " 12", 2.5)]})
    script = Script(never, student({"3 * 4 = 12": ".\nThe answer is 12."}), guide=guide)
    assert script.run(Scrg(), candidate(DRAFT, None)).outcome is RevisionOutcome.REPAIRED
    assert script.run(Scrg(), candidate("", None)).outcome is RevisionOutcome.WRONG_END


@pytest.mark.parametrize("bad", [{"corrections": 0}, {"min_kl": -1.0}, {"min_kl": float("nan")}])
def test_settings_that_cannot_be_used_are_named(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"reviser\.{next(iter(bad))}"):
        build("elad.revision", {"kind": f"{MODULE}:Scrg", **bad}, "reviser")


SAID = "Tom has 3 + 4 = 7 red apples, in the box of $1,200.50.\nSo he can't eat 25% of them."


def parts(spans: list[tuple[int, int]], text: str) -> list[str]:
    return [text[start:end] for start, end in spans]


def test_phrases_are_sums_and_runs_of_words() -> None:
    assert parts(Phrases()(SAID), SAID) == [
        "Tom", "has", "3 + 4 = 7", "red apples", "in", "the box", "of", "$1,200.50",
        "So he can't eat", "25%", "of them",
    ]  # fmt: skip
    assert Phrases()("... \n!") == []


def test_windows_are_so_many_words() -> None:
    assert parts(Windows(words=4)("a b c d  e\nf"), "a b c d  e\nf") == ["a b c d", "e\nf"]
    assert Windows(words=4)("") == []


@pytest.mark.parametrize("spans", [Phrases(), Windows(words=1), Windows(words=3)])
@given(text=st.text(alphabet=st.sampled_from("ab' the3=+.,%$\n-é"), max_size=60))
def test_spans_are_in_order_apart_and_not_empty(spans: Any, text: str) -> None:
    found = spans(text)
    edges = [edge for span in found for edge in span]
    assert edges == sorted(edges)
    assert all(start < end for start, end in found)
    assert found == spans(text)


# Two rows: 3 + 2 words and the end of text; the second row's first pair is cut by a target without loss.
TEXTS = ("3 + 4 red ripe", "so it is")
PLACES = [[(0, 1), (1, 3), (3, 5), (5, 9), (9, 14), (14, 14)], [(0, 2), (2, 5), (5, 8), (8, 8)]]
ROWS = torch.tensor([0] * 6 + [1] * 4)


def made(seed: int, size: int = 7, mask: Sequence[int] = (1,) * 10) -> tuple[torch.Tensor, Targets]:
    generator = torch.Generator().manual_seed(seed)
    logits_NV, guide_NV = (3 * torch.randn(10, size, generator=generator) for _ in range(2))
    return logits_NV, Targets(
        ids_N=torch.randint(size, (10,), generator=generator),
        mask_N=torch.tensor(mask, dtype=torch.bool),
        weights_N=torch.rand(10, generator=generator) + 0.5,
        rows_N=ROWS,
        view=Full(logits_NV=guide_NV),
        texts_R=TEXTS,
        places_N2=torch.tensor([place for row in PLACES for place in row]),
    )


def slow(logits: list[list[float]], targets: Targets, spans: Any) -> float:
    """Word for word: a row's mean over spans of the mean over pairs of squared error, times its targets."""
    assert isinstance(targets.view, Full)
    sides = [[softmax(row) for row in side] for side in (logits, targets.view.logits_NV.tolist())]
    mask, weights, total = targets.mask_N.tolist(), targets.weights_N.tolist(), 0.0
    offset = 0
    for text, places in zip(TEXTS, PLACES, strict=True):
        means: list[float] = []
        for begin, stop in spans(text):
            values: list[float] = []
            for i in range(len(places) - 1):
                inside = all(start < stop and begin < end for start, end in places[i : i + 2])
                n = offset + i
                if inside and mask[n] and mask[n + 1]:
                    mine, theirs = ([a * b for a, b in zip(side[n], side[n + 1], strict=True)] for side in sides)
                    error = sum((a - b) ** 2 for a, b in zip(mine, theirs, strict=True))
                    values.append(sqrt(weights[n] * weights[n + 1]) * error)
            if values:
                means.append(sum(values) / len(values))
        if means:
            total += sum(mask[offset : offset + len(places)]) * sum(means) / len(means)
        offset += len(places)
    return total


def softmax(row: Sequence[float]) -> list[float]:
    most = max(row)
    norm = most + log(sum(exp(one - most) for one in row))
    return [exp(one - norm) for one in row]


MASKS = [(1,) * 10, (1, 0, 1, 1, 1, 1, 1, 0, 1, 1), (0,) * 6 + (1,) * 4]


@pytest.mark.parametrize("spans", [Phrases(), Windows(words=2), Windows(words=9)])
@pytest.mark.parametrize("mask", MASKS)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**31))
def test_value_and_gradient_are_those_of_plain_loops(spans: Any, mask: tuple[int, ...], seed: int) -> None:
    logits_NV, targets = made(seed, mask=mask)
    loss = SpanConsistency(spans=spans)(logits_NV.requires_grad_(), targets)
    (gradient,) = torch.autograd.grad(loss.total, logits_NV)
    logits = logits_NV.tolist()
    assert loss.total.item() == pytest.approx(slow(logits, targets, spans), rel=1e-4, abs=1e-6)
    assert int(loss.count) == sum(mask)
    assert loss.parts == {"span_consistency": loss.total.detach()}
    assert (gradient[~targets.mask_N] == 0).all()
    for n, row in enumerate(logits):
        for at, kept in enumerate(row):
            around: list[float] = []
            for step in (1e-5, -1e-5):
                row[at] = kept + step
                around.append(slow(logits, targets, spans))
            row[at] = kept
            assert gradient[n, at].item() == pytest.approx((around[0] - around[1]) / 2e-5, rel=1e-3, abs=1e-4)


def test_an_equal_guide_leaves_nothing_and_another_something() -> None:
    logits_NV, targets = made(1)
    objective = SpanConsistency()
    assert objective(logits_NV, targets).total > 0
    same = Targets(**{**fields(targets), "view": Full(logits_NV=logits_NV + 5.0)})
    assert objective(logits_NV, same).total == pytest.approx(0, abs=1e-9)


def test_without_any_pair_it_is_nothing_with_a_graph() -> None:
    for mask in ((0,) * 10, (1, 0) * 5):
        logits_NV, targets = made(2, mask=mask)
        total = SpanConsistency()(logits_NV.requires_grad_(), targets).total
        total.backward()
        assert total.item() == 0
        assert logits_NV.grad is not None
        assert (logits_NV.grad == 0).all()


def test_rows_alone_add_up_to_both() -> None:
    logits_NV, targets = made(3)
    objective, alone = SpanConsistency(), 0.0
    for row in range(2):
        of = torch.eq(ROWS, row)
        some = Targets(
            ids_N=targets.ids_N[of],
            mask_N=targets.mask_N[of],
            weights_N=targets.weights_N[of],
            rows_N=torch.zeros(int(of.sum()), dtype=torch.long),
            view=Full(logits_NV=targets.view.logits_NV[of]) if isinstance(targets.view, Full) else None,
            texts_R=(TEXTS[row],),
            places_N2=None if targets.places_N2 is None else targets.places_N2[of],
        )
        alone += objective(logits_NV[of], some).total.item()
    assert objective(logits_NV, targets).total.item() == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_ten_thousand_are_computed_in_float32(dtype: torch.dtype) -> None:
    logits_NV, targets = made(4)
    logits_NV = (1e4 * logits_NV).to(dtype).requires_grad_()
    total = SpanConsistency()(logits_NV, targets).total
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(slow(logits_NV.tolist(), targets, Phrases()), rel=1e-3)
    total.backward()
    assert logits_NV.grad is not None
    assert logits_NV.grad.isfinite().all()


def test_what_it_needs_and_is_not_told_is_said() -> None:
    logits_NV, targets = made(5)
    top = TopK(ids_NK=torch.zeros(10, 2, dtype=torch.long), logs_NK=torch.full((10, 2), -1.0))
    for missing, error, told in (
        ({"texts_R": None}, ValueError, "needs the text"),
        ({"view": None}, ValueError, "learns from what a guide predicts"),
        ({"view": top}, ConfigError, "no more than its 2 likeliest"),
    ):
        with pytest.raises(error, match=told):
            SpanConsistency()(logits_NV, Targets(**{**fields(targets), **missing}))
    assert SpanConsistency().needs == {Need.GUIDE, Need.TEXT}


def fields(targets: Targets) -> dict[str, Any]:
    return {name: getattr(targets, name) for name in Targets.__dataclass_fields__}


@pytest.mark.parametrize("objective", [SpanConsistency(), SpanConsistency(spans=Windows(words=3))])
def test_the_objective_is_written_down_and_built_again(objective: SpanConsistency) -> None:
    assert build("elad.training.objectives", describe(objective), "objective") == objective
    with pytest.raises(ConfigError, match=r"objective\.spans"):
        build("elad.training.objectives", {**describe(objective), "spans": {"size": 3}}, "objective")


def test_asks_are_told_apart_by_text() -> None:
    prompt = Prompt(messages=())
    asks: list[Ask] = [prompt, Contrasting(prompt=prompt, text="a"), Contrasting(prompt=prompt, text="b")]
    assert len({ask_key(ask) for ask in asks}) == 3
