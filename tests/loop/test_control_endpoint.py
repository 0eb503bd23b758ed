"""Both arms at an endpoint that misbehaves, live and by the batch: nothing is billed twice, each keeps to its part."""

from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment, history
from test_batch_channel import PRICE, Killed
from test_chaos import answer, to_the_end
from test_control import DATA, events, picked

from elad.experiment import Experiment
from elad.ledger.events import CONTROL, MAIN, Kind, Ledger
from elad.ledger.reconcile import Books, reconcile
from elad.loop import run
from elad.teachers import batch_api, call
from elad.testing import ChaosServer, ChaosTeacher, Fault


def planned(server: ChaosServer, **teacher: Any) -> Experiment:
    endpoint = {"kind": "openai", "base_url": server.base_url, "model": "m", "price": PRICE, "timeout_seconds": 1.0}
    return experiment(
        "control.share=0.5",
        data=DATA,
        teacher=endpoint | teacher,
        reviser={"kind": "rewrite", "max_tokens": 64},
        rounds={"count": 2, "questions": 20},
    )


def books(folder: Path) -> Books:
    with Ledger(folder, write=False) as ledger:
        return reconcile(ledger)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(batch_api, "MOST_PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize("portion", [0.5, 2.0])
def test_under_a_cap_with_faults_each_arm_keeps_to_its_part(tmp_path: Path, portion: float) -> None:
    with ChaosTeacher(answer=answer) as server:
        run(planned(server), tmp_path / "whole")
        cap = portion * books(tmp_path / "whole").spent.money
    faults = {fault: 0.04 for fault in (Fault.SERVER_ERROR, Fault.RATE_LIMIT, Fault.TRUNCATED_JSON, Fault.RESET)}
    with ChaosTeacher(answer=answer, faults=faults, retry_after_seconds=0.01) as server:
        one = planned(server).but([f"budget.money={cap}"])
        to_the_end(one, tmp_path / "run")
        found, seen = books(tmp_path / "run"), server.books
    assert (found.problems, found.open) == ((), ())
    assert seen.money - 1e-9 <= found.spent.money <= cap
    with Ledger(tmp_path / "run", write=False) as ledger:
        assert max(ledger.of(arm).spent().money for arm in (MAIN, CONTROL)) <= cap / 2 + 1e-12
    main, control = (
        {key for keys in picked(tmp_path / "run", arm).values() for key in keys} for arm in (MAIN, CONTROL)
    )
    assert main & control


@pytest.mark.parametrize("polls", [1, 2, 3, 4])
def test_a_batch_of_either_arm_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, polls: int) -> None:
    seen = 0
    usual = batch_api.BatchApi.get

    def get(api: batch_api.BatchApi, batch_id: str) -> batch_api.Batch:
        nonlocal seen
        seen += 1
        if seen == polls:
            raise Killed
        return usual(api, batch_id)

    with ChaosTeacher(answer=answer) as server:
        run(planned(server, channel="batch", cache=False), tmp_path / "whole")
    monkeypatch.setattr(batch_api.BatchApi, "get", get)
    with ChaosTeacher(answer=answer) as server:
        one = planned(server, channel="batch", cache=False)
        with pytest.raises(Killed):
            run(one, tmp_path / "run")
        assert books(tmp_path / "run").open
        run(one, tmp_path / "run")
        found, told = books(tmp_path / "run"), server.books
    assert found.spent.money == pytest.approx(told.money)
    assert {tally.billed for tally in told.requests.values()} == {1}
    assert (found.problems, found.open, found.lost) == ((), (), 0)
    asked = [event.key for event in events(tmp_path / "run", Kind.REQUEST)]
    assert len(asked) == len(set(asked))
    assert history(tmp_path / "run", None).keys() == history(tmp_path / "whole", None).keys()
