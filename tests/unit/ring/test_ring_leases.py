"""A ring's slots: leased, overwritten, quarantined, and never two pictures under one generation."""

from __future__ import annotations

import fcntl
import gc
import mmap
import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from overt.errors import Rejected
from overt.reasons import Reason
from overt.ring import MOST_SLOT_BYTES, Lease, Ring, RingView
from overt.ring.layout import PAGE, Layout

pytestmark = pytest.mark.unit

SIZE = 10_000


@pytest.fixture
def ring() -> Iterator[Ring]:
    made = Ring(3, SIZE)
    yield made
    made.close()


def _memory(ring: Ring) -> bytes:
    """All of it, headers included, as anybody with the descriptor sees it."""
    return os.pread(ring.descriptor, os.fstat(ring.descriptor).st_size, 0)


def _slots(ring: Ring) -> bytes:
    return _memory(ring)[PAGE:]


def test_a_slot_is_written_by_its_owner_and_seen_by_a_reader(ring: Ring) -> None:
    lease = ring.lease()
    assert lease is not None
    assert (len(lease.view), lease.view.readonly, lease.index) == (SIZE, False, 0)
    lease.view[:] = bytes(range(250)) * 40
    view = RingView(ring.descriptor)
    with view.slot(lease.index, lease.generation, 500) as seen:
        assert seen.readonly
        assert bytes(seen) == bytes(range(250)) * 2
    view.close()


def test_what_is_released_is_zeros_everywhere(ring: Ring) -> None:
    leases = [ring.lease() for _ in range(3)]
    assert ring.lease() is None
    for lease in leases:
        assert lease is not None
        lease.view[:] = b"\xab" * SIZE
    assert _slots(ring).count(0xAB) == 3 * SIZE, "the check sees what is there"
    for lease in leases:
        assert lease is not None
        lease.release()
        lease.release()
    assert not any(_slots(ring))
    assert ring.lease() is not None


def test_quarantine_overwrites_too_and_waits_for_reclaim(ring: Ring) -> None:
    first = ring.lease()
    assert first is not None
    first.view[:] = b"\xab" * SIZE
    first.quarantine()
    first.release()  # too late: nobody answered for it
    assert not any(_slots(ring))
    others = [ring.lease(), ring.lease()]
    assert {lease.index for lease in others if lease} == {1, 2}
    assert ring.lease() is None
    ring.reclaim()
    again = ring.lease()
    assert again is not None
    assert again.index == first.index


def test_the_lowest_free_slot_is_used_first(ring: Ring) -> None:
    """Memory is taken by slots that were written: one picture, as a rule."""
    for _ in range(5):
        lease = ring.lease()
        assert lease is not None
        assert lease.index == 0
        lease.view[:] = b"\xab" * SIZE
        lease.release()
    assert os.fstat(ring.descriptor).st_blocks * 512 <= 4 * PAGE


def test_every_lease_has_another_generation(ring: Ring) -> None:
    seen = set()
    for _ in range(20):
        lease = ring.lease()
        assert lease is not None
        seen.add(lease.generation)
        lease.release()
    assert len(seen) == 20
    assert 0 not in seen


def test_a_slot_that_was_used_again_is_not_the_slot_one_asked_for(ring: Ring) -> None:
    view = RingView(ring.descriptor)
    first = ring.lease()
    assert first is not None
    first.release()
    second = ring.lease()
    assert second is not None
    assert second.index == first.index
    for index, generation in ((0, first.generation), (0, 0), (1, second.generation), (0, 2**64 - 1)):
        with pytest.raises(Rejected) as stale, view.slot(index, generation, 10):
            pytest.fail("it was shown")
        assert stale.value.reason is Reason.STALE_SLOT
    view.close()


