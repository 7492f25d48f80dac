"""`overt up`, `login`, `token` and `watchlist import`: the system on one machine, as a user runs it."""

from __future__ import annotations

import csv
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import httpx
import pytest
from overt.permissions import PEOPLE, Role
from overt.testing import faces
from overt_lab.archive import COLUMNS

pytestmark = pytest.mark.e2e

OVERT = str(Path(sys.executable).parent / "overt")
SOON = 20.0
"""Seconds; a stop takes one or two on a quiet machine."""


def overt(*arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run([OVERT, *arguments], capture_output=True, text=True, timeout=seconds, check=False)


def until(what: str, holds: Callable[[], bool], *, seconds: float = SOON) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.05)


class Up:
    """A running `overt up` on free ports."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.output = ""
        self.process = subprocess.Popen(
            [OVERT, "up", "--data", str(data), "--listen", "127.0.0.1:0", "--camera-listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def until_up(self) -> Up:
        """The models are built at the first start on a machine: that takes a while."""
        until("up", lambda: "Ctrl-C" in self.output or self.process.poll() is not None, seconds=150)
        assert self.process.poll() is None, self.output
        return self

    @property
    def note(self) -> dict[str, Any]:
        return dict(json.loads((self.data / "running.json").read_text()))

    @property
    def run_directory(self) -> Path:
        return Path(self.note["run"])

    @property
    def page(self) -> tuple[str, str]:
        """(address, one-time code), as printed."""
        found = re.search(r"page +(http://127\.0\.0\.1:\d+)/#code=(\S+)", self.output)
        assert found, self.output
        return found[1], found[2]

    def token(self, role: str, *more: str) -> str:
        done = overt("token", role, "--data", str(self.data), *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def rest(self, role: Role) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(role)}"}
        return httpx.Client(base_url=self.page[0], headers=headers, trust_env=False, timeout=30)

    def stop(self, number: signal.Signals) -> int:
        """The exit code, and how it said goodbye in `output`."""
        self.process.send_signal(number)
        code = self.process.wait(SOON)
        self._reader.join(SOON)
        return code

    def gone(self) -> None:
        """For whoever cleans up after a test that failed."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def processes_of(run_directory: Path) -> dict[int, str]:
    """Command lines by number, of everything whose command or environment names the run directory."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((folder / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if str(run_directory).encode() in command + environment:
            found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One for the tests that leave it as it is. At its end SIGTERM, as a service manager ends it."""
    up = Up(tmp_path_factory.mktemp("up") / "data")
    try:
        yield up.until_up()
        assert up.stop(signal.SIGTERM) == 0, up.output
        assert "ended unexpectedly" not in up.output
    finally:
        up.gone()


