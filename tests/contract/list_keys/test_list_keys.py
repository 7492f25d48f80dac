"""What match relies on in the custodian of list secrets: our fake, and alerts itself behind real gRPC."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from overt.api.alerts.v1.alerts_pb2_grpc import add_KeysServicer_to_server
from overt.auth import TokenIssuer, TokenVerifier, generate_issuer_key
from overt.errors import Rejected, Retryable
from overt.permissions import Role
from overt.reasons import Reason
from overt.rpc import RpcServer, connect
from overt.testing.rpc import serving
from overt_alerts.handlers import KeysHandlers
from overt_match.adapters.list_keys import GrpcListKeys
from overt_match.ports import ListKeys
from support.alerts import Life, State
from support.alerts import World as AlertsWorld
from support.watchlists import DEPLOYMENT, MemoryListKeys

pytestmark = pytest.mark.contract


@pytest.fixture(params=["memory", "alerts"])
async def keys(request: pytest.FixtureRequest) -> AsyncIterator[ListKeys]:
    if request.param == "memory":
        yield MemoryListKeys()
        return
    alerts = AlertsWorld()
    await alerts.prepare(DEPLOYMENT)
    await alerts.put(State.STATE_DRAFT, DEPLOYMENT)
    private, public = generate_issuer_key()
    token = TokenIssuer(private).issue(Role.SERVICE_MATCH, subject="match", lifetime=timedelta(hours=1))
    server = RpcServer("127.0.0.1:0", verifier=TokenVerifier(public))
    add_KeysServicer_to_server(KeysHandlers(Life(alerts).keys), server.grpc)
    channel = connect(await server.start(), token=lambda: token)
    yield GrpcListKeys(channel)
    await channel.close()
    await server.stop(0)


async def test_there_is_one_secret_to_begin_with(keys: ListKeys) -> None:
    first = await keys.secret(DEPLOYMENT)
    assert len(first.secret) == 32
    assert await keys.secret(DEPLOYMENT, first.generation) == first
    assert first.secret.hex() not in repr(first)
    assert str(first.secret) not in repr(first)


async def test_until_it_is_confirmed_a_new_one_stands_beside_the_old(keys: ListKeys) -> None:
    old = await keys.secret(DEPLOYMENT)
    new = await keys.rotate(DEPLOYMENT)
    assert new.generation > old.generation
    assert new.secret != old.secret
    assert await keys.rotate(DEPLOYMENT) == new
    assert await keys.secret(DEPLOYMENT) == old
    assert await keys.secret(DEPLOYMENT, new.generation) == new
    with pytest.raises(Rejected) as refused:
        await keys.confirm(DEPLOYMENT, old.generation)
    assert refused.value.reason is Reason.CONFLICT
    assert await keys.secret(DEPLOYMENT, old.generation) == old


async def test_confirming_destroys_the_old_one(keys: ListKeys) -> None:
    old = await keys.secret(DEPLOYMENT)
    await keys.confirm(DEPLOYMENT, old.generation)
    new = await keys.rotate(DEPLOYMENT)
    for _ in range(2):
        await keys.confirm(DEPLOYMENT, new.generation)
    assert await keys.secret(DEPLOYMENT) == new
    with pytest.raises(Rejected) as refused:
        await keys.secret(DEPLOYMENT, old.generation)
    assert refused.value.reason is Reason.UNKNOWN_KEY
    assert (await keys.rotate(DEPLOYMENT)).generation > new.generation


async def test_alerts_away_is_retryable() -> None:
    channel = connect("127.0.0.1:1", token=lambda: "none")
    for call in (
        GrpcListKeys(channel).secret(DEPLOYMENT),
        GrpcListKeys(channel).rotate(DEPLOYMENT),
        GrpcListKeys(channel).confirm(DEPLOYMENT, 1),
    ):
        with pytest.raises(Retryable):
            await call
    await channel.close()


async def test_a_refusal_of_our_own_token_is_no_answer() -> None:
    """It would travel on to whoever asked match for something, or be taken for a secret that is gone."""
    handlers = KeysHandlers(Life(AlertsWorld()).keys)
    async with serving(lambda server: add_KeysServicer_to_server(handlers, server)) as served:
        long_ago = datetime.now(UTC) - timedelta(days=1)
        issuer = TokenIssuer(served.tokens.private_pem, now=lambda: long_ago)
        expired = issuer.issue(Role.SERVICE_MATCH, subject="match", lifetime=timedelta(hours=1))
        others = served.tokens.of(Role.SERVICE_INGEST)
        for token, reason in ((expired, "token_expired"), ("rubbish", "token_invalid"), (others, "not_allowed")):
            channel = connect(served.address, token=lambda token=token: token)
            keys = GrpcListKeys(channel)
            for call in (keys.secret(DEPLOYMENT), keys.rotate(DEPLOYMENT), keys.confirm(DEPLOYMENT, 1)):
                with pytest.raises(Retryable, match=f"{reason}.*OVERT_SERVICE_TOKEN_FILE"):
                    await call
            await channel.close()