@pytest.mark.parametrize("ending", ["release", "quarantine"])
def test_a_reader_learns_that_the_slot_changed_under_it(ring: Ring, ending: str) -> None:
    view = RingView(ring.descriptor)

    def look(and_then: Callable[[Lease, memoryview], None]) -> None:
        lease = ring.lease()
        assert lease is not None
        lease.view[:] = b"\xab" * SIZE
        with view.slot(lease.index, lease.generation, SIZE) as seen:
            assert bytes(seen[:3]) == b"\xab" * 3
            and_then(lease, seen)

    def it_changes(lease: Lease, seen: memoryview) -> None:
        getattr(lease, ending)()
        assert not any(seen), "it goes on reading, zeros"

    def it_changes_and_one_stumbles(lease: Lease, seen: memoryview) -> None:
        getattr(lease, ending)()
        raise ZeroDivisionError("over zeros")

    def one_stumbles(lease: Lease, seen: memoryview) -> None:
        raise ZeroDivisionError("of its own")

    for what in (it_changes, it_changes_and_one_stumbles):
        with pytest.raises(Rejected) as stale:
            look(what)
        assert stale.value.reason is Reason.STALE_SLOT
    with pytest.raises(ZeroDivisionError):
        look(one_stumbles)
    view.close()


def test_closing_overwrites_what_is_leased_and_what_is_written_after_it(ring: Ring) -> None:
    view = RingView(ring.descriptor)
    lease = ring.lease()
    assert lease is not None
    lease.view[:] = b"\xab" * SIZE
    copy = os.dup(ring.descriptor)
    look = view.slot(lease.index, lease.generation, SIZE)
    seen = look.__enter__()
    ring.close()
    assert not any(seen)
    # A thread that was copying a picture into it is done only now.
    lease.view[:] = b"\xcd" * SIZE
    lease.release()
    assert not any(seen)
    with pytest.raises(Rejected):
        look.__exit__(None, None, None)
    assert ring.descriptor == -1
    assert ring.lease() is None
    assert not any(os.pread(copy, 1 << 20, PAGE))
    os.close(copy)
    view.close()


def test_an_array_that_outlives_its_lease_shows_zeros_and_harms_nobody(ring: Ring) -> None:
    lease = ring.lease()
    assert lease is not None
    array = np.frombuffer(lease.view, np.uint8)
    lease.view[:] = b"\xab" * SIZE
    lease.release()
    assert not array.any()
    ring.close()
    assert not array.any()


def test_an_array_that_outlives_its_view_keeps_the_memory_mapped(ring: Ring) -> None:
    view = RingView(ring.descriptor)
    lease = ring.lease()
    assert lease is not None
    lease.view[:] = b"\xab" * SIZE
    with view.slot(lease.index, lease.generation, SIZE) as seen:
        array = np.frombuffer(seen, np.uint8)
    view.close()
    assert array[17] == 0xAB
    with pytest.raises(Rejected) as closed, view.slot(lease.index, lease.generation, SIZE):
        pytest.fail("it was shown")
    assert closed.value.reason is Reason.NO_RING
    assert len(_areas(ring.descriptor)) == 2
    del array, seen
    assert len(_areas(ring.descriptor)) == 1


def test_nothing_stays_open_or_mapped() -> None:
    def held() -> tuple[int, int]:
        with open("/proc/self/maps") as maps:
            return len(os.listdir("/proc/self/fd")), sum("overt-ring" in line for line in maps)

    gc.collect()
    before = held()
    for _ in range(50):
        ring = Ring(3, SIZE)
        view = RingView(ring.descriptor)
        lease = ring.lease()
        assert lease is not None
        with view.slot(lease.index, lease.generation, SIZE):
            pass
        lease.release()
        ring.close()
        ring.close()
        view.close()
        view.close()
    assert held() == before


# --- what a reader is given -------------------------------------------------------------------------------------


