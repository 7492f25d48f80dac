"""`python -m overt_gateway`."""

from __future__ import annotations

from overt.runtime import main

from overt_gateway.app import build
from overt_gateway.settings import Settings

if __name__ == "__main__":
    main("gateway", Settings, build)
