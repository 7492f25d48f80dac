"""The bus: core NATS, JetStream, key-value and objects behind one port. The only importer of nats."""

from __future__ import annotations

from overt.bus.config import password_variable, server_config, server_password
from overt.bus.consumer import Redelivery
from overt.bus.nats import BusSettings, NatsBus, connect
from overt.bus.opening import BusAddress
from overt.bus.port import (
    Bus,
    Change,
    Delivery,
    KeyValue,
    ObjectStore,
    Payload,
    Steward,
    Stored,
    Subscription,
    Watch,
)

__all__ = [
    "Bus",
    "BusAddress",
    "BusSettings",
    "Change",
    "Delivery",
    "KeyValue",
    "NatsBus",
    "ObjectStore",
    "Payload",
    "Redelivery",
    "Steward",
    "Stored",
    "Subscription",
    "Watch",
    "connect",
    "password_variable",
    "server_config",
    "server_password",
]
