"""How optimisers are made: what their class refuses is a sentence, said before anything is loaded."""

from functools import partial

import pytest
import torch

from vmc.errors import VmcError
from vmc.training.optimizers import check_optimizer, make_optimizer


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (
            partial(torch.optim.SGD, lr=0.1, momentum=-1),
            r"optimizer is SGD, which refuses .* momentum value: -1\)",
        ),
        (partial(torch.optim.SGD, lr=0.1, nesterov=True), r"optimizer is SGD, which refuses its settings \(Nesterov"),
        (partial(torch.optim.AdamW, betas=[2, 2]), r"optimizer is AdamW, which refuses .* index 0: 2\); correct them"),
        (partial(torch.optim.AdamW, betas=5), r"optimizer is AdamW, which refuses its settings \(.*\); correct them"),
        (partial(torch.optim.AdamW, nobody=5), r"optimizer is AdamW, which refuses its settings \(.*nobody"),
    ],
)
def test_settings_that_a_class_refuses_are_a_sentence(factory, sentence):
    with pytest.raises(VmcError, match=sentence):
        check_optimizer(factory)
    with pytest.raises(VmcError, match=sentence):
        make_optimizer(factory, [{"params": [torch.nn.Parameter(torch.zeros(1))]}])


def test_they_are_refused_before_anything_is_loaded(train, tmp_path, monkeypatch):
    monkeypatch.setattr("vmc.models.unet3d.UNet3D.unet", lambda *_, **__: pytest.fail("a model is loaded"))
    with pytest.raises(VmcError, match="optimizer is SGD, which refuses its settings"):
        train("optimizer._target_=torch.optim.SGD", "~optimizer.betas", "~optimizer.eps", "+optimizer.momentum=-1")
    assert not (tmp_path / "run").exists()
