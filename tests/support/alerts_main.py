"""The alerts service with faults: `python -m support.alerts_main K` kills itself (-9) at the K-th step that changes it.

Everything else is the real service. 0: never. Redelivery is quick, so that a test need not wait half a minute.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from typing import cast

from overt.bus import NatsBus, connect
from overt.bus.nats import Redelivery
from overt.crypto import FileKeyring
from overt.runtime import ServiceApp, SystemClock, main
from overt_alerts.app import AlertsApp
from overt_alerts.settings import Settings
from support.faults import Faults, FaultyBus, FaultyKeyring

QUICK = Redelivery(ack_wait=timedelta(seconds=1), first=timedelta(milliseconds=100))


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def build(settings: Settings) -> ServiceApp:
    faults = Faults(kill, int(sys.argv[1]))

    async def connected() -> NatsBus:
        bus = await connect(settings, name="alerts", redelivery=QUICK)
        return cast("NatsBus", FaultyBus(bus, faults))

    keyring = FaultyKeyring(FileKeyring(settings.data_dir / "keyring"), faults)
    return AlertsApp(settings, keyring=keyring, connect=connected, clock=SystemClock())


if __name__ == "__main__":
    main("alerts", Settings, build)
