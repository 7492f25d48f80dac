"""ONNX Runtime with its telemetry off: the only place of detect that imports it.

Version 1.32 on Linux writes a device id and a database of events below ~/.cache/Microsoft as soon as its library
is loaded, to send them later. The variable is read at that moment, so it is set just before; switching it off
afterwards is too late. A test watches the home directory.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

__all__ = ["onnxruntime"]
