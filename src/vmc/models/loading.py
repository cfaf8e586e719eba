"""A pipeline's folder: fetched, its weight files found whole or damaged, its parts opened.

The libraries that load them say it in words that are meant for programmers, or do not say it.
"""

import json
import re
import zipfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError, safe_open
from torch.nn import Parameter
from transformers.utils import logging as transformers_logging

from vmc.utils.errors import VmcError, first_line
from vmc.utils.tensor_files import Shapes, shapes_misfit, shapes_of

_STEMS = {"text_encoder": r"(pytorch_)?model"}
_CUT_OFF = ("incomplete metadata", "header too small", "invalid header length")
"""How safetensors calls a file that ends too early."""
_FORMER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""What diffusers called an autoencoder's attention before 0.18, as published files do."""
_IGNORED = ["*.fp16.*", "*.non_ema.*", "*.msgpack", "*.h5", "*.onnx", "*.ckpt"]
"""Files of the published repositories that nothing here opens."""
_LFS = b"version https://git-lfs"


PLACES = frozenset({"_name_or_path", "name_or_path"})
"""Keys under which libraries note in a config where a part was loaded from."""


def weight_files(folder: Path) -> list[Path]:
    """Those of a part that are opened: safetensors where there are any, else pickles; never a variant's (`.fp16.`)."""
    for suffix in ("safetensors", "bin"):
        name = _weights(folder.name, suffix)
        found = [file for file in folder.glob(f"*.{suffix}") if name.fullmatch(f"{folder.name}/{file.name}")]
        if files := sorted(file for file in found if file.is_file()):
            return files
    return []


def pipeline_class(folder: Path) -> str | None:
    """The class that a pipeline's `model_index.json` names; None where it names none."""
    try:
        return json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _weights(part: str, suffix: str) -> re.Pattern[str]:
    """The names of a part's weights in its repository; "" is the repository's own folder."""
    stem = _STEMS.get(part, "diffusion_pytorch_model")
    return re.compile(rf"{re.escape(f'{part}/' if part else '')}{stem}(-\d+-of-\d+)?\.{suffix}")


def snapshot(repository: str, parts: Iterable[str], weighted: Iterable[str], *, local: bool = False) -> Path:
    """The folder of a hub repository's pipeline in the hub's cache, downloaded where it is not complete there.

    Of a part whose weights are published as safetensors and as pickles, the former alone are fetched. Whatever the
    hub's library raises comes through.

    Args:
        repository: its name.
        parts: its folders that are wanted; "" is the repository's own.
        weighted: those of them that have weights.
        local: do not ask the hub; what is in the cache may lack files then.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    names: list[str] = []
    try:
        names = [] if local else [file.rfilename for file in HfApi().model_info(repository).siblings or ()]
    except (HFValidationError, RepositoryNotFoundError):
        raise
    except Exception:  # offline, or without a network: it is in the cache or nowhere
        local = True
    twice = [part for part in weighted if any(_weights(part, "safetensors").fullmatch(name) for name in names)]
    ignored = [*_IGNORED, *(f"{part}/*.bin*" if part else "*.bin*" for part in twice)]
    allowed = ["model_index.json", *(f"{part}/*" if part else "*" for part in parts)]
    return Path(snapshot_download(repository, allow_patterns=allowed, ignore_patterns=ignored, local_files_only=local))


def download(name: str, parts: Iterable[str], weighted: Iterable[str], *, get: str, key: str = "model.path") -> Path:
    """`snapshot`, its errors as sentences: `key` is the setting that names the repository, `get` the command for it."""
    from huggingface_hub.errors import HFValidationError

    try:
        return snapshot(name, parts, weighted)
    except HFValidationError:
        raise VmcError(f"{key} is {name}, which is neither a folder nor a hub name; check the path") from None
    except Exception as error:
        remedy = f"run `{get}` where there is a network" if get else "check the network"
        told = f"is no local folder and could not be downloaded ({type(error).__name__})"
        raise VmcError(f"{key} is {name}, which {told}; give the path of a local copy, or {remedy}") from error


def problem(folder: Path, kind: type, expected: Shapes | None = None) -> str | None:
    """What is wrong with a part, a clause that names the file; None where its files read and fit its network's class.
    `expected` are the shapes of its tensors; None builds the network without memory to see.
    """
    found: dict[str, Sequence[int]] = {}
    if not (files := weight_files(folder)):
        return f"{folder} has no weights"
    for file in files:
        try:
            found |= read_shapes(file)
        except VmcError as error:
            return f"{file} does not load as {kind.__name__}: {error}"
    if expected is None:
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            expected = shapes_of(empty_network(kind, config).state_dict())
        except Exception as error:  # the libraries raise of every kind
            return f"{folder / 'config.json'} is no config of {kind.__name__} ({first_line(error).rstrip('.')})"
    named = {_name_in(expected, name): shape for name, shape in found.items() if not is_harmless(name)}
    # A file need not hold what is another tensor's memory, as the second name of T5's table of embeddings.
    tied = set(getattr(kind, "_tied_weights_keys", None) or ()) - named.keys()
    reason = shapes_misfit({name: shape for name, shape in expected.items() if name not in tied}, named)
    return reason and f"{files[0] if len(files) == 1 else folder} does not fit its config.json: {reason}"


def read_shapes(file: Path) -> Shapes:
    """Shapes of a file's tensors by their names; none is read. A VmcError says, in a clause, what else the file is."""
    if file.open("rb").read(len(_LFS)) == _LFS:
        raise VmcError("it is a mere pointer of Git LFS (`git lfs pull` replaces it by the file)")
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        # Mapped, not read. Files of before 2020 cannot be mapped.
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise VmcError(_unreadable(file, error)) from error
    if not isinstance(content, Mapping):
        raise VmcError("it holds no tensors by their names")
    return shapes_of({str(name): tensor for name, tensor in content.items() if isinstance(tensor, torch.Tensor)})


