"""What lies unread between a source and its reader, and for how long."""

from __future__ import annotations

import pytest
from overt_lab.bench.unread import age_ms, queued

pytestmark = pytest.mark.unit

_TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 0100007F:1F90 0100007F:C350 01 00000010:00000000 00:00000000 00000000     0
   2: 0100007F:C350 0100007F:1F90 01 00000000:00000100 00:00000000 00000000     0
   3: 0100007F:C351 0100007F:2000 01 00000000:00009999 00:00000000 00000000     0
"""


def test_both_ends_of_a_connection_are_counted() -> None:
    assert queued([(8080, 50000), (8080, 50001)], _TABLE) == {(8080, 50000): 0x110}


def test_no_connection_nothing_unread() -> None:
    assert queued([], _TABLE) == {}


def test_age_is_that_of_the_oldest_unread_byte() -> None:
    written = [(100, 1.0), (200, 1.04), (300, 1.08)]
    assert age_ms(written, 0, 1.1) == 0
    assert age_ms(written, 1, 1.1) == pytest.approx(20)
    assert age_ms(written, 101, 1.1) == pytest.approx(60)
    assert age_ms(written, 5000, 1.1) == pytest.approx(100)
    assert age_ms([], 5, 1.1) == 0
