from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elad.errors import ConfigError
from elad.teachers.keys import read_key

KEY = "sk-canary-0123456789"


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


def test_the_file_comes_before_the_environment(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "other")
    assert read_key("SOME_KEY", str(kept)) == KEY
    assert read_key("SOME_KEY", None) == "other"
    assert read_key("NO_SUCH_KEY", None) == ""


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o660, 0o777])
def test_a_file_that_others_may_read_is_refused(kept: Path, mode: int) -> None:
    kept.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        read_key("SOME_KEY", str(kept))
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_or_missing_file_is_named(kept: Path, content: bytes) -> None:
    kept.write_bytes(content)
    with pytest.raises(ConfigError, match="empty"):
        read_key("SOME_KEY", str(kept))
    with pytest.raises(ConfigError, match="No such file"):
        read_key("SOME_KEY", f"{kept}.txt")


@given(st.text(min_size=1, max_size=30).filter(lambda text: text.strip() and "\x00" not in text))
def test_what_no_header_takes_is_refused_unseen(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv("SOME_KEY", text)
        except UnicodeEncodeError:
            return
        fits = all("!" <= c <= "~" for c in text.strip())
        if fits:
            assert read_key("SOME_KEY", None) == text.strip()
        else:
            with pytest.raises(ConfigError) as caught:
                read_key("SOME_KEY", None)
            assert text not in str(caught.value).replace("SOME_KEY: holds characters that no key has", "")
