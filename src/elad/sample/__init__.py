"""A small packaged piece of SVAMP, so that the main job runs without any data of one's own."""

from importlib.resources import files
from pathlib import Path


def folder() -> Path:
    """The folder of `pool.jsonl`, `heldout.jsonl`, `warmup.jsonl`, `steps.jsonl` and their `ATTRIBUTION.md`."""
    return Path(str(files(__name__)))
