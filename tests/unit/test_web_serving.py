"""Where the page listens, whom it tells what, and what it says when it cannot."""

import socket
from pathlib import Path
from typing import Any

import pytest
from loop_kit import experiment
from typer.testing import CliRunner

pytest.importorskip("fastapi", reason="needs the extra `web`")

import uvicorn

from elad.cli import app
from elad.errors import InputError, RunFolderError
from elad.loop import run
from elad.web.serving import serve


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    run(experiment("rounds.count=1"), made)
    return made


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, uvicorn.Config]]:
    """Address and settings of each server, none of which serves."""
    given: list[tuple[Any, uvicorn.Config]] = []

    def noted(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        given.append((sockets[0].getsockname(), self.config))
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, "run", noted)
    return given


def test_it_listens_on_this_machine_alone_and_logs_no_token(folder: Path, served: list[Any]) -> None:
    done = CliRunner().invoke(app, ["review", str(folder), "--port", "0", "--as", "ana", "--as", "ben"])
    assert done.exit_code == 0, done.output
    ((host, port), config) = served[0]
    assert host == "127.0.0.1"
    lines = done.output.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["ana", "ben"]
    links = [line.split(": ")[1] for line in lines]
    assert all(link.startswith(f"http://127.0.0.1:{port}/enter?token=") for link in links)
    assert len(set(links)) == 2
    assert not config.access_log
    assert not config.server_header


def test_another_host_is_taken_where_it_is_asked_for_and_warned_of(folder: Path, served: list[Any]) -> None:
    done = CliRunner().invoke(app, ["review", str(folder), "--port", "0", "--host", "127.0.0.2", "--as", "ana"])
    assert done.exit_code == 0, done.output
    assert served[0][0][0] == "127.0.0.2"
    assert "whoever reads what goes over the wire" in " ".join(done.output.split())


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_all_hosts_at_once_are_none_that_a_request_could_be_held_against(folder: Path, host: str) -> None:
    with pytest.raises(InputError, match="that reviewers will use"):
        serve(folder, ["ana"], host=host, port=0, tell=lambda *_: pytest.fail("nothing is served"))


def test_a_port_that_is_taken_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: cannot listen there"):
            serve(folder, ["ana"], host="127.0.0.1", port=port, tell=lambda *_: pytest.fail("nothing is served"))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="not a run folder"):
        serve(tmp_path, ["ana"], host="127.0.0.1", port=0, tell=lambda *_: pytest.fail("nothing is served"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("names", "why"),
    [(["ana", "ana"], "have the same name"), (["\x1b[31m"], "printable"), ([" "], "printable"), (["x" * 61], "60")],
)
def test_names_must_be_told_apart_and_read(folder: Path, names: list[str], why: str) -> None:
    words = [word for name in names for word in ("--as", name)]
    done = CliRunner().invoke(app, ["review", str(folder), *words])
    assert isinstance(done.exception, InputError)
    assert why in str(done.exception)
