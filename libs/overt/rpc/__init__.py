"""gRPC as Overt uses it: asynchronous, every call authorised, traced, and ended with a reason that is a code."""

from __future__ import annotations

from overt.address import Address
from overt.rpc.calling import caller
from overt.rpc.client import connect, token_from_file
from overt.rpc.errors import CREDENTIALS_REFUSED, REASON_KEY, to_overt_error, to_peer_error
from overt.rpc.limits import MAX_MESSAGE_BYTES, MAX_WATCHLISTS_MESSAGE_BYTES
from overt.rpc.server import RpcServer
from overt.rpc.tls import TlsFiles

__all__ = [
    "CREDENTIALS_REFUSED",
    "MAX_MESSAGE_BYTES",
    "MAX_WATCHLISTS_MESSAGE_BYTES",
    "REASON_KEY",
    "Address",
    "RpcServer",
    "TlsFiles",
    "caller",
    "connect",
    "to_overt_error",
    "to_peer_error",
    "token_from_file",
]
