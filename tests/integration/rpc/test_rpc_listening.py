"""Where a server listens, who can reach it, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import socket
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from overt.errors import Fatal, Rejected, Retryable
from overt.permissions import Role
from overt.reasons import Reason
from overt.rpc import MAX_MESSAGE_BYTES, RpcServer, TlsFiles, connect, to_overt_error, token_from_file
from overt.testing.rpc import Tokens
from support.waiting import until

pytestmark = pytest.mark.integration


async def echo(request: Any, context: Any) -> StringValue:
    return StringValue(value=request.value)


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


async def health_of(address: str, **more: Any) -> int:
    """Asks the health service, without a token. AioRpcError."""
    async with connect(address, **more) as channel:
        reply = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        return int(reply.status)


# ---- TCP


async def test_a_free_port_is_taken_and_told(tokens: Tokens) -> None:
    server = RpcServer("127.0.0.1:0", verifier=tokens.verifier)
    address = await server.start()
    assert re.fullmatch(r"127\.0\.0\.1:[1-9][0-9]+", address)
    assert await health_of(address)
    await server.stop(0)


async def test_localhost_is_one_address(tokens: Tokens) -> None:
    server = RpcServer("localhost:0", verifier=tokens.verifier)
    assert (await server.start()).startswith("127.0.0.1:")
    await server.stop(0)


async def test_ipv6_loopback(tokens: Tokens) -> None:
    server = RpcServer("[::1]:0", verifier=tokens.verifier)
    try:
        address = await server.start()
    except Fatal:
        pytest.skip("there is no IPv6 here")
    assert re.fullmatch(r"\[::1\]:[1-9][0-9]+", address)
    assert await health_of(address)
    await server.stop(0)


async def test_a_port_that_a_server_of_ours_has(tokens: Tokens) -> None:
    """gRPC shares ports unless told otherwise: the second server would start and get half of the calls."""
    first = RpcServer("127.0.0.1:0", verifier=tokens.verifier)
    address = await first.start()
    second = RpcServer(address, verifier=tokens.verifier)
    with pytest.raises(Fatal, match=f"cannot listen on {re.escape(address)}: Address already in use"):
        await second.start()
    assert await health_of(address)
    await first.stop(0)
    await second.stop(0)


async def test_a_port_that_another_program_has(tokens: Tokens) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(Fatal, match=f"OVERT_LISTEN: cannot listen on {re.escape(address)}: Address already"):
            await RpcServer(address, verifier=tokens.verifier).start()


async def test_an_address_that_is_not_ours(tokens: Tokens, tls: TlsFiles) -> None:
    with pytest.raises(Fatal, match=r"192\.0\.2\.1:0: Cannot assign"):  # RFC 5737: documentation
        await RpcServer("192.0.2.1:0", verifier=tokens.verifier, tls=tls).start()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "192.0.2.1:50051", "ingest.example:50051", "10.0.0.1:0"])
def test_what_others_can_reach_needs_tls(tokens: Tokens, listen: str) -> None:
    with pytest.raises(Fatal) as caught:
        RpcServer(listen, verifier=tokens.verifier)
    for word in (listen, "OVERT_LISTEN", "OVERT_TLS_CERTIFICATE_FILE", "OVERT_TLS_KEY_FILE", "OVERT_TLS_CA_FILE"):
        assert word in str(caught.value)


@pytest.mark.parametrize("address", ["0.0.0.0:1", "match.example:1", "192.0.2.1:1"])
def test_a_token_does_not_travel_in_the_clear(address: str) -> None:
    with pytest.raises(Fatal, match="OVERT_TLS_CA_FILE"):
        connect(address, token=lambda: "token")


@pytest.mark.parametrize("listen", ["", "nonsense", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "::1:5", "unix:x"])
def test_what_is_no_address(tokens: Tokens, listen: str) -> None:
    with pytest.raises(Fatal, match="OVERT_LISTEN"):
        RpcServer(listen, verifier=tokens.verifier)
    with pytest.raises(Fatal, match="address of a peer"):
        connect(listen)


def test_a_server_can_be_built_outside_of_the_event_loop(tokens: Tokens) -> None:
    server = RpcServer("127.0.0.1:0", verifier=tokens.verifier)
    with pytest.raises(TypeError, match="RpcServer listens"):
        server.grpc.add_insecure_port("127.0.0.1:0")

    async def use() -> int:
        address = await server.start()
        server.set_serving(True)
        status = await health_of(address)
        await server.stop(0)
        return status

    assert asyncio.run(use()) == 1


async def test_web_proxies_are_not_asked(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = RpcServer("127.0.0.1:0", verifier=tokens.verifier)
    assert await health_of(await server.start())
    await server.stop(0)


# ---- Unix sockets


async def test_a_socket_is_the_owners_alone(tokens: Tokens, tmp_path: Path) -> None:
    path = tmp_path / "run" / "detect.sock"
    before = os.umask(0o022)
    try:
        server = RpcServer(f"unix:{path}", verifier=tokens.verifier)
        address = await server.start()
        assert address == f"unix:{path}"
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) & 0o177 == 0
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert await health_of(address)
    await server.stop(0)
    assert not path.exists()


async def test_a_socket_that_nobody_listens_on_is_replaced(tokens: Tokens, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    server = RpcServer(f"unix:{path}", verifier=tokens.verifier)
    assert await health_of(await server.start())
    await server.stop(0)


async def test_a_socket_that_somebody_listens_on_is_left_alone(tokens: Tokens, tmp_path: Path) -> None:
    first = RpcServer(f"unix:{tmp_path}/s", verifier=tokens.verifier)
    address = await first.start()
    second = RpcServer(address, verifier=tokens.verifier)
    with pytest.raises(Fatal, match=f"another process listens on unix:{tmp_path}/s"):
        await second.start()
    await second.stop(0)
    assert await health_of(address)
    await first.stop(0)


async def test_a_listener_that_is_too_busy_to_answer_is_left_alone(tokens: Tokens, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as waiting:
        busy.bind(str(path))
        busy.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(path))
        with pytest.raises(Fatal, match="another process listens"):
            await RpcServer(f"unix:{path}", verifier=tokens.verifier).start()
        assert path.exists()


@pytest.mark.parametrize("what", ["file", "directory", "dangling link"])
async def test_what_is_no_socket_is_left_alone(tokens: Tokens, tmp_path: Path, what: str) -> None:
    path = tmp_path / "s"
    {
        "file": lambda: path.write_text("precious"),
        "directory": path.mkdir,
        "dangling link": lambda: path.symlink_to(tmp_path / "nowhere"),
    }[what]()
    with pytest.raises(Fatal, match="is not a socket"):
        await RpcServer(f"unix:{path}", verifier=tokens.verifier).start()
    assert path.is_symlink() or path.exists()


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770])
async def test_a_directory_that_others_can_write_to(tokens: Tokens, tmp_path: Path, mode: int) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run").chmod(mode)
    with pytest.raises(Fatal, match="mode 0700"):
        await RpcServer(f"unix:{tmp_path}/run/s", verifier=tokens.verifier).start()


async def test_a_directory_that_cannot_be(tokens: Tokens, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Fatal, match="cannot be used: File exists"):
        await RpcServer(f"unix:{tmp_path}/file/s", verifier=tokens.verifier).start()


def test_a_path_that_is_too_long(tokens: Tokens, tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="at most 107 bytes"):
        RpcServer(f"unix:{tmp_path}/{'x' * 108}", verifier=tokens.verifier)


async def test_a_client_finds_a_server_that_comes_back(tokens: Tokens, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"

    async def one_life() -> None:
        server = RpcServer(address, verifier=tokens.verifier)
        await server.start()
        await until(lambda: _answers(stub), seconds=5)
        await server.stop(0)
        await until(lambda: _answers_not(stub))

    async with connect(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for _ in range(3):
            await one_life()


async def _answers(stub: Any) -> bool:
    try:
        await stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.aio.AioRpcError as error:
        return not isinstance(to_overt_error(error), Retryable)
    return True


async def _answers_not(stub: Any) -> bool:
    return not await _answers(stub)


# ---- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls(certificates: Certificates) -> TlsFiles:
    return certificates.pair("server")


class Certificates:
    """An authority and what it signs, for 127.0.0.1."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.authority = folder / f"{name}.pem"
        self.authority.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def pair(self, name: str, *, ca: Path | None = None) -> TlsFiles:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        signed = self._builder(subject, key).add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        certificate, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return TlsFiles(certificate=certificate, key=key_file, ca=ca)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
        )


