"""Which way of asking lets a teacher repair a student's chains: every judge and repair on the same chains.

    python benchmarks/revisers.py --run runs/demo --teacher http://127.0.0.1:8080/v1#qwen2.5-coder-1.5b
    python benchmarks/revisers.py --run runs/demo --teacher reference --mode direct-blind

Chains are the drafts of finished runs (all their students), wrong and right by the gold answer, each
text once, drawn by the seed. Replies are kept in the output folder: a stopped run goes on. The last line is JSON;
`ratio` is what the best mode repairs of the wrong chains over what `rewrite` does, null where that was not run.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from elad.cli.common import teacher_settings
from elad.evaluation.intervals import wilson
from elad.evaluation.step_finding import revise_all
from elad.experiment import Experiment
from elad.kinds import build
from elad.ledger.events import Kind, Ledger
from elad.protocols import Task
from elad.questions import read_data
from elad.records import Candidate, Chain, Charge, Problem, Revision, from_json
from elad.report.console import ConsoleProgress
from elad.tasks.chains import make_chain

TARGET = 1.0
FIRST = {"kind": "first_error", "max_tokens": 128}
MODES: dict[str, dict[str, Any]] = {
    "rewrite": {"kind": "rewrite", "max_tokens": 128},
    "rollout-blind": {**FIRST, "judge": "rollout"},
    "direct-blind": {**FIRST, "judge": "direct"},
    "direct-shown": {**FIRST, "judge": "direct", "repair": "shown"},
    "compare-blind": {**FIRST, "judge": "compare"},
    "compare-shown": {**FIRST, "judge": "compare", "repair": "shown"},
    "stepwise-blind": {**FIRST, "judge": "stepwise"},
}


def main() -> None:
    """Prints a Markdown table of the modes and one JSON line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, action="append", required=True, help="a run whose drafts are repaired")
    parser.add_argument("--teacher", required=True, help="URL#model, or `reference`")
    parser.add_argument("--mode", action="append", choices=MODES, help="only these modes")
    parser.add_argument("--wrong", type=int, default=100)
    parser.add_argument("--right", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs") / "revisers")
    args = parser.parse_args()
    wrong, right, task = chains(args.run, args.wrong, args.right, args.seed)
    settings = args.teacher if args.teacher == "reference" else {**teacher_settings(args.teacher), "concurrency": 4}
    if isinstance(settings, dict):
        settings["timeout_seconds"] = 900
    teacher = build("elad.teachers", settings, "--teacher").open()
    rows: list[dict[str, Any]] = []
    with Ledger(args.out, write=True) as ledger:
        for mode in args.mode or MODES:
            reviser = build("elad.revision", MODES[mode], mode)
            with ConsoleProgress(Console(stderr=True)).stage(0, mode, len(wrong) + len(right)) as advance:
                found = revise_all(reviser, wrong + right, teacher, task, ledger, advance)
            rows.append(row(mode, found, len(wrong)))
            print(table_line(rows[-1]), flush=True)
    teacher.close()
    told = {"name": "revisers", **verdict(rows), "teacher": teacher.id, "seed": args.seed, "modes": rows}
    print(json.dumps(told))


def chains(folders: list[Path], wrong: int, right: int, seed: int) -> tuple[list[Candidate], list[Candidate], Task]:
    """Drafts of the runs that end wrong, drafts that end right, and the task of the last run."""
    unique: dict[tuple[str, str], tuple[bool, Candidate]] = {}
    tasks: list[Task] = []
    for folder in folders:
        with Ledger(folder, write=False) as ledger:
            session = next(ledger.events(Kind.SESSION)).payload
            drafts = [from_json(Chain, event.payload) for event in ledger.events(Kind.DRAFT)]
        experiment = Experiment.of(session["experiment"], base=Path(session["base"]))
        tasks.append(experiment.task)
        problems = {problem.id: problem for problem in read_data(experiment)[0]}
        for draft in drafts:
            problem = problems[draft.problem_id]
            chain = reread(draft, problem, experiment)
            if chain.answer is not None:
                same = experiment.task.same(chain.answer, problem.answer, problem)
                unique[problem.question, chain.text] = same, Candidate(problem=problem, chain=chain, scores=None)
    drawn = Random(seed).sample(list(unique.values()), len(unique))
    found = [[candidate for same, candidate in drawn if same is wanted] for wanted in (False, True)]
    return found[0][:wrong], found[1][:right], tasks[-1]


def reread(draft: Chain, problem: Problem, experiment: Experiment) -> Chain:
    """The draft as it is read today: a run keeps its drafts as they were read when it was made."""
    return make_chain(
        draft.text + draft.tail,
        problem,
        experiment.task,
        finished=draft.tokens < draft.sampling.max_tokens,
        sampling=draft.sampling,
        seed=draft.seed,
        tokens=draft.tokens,
        most_steps=experiment.drafting.most_steps,
    )


def row(mode: str, found: list[Revision], wrong: int) -> dict[str, Any]:
    """What became of the wrong chains and of the right ones, and what it took."""
    repaired = [revision.outcome.trainable for revision in found[:wrong]]
    kept = [revision.outcome.trainable and revision.first_error is None for revision in found[wrong:]]
    own = [r.outcome.trainable and (r.first_error is None or r.first_error > 0) for r in found[:wrong]]
    spent = sum((revision.charge for revision in found), Charge())
    return {
        "mode": mode,
        "wrong": wrong,
        "repaired": sum(repaired),
        "interval": [round(bound, 3) for bound in wilson(sum(repaired), wrong)],
        "keeping_student_steps": sum(own),
        "right": len(kept),
        "accepted": sum(kept),
        "calls": spent.calls,
        "tokens_out_per_chain": round(spent.tokens_out / max(1, len(found)), 1),
        "outcomes_wrong": dict(Counter(revision.outcome.value for revision in found[:wrong])),
        "outcomes_right": dict(Counter(revision.outcome.value for revision in found[wrong:])),
    }


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The best mode against the control `rewrite`, on the same chains; one run."""
    shares = {told["mode"]: told["repaired"] / max(1, told["wrong"]) for told in rows}
    control = shares.pop("rewrite", 0.0)
    ratio = round(max(shares.values()) / control, 3) if control and shares else None
    met = None if ratio is None else ratio >= TARGET
    return {"ratio": ratio, "target": TARGET, "met": met, "runs": 1, "spread": ratio and [ratio, ratio]}


def table_line(told: dict[str, Any]) -> str:
    """The row as Markdown."""
    low, high = told["interval"]
    outcomes = ", ".join(f"{name} {count}" for name, count in told["outcomes_wrong"].items())
    return (
        f"| {told['mode']} | {told['repaired']} of {told['wrong']} ({low:.0%} to {high:.0%}) "
        f"| {told['keeping_student_steps']} | {told['accepted']} of {told['right']} "
        f"| {told['tokens_out_per_chain']} | {outcomes} |"
    )


if __name__ == "__main__":
    main()
