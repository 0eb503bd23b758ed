"""A vLLM server of our own: a process in its own environment, behind a socket that only this user can reach.

It ends with the last student that uses it, with this process, and with the machinery around it (`keeper`); its weights
and its log lie in a temporary folder that goes with it. What it printed is kept where it fails.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import httpx2

from elad.errors import StudentError
from elad.students.completions import Api, client

MODEL = "student"
"""What the weights are called in requests."""
DRAWS = "elad.students.seeded:Seeded"
_HERE = Path(__file__).parent
_LOG, _SOCKET = "server.log", "socket"
_TAIL_LINES, _TAIL_BYTES = 15, 8192
_LOOK_SECONDS = 0.2
_END_SECONDS = 20.0
_USUAL = {"VLLM_CPU_KVCACHE_SPACE": "4"}
"""GiB, unless the user says something else: on a processor vLLM would take nine tenths of all memory."""
_ALONE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_HOST_IP": "127.0.0.1",
}
"""It fetches nothing, tells nobody, and talks to its own parts over loopback."""


class Server:
    """A server that runs, and how it is asked."""

    def __init__(
        self,
        python: str,
        arguments: Sequence[str],
        *,
        weights: Callable[[Path], Path],
        draws: bool,
        concurrency: int,
        seconds: float,
    ) -> None:
        """Starts it by the `python` of vLLM's environment, and returns when it answers.

        `weights` gives the model's folder, and may write it where it is told to. With `draws` the server draws by
        `seeded`. Raises: StudentError where it cannot be started, ends, or says nothing for `seconds`.
        """
        folder = Path(tempfile.mkdtemp(prefix="elad-vllm-"))
        self._end = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        try:
            served = weights(folder / "weights")
            own = ["--uds", str(folder / _SOCKET), "--served-model-name", MODEL]
            drawing = ["--logits-processors", DRAWS] if draws else []
            process = _started(python, [str(served), *own, *drawing, *arguments], folder, draws=draws)
            http = client("http://vllm", socket=str(folder / _SOCKET), connections=concurrency + 1)
            self._end.detach()
            self._end = weakref.finalize(self, _ended, process, http, folder)
            self._process = process
            trouble = partial(_trouble, process, folder / _LOG)  # not a method: it would keep the server alive
            self.api = Api(http=http, model=MODEL, concurrency=concurrency, trouble=trouble)
            _wait(self.api, process, folder / _SOCKET, seconds)
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the server, and waits until it has; may be called twice."""
        self._end()


def _started(python: str, arguments: Sequence[str], folder: Path, *, draws: bool) -> "subprocess.Popen[bytes]":
    # Keys are for others, and one of vLLM's would make the server ask us for it.
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_TOKEN"))}
    code = _copied(folder / "code")
    own = {"PYTHONPATH": str(code)} | ({"VLLM_USE_V2_MODEL_RUNNER": "0"} if draws else {})
    environment = _USUAL | kept | _ALONE | own
    environment.pop("PYTHONHOME", None)
    keeper = [sys.executable, "-I", str(_HERE / "keeper.py"), str(_END_SECONDS)]
    with (folder / _LOG).open("wb") as log:
        return subprocess.Popen(
            [*keeper, os.path.abspath(shutil.which(python) or python), str(code / "serving.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, and we end it in our own time
            cwd=folder,
            env=environment,
        )


def _copied(folder: Path) -> Path:
    """The folder, with what runs in the server in it: nothing else of this package must be found there."""
    room = folder / "elad" / "students"
    room.mkdir(parents=True)
    for package in (room.parent, room):
        (package / "__init__.py").touch()
    for name, place in (("serving.py", folder), ("seeded.py", room), ("sampling.py", room)):
        shutil.copy(_HERE / name, place)
    return folder


def _wait(api: Api, process: "subprocess.Popen[bytes]", where: Path, seconds: float) -> None:
    """Returns when the server answers. Raises: StudentError where it ends before, or takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not (_listens(where) and _answers(api.http)):
        if process.poll() is not None:
            raise StudentError(api.trouble("it did not start"))
        if time.monotonic() > deadline:
            raise StudentError(api.trouble(f"it did not answer within {seconds:g} seconds (student.start_seconds)"))
        time.sleep(_LOOK_SECONDS)


def _listens(where: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        return line.connect_ex(str(where)) == 0


def _answers(http: httpx2.Client) -> bool:
    try:
        return http.get("/health").is_success
    except httpx2.TransportError:
        return False


def _ended(process: "subprocess.Popen[bytes]", http: httpx2.Client, folder: Path) -> None:
    """Ends the keeper, and with it the server and all of its processes."""
    http.close()
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_END_SECONDS + 5)
    except subprocess.TimeoutExpired:  # a fork of this process holds the other end of the pipe
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _trouble(process: "subprocess.Popen[bytes]", log: Path, what: str) -> str:
    """What went wrong, how the server is, and the last lines that it printed; the whole log is kept."""
    status = "it is running" if process.poll() is None else "it has ended"
    handle, kept = tempfile.mkstemp(prefix="elad-vllm-", suffix=".log")
    os.close(handle)
    shutil.copyfile(log, kept)
    with log.open("rb") as opened:
        opened.seek(max(0, opened.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = opened.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    shown = "\n".join(f"  {_plain(line)}" for line in lines)
    return f"the vLLM server failed ({status}): {what}\nits last lines, of {kept}:\n{shown}"


def _plain(line: str) -> str:
    return "".join(char for char in line if char.isprintable())[:300]