async def test_tls(tokens: Tokens, certificates: Certificates, tls: TlsFiles) -> None:
    server = RpcServer("127.0.0.1:0", verifier=tokens.verifier, tls=tls)
    address = await server.start()
    assert await health_of(address, tls=TlsFiles(ca=certificates.authority))
    for untrusting in (None, TlsFiles()):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_of(address, tls=untrusting)
        assert isinstance(to_overt_error(caught.value), Retryable)
    await server.stop(0)


async def test_tls_on_an_address_that_others_can_reach(
    tokens: Tokens, certificates: Certificates, tls: TlsFiles
) -> None:
    server = RpcServer("0.0.0.0:0", verifier=tokens.verifier, tls=tls)
    port = (await server.start()).rpartition(":")[2]
    assert await health_of(f"127.0.0.1:{port}", tls=TlsFiles(ca=certificates.authority))
    await server.stop(0)


async def test_mutual_tls(tokens: Tokens, certificates: Certificates, tmp_path: Path) -> None:
    server = RpcServer(
        "127.0.0.1:0", verifier=tokens.verifier, tls=certificates.pair("mutual", ca=certificates.authority)
    )
    address = await server.start()
    assert await health_of(address, tls=certificates.pair("client", ca=certificates.authority))
    stranger = Certificates(tmp_path, "stranger").pair("client", ca=certificates.authority)
    for refused in (TlsFiles(ca=certificates.authority), stranger):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_of(address, tls=refused)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await server.stop(0)


