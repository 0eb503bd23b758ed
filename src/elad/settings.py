"""Settings that several rooms go by."""

from dataclasses import dataclass
from math import isfinite

from elad.errors import require


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a student is trained; the `training` section of a configuration."""

    epochs: float = 3.0
    learning_rate: float = 1.0e-3
    batch_size: int = 16
    micro_batch_size: int = 4
    """Rows that are in memory at once; gradients are accumulated up to `batch_size`."""
    warmup_ratio: float = 0.05
    max_length: int = 512
    """In tokens. Longer rows are left out, and counted as `too_long` in the training summary and the round."""
    gradient_checkpointing: bool = False
    """Keep fewer activations and compute them again: less memory for large students, about a third more work."""
    warm_start: bool = False
    """Go on from the last round's student instead of training the base on all that was bought."""
    validation_share: float = 0.1
    """Of the bought rows: what early stopping stops by, and nothing is learnt from."""
    patience: int = 0
    """Stop after so many epochs without a lower validation loss; 0 trains to the end."""

    def __post_init__(self) -> None:
        """Raises: ConfigError naming the key that cannot be used."""
        for key in ("epochs", "learning_rate"):
            value = getattr(self, key)
            require(isfinite(value) and value > 0, f"training.{key}", "above 0", value)
        for key in ("batch_size", "micro_batch_size", "max_length"):
            require(getattr(self, key) >= 1, f"training.{key}", "at least 1", getattr(self, key))
        for key in ("warmup_ratio", "validation_share"):
            require(0 <= getattr(self, key) < 1, f"training.{key}", "at least 0 and below 1", getattr(self, key))
        require(self.patience >= 0, "training.patience", "at least 0", self.patience)
        step, part = self.batch_size, min(self.batch_size, self.micro_batch_size)
        require(step % part == 0, "training.batch_size", "a multiple of micro_batch_size", f"{step} of {part}")
