"""Self-training through knowledge detection (Yeo et al., 2024, arXiv 2406.11275, Findings of EMNLP).

Idea: what a student says with a passage before it teaches it what to say without, but only where it does not know:
where its own samples without the passage contradict that answer.
New here: `KnowledgeDetection`, a reviser that asks the student alone. The objective `dpo` is shared.
Evidence: samples, both filters, the pair, the variant without passages, the objective and the settings are primary,
from the paper and the authors' code [P].
Differs from the paper: questions and passages are given, not written by GPT-3.5; the supervised stage is the warm-up;
LoRA on a small student; one learning rate for both, the paper's of DPO (1e-6, 5e-7 for larger ones) ten times as for
LoRA, where its supervised stage has 2e-5; two rounds, of which each takes its reference anew from the student that
the last one left; no repetition penalty (docs/design.md, Numbers); texts are judged whole, where the code goes
sentence by sentence; one pair a question, where the code may take four. A text does not contradict one that says the
same, unasked; the better one must conclude; pairs of like texts are left out [D]. The student as its own judge is
ours [D]: the authors take SelfCheckGPT's DeBERTa-v3-large fine-tuned on MNLI, which `nli: {model: ...,
hypothesis_first: true}` may be: it reads the claim first. Without passages the filter by `unknown` is ours, and each
two samples are judged both ways, the mean of which does not hang on their order; the code judges one way [D].
Checked against: the authors' code for what is averaged over and which text is judged by which; a slow reference of both
filters. benchmarks/knowledge_detection.py measures whether they tell known facts from unknown ones; it was not run to
its end yet.
Not reproduced: any table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from pydantic import ConfigDict

from elad.asks import Generation, Prompt, Sample, Weighing, Weights
from elad.errors import DataError, nearest, require
from elad.outcomes import Purpose, RevisionOutcome
from elad.protocols import Revising, Task
from elad.records import Candidate, Chain, Message, Problem, Revision, Sampling, derive_seed
from elad.revision.case import Asking, Case, Ended
from elad.revision.texts import Whole, same
from elad.sample import folder
from elad.tasks.chains import make_chain
from elad.uncertainty.cross_encoder import CrossEncoder
from elad.uncertainty.entailment import Contradiction
from elad.uncertainty.probes import normalised

if TYPE_CHECKING:
    from elad.experiment import Experiment

_ASKED = """\
Question: {question}

First answer: {first}

Second answer: {second}

