# License: BSD-3-Clause
"""The net: whole steps against NumPy, what is watched, and what interrupts it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from skorch.callbacks import BatchScoring, Callback, EpochScoring
from torch import nn
from torch.nn import functional as F

from mne_neurorvq.finetuning import (
    Recipe,
    WeightedLoss,
    WeightedTrials,
    finish_training,
    history_of,
    make_net,
)


class TwoLayers(nn.Module):
    """A network of three tensors, named as those of the models are."""

    def __init__(self, n_inputs=3, n_outputs=2):
        super().__init__()
        self.encoder = nn.Linear(n_inputs, 2, bias=False)
        self.final_layer = nn.Linear(2, n_outputs)

    def forward(self, x):
        return self.final_layer(self.encoder(x))


@pytest.fixture
def trials():
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((11, 3)).astype(np.float32),
        np.array([0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0]),
        rng.uniform(0.2, 3, 11),
    )


def module():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return TwoLayers()


def fit(trials, validation=None, callbacks=(), loss=F.cross_entropy, verbose=False, **settings):
    settings = {"layer_decay": 0.5, "weight_decay": 0.2, "warmup_epochs": 1} | settings
    recipe = Recipe(**({"max_epochs": 3, "batch_size": 32, "lr": 0.05} | settings))
    net = make_net(
        module(),
        loss,
        recipe,
        n_trials=len(trials[0]),
        validation=validation,
        classify=loss is F.cross_entropy,
        callbacks=callbacks,
        device=torch.device("cpu"),
        generator=torch.Generator().manual_seed(0),
        verbose=verbose,
    )
    return net.fit(WeightedTrials(*trials), None)


def numpy_adamw(trials, rates, factors, decay):
    """Steps of AdamW over all trials, written out; rates are those of the three tensors."""
    x, y, weights = trials
    x, weights = x.astype(np.float64), weights.astype(np.float32).astype(np.float64)
    tensors = [p.detach().numpy().astype(np.float64) for p in module().parameters()]
    first, second = ([np.zeros_like(p) for p in tensors] for _ in range(2))
    losses = []
    for step, factor in enumerate(factors, start=1):
        hidden = x @ tensors[0].T
        probabilities = softmax(hidden @ tensors[1].T + tensors[2], axis=1)
        share = weights / weights.sum()
        losses.append(-share @ np.log(probabilities[np.arange(len(y)), y]))
        error = share[:, None] * (probabilities - np.eye(2)[y])
        gradients = [(error @ tensors[1]).T @ x, error.T @ hidden, error.sum(0)]
        for i, gradient in enumerate(gradients):
            first[i] = 0.9 * first[i] + 0.1 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            mean, square = first[i] / (1 - 0.9**step), second[i] / (1 - 0.999**step)
            rate = rates[i] * factor
            tensors[i] = tensors[i] * (1 - rate * decay) - rate * mean / (np.sqrt(square) + 1e-8)
    return tensors, losses


def test_three_steps_are_those_of_adamw_written_out(trials):
    net = fit(trials)
    # Tensor 0 of 3 is three below the head; the warm-up is one step of three.
    expected, losses = numpy_adamw(trials, [0.05 * 0.5**3, 0.05, 0.05], [0.1, 1.0, 0.55], decay=0.2)
    for found, tensor in zip(net.module_.parameters(), expected, strict=True):
        assert_allclose(found.detach(), tensor, rtol=0, atol=2e-6)
    assert_allclose([row["train_loss"] for row in history_of(net)], losses, rtol=1e-5)


def test_a_batch_of_any_size_weighs_by_the_weights_within_it(trials):
    x, y, weights = (torch.as_tensor(part) for part in trials)
    logits = module()(x)
    # torch's weighted cross entropy is the published loss.
    expected = F.cross_entropy(logits, y, weight=torch.tensor([0.5, 2.0]))
    of_trial = torch.tensor([0.5, 2.0])[y]
    assert_allclose(
        WeightedLoss(F.cross_entropy)(logits, (y, of_trial)).item(), expected.item(), rtol=1e-6
    )
    alone = WeightedLoss(F.cross_entropy)(logits[:1], (y[:1], weights[:1]))
    assert_allclose(alone.item(), F.cross_entropy(logits[:1], y[:1]).item(), rtol=1e-6)


def test_values_are_compared_by_the_squared_error(trials):
    outputs, targets = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0.0], [2.0], [1.0]])
    loss = WeightedLoss(F.mse_loss)(outputs, (targets, torch.tensor([1.0, 5.0, 2.0])))
    assert loss.item() == pytest.approx((1 + 0 + 2 * 9) / 8)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 32])
def test_what_is_watched_does_not_depend_on_batches(trials, batch_size):
    x, y, weights = trials
    order = np.argsort(y)  # batches of one class each
    validation = WeightedTrials(x, y, (weights / weights.mean())[order], order)
    net = fit(trials, validation, lr=1e-12, max_epochs=1, batch_size=batch_size)
    logits = module()(torch.tensor(x)).detach().numpy()
    losses = -np.log(softmax(logits, axis=1)[np.arange(len(y)), y])
    row = history_of(net)[0]
    assert row["valid_loss"] == pytest.approx(np.average(losses, weights=weights), rel=1e-5)
    assert row["valid_balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(y, logits.argmax(1))
    )


def test_balanced_accuracy_leaves_out_classes_that_no_watched_trial_has(trials):
    x, y, weights = trials
    only = np.flatnonzero(y == 1)
    net = fit(trials, WeightedTrials(x, y, weights[only], only), lr=1e-12, max_epochs=1)
    expected = (module()(torch.tensor(x[only])).argmax(1) == 1).double().mean().item()
    assert history_of(net)[0]["valid_balanced_accuracy"] == pytest.approx(expected)


def test_scores_of_scikit_learn_can_be_watched(trials):
    x, y, weights = trials
    validation = WeightedTrials(x, y, weights)
    watched = [
        EpochScoring("accuracy", lower_is_better=False),
        EpochScoring("accuracy", lower_is_better=False, on_train=True, name="train_accuracy"),
        BatchScoring("neg_log_loss", lower_is_better=False, name="log_loss"),
    ]
    net = fit(trials, validation, watched, lr=1e-12, max_epochs=1)
    logits = module()(torch.tensor(x)).detach().numpy()
    losses = np.log(softmax(logits, axis=1)[np.arange(len(y)), y])
    row = history_of(net)[0]
    assert row["accuracy"] == row["train_accuracy"] == np.mean(logits.argmax(1) == y)
    assert row["log_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    assert_allclose(net.predict_proba(x), softmax(logits, axis=1), rtol=1e-5)
    assert_array_equal(net.predict(x), logits.argmax(1))


class Interrupts(Callback):
    """Ends training as Ctrl-C does, at a chosen moment of the second epoch."""

    def __init__(self, moment):
        self.moment = moment

    def __getattribute__(self, name):
        if name.startswith("on_") and name == object.__getattribute__(self, "moment"):
            return self._interrupt
        return object.__getattribute__(self, name)

    def _interrupt(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["on_epoch_begin", "on_batch_begin", "on_batch_end"])
def test_an_interruption_within_an_epoch_is_passed_on(trials, moment):
    with pytest.raises(KeyboardInterrupt):
        fit(trials, callbacks=[Interrupts(moment)])


def test_a_callback_may_end_training_after_an_epoch(trials):
    net = fit(trials, callbacks=[Interrupts("on_epoch_end")])
    assert [row["epoch"] for row in history_of(net)] == [1, 2]


def test_every_epoch_has_all_trials_in_an_order_of_its_own(trials):
    orders = []

    class Remember(Callback):
        def on_epoch_begin(self, net, **kwargs):
            orders.append([])

        def on_batch_begin(self, net, batch=None, **kwargs):
            orders[-1].extend(batch[0][:, 0].tolist())

    fit(trials, callbacks=[Remember()], batch_size=4)
    assert [sorted(order) for order in orders] == 3 * [sorted(trials[0][:, 0].tolist())]
    assert len(set(map(tuple, orders))) == 3


def test_callbacks_may_bring_their_names_and_stay_as_they_were(trials):
    mine = EpochScoring("accuracy", on_train=True)
    net = fit(trials, callbacks=[("mine", mine)])
    assert "mine" in dict(net.callbacks_)
    assert not hasattr(mine, "best_score_")  # skorch initialised a copy


def test_the_history_is_plain_and_has_no_batches(trials):
    validation = WeightedTrials(*trials)
    rows = history_of(fit(trials, validation))
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert set(row) == {
            "epoch",
            "train_loss",
            "valid_loss",
            "valid_balanced_accuracy",
            "seconds",
        }
        assert {type(value) for value in row.values()} <= {int, float}


def test_a_trained_net_holds_neither_trials_nor_the_moments_of_its_optimiser():
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((2000, 3)).astype(np.float32)
    trials = signals, np.arange(2000) % 2, np.ones(2000)
    net = fit(trials, WeightedTrials(*trials), patience=2, max_epochs=1)
    size = len(pickle.dumps(net))
    finish_training(net)
    assert len(pickle.dumps(net)) < signals.nbytes < size
    assert not net.optimizer_.state
    again = pickle.loads(pickle.dumps(net))
    assert_array_equal(again.predict_proba(signals[:5]), net.predict_proba(signals[:5]))
    assert again.module is again.module_


def test_a_trained_net_writes_its_weights_once(trials):
    net = fit(trials)
    net.module = net.module_ = nn.Linear(100, 100)
    finish_training(net)
    assert len(pickle.dumps(net)) < 2 * 4 * 100 * 101


@pytest.mark.parametrize("scoring", ["roc_auc", "average_precision", "neg_log_loss", "f1"])
def test_scores_of_probabilities_can_be_watched(trials, scoring):
    signals, targets, weights = trials
    watched = WeightedTrials(signals, targets, weights)
    score = EpochScoring(scoring, lower_is_better=False, name="score")
    net = fit(trials, validation=watched, callbacks=[score])
    if scoring == "roc_auc":
        with torch.no_grad():
            logits = net.module_(torch.as_tensor(signals)).numpy()
        expected = roc_auc_score(targets, logits[:, 1] - logits[:, 0])
        assert_allclose(net.history[-1]["score"], expected)
    assert np.isfinite(net.history[:, "score"]).all()


@pytest.mark.parametrize("bf16", [False, True])
def test_every_training_step_computes_in_the_precision_asked_for(trials, bf16):
    seen = []

    class Spy(TwoLayers):
        def forward(self, x):
            output = super().forward(x)
            seen.append(output.dtype)
            return output

    net = make_net(
        Spy(),
        F.cross_entropy,
        Recipe(2, 4, 0.05, 1.0, 0.0, 0, bf16=bf16),
        n_trials=11,
        validation=WeightedTrials(*trials),
        classify=True,
        callbacks=(),
        device=torch.device("cpu"),
        generator=torch.Generator().manual_seed(0),
        verbose=False,
    )
    net.fit(WeightedTrials(*trials), None)
    assert set(seen) == {torch.bfloat16 if bf16 else torch.float32}


def test_any_lower_loss_counts_as_lower(trials):
    net = fit(trials, validation=WeightedTrials(*trials), patience=1, lr=1e-7, max_epochs=4)
    assert len(net.history) == 4  # each a little lower than the one before


@pytest.mark.parametrize("parts", [1, 3, 4, 11, 50])
def test_a_batch_in_several_passes_is_one_step(trials, parts):
    expected, net = fit(trials), fit(trials, trials_per_pass=parts)
    for one, other in zip(expected.module_.parameters(), net.module_.parameters(), strict=True):
        assert_allclose(other.detach(), one.detach(), rtol=0, atol=2e-6)
    losses = [[row["train_loss"] for row in history_of(each)] for each in (expected, net)]
    assert_allclose(*losses, rtol=1e-5)


class Gradients(Callback):
    """Keeps the norm of the gradient of every step."""

    def __init__(self):
        self.norms = []

    def on_batch_end(self, net, **kwargs):
        parts = [p.grad.flatten() for p in net.module_.parameters()]
        self.norms.append(torch.cat(parts).norm().item())


def test_gradients_are_shortened_to_the_norm_asked(trials):
    free, short = (
        dict(fit(trials, callbacks=[("seen", Gradients())], max_norm=m).callbacks_)["seen"].norms
        for m in (None, 0.01)
    )
    assert min(free) > 0.02
    assert_allclose(short, 0.01, rtol=1e-3)


def test_the_epoch_with_the_best_accuracy_may_be_taken(trials):
    validation = WeightedTrials(*trials)
    settings = {"patience": 6, "max_epochs": 6, "lr": 0.3, "layer_decay": 1.0}
    net = fit(trials, validation, best="balanced_accuracy", **settings)
    rows = history_of(net)
    accuracies = [row["valid_balanced_accuracy"] for row in rows]
    assert len(rows) == 6
    logits = net.module_.eval()(torch.tensor(trials[0])).detach().numpy()
    assert balanced_accuracy_score(trials[1], logits.argmax(1)) == pytest.approx(max(accuracies))
    best, lowest = np.argmax(accuracies), np.argmin([row["valid_loss"] for row in rows])
    assert best != lowest


def test_lines_of_training_have_no_colours_where_there_is_no_terminal(trials, capsys):
    fit(trials, validation=WeightedTrials(*trials), verbose=True)
    said = capsys.readouterr().out
    assert "valid_loss" in said
    assert "\x1b" not in said
