"""Real processes that are really killed (SIGKILL) in the middle of changing one keyring, life after life."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from overt.crypto import FileKeyring, aead

pytestmark = pytest.mark.contract

LIVES = 8

# Puts and destroys keys, says what it is about to do and that it is done, and kills itself at the nth system call
# that changes something.
PROGRAM = """
import os, random, signal, sys
from pathlib import Path
from overt.crypto import FileKeyring, aead
from overt.crypto.keyring import directory as directories

class MortalOs:
    left = int(sys.argv[3])
    def __getattr__(self, name):
        function = getattr(os, name)
        if name not in ("open", "write", "fsync", "replace", "unlink"):
            return function
        def call(*args, **kwargs):
            MortalOs.left -= 1
            if MortalOs.left < 0:
                if name == "write":
                    function(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return call

directories.os = MortalOs()
keyring = FileKeyring(Path(sys.argv[1]))
draw = random.Random(int(sys.argv[2]))
print("open", flush=True)
while True:
    there = keyring.ids()
    if len(there) > 6 or (there and draw.random() < 0.4):
        victims = draw.sample(there, draw.randrange(1, len(there) + 1))
        print("destroy", *victims, flush=True)
        keyring.destroy(*victims)
    else:
        key_id, key = f"alert/d/{draw.randrange(10**9)}", draw.randbytes(aead.KEY_BYTES)
        print("put", key_id, key.hex(), flush=True)
        keyring.put(key_id, key)
    print("done", flush=True)
"""


def after(state: dict[str, bytes], line: list[str]) -> dict[str, bytes]:
    """What a line of the program's journal makes of the keys."""
    if line[0] == "put":
        return {**state, line[1]: bytes.fromhex(line[2])}
    return {key_id: key for key_id, key in state.items() if key_id not in line[1:]}


def test_no_kill_leaves_half_a_change(tmp_path: Path) -> None:
    directory = tmp_path / "keyring"
    draw = random.Random(4711)
    state: dict[str, bytes] = {}
    changes = 0
    for life in range(LIVES):
        # The first lives end while the keyring is being made or opened.
        steps = draw.randrange(3, 14) if life < 3 else draw.randrange(14, 160)
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(directory), str(life), str(steps)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert process.returncode == -signal.SIGKILL, process.stderr
        possible = [state]
        for line in (text.split() for text in process.stdout.splitlines() if text != "open"):
            possible = possible[-1:] if line == ["done"] else [state, after(state, line)]
            state = possible[-1]
            changes += 1
        keyring = FileKeyring(directory)
        found = {key_id: keyring.get(key_id) for key_id in keyring.ids()}
        keyring.close()
        assert found in possible, f"life {life}"
        assert len(list(directory.iterdir())) == 4
        state = found
    assert changes > 20
    assert all(len(key) == aead.KEY_BYTES for key in state.values())
