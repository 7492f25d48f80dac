"""`python -m overt_match`: the service."""

from __future__ import annotations

from overt.runtime import main

from overt_match.app import build
from overt_match.settings import Settings

if __name__ == "__main__":
    main("match", Settings, build)
