"""Sealing under a symmetric key: AES-256-GCM, a random 96-bit nonce in front of the ciphertext.

A random nonce is safe for 2^32 messages under one key (NIST SP 800-38D, 8.3); ours seal tens each.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from overt.errors import Rejected
from overt.reasons import Reason

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


def new_key() -> bytes:
    """32 bytes from the system's generator."""
    return os.urandom(KEY_BYTES)


def encrypt(key: bytes, plaintext: bytes, *, bound_to: bytes) -> bytes:
    """nonce + ciphertext + tag. It opens only with the same `bound_to`, which is not stored: bind what it is
    and where it belongs (an id, a subject), so that one sealed thing cannot be put in another's place."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(_checked(key)).encrypt(nonce, plaintext, bound_to)


def decrypt(key: bytes, sealed: bytes, *, bound_to: bytes) -> bytes:
    """The plaintext; Rejected(BAD_MESSAGE) for another key, another binding, or altered bytes."""
    cipher = AESGCM(_checked(key))
    if len(sealed) >= NONCE_BYTES + TAG_BYTES:
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
        except InvalidTag:
            pass
    raise Rejected(Reason.BAD_MESSAGE, "sealed under another key or for another place, or altered")


def _checked(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise Rejected(Reason.BAD_FIELD, f"a key has {KEY_BYTES} bytes")
    return key