async def test_a_socket_needs_no_tls(tokens: Tokens, tls: TlsFiles, tmp_path: Path) -> None:
    server = RpcServer(f"unix:{tmp_path}/s", verifier=tokens.verifier, tls=tls)
    address = await server.start()
    assert await health_of(address)
    assert await health_of(address, tls=tls)
    await server.stop(0)


def test_half_a_pair_of_files(tokens: Tokens, tmp_path: Path) -> None:
    assert TlsFiles.of(certificate=None, key=None, ca=None) is None
    assert TlsFiles.of(certificate=None, key=None, ca=tmp_path) == TlsFiles(ca=tmp_path)
    for certificate, key in ((tmp_path, None), (None, tmp_path)):
        with pytest.raises(Fatal, match="OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE"):
            TlsFiles.of(certificate=certificate, key=key, ca=None)
    with pytest.raises(Fatal, match="OVERT_TLS_CERTIFICATE_FILE and OVERT_TLS_KEY_FILE"):
        RpcServer("0.0.0.0:0", verifier=tokens.verifier, tls=TlsFiles(ca=tmp_path))


def test_files_that_cannot_be_read(tokens: Tokens, tmp_path: Path, tls: TlsFiles) -> None:
    missing = tmp_path / "missing.pem"
    for files, name in (
        (TlsFiles(certificate=missing, key=tls.key), "OVERT_TLS_CERTIFICATE_FILE"),
        (TlsFiles(certificate=tls.certificate, key=missing), "OVERT_TLS_KEY_FILE"),
        (TlsFiles(certificate=tls.certificate, key=tls.key, ca=missing), "OVERT_TLS_CA_FILE"),
    ):
        with pytest.raises(Fatal, match=f"{name}: {re.escape(str(missing))} cannot be read: No such file"):
            RpcServer("0.0.0.0:0", verifier=tokens.verifier, tls=files)


