"""Everything that an experiment has to work with, looked at before it runs."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from elad.doctor import student, teacher
from elad.doctor.competence import Competence, measure
from elad.doctor.finding import Finding, unknown
from elad.errors import RefusedError, TeacherError
from elad.experiment import Experiment
from elad.progress import Progress
from elad.records import Charge, to_json
from elad.teachers.capabilities import Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What was found, and what finding it took."""

    findings: tuple[Finding, ...]
    capabilities: Capabilities | None
    most: Charge
    """What looking could have taken."""
    spent: Charge
    """What it took; the measuring of competence is not in it."""
    competence: Competence | None
    refused: str | None = None
    """Why competence was not measured though it was wanted: the budget does not bear it."""

    @property
    def unreachable(self) -> bool:
        """Whether there is no teacher to talk to."""
        return any(finding.prevents and finding.name == "reachable" for finding in self.findings)

    @property
    def preventing(self) -> list[str]:
        """The names of the findings that make a run impossible."""
        return [finding.name for finding in self.findings if finding.prevents]


def checkup(
    experiment: Experiment, progress: Progress, *, competence: bool = False, runs: Path = Path("runs")
) -> Checkup:
    """Looks at teacher, student and machine, and on request measures the teacher as a reviser.

    `runs` is where checkpoints will lie. `progress` is told of each cost before it is spent. Competence is not
    measured where a run is impossible. Raises: DataError where the pool cannot be read, which measuring needs.
    """
    seen = teacher.look(experiment, progress.note)
    found = Checkup(
        findings=(*seen.findings, *student.look(experiment, runs)),
        capabilities=seen.capabilities,
        most=seen.most,
        spent=seen.spent,
        competence=None,
    )
    if not competence or found.preventing:
        return found
    try:
        return replace(found, competence=measure(experiment, progress))
    except RefusedError as error:
        return replace(found, refused=str(error))
    except TeacherError as error:
        why = unknown("competence", str(error), "the same command goes on where it stopped")
        return replace(found, findings=(*found.findings, why))


def told(found: Checkup) -> dict[str, Any]:
    """The checkup as plain JSON values."""
    findings = [to_json(finding) for finding in found.findings]
    return {
        "findings": findings,
        "capabilities": to_json(found.capabilities) if found.capabilities else {},
        "cost": {
            "most": _sums(found.most),
            "spent": _sums(found.spent),
            "currency": found.most.currency,
        },
        "competence": to_json(found.competence) if found.competence else None,
    }


def _sums(charge: Charge) -> dict[str, float]:
    return {name: getattr(charge, name) for name in ("calls", "tokens_in", "tokens_out", "money")}
