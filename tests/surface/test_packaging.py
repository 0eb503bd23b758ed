"""What is shipped: the wheel holds its data, and the constraints pin what an install resolves to."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_package_whole(wheel: set[str]) -> None:
    source = ROOT / "src"
    files = {path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    wanted = {str(path.relative_to(source)) for path in files if ".egg-info" not in str(path)}
    assert {"elad/py.typed", "elad/sample/pool.jsonl", "elad/sample/heldout.jsonl"} <= wanted
    assert wanted - wheel == set()


def test_the_wheel_holds_nothing_else_but_its_own_description(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel} == {"elad", f"elad-{PROJECT['version']}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert any(name.endswith("licenses/src/elad/sample/ATTRIBUTION.md") for name in wheel)


@pytest.mark.parametrize("extra", ["", "train", "llamacpp", "report", "web", "dev"])
def test_what_is_declared_is_pinned(extra: str) -> None:
    declared = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    names = {canonical(re.split(r"[\[<>=~!; ]", requirement)[0]) for requirement in declared}
    assert names
    assert names - {canonical(pin.split("==")[0]) for pin in PINS} == set()


def test_pins_are_plain_versions() -> None:
    assert [pin for pin in PINS if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin)] == []
    assert not {canonical(pin.split("==")[0]) for pin in PINS} & {"torchvision", "torchaudio", "torchcodec"}


def test_the_base_install_has_no_torch() -> None:
    base, train = PROJECT["dependencies"], PROJECT["optional-dependencies"]["train"]
    assert not any(requirement.startswith(("torch", "transformers")) for requirement in base)
    assert any(requirement.startswith("torch") for requirement in train)
