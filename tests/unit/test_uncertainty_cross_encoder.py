"""The cross-encoder on a tiny classifier with random weights, made here."""

from math import exp
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.uncertainty.cross_encoder import CrossEncoder
from elad.uncertainty.entailment import Contradiction, Entailment, mutual

torch = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "two",
    "three",
    "pears",
    "apples",
    "are",
    "left",
    "gone",
]


def save(folder: Path, labels: dict[int, str]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    tokenizer = transformers.BertTokenizer(vocab_file=str(folder / "vocab.txt"), model_max_length=64)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        initializer_range=1.0,
        id2label=labels,
        label2id={label: index for index, label in labels.items()},
    )
    torch.manual_seed(0)
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("nli"), {0: "contradiction", 1: "neutral", 2: "ENTAILMENT"})


def reference(folder: str, pair: tuple[str, str]) -> list[float]:
    """The logits by the library's own simplest path."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    classifier = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = classifier(**tokenizer(*pair, return_tensors="pt")).logits
    return logits[0].tolist()


def test_probability_of_the_label(model: str) -> None:
    pairs = [("two pears are left", "two pears are gone"), ("three", "apples are gone"), ("left", "left")]
    scorer = CrossEncoder(model=model)
    assert isinstance(scorer, Entailment)
    expected = [float(torch.tensor(reference(model, pair)).softmax(-1)[2]) for pair in pairs]
    assert scorer(pairs) == pytest.approx(expected, abs=1e-5)
    assert scorer([]) == []


def test_contradiction_is_weighed_against_entailment_alone(model: str) -> None:
    pairs = [("two pears are left", "two pears are gone"), ("three", "apples are gone"), ("left", "left")]
    scorer = CrossEncoder(model=model)
    assert isinstance(scorer, Contradiction)
    against = [(logits[0], logits[2]) for logits in (reference(model, pair) for pair in pairs)]
    assert scorer.contradiction(pairs) == pytest.approx([1 / (1 + exp(e - c)) for c, e in against], abs=1e-5)
    assert scorer.contradiction([]) == []


def test_a_model_that_wants_the_hypothesis_first_reads_it_first(model: str) -> None:
    pairs = [("two pears are left", "two pears are gone"), ("three", "apples are gone")]
    turned = [(second, first) for first, second in pairs]
    plain, other = CrossEncoder(model=model), CrossEncoder(model=model, hypothesis_first=True)
    for told in (lambda one, of: one(of), lambda one, of: one.contradiction(of)):
        assert told(other, pairs) == told(plain, turned) != told(plain, pairs)


def test_a_model_of_these_two_labels_needs_no_third(tmp_path: Path) -> None:
    scorer = CrossEncoder(model=save(tmp_path, {0: "entailment", 1: "contradiction"}))
    pairs = [("two pears are left", "two pears are gone"), ("three", "apples are gone")]
    told = zip(scorer(pairs), scorer.contradiction(pairs), strict=True)
    assert [entails + contradicts for entails, contradicts in told] == pytest.approx([1.0, 1.0], abs=1e-5)


sentences = st.lists(st.sampled_from(WORDS[5:]), max_size=6).map(" ".join)


@settings(max_examples=6)
@given(pairs=st.lists(st.tuples(sentences, sentences), max_size=40))
def test_range_whatever_the_batch(model: str, pairs: list[tuple[str, str]]) -> None:
    scorer = CrossEncoder(model=model)
    values = scorer(pairs)
    assert len(values) == len(pairs)
    assert all(0 <= value <= 1 for value in values)
    if pairs:
        assert scorer(pairs[-1:]) == pytest.approx(values[-1:], abs=1e-5)
    assert len(mutual(pairs, scorer)) == len(pairs)


def test_long_steps_are_cut(model: str) -> None:
    assert 0 <= CrossEncoder(model=model)([("two pears " * 5000, "left " * 5000)])[0] <= 1


def test_a_model_without_the_label_is_refused(tmp_path: Path) -> None:
    name = save(tmp_path, {0: "LABEL_0", 1: "LABEL_1"})
    with pytest.raises(ConfigError, match="no label 'entailment'; known: 'LABEL_0', 'LABEL_1'"):
        CrossEncoder(model=name)([("a", "b")])
    with pytest.raises(ConfigError, match="no label 'contradiction'; known: 'LABEL_0', 'LABEL_1'"):
        CrossEncoder(model=name).contradiction([("a", "b")])


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nli\.model: .*nowhere"):
        CrossEncoder(model=str(tmp_path / "nowhere"))([("a", "b")])
