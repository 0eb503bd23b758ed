"""The other side of `polygraph.py`, in lm-polygraph's own environment: one pass for each line on standard input."""

# It is installed there, and not here.
# pyright: reportMissingImports=false, reportUnknownVariableType=false

import json
import sys
from typing import Any

import torch
from lm_polygraph import UEManager, WhiteboxModel
from lm_polygraph.defaults.register_default_stat_calculators import register_default_stat_calculators
from lm_polygraph.estimators import MonteCarloSequenceEntropy, Perplexity
from lm_polygraph.utils.builder_enviroment_stat_calculator import BuilderEnvironmentStatCalculator
from lm_polygraph.utils.dataset import Dataset
from lm_polygraph.utils.generation_parameters import GenerationParameters
from transformers import AutoModelForCausalLM, AutoTokenizer


def main() -> None:
    """Reads what is asked from the file named, and prints both scores of all questions after each pass."""
    with open(sys.argv[1], encoding="utf-8") as file:
        asked = json.load(file)
    tokenizer: Any = AutoTokenizer.from_pretrained(asked["model"], padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    loaded = AutoModelForCausalLM.from_pretrained(asked["model"], dtype=getattr(torch, asked["dtype"]))
    settings = GenerationParameters(temperature=asked["temperature"], top_k=0, allow_newlines=True)
    model = WhiteboxModel(loaded, tokenizer, model_path=asked["model"], generation_parameters=settings)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(passed(model, asked)), flush=True)


def passed(model: Any, asked: dict[str, Any]) -> list[list[float]]:
    """Both scores of all questions; attentions and hidden states, which these can do without, are left out."""
    scores = [Perplexity(), MonteCarloSequenceEntropy()]
    manager = UEManager(
        Dataset(asked["prompts"], [""] * len(asked["prompts"]), batch_size=asked["batch"]),
        model,
        scores,
        available_stat_calculators=register_default_stat_calculators(
            "Whitebox", output_attentions=False, output_hidden_states=False
        ),
        builder_env_stat_calc=BuilderEnvironmentStatCalculator(model),
        generation_metrics=[],
        ue_metrics=[],
        processors=[],
        ignore_exceptions=False,
        verbose=False,
        max_new_tokens=asked["tokens"],
    )
    manager()
    return [[float(one) for one in manager.estimations["sequence", str(score)]] for score in scores]


if __name__ == "__main__":
    main()
