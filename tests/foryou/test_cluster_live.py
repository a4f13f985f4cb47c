"""A replica whose background has ended says that it must not be asked."""

import asyncio

from foryou.cluster_live import ClusterLive


def test_a_replica_is_ready_until_what_follows_the_cluster_has_ended(caplog):
    async def told():
        gone = asyncio.Event()

        async def follow():
            await gone.wait()
            raise ValueError("a bug")

        live = ClusterLive(None, None, [follow])
        await live.start()
        before = live.fault
        gone.set()
        await asyncio.sleep(0.01)
        after = live.fault
        await live.stop()
        return before, after

    before, after = asyncio.run(told())
    assert before == ""
    assert "restart it" in after
    assert "has ended" in caplog.text
