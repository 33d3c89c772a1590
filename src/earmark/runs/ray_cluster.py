"""The Ray cluster that runs are sent to: the connection, and how much it can train at once."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
from collections.abc import Iterator
from types import ModuleType

from earmark.config.sections import ConfigError, Options
from earmark.runtime.console import pluralize
from earmark.runtime.errors import first_line, missing_extra


def check_ray_installed() -> None:
    """Raise `ConfigError` unless the package ray is installed."""
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(f"executor = 'ray': {missing_extra('ray', 'ray')}")


def import_ray() -> ModuleType:
    """The package ray, set up before its import.

    Raises:
        ConfigError: it is not installed.
    """
    check_ray_installed()
    # otherwise Ray copies the working directory to every worker when the driver was started by `uv run`
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    # otherwise Ray tries for a quarter of an hour to reach a cluster that is gone
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")
    import ray

    return ray


@contextlib.contextmanager
def connected() -> Iterator[ModuleType]:
    """Ray, connected to the cluster; a connection that was open before stays open.

    Raises:
        ConfigError: ray is not installed, no cluster answers, or it is lost.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", "")
    try:
        _check_answers(address)
        ray.init(address="auto", log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        found = f"no answer from RAY_ADDRESS={address}" if address else "no cluster found from this machine"
        raise ConfigError(
            f"executor = 'ray': {found} ({first_line(error)}); "
            "start one with `ray start --head`, or set RAY_ADDRESS=host:port of a running one"
        ) from None
    try:
        yield ray
    except ray.exceptions.RayError as error:
        reason = first_line(error)
        raise ConfigError(f"executor = 'ray': lost the cluster ({reason}); run the command again to resume") from None
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise `OSError` unless a server listens at `host:port` or `ray://host:port`; Ray itself notices after minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()


def describe_cluster(ray: ModuleType, n_runs: int, options: Options) -> str:
    """What is sent where, in one line."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = (sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU"))
    text = (
        f"Ray: {pluralize(n_runs, 'run')} with {options.ray_cpus:g} CPUs and {options.ray_gpus:g} GPUs each; "
        f"{pluralize(len(nodes), 'node')} with {cpus:g} CPUs and {gpus:g} GPUs in total"
    )
    if any(node.get("CPU", 0) >= options.ray_cpus and node.get("GPU", 0) >= options.ray_gpus for node in nodes):
        return text
    return f"{text}; no node has enough for one run, so they wait until one joins (see --ray-cpus, --ray-gpus)"


def n_slots(ray: ModuleType, options: Options) -> int:
    """How many runs the cluster can train at once, as it is now."""
    available = ray.cluster_resources()
    wanted = {"CPU": options.ray_cpus, "GPU": options.ray_gpus}
    return min(int(available.get(kind, 0) / amount) for kind, amount in wanted.items() if amount)