def test_files_that_are_no_certificates(
    tokens: Tokens, tmp_path: Path, certificates: Certificates, tls: TlsFiles
) -> None:
    rubbish, locked = tmp_path / "rubbish.pem", tmp_path / "locked.pem"
    rubbish.write_text("rubbish")
    key = ec.generate_private_key(ec.SECP256R1())
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")))
    other = certificates.pair("other")
    for files in (TlsFiles(rubbish, tls.key), TlsFiles(tls.certificate, other.key), TlsFiles(tls.certificate, locked)):
        with pytest.raises(Fatal, match="not a certificate in PEM form and its key without a password"):
            RpcServer("127.0.0.1:0", verifier=tokens.verifier, tls=files)
        with pytest.raises(Fatal, match="OVERT_TLS_KEY_FILE"):
            connect("192.0.2.1:1", tls=files)
    with pytest.raises(Fatal, match=r"OVERT_TLS_CA_FILE: .* holds no certificate"):
        connect("192.0.2.1:1", tls=TlsFiles(ca=rubbish))


# ---- sizes and stopping


@pytest.mark.parametrize("kind", ["unary_unary", "stream_stream"])
async def test_a_message_of_100_mb(serve_one: Any, kind: str) -> None:
    async def stream(requests: Any, context: Any) -> Any:
        async for request in requests:
            yield StringValue(value=str(len(request.value)))

    async def unary(request: Any, context: Any) -> StringValue:
        return StringValue(value=str(len(request.value)))

    async with serve_one(kind, unary if kind == "unary_unary" else stream) as method:
        served = method.served
        metadata = [("authorization", f"Bearer {served.tokens.of(Role.SERVICE_INGEST)}")]
        big = bytes(100 * 1024 * 1024)
        # A client that knows no limit, and one of ours, which does not even send it.
        async with grpc.aio.insecure_channel(served.address) as hostile, connect(served.address) as ours:
            for channel in (hostile, ours):
                call = getattr(channel, kind)("/overt.test.v1.Test/Call")
                started = call(big if kind == "unary_unary" else iter([big]), metadata=metadata)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await (started if kind == "unary_unary" else started.read())
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                understood = to_overt_error(caught.value)
                assert isinstance(understood, Rejected)
                assert understood.reason is Reason.MESSAGE_TOO_LARGE
        # And it lives.
        assert await method.ask("x" * 1000) == ["1000"]
        assert await method.ask("x" * (MAX_MESSAGE_BYTES - 100)) == [str(MAX_MESSAGE_BYTES - 100)]


async def test_stopping_lets_what_runs_finish_in_time(serve_one: Any) -> None:
    began = asyncio.Event()

    async def slow(request: Any, context: Any) -> StringValue:
        began.set()
        await asyncio.sleep(0.3)
        return StringValue(value="finished")

    async with serve_one("unary_unary", slow) as method:
        call = asyncio.ensure_future(method.ask("x"))
        await began.wait()
        await method.served.server.stop(10)
        assert await call == ["finished"]
        with pytest.raises(grpc.aio.AioRpcError):
            await method.ask("x")
        await method.served.server.stop(10)


async def test_stopping_ends_what_does_not_finish(serve_one: Any) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def forever(request: Any, context: Any) -> StringValue:
        began.set()
        try:
            return await asyncio.Event().wait()  # type: ignore[return-value]
        finally:
            ended.set()

    async with serve_one("unary_unary", forever) as method:
        call = asyncio.ensure_future(method.ask("x"))
        await began.wait()
        async with asyncio.timeout(5):
            await method.served.server.stop(0.2)
            await ended.wait()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert isinstance(to_overt_error(caught.value), Retryable)


# ---- the token's file


async def test_the_token_file_is_read_when_used(serve_one: Any, tmp_path: Path) -> None:
    path = tmp_path / "token"
    async with (
        serve_one("unary_unary", echo) as method,
        connect(method.served.address, token=token_from_file(path)) as channel,
    ):
        call = method.call(channel=channel)
        for content in (None, "", " \n", "é"):
            if content is not None:
                path.write_text(content)
            with pytest.raises(Retryable, match="OVERT_SERVICE_TOKEN_FILE"):
                await call(StringValue(value="a"))
        path.write_text(method.served.tokens.of(Role.SERVICE_INGEST) + "\n")
        assert (await call(StringValue(value="a"))).value == "a"
