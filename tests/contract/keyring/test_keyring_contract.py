"""What every keyring promises: the one in a directory and the one in memory."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from overt.crypto import FileKeyring, KeyKind, Keyring, aead, sealing
from overt.errors import Fatal, Rejected
from overt.reasons import Reason
from overt.testing.keyring import MemoryKeyring

pytestmark = pytest.mark.contract

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["file", "memory"])
def keyring(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keyring]:
    makers: dict[str, Callable[[], Keyring]] = {
        "file": lambda: FileKeyring(tmp_path / "keyring", now=lambda: AT),
        "memory": lambda: MemoryKeyring(now=lambda: AT),
    }
    keyring = makers[request.param]()
    yield keyring
    keyring.close()


def reason_of(call: Callable[[], object]) -> Reason:
    with pytest.raises(Rejected) as caught:
        call()
    return caught.value.reason


def test_a_created_key_can_be_had(keyring: Keyring) -> None:
    key = keyring.create("deployment/d/list/1")
    assert len(key) == aead.KEY_BYTES
    assert keyring.get("deployment/d/list/1") == key
    assert keyring.create("deployment/d/list/2") != key


def test_a_sealing_key_is_a_private_key(keyring: Keyring) -> None:
    private = keyring.create("deployment/d/sealing", kind=KeyKind.SEALING)
    sealed = sealing.seal(sealing.public_of(private), b"evidence")
    assert sealing.unseal(keyring.get("deployment/d/sealing"), sealed) == b"evidence"


def test_put_keeps_the_key_given(keyring: Keyring) -> None:
    key = aead.new_key()
    keyring.put("alert/d/1", key)
    assert keyring.get("alert/d/1") == key


def test_an_id_is_taken_once(keyring: Keyring) -> None:
    key = keyring.create("alert/d/1")
    assert reason_of(lambda: keyring.create("alert/d/1")) is Reason.CONFLICT
    assert reason_of(lambda: keyring.put("alert/d/1", aead.new_key())) is Reason.CONFLICT
    assert keyring.get("alert/d/1") == key


def test_unknown_key(keyring: Keyring) -> None:
    assert reason_of(lambda: keyring.get("alert/d/1")) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("key_id", ["", "/a", " a", "a b", "a\n", "é", "a" * 256, "a\x00b", "../a"])
def test_ids_that_are_none(keyring: Keyring, key_id: str) -> None:
    assert reason_of(lambda: keyring.create(key_id)) is Reason.BAD_FIELD
    assert keyring.ids() == ()


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_keys_that_are_none(keyring: Keyring, size: int) -> None:
    assert reason_of(lambda: keyring.put("a", b"k" * size)) is Reason.BAD_FIELD


def test_ids_by_prefix_sorted(keyring: Keyring) -> None:
    for key_id in ("alert/d2/1", "alert/d/2", "alert/d/1", "deployment/d/sealing"):
        keyring.create(key_id)
    assert keyring.ids("alert/d/") == ("alert/d/1", "alert/d/2")
    assert keyring.ids("alert/d") == ("alert/d/1", "alert/d/2", "alert/d2/1")
    assert len(keyring.ids()) == 4
    assert keyring.ids("nothing") == ()


def test_destroy_takes_these_and_leaves_the_others(keyring: Keyring) -> None:
    keys = {f"alert/d/{n}": keyring.create(f"alert/d/{n}") for n in range(5)}
    destruction = keyring.destroy("alert/d/1", "alert/d/3")
    assert destruction.key_ids == ("alert/d/1", "alert/d/3")
    assert destruction.already_gone == ()
    assert destruction.destroyed_at == AT
    for gone in ("alert/d/1", "alert/d/3"):
        assert reason_of(functools.partial(keyring.get, gone)) is Reason.UNKNOWN_KEY
    assert keyring.ids() == ("alert/d/0", "alert/d/2", "alert/d/4")
    assert all(keyring.get(key_id) == keys[key_id] for key_id in keyring.ids())


def test_a_destruction_says_what_it_proves(keyring: Keyring) -> None:
    keyring.create("a")
    destruction = keyring.destroy("a")
    assert destruction.medium
    assert destruction.proves.endswith(".")
    assert len(destruction.proves) > 40


def test_destroying_again_is_no_error(keyring: Keyring) -> None:
    keyring.create("a")
    keyring.destroy("a")
    destruction = keyring.destroy("a", "never", "a")
    assert destruction.key_ids == ()
    assert destruction.already_gone == ("a", "never")
    assert keyring.destroy().key_ids == ()


def test_destroying_some_that_are_gone_destroys_the_rest(keyring: Keyring) -> None:
    keyring.create("a")
    keyring.create("b")
    destruction = keyring.destroy("x", "b", "b")
    assert (destruction.key_ids, destruction.already_gone) == (("b",), ("x",))
    assert keyring.ids() == ("a",)


def test_a_destroyed_id_can_be_used_again_with_another_key(keyring: Keyring) -> None:
    first = keyring.create("deployment/d/list/1")
    keyring.destroy("deployment/d/list/1")
    assert keyring.create("deployment/d/list/1") != first


def test_all_can_be_destroyed(keyring: Keyring) -> None:
    keyring.create("a")
    keyring.create("b", kind=KeyKind.SEALING)
    assert keyring.destroy(*keyring.ids()).key_ids == ("a", "b")
    assert keyring.ids() == ()


def test_repr_holds_no_key(keyring: Keyring) -> None:
    key = keyring.create("alert/d/1")
    destruction = keyring.destroy("alert/d/1")
    for text in (repr(keyring), str(keyring), repr(destruction)):
        assert key.hex() not in text
        assert repr(key)[2:-1] not in text


def test_what_is_closed_refuses(keyring: Keyring) -> None:
    keyring.create("a")
    keyring.close()
    keyring.close()
    # Never UNKNOWN_KEY: somebody would take it for destroyed.
    for call in (lambda: keyring.get("a"), lambda: keyring.create("b"), lambda: keyring.destroy("a"), keyring.ids):
        with pytest.raises(Fatal, match="closed"):
            call()


def test_many_threads_at_once(keyring: Keyring) -> None:
    """Each thread creates its keys, reads them back and destroys every second one."""
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            keys = {f"alert/{thread}/{n}": keyring.create(f"alert/{thread}/{n}") for n in range(6)}
            assert all(keyring.get(key_id) == key for key_id, key in keys.items())
            keyring.destroy(*sorted(keys)[::2])
            assert keyring.ids(f"alert/{thread}/") == tuple(sorted(keys)[1::2])
        except BaseException as error:  # noqa: BLE001  handed to the test below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures
    assert len(keyring.ids()) == 4 * 3
