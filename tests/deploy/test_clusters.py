"""The clusters of several nodes that tests may ask for."""

import pytest

from core.errors import ForyouError
from deploy.kafka_cluster import KafkaCluster
from tests.deploy import clients
from tests.integration import servers


def test_a_redis_cluster_of_three_serves_every_slot():
    from redis import RedisCluster

    ports = servers.require_redis_cluster()
    client = RedisCluster(host="127.0.0.1", port=ports[0])
    keys = [servers.unique("spread") for _ in range(60)]
    for key in keys:
        client.set(key, key)
    assert [client.get(key).decode() for key in keys] == keys
    masters = {client.get_node_from_key(key).port for key in keys}
    client.close()
    assert masters == set(ports)


@pytest.mark.slow
def test_what_three_brokers_acknowledged_is_there_without_one_of_them(tmp_path):
    cluster = KafkaCluster(tmp_path)
    try:
        write, read = clients.kafka(cluster.up(), replicas=3)
        write("kept")
        cluster.nodes[0].kill()
        assert read() == "kept"
    except ForyouError as error:
        servers.give_up(error.sentence)
    finally:
        cluster.remove()
