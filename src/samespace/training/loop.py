"""The loop that trains a torch model, and can be killed at any moment and gone on with.

Hugging Face's Trainer is the usual loop. This one is used instead because every step here is a function of its
number: the batch, the learning rate and the random numbers all follow from (seed, step). So a checkpoint needs
only weights, optimizer and step, and a run that went on ends in the same weights as one that was never stopped.
"""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from samespace.errors import InvalidInput, MissingExtra
from samespace.training.run import Checkpoint, Progress, Step, held_interrupt, write_file

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

__all__ = ["Plan", "count", "fit", "rate", "require_torch", "share", "torch_threads"]

_POINTS = 500  # of a curve, at most
_SECONDS_BETWEEN_REPORTS = 0.2
_NORM = 1.0  # gradients are clipped to this length (Pascanu et al. 2013), as BERT's were
_STATE = "state.pt"


@dataclass(frozen=True)
class Plan:
    """How a model is trained: AdamW, warm-up to ``learning_rate`` and linear decay to 0 (Devlin et al. 2019).

    Attributes:
        steps: in all.
        learning_rate: at its highest.
        warmup: part of the steps until then.
        seed: of everything random.
        weight_decay: of matrices; vectors (biases, gains) have none.
        checkpoint_seconds: between two checkpoints; 0: one after every step.
    """

    steps: int
    learning_rate: float
    warmup: float = 0.1
    seed: int = 0
    weight_decay: float = 0.01
    checkpoint_seconds: float = 60.0

    def factor(self, step: int) -> float:
        """The learning rate of a step (from 0), as a part of the highest."""
        warm = max(1, round(self.warmup * self.steps))
        return min((step + 1) / warm, (self.steps - step) / max(1, self.steps - warm), 1.0)


def fit(
    parameters: Mapping[str, Parameter],
    loss_of: Callable[[int], Tensor],
    plan: Plan,
    checkpoint: Checkpoint,
    progress: Progress | None = None,
    keep: Mapping[str, bytes] | None = None,
) -> tuple[list[tuple[int, float]], float]:
    """Train until the last step, from the newest state of the checkpoint if there is one.

    Args:
        parameters: to train, by name; they are changed in place.
        loss_of: the loss of a step, from 0. Must be a function of the step's number and the parameters.
        plan: how.
        checkpoint: where states are kept.
        progress: called a few times a second.
        keep: files to keep beside the weights, by name: what the run found out before it trained.

    Returns:
        The curve, as (step, mean loss since the point before), and the seconds of all parts of the run.

    Raises:
        InvalidInput: the loss became NaN or infinite; the last checkpoint is kept.
        KeyboardInterrupt: Ctrl-C, after the checkpoint of the step that was being done was written.
        StorageFull: no space left for a checkpoint; the one before is kept.
    """
    import torch

    matrices = [each for each in parameters.values() if each.ndim >= 2]
    vectors = [each for each in parameters.values() if each.ndim < 2]
    groups = [{"params": matrices, "weight_decay": plan.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=plan.learning_rate)
    step, curve, window, before = 0, list[tuple[int, float]](), list[float](), 0.0
    if (newest := checkpoint.newest()) is not None:
        state = torch.load(newest / _STATE, weights_only=True)
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(state["parameters"][name])
        optimizer.load_state_dict(state["optimizer"])
        step, window, before = state["step"], state["window"], state["seconds"]
        curve = [(at, loss) for at, loss in state["curve"]]

    begun = time.monotonic() - before

    def save() -> None:
        state = {
            "parameters": dict(parameters),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "window": window,
            "curve": curve,
            "seconds": time.monotonic() - begun,
        }

        def fill(folder: Path) -> None:
            for name, content in (keep or {}).items():
                write_file(folder / name, content)
            with (folder / _STATE).open("wb") as file:
                try:
                    torch.save(state, file)
                except RuntimeError as error:  # torch's, about what is left half done when the disk is full
                    if isinstance(error.__context__, OSError):
                        raise error.__context__ from None
                    raise

        checkpoint.save(step, fill)

    if newest is None:
        save()  # what the run found out before it trained must not be found out again
    every = max(1, plan.steps // _POINTS)
    pace = _Pace(progress, plan.steps, step)
    saved = time.monotonic()
    with held_interrupt() as interrupted:
        while step < plan.steps:
            torch.manual_seed(_seed(plan.seed, step))
            for group in optimizer.param_groups:
                group["lr"] = plan.learning_rate * plan.factor(step)
            loss = loss_of(step)
            value = loss.item()
            if math.isfinite(value):
                loss.backward()  # type: ignore[no-untyped-call]
                norm = torch.nn.utils.clip_grad_norm_(list(parameters.values()), _NORM).item()
            if not math.isfinite(value) or not math.isfinite(norm):
                raise InvalidInput(
                    f"The loss became {value} at step {step + 1:,}, so training stopped; {checkpoint.newest()} holds "
                    f"the last good state. Train again into another folder with a learning rate below "
                    f"{plan.learning_rate:g}."
                )
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            window.append(value)
            if step % every == 0 or step == plan.steps:
                curve.append((step, sum(window) / len(window)))
                window.clear()
            pace.report(step, value)
            if interrupted():
                save()
                raise KeyboardInterrupt
            if step == plan.steps or time.monotonic() - saved >= plan.checkpoint_seconds:
                save()
                saved = time.monotonic()
    return curve, time.monotonic() - begun


class _Pace:
    """Calls progress a few times a second, with the loss smoothed and the rate since the beginning."""

    def __init__(self, progress: Progress | None, total: int, first: int) -> None:
        self._progress, self._total, self._first = progress, total, first
        self._begun = self._last = time.monotonic()
        self._loss = math.nan

    def report(self, step: int, loss: float) -> None:
        self._loss = loss if math.isnan(self._loss) else 0.95 * self._loss + 0.05 * loss
        now = time.monotonic()
        if self._progress is None or (now - self._last < _SECONDS_BETWEEN_REPORTS and step < self._total):
            return
        self._last = now
        rate = (step - self._first) / max(now - self._begun, 1e-9)
        self._progress(Step(step, self._total, self._loss, rate))


def _seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])


def require_torch(*more: str) -> None:
    """Raise MissingExtra unless torch and the libraries of training are installed; loads none of them."""
    for name in ("torch", "transformers", "sentence_transformers", *more):
        if importlib.util.find_spec(name) is None:
            raise MissingExtra("Training", "train")


@contextmanager
def torch_threads(threads: int | None) -> Iterator[None]:
    """Let torch use that many threads in the body; None leaves it as it is."""
    import torch

    before = torch.get_num_threads()
    if threads is not None:
        torch.set_num_threads(count("threads", threads))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def count(name: str, value: Any, least: int = 1) -> int:
    """Check a setting that counts something.

    Raises:
        InvalidInput: it is not an int of at least ``least``.
    """
    if type(value) is not int or value < least:
        raise InvalidInput(f"{name} must be an int of at least {least}, got {value!r}.")
    return value


def rate(name: str, value: Any) -> float:
    """Check a setting that must be a positive finite number, such as a learning rate."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InvalidInput(f"{name} must be a positive number, got {value!r}.")
    return float(value)


def share(name: str, value: Any) -> float:
    """Check a setting that is a part of a whole: from 0, and less than 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise InvalidInput(f"{name} must be a number from 0 to less than 1, got {value!r}.")
    return float(value)
