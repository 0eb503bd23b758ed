"""Multi-granularity semantic revision (Liu et al., 2024, arXiv 2407.10068, ACL 2026).

Idea: a teacher that can be looked into corrects the student on three levels. A sequence is corrected at the one token
where the two are furthest apart, and the student goes on from there; at each token the student follows the teacher
where that is dense; within a span it follows how probability moves from one token to the next.
New here: `Scrg`, sequence correction and re-generation; `SpanConsistency` with its span providers. The objectives
`dac_kl` and `weighted` and the feeds `on_policy` and `off_policy` are shared.
Evidence: the paper could not be read in full. SCRG, the sum L_SFT + L_DAC-KL + L_span with unit weights, one correction
(1, 3 and 5 tried), the product of neighbouring distributions and both feeds are from reviews that quote its equations
[2]; that the distance of two products is squared error, and all of `dac_kl` but its structure, is recalled [R].
Ours [D]: where the two agree everywhere a chain stays as it is; a second correction looks at the whole new chain again;
drafts are corrected before a round's training, not as batches are made, and what a feed writes is not corrected; a
corrected chain must end at the gold answer, where there is one. L_SFT is taken on what a feed writes, too. Within a row
L_span is averaged over pairs and then over spans, and rows count by their targets. The paper's chunker finds phrases
by part of speech; ours goes by numbers, punctuation and function words.
Differs from the paper: small models, LoRA, questions with gold answers in place of instructions.
The pair: distributions compare only token by token. Of the models that can be had here (`elad models`) the two
Qwen2.5-Coder share a tokenizer, so 0.5B learns from 1.5B, where both are there. SmolLM2-135M has a tokenizer of its own
and no larger sibling here; held against itself it has nothing to correct.
Checked against: slow float64 loops for the objective, plain forward passes for the correction.
Not reproduced: any number of the paper.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol, cast

from pydantic import ConfigDict

from elad.errors import require
from elad.learning import LossSum, Need, Targets
from elad.outcomes import Purpose, RevisionOutcome
from elad.protocols import Contrasting, Disagreement, Prompt, Revising, Task
from elad.records import Candidate, Chain, Revision
from elad.revision.case import Asking, Case, Ended, Finding
from elad.revision.texts import closed
from elad.sample import folder
from elad.tasks.chains import make_chain

if TYPE_CHECKING:
    from torch import Tensor

    from elad.experiment import Experiment


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrg:
    """Sequence correction and re-generation: the guide's likeliest token where guide and student are furthest apart.

    Of the tokens that are not the guide's likeliest, the one with the largest KL(guide || student) is replaced by it.
    What stands before stays, the student goes on as the run drafts. The teacher is never asked.

    The log of what was corrected where is in the revision: `reason` in words, `detail` as values, `first_error` the
    first step of the draft that was touched, `edit` what that step became.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    corrections: int = 1
    """One after the other, at most."""
    min_kl: float = 0.0
    """In nats: a smaller divergence is left alone."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(self.corrections >= 1, "reviser.corrections", "at least 1", self.corrections)
        require(isfinite(self.min_kl) and self.min_kl >= 0, "reviser.min_kl", "0 or more", self.min_kl)

    @property
    def needs(self) -> frozenset[Purpose]:
        return frozenset()

    @property
    def guided(self) -> bool:
        return True

    def __call__(self, candidate: Candidate, task: Task) -> Revising:
        most = candidate.chain.sampling.max_tokens
        case = Case(candidate=candidate, task=task, reviser=f"scrg({self.corrections})", max_tokens=most)
        log: list[dict[str, Any]] = []
        revision = yield from case.settle(self._revise(case, log))
        return replace(revision, detail={"corrections": log})

    def _revise(self, case: Case, log: list[dict[str, Any]]) -> Asking[Revision]:
        draft = chain = case.candidate.chain
        for turn in range(self.corrections):
            worst = yield from self._worst(case, chain)
            if worst is None:
                break
            log.append(_entry(chain, worst))
            chain = yield from _regenerated(case, chain, worst, turn)
        told = "; ".join(map(_in_words, log)) or "the guide objects to nothing"
        case.finding = Finding(first_error=None, looked=False, reason=told)
        if log:
            first = min(entry["start"] for entry in log)
            case.finding = replace(case.finding, first_error=_step_at(draft, first))
            place = _step_at(chain, first)
            case.edit = "" if place is None else chain.steps[place].text.strip()
        try:
            answer = case.check_end(chain.answer)
        except Ended as end:
            raise Ended(end.outcome, f"{told}; {end}") from end
        outcome = RevisionOutcome.REPAIRED if log else RevisionOutcome.ACCEPTED
        return case.revision(outcome, whole=closed(case.candidate.problem, case.task, chain, answer))

    def _worst(self, case: Case, chain: Chain) -> Asking[Disagreement | None]:
        """Where guide and student are furthest apart, the first of equal places; None where they agree."""
        prompt = Prompt(messages=case.task.messages(case.candidate.problem))
        (told,) = yield (Contrasting(prompt=prompt, text=chain.text),)
        assert isinstance(told, tuple)
        found = [one for one in told if isinstance(one, Disagreement) and one.divergence >= self.min_kl]
        return max(found, key=lambda one: one.divergence, default=None)


def _regenerated(case: Case, chain: Chain, worst: Disagreement, turn: int) -> Asking[Chain]:
    """The chain up to the correction, and what the student makes of it; nothing more where it is to end there."""
    before = chain.text[: worst.start]
    if worst.preferred:
        return (yield from case.ask_student(before + worst.preferred, turn))
    return make_chain(
        before,
        case.candidate.problem,
        case.task,
        finished=True,
        sampling=chain.sampling,
        seed=turn,
        tokens=chain.tokens,
        most_steps=max(1, len(before)),
    )


def _entry(chain: Chain, one: Disagreement) -> dict[str, Any]:
    """A correction, for the log; its place is in the chain that it was made in."""
    said = chain.text[one.start : one.end]
    return {"start": one.start, "end": one.end, "said": said, "preferred": one.preferred, "kl": one.divergence}


def _in_words(entry: dict[str, Any]) -> str:
    now = repr(entry["preferred"]) if entry["preferred"] else "the end"
    return f"at {entry['start']}..{entry['end']} {entry['said']!r} became {now} (KL {entry['kl']:.3f})"


def _step_at(chain: Chain, at: int) -> int | None:
    """The step that the character belongs to, the last one for what lies behind; None where there is none."""
    return max((i for i, step in enumerate(chain.steps) if step.start <= at), default=None)


class Spans(Protocol):
    """Which parts of a text say one thing."""

    def __call__(self, text: str) -> list[tuple[int, int]]:
        """Their characters `[start, end)`, in order and apart from each other."""
        ...


_NUMBER = r"[$€£]?\d(?:[\d,.]*\d)?%?"
_SUM = rf"{_NUMBER}(?:\s?[-+*/×÷=]\s?{_NUMBER})*"
_WORD = r"[^\W\d_]+(?:['’-][^\W\d_]+)*"
_OPENS = (
    "a|an|the|this|that|these|those|his|her|their|its|each|every|of|in|on|at|to|for|from|with|by|per|into|than|as|"
    "and|or|but|so|then|if|when|because|is|are|was|were|has|have|had|will|can"
)
_PHRASE = re.compile(rf"{_SUM}|{_WORD}(?:[ \t](?!(?:{_OPENS})(?![\w'’-])){_WORD})*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Phrases:
    """Sums and numbers, and runs of words up to a mark, a number or the next function word, which opens another one.

    >>> [text[start:end] for text in ["Tom has 3 + 4 = 7 red apples in the box."] for start, end in Phrases()(text)]
    ['Tom', 'has', '3 + 4 = 7', 'red apples', 'in', 'the box']
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __call__(self, text: str) -> list[tuple[int, int]]:
        """As the protocol says; of a text without words none."""
        return [found.span() for found in _PHRASE.finditer(text)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """So many words at a time, whatever they say: what a control of `Phrases` takes."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    words: int

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        require(self.words >= 1, "objective.spans.words", "at least 1", self.words)

    def __call__(self, text: str) -> list[tuple[int, int]]:
        """As the protocol says; the last one may be shorter."""
        places = [found.span() for found in re.finditer(r"\S+", text)]
        groups = [places[i : i + self.words] for i in range(0, len(places), self.words)]
        return [(group[0][0], group[-1][1]) for group in groups]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanConsistency:
    """Squared error of c_i = p_i * p_(i+1), element by element, between guide and student, within spans.

    Of a row the mean over its spans of the mean over a span's pairs of neighbouring targets, times the row's targets;
    a pair counts by the geometric mean of its weights. So that a caller who divides by targets gets the mean over rows.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    spans: Phrases | Windows = Phrases()

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({Need.GUIDE, Need.TEXT})

    def __call__(self, logits_NV: "Tensor", targets: Targets) -> LossSum:
        """The sum, and the count of masked-in targets; a pair with a target that carries no loss is none.

        Edge: without any pair 0 with a graph. Raises: ConfigError for a `TopK` view: two neighbours' likeliest tokens
        are not the same ones; ValueError for targets without texts.
        """
        from elad.training.objectives.distributions import whole

        guide_NV = whole(targets, "span_consistency", "multiplies probabilities of the whole vocabulary")
        first_P, share_P = self._pairs(targets)
        student_PV, guide_PV = (_products(one_NV, first_P) for one_NV in (logits_NV, guide_NV))
        weight_P = (targets.weights_N[first_P] * targets.weights_N[first_P + 1]).sqrt()
        total = ((student_PV - guide_PV).square().sum(-1) * weight_P * share_P).sum()
        return LossSum(total=total, count=targets.mask_N.sum(), parts={"span_consistency": total.detach()})

    def _pairs(self, targets: Targets) -> "tuple[Tensor, Tensor]":
        """The first target of each pair, and how much a pair is of its row's whole."""
        rows, mask = _listed(targets.rows_N), _listed(targets.mask_N)
        carried = Counter(row for row, on in zip(rows, mask, strict=True) if on)
        found: list[tuple[int, float]] = []
        for row, spans in enumerate(self._by_row(targets)):
            filled = [span for span in spans if span]
            found += [(first, carried[row] / (len(filled) * len(span))) for span in filled for first in span]
        firsts, shares = [first for first, _ in found], [share for _, share in found]
        return targets.rows_N.new_tensor(firsts), targets.weights_N.new_tensor(shares)

    def _by_row(self, targets: Targets) -> Iterator[list[list[int]]]:
        """Of each row, of each of its spans, the first targets of pairs."""
        if targets.texts_R is None or targets.places_N2 is None:
            raise ValueError("the objective `span_consistency` needs the text of each row, and there is nothing")
        known = zip(_listed(targets.rows_N), _listed(targets.mask_N), _listed(targets.places_N2), strict=True)
        placed = [(n, row, start, end) for n, (row, on, (start, end)) in enumerate(known) if on]
        for row, text in enumerate(targets.texts_R):
            mine = [(n, start, end) for n, its, start, end in placed if its == row]
            within = [[n for n, start, end in mine if start < stop and begin < end] for begin, stop in self.spans(text)]
            yield [[one for one, other in pairwise(span) if other == one + 1] for span in within]


def _listed(tensor: "Tensor") -> list[Any]:
    """Its values as plain ones; torch does not say of what type they are."""
    return cast("list[Any]", tensor.tolist())  # pyright: ignore[reportUnknownMemberType]


def _products(logits_NV: "Tensor", first_P: "Tensor") -> "Tensor":
    logs_NV = logits_NV.float().log_softmax(-1)
    return (logs_NV[first_P] + logs_NV[first_P + 1]).exp()


def experiment() -> "Experiment":
    """Two rounds on the packaged sample, 0.5B learning from 1.5B; the paid teacher is never asked: this one is free.

    For both models' files see `elad models`. Other pairs of one tokenizer: `--set student.model=... --set
    guide.student.model=...`. Arms: `--set feed=null`, `--set feed.kind=on_policy`, `--set reviser.corrections=3`.
    """
    from elad.experiment import Experiment

    span = f"{__name__}:SpanConsistency"
    raw = {
        "name": "multi_granularity",
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl", "warmup": "warmup.jsonl"},
        "task": {"kind": "numeric"},
        "student": {"engine": "transformers", "model": "qwen2.5-coder-0.5b"},
        "teacher": {"kind": "reference"},
        "guide": {"student": {"engine": "transformers", "model": "qwen2.5-coder-1.5b"}},
        "selector": {"kind": "random"},
        "reviser": {"kind": f"{__name__}:Scrg"},
        "objective": {"kind": "weighted", "of": {"sft": 1.0, "dac_kl": {"learned": True}, "span": {"kind": span}}},
        "feed": {"kind": "off_policy", "capacity": 32, "max_tokens": 64},
        "drafting": {"max_tokens": 64},
        "training": {"epochs": 4, "batch_size": 8, "micro_batch_size": 2, "patience": 3},
        "rounds": {"count": 2, "questions": 20},
    }
    return Experiment.of(raw, base=folder(), source="methods/multi_granularity.py")
