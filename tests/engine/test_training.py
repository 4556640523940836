"""The loop: what it logs, what it keeps, what survives a kill, and what a player's update touches."""

import numpy as np
import pytest
import torch
from torch import nn

from advad.engine.training import (
    DivergedError,
    Networks,
    Stage,
    TrainingState,
    choose_device,
    epoch_seed,
    seeded,
    train,
)
from advad.images import as_float


def new_run(lr=0.1):
    torch.manual_seed(0)
    networks = Networks(a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    optimisers = {name: torch.optim.Adam(getattr(networks, name).parameters(), lr=lr, fused=True) for name in "ab"}
    return TrainingState(networks, optimisers, seed=7)


def image_batch(n=10):
    return torch.rand((n, 1, 2, 2), generator=torch.Generator().manual_seed(0))


def loss_a(networks, x):
    value = networks.b(networks.a(x.flatten(1))).square().mean()
    return value, {"square": value}


def step_a(update, x):
    update("a", loss_a, x)


def weights(run):
    return {name: tensor.clone() for name, tensor in run.networks.state_dict().items()}


def test_update_steps_its_own_player_alone():
    run = new_run()
    before = weights(run)
    train(run, [Stage("only", 1, step_a)], image_batch(), batch_size=5, progress=False)
    after = weights(run)
    assert not torch.equal(before["a.weight"], after["a.weight"])
    assert torch.equal(before["b.weight"], after["b.weight"])
    assert run.networks.b.weight.grad is None


def test_one_step_equals_adam_by_hand():
    """First step of Adam: w − lr · g / (|g| + ε), whatever the size of the gradient."""
    run = new_run(lr=0.1)
    x = image_batch(4)
    loss, _ = loss_a(run.networks, x)
    (gradient,) = torch.autograd.grad(loss, run.networks.a.weight)
    expected = run.networks.a.weight.detach() - 0.1 * gradient / (gradient.abs() + 1e-8)
    train(run, [Stage("only", 1, step_a)], x, batch_size=4, progress=False)
    assert torch.allclose(run.networks.a.weight, expected, atol=1e-6)


def test_history_holds_the_mean_of_the_batches():
    run, seen = new_run(lr=1e-3), []

    def step(update, x):
        seen.append(float(loss_a(update.networks, x)[0].detach()))
        update("a", loss_a, x)

    train(run, [Stage("first", 1, step), Stage("second", 1, step)], image_batch(10), batch_size=4, progress=False)
    assert run.history["epoch"] == [1, 2]
    assert run.history["stage"] == ["first", "second"]
    assert run.history["a_loss"] == pytest.approx([np.mean(seen[:3]), np.mean(seen[3:])])
    assert run.history["square"] == run.history["a_loss"]
    assert all(seconds > 0 for seconds in run.history["seconds"])


def test_a_quantity_that_a_stage_lacks_is_none_there():
    run = new_run()
    other = Stage("b", 1, lambda update, x: update("b", lambda n, x: (n.b(x.flatten(1)).mean(), {}), x))
    train(run, [Stage("a", 2, step_a), other], image_batch(), batch_size=5, progress=False)
    assert run.history["b_loss"][:2] == [None, None]
    assert run.history["a_loss"][2] is None


def test_batches_cover_every_image_once_and_differ_by_one_at_most():
    run, seen = new_run(), []
    stage = Stage("only", 2, lambda update, x: seen.append(update.index.tolist()))
    train(run, [stage], image_batch(11), batch_size=4, progress=False)
    sizes = [len(index) for index in seen]
    assert sizes == [4, 4, 3] * 2
    first, second = sum(seen[:3], []), sum(seen[3:], [])
    assert sorted(first) == sorted(second) == list(range(11))
    assert first != second


def test_begin_is_called_once_and_its_memory_is_kept():
    run, calls = new_run(), []

    def begin(run, images):
        calls.append(len(images))
        run.buffers["mean"] = images.mean()

    train(run, [Stage("a", 3, step_a), Stage("b", 2, step_a, begin)], image_batch(), batch_size=5, progress=False)
    assert calls == [10]
    assert run.buffers["mean"] == image_batch().mean()
    again = new_run()
    again.restore(run.tensors(), run.metadata())
    assert again.buffers["mean"] == run.buffers["mean"]


def test_training_and_callbacks_leave_the_global_generator_alone():
    results = []
    for disturb in (False, True):
        run = new_run()

        def noisy(update, x):
            update("a", loss_a, nn.functional.dropout(x, 0.5))  # dropout draws from the global generator

        torch.manual_seed(1)
        on_epoch = (lambda run: torch.rand(100)) if disturb else None
        train(run, [Stage("only", 3, noisy)], image_batch(), batch_size=5, progress=False, on_epoch=on_epoch)
        if not disturb:
            after = torch.rand(1)
            torch.manual_seed(1)
            assert torch.equal(after, torch.rand(1))
        results.append(weights(run))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_divergence_names_term_and_epoch_and_keeps_the_last_good_state():
    run = new_run()

    def step(update, x):
        update("a", lambda n, x: (n.a(x.flatten(1)).mean() * (np.nan if update.epoch == 2 else 1), {}), x)

    with pytest.raises(DivergedError, match=r"toy: a_loss is not finite in epoch 3 \(only\).*smaller learning_rate"):
        train(run, [Stage("only", 5, step)], image_batch(), batch_size=5, name="toy", progress=False)
    assert all(torch.isfinite(w).all() for w in run.networks.state_dict().values())
    assert run.epoch == len(run.history.get("epoch", [])) <= 2


def test_interrupt_keeps_a_whole_number_of_epochs_and_stores_it(tmp_path):
    run, stored = new_run(), []

    def step(update, x):
        if update.epoch == 2:
            raise KeyboardInterrupt
        step_a(update, x)

    def slow(run):  # each epoch takes over a second on the clock: a copy is due after each
        clock[0] += 2

    clock = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("advad.engine.training.time.monotonic", lambda: clock.__setitem__(0, clock[0] + 1) or clock[0])
        with pytest.raises(KeyboardInterrupt):
            train(
                run,
                [Stage("only", 5, step)],
                image_batch(),
                batch_size=5,
                progress=False,
                checkpoint=lambda run: stored.append(run.epoch),
                on_epoch=slow,
            )
    assert run.epoch == 2
    assert stored == [2]
    clean = train(new_run(), [Stage("only", 2, step_a)], image_batch(), batch_size=5, progress=False)
    assert all(torch.equal(weights(run)[name], weights(clean)[name]) for name in weights(run))


def test_restored_moments_lie_in_memory_as_their_weights_do():
    """A fused optimiser walks weight and moment side by side; channels_last weights need such moments."""

    def conv_run():
        torch.manual_seed(0)
        networks = Networks(a=nn.Conv2d(3, 4, 3)).to(memory_format=torch.channels_last)
        return TrainingState(networks, {"a": torch.optim.Adam(networks.parameters(), fused=True)})

    def step(update, x):
        update("a", lambda n, x: (n.a(x).square().mean(), {}), x)

    x = torch.rand(6, 3, 5, 5)
    straight = train(conv_run(), [Stage("only", 6, step)], x, batch_size=3, progress=False)
    half = train(conv_run(), [Stage("only", 3, step)], x, batch_size=3, progress=False)
    resumed = conv_run()
    resumed.restore({k: v.contiguous() for k, v in half.tensors().items()}, half.metadata())
    train(resumed, [Stage("only", 6, step)], x, batch_size=3, progress=False)
    assert torch.equal(straight.networks.a.weight, resumed.networks.a.weight)


def test_epoch_seeds_are_distinct():
    seeds = {epoch_seed(seed, epoch) for seed in range(30) for epoch in range(300)}
    assert len(seeds) == 9000


def test_seeded_gives_the_same_generator_and_restores_the_global_one():
    before = torch.random.get_rng_state()
    draws = []
    for _ in range(2):
        with seeded(3, torch.device("cpu")) as generator:
            draws.append((torch.rand(2, generator=generator), torch.rand(2)))
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_as_float():
    assert as_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])
    x = torch.rand(3)
    assert as_float(x) is x


def test_choose_device():
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cuda", "mps", "cpu")
    with pytest.raises(ValueError, match="AE: device must be one of 'auto', 'cpu', 'cuda', 'mps'; got 'gpu'"):
        choose_device("gpu", "AE")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device must be one that this machine has; got 'cuda'"):
            choose_device("cuda")
