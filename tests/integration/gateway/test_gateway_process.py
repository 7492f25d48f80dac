"""The gateway as its own process, on a real nats-server, with gRPC peers that answer from memory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import pytest
from overt.api.alerts.v1 import alerts_pb2, alerts_pb2_grpc
from overt.api.control.v1 import control_pb2
from overt.api.detect.v1 import detect_pb2, detect_pb2_grpc
from overt.api.ingest.v1 import ingest_pb2
from overt.api.match.v1 import match_pb2, match_pb2_grpc
from overt.bus import NatsBus, connect
from overt.errors import Rejected
from overt.ledger import Book, CameraAccount
from overt.ledger.wire import to_receipt
from overt.permissions import Role
from overt.reasons import Reason
from overt.runtime.supervisor import on_a_leash
from overt.subjects import DEPLOYMENTS, LEDGER, STATUS, Service
from overt.testing.rpc import Served, Tokens, serving
from support.nats import NatsServer
from support.served_gateway import packed_list
from support.waiting import until

pytestmark = pytest.mark.integration


@dataclass
class Peers(
    alerts_pb2_grpc.AlertsServicer,
    alerts_pb2_grpc.KeysServicer,
    match_pb2_grpc.WatchlistsServicer,
    detect_pb2_grpc.DetectServicer,
):
    """alerts, match and detect in one server."""

    bus: NatsBus
    entries: list[match_pb2.Entry] = field(default_factory=list)
    sealed: bool = False
    alerts: asyncio.Queue[alerts_pb2.AlertEvent] = field(default_factory=asyncio.Queue)

    async def Prepare(self, request: Any, context: Any) -> alerts_pb2.PrepareReply:  # noqa: N802
        await self.bus.steward.ensure(request.deployment)
        return alerts_pb2.PrepareReply(sealing_public_key=bytes(range(32)))

    async def Enrol(self, request: Any, context: Any) -> detect_pb2.EnrolReply:  # noqa: N802
        if request.image == b"crowd":
            return detect_pb2.EnrolReply(reason="several_faces")
        return detect_pb2.EnrolReply(template=bytes(512), reference_jpeg=request.image)

    async def Describe(self, request: Any, context: Any) -> detect_pb2.DescribeReply:  # noqa: N802
        return detect_pb2.DescribeReply(model_digest="m")

    async def Import(self, request: Any, context: Any) -> match_pb2.ImportReply:  # noqa: N802
        assert request.model_digest == "m"
        self.entries.extend(request.entries)
        return match_pb2.ImportReply(revision=1, size=len(self.entries))

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802
        if isinstance(request, alerts_pb2.ListRequest):
            return alerts_pb2.ListReply()
        return match_pb2.ListReply(
            revision=1,
            sealed=self.sealed,
            entries=[match_pb2.EntrySummary(entry_id="e", subject_ref=e.subject_ref) for e in self.entries],
        )

    async def Seal(self, request: Any, context: Any) -> match_pb2.SealReply:  # noqa: N802
        self.sealed = True
        return match_pb2.SealReply(revision=2, digest="d", size=len(self.entries))

    async def GetEvidence(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise Rejected(Reason.EXPIRED, "it has expired")

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise RuntimeError("a defect over there")

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[alerts_pb2.AlertEvent]:  # noqa: N802
        while True:
            yield await self.alerts.get()


@dataclass
class Running:
    """A gateway's process and what is around it."""

    process: asyncio.subprocess.Process
    url: str
    peers: Peers
    tokens: Tokens
    nats: NatsServer
    rpc: Served
    environment: dict[str, str]

    def client(self, role: Role) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {self.tokens.of(role)}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=15)


def _environment(folder: Path, nats: NatsServer, tokens: Tokens, peers: str, **more: str) -> dict[str, str]:
    secrets = {
        "issuer.pem": tokens.private_pem,
        "issuer.pub": tokens.public_pem,
        "password": nats.password(Service.GATEWAY).encode(),
        "token": tokens.of(Role.SERVICE_GATEWAY).encode(),
        "codes": b"",
    }
    for name, content in secrets.items():
        (folder / name).write_bytes(content)
    return {
        "PATH": os.environ["PATH"],
        "OVERT_STRICT_TELEMETRY": "1",
        "OVERT_ADDRESS_FILE": str(folder / "address"),
        "OVERT_NATS_URL": nats.url,
        "OVERT_NATS_USER": "gateway",
        "OVERT_NATS_PASSWORD_FILE": str(folder / "password"),
        "OVERT_ISSUER_PUBLIC_KEY_FILE": str(folder / "issuer.pub"),
        "OVERT_ISSUER_PRIVATE_KEY_FILE": str(folder / "issuer.pem"),
        "OVERT_LOGIN_CODE_FILE": str(folder / "codes"),
        "OVERT_SERVICE_TOKEN_FILE": str(folder / "token"),
        "OVERT_ALERTS_ADDRESS": peers,
        "OVERT_MATCH_ADDRESS": peers,
        "OVERT_DETECT_ADDRESS": peers,
        **more,
    }


