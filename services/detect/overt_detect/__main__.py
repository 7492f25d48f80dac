"""`python -m overt_detect`"""

from __future__ import annotations

from overt.runtime import main

from overt_detect.app import build
from overt_detect.settings import Settings

if __name__ == "__main__":
    main("detect", Settings, build)
