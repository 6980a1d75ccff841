import math
import os
import signal
import subprocess
import sys

import pytest

from samespace.errors import InvalidInput
from samespace.training.loop import Plan, fit
from samespace.training.run import Checkpoint

torch = pytest.importorskip("torch")

PLAN = Plan(12, 0.5, warmup=0.25, seed=3, checkpoint_seconds=0)


def toy():
    """A line through points with noise, which dropout would be."""
    weights = {"slope": torch.nn.Parameter(torch.zeros(2, 2)), "offset": torch.nn.Parameter(torch.zeros(2))}

    def loss_of(step):
        x = torch.tensor([[float(step % 3), 1.0]])
        noise = 0.1 * torch.randn(1, 2)
        return ((x @ weights["slope"] + weights["offset"] + noise - 2 * x) ** 2).mean()

    return weights, loss_of


def test_warm_up_and_decay():
    factors = [PLAN.factor(step) for step in range(12)]
    assert factors[:3] == [1 / 3, 2 / 3, 1.0]
    assert factors[3:] == pytest.approx([1 - step / 9 for step in range(9)])
    assert Plan(1, 1.0).factor(0) == 1.0


def test_the_loss_falls_and_the_curve_says_so(tmp_path):
    weights, loss_of = toy()
    steps = []
    curve, seconds = fit(weights, loss_of, PLAN, Checkpoint(tmp_path / "m", {}), steps.append)
    assert [step for step, _ in curve] == list(range(1, 13))
    losses = [loss for _, loss in curve]
    assert sum(losses[-3:]) < sum(losses[:3]) / 2
    assert steps[-1].done == steps[-1].total == 12
    assert steps[-1].rate > 0
    assert seconds > 0


def interrupted_at(loss_of, when):
    def stopping(step):
        if step == when:
            os.kill(os.getpid(), signal.SIGINT)
        return loss_of(step)

    return stopping


def test_ctrl_c_ends_after_the_step_and_the_run_goes_on_to_the_same_place(tmp_path):
    weights, loss_of = toy()
    whole_curve, _ = fit(weights, loss_of, PLAN, Checkpoint(tmp_path / "whole", {}))

    rarely = Plan(12, 0.5, warmup=0.25, seed=3, checkpoint_seconds=1e9)
    parts, loss_of = toy()
    with pytest.raises(KeyboardInterrupt):
        fit(parts, interrupted_at(loss_of, 4), rarely, Checkpoint(tmp_path / "m", {}), keep={"note": b"kept"})
    checkpoint = Checkpoint(tmp_path / "m", {})
    assert checkpoint.newest().name == "state-000000000005"
    assert checkpoint.kept("note") == b"kept"

    parts, loss_of = toy()
    torch.manual_seed(99)  # what another process would have
    seen = []
    curve, _ = fit(parts, lambda step: seen.append(step) or loss_of(step), rarely, checkpoint)
    assert seen == list(range(5, 12))
    assert curve == whole_curve
    for name, value in weights.items():
        assert torch.equal(value, parts[name]), name


def test_a_run_that_is_done_only_reads_its_weights(tmp_path):
    weights, loss_of = toy()
    fit(weights, loss_of, PLAN, Checkpoint(tmp_path / "m", {}))
    again, _ = toy()
    fit(again, lambda _step: pytest.fail("a step too many"), PLAN, Checkpoint(tmp_path / "m", {}))
    assert torch.equal(weights["slope"], again["slope"])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_and_the_state_before_is_kept(tmp_path, bad):
    weights, loss_of = toy()
    checkpoint = Checkpoint(tmp_path / "m", {})
    with pytest.raises(InvalidInput, match=r"step 5, .*state-000000000004 holds.*learning rate below 0\.5"):
        fit(weights, lambda step: loss_of(step) * (bad if step == 4 else 1), PLAN, checkpoint)
    state = torch.load(checkpoint.newest() / "state.pt", weights_only=True)
    assert all(value.isfinite().all() for value in state["parameters"].values())


def test_a_gradient_that_is_no_number_never_reaches_the_weights(tmp_path):
    weights, loss_of = toy()

    def loss(step):
        # The square root of 0 is 0, and its slope there is not a number.
        return loss_of(step) + ((weights["offset"] * 0).sum().sqrt() if step == 2 else 0)

    with pytest.raises(InvalidInput, match="step 3"):
        fit(weights, loss, PLAN, Checkpoint(tmp_path / "m", {}))
    assert all(value.isfinite().all() for value in weights.values())


_FULL = """
import resource, sys, torch
from samespace.errors import StorageFull
from samespace.training.loop import Plan, fit
from samespace.training.run import Checkpoint
weights = {"w": torch.nn.Parameter(torch.zeros(100_000))}
def loss_of(step):
    if step == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    return ((weights["w"] - 1) ** 2).mean()
try:
    fit(weights, loss_of, Plan(9, .1, checkpoint_seconds=0), Checkpoint(sys.argv[1], {}))
except StorageFull as error:
    print(error)
    sys.exit(7)
"""


def test_a_disk_that_fills_in_earnest(tmp_path):
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", _FULL, tmp_path / "m"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 7, done.stderr
    assert "state-000000000003 is kept" in done.stdout
    state = torch.load(Checkpoint(tmp_path / "m", {}).newest() / "state.pt", weights_only=True)
    assert state["step"] == 3
