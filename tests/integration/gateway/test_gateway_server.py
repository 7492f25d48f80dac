"""Where the gateway listens, what it refuses to, and what a hostile connection gets."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from overt.errors import Fatal
from overt.permissions import Role
from overt_gateway import server as gateway_server
from overt_gateway.doorkeeping import MAX_HEADER_BYTES
from overt_gateway.server import HttpServer
from overt_gateway.testing import FakePeers
from overt_gateway.web_app import build_web_app
from support.served_gateway import served_gateway

pytestmark = pytest.mark.integration


async def _app(scope: object, receive: object, send: object) -> None: ...


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@contextlib.asynccontextmanager
async def running(server: HttpServer) -> AsyncIterator[str]:
    task = asyncio.create_task(server.run())
    try:
        yield await server.open()
    finally:
        server.refuse_new()
        await asyncio.wait_for(task, 10)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8600", "gateway.example:8600"])
async def test_other_hosts_need_tls(listen: str) -> None:
    with pytest.raises(Fatal) as refused:
        await HttpServer(_app, listen).open()
    for word in (listen, "OVERT_TLS_CERTIFICATE_FILE", "OVERT_TLS_KEY_FILE", "127.0.0.1"):
        assert word in str(refused.value)


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Fatal) as refused:
            await HttpServer(_app, listen).open()
    assert listen in str(refused.value)
    assert "taken" in str(refused.value)
    assert "OVERT_LISTEN" in str(refused.value)


@pytest.mark.parametrize("listen", ["unix:/tmp/x.sock", "nonsense", "127.0.0.1:99999", "", "::1:80"])
async def test_what_is_no_address(listen: str) -> None:
    with pytest.raises(Fatal, match="OVERT_LISTEN"):
        await HttpServer(_app, listen).open()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_loopback_and_port_zero(host: str) -> None:
    app, _ = build_web_app(FakePeers().parts())
    if host == "[::1]":
        # has_ipv6 is of Python, not of the machine: a container may have no such address.
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    async with running(HttpServer(app, f"{host}:0")) as url:
        assert url.startswith(f"http://{host}:")
        assert not url.endswith(":0")
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{url}/healthz")).json() == {"status": "alive"}


async def test_tls(certificate: tuple[Path, Path]) -> None:
    app, _ = build_web_app(FakePeers().parts(), encrypted=True)
    server = HttpServer(app, "127.0.0.1:0", certificate=certificate[0], key=certificate[1])
    async with running(server) as url:
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=str(certificate[0]))
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            answer = await client.get(f"{url}/healthz")
        assert "max-age" in answer.headers["strict-transport-security"]
        with contextlib.suppress(httpx.TransportError):
            async with httpx.AsyncClient(trust_env=False) as client:
                plain = await client.get(url.replace("https", "http"))
                assert plain.status_code == 400


async def _raw(url: str, request: bytes) -> bytes:
    host, _, port = url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with contextlib.suppress(ConnectionError):
        writer.write(request)
        await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read(65536)
    writer.close()
    return b""


async def test_hostile_requests_get_an_answer_and_the_next_one_works(tmp_path: Path) -> None:
    async with served_gateway(tmp_path) as served:
        hostile = [
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * (MAX_HEADER_BYTES * 2) + b"\r\n\r\n",
            b"GET /" + b"a" * (MAX_HEADER_BYTES * 2) + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
            b"POST /v1/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        ]
        for request in hostile:
            answer = await _raw(served.url, request + b"\r\n\r\n")
            assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), (request[:40], answer[:80])
            assert b"Traceback" not in answer
        async with served.client(Role.OPERATOR) as client:
            answer = await client.get("/v1/me")
        assert answer.status_code == 200
        assert "server" not in answer.headers


async def test_an_upload_larger_than_is_taken_ends_early(tmp_path: Path) -> None:
    """413 comes while the client is still sending, and its connection is closed."""
    async with served_gateway(tmp_path) as served:
        await served.start_deployment("first")
        async with served.client(Role.APPLICANT) as client:
            (await client.post("/v1/deployments", json={"name": "x", "id": "big"})).raise_for_status()
            sent = 0

            async def endless() -> AsyncIterator[bytes]:
                nonlocal sent
                yield b'--b\r\nContent-Disposition: form-data; name="archive"; filename="x"\r\n\r\n'
                while sent < 200:
                    sent += 1
                    yield bytes(1024 * 1024)

            with contextlib.suppress(httpx.TransportError):
                answer = await client.post(
                    "/v1/deployments/big/list/import",
                    content=endless(),
                    headers={"content-type": "multipart/form-data; boundary=b"},
                )
                assert answer.status_code == 413
                assert answer.json()["reason"] == "message_too_large"
            assert sent < 120
            assert (await client.get("/v1/me")).status_code == 200


async def _closed(reader: asyncio.StreamReader, within: float = 5) -> bool:
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(within):
            while await reader.read(65536):
                pass
            return True
    return False


async def test_who_connects_and_says_nothing_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough for the request that is to find them still there; a client takes a while to make.
    monkeypatch.setattr(gateway_server._Impatient, "head_seconds", 2)
    monkeypatch.setattr(gateway_server, "MAX_CONNECTIONS", 4)
    app, _ = build_web_app(FakePeers().parts())
    async with running(HttpServer(app, "127.0.0.1:0")) as url, httpx.AsyncClient(trust_env=False) as first:
        port = int(url.rpartition(":")[2])
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        silent[0][1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ")
        assert (await first.get(f"{url}/healthz")).status_code == 503
        for reader, _writer in silent:
            assert await _closed(reader)
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{url}/healthz")).status_code == 200
        for _reader, writer in silent:
            writer.close()


async def test_a_second_head_that_never_ends_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_server._Impatient, "head_seconds", 0.3)
    app, _ = build_web_app(FakePeers().parts())
    async with running(HttpServer(app, "127.0.0.1:0")) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        for _ in range(2):
            writer.write(request)
            assert (await reader.readuntil(b'"alive"}')).startswith(b"HTTP/1.1 200")
        # Idle between requests is another thing: that may last KEEP_ALIVE_S.
        await asyncio.sleep(0.5)
        writer.write(request[:-2])
        assert await _closed(reader)
        writer.close()
