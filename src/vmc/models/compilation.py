"""Regional compilation: the layers of a denoiser are compiled one by one, equal ones once."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import torch

from vmc.utils.files import cache_root

log = logging.getLogger(__name__)


def compile_layers(layers: Sequence[Any]) -> None:
    """Have `torch.compile` make kernels for layers (`VideoModel.compiled`), for one shape at a time; they are kept. To
    be called before `checkpoint_activations`, so that what is recomputed is compiled, too.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_root() / "compiled"))
    # Layers of one class share their code, and each width and each shape of inputs is another entry of its cache: with
    # and without gradients, of clips and of batches of videos. Beyond the limit a layer would not be compiled at all.
    import torch._dynamo.config as dynamo  # takes seconds to import

    dynamo.recompile_limit = max(dynamo.recompile_limit, 4 * len(layers))
    dynamo.accumulated_recompile_limit = max(dynamo.accumulated_recompile_limit, 8 * len(layers))
    for layer in layers:
        layer.forward = torch.compile(layer.forward, dynamic=False)
    log.info("%d layers are compiled as they are first used, which takes minutes", len(layers))