Do the two answers contradict each other? Answer Yes or No."""
_SAID = ("Yes", "No")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeDetection:
    """Pairs of the student's own answers for what it does not know; the teacher is never asked.

    With S_C(a, b) the probability that b contradicts a, y* the greedy answer with the passage, Y_c and Y_r the K
    samples with it and without: S_L = mean of S_C(y*, y) over Y_c, S_K that over Y_r. A question is kept where
    S_L < `consistency` and S_K > `unknown`; y* is then preferred to the one of Y_r that contradicts it most. Empty
    samples are left out. All may be as long as a draft, and are fixed by the run's seed.

    Without passages each of K samples is scored by the mean of S_C over the others, that of each two being the mean of
    both ways, S_K is the mean of these, and the lowest is preferred to the highest.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    passage: str | None = "passage"
    """The column of the data, none that a problem has a place for, with what a question is answered from. It stands
    before the question while answers are drawn, and nowhere else. None: the variant without passages."""
    samples: int = 10
    """K; 5 are enough, 1 is worse [P]."""
    temperature: float = 1.0
    """Of the samples without the passage."""
    passage_temperature: float = 0.7
    top_p: float = 0.9
    consistency: float | None = 0.5
    """tau_L; None keeps answers that the student contradicts itself."""
    unknown: float | None = 0.5
    """tau_K; 0.8 is better in the paper. None keeps what the student knows."""
    nli: CrossEncoder | Contradiction | None = None
    """Who tells a contradiction; None: the student itself, by the weight of its Yes against its No."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        least = 1 if self.passage else 2
        require(self.passage != "", "reviser.passage", "the name of a column, or null", self.passage)
        require(self.samples >= least, "reviser.samples", f"at least {least}", self.samples)
        require(0 < self.top_p <= 1, "reviser.top_p", "above 0 and at most 1", self.top_p)
        for key in ("temperature", "passage_temperature"):
            value = getattr(self, key)
            require(isfinite(value) and value > 0, f"reviser.{key}", "above 0", value)
        for key in ("consistency", "unknown"):
            value = getattr(self, key)
            require(value is None or 0 <= value <= 1, f"reviser.{key}", "in 0..1, or null", value)

    @property
    def needs(self) -> frozenset[Purpose]:
        return frozenset()

    def __call__(self, candidate: Candidate, task: Task) -> Revising:
        """Raises: DataError for a question without a passage, where one is needed."""
        judge = "student" if self.nli is None else Path(getattr(self.nli, "model", type(self.nli).__name__)).name
        most = candidate.chain.sampling.max_tokens
        case = Case(candidate=candidate, task=task, reviser=f"knowledge_detection({judge})", max_tokens=most)
        trial = _Trial(settings=self, case=case, detail={"judge": judge})
        revision = yield from case.settle((_with_passage if self.passage else _without)(trial))
        return replace(revision, detail=trial.detail)


@dataclass(slots=True, kw_only=True)
class _Trial:
    """One question: what its answers are drawn and judged by."""

    settings: KnowledgeDetection
    case: Case
    detail: dict[str, Any]

    def passage(self) -> str:
        """What the question is answered from. Raises: DataError where the data have none."""
        problem, column = self.case.candidate.problem, self.settings.passage or ""
        text = problem.metadata.get(column)
        if not isinstance(text, str) or not text.strip():
            told = f"question {problem.id!r}: no passage in the column {column!r}; {nearest(column, problem.metadata)}"
            raise DataError(f"{told}; reviser.passage: null goes without")
        return "\n\n".join(part for part in (text, problem.context) if part)

    def draws(self, problem: Problem, temperature: float, name: str, count: int) -> list[Sample]:
        """Asks for `count` answers, at temperature 0 for the greedy one."""
        draft = self.case.candidate.chain
        way = Sampling(temperature=temperature, top_p=self.settings.top_p, max_tokens=draft.sampling.max_tokens)
        messages = self.case.task.messages(problem)
        seeds = [derive_seed(draft.seed, problem.id, name, place) for place in range(count)]
        return [Sample(prompt=Prompt(messages=messages, seed=seed), sampling=way) for seed in seeds]

    def answers(self, asks: Sequence[Sample]) -> Asking[list[Chain]]:
        """What the student answers, each up to where it first concludes; empty ones too."""
        told = yield tuple(asks)
        return [self._chain(ask, said) for ask, said in zip(asks, told, strict=True) if isinstance(said, Generation)]

    def _chain(self, ask: Sample, said: Generation) -> Chain:
        return make_chain(
            said.text,
            self.case.candidate.problem,
            self.case.task,
            finished=said.finished,
            sampling=ask.sampling,
            seed=ask.prompt.seed,
            tokens=said.tokens,
            most_steps=max(1, len(said.text)),
        )

    def contradictions(self, pairs: Sequence[tuple[Chain, Chain]]) -> Asking[list[float]]:
        """S_C of each pair; what says the same does not contradict itself, and nothing is judged twice.

        Raises: ValueError where a judge gives another number of values, or one outside 0..1.
        """
        texts = [(claim.text.strip(), other.text.strip()) for claim, other in pairs]
        asked = [pair for pair in dict.fromkeys(texts) if not same(*pair)]
        nli = self.settings.nli
        # What is claimed is the hypothesis, and comes second there.
        found = nli.contradiction([(other, claim) for claim, other in asked]) if nli else (yield from self._own(asked))
        if len(found) != len(asked) or not all(0 <= value <= 1 for value in found):
            raise ValueError(f"reviser.nli: a judge must give {len(asked)} probabilities")
        known = dict(zip(asked, found, strict=True))
        return [known.get(pair, 0.0) for pair in texts]

    def _own(self, pairs: Sequence[tuple[str, str]]) -> Asking[list[float]]:
        """The student's own word. Raises: Ended where a pair does not fit its context."""
        if not pairs:
            return []
        question = self.case.task.question(self.case.candidate.problem)
        asked = [_ASKED.format(question=question, first=claim, second=other) for claim, other in pairs]
        prompts = [Prompt(messages=(Message(role="user", content=text),)) for text in asked]
        told = yield tuple(Weighing(prompt=prompt, options=_SAID) for prompt in prompts)
        beliefs = [normalised(_SAID, cast("Weights", weights)) for weights in told]
        if any(None in belief for belief in beliefs):
            raise Ended(RevisionOutcome.UNREADABLE, "the student cannot weigh its answers: they may be too long for it")
        return [belief[_SAID[0]] for belief in beliefs]

    def filtered(self, consistency: float | None, unknown: float) -> None:
        """Raises: Ended where a filter does not let the question pass."""
        most, least = self.settings.consistency, self.settings.unknown
        if consistency is not None and most is not None and not consistency < most:
            raise Ended(RevisionOutcome.UNSURE, f"S_L = {consistency:.3f}: samples with the passage contradict it")
        if least is not None and not unknown > least:
            raise Ended(RevisionOutcome.KNOWN, f"S_K = {unknown:.3f}: samples without a passage agree")

    def paired(self, better: Chain, worse: Chain) -> Revision:
        """The revision that prefers one to the other. Raises: Ended where there is nothing to prefer."""
        if better.answer is None:
            raise Ended(RevisionOutcome.WRONG_END, "the better answer does not conclude")
        if same(better.text, worse.text):
            raise Ended(RevisionOutcome.COPIED, "the worse answer says the same")
        whole = Whole(text=better.text, answer=better.answer)
        return replace(self.case.revision(RevisionOutcome.REWRITTEN, whole=whole), rejected=worse.text)


