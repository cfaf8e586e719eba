"""ZeroScope's layout in small: the same blocks and names, a few channels."""

import pytest

from vmc.fullsize.sizes import ZEROSCOPE, Sizes


@pytest.fixture(scope="session")
def tiny() -> Sizes:
    """Four levels and two layers a level, as the real one; about a hundredth of its width."""
    unet = {"block_out_channels": (32, 32, 64, 64), "cross_attention_dim": 32, "attention_head_dim": 32}
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return Sizes(
        unet={**ZEROSCOPE.unet, **unet},
        vae={**ZEROSCOPE.vae, "block_out_channels": (32, 32, 64, 64)},
        text_encoder={**ZEROSCOPE.text_encoder, **text},
    )
