"""Tokens: one algorithm, one issuer, always an end, and nothing of their text in what is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448
from overt.auth import Claims, TokenIssuer, TokenVerifier, bearer, generate_issuer_key
from overt.auth.tokens import MAX_TOKEN_CHARACTERS
from overt.errors import Fatal, Rejected
from overt.permissions import Role
from overt.reasons import Reason
from overt.testing.rpc import Tokens

pytestmark = pytest.mark.unit

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens()


def payload_of(tokens: Tokens, **changes: object) -> dict[str, object]:
    """What a good operator's token holds, with `changes`; None takes a claim away."""
    now = int(datetime.now(UTC).timestamp())
    payload: dict[str, object] = {
        "iss": "overt",
        "aud": "overt",
        "sub": "anna.person",
        "iat": now,
        "exp": now + 60,
        "jti": "one",
        "role": "operator",
    }
    payload.update(changes)
    return {name: value for name, value in payload.items() if value is not None}


def signed(tokens: Tokens, payload: dict[str, object], **header: str) -> str:
    return jwt.encode(payload, tokens.private_pem, algorithm="EdDSA", headers=header or None)


def refusal(tokens: Tokens, token: str) -> Reason:
    with pytest.raises(Rejected) as caught:
        tokens.verifier.verify(token)
    told = f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert "anna" not in told
    assert not token or token[-20:] not in told
    return caught.value.reason


def test_what_was_issued_is_claimed(tokens: Tokens) -> None:
    before = datetime.now(UTC)
    token = tokens.issuer.issue(Role.CAMERA, subject="cam", lifetime=HOUR, deployment="dep-1", camera="north")
    claims = tokens.verifier.verify(token)
    assert (claims.subject, claims.role, claims.deployment, claims.camera) == ("cam", Role.CAMERA, "dep-1", "north")
    assert abs(claims.expires_at - (before + HOUR)) < timedelta(seconds=2)
    assert claims.expires_at.tzinfo is UTC


def test_every_token_has_its_own_id(tokens: Tokens) -> None:
    ids = {tokens.verifier.verify(tokens.of(Role.OPERATOR)).token_id for _ in range(5)}
    assert len(ids) == 5


def test_repr_of_claims_names_nobody(tokens: Tokens) -> None:
    claims = tokens.verifier.verify(tokens.of(Role.OPERATOR, subject="anna.person"))
    assert isinstance(claims, Claims)
    assert "anna" not in repr(claims)
    assert claims.token_id not in repr(claims)
    assert "operator" in repr(claims)


def test_hand_made_payload_is_good_before_it_is_made_bad(tokens: Tokens) -> None:
    assert tokens.verifier.verify(signed(tokens, payload_of(tokens))).role is Role.OPERATOR


@pytest.mark.parametrize("missing", ["iss", "aud", "sub", "iat", "exp", "jti", "role"])
def test_every_claim_is_mandatory(tokens: Tokens, missing: str) -> None:
    assert refusal(tokens, signed(tokens, payload_of(tokens, **{missing: None}))) is Reason.TOKEN_INVALID


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"aud": "somebody"},
        {"aud": ["overt", "somebody"]},
        {"sub": ""},
        {"sub": 7},
        {"jti": 7},
        {"role": "king"},
        {"role": ["operator"]},
        {"role": "camera"},
        {"role": "camera", "deployment": "dep-1"},
        {"role": "camera", "camera": "north"},
        {"role": "operator", "camera": "north"},
        {"deployment": 3},
        {"deployment": ""},
        {"exp": "soon"},
        {"exp": 10**30},
        {"iat": 4_000_000_000},
        {"nbf": 4_000_000_000},
    ],
    ids=str,
)
def test_a_signed_token_that_is_not_ours_is_invalid(tokens: Tokens, changes: dict[str, object]) -> None:
    assert refusal(tokens, signed(tokens, payload_of(tokens, **changes))) is Reason.TOKEN_INVALID


def test_expired_beyond_the_leeway(tokens: Tokens) -> None:
    now = datetime.now(UTC)
    within = TokenIssuer(tokens.private_pem, now=lambda: now - timedelta(seconds=62))
    assert tokens.verifier.verify(within.issue(Role.AUDITOR, subject="a", lifetime=timedelta(minutes=1)))
    beyond = TokenIssuer(tokens.private_pem, now=lambda: now - timedelta(seconds=67))
    token = beyond.issue(Role.AUDITOR, subject="anna.person", lifetime=timedelta(minutes=1))
    assert refusal(tokens, token) is Reason.TOKEN_EXPIRED


