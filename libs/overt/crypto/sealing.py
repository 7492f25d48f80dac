"""Sealing to a deployment's public key (libsodium sealed box: X25519, XSalsa20-Poly1305).

Whoever holds the public key can seal and nobody but the private key's holder can open: ingest cannot read
back what it sealed. Nothing tells who sealed it; where that matters the transport's permissions must say.
"""

from __future__ import annotations

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from overt.errors import Rejected
from overt.reasons import Reason

KEY_BYTES = 32
OVERHEAD_BYTES = 48
"""A sealed message is this much longer than its plaintext."""


def generate_key_pair() -> tuple[bytes, bytes]:
    """(private, public), 32 bytes each."""
    private = PrivateKey.generate()
    return bytes(private), bytes(private.public_key)


def public_of(private: bytes) -> bytes:
    """The public key of a private one, 32 bytes."""
    return bytes(PrivateKey(_checked(private)).public_key)


def seal(public: bytes, plaintext: bytes) -> bytes:
    """`plaintext` for the eyes of the private key's holder. Rejected(BAD_FIELD) if `public` is no key."""
    try:
        return bytes(SealedBox(PublicKey(_checked(public))).encrypt(plaintext))
    except CryptoError:  # a key of low order
        raise Rejected(Reason.BAD_FIELD, "this is not a usable public key") from None


def unseal(private: bytes, sealed: bytes) -> bytes:
    """The plaintext; Rejected(BAD_MESSAGE) if it was altered or sealed to another key."""
    key = PrivateKey(_checked(private))
    try:
        return bytes(SealedBox(key).decrypt(sealed))
    except (CryptoError, ValueError, TypeError):
        raise Rejected(Reason.BAD_MESSAGE, "sealed to another key, or altered") from None


def _checked(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise Rejected(Reason.BAD_FIELD, f"a key has {KEY_BYTES} bytes")
    return key
