"""A Redis Cluster of real servers, each the master of a third of the slots."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from redis import Redis

from backend.kit.embedded import LOCALHOST, EmbeddedRedis, free_port

SLOTS = 16_384
BUS = 10_000
"""The nodes talk to each other on their port plus this, which must be a port too."""


class ClusterNode(EmbeddedRedis):
    """One node. It counts as lost after a second, and then the others serve what they have."""

    def _arguments(self) -> list[str]:
        options = {
            "cluster-enabled": "yes",
            "cluster-node-timeout": "1000",
            "cluster-require-full-coverage": "no",
        }
        return [
            *super()._arguments(),
            *(part for name, value in options.items() for part in (f"--{name}", value)),
        ]


class Cluster(NamedTuple):
    nodes: list[ClusterNode]

    @property
    def url(self) -> str:
        """The first node's."""
        return f"redis+cluster://{LOCALHOST}:{self.nodes[0].port}"

    def keys(self) -> list[int]:
        """How many keys each node holds."""
        return [client.dbsize() for client in self._ask()]

    def clients(self) -> list[int]:
        """How many connections each node has."""
        return [client.info("clients")["connected_clients"] for client in self._ask()]

    def _ask(self) -> Iterator[Redis]:
        for node in self.nodes:
            with closing(Redis(port=node.port)) as client:
                yield client


@contextmanager
def redis_cluster(folder: Path, size: int = 3) -> Iterator[Cluster]:
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(ClusterNode(folder / str(number), _port_with_bus())) for number in range(size)
        ]
        clients = [stack.enter_context(closing(Redis(port=node.port))) for node in nodes]
        for number, client in enumerate(clients):
            slots = range(SLOTS * number // size, SLOTS * (number + 1) // size)
            client.cluster("ADDSLOTS", *slots)
            client.cluster("MEET", LOCALHOST, nodes[0].port)
        deadline = time.monotonic() + 30
        while not all(_is_whole(client) for client in clients):
            assert time.monotonic() < deadline, "the nodes form no cluster"
            time.sleep(0.05)
        yield Cluster(nodes)


def _is_whole(client: Redis) -> bool:
    info = client.cluster("INFO")
    return bool(info["cluster_state"] == "ok" and int(info["cluster_slots_assigned"]) == SLOTS)


def _port_with_bus() -> int:
    """A free port whose bus is free too, and no port that the system gives to outgoing connections."""
    while True:
        port = free_port()
        if port + BUS < 32_768:
            with suppress(OSError), socket.create_server((LOCALHOST, port + BUS)):
                return port
