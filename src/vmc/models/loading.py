"""Fetching a pipeline's folder and opening its parts without the libraries' own chatter."""

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from vmc.errors import VmcError
from vmc.models.weight_files import snapshot


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Without progress bars, and without the libraries' advice to train what a file lacks, which is refused here."""
    loggers = (diffusers_logging, transformers_logging)
    former = [one.get_verbosity() for one in loggers]
    for one in loggers:
        one.set_verbosity_error()
    try:
        with without_progress_bar():
            yield
    finally:
        for one, level in zip(loggers, former, strict=True):
            one.set_verbosity(level)


@contextmanager
def without_progress_bar() -> Iterator[None]:
    """transformers shows one for every model it opens, however small."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def cast(network: Any, dtype: torch.dtype, names: Container[str] | None = None) -> None:
    """Hold a network's weights in `dtype`, but those in float32 that diffusers keeps so (norms, the time's embedding).

    Args:
        network: its parameters and buffers are replaced in place.
        dtype: of floating-point numbers.
        names: of the parameters and buffers that are meant; None means all.
    """
    kept = set(getattr(network, "_keep_in_fp32_modules", None) or ())
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_floating_point() and (names is None or name in names):
            tensor.data = tensor.data.to(torch.float32 if kept.intersection(name.split(".")) else dtype)


def download(name: str, parts: Iterable[str], weighted: Iterable[str], *, get: str, key: str = "model.path") -> Path:
    """A local copy of a hub repository's files, from the cache when it is complete there.

    Args:
        name: of the repository.
        parts: its folders that are wanted; "" is the repository's own, of a network that is published alone.
        weighted: those of them that have weights.
        get: the command that gets it, for the message.
        key: of the config, for the message.

    Raises:
        VmcError: it cannot be had.
    """
    from huggingface_hub.errors import HFValidationError

    try:
        return snapshot(name, parts, weighted)
    except HFValidationError:
        raise VmcError(f"{key} is {name}, which is neither a folder nor a hub name; check the path") from None
    except Exception as error:
        remedy = f"run `{get}` where there is a network" if get else "check the network"
        raise VmcError(
            f"{key} is {name}, which is no local folder and could not be downloaded ({type(error).__name__});"
            f" give the path of a local copy, or {remedy}"
        ) from error