def _unreadable(file: Path, error: Exception) -> str:
    if isinstance(error, UnpicklingError) and zipfile.is_zipfile(file):  # pickles are read as tensors only
        return "it holds more than tensors and might run code"
    start, is_tensors = file.open("rb").read(2), file.suffix == ".safetensors"
    if not start or (any(words in str(error) for words in _CUT_OFF) if is_tensors else start == b"PK"):
        return f"it is truncated, at {file.stat().st_size:,} bytes"
    return f"it is damaged, or no file of {'safetensors' if is_tensors else 'PyTorch with tensors alone'}"


def empty_network(kind: Any, config: Mapping[str, Any]) -> Any:
    """A network of a class of diffusers or transformers on the meta device: names and shapes, and no memory."""
    with torch.device("meta"):
        if hasattr(kind, "config_class"):
            return kind(kind.config_class.from_dict(dict(config)))
        return kind.from_config(dict(config))


def _name_in(expected: Shapes, name: str) -> str:
    """The name that the network has for a file's tensor."""
    head, _, leaf = name.rpartition(".")
    block, _, former = head.rpartition(".")
    candidates = (name, name.removeprefix("text_model."), f"text_model.{name}", f"{block}.{_FORMER.get(former)}.{leaf}")
    return next((candidate for candidate in candidates if candidate in expected), name)


def is_harmless(name: str) -> bool:
    """Whether a tensor is one that older text encoders were written with and no network reads: a row of numbers."""
    return name.endswith(".position_ids")


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Without progress bars, and without the libraries' advice to train what a file lacks, which is refused here."""
    loggers = (diffusers_logging, transformers_logging)
    former, shown = [one.get_verbosity() for one in loggers], transformers_logging.is_progress_bar_enabled()
    for one in loggers:
        one.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for one, level in zip(loggers, former, strict=True):
            one.set_verbosity(level)
        if shown:
            transformers_logging.enable_progress_bar()


def save_parts(pipeline: Any, folder: Path) -> None:
    """Write a pipeline of diffusers as published ones are, in safetensors; none of its configs says from which folder
    of this machine a part was loaded.
    """
    with quiet_loading():  # diffusers warns that some pipelines get no further features
        pipeline.save_pretrained(folder, safe_serialization=True)
    for file in folder.glob("*/*config.json"):
        config = json.loads(file.read_text(encoding="utf-8"))
        if config.keys() & PLACES:
            kept = {key: value for key, value in config.items() if key not in PLACES}
            file.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def cast(network: Any, dtype: torch.dtype, names: Container[str] | None = None) -> None:
    """Hold weights of those `names`, or all, in `dtype`, but in float32 what diffusers keeps so (norms, times)."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if names is None or name in names:
            tensor.data = tensor.data.to(_held_in(network, name, tensor, dtype))


def low_precision_copy(network: Any, dtype: torch.dtype) -> Any:
    """The network with its weights as `cast` would hold them, frozen; it shares those that are held so already, and is
    the network itself where all are.
    """
    memo: dict[int, Any] = {}
    changed = False
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        held, wanted = tensor, _held_in(network, name, tensor, dtype)
        if wanted != tensor.dtype:
            held, changed = tensor.detach().to(wanted), True
            held = Parameter(held, requires_grad=False) if isinstance(tensor, Parameter) else held
        memo[id(tensor)] = held
    return deepcopy(network, memo) if changed else network


def _held_in(network: Any, name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
    if not tensor.is_floating_point():
        return tensor.dtype
    kept = getattr(network, "_keep_in_fp32_modules", None) or ()
    return torch.float32 if set(kept).intersection(name.split(".")) else dtype
