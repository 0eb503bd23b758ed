"""What all tests share: where the real data lies, and a closed network (loopback stays open)."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("elad", deadline=None, max_examples=50)  # a busy machine is slow, and that is no fault
settings.load_profile("elad")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(os.environ.get("ELAD_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; tests that need it skip where it is missing."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs ../shared/data, which is not part of the product")
    return SHARED


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's own cache, nor knows a key."""
    monkeypatch.setenv("ELAD_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
