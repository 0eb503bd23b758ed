"""The card of a run on fakes, as if its student had been one of transformers."""

from pathlib import Path

from elad.evaluation.trained import Trained
from elad.kinds import build
from elad.ledger.events import Kind, Ledger
from elad.records import Round, from_json
from elad.report.card_facts import Form
from elad.report.model_card import model_card


def card(folder: Path) -> str:
    """The card of the last round's student."""
    with Ledger(folder, write=False) as ledger:
        rounds = [from_json(Round, event.payload) for event in ledger.events(Kind.ROUND)]
    engine = build(
        "elad.students", {"engine": "transformers", "model": "org/small"}, "student", tag="engine", base=folder
    )
    student = Trained(round=rounds[-1], last=rounds[-1].round, checkpoint=folder, engine=engine)
    return model_card(folder, student, Form(adapter=False, gguf=None, place="here", chosen="last"))
