"""Attacks in questions and model output, in a browser that would run them."""

from pathlib import Path
from typing import Any

from conftest import serving, window
from web_kit import HOSTILE, bought, make_hostile


def test_what_a_model_wrote_is_seen_and_never_run(chromium: Any, tmp_path: Path) -> None:
    make_hostile(tmp_path)
    with serving(tmp_path, "ana") as links, window(chromium, links["ana"]) as ana:
        for (key, _, _), text in zip(bought(tmp_path), HOSTILE, strict=True):
            ana.open(f"/questions/{key}").says("none stands")
            assert text in ana.page.locator("main").inner_text()
            assert ana.page.locator("main :is(script, img, svg, iframe, a[href*='evil'])").count() == 0
            ana.press("r")
            ana.says("Rejected")
            assert text in ana.page.locator("#panel").inner_text()


def test_a_script_that_got_in_would_not_run(chromium: Any, folder: Path) -> None:
    with serving(folder, "ana") as links, window(chromium, links["ana"]) as ana:
        ana.page.evaluate("""
            document.body.insertAdjacentHTML("beforeend", '<img src="/nowhere.png" onerror="window.got = 1">');
            const inline = document.createElement("script");
            inline.textContent = "window.got = 2";
            document.body.append(inline);
            const foreign = document.createElement("script");
            foreign.src = "http://evil.example/x.js";
            document.body.append(foreign);
        """)
        ana.page.wait_for_function("performance.getEntriesByName(location.origin + '/nowhere.png').length > 0")
        assert ana.page.evaluate("window.got") is None
        policy = [fault for fault in ana.faults if "Content Security Policy" in fault]
        assert len(policy) >= 2
        assert not any("leaves" in fault for fault in ana.faults)
        ana.faults.clear()
