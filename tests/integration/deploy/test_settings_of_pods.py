"""What deploy/k8s tells each pod is what its service reads: enough to start, and nothing beside it."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from overt.settings import ServiceSettings, load
from overt_alerts.settings import Settings as AlertsSettings
from overt_detect.settings import Settings as DetectSettings
from overt_gateway.settings import Settings as GatewaySettings
from overt_ingest.settings import Settings as IngestSettings
from overt_match.settings import Settings as MatchSettings

pytestmark = pytest.mark.integration

SETTINGS: dict[str, type[ServiceSettings]] = {
    "alerts": AlertsSettings,
    "detect": DetectSettings,
    "gateway": GatewaySettings,
    "ingest": IngestSettings,
    "match": MatchSettings,
}
WRITES_TO = {"alerts": {"data_dir"}, "match": {"index_dir"}}

Pod = dict[str, Any]


@pytest.fixture(scope="module")
def pods(root: Path) -> dict[str, Pod]:
    """The pod specification of each of our services."""
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run(
        [kubectl, "kustomize", root / "deploy/k8s/base"], capture_output=True, text=True, timeout=60, check=True
    )
    documents = [doc for doc in yaml.safe_load_all(done.stdout) if doc]
    workloads = [doc for doc in documents if doc["kind"] in {"Deployment", "StatefulSet"}]
    return {d["metadata"]["name"]: d["spec"]["template"]["spec"] for d in workloads if d["metadata"]["name"] != "nats"}


@pytest.fixture(scope="module")
def secrets(root: Path) -> dict[str, dict[str, bytes]]:
    """The contents of the Secrets that docs/operations/deploy.md makes, by name and key."""
    done = subprocess.run(
        [sys.executable, root / "scripts/operation_secrets.py", "--namespace", "overt-operation"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    made = [doc for doc in yaml.safe_load_all(done.stdout) if doc["kind"] == "Secret"]
    return {d["metadata"]["name"]: {k: base64.b64decode(v) for k, v in d["data"].items()} for d in made}


def _environment(pod: Pod) -> dict[str, str]:
    (container,) = pod["containers"]
    return {e["name"]: e["value"] for e in container["env"]}


def _mounted(pod: Pod, path: str) -> tuple[dict[str, Any], str]:
    """The volume that holds a path, and the path below where it is mounted. A claim is an empty volume."""
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        if PurePosixPath(path).is_relative_to(mount["mountPath"]):
            below = PurePosixPath(path).relative_to(mount["mountPath"])
            return {**volumes.get(mount["name"], {}), "readOnly": mount.get("readOnly", False)}, str(below)
    raise AssertionError(f"nothing is mounted at {path}")


def _file(pod: Pod, path: str, secrets: dict[str, dict[str, bytes]]) -> bytes:
    """What the pod finds at `path`."""
    volume, below = _mounted(pod, path)
    secret = volume["secret"]
    keys = {item["path"]: item["key"] for item in secret.get("items", [])} or {
        k: k for k in secrets[secret["secretName"]]
    }
    return secrets[secret["secretName"]][keys[below]]


def _is_file(name: str) -> bool:
    return name.endswith("_FILE")


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_a_pod_has_what_its_service_needs_to_start(
    service: str,
    pods: dict[str, Pod],
    secrets: dict[str, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pod = pods[service]
    for name, value in _environment(pod).items():
        if _is_file(name):
            here = tmp_path / name
            here.write_bytes(_file(pod, value, secrets))
            value = str(here)
        monkeypatch.setenv(name, value)
    settings = load(SETTINGS[service])
    assert settings.listen.startswith("0.0.0.0:")
    assert settings.tls_certificate_file is not None
    assert settings.tls_ca_file is not None
    for directory in WRITES_TO.get(service, ()):
        volume, _ = _mounted(pod, _environment(pod)[f"OVERT_{directory.upper()}"])
        assert not volume["readOnly"], f"{directory} cannot be written to"


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_a_pod_is_told_nothing_that_its_service_does_not_read(service: str, pods: dict[str, Pod]) -> None:
    known = {f"OVERT_{field.upper()}" for field in SETTINGS[service].model_fields}
    assert set(_environment(pods[service])) <= known


def test_detect_knows_nothing_of_the_bus(pods: dict[str, Pod]) -> None:
    assert not [name for name in _environment(pods["detect"]) if "NATS" in name]
    assert not [v for v in pods["detect"]["volumes"] if "nats" in str(v) or "token" in str(v)]


def test_detect_works_on_as_many_processors_as_it_may_use(pods: dict[str, Pod]) -> None:
    environment, (container,) = _environment(pods["detect"]), pods["detect"]["containers"]
    threads = int(environment.get("OVERT_INTRA_OP_THREADS", DetectSettings.model_fields["intra_op_threads"].default))
    assert int(environment["OVERT_WORKERS"]) * threads == int(container["resources"]["limits"]["cpu"])


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_a_pod_holds_its_own_secrets_only(service: str, pods: dict[str, Pod]) -> None:
    held = {volume["secret"]["secretName"] for volume in pods[service]["volumes"] if "secret" in volume}
    own = {f"overt-{kind}-{service}" for kind in ("tls", "nats", "token")}
    assert held <= own | {"overt-issuer"}


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_every_secret_that_is_mounted_is_read(service: str, pods: dict[str, Pod]) -> None:
    """A Secret in a pod that no setting points to is only there to be stolen."""
    files = [value for name, value in _environment(pods[service]).items() if _is_file(name)]
    (container,) = pods[service]["containers"]
    secret_volumes = {volume["name"] for volume in pods[service]["volumes"] if "secret" in volume}
    for mount in container["volumeMounts"]:
        if mount["name"] in secret_volumes:
            assert mount["readOnly"], mount
            assert any(PurePosixPath(f).is_relative_to(mount["mountPath"]) for f in files), mount
