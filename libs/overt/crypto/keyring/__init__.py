"""The keyring: holds keys, and destroys them so that it can be said what that proves."""

from __future__ import annotations

from overt.crypto.keyring.file import FileKeyring
from overt.crypto.keyring.port import Destruction, KeyKind, Keyring

__all__ = ["Destruction", "FileKeyring", "KeyKind", "Keyring"]