async def _spawn(environment: dict[str, str], log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as file:
        return await asyncio.create_subprocess_exec(
            *on_a_leash(sys.executable, "-m", "overt_gateway"), env=environment, stdout=file, stderr=file
        )


@contextlib.asynccontextmanager
async def _as(nats: NatsServer, service: Service) -> AsyncIterator[NatsBus]:
    bus = await connect(nats.address(service), name=service.value)
    try:
        yield bus
    finally:
        await bus.close()


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    nats = NatsServer(tmp_path / "nats")
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(nats.stop)
        nats.start()
        alerts = await stack.enter_async_context(_as(nats, Service.ALERTS))
        await alerts.steward.ensure_operation()
        peers = Peers(alerts)

        def register(server: grpc.aio.Server) -> None:
            alerts_pb2_grpc.add_AlertsServicer_to_server(peers, server)
            alerts_pb2_grpc.add_KeysServicer_to_server(peers, server)
            match_pb2_grpc.add_WatchlistsServicer_to_server(peers, server)
            detect_pb2_grpc.add_DetectServicer_to_server(peers, server)

        rpc = await stack.enter_async_context(serving(register))
        environment = _environment(tmp_path, nats, rpc.tokens, rpc.address)
        process = await _spawn(environment, tmp_path / "log")
        address = tmp_path / "address"
        try:
            await until(lambda: address.exists() or process.returncode is not None, seconds=30)
            assert process.returncode is None, (tmp_path / "log").read_text()
            yield Running(process, address.read_text().strip(), peers, rpc.tokens, nats, rpc, environment)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 20)


async def _active(running: Running) -> None:
    async with running.client(Role.APPLICANT) as applicant:
        body = {"name": "Market", "id": "market", "cameras": [{"id": "gate", "name": "Gate"}]}
        (await applicant.post("/v1/deployments", json=body)).raise_for_status()
        archive = packed_list({"case-1": b"good", "case-2": b"crowd"})
        answer = await applicant.post("/v1/deployments/market/list/import", files={"archive": archive})
        assert answer.status_code == 200, answer.text
        result = answer.json()
        assert (result["accepted"], result["size"]) == (1, 1)
        assert [r["reason"] for r in result["refused"]] == ["several_faces"]
    async with running.client(Role.OPERATOR) as operator:
        (await operator.post("/v1/deployments/market/start")).raise_for_status()


async def test_a_deployment_from_draft_to_ended(running: Running) -> None:
    await _active(running)
    assert running.peers.entries[0].subject_ref == "case-1"
    stored = await running.peers.bus.bucket(DEPLOYMENTS).get("market")
    assert stored is not None
    message = control_pb2.Deployment.FromString(stored[1])
    assert message.state == control_pb2.Deployment.STATE_ACTIVE
    assert message.sealing_public_key == bytes(range(32))
    assert (message.list_digest, message.list_size) == ("d", 1)
    assert message.authority == "unauthorised: development"
    async with running.client(Role.OPERATOR) as operator:
        assert (await operator.get("/v1/deployments")).json()["deployments"][0]["state"] == "active"
        assert (await operator.get("/readyz")).json()["status"] == "ready"
        (await operator.post("/v1/deployments/market/end")).raise_for_status()
        assert (await operator.get("/v1/deployments/market")).json()["state"] == "ended"


async def test_what_ingest_says_is_shown(running: Running) -> None:
    await _active(running)
    now = datetime.now(UTC)
    async with _as(running.nats, Service.INGEST) as ingest, running.client(Role.AUDITOR) as auditor:
        status = ingest_pb2.CameraStatus(
            deployment="market", camera="gate", sight=ingest_pb2.CameraStatus.SIGHT_SEEING, faces_seen=7
        )

        async def seen() -> bool:
            await ingest.publish(STATUS.of("market", "gate"), status)
            cameras = (await auditor.get("/v1/deployments/market/cameras")).json()["cameras"]
            return bool(cameras[0]["sight"] == "seeing" and cameras[0]["faces_seen"] == 7)

        await until(seen)
        assert (await auditor.get("/v1/deployments/market/ledger")).json()["final"] is False
        for epoch, (frames, final) in {"e1": (10, True), "e2": (5, False)}.items():
            book = Book(entered=frames, destroyed={"no_face": frames})
            account = CameraAccount("market", "gate", epoch, 1, now, now, frames=book, faces_seen=2, final=final)
            await ingest.append(LEDGER.of("market", "gate", epoch), to_receipt(account))
        ledger = (await auditor.get("/v1/deployments/market/ledger")).json()
        assert (ledger["frames_in"], ledger["destroyed"]["no_face"], ledger["conserved"]) == (15, 15, True)
        assert (ledger["faces_seen"], ledger["open_epochs"], ledger["final"]) == (4, 1, False)
        assert ledger["cameras"]["gate"]["frames_in"] == 15
        assert ledger["authority"] == "unauthorised: development"


