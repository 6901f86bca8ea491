from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from deployment import COMPOSE, DEPLOY, KUBERNETES, Document, load
from mos_center.storage.database import SqlDatabase
from mos_center.telemetry.counts import DatabaseCounts
from mos_center.telemetry.metrics import REGISTRY

PROMETHEUS = load(DEPLOY / "prometheus" / "prometheus.yml")
ALERTS = load(DEPLOY / "prometheus" / "alerts.yml")
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "center.json").read_text())
SERVICES = load(COMPOSE)["services"]
METRICS_PORT = 9100
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}
LABELS = {
    *("le", "job", "instance", "state", "step", "outcome", "method", "route", "status"),
    *("code", "kind", "version", "role"),
}


def known_metrics() -> set[str]:
    """Every name that Prometheus may see from a center, `up` included."""
    counts = DatabaseCounts(SqlDatabase("sqlite://"))
    families = [*REGISTRY.collect(), *counts.describe()]
    return {"up"} | {
        family.name + suffix for family in families for suffix in SUFFIXES.get(family.type, ("",))
    }


def dashboard_queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def alert_queries() -> Iterator[tuple[str, str]]:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


QUERIES = [*dashboard_queries(), *alert_queries()]


def metrics_in(query: str) -> set[str]:
    """Names in a query that are no function, keyword or label."""
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|on)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"\b[a-z]\w+\b(?!\s*\()", bare)) - {"or", "and", "by", "on"}


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[title for title, _ in QUERIES])
def test_a_query_asks_only_for_metrics_and_labels_that_there_are(title: str, query: str) -> None:
    metrics = metrics_in(query)

    assert metrics
    assert metrics <= known_metrics()
    groups = re.findall(r"\bby\s*\(([^)]*)\)", query)
    matchers = re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", query)
    used = {label.strip() for group in groups for label in group.split(",")} | set(matchers)
    assert used <= LABELS


def test_the_names_in_a_query_are_found() -> None:
    query = 'sum by (le) (rate(a_bucket{job="x"}[5m])) / clamp_min(max(b_total), 0.1) or vector(0)'

    assert metrics_in(query) == {"a_bucket", "b_total"}


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = {
        re.sub(r"_(total|bucket|sum|count)$", "", metric)
        for _, query in dashboard_queries()
        for metric in metrics_in(query)
    }
    ours = {
        re.sub(r"_(total|bucket|sum|count)$", "", metric)
        for metric in known_metrics()
        if metric.startswith("mos_")
    }

    assert ours - shown - {"mos_build_info"} == set()


def test_prometheus_scrapes_every_process_of_the_center() -> None:
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}

    for service in ("api", "worker"):
        (discovery,) = jobs[service]["dns_sd_configs"]
        assert discovery["names"] == [service]
        assert (discovery["type"], discovery["port"]) == ("A", METRICS_PORT)
        assert set(SERVICES[service]["networks"]) & set(SERVICES["prometheus"]["networks"])
        assert "ports" not in SERVICES[service]
    assert PROMETHEUS["rule_files"] == ["alerts.yml"]
    assert set(PROMETHEUS) == {"global", "rule_files", "scrape_configs"}


def test_an_alert_says_what_is_wrong_and_how_bad_it_is() -> None:
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"]["summary"].endswith(".")


def test_the_dashboard_is_provisioned_with_its_source() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = load(provisioning / "datasources" / "prometheus.yml")["datasources"]
    (provider,) = load(provisioning / "dashboards" / "center.yml")["providers"]
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]

    assert source["url"] == "http://prometheus:9090"
    assert provider["options"]["path"] in mounted
    for panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": source["uid"]}


def test_panels_have_their_own_ids_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    taken: set[tuple[int, int]] = set()

    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_the_clusters_monitor_gives_the_same_jobs() -> None:
    monitor = load(KUBERNETES / "overlays" / "monitoring" / "service-monitor.yaml")
    (endpoint,) = monitor["spec"]["endpoints"]

    # Containers are named `api` and `worker`, as the jobs are in compose.
    assert endpoint["relabelings"] == [
        {"sourceLabels": ["__meta_kubernetes_pod_container_name"], "targetLabel": "job"}
    ]


def panels() -> list[Document]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
