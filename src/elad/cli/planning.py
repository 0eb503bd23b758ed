"""Verbs before money is spent."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from elad.cli.common import AsJson, Described, Overrides, app, err, out, print_json, print_spent
from elad.errors import RefusedError, TeacherError


@app.command()
def plan(
    experiment: Described,
    overrides: Overrides = None,
    earlier: Annotated[list[Path] | None, typer.Option(help="Folder of an earlier run to learn from.")] = None,
    drafts: Annotated[bool, typer.Option(help="Let the student write the chains that are rehearsed.")] = True,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Run folder: what was spent and bought there is taken off.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a run will cost, before a cent is spent: calls, tokens, money and time, each with a range."""
    from elad.methods.finding import find
    from elad.plan.plan import plan as make_plan
    from elad.plan.plan import told
    from elad.plan.rehearsal import LEAST_CACHED_TOKENS

    found = told(make_plan(find(experiment, overrides or []), earlier or [], drafts=drafts, folder=folder))
    if as_json:
        print_json(found)
        return
    out.print(_table(found))
    wanted, buys = found["questions"], found["buys"]
    if found["bought"]:
        out.print(f"{found['bought']} questions are bought already", highlight=False)
    out.print("the budget bears all of it" if found["fits"] else f"the budget bears {buys} of {wanted} questions")
    if not found["priced"]:
        out.print("no price is known: give teacher.price for money")
    same, long = f"{found['cacheable']:.0%}", f"{found['cacheable_long']:.0%}"
    out.print(f"{same} of the prompts is the same each time: a prefix cache can serve it")
    out.print(f"an endpoint that caches nothing below {LEAST_CACHED_TOKENS:,} tokens can serve {long}")
    chains = f"{found['rehearsed']} questions rehearsed, {found['drafted']} with the student's own chains"
    out.print(f"rests on {found['seen']} revisions of earlier runs, {chains}", highlight=False)
    counter = "bytes" if found["counted"] == "bytes" else f"the {found['counted']}'s tokenizer"
    remedy = "" if found["counted"] == "teacher" else "; teacher.tokenizer makes the range narrower"
    out.print(f"tokens are counted by {counter}{remedy}", highlight=False)


def _table(found: dict[str, Any]) -> Table:
    table = Table(title=f"{found['questions']} questions", title_justify="left")
    for head in ("", "10 %", "median", "90 %"):
        table.add_column(head, justify="right")
    for name in ("calls", "tokens_in", "tokens_out", "money", "seconds"):
        digits = 4 if name == "money" else 0
        unit = f" ({found['currency']})" if name == "money" and found["currency"] else ""
        marks = [f"{found[name][mark]:,.{digits}f}" for mark in ("p10", "p50", "p90")]
        table.add_row(name.replace("_", " ") + unit, *marks)
    return table


@app.command()
def doctor(
    experiment: Described,
    overrides: Overrides = None,
    competence: Annotated[
        bool, typer.Option("--competence", help="Measure the teacher as a reviser; its price is told first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What teacher, student and machine bear, and a remedy where they do not; takes a few tokens, told first."""
    from elad.doctor.checkup import checkup
    from elad.doctor.checkup import told as tell
    from elad.methods.finding import find
    from elad.report.console import ConsoleProgress

    found = checkup(find(experiment, overrides or []), ConsoleProgress(err), competence=competence)
    plain = tell(found)
    if as_json:
        print_json(plain)
    else:
        _show_checkup(plain)
    if found.preventing:
        what = "the teacher cannot be reached" if found.unreachable else "a run is impossible"
        kind = TeacherError if found.unreachable else RefusedError
        raise kind(f"doctor: {what}; see {', '.join(found.preventing)}")
    if found.refused:
        raise RefusedError(f"doctor: {found.refused}")


def _show_checkup(found: dict[str, Any]) -> None:
    marks = {"ok": "green", "no": "red", "unknown": "yellow"}
    table = Table()
    for head in ("", "", "found", "remedy"):
        table.add_column(head, overflow="fold")
    for row in found["findings"]:
        verdict = f"[{marks[row['verdict']]}]{row['verdict']}[/]"
        table.add_row(escape(row["name"]), verdict, escape(row["found"]), escape(row["remedy"]))
    out.print(table)
    spent, currency = found["cost"]["spent"], found["cost"]["currency"]
    money = f", {spent['money']:.4f} {currency}" if currency else ""
    tokens = f"{spent['tokens_in']} + {spent['tokens_out']} tokens"
    out.print(f"spent: {spent['calls']} calls, {tokens}{money}", highlight=False)
    if found["competence"]:
        _show_competence(found["competence"])


def _show_competence(found: dict[str, Any]) -> None:
    gold = "with" if found["uses_gold"] else "without"
    chains = f"{found['wrong']} wrong and {found['right']} right chains"
    table = Table(title=f"{found['teacher']}: {chains}, {gold} gold answers", title_justify="left")
    for head in ("judge", "repair", "found", "accepted", "repaired", "copied", "calls", "tokens"):
        table.add_column(head)
    for row in found["modes"]:
        shares = (row[name] for name in ("found", "accepted", "repaired", "copied"))
        told = [f"{one['count']}/{one['n']}\n{one['low']:.0%}-{one['high']:.0%}" for one in shares]
        tokens = f"{row['tokens_in']} + {row['tokens_out']}"
        table.add_row(row["judge"], row["repair"], *told, str(row["calls"]), tokens)
    out.print(table)
    if found["left_out"]:
        out.print(f"not measured, as this teacher cannot serve it: {', '.join(found['left_out'])}", highlight=False)
    advice = found["advice"]
    mode = f"judge: {advice['judge']}, repair: {advice['repair']}" if advice["judge"] else "none"
    out.print(f"recommended: {mode} ({advice['reason']})", highlight=False, markup=False)
    out.print(f"by this rule: {advice['rule']}", highlight=False, markup=False)
    print_spent(found["spent"])