async def test_refusals_and_defects_of_peers(running: Running) -> None:
    await _active(running)
    async with running.client(Role.OPERATOR) as operator:
        base = "/v1/deployments/market/alerts"
        answer = await operator.get(f"{base}/x/evidence/probe")
        assert (answer.status_code, answer.json()["reason"]) == (410, "expired")
        answer = await operator.get(f"{base}/x")
        assert (answer.status_code, answer.json()["reason"]) == (500, "internal")
        assert "defect" not in answer.text
        await running.rpc.server.stop(0)
        answer = await operator.get(base)
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
        assert "alerts" in answer.json()["detail"]
        assert (await operator.get("/v1/deployments/market")).status_code == 200


async def test_a_stop_tells_listeners_and_exits_clean(running: Running, tmp_path: Path) -> None:
    await _active(running)
    events: list[str] = []
    async with (
        running.client(Role.OPERATOR) as operator,
        operator.stream("GET", "/v1/deployments/market/alerts/stream") as response,
    ):
        event = alerts_pb2.AlertEvent(kind=alerts_pb2.AlertEvent.KIND_RAISED)
        event.alert.alert_id, event.alert.deployment = str(uuid.uuid4()), "market"
        event.alert.state = alerts_pb2.Alert.STATE_OPEN
        event.alert.first_captured_at.GetCurrentTime()
        event.alert.raised_at.GetCurrentTime()
        running.peers.alerts.put_nowait(event)
        async with asyncio.timeout(15):
            async for line in response.aiter_lines():
                if line.startswith("event:"):
                    events.append(line[7:])
                    if events == ["open", "alert"]:
                        running.process.send_signal(signal.SIGTERM)
    assert events == ["open", "alert", "end"]
    async with asyncio.timeout(15):
        assert await running.process.wait() == 0
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert not (tmp_path / "address").exists()
    for line in log.splitlines():
        json.loads(line)
    for secret in ("case-1", running.tokens.private_pem.decode().splitlines()[1], "GET /", "eyJ"):
        assert secret not in log


async def test_windows_close_and_the_store_may_be_away(running: Running) -> None:
    async with running.client(Role.APPLICANT) as applicant:
        ends_at = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
        (await applicant.post("/v1/deployments", json={"name": "short", "ends_at": ends_at})).raise_for_status()

        async def ended() -> bool:
            return bool((await applicant.get("/v1/deployments/short")).json()["state"] == "ended")

        await until(ended, seconds=10)
        running.nats.kill()

        async def unready() -> bool:
            return (await applicant.get("/readyz")).status_code == 503

        await until(unready)
        answer = await applicant.get("/v1/deployments/short")
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
        running.nats.start()

        async def back() -> bool:
            return (await applicant.get("/v1/deployments/short")).status_code == 200

        await until(back, seconds=20)
    assert running.process.returncode is None


async def _refused(environment: dict[str, str], folder: Path) -> tuple[int, str]:
    log = folder / "refused.log"
    process = await _spawn(environment, log)
    async with asyncio.timeout(30):
        code = await process.wait()
    text = log.read_text()
    log.unlink()
    return code, text


async def test_settings_that_cannot_work_are_told_and_exit_2(running: Running, tmp_path: Path) -> None:
    good = {**running.environment, "OVERT_ADDRESS_FILE": str(tmp_path / "other")}
    faulty = {k: v for k, v in good.items() if k not in {"OVERT_ALERTS_ADDRESS", "OVERT_MATCH_ADDRESS"}}
    code, text = await _refused({**faulty, "OVERT_LISTEN": "0.0.0.0:80", "OVERT_LOGIN_MINUTES": "soon"}, tmp_path)
    assert code == 2
    for name in ("OVERT_ALERTS_ADDRESS", "OVERT_MATCH_ADDRESS", "OVERT_LISTEN", "OVERT_LOGIN_MINUTES", "TLS"):
        assert name in text
    assert "Traceback" not in text
    taken = running.url.removeprefix("http://")
    code, text = await _refused({**good, "OVERT_LISTEN": taken}, tmp_path)
    assert code == 2
    assert taken in text
    assert "Traceback" not in text
    (tmp_path / "bad.pem").write_text("no key")
    code, text = await _refused({**good, "OVERT_ISSUER_PRIVATE_KEY_FILE": str(tmp_path / "bad.pem")}, tmp_path)
    assert code == 2
    assert "key" in text
