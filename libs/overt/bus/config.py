"""nats-server.conf, the same text for one machine and for a Kubernetes ConfigMap: secrets are named, not written."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Final

from overt.bus.access import Access, access_of, in_own_account
from overt.bus.wire import HEADER_ROOM
from overt.errors import Fatal
from overt.subjects import CORE, MAX_MESSAGE_BYTES, Service

STORE_KEY_VARIABLE: Final = "OVERT_NATS_STORE_KEY"
_STORE: Final = "STORE"

MAX_STORE_BYTES: Final = 16 * 1024**4
"""A stream reserves its max_bytes, used or not, and a deployment's add up to several GB: with nats-server's default
(three quarters of the free disk) the ninth deployment on 75 GB was refused. The disk itself is the limit."""


def password_variable(service: Service) -> str:
    """The environment variable that holds a service's password where nats-server runs."""
    return f"OVERT_NATS_PASSWORD_{service.name}"


def server_password() -> str:
    """A new random password (or store key). nats-server parses what it finds in an environment variable as a
    value of its configuration, so it begins with a letter and holds letters and digits only: anything else may
    be read as a number, a size, or not at all."""
    return "p" + secrets.token_hex(24)


def server_config(
    *,
    store_dir: Path | str,
    server_name: str = "overt",
    host: str = "127.0.0.1",
    port: int = -1,
    monitor_port: int | None = None,
    ports_file_dir: Path | str | None = None,
    store_key_variable: str | None = None,
    tls_certificate_file: Path | str | None = None,
    tls_key_file: Path | str | None = None,
    tls_ca_file: Path | str | None = None,
) -> str:
    """The text of nats-server.conf: one account and user per Service, each with what overt.subjects gives it and no
    more (see overt.bus.access).

    `port` -1 is a free one, written to `ports_file_dir` as `nats-server_PID.ports` (JSON). `monitor_port` opens
    /healthz on `host`. `store_key_variable` names the environment variable with the key of JetStream's file
    encryption; None: off. `tls_ca_file` is for clients' certificates, which are asked for when it is given.
    Passwords come from `password_variable(service)`; nats-server does not start when one is missing.
    Fatal if `host` is not loopback and there is no TLS."""
    if (tls_certificate_file is None) != (tls_key_file is None):
        raise Fatal("nats-server needs both a TLS certificate and its key, or neither")
    if tls_certificate_file is None and host not in ("127.0.0.1", "::1", "localhost"):
        raise Fatal(f"nats-server will not listen on {host} without TLS: give a certificate and a key")
    lines = [
        f"server_name: {_quoted(server_name)}",
        f"host: {_quoted(host)}",
        f"port: {port}",
        f"max_payload: {MAX_MESSAGE_BYTES + HEADER_ROOM}",
        # A slow reader is cut off before its backlog grows; it reconnects.
        "max_pending: 67108864",
        'write_deadline: "5s"',
    ]
    if monitor_port is not None:
        lines.append(f"http: {_quoted(f'[{host}]:{monitor_port}' if ':' in host else f'{host}:{monitor_port}')}")
    if ports_file_dir is not None:
        lines.append(f"ports_file_dir: {_quoted(str(ports_file_dir))}")
    lines += ["jetstream {", f"  store_dir: {_quoted(str(store_dir))}", "  sync_interval: always"]
    lines.append(f"  max_file_store: {MAX_STORE_BYTES}")
    if store_key_variable is not None:
        lines += ["  cipher: chacha", f"  key: ${store_key_variable}"]
    lines.append("}")
    if tls_certificate_file is not None:
        lines += [
            "tls {",
            f"  cert_file: {_quoted(str(tls_certificate_file))}",
            f"  key_file: {_quoted(str(tls_key_file))}",
        ]
        if tls_ca_file is not None:
            lines += [f"  ca_file: {_quoted(str(tls_ca_file))}", "  verify: true"]
        lines.append("}")
    lines += _accounts()
    return "\n".join(lines) + "\n"


def _accounts() -> list[str]:
    """One account a service, and one for the streams that nobody logs in to."""
    access = {service: access_of(service) for service in Service}
    exports: dict[str, list[str]] = {_STORE: [], **{s.name: [] for s in Service}}
    imports: dict[str, list[str]] = {s.name: [] for s in Service}
    for subject, askers in _by_subject(access).items():
        # A pull is answered with many messages, any other call with one.
        many = "MSG.NEXT" in subject
        exports[_STORE].append(_export("service", subject, askers, ", response_type: stream" if many else ""))
        for asker in askers:
            imports[asker].append(_import("service", _STORE, subject, in_own_account(subject)))
    for service in Service:
        if access[service].store:
            inbox = access[service].inbox
            exports[_STORE].append(_export("stream", inbox, [service.name]))
            imports[service.name].append(_import("stream", _STORE, inbox))
    for core in CORE:
        # A question goes to the one who answers; what is told goes from the one who tells.
        kind = "service" if core.reply else "stream"
        owners, others = core.publishers, core.subscribers
        if core.reply:
            owners, others = others, owners
        for owner in sorted(owners):
            exports[owner.name].append(_export(kind, core.every, sorted(o.name for o in others)))
            for other in sorted(others):
                imports[other.name].append(_import(kind, owner.name, core.every))
    lines = ["accounts {", f"  {_STORE} {{", "    jetstream: enabled"]
    lines += [*_block("exports", exports[_STORE]), "  }"]
    for service in Service:
        lines += [f"  {service.name} {{", *_user(service, access[service])]
        lines += [*_block("exports", exports[service.name]), *_block("imports", imports[service.name]), "  }"]
    return [*lines, "}"]


def _by_subject(access: dict[Service, Access]) -> dict[str, list[str]]:
    """The accounts that may use each subject of the store."""
    found: dict[str, list[str]] = {}
    for service, has in access.items():
        for subject in has.store:
            found.setdefault(subject, []).append(service.name)
    return found


def _export(kind: str, subject: str, accounts: list[str], more: str = "") -> str:
    return f"{{ {kind}: {_quoted(subject)}, accounts: [{', '.join(accounts)}]{more} }}"


def _import(kind: str, account: str, subject: str, to: str | None = None) -> str:
    renamed = f", to: {_quoted(to)}" if to not in (None, subject) else ""
    return f"{{ {kind}: {{ account: {account}, subject: {_quoted(subject)} }}{renamed} }}"


def _block(name: str, entries: list[str]) -> list[str]:
    return [f"    {name}: [", *(f"      {e}" for e in entries), "    ]"]


def _user(service: Service, access: Access) -> list[str]:
    lines = [
        "    users: [ {",
        f"      user: {service.value}",
        f"      password: ${password_variable(service)}",
        "      permissions: {",
        f"        publish: {_allowed(access.publish)}",
        f"        subscribe: {_allowed(access.subscribe)}",
    ]
    if access.answers:
        lines.append('        allow_responses: { max: 1, expires: "30s" }')
    return [*lines, "      }", "    } ]"]


def _allowed(subjects: tuple[str, ...]) -> str:
    if not subjects:
        return '{ deny: [">"] }'
    return "{ allow: [" + ", ".join(_quoted(s) for s in subjects) + "] }"


def _quoted(text: str | None) -> str:
    return json.dumps(text)
