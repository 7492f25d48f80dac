"""Verbs that need no machinery do not wait for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["login", "--help"],
        ["token", "--help"],
        ["models", "--help"],
        ["evaluate", "verification", "--help"],
        ["evaluate", "identification", "--help"],
        ["evaluate", "equity", "--help"],
        ["bench", "pipeline", "--help"],
    ],
)
def test_light_verbs_load_nothing_heavy(arguments: list[str]) -> None:
    """0.9 s for `overt --help` were the whole lab, OpenCV and a video decoder."""
    script = (
        f"import sys; sys.argv = ['overt', *{arguments!r}]\n"
        "import overt.cli\n"
        "try: overt.cli.main()\n"
        "finally: print(sorted({'cv2', 'av', 'grpc', 'nats', 'httpx', 'numpy', 'pydantic'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
