"""`python -m overt_ingest`"""

from __future__ import annotations

from overt.runtime import main

from overt_ingest.app import build
from overt_ingest.settings import Settings

if __name__ == "__main__":
    main("ingest", Settings, build)