def _draft(up: Up, name: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    fields = {
        "id": name,
        "name": name.title(),
        "starts_at": now.isoformat(),
        "ends_at": (now + timedelta(hours=2)).isoformat(),
        "cameras": [{"id": "gate", "name": "Gate"}],
    }
    with up.rest(Role.APPLICANT) as applicant:
        answer = applicant.post("/v1/deployments", json=fields)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


# --- a running system -------------------------------------------------------------------------------------------


def test_a_token_of_every_role_says_who_one_is(system: Up) -> None:
    for role in sorted(PEOPLE):
        answer = httpx.get(
            f"{system.page[0]}/v1/me",
            headers={"Authorization": f"Bearer {system.token(role, '--minutes', '5')}"},
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        me = answer.json()
        assert (me["role"], me["subject"], me["deployment"]) == (role.value, role.value, None)
        left = datetime.fromisoformat(me["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=4) < left <= timedelta(minutes=5)


def test_a_cameras_token_is_for_cameras_only(system: Up) -> None:
    token = system.token("camera", "--deployment", "d", "--camera", "c")
    answer = httpx.get(f"{system.page[0]}/v1/me", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert (answer.status_code, answer.json()["reason"]) == (403, "not_allowed")


def test_the_printed_code_logs_in_once(system: Up) -> None:
    address, code = system.page
    with httpx.Client(base_url=address, trust_env=False) as browser:
        login = browser.post("/v1/login", json={"code": code})
        assert login.status_code == 200, login.text
        assert login.json()["role"] == "operator"
        me = browser.get("/v1/me", headers={"Authorization": f"Bearer {login.json()['token']}"})
        assert me.json()["role"] == "operator"
        again = browser.post("/v1/login", json={"code": code})
        assert (again.status_code, again.json()["reason"]) == (401, "code_invalid")
    assert code not in (system.run_directory / "login-codes").read_text(), "only its digest is kept"


def test_a_new_link_logs_in_once_too(system: Up) -> None:
    assert "for another link: overt login" in system.output
    done = overt("login", "auditor", "--data", str(system.data))
    assert done.returncode == 0, done.stderr
    address, code = done.stdout.strip().split("/#code=")
    assert address == system.page[0]
    answers = [httpx.post(f"{address}/v1/login", json={"code": code}, trust_env=False) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401]
    assert answers[0].json()["role"] == "auditor"


def test_what_is_secret_is_this_users_and_in_no_command_line(system: Up) -> None:
    assert system.data.stat().st_mode & 0o777 == 0o700
    assert system.run_directory.stat().st_mode & 0o777 == 0o700
    files = [p for p in system.run_directory.iterdir() if p.is_file()]
    kept = [*files, system.data / "nats-store.key", system.data / "running.json", *(system.data / "logs").iterdir()]
    assert {p.name: oct(p.stat().st_mode & 0o777) for p in kept} == {p.name: "0o600" for p in kept}
    secrets = [p.read_text().strip() for p in files if p.suffix in (".password", ".token", ".pem")]
    assert len(secrets) >= 8
    running = processes_of(system.run_directory)
    assert len(running) == 6, running
    logs = "".join(p.read_text(errors="replace") for p in (system.data / "logs").iterdir())
    for secret in (*secrets, system.page[1], (system.data / "nats-store.key").read_text()):
        assert not [command for command in running.values() if secret in command]
        assert secret not in logs
    for pid in running:
        (core,) = (
            line.split()[4:6]
            for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
            if line.startswith("Max core file size")
        )
        assert core == ["0", "0"], f"{running[pid]} may leave a core dump"


def test_a_second_one_on_the_same_data_is_refused(system: Up) -> None:
    listen = ("--listen", "127.0.0.1:0", "--camera-listen", "127.0.0.1:0")
    done = overt("up", "--data", str(system.data), *listen)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"a system runs on {system.data} already (process {system.process.pid})" in line
    assert "--data" in line
    assert overt("demo", "--data", str(system.data)).returncode == 2
    with system.rest(Role.OPERATOR) as operator:
        assert operator.get("/v1/deployments").status_code == 200, "the first one goes on"


@pytest.mark.parametrize("option", ["--listen", "--camera-listen"])
def test_a_taken_port_is_one_line(tmp_path: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        doors = {"--listen": "127.0.0.1:0", "--camera-listen": "127.0.0.1:0", option: address}
        done = overt("up", "--data", str(tmp_path / "data"), *(word for door in doors.items() for word in door))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"overt: cannot listen on {address} (the port is taken)")
    assert option in line
    assert done.stdout == ""


# --- a list -----------------------------------------------------------------------------------------------------


def _picture(folder: Path, name: str, picture: faces.Picture) -> None:
    assert cv2.imwrite(str(folder / name), picture)


TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()


def _row(image: str, subject: str, **changed: str) -> dict[str, str]:
    row = {
        "image": image,
        "subject_ref": subject,
        "category": "wanted_by_court",
        "legal_basis": "warrant, section 1",
        "image_source": "custody",
        "reason": 'failed to appear, "again"',
        "expires_at": TOMORROW,
        "under_18": "no",
    }
    return {**row, **changed}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("list") / "images"
    folder.mkdir()
    people = faces.people()
    _picture(folder, "one.jpg", people["group1"])
    _picture(folder, "two: odd name.png", people["astronaut"])
    _picture(folder, "three.jpg", people["group3"])
    _picture(folder.parent, "outside.jpg", people["group4"])
    _picture(folder, "crowd.jpg", faces.group()[:, :640])
    _picture(folder, "nobody.jpg", faces.nobody())
    return folder


def _write(path: Path, *lines: dict[str, str] | str) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for line in lines:
            if isinstance(line, str):
                file.write(line)
            else:
                writer.writerow(line)
    return path


def _refused(manifest: Path) -> list[tuple[str, str, str]]:
    with manifest.with_suffix(".refused.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert all(row["message"] for row in found)
    return [(row["row"], row["subject_ref"], row["reason"]) for row in found]


def test_good_rows_go_in_and_bad_ones_come_back_with_their_reasons(system: Up, images: Path, tmp_path: Path) -> None:
    _draft(system, "import")
    manifest = _write(
        tmp_path / "list.csv",
        _row("one.jpg", "case-1"),
        _row("crowd.jpg", "case-3"),
        "\r\n",
        _row("nobody.jpg", "case-5"),
        _row("none.jpg", "case-6"),
        _row("three.jpg", "case-7", category="suspicious"),
        _row("three.jpg", "case-8", expires_at="2020-01-01T00:00:00Z"),
        _row("../outside.jpg", "case-9"),
        _row("two: odd name.png", "case-10"),
        _row("one.jpg", "case-1", category="other"),
        "three.jpg,case-12,other,no quotes around this, comma,custody,reason,2030-01-01T00:00:00Z,no\r\n",
        _row("", "case-13"),
        _row("one.jpg", "case-1", image_source="a second print"),
    )
    arguments = ("watchlist", "import", "import", str(manifest), "--images", str(images), "--data", str(system.data))
    done = overt(*arguments)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert _refused(manifest) == [
        ("3", "case-3", "several_faces"),
        ("5", "case-5", "no_face"),
        ("6", "case-6", "missing_image"),
        ("7", "case-7", "unknown_category"),
        ("8", "case-8", "expired"),
        ("9", "case-9", "unsafe_path"),
        ("11", "case-1", "duplicate_subject"),
        ("12", "case-12", "bad_field"),
        ("13", "case-13", "bad_field"),
    ]
    assert "row 2 gives the same subject_ref another category" in manifest.with_suffix(".refused.csv").read_text()
    assert "3 of 12 rows went in; the list has 2 entries" in done.stdout
    assert "9 refused, see" in done.stdout
    with system.rest(Role.APPLICANT) as applicant:
        entries = applicant.get("/v1/deployments/import/list").json()["entries"]
    assert {(e["subject_ref"], e["references"]) for e in entries} == {("case-1", 2), ("case-10", 1)}

    # The same once more harms nothing, and says that they are there.
    assert overt(*arguments).returncode == 1
    assert {("2", "case-1", "duplicate_subject"), ("10", "case-10", "duplicate_subject")} < set(_refused(manifest))


def test_an_import_without_a_fault_exits_with_0(system: Up, images: Path, tmp_path: Path) -> None:
    _draft(system, "clean")
    manifest = _write(tmp_path / "list.csv", _row("one.jpg", "case-1"), _row("one.jpg", "case-2"))
    arguments = ("--images", str(images), "--data", str(system.data))
    done = overt("watchlist", "import", "clean", str(manifest), *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "  row 3, case-2 and case-1: cosine 1.00",
        "all 2 rows went in; the list has 2 entries",
    ]
    assert not manifest.with_suffix(".refused.csv").exists()

    nowhere = overt("watchlist", "import", "nowhere", str(manifest), *arguments)
    assert nowhere.returncode == 1
    assert "[unknown_deployment]" in nowhere.stderr
    assert "Traceback" not in nowhere.stderr


# --- stopping and coming back -----------------------------------------------------------------------------------


def _nothing_runs(run_directory: Path) -> None:
    until(f"nothing of {run_directory} runs", lambda: not processes_of(run_directory))


def test_ctrl_c_stops_everything_and_it_comes_back_as_it_was(images: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    up = Up(data)
    try:
        up.until_up()
        run_directory, first_address = up.run_directory, up.page[0]
        before = up.token("operator")
        _draft(up, "kept")
        manifest = _write(tmp_path / "list.csv", _row("one.jpg", "case-1"))
        where = ("--images", str(images), "--data", str(data))
        assert overt("watchlist", "import", "kept", str(manifest), *where).returncode == 0
        assert processes_of(run_directory)

        assert up.stop(signal.SIGINT) == 0, up.output
        assert up.output.endswith("overt: stopping\n")
        assert not run_directory.exists()
        assert not (data / "running.json").exists()
        assert processes_of(run_directory) == {}
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{first_address}/healthz", trust_env=False)

        ended = overt("token", "operator", "--data", str(data))
        assert ended.returncode == 2
        (line,) = ended.stderr.splitlines()
        assert "no system runs on" in line
        assert "start one with `overt up`" in line
        assert overt("watchlist", "import", "kept", str(manifest), *where).returncode == 2

        up = Up(data)
        up.until_up()
        with up.rest(Role.APPLICANT) as applicant:
            (found,) = applicant.get("/v1/deployments").json()["deployments"]
            assert (found["id"], found["state"]) == ("kept", "draft")
            # Opened with keys of the keyring, out of a store that is encrypted with a key of its own.
            entries = applicant.get("/v1/deployments/kept/list").json()["entries"]
        assert [entry["subject_ref"] for entry in entries] == ["case-1"]
        stale = httpx.get(f"{up.page[0]}/v1/me", headers={"Authorization": f"Bearer {before}"}, trust_env=False)
        assert (stale.status_code, stale.json()["reason"]) == (401, "token_invalid"), "every start has its own issuer"

        # Killed, it cannot tidy up: the kernel ends its children, and the next start removes its secrets.
        run_directory = up.run_directory
        up.gone()
        _nothing_runs(run_directory)
        assert "no system runs on" in overt("token", "operator", "--data", str(data)).stderr
        assert (run_directory / "issuer.pem").exists()
        up = Up(data)
        until("the killed one's secrets are gone", lambda: not run_directory.exists())

        # And one that is told to stop while it still starts does.
        until("nats-server runs", lambda: bool(processes_of(up.run_directory)))
        run_directory = up.run_directory
        assert up.stop(signal.SIGINT) == 0, up.output
        assert "Ctrl-C" not in up.output, "it was not up yet"
        assert not run_directory.exists()
        assert processes_of(run_directory) == {}
    finally:
        up.gone()
