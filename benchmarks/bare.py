"""What the benchmarks of the student compare with: the same work by `transformers` alone, as one would write it."""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StoppingCriteriaList

from elad import training
from elad.asks import Generation, Prompt
from elad.experiment import Experiment
from elad.methods.elad import experiment
from elad.records import Chain, Problem, Sampling, digest
from elad.stages.drafting import chains
from elad.stages.learning import learn
from elad.students.transformers import MANIFEST, TransformersStudent
from elad.tasks.reading import read
from elad.training.rows import encode_prompt, encode_text
from elad.world import World


@dataclass(frozen=True, slots=True)
class Bare:
    """A student that drafts and is scored by plain calls: batches of like length, padded on the left."""

    student: TransformersStudent
    size: int = 32
    stops: bool = False
    """Whether a row may also end where who asks has enough; its batch goes on until all of its rows have."""

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, until: Callable[[int, str], bool] | None = None
    ) -> list[Generation]:
        """`model.generate`."""
        tokenizer, model = self.student.tokenizer, self.student.model
        rows = [encode_prompt(tokenizer, prompt) for prompt in prompts]
        warm = {"do_sample": True, "temperature": sampling.temperature, "top_k": 0} if sampling.temperature else {}
        out: dict[int, Generation] = {}
        for batch in self._batches(rows):
            ids_BT, mask_BT = self._padded([rows[i] for i in batch])
            enough = [Enough(tokenizer, until, batch, ids_BT.shape[1])] if self.stops and until else []
            made_BT = model.generate(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                max_new_tokens=sampling.max_tokens,
                pad_token_id=0,
                stopping_criteria=StoppingCriteriaList(enough),
                **warm,
            )[:, ids_BT.shape[1] :]
            for i, ids in zip(batch, made_BT.tolist(), strict=True):
                end = next((at for at, token in enumerate(ids) if token in self.student.decoder.ends), None)
                text = tokenizer.decode(ids[:end], skip_special_tokens=True)
                tokens = len(ids) if end is None else end + 1
                out[i] = Generation(text=text, finished=end is not None, tokens=tokens)
        return [out[i] for i in range(len(prompts))]

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[Prompt, str]]) -> list[tuple[float, ...]]:
        """A forward pass over all but the last token, the head on the target alone.

        Pairs that differ in their last token only, as options do, are one row: nobody would run them apart.
        """
        targets = [encode_text(self.student.tokenizer, target) for _, target in pairs]
        starts = [encode_prompt(self.student.tokenizer, prompt) for prompt, _ in pairs]
        users: dict[tuple[int, ...], list[int]] = {}
        for i, (start, target) in enumerate(zip(starts, targets, strict=True)):
            users.setdefault((*start, *target[:-1]), []).append(i)
        rows, out = list(users), dict[int, tuple[float, ...]]()
        for batch in self._batches(rows):
            ids_BT, mask_BT = self._padded([rows[at] for at in batch])
            logits_BKV = self.student.model(
                input_ids=ids_BT,
                attention_mask=mask_BT,
                position_ids=(mask_BT.cumsum(-1) - 1).clamp(min=0),
                logits_to_keep=max(len(targets[i]) for at in batch for i in users[rows[at]]),
                use_cache=False,
            ).logits
            logp_BKV = logits_BKV.float().log_softmax(-1)
            for spot, at in enumerate(batch):
                for i in users[rows[at]]:
                    own_KV = logp_BKV[spot, -len(targets[i]) :]
                    out[i] = tuple(own_KV[range(len(targets[i])), targets[i]].tolist())
        return [out[i] for i in range(len(pairs))]

    def _batches(self, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
        return [order[start : start + self.size] for start in range(0, len(order), self.size)]

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        longest = max(map(len, rows))
        ids = [[*[0] * (longest - len(row)), *row] for row in rows]
        mask = [[*[0] * (longest - len(row)), *[1] * len(row)] for row in rows]
        device = self.student.model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


@dataclass
class Enough(StoppingCriteria):
    """Ends the rows whose text is enough for who asked."""

    tokenizer: Any
    until: Callable[[int, str], bool]
    places: Sequence[int]
    start: int

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Whether each row has ended."""
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :], skip_special_tokens=True)
        done = [self.until(place, text) for place, text in zip(self.places, texts, strict=True)]
        return torch.tensor(done, device=input_ids.device)


@dataclass(frozen=True, slots=True)
class Patient:
    """A student that writes every continuation to its end."""

    student: Any

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, _: Any = None) -> list[Generation]:
        """What the student writes."""
        return self.student.generate(prompts, sampling)


def choose_model(parser: argparse.ArgumentParser) -> None:
    """The option that takes another student than the demo's."""
    parser.add_argument("--model", help="a student's folder, taken as it is; by default the demo's after its warm-up")


def warmed(batch: int, tokens: int, model: str | None = None) -> tuple[TransformersStudent, Experiment]:
    """The demo's student after its warm-up rows, which end their chains by themselves, and the demo's experiment.

    `batch` replies are written side by side, and drafts have at most `tokens` tokens. It is kept under `runs/warmed`,
    and trained anew only where something else than before decides what it is: its configuration, or the trainer's code.
    Where a `model` is given, that is the student, and it learns nothing.
    """
    given = experiment().but([f"student.batch_size={batch}", f"drafting.max_tokens={tokens}"])
    if model:
        if (Path(model) / MANIFEST).is_file():
            chosen = given.student.load(Path(model))
        else:
            given = given.but([f"student.model={model}"])
            chosen = given.student.open()
        assert isinstance(chosen, TransformersStudent)
        return chosen, given
    with World.open(given, Path("runs/warmed") / digest([given.identity(), trainer()])) as world:
        student = learn(world, 0)
    assert isinstance(student, TransformersStudent)
    return student, given


def trainer() -> dict[str, str]:
    """The code of `elad.training` by file."""
    room = Path(training.__path__[0])
    return {str(path.relative_to(room)): path.read_text(encoding="utf-8") for path in sorted(room.rglob("*.py"))}


def drafted(student: Any, given: Experiment, source: Sequence[str], count: int) -> list[tuple[Problem, Chain]]:
    """Questions of the files, and the student's chains for them."""
    problems = read(list(source), columns={}, limit=count, base=given.base)
    return list(zip(problems, chains(given, student, problems), strict=True))


def seconds_of(side: Callable[[], Any]) -> float:
    """How long it takes once."""
    started = time.perf_counter()
    side()
    return time.perf_counter() - started


class Recall:
    """What a student has in mind after drafting, as in a run: what it wrote last."""

    def __init__(self, student: Any) -> None:
        self._student = student
        self._open = ExitStack()

    def drafted(self, given: Experiment, source: Sequence[str], count: int) -> list[tuple[Problem, Chain]]:
        """As `drafted`; what was in mind before is forgotten."""
        self.close()
        self._open.enter_context(self._student.remembering())
        return drafted(self._student, given, source, count)

    def close(self) -> None:
        """Forgets it all."""
        self._open.close()


def turns(sides: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, turn about, after one turn that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, side in sides.items():
            took = seconds_of(side)
            if turn:
                seconds[name].append(took)
    for name, values in seconds.items():
        print(f"{name}: {statistics.median(values):.2f} s of {[round(value, 2) for value in values]}")
    return seconds


def ratios(seconds: dict[str, list[float]], above: str, below: str) -> list[float]:
    """How many times as long `above` took as `below`, turn by turn."""
    return [one / other for one, other in zip(seconds[above], seconds[below], strict=True)]


def without_end(student: TransformersStudent) -> None:
    """Lets no reply end before its bound."""
    student.model.generation_config.eos_token_id = None
    student.decoder = replace(student.decoder, ends=frozenset())