def _with_passage(trial: _Trial) -> Asking[Revision]:
    one, settings = trial.case.candidate.problem, trial.settings
    shown, count = replace(one, context=trial.passage()), settings.samples
    best, *drawn = yield from trial.answers([
        *trial.draws(shown, 0.0, "greedy", 1),
        *trial.draws(shown, settings.passage_temperature, "with", count),
        *trial.draws(one, settings.temperature, "without", count),
    ])  # fmt: skip
    _spoken([best])
    near, far = _spoken(drawn[:count]), _spoken(drawn[count:])
    judged = yield from trial.contradictions([(best, other) for other in (*near, *far)])
    close, apart = judged[: len(near)], judged[len(near) :]
    consistency, unknown = fmean(close), fmean(apart)
    trial.detail |= {"consistency": consistency, "unknown": unknown, "with": close, "without": apart}
    trial.filtered(consistency, unknown)
    return trial.paired(best, far[apart.index(max(apart))])


def _without(trial: _Trial) -> Asking[Revision]:
    settings = trial.settings
    asks = trial.draws(trial.case.candidate.problem, settings.temperature, "without", settings.samples)
    chains = _spoken((yield from trial.answers(asks)), least=2)
    places = [*permutations(range(len(chains)), 2)]
    judged = yield from trial.contradictions([(chains[one], chains[other]) for one, other in places])
    of = range(len(chains))
    scores = [fmean(value for pair, value in zip(places, judged, strict=True) if one in pair) for one in of]
    trial.detail |= {"unknown": fmean(scores), "without": scores}
    trial.filtered(None, fmean(scores))
    return trial.paired(chains[scores.index(min(scores))], chains[scores.index(max(scores))])


def _spoken(chains: Sequence[Chain], least: int = 1) -> list[Chain]:
    """Those that say something. Raises: Ended where they are too few."""
    found = [chain for chain in chains if chain.text.strip()]
    if len(found) < least:
        raise Ended(RevisionOutcome.UNREADABLE, "the student says nothing")
    return found


def experiment() -> "Experiment":
    """The variant without passages on the packaged sample, whose questions have none; the student is its own judge.

    For the method itself take a pool with a column `passage`: `--set data.pool=FILE --set reviser.passage=passage`, and
    a cross-encoder where there is one: `--set reviser.nli.model=FOLDER`. The teacher is never asked: this one is free.
    """
    from elad.experiment import Experiment

    raw = {
        "name": "knowledge_detection",
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl", "warmup": "warmup.jsonl"},
        "task": {"kind": "numeric"},
        "student": {"engine": "transformers", "model": "smollm2-135m"},
        "teacher": {"kind": "reference"},
        "selector": {"kind": "random"},
        "reviser": {
            "kind": "elad.methods.knowledge_detection:KnowledgeDetection",
            "passage": None,
            "samples": 5,
        },
        "objective": {"kind": "dpo", "beta": 0.3},
        "drafting": {"max_tokens": 40},
        "training": {"epochs": 2, "learning_rate": 1.0e-5, "warm_start": True},
        "rounds": {"count": 2, "questions": 20},
    }
    return Experiment.of(raw, base=folder(), source="methods/knowledge_detection.py")
