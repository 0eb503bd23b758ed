"""Mentor-KD: a mentor between teacher and student (Lee et al., 2024, arXiv 2410.09037, EMNLP).

Idea: a black-box teacher gives few chains and no distributions. A larger sibling of the student learns the task from
the teacher's chains first; then it gives the student what the teacher cannot, more chains and soft labels.
New here: nothing; a random draw of questions, fresh explanations (`rewrite`), `guide` and the objective `soft` are
this method. Arms without a part of it: `objective=sft` has the mentor's chains alone, `guide.samples=0` its soft labels
alone, both with `guide=null` neither.
Evidence: algorithm and hyper-parameters are those of the paper's released code [P]; of its results only re-reports by
others are known [2].
Settings of the paper: full fine-tuning of (Flan-)T5, mentor and student; three chains of the mentor a question at
temperature 0.7, kept where they reach the gold answer; (1 - lambda) * cross-entropy + lambda * KL at lambda 0.3 and
tau 2, without a factor tau^2; AdamW, learning rate 1e-4 to 3e-4, batch 8, 20 epochs, 512 tokens, seed 42 [P].
Differs from the paper: adapters and a causal model; fewer epochs at a higher rate, as adapters want it, and no weight
decay; one chain of the teacher a question instead of up to three; a chain of the mentor that says what another one
does, or what the teacher did, counts once. A reply is right where it ends in the form that was asked for.
The released code chooses the best epoch by *test* accuracy; here a tenth of the bought questions decides, with all
that was written of them, for mentor and student each on its own. Its mask masks nothing, so that the KL runs over
padding; here it runs over target tokens. The warm-up rows teach the form and are not explained again.
The mentor: logits compare only token by token, so it must share the student's tokenizer. Of the models that can be had
without a hub (`elad models`) that leaves two choices. SmolLM2-135M itself, trained longer and in adapters eight times
as wide, is the default: it runs on two cores, and the student is as it is in the other methods. It is a mentor by
its training and not by its size, which the paper's is by both. Where there is a GPU, sizes differ for real with
`student.model=qwen2.5-coder-0.5b` and `guide.student.model=qwen2.5-coder-1.5b`, which share a vocabulary that the
two pad alike; a student smaller than 0.5B of that vocabulary is not to be had.
Checked against: the loss by hand, in float64, and against plain forward passes of the mentor (tests/unit).
Not reproduced: any number of the paper.
"""

from typing import TYPE_CHECKING

from elad.sample import folder

if TYPE_CHECKING:
    from elad.experiment import Experiment


def experiment() -> "Experiment":
    """One round on the packaged sample, with the reference solutions as the teacher."""
    from elad.experiment import Experiment

    raw = {
        "name": "mentor_kd",
        "data": {"pool": "pool.jsonl", "heldout": "heldout.jsonl", "warmup": "warmup.jsonl"},
        "task": {"kind": "numeric"},
        "student": {"engine": "transformers", "model": "smollm2-135m", "lora": {"rank": 8, "alpha": 16}},
        "teacher": {"kind": "reference"},
        "selector": {"kind": "random"},
        "reviser": {"kind": "rewrite"},
        "objective": {"kind": "soft", "lambda": 0.3, "tau": 2.0},
        "guide": {
            "student": {"engine": "transformers", "model": "smollm2-135m", "lora": {"rank": 64, "alpha": 128}},
            "training": {"epochs": 8, "batch_size": 8, "learning_rate": 5.0e-4, "patience": 2},
            "samples": 3,
            "temperature": 0.7,
        },
        "drafting": {"max_tokens": 48},
        "training": {"epochs": 4, "batch_size": 8, "patience": 1},
        "rounds": {"count": 1, "questions": 60},
        "seed": 42,
    }
    return Experiment.of(raw, base=folder(), source="methods/mentor_kd.py")
