"""Inference by a cross-encoder: any sequence classifier with a label `entailment`, and `contradiction` for that."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from elad.errors import ConfigError
from elad.kinds import Located

_BATCH = 32
_MAX_TOKENS = 512
_MAX_CHARS = 4000

_Scorer: TypeAlias = Callable[[list[tuple[str, str]], tuple[str, ...]], list[float]]
"""Takes pairs and labels: the first one's probability among them, or among all where there is no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoder:
    """A scorer of `Entailment` and `Contradiction`, a folder or a hub name; loaded at the first question, then kept."""

    model: Located
    hypothesis_first: bool = False
    """Whether the model was trained to read what may follow first, and what it follows from second."""

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """For each pair, the probability that the first entails the second.

        Raises: ConfigError when the model cannot be loaded, or has no label `entailment`.
        """
        return self._scored(pairs, ("entailment",))

    def contradiction(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """For each pair, the probability that the first contradicts the second, if it does not entail it.

        What is neither is left aside, as in the model of SelfCheckGPT (`potsawee/deberta-v3-large-mnli`, whose card
        says that its neutral head was removed [S]). That model wants the pairs the other way round: `hypothesis_first`.
        Raises: ConfigError when the model cannot be loaded, or has not both labels.
        """
        return self._scored(pairs, ("contradiction", "entailment"))

    def _scored(self, pairs: Sequence[tuple[str, str]], labels: tuple[str, ...]) -> list[float]:
        score = _scorer(self.model)
        turned = [(second, first) for first, second in pairs] if self.hypothesis_first else pairs
        cut = [(first[:_MAX_CHARS], second[:_MAX_CHARS]) for first, second in turned]
        batches = (cut[start : start + _BATCH] for start in range(0, len(cut), _BATCH))
        return [value for batch in batches for value in score(batch, labels)]


@lru_cache(maxsize=1)
def _scorer(name: str) -> _Scorer:
    tokenizer, model, torch = _load(name)

    def score(pairs: list[tuple[str, str]], labels: tuple[str, ...]) -> list[float]:
        wanted = [_label(name, label, dict(model.config.label2id)) for label in labels]
        inputs = tokenizer(
            [first for first, _ in pairs],
            [second for _, second in pairs],
            padding=True,
            truncation=True,
            max_length=min(_MAX_TOKENS, tokenizer.model_max_length),
            return_tensors="pt",
        )
        with torch.inference_mode():
            logits_BL = model(**inputs).logits.float()  # B pairs, L labels
        among_BL, place = (logits_BL[:, wanted], 0) if len(wanted) > 1 else (logits_BL, wanted[0])
        return [float(value) for value in among_BL.softmax(-1)[:, place]]

    return score


def _load(name: str) -> tuple[Any, Any, Any]:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ConfigError("nli: needs the extra `train` (pip install 'elad[train]')") from error
    hub: Any = transformers
    try:
        tokenizer = hub.AutoTokenizer.from_pretrained(name)
        # Safetensors only: other weight files can carry code.
        model = hub.AutoModelForSequenceClassification.from_pretrained(name, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"nli.model: {name!r} cannot be loaded: {error}") from error
    return tokenizer, model.eval(), torch


def _label(name: str, wanted: str, indices: dict[str, int]) -> int:
    for label, index in indices.items():
        if label.lower() == wanted:
            return index
    known = ", ".join(repr(label) for label in sorted(indices))
    raise ConfigError(f"nli.model: {name!r} has no label {wanted!r}; known: {known}")
