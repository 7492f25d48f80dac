"""The issuer's Ed25519 key pair."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from overt.errors import Fatal


def generate_issuer_key() -> tuple[bytes, bytes]:
    """A new Ed25519 pair as (PKCS#8 private PEM, SubjectPublicKeyInfo public PEM). The private one signs
    every token of an operation: it belongs in one file of mode 0600, with the issuer alone."""
    private = Ed25519PrivateKey.generate()
    return (
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        private.public_key().public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        ),
    )


def load_private(pem: bytes) -> Ed25519PrivateKey:
    """Fatal unless it is an unencrypted Ed25519 private key. What was in it is never told."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Fatal("the token issuer's key is not an unencrypted private key in PEM form") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise Fatal("the token issuer's key is not an Ed25519 key")
    return key


def load_public(pem: bytes) -> Ed25519PublicKey:
    """Fatal unless it is an Ed25519 public key."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise Fatal(
            "OVERT_ISSUER_PUBLIC_KEY_FILE does not hold a public key in PEM form: "
            "give the public half of the token issuer's key"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise Fatal("OVERT_ISSUER_PUBLIC_KEY_FILE holds a key that is not Ed25519")
    return key
