"""A worker's counts on a port of its own: what each role has done, and fan-out by tier."""

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from core.errors import ConfigError
from core.settings import Settings
from features.stream.lane import StageMetrics
from features.stream.loop import StageConfig, StageLoop
from features.stream.worker import Worker
from feeds.fanout import TierMetrics
from feeds.fanout_work import PushLoop
from foryou.worker_metrics import WorkerCollector, told_on_a_port


@pytest.fixture
def worker():
    """Two roles that have worked: one on two partitions, the other for authors of every tier."""
    history = StageLoop(
        None, "history", "t", None, StageMetrics(processed=7, retries=1, lag={0: 3, 1: 0}), StageConfig()
    )
    fanout = PushLoop(None, "fanout", "t", None, StageMetrics(processed=4, rejected=2), StageConfig())
    fanout.tiers = {
        "push": TierMetrics(videos=3, followers=12, inboxes=9),
        "active": TierMetrics(videos=2, followers=40, inboxes=31, raised=1),
        "pull": TierMetrics(videos=5, raised=2, lowered=0),
    }
    return Worker({"history": history, "fanout": fanout})


def lines_of(worker):
    registry = CollectorRegistry()
    registry.register(WorkerCollector(worker))
    return generate_latest(registry).decode().splitlines()


def test_what_each_role_has_done_and_what_waits_for_it_is_told(worker):
    assert {
        'foryou_worker_processed_total{role="history"} 7.0',
        'foryou_worker_retries_total{role="history"} 1.0',
        'foryou_worker_rejected_total{role="fanout"} 2.0',
        'foryou_worker_lag{partition="0",role="history"} 3.0',
        'foryou_worker_lag{partition="1",role="history"} 0.0',
    } <= set(lines_of(worker))


def test_fanout_is_counted_by_tier(worker):
    assert {
        'foryou_fanout_videos_total{tier="push"} 3.0',
        'foryou_fanout_inboxes_total{tier="push"} 9.0',
        'foryou_fanout_followers_total{tier="active"} 40.0',
        'foryou_fanout_raised_total{tier="active"} 1.0',
        'foryou_fanout_videos_total{tier="pull"} 5.0',
        'foryou_fanout_raised_total{tier="pull"} 2.0',
        'foryou_fanout_followers_total{tier="pull"} 0.0',
    } <= set(lines_of(worker))


def test_a_worker_that_pushes_nothing_says_nothing_of_tiers(worker):
    assert not any("fanout_" in line for line in lines_of(Worker({"history": worker.roles["history"]})))


def test_the_port_answers_while_the_worker_runs_and_a_taken_one_is_a_sentence(worker):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(metrics_port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="FORYOU_METRICS_PORT"), told_on_a_port(worker, settings):
            pass
    with told_on_a_port(worker, settings):
        address = f"http://127.0.0.1:{settings.metrics_port}/metrics"
        assert 'foryou_worker_processed_total{role="history"} 7.0' in urllib.request.urlopen(address).read().decode()
    with pytest.raises(OSError):
        urllib.request.urlopen(address)


def test_without_a_port_nothing_is_opened(worker):
    with told_on_a_port(worker, Settings()):
        pass
