"""deploy/k8s/base renders, is valid, and says what we say of it."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cryptography import x509
from overt.settings import ServiceSettings

pytestmark = pytest.mark.integration

SERVICES = {"ingest", "detect", "match", "alerts", "gateway"}


@pytest.fixture(scope="module")
def rendered(root: Path) -> list[dict[str, Any]]:
    kubectl = Path(sys.executable).parent / "kubectl"
    done = subprocess.run(
        [kubectl, "kustomize", root / "deploy/k8s/base"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return [doc for doc in yaml.safe_load_all(done.stdout) if doc]


@pytest.fixture(scope="module")
def operation_secrets(root: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, root / "scripts/operation_secrets.py", "--namespace", "overt-operation"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def _workloads(rendered: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d["spec"] for d in rendered if d["kind"] in {"Deployment", "StatefulSet"}}


def test_everything_is_valid(rendered: list[dict[str, Any]], operation_secrets: list[dict[str, Any]]) -> None:
    for document in rendered + operation_secrets:
        kubernetes_validate.validate(document, "1.37", strict=True)


def test_every_workload_has_probes_limits_and_a_restricted_context(rendered: list[dict[str, Any]]) -> None:
    workloads = _workloads(rendered)
    assert set(workloads) == SERVICES | {"nats"}
    for name, spec in workloads.items():
        pod = spec["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        (container,) = pod["containers"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container), name
        assert {"cpu", "memory"} <= set(container["resources"]["limits"]), name
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name


def test_a_pod_is_given_longer_than_a_service_takes_to_stop(rendered: list[dict[str, Any]]) -> None:
    for name, spec in _workloads(rendered).items():
        if name not in SERVICES:
            continue
        pod = spec["template"]["spec"]
        environment = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
        drain = float(environment["OVERT_DRAIN_SECONDS"])
        hard_exit = float(environment["OVERT_HARD_EXIT_SECONDS"])
        assert drain < hard_exit < pod["terminationGracePeriodSeconds"], name
    defaults = ServiceSettings.model_fields
    assert defaults["drain_seconds"].default < defaults["hard_exit_seconds"].default


def test_every_secret_that_is_mounted_is_made(
    rendered: list[dict[str, Any]], operation_secrets: list[dict[str, Any]]
) -> None:
    made = {d["metadata"]["name"]: set(d["data"]) for d in operation_secrets}
    for name, spec in _workloads(rendered).items():
        pod = spec["template"]["spec"]
        for volume in pod["volumes"]:
            if secret := volume.get("secret"):
                assert secret["secretName"] in made, name
                assert {i["key"] for i in secret.get("items", [])} <= made[secret["secretName"]], name
            if config := volume.get("configMap"):
                assert config["name"] in made, name
        for source in pod["containers"][0].get("envFrom", []):
            assert source["secretRef"]["name"] in made, name
        mounts = [m["name"] for m in pod["containers"][0]["volumeMounts"]]
        claims = [c["metadata"]["name"] for c in spec.get("volumeClaimTemplates", [])]
        assert set(mounts) == {v["name"] for v in pod["volumes"]} | set(claims), name


def test_a_certificate_may_name_more(root: Path) -> None:
    script = [sys.executable, root / "scripts/operation_secrets.py", "--namespace", "here"]
    more = ["gateway=lfr.example.police.uk", "gateway=192.0.2.7", "ingest=*.cameras.example"]
    done = subprocess.run(
        [*script, *(word for name in more for word in ("--name", name))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    names = {}
    for document in yaml.safe_load_all(done.stdout):
        if document["metadata"]["name"].startswith("overt-tls-"):
            certificate = x509.load_pem_x509_certificate(base64.b64decode(document["data"]["tls.crt"]))
            found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names[document["metadata"]["name"]] = {str(name.value) for name in found}
    assert names["overt-tls-gateway"] == {
        "gateway",
        "gateway.here",
        "gateway.here.svc",
        "localhost",
        "lfr.example.police.uk",
        "192.0.2.7",
    }
    assert names["overt-tls-ingest"] == {"ingest", "ingest.here", "ingest.here.svc", "localhost", "*.cameras.example"}
    assert names["overt-tls-match"] == {"match", "match.here", "match.here.svc", "localhost"}


@pytest.mark.parametrize(
    "name", ["lfr.example", "door=lfr.example", "gateway=", "gateway=https://lfr.example", "gateway=lfr.example:8443"]
)
def test_a_name_that_cannot_be_is_refused(root: Path, name: str) -> None:
    script = [sys.executable, root / "scripts/operation_secrets.py", "--namespace", "here", "--name", name]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"argument --name: {name}: " in done.stderr


def test_only_the_gateway_gets_the_issuers_private_key(rendered: list[dict[str, Any]]) -> None:
    holders = {
        name
        for name, spec in _workloads(rendered).items()
        for volume in spec["template"]["spec"]["volumes"]
        for item in volume.get("secret", {}).get("items", [])
        if item["key"] == "issuer.pem"
    }
    assert holders == {"gateway"}


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_an_image_installs_what_its_service_runs(root: Path, service: str) -> None:
    folder = root / "gateway" if service == "gateway" else root / "services" / service
    dockerfile = (folder / "Dockerfile").read_text()
    assert f"overt_{service}" in dockerfile
    assert "USER 65532" in dockerfile
    done = subprocess.run(
        [sys.executable, root / "scripts/lock_for.py", service], capture_output=True, text=True, timeout=60, check=True
    )
    names = {line.split("==")[0] for line in done.stdout.splitlines() if "==" in line and not line.startswith(" ")}
    assert {"grpcio", "nats-py", "pyjwt", "opentelemetry-sdk"} <= names
    assert ("insightface" in names) == (service == "detect")
    assert ("fastapi" in names) == (service == "gateway")
    assert "av" in names or service != "ingest"
    assert not names & {"pytest", "mypy", "playwright", "ruff"}
    assert done.stdout.count("--hash=sha256:") >= len(names)
