"""Small models of several families, whose logits differ by what comes before."""

import warnings
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

WORDS = 20
SIZES: dict[str, Any] = {"vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
GEMMA: dict[str, Any] = (
    SIZES
    | HEADS
    | {
        "head_dim": 8,
        "sliding_window": 3,
        "layer_types": ["sliding_attention", "full_attention"],
    }
)
FAMILIES = {
    "llama": LlamaConfig(**SIZES, **HEADS),
    "qwen2": Qwen2Config(**SIZES, **HEADS),
    "gpt2": GPT2Config(vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=128),
    "mistral": MistralConfig(**SIZES, **HEADS, sliding_window=4),
    "gemma3": Gemma3TextConfig(**GEMMA),
    "gemma3_seeing": Gemma3Config(
        text_config=GEMMA, vision_config={"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2}
    ),
}
ADAPTED = ("llama", "qwen2", "gpt2")
"""Families that are also run with adapters beside their weights."""


def opinionated(config: Any) -> Any:
    """A model whose logits differ by what comes before."""
    torch.manual_seed(1)
    built = AutoModelForCausalLM.from_config(config).eval()
    for name, weight in built.named_parameters():
        if "norm" not in name and "ln_" not in name:
            torch.nn.init.normal_(weight, std=0.2)
    return built


def adapted(config: Any) -> Any:
    """The same with adapters that are not merged, of random weights: fresh ones of peft's add nothing."""
    lora = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        fan_in_fan_out=isinstance(config, GPT2Config),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers for a property by its old name
        model = get_peft_model(opinionated(config), lora)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.2)
    return model.eval()
