"""Who gets in, and what is refused whoever sends it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from loop_kit import experiment
from web_kit import ORIGIN, Seat, bought, seated, sitting

from elad.loop import run
from elad.web.forms import MOST_BYTES
from elad.web.guard import HEADERS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs") / "very-private-name"
    run(experiment("rounds.count=1"), made)
    return made


@pytest.fixture
def seat(folder: Path) -> Iterator[Seat]:
    with sitting(folder) as one:
        yield one


@pytest.fixture
def stranger(folder: Path) -> Iterator[Seat]:
    with seated(folder, "ana") as (one,):
        yield one


ADDRESSES = ("/", "/run", "/run/now", "/run/stream", "/questions/0000000000000000", "/assets/htmx.min.js", "/nowhere")


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_a_session_nothing_is_shown(stranger: Seat, address: str) -> None:
    response = stranger.client.get(address)
    assert response.status_code == 403
    assert "elad review" in response.text
    assert stranger.client.get(address, headers={"cookie": "seat=guessed"}).status_code == 403


def test_a_link_lets_in_once(stranger: Seat) -> None:
    response = stranger.client.get("/enter", params={"token": stranger.token}, follow_redirects=False)
    cookie = response.headers["set-cookie"].lower()
    assert response.status_code == 303
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.token not in cookie
    stranger.read("/")
    stranger.client.cookies.clear()
    for token in (stranger.token, "", "guessed", "ü"):
        assert stranger.client.get("/enter", params={"token": token}).status_code == 403
    assert stranger.client.get("/").status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "testserver:81", "127.0.0.1", "", "testserver.evil.example"])
def test_another_host_is_refused(seat: Seat, host: str) -> None:
    assert seat.client.get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://testserver"},
        {"origin": "http://testserver.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {**ORIGIN, "sec-fetch-site": "cross-site"},
    ],
)
def test_a_foreign_origin_is_refused(seat: Seat, folder: Path, headers: dict[str, str]) -> None:
    key = bought(folder)[0][0]
    assert seat.client.get("/", headers=headers).status_code == 403
    fields = seat.form(key) | {"decision": "accept"}
    assert seat.client.post(f"/questions/{key}/review", data=fields, headers=headers).status_code == 403
    assert "none stands" in seat.read(f"/questions/{key}")


def test_a_change_must_tell_its_origin(seat: Seat, folder: Path) -> None:
    key = bought(folder)[0][0]
    fields = seat.form(key) | {"decision": "accept"}
    assert seat.client.post(f"/questions/{key}/review", data=fields).status_code == 403
    assert "none stands" in seat.read(f"/questions/{key}")


@pytest.mark.parametrize("csrf", ["", "guessed", "ü", None])
def test_a_form_of_another_session_is_refused(seat: Seat, folder: Path, csrf: str | None) -> None:
    key = bought(folder)[0][0]
    fields = {name: value for name, value in seat.form(key).items() if name != "csrf"} | {"decision": "accept"}
    fields |= {} if csrf is None else {"csrf": csrf}
    response = seat.client.post(f"/questions/{key}/review", data=fields, headers=ORIGIN)
    assert response.status_code == 403
    assert "none stands" in seat.read(f"/questions/{key}")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"a=b", "text/plain", 415),
        (b"", "application/x-www-form-urlencoded", 403),
        (b"%ff%fe", "application/x-www-form-urlencoded", 400),
        (b"\xff=1", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"f%d=1" % n for n in range(99)), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * MOST_BYTES, "application/x-www-form-urlencoded", 413),
    ],
)
def test_what_is_no_form_of_ours_is_refused(seat: Seat, folder: Path, content: bytes, kind: str, status: int) -> None:
    headers = {**ORIGIN, "content-type": kind}
    response = seat.client.post(f"/questions/{bought(folder)[0][0]}/review", content=content, headers=headers)
    assert response.status_code == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_methods_that_no_page_sends_are_refused(seat: Seat, method: str) -> None:
    assert seat.client.request(method, "/", headers=ORIGIN).status_code == 405


TRICKS = (
    "/assets/../app.py",
    "/assets/..%2fapp.py",
    "/assets/%2e%2e%2fapp.py",
    "/assets/..%5capp.py",
    "/assets/%252e%252e%252fapp.py",
    "/assets//etc/passwd",
    "/assets/%2fetc%2fpasswd",
    "/assets/review.css%00.html",
    "/assets/",
    "/questions/..%2f..%2fledger.sqlite",
    "/questions/%27%20OR%201=1--",
    "/questions/" + "a" * 600,
    "/../../etc/passwd",
    "//etc/passwd",
    "/ledger.sqlite",
    "/docs",
    "/openapi.json",
)


@pytest.mark.parametrize("address", TRICKS)
def test_tricks_with_paths_lead_nowhere(seat: Seat, folder: Path, address: str) -> None:
    response = seat.client.get(f"http://testserver{address}")
    assert response.status_code in (404, 414)
    assert len(response.text) < 100
    assert folder.name not in response.text


def test_too_long_an_address_is_refused(seat: Seat) -> None:
    assert seat.client.get("/", params={"find": "x" * 3000}).status_code == 414


@pytest.mark.parametrize("address", [*ADDRESSES[:3], "/assets/review.js", "/nowhere", "/enter?token=x"])
def test_every_response_carries_the_policy(seat: Seat, address: str) -> None:
    response = seat.client.get(address)
    assert {name: response.headers[name] for name in HEADERS} == dict(HEADERS)
    assert "unsafe" not in response.headers["content-security-policy"]
    assert "server" not in response.headers


def test_no_page_names_a_path_of_the_machine(seat: Seat, folder: Path) -> None:
    pages = [seat.read(address) for address in ("/", "/run", f"/questions/{bought(folder)[0][0]}", "/?part=heldout")]
    for page in pages:
        assert str(folder) not in page
        assert folder.name not in page
        assert str(Path.cwd()) not in page


def test_no_page_has_script_or_style_of_its_own(seat: Seat, folder: Path) -> None:
    for address in ("/", "/run", f"/questions/{bought(folder)[0][0]}"):
        page = seat.read(address)
        assert "<style" not in page
        assert " style=" not in page
        assert page.count("<script") == page.count("<script src=") == 2
        assert "http://" not in page
        assert "https://" not in page
