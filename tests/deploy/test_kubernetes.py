from __future__ import annotations

import json
from pathlib import Path

import kubernetes_validate
import pytest
from deployment import KUBERNETES, Document, load, manifests, name, pod_specs

# Between these two every version of the cluster is meant to work.
VERSIONS = ("1.30", "1.37")
# Not the cluster's own: kustomize reads one, the Prometheus operator brings the other.
OTHERS = {"Kustomization", "ServiceMonitor"}
BASE = KUBERNETES / "base"
OBJECTS = [
    (path, document)
    for path, document in manifests()
    if document["kind"] not in OTHERS and path != KUBERNETES / "overlays" / "gpu" / "worker.yaml"
]
OVERLAYS = sorted((KUBERNETES / "overlays").iterdir())
PODS = pod_specs()
each_pod = pytest.mark.parametrize("pod", PODS)


def title(value: object) -> str:
    if isinstance(value, Path):
        return name(value)
    return f"{value['kind']}/{value['metadata']['name']}" if isinstance(value, dict) else str(value)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("path", "document"), OBJECTS, ids=title)
def test_a_manifest_keeps_to_the_clusters_schema(
    path: Path, document: Document, version: str
) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_schema_refuses_a_misspelt_key() -> None:
    with pytest.raises(kubernetes_validate.ValidationError, match="privilege"):
        kubernetes_validate.validate(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "privilege": True},
            VERSIONS[-1],
            strict=True,
        )


def test_the_gpu_overlay_gives_a_valid_stateful_set() -> None:
    (worker,) = [document for _, document in OBJECTS if document["kind"] == "StatefulSet"]
    patch = load(KUBERNETES / "overlays" / "gpu" / "worker.yaml")

    patched = merged(json.loads(json.dumps(worker)), patch)

    for version in VERSIONS:
        kubernetes_validate.validate(patched, version, strict=True)
    pod = patched["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == ["worker", "--gpu", "0"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def merged(into: Document, patch: Document) -> Document:
    """A strategic merge, as far as the overlay needs it: containers go together by name."""
    for key, value in patch.items():
        if key == "containers":
            into[key] = [
                merged(old, new) for old in into[key] for new in value if old["name"] == new["name"]
            ]
        elif isinstance(value, dict):
            into[key] = merged(into.get(key, {}), value)
        else:
            into[key] = value
    return into


def test_kustomizations_name_every_file_beside_them() -> None:
    for folder in (BASE, *OVERLAYS):
        kustomization = load(folder / "kustomization.yaml")
        named = {
            *kustomization["resources"],
            *(patch["path"] for patch in kustomization.get("patches", [])),
        }

        assert all((folder / resource).exists() for resource in named)
        beside = {path.name for path in folder.glob("*.yaml")}
        assert beside - named <= {"kustomization.yaml", "secret.example.yaml"}
        assert set(kustomization) <= {
            *("apiVersion", "kind", "namespace", "labels", "resources", "images", "patches")
        }


@each_pod
def test_a_pod_keeps_to_the_restricted_standard(pod: str) -> None:
    spec = PODS[pod]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert not {"hostPath", "hostNetwork"} & {
        *spec,
        *(kind for volume in spec["volumes"] for kind in volume),
    }
    (namespace,) = [document for _, document in OBJECTS if document["kind"] == "Namespace"]
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@each_pod
def test_a_container_says_what_it_needs(pod: str) -> None:
    for container in PODS[pod]["containers"]:
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"] for volume in PODS[pod]["volumes"]}
        # A stateful set's claims become volumes of its pods.
        assert mounted - volumes <= {"data"}


@pytest.mark.parametrize("pod", ["mos-api", "mos-worker"])
def test_health_is_asked_at_the_metrics_port(pod: str) -> None:
    (container,) = PODS[pod]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    assert ports["metrics"] == 9100
    for probe, path in {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}


def test_images_are_ours_with_a_version() -> None:
    images = {image["name"]: image for image in load(BASE / "kustomization.yaml")["images"]}

    used = {container["image"] for spec in PODS.values() for container in spec["containers"]}
    assert used == set(images)
    assert all(image["newTag"][0].isdigit() for image in images.values())


def test_a_worker_is_named_after_its_pod() -> None:
    (container,) = PODS["mos-worker"]["containers"]

    assert container["env"] == [
        {"name": "MOS_EXECUTOR", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    ]


def test_secrets_are_files_and_the_example_holds_none() -> None:
    example = load(BASE / "secret.example.yaml")

    assert all("REPLACE" in value for value in example["stringData"].values())
    (config,) = [document for _, document in OBJECTS if document["kind"] == "ConfigMap"]
    assert not {key.upper() for key in example["stringData"]} & set(config["data"])
    for spec in PODS.values():
        (secret,) = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
        assert secret["secretName"] == example["metadata"]["name"]
        (container,) = spec["containers"]
        (mount,) = [m for m in container["volumeMounts"] if m["name"] == "secrets"]
        assert mount["mountPath"] == config["data"]["MOS_SECRETS_DIR"]


def test_services_ingresses_and_budgets_find_their_pods() -> None:
    ports = {
        port["name"]
        for spec in PODS.values()
        for container in spec["containers"]
        for port in container.get("ports", [])
    }
    services = {
        document["metadata"]["name"]: document["spec"]
        for _, document in OBJECTS
        if document["kind"] == "Service"
    }
    for spec in services.values():
        assert spec["selector"]["app.kubernetes.io/name"] in PODS
        assert all(port["targetPort"] in ports for port in spec["ports"])
    for _, document in OBJECTS:
        if document["kind"] == "Ingress":
            assert document["spec"]["tls"]
            (rule,) = document["spec"]["rules"]
            backend = rule["http"]["paths"][0]["backend"]["service"]
            named = {port["name"] for port in services[backend["name"]]["ports"]}
            assert backend["port"]["name"] in named


def test_what_no_policy_names_is_refused() -> None:
    policies = [document for _, document in OBJECTS if document["kind"] == "NetworkPolicy"]

    everything = [p["spec"] for p in policies if p["spec"]["podSelector"] == {}]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in everything
