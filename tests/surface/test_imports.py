"""What a user waits for: the package and its help come up without the heavy libraries."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "datasets",
    "openai",
    "pyarrow",
    "genai_prices",
    "xllamacpp",
    "sympy",
    "jinja2",
)
IMPORT = "import elad"
HELP = """
import contextlib, io
from elad.cli import main
sys.argv = ["elad", "--help"]
with contextlib.redirect_stdout(io.StringIO()) as out:
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, stop.code
assert "run" in out.getvalue()
"""


@pytest.mark.parametrize("program", [IMPORT, HELP], ids=["import elad", "elad --help"])
def test_nothing_heavy_is_loaded(program: str) -> None:
    report = f"import json, sys\n{program}\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
