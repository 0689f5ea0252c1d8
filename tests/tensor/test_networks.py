"""Networks, losses and optimizers against torch's, from the same weights: one wrong sign or factor would show."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models import tensor as ft
from models.config import Transformer
from models.tensor import nn, optimizers
from models.tensor.checkpoint import load, save
from models.tensor.data import Batches
from models.tensor.decoder import Decoder
from models.tensor.zoo import NETWORKS, Sample, sample
from models.transformer import Decoder as TorchDecoder


def pair(name: str, tmp_path: Path, batch: int = 2, width: int = 32) -> tuple[Sample, Sample]:
    """The same network with the same weights in torch and here."""
    torch.manual_seed(0)
    theirs = sample(name, torch.nn, torch.tensor, batch, width)
    own = sample(name, nn, ft.tensor, batch, width)
    save_file(theirs.model.state_dict(), tmp_path / "weights.safetensors")
    load(own.model, tmp_path / "weights.safetensors")
    if name == "resnet50":  # fifty layers of norms over few values: float32 leaves two digits, in either library
        theirs = replace(theirs, model=theirs.model.double(), inputs=theirs.inputs.double())
        for _, tensor in own.model.named_tensors():
            tensor.data = tensor.data.astype(np.float64)
        own = replace(own, inputs=own.inputs.astype(np.float64))
    for one in (theirs, own):
        if name == "alexnet":
            one.model.classifier.eval()  # dropouts differ
    return own, theirs


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_give_torchs_logits_losses_and_gradients(name: str, tmp_path: Path) -> None:
    own, theirs = pair(name, tmp_path, width=8 if name in ("alexnet", "vgg16", "resnet50") else 32)
    output, expected = own.model(own.inputs), theirs.model(theirs.inputs)
    np.testing.assert_allclose(output.numpy(), expected.detach().numpy(), atol=1e-4)
    loss, wanted = own.loss(output, own.targets), theirs.loss(expected, theirs.targets)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    loss.backward()
    wanted.backward()
    parameters = dict(theirs.model.named_parameters())
    assert {n for n, _ in own.model.named_parameters()} == set(parameters)
    for key, parameter in own.model.named_parameters():
        gradient = parameters[key].grad.numpy()
        np.testing.assert_allclose(parameter.grad.numpy(), gradient, atol=2e-5 + 2e-4 * np.abs(gradient).max())
    save(own.model, tmp_path / "back.safetensors")
    for key, value in load_file(tmp_path / "back.safetensors").items():
        if "running" not in key:
            assert torch.equal(value, theirs.model.state_dict()[key]), key
        else:
            torch.testing.assert_close(value, theirs.model.state_dict()[key])


OPTIMIZERS: list[tuple[Any, Any, dict[str, Any]]] = [
    (optimizers.SGD, torch.optim.SGD, {"lr": 0.1}),
    (optimizers.SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (optimizers.Adam, torch.optim.Adam, {"lr": 0.01}),
    (optimizers.Adam, torch.optim.AdamW, {"lr": 0.01, "betas": (0.8, 0.99), "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("ours", "theirs", "settings"), OPTIMIZERS)
def test_ten_steps_end_at_torchs_weights(ours: Any, theirs: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    own, other = pair("mlp", tmp_path, batch=8)
    steps = ours(own.model.parameters(), **settings), theirs(other.model.parameters(), **settings)
    first = own.model.parameters()[0].numpy().copy()
    for _ in range(10):
        for one, step in zip((own, other), steps, strict=True):
            step.zero_grad()
            one.loss(one.model(one.inputs), one.targets).backward()
            step.step()
    for (_, a), b in zip(own.model.named_parameters(), other.model.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), atol=2e-5)
    assert np.abs(first - own.model.parameters()[0].numpy()).max() > 1e-3


def test_ctc_is_torchs_with_lengths_and_repeats() -> None:
    """Repeated labels need a blank between them; a loss that forgets it is too low."""
    draw = np.random.default_rng(1)
    logits = draw.standard_normal((9, 3, 5)).astype(np.float32)
    targets = np.array([[1, 1, 2], [3, 4, 0], [2, 0, 0]])
    lengths = [9, 7, 5], [3, 2, 1]
    x = ft.tensor(logits, requires_grad=True)
    loss = nn.functional.ctc_loss(ft.log_softmax(x, -1), ft.tensor(targets), *lengths)
    loss.backward()
    y = torch.tensor(logits, requires_grad=True)
    wanted = torch.nn.functional.ctc_loss(torch.log_softmax(y, -1), torch.tensor(targets), *lengths)
    wanted.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "binary_cross_entropy_with_logits"])
def test_losses_are_torchs(name: str) -> None:
    draw = np.random.default_rng(2)
    x, y = draw.standard_normal((4, 5)).astype(np.float32) * 20, draw.random((4, 5)).astype(np.float32)
    ours = getattr(nn.functional, name)(ft.tensor(x), ft.tensor(y)).item()
    assert ours == pytest.approx(getattr(torch.nn.functional, name)(torch.tensor(x), torch.tensor(y)).item(), rel=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_the_decoder_of_btx_gives_the_same_logits_and_its_weights_go_back(tied: bool, tmp_path: Path) -> None:
    """A rotation of other pairs, or gate and up exchanged, would show."""
    config = Transformer(vocabulary=50, width=32, layers=2, heads=2, feed_forward=24, context=16, tied_embeddings=tied)
    theirs, own = TorchDecoder(config), Decoder(config)
    save_file(theirs.state_dict(), tmp_path / "a.safetensors")
    load(own, tmp_path / "a.safetensors")
    tokens = np.random.default_rng(0).integers(0, 50, (3, 12))
    logits = own(ft.tensor(tokens))
    np.testing.assert_allclose(logits.numpy(), theirs(torch.tensor(tokens)).detach().numpy(), atol=1e-4)
    optimizer = optimizers.Adam(own.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(own(ft.tensor(tokens)).reshape(-1, 50), ft.tensor(tokens.reshape(-1))).backward()
        optimizer.step()
    save(own, tmp_path / "b.safetensors")
    theirs.load_state_dict(load_file(tmp_path / "b.safetensors"))
    trained = theirs(torch.tensor(tokens)).detach().numpy()
    np.testing.assert_allclose(own(ft.tensor(tokens)).numpy(), trained, atol=1e-4)
    assert np.abs(trained - logits.numpy()).max() > 0.1


def test_causal_attention_does_not_look_ahead() -> None:
    ft.active.backend.seed(0)
    q, k, v = (ft.randn(2, 3, 6, 4) for _ in range(3))
    full = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).numpy()
    part = nn.functional.scaled_dot_product_attention(q[:, :, :4], k[:, :, :4], v[:, :, :4], is_causal=True).numpy()
    np.testing.assert_allclose(full[:, :, :4], part, atol=1e-6)


def test_gradients_are_clipped_as_torch_clips_them(tmp_path: Path) -> None:
    own, theirs = pair("mlp", tmp_path)
    for one in (own, theirs):
        (one.loss(one.model(one.inputs), one.targets) * 50.0).backward()
    norm = optimizers.clip_gradients(own.model.parameters(), 1.0)
    assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs.model.parameters(), 1.0).item(), rel=1e-5)
    assert norm > 1
    for (_, a), b in zip(own.model.named_parameters(), theirs.model.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-6)


def test_buffers_are_saved_and_not_trained() -> None:
    made = nn.Linear(2, 2)
    made.register_buffer("scale", ft.tensor([1.0, 2.0]))
    assert "scale" in dict(made.named_tensors())
    assert "scale" not in dict(made.named_parameters())


def test_an_image_is_averaged_to_one_value() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    ours = nn.functional.adaptive_avg_pool2d(ft.tensor(x), 1).numpy()
    np.testing.assert_allclose(ours, torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x), 1).numpy(), atol=1e-6)
    with pytest.raises(ValueError, match="only 1 is there"):
        nn.functional.adaptive_avg_pool2d(ft.tensor(x), 2)


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    save(nn.Linear(3, 2), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"weight is \[2, 3\] in a.safetensors and \[2, 4\] here"):
        load(nn.Linear(4, 2), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"a.safetensors has bias, which the network has not"):
        load(nn.Linear(3, 2, bias=False), tmp_path / "a.safetensors")


def test_batches_hold_every_example_once_and_keep_pairs_together() -> None:
    x = np.arange(10)
    batches = Batches([x, x * 2], 4, seed=3)
    passes = [[(a.numpy(), b.numpy()) for a, b in batches] for _ in range(2)]
    for one in passes:
        assert [len(a) for a, _ in one] == [4, 4, 2]
        assert sorted(np.concatenate([a for a, _ in one])) == list(x)
        assert all((b == 2 * a).all() for a, b in one)
    assert not np.array_equal(passes[0][0][0], passes[1][0][0]), "another order each time around"


def test_dropout_keeps_the_mean_and_gradients_only_where_it_kept_values() -> None:
    ft.active.backend.seed(0)
    x = ft.tensor(np.ones(20_000, np.float32), requires_grad=True)
    y = nn.functional.dropout(x, 0.25)
    ft.sum(y).backward()
    assert x.grad is not None
    assert (x.grad.numpy() == y.numpy()).all()
    assert y.numpy().mean() == pytest.approx(1, abs=0.02)
    assert nn.functional.dropout(x, 0.25, training=False) is x
