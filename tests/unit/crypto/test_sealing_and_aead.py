"""Sealed boxes and AES-GCM: what opens, what does not, and that a failure tells nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from overt.crypto import aead, sealing
from overt.errors import Rejected
from overt.reasons import Reason

pytestmark = pytest.mark.unit

PRIVATE, PUBLIC = sealing.generate_key_pair()
KEY = bytes(range(32))


def reason_of(call: object, *args: object, **kwargs: object) -> Reason:
    with pytest.raises(Rejected) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    return caught.value.reason


@given(st.binary(max_size=3000))
def test_what_was_sealed_opens(plaintext: bytes) -> None:
    sealed = sealing.seal(PUBLIC, plaintext)
    assert len(sealed) == len(plaintext) + sealing.OVERHEAD_BYTES
    assert sealing.unseal(PRIVATE, sealed) == plaintext


def test_key_pairs() -> None:
    assert len(PRIVATE) == len(PUBLIC) == sealing.KEY_BYTES
    assert sealing.public_of(PRIVATE) == PUBLIC
    assert sealing.generate_key_pair() != sealing.generate_key_pair()


def test_the_same_plaintext_never_looks_the_same() -> None:
    assert sealing.seal(PUBLIC, b"face") != sealing.seal(PUBLIC, b"face")
    assert aead.encrypt(KEY, b"face", bound_to=b"") != aead.encrypt(KEY, b"face", bound_to=b"")


def test_neither_the_public_key_nor_another_private_key_opens() -> None:
    sealed = sealing.seal(PUBLIC, b"face")
    other, _ = sealing.generate_key_pair()
    assert reason_of(sealing.unseal, other, sealed) is Reason.BAD_MESSAGE
    assert reason_of(sealing.unseal, PUBLIC, sealed) is Reason.BAD_MESSAGE


@pytest.mark.parametrize("size", range(0, 60, 7))
def test_a_sealed_message_cut_short_does_not_open(size: int) -> None:
    sealed = sealing.seal(PUBLIC, b"a face" * 3)
    assert reason_of(sealing.unseal, PRIVATE, sealed[:size]) is Reason.BAD_MESSAGE


def test_every_bit_counts() -> None:
    sealed = sealing.seal(PUBLIC, b"face")
    wrapped = aead.encrypt(KEY, b"face", bound_to=b"here")
    for at in range(len(sealed)):
        assert reason_of(sealing.unseal, PRIVATE, _flipped(sealed, at)) is Reason.BAD_MESSAGE
    for at in range(len(wrapped)):
        assert reason_of(aead.decrypt, KEY, _flipped(wrapped, at), bound_to=b"here") is Reason.BAD_MESSAGE


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"x" * 33])
def test_keys_of_the_wrong_length(key: bytes) -> None:
    assert reason_of(sealing.seal, key, b"") is Reason.BAD_FIELD
    assert reason_of(sealing.unseal, key, b"") is Reason.BAD_FIELD
    assert reason_of(sealing.public_of, key) is Reason.BAD_FIELD
    assert reason_of(aead.encrypt, key, b"", bound_to=b"") is Reason.BAD_FIELD
    assert reason_of(aead.decrypt, key, b"", bound_to=b"") is Reason.BAD_FIELD


def test_a_key_of_low_order_seals_nothing() -> None:
    # Everybody can compute the secret shared with it.
    assert reason_of(sealing.seal, bytes(32), b"face") is Reason.BAD_FIELD


@given(st.binary(max_size=3000), st.binary(max_size=100))
def test_what_was_encrypted_decrypts(plaintext: bytes, bound_to: bytes) -> None:
    sealed = aead.encrypt(KEY, plaintext, bound_to=bound_to)
    assert len(sealed) == len(plaintext) + aead.NONCE_BYTES + aead.TAG_BYTES
    assert aead.decrypt(KEY, sealed, bound_to=bound_to) == plaintext


def test_another_place_or_key_does_not_decrypt() -> None:
    sealed = aead.encrypt(KEY, b"face", bound_to=b"here")
    assert reason_of(aead.decrypt, KEY, sealed, bound_to=b"there") is Reason.BAD_MESSAGE
    assert reason_of(aead.decrypt, KEY, sealed, bound_to=b"") is Reason.BAD_MESSAGE
    assert reason_of(aead.decrypt, aead.new_key(), sealed, bound_to=b"here") is Reason.BAD_MESSAGE


@pytest.mark.parametrize("size", range(0, 32, 5))
def test_a_ciphertext_cut_short_does_not_decrypt(size: int) -> None:
    sealed = aead.encrypt(KEY, b"face", bound_to=b"")
    assert reason_of(aead.decrypt, KEY, sealed[:size], bound_to=b"") is Reason.BAD_MESSAGE


def test_new_keys_are_new() -> None:
    assert len({aead.new_key() for _ in range(100)}) == 100


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
