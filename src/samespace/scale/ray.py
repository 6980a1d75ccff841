"""Workers on Ray: a pool of actors, each with an encoder of its own, does the parts of a job.

Ray Data hands out the parts, not the rows: each worker reads its part of a shard itself, so texts and vectors pass
through no object store. When a worker dies, Ray starts another in its place and hands the part out again.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from samespace.errors import CostExceeded, EncoderError, InvalidInput, MissingExtra, StoreUnavailable
from samespace.scale.cost import Treasury
from samespace.scale.shards import Part
from samespace.scale.work import Job, Outcome, RemoteWorker

__all__ = ["Shape", "cluster", "run", "shape_of"]

_CPUS = 4  # of a worker, where nothing else is said: more of them are better used by another worker
_STORE_BYTES = 200_000_000  # of the object store, through which parts and counts go
_BLOCK_BYTES = 2**20
_PATIENCE = 10.0  # seconds until a cluster must answer
_ATTEMPTS = 10  # workers that may die over one part
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nobody is told that Ray is used
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray Data makes its core warn of what Ray Data does
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # a warning about a default to come
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How many workers there are, and how many CPUs each has."""

    workers: int
    cpus: int


def shape_of(machines: Sequence[int], workers: int | None = None, cpus: int | None = None) -> Shape:
    """Share the CPUs of machines out to workers, each of which is on one machine.

    Args:
        machines: CPUs of each.
        workers: None for as many as fit.
        cpus: of each worker; None for as many as there are for so many workers, or four.

    Raises:
        InvalidInput: so many do not fit.
    """
    if cpus is None and workers is None:
        cpus = max(1, min(_CPUS, max(machines, default=0)))
    if cpus is None:
        sizes = range(max(machines, default=0), 0, -1)
        cpus = next((size for size in sizes if sum(count // size for count in machines) >= (workers or 1)), 1)
    fit = sum(count // cpus for count in machines)
    if (workers or 1) > fit:
        raise InvalidInput(
            f"Expected room for {workers or 1} workers of {cpus} CPUs each; the cluster's machines have "
            f"{', '.join(map(str, machines)) or 'no'} CPUs. Ask for fewer workers, or fewer CPUs for each."
        )
    return Shape(workers or fit, cpus)


@contextmanager
def cluster(
    address: str | None = None, workers: int | None = None, cpus: int | None = None, *, is_remote: bool = True
) -> Iterator[Shape]:
    """A Ray cluster: the one at an address, the one that this process is connected to, or one that is started here.

    Args:
        address: as ``ray.init`` takes it: ``"auto"``, ``"host:6379"``, ``"ray://host:10001"``.
        workers: as of :func:`shape_of`.
        cpus: as of :func:`shape_of`.
        is_remote: workers write to a server; False keeps them on this machine.

    Raises:
        MissingExtra: Ray is not installed.
        InvalidInput: so many workers do not fit; or a folder, and workers on other machines.
        StoreUnavailable: there is no cluster at the address, or none can be started.
    """
    if address is not None:
        _check_reachable(address)
    ray = _ray()
    with _quietly(), ExitStack() as stack:
        if not ray.is_initialized():
            stack.callback(ray.shutdown)
            if address is None:
                cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
                here = shape_of([max(cores, (workers or 1) * (cpus or 1))], workers, cpus)
                _connect(
                    ray,
                    address="local",
                    num_cpus=here.workers * here.cpus,
                    object_store_memory=_STORE_BYTES,
                    include_dashboard=False,
                )
            else:
                _connect(ray, address=address)
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        others = {node["NodeManagerHostname"] for node in nodes} - {socket.gethostname()}
        if others and not is_remote:
            raise InvalidInput(
                f"A folder is written on one machine only, and workers would be on {', '.join(sorted(others))}. "
                "Give the URL of a store, or leave out the address to work on this machine."
            )
        yield shape_of([int(node["Resources"]["CPU"]) for node in nodes], workers, cpus)


def run(job: Job, parts: Sequence[Part], shape: Shape, treasury: Treasury | None = None) -> Iterator[Outcome]:
    """Do the parts on the workers of the cluster, and yield what became of each as it is done.

    Args:
        job: to do.
        parts: of it.
        shape: of the cluster.
        treasury: of what the workers may spend; None for no cap.

    Raises:
        EncoderError: Ray fails in a way that is not ours.
    """
    ray = _ray()
    try:
        if not ray.util.client.ray.is_connected():
            yield from map(Outcome.from_json, _outcomes(job, parts, shape, treasury))
            return
        # By a ray:// address this process is none of the cluster's, and Ray Data works only within one.
        driver = ray.remote(num_cpus=0)(_Driver).remote(job, parts, shape, treasury)
        while (outcome := ray.get(driver.next.remote())) is not None:
            yield Outcome.from_json(outcome)
    except ray.exceptions.RayError as error:
        last = str(error).strip().splitlines()[-1]  # what comes before it is the traceback
        raise EncoderError(f"Ray cannot go on: {last.removesuffix('.')}. What was committed is kept.") from error


def _outcomes(job: Job, parts: Sequence[Part], shape: Shape, treasury: Treasury | None) -> Iterator[str]:
    """As JSON, what became of each part."""
    import ray
    import ray.data

    workers = min(shape.workers, len(parts))
    attempts = ray.remote(num_cpus=0)(_Attempts).remote()
    counter = ray.remote(num_cpus=0)(_Counter).remote(treasury) if treasury else None
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK_BYTES  # or Ray keeps room for results that are much larger than ours
    with ray.data.DataContext.current(context):
        rows = [{"part": json.dumps(asdict(part))} for part in parts]
        outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Actor,  # type: ignore[arg-type]  # it is called once made
            fn_constructor_args=(job, shape.cpus, counter, attempts, _ATTEMPTS),
            num_cpus=shape.cpus,
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
        )
        for row in outcomes.iter_rows():
            yield row["outcome"]


class _Driver:
    """Runs a job within the cluster for a process that is outside."""

    def __init__(self, job: Job, parts: Sequence[Part], shape: Shape, treasury: Treasury | None) -> None:
        self._outcomes = _outcomes(job, parts, shape, treasury)

    def next(self) -> str | None:
        with _quietly():
            return next(self._outcomes, None)


class _Attempts:
    """Counts how often each part was begun, since Ray hands out a part anew for as long as its workers die."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}

    def begin(self, part: str) -> int:
        self._begun[part] = self._begun.get(part, 0) + 1
        return self._begun[part]


class _Counter:
    """Where all workers draw on the treasury."""

    def __init__(self, treasury: Treasury) -> None:
        self._treasury = treasury

    def draw(self, needed: float) -> float | str:
        """What is drawn; or why nothing is, since Ray would wrap an error in its own."""
        try:
            return self._treasury.draw(needed)
        except CostExceeded as error:
            return str(error)

    def settle(self, drawn: float, rest: float) -> None:
        self._treasury.settle(drawn, rest)


class _Purse:
    """What one worker draws at the counter."""

    def __init__(self, counter: Any) -> None:
        self._counter, self._drawn = counter, 0.0

    def draw(self, needed: float = 0.0) -> float:
        import ray

        drawn: float | str = ray.get(self._counter.draw.remote(needed))
        if isinstance(drawn, str):
            raise CostExceeded(drawn)
        self._drawn += drawn
        return drawn

    def give_back(self, rest: float) -> None:
        import ray

        drawn, self._drawn = self._drawn, 0.0
        ray.get(self._counter.settle.remote(drawn, rest))


class _Actor:
    """A worker as Ray Data has it: made on its machine, called with one row after another."""

    def __init__(self, job: Job, cpus: int, counter: Any, attempts: Any, limit: int) -> None:
        self._worker = RemoteWorker(job, cpus, _Purse(counter) if counter else None)
        self._attempts, self._limit = attempts, limit

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import ray

        part = Part(**json.loads(row["part"]))
        attempt = ray.get(self._attempts.begin.remote(row["part"]))
        outcome = self._worker.report(part) if attempt <= self._limit else _given_up(part, self._limit)
        outcome.attempt = attempt
        return {"outcome": outcome.to_json()}


def _given_up(part: Part, limit: int) -> Outcome:
    message = (
        f"{limit} workers died over one part of {part.path}, most likely since their machine had no memory left. "
        "Ask for fewer workers. What they committed is kept, and the same command goes on from there."
    )
    return Outcome(part, error=("EncoderError", message, socket.gethostname()))


def _ray() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what Ray itself uses
            import ray
            import ray.data
            import ray.util.client  # which needs grpc; the extra brings it
    except ImportError as error:
        raise MissingExtra("Ray", "ray") from error
    return ray


def _check_reachable(address: str) -> None:
    """Ray itself would try for minutes."""
    found = urlsplit(address if "://" in address else f"//{address}")
    try:
        if found.hostname and found.port:
            socket.create_connection((found.hostname, found.port), timeout=_PATIENCE).close()
    except (OSError, ValueError) as error:
        raise StoreUnavailable(f"No cluster of Ray at {address!r}: {error}. Is it running?") from error


def _connect(ray: Any, **settings: Any) -> None:
    try:
        with _without_stderr():
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
    except (OSError, RuntimeError, ValueError) as error:
        raise StoreUnavailable(f"No cluster of Ray at {settings['address']!r}: {error}. Is it running?") from error


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Ray's core, which is not Python, says on stderr that it was told to be quiet."""
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@contextmanager
def _quietly() -> Iterator[None]:
    """Ray without its logs and telemetry; what it changes of this process is as it was afterwards."""
    from ray._private import worker

    environment = {name: os.environ.get(name) for name in _QUIET}
    logger = logging.getLogger("ray.data")
    level = logger.level
    is_main = threading.current_thread() is threading.main_thread()
    on_term = signal.getsignal(signal.SIGTERM)
    try:
        os.environ.update(_QUIET)
        logger.setLevel(logging.CRITICAL)  # what goes wrong is raised too
        worker._worker_logs_enabled = False  # as Ray's debugger does; it would tell of dead workers on stdout
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"ray\.")
            warnings.filterwarnings("ignore", category=ResourceWarning, module=r"ray\.")
            yield
    finally:
        worker._worker_logs_enabled = True
        logger.setLevel(level)
        if is_main:
            signal.signal(signal.SIGTERM, on_term)
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
