#!/bin/sh
# Builds the environment that every verb of the Makefile runs in, from nothing but a Python 3.11 and the lock.
# Every wheel is checked against its hash; our own code is installed in place.
set -eu
venv=$1
python=${PYTHON:-python3}

"$python" - <<'PY' || exit 1
import sys
if sys.version_info < (3, 11):
    sys.exit("overt needs Python 3.11 or newer, this is %d.%d. Say which to use: make PYTHON=python3.11 demo" % sys.version_info[:2])
PY

say() { printf 'environment: %s\n' "$*"; }

if [ ! -x "$venv/bin/python" ]; then
    say "creating $venv"
    "$python" -m venv "$venv" || { say "could not create $venv. On Debian: apt-get install python3-venv"; exit 1; }
fi
say "installing $(grep -c '^[a-z0-9].*==' requirements.lock) pinned packages (one to three minutes the first time)"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
say "installing overt itself"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
touch "$venv/.built"
say "ready"
