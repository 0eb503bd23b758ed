"""Explanation-guided active distillation (Zhang et al., 2024, arXiv 2402.13098, Findings of ACL).

Idea: ask the teacher only about questions whose reasoning steps the student is unsure of, and only
to repair the first wrong step of the student's own explanation.
New here: nothing; the loop's own defaults are this method.
Evidence: the loop, the intra-explanation score and the teacher's role are sourced [2]; the inter-explanation
score, the aggregation and the protocol of the revision are our reconstruction [D] (docs/design.md).
Differs from the paper: what could not be read is unknown; students here are small and trained with LoRA.
Not reproduced: any number of the paper; none could be read.
"""

from typing import TYPE_CHECKING

from elad.sample import folder

if TYPE_CHECKING:
    from elad.experiment import Experiment


def experiment() -> "Experiment":
    """Two rounds on the packaged sample, with the reference solutions as the teacher."""
    from elad.experiment import Experiment

    raw = {
        "name": "elad",
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl", "warmup": "warmup.jsonl"},
        "task": {"kind": "numeric"},
        "student": {"engine": "transformers", "model": "smollm2-135m"},
        "teacher": {"kind": "reference"},
        "uncertainty": {"kind": "elad", "samples": 1, "probe_tokens": 6},
        "reviser": {"kind": "first_error", "judge": "direct", "repair": "blind", "continue": "teacher"},
        "drafting": {"max_tokens": 40},
        "training": {"epochs": 2},
        "rounds": {"count": 2, "questions": 20},
    }
    return Experiment.of(raw, base=folder(), source="methods/elad.py")
