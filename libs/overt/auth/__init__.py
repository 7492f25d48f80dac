"""Who calls: tokens and what they claim. EdDSA JWTs made by one issuer an operation."""

from __future__ import annotations

from overt.auth.claims import Claims, bearer
from overt.auth.keys import generate_issuer_key
from overt.auth.tokens import TokenIssuer, TokenVerifier

__all__ = ["Claims", "TokenIssuer", "TokenVerifier", "bearer", "generate_issuer_key"]
