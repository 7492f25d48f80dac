"""`python -m overt_alerts`"""

from __future__ import annotations

from overt.runtime import main

from overt_alerts.app import build
from overt_alerts.settings import Settings

if __name__ == "__main__":
    main("alerts", Settings, build)
