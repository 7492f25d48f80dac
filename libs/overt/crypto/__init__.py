"""Sealing to a public key, sealing under a symmetric key, and the keyring that holds and destroys keys."""

from __future__ import annotations

from overt.crypto import aead, sealing
from overt.crypto.keyring import Destruction, FileKeyring, KeyKind, Keyring

__all__ = ["Destruction", "FileKeyring", "KeyKind", "Keyring", "aead", "sealing"]
