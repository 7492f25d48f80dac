"""Match as a process of its own: how it refuses to start, how it ends, and what it leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from overt.api.control.v1 import control_pb2 as control
from overt.api.match.v1 import match_pb2 as pb
from overt.reasons import Reason
from overt.subjects import DEPLOYMENTS
from support.waiting import until
from support.watchlists import DEPLOYMENT, like, unit

pytestmark = pytest.mark.integration

Site = Any


@contextmanager
def process(site: Site, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    address_file = site.directory / "address"
    address_file.unlink(missing_ok=True)
    environment = {"PATH": os.environ["PATH"], **site.environment, "OVERT_ADDRESS_FILE": str(address_file)}
    with subprocess.Popen(
        [sys.executable, "-m", "overt_match"],
        env=environment | changes,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def files_below(directory: str) -> list[Path]:
    return [p for p in Path(directory).rglob("*") if p.is_file()]


async def test_killed_it_leaves_nothing_and_comes_back_with_its_list(site: Site) -> None:
    index_dir = site.environment["OVERT_INDEX_DIR"]
    address_file = site.directory / "address"
    templates = unit(500, 1)
    with process(site) as first:
        await until(address_file.exists, seconds=30)
        rpc, channel = site.client(address_file.read_text())
        await site.imported(type("replica", (), {"rpc": rpc})(), templates)
        await rpc.Seal(pb.SealRequest(deployment=DEPLOYMENT))
        await site.set(control.Deployment.STATE_ACTIVE)
        await site.answers(templates[0], when=lambda r: not r.refused)
        await channel.close()
        first.send_signal(signal.SIGKILL)
        first.wait(10)
    assert files_below(index_dir) == []

    with process(site) as second:
        await until(address_file.exists, seconds=30)
        probes = (like(templates[7], 0.8), like(templates[7], 0.7))
        reply = await site.answers(*probes, when=lambda r: bool(r.decision))
        assert reply.decision == pb.SearchReply.DECISION_AGREED
        assert len(list(Path(index_dir).glob("*/*"))) == 1
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0
        assert second.stderr is not None
        told = second.stderr.read().decode()
    assert list(Path(index_dir).glob("*/*")) == []
    assert not address_file.exists()
    for hidden in ("REF-", "warrant", "custody", "password"):
        assert hidden not in told
    assert "list_loaded" in told


async def test_an_index_directory_on_a_disk_is_refused(site: Site, tmp_path: Path) -> None:
    with process(site, OVERT_INDEX_DIR=str(tmp_path / "index")) as started:
        assert started.wait(30) == 2
        assert started.stderr is not None
        told = started.stderr.read().decode()
    assert "OVERT_INDEX_DIR must be on memory-backed storage" in told
    assert "Traceback" not in told


async def test_faults_of_the_settings_are_told_together(site: Site) -> None:
    with process(site, OVERT_INDEX_DIR="relative", OVERT_ALERTS_ADDRESS="", OVERT_LISTEN="0.0.0.0:1") as started:
        assert started.wait(30) == 2
        assert started.stderr is not None
        told = started.stderr.read().decode()
    for name in ("OVERT_INDEX_DIR", "OVERT_ALERTS_ADDRESS", "OVERT_LISTEN"):
        assert name in told


async def test_a_deployment_that_is_gone_from_the_bucket_is_not_searched(site: Site) -> None:
    replica = await site.start()
    templates = unit(20, 1)
    await site.active(replica, templates)
    bucket = site.gateway.bucket(DEPLOYMENTS)
    revision, _ = await bucket.get(DEPLOYMENT)
    await bucket.delete(DEPLOYMENT, revision)
    await site.answers(templates[0], when=lambda r: r.refused == Reason.UNKNOWN_DEPLOYMENT)
    await replica.stop()