def test_who_has_the_descriptor_can_neither_write_nor_resize(ring: Ring) -> None:
    size = os.fstat(ring.descriptor).st_size
    writable = mmap.PROT_READ | mmap.PROT_WRITE
    with pytest.raises(PermissionError):
        mmap.mmap(ring.descriptor, size, mmap.MAP_SHARED, writable)
    with pytest.raises(PermissionError):
        os.pwrite(ring.descriptor, b"x", PAGE)
    for other in (size - PAGE, size + PAGE):
        with pytest.raises(PermissionError):
            os.ftruncate(ring.descriptor, other)
    with pytest.raises(PermissionError):
        fcntl.fcntl(ring.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    # Opened anew through /proc, as a reader may try: the seals are the memory's, not the descriptor's.
    again = os.open(f"/proc/self/fd/{ring.descriptor}", os.O_RDWR)
    with pytest.raises(PermissionError):
        mmap.mmap(again, size, mmap.MAP_SHARED, writable)
    os.close(again)


def test_its_memory_is_in_no_core_dump_in_no_child_and_never_writable(ring: Ring) -> None:
    view = RingView(ring.descriptor)
    reader, owner = sorted((set(area) for area in _areas(ring.descriptor)), key=lambda flags: "wr" in flags)
    assert {"dd", "dc"} <= owner & reader
    assert "mw" in owner
    assert "mw" not in reader, "not even mprotect makes it writable"
    view.close()


def _areas(descriptor: int) -> list[list[str]]:
    """The flags (proc(5), VmFlags) of every mapping of that memory in this process."""
    found, ours = [], False
    with open("/proc/self/smaps") as smaps:
        for line in smaps:
            words = line.split()
            if "-" in words[0]:
                ours = words[4] == str(os.fstat(descriptor).st_ino) and "overt-ring" in line
            elif ours and words[0] == "VmFlags:":
                found.append(words[1:])
    return found


def test_other_files_are_no_rings() -> None:
    unsealed = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(unsealed, Layout(3, SIZE).head().ljust(Layout(3, SIZE).total_bytes, b"\0"))
    reading, writing = os.pipe()
    fakes = [unsealed, reading, writing, os.open("/dev/zero", os.O_RDONLY), os.open(__file__, os.O_RDONLY)]
    for content in (b"", b"nonsense" * 1000, Layout(3, SIZE).head(), Layout(3, SIZE).head().ljust(PAGE * 20, b"\0")):
        sealed = os.memfd_create("x", os.MFD_ALLOW_SEALING)
        os.write(sealed, content)
        fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        fakes.append(sealed)
    for fake in fakes:
        with pytest.raises(Rejected) as refused:
            RingView(fake)
        assert refused.value.reason is Reason.NO_RING
        os.close(fake)


def test_a_slot_or_size_that_is_not_there(ring: Ring) -> None:
    view = RingView(ring.descriptor)
    lease = ring.lease()
    assert lease is not None
    for index, size in ((3, 10), (-1, 10), (0, 0), (0, -1), (0, SIZE + 1), (2**32 - 1, 10)):
        with pytest.raises(Rejected) as refused, view.slot(index, lease.generation, size):
            pytest.fail("it was shown")
        assert refused.value.reason is Reason.BAD_MESSAGE
    view.close()


@pytest.mark.parametrize(("slots", "size"), [(0, 10), (17, 10), (3, 0), (3, MOST_SLOT_BYTES + 1), (3, -5)])
def test_shapes_out_of_bounds(slots: int, size: int) -> None:
    with pytest.raises(ValueError):
        Ring(slots, size)
    with pytest.raises(ValueError):
        Layout(slots, size)


def test_ids_are_long_random_and_not_in_a_repr(ring: Ring) -> None:
    other = Ring(1, 1)
    assert ring.id != other.id
    assert len(ring.id) == 32
    lease = ring.lease()
    assert lease is not None
    lease.view[:] = b"\xab" * SIZE
    for thing in (ring, lease, RingView(ring.descriptor)):
        assert ring.id not in repr(thing)
        assert "xab" not in repr(thing)
    other.close()
