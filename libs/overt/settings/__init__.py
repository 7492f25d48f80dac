"""A service's settings: read once from OVERT_* variables, checked as a whole, then never changed."""

from __future__ import annotations

from overt.settings._load import load
from overt.settings._service import ServiceSettings
from overt.settings.addresses import SocketPath

__all__ = ["ServiceSettings", "SocketPath", "load"]