def test_missing(tokens: Tokens) -> None:
    assert refusal(tokens, "") is Reason.TOKEN_MISSING


@pytest.mark.parametrize("token", ["x", "a.b.c", "..", "é", "a.b", "\x00", "eyJ" * 20, "A" * 100_000])
def test_rubbish(tokens: Tokens, token: str) -> None:
    assert refusal(tokens, token) is Reason.TOKEN_INVALID


def test_altered_in_one_character(tokens: Tokens) -> None:
    token = tokens.of(Role.OPERATOR)
    header, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["role"] = "administrator"
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    assert refusal(tokens, f"{header}.{other}.{signature}") is Reason.TOKEN_INVALID
    assert refusal(tokens, f"{header}.{body}.{signature[:-4]}AAAA") is Reason.TOKEN_INVALID


def test_signed_by_somebody_else(tokens: Tokens) -> None:
    assert refusal(tokens, Tokens().of(Role.OPERATOR)) is Reason.TOKEN_INVALID


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
def test_unsigned(tokens: Tokens, algorithm: str) -> None:
    def part(document: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    for signature in ("", tokens.of(Role.OPERATOR).split(".")[2]):
        token = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(payload_of(tokens))}.{signature}"
        assert refusal(tokens, token) is Reason.TOKEN_INVALID


def test_hmac_keyed_with_the_public_key(tokens: Tokens) -> None:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    for key in (tokens.public_pem, tokens.public_pem.strip()):
        header = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        signed_part = f"{header}.{part(json.dumps(payload_of(tokens)).encode())}"
        signature = hmac.new(key, signed_part.encode(), hashlib.sha256).digest()
        assert refusal(tokens, f"{signed_part}.{part(signature)}") is Reason.TOKEN_INVALID


def test_another_curve_under_our_algorithms_name(tokens: Tokens) -> None:
    other = ed448.Ed448PrivateKey.generate()
    token = jwt.encode(payload_of(tokens), other, algorithm="EdDSA")
    assert refusal(tokens, token) is Reason.TOKEN_INVALID
    ecdsa = jwt.encode(payload_of(tokens), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")
    assert refusal(tokens, ecdsa) is Reason.TOKEN_INVALID


def test_a_key_that_the_token_brings_along_is_not_used(tokens: Tokens) -> None:
    stranger = Tokens()
    token = jwt.encode(
        payload_of(tokens),
        stranger.private_pem,
        algorithm="EdDSA",
        headers={"jwk": "ours", "kid": "../../etc/passwd", "x5u": "http://127.0.0.1/"},
    )
    assert refusal(tokens, token) is Reason.TOKEN_INVALID


def test_issue_refuses_what_verify_would(tokens: Tokens) -> None:
    issue = tokens.issuer.issue
    with pytest.raises(ValueError, match="camera"):
        issue(Role.CAMERA, subject="c", lifetime=HOUR)
    with pytest.raises(ValueError, match="camera"):
        issue(Role.OPERATOR, subject="o", lifetime=HOUR, deployment="d", camera="c")
    with pytest.raises(ValueError, match="lifetime"):
        issue(Role.OPERATOR, subject="o", lifetime=timedelta(0))
    with pytest.raises(ValueError, match="subject"):
        issue(Role.OPERATOR, subject="", lifetime=HOUR)


def test_our_tokens_are_far_below_the_limit(tokens: Tokens) -> None:
    token = tokens.of(Role.CAMERA, subject="s" * 100, deployment="d" * 40, camera="c" * 40)
    assert len(token) < MAX_TOKEN_CHARACTERS / 4


def test_unusable_keys_are_fatal_and_not_shown() -> None:
    private, public = generate_issuer_key()
    other = ed448.Ed448PrivateKey.generate()
    other_private = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    other_public = other.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for bad in (b"", b"rubbish", public, private[:60], other_private):
        with pytest.raises(Fatal, match="issuer's key") as caught:
            TokenIssuer(bad)
        assert "BEGIN" not in str(caught.value)
    for bad in (b"", b"rubbish", private, other_public):
        with pytest.raises(Fatal, match="OVERT_ISSUER_PUBLIC_KEY_FILE"):
            TokenVerifier(bad)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc", b"Bearer abc"])
def test_bearer_missing(header: str | bytes | None) -> None:
    with pytest.raises(Rejected) as caught:
        bearer(header)
    assert caught.value.reason is Reason.TOKEN_MISSING
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc "])
def test_bearer(header: str) -> None:
    assert bearer(header) == "abc"
