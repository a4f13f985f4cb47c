"""Health, readiness, metrics, documentation, and what lies off the declared paths."""

import subprocess
import sys

from prometheus_client import CollectorRegistry

from serving.metrics import Metrics

FEED = "/api/v1/feed/for-you"


def test_a_living_process_is_healthy_whether_or_not_it_is_ready(edge):
    edge.reasons.append("The model is still loading.")
    assert edge.client.get("/health").status_code == 200


def test_readiness_says_why_not_yet(edge):
    assert edge.client.get("/ready").status_code == 200
    edge.reasons.append("The model is still loading.")
    answer = edge.client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "The model is still loading."


def test_metrics_count_requests_by_route_and_degraded_parts_and_events(edge):
    edge.feed.degraded = ("trending",)
    edge.get(FEED)
    edge.get(FEED + "?limit=0")
    edge.get("/api/v1/feed/explain/s1")
    edge.post('[{"kind":"x"}]')
    edge.client.get("/no/such/path")
    text = edge.client.get("/metrics").text
    for line in (
        f'foryou_request_seconds_count{{route="{FEED}",status="200"}} 1.0',
        f'foryou_request_seconds_count{{route="{FEED}",status="400"}} 1.0',
        'foryou_request_seconds_count{route="/api/v1/feed/explain/{slate_id}",status="200"} 1.0',
        'foryou_request_seconds_count{route="unmatched",status="404"} 1.0',
        'foryou_degraded_total{part="trending"} 1.0',
        'foryou_events_total{status="rejected"} 1.0',
    ):
        assert line in text


def test_drawn_pages_and_their_places_are_counted_by_policy():
    metrics = Metrics(CollectorRegistry())
    for policy, places in (("slots", 2), ("slots", 1), ("plackett_luce", 20)):
        metrics.drawn(policy, places)
    text = metrics.exposition().decode()
    for line in (
        'foryou_drawn_pages_total{policy="slots"} 2.0',
        'foryou_drawn_places_total{policy="slots"} 3.0',
        'foryou_drawn_pages_total{policy="plackett_luce"} 1.0',
        'foryou_drawn_places_total{policy="plackett_luce"} 20.0',
    ):
        assert line in text


def test_an_unknown_path_or_method_has_the_same_error_shape(edge):
    assert edge.client.get("/no/such").json()["error"]["code"] == "not_found"
    wrong = edge.client.post(FEED)
    assert wrong.status_code == 405
    assert wrong.json()["error"]["code"] == "method_not_allowed"


def test_the_documentation_names_answers_errors_and_the_bearer_scheme(edge):
    assert edge.client.get("/docs").status_code == 200
    document = edge.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    assert {"FeedPage", "VideoView", "Explanation", "ErrorAnswer", "Like", "Watch"} <= set(schemas)
    operation = document["paths"][FEED]["get"]
    assert set(operation["responses"]) == {"200", "400", "401", "503"}
    assert operation["security"]
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["scheme"], scheme["bearerFormat"]) == ("bearer", "JWT")
    assert "requestBody" in document["paths"]["/api/v1/events"]["post"]


def test_every_reference_in_the_documentation_leads_somewhere(edge):
    document = edge.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]

    def references(node):
        if isinstance(node, dict):
            yield from [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            node = list(node.values())
        if isinstance(node, list):
            for child in node:
                yield from references(child)

    names = {reference.rsplit("/", 1)[-1] for reference in references(document)}
    assert names
    assert names <= set(schemas)


def test_the_serving_path_imports_nothing_of_training_or_of_the_cluster():
    program = (
        "import sys, serving.app, serving.server;"
        "heavy = {'torch', 'mlflow', 'lightgbm', 'ray', 'pandas'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_engines_hooks_time_stages_and_count_outages():
    metrics = Metrics(CollectorRegistry())
    metrics.stage("filter", "seen", 2_000_000)
    metrics.outage("trending")
    text = metrics.exposition().decode()
    assert 'foryou_stage_seconds_sum{kind="filter",stage="seen"} 0.002' in text
    assert 'foryou_stage_outages_total{stage="trending"} 1.0' in text
