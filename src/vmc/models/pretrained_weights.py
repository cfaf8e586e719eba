"""A pipeline's folder: downloading it, loading its networks, diagnosing its weight files, and casting.

The errors of the libraries that load them are meant for programmers, or leave out what is wrong with a file.
"""

import json
import logging
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

log = logging.getLogger(__name__)

_STEMS = {"text_encoder": r"(pytorch_)?model"}
_CUT_OFF = ("incomplete metadata", "header too small", "invalid header length")
"""What safetensors says of a file that ends too early."""
_FORMER = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Names of an autoencoder's attention before diffusers 0.18, as in published files, and today's."""
_IGNORED = ["*.fp16.*", "*.non_ema.*", "*.msgpack", "*.h5", "*.onnx", "*.ckpt"]
"""Files of the published repositories that nothing here opens."""
_LFS = b"version https://git-lfs"
PLACES = frozenset({"_name_or_path", "name_or_path"})
"""Keys under which libraries write into a config where a part was loaded from."""


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a part that are opened: safetensors, else pickles; never those of a variant (`.fp16.`)."""
    for suffix in ("safetensors", "bin"):
        name = _weights(folder.name, suffix)
        found = [file for file in folder.glob(f"*.{suffix}") if name.fullmatch(f"{folder.name}/{file.name}")]
        if files := sorted(file for file in found if file.is_file()):
            return files
    return []


def pipeline_class(folder: Path) -> str | None:
    """The pipeline class that a folder's `model_index.json` names, None if it names none."""
    try:
        return json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _weights(part: str, suffix: str) -> re.Pattern[str]:
    """Matches the names of a part's weights in its repository; "" is the repository's own folder."""
    stem = _STEMS.get(part, "diffusion_pytorch_model")
    return re.compile(rf"{re.escape(f'{part}/' if part else '')}{stem}(-\d+-of-\d+)?\.{suffix}")


def snapshot(repository: str, parts: Iterable[str], weighted: Iterable[str], *, local: bool = False) -> Path:
    """The folder of a hub repository in the hub's cache, downloaded if it is not complete there.

    Weights that are published as safetensors and as pickles are downloaded as safetensors alone. Errors of the hub's
    library are not caught.

    Args:
        repository: its name.
        parts: the folders that are wanted; "" is the repository's own.
        weighted: those of them that have weights.
        local: do not ask the hub; the folder in the cache may then lack files.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    names: list[str] = []
    try:
        names = [] if local else [file.rfilename for file in HfApi().model_info(repository).siblings or ()]
    except (HFValidationError, RepositoryNotFoundError):
        raise
    except Exception:  # without a network: it is in the cache or nowhere
        local = True
    twice = [part for part in weighted if any(_weights(part, "safetensors").fullmatch(name) for name in names)]
    ignored = [*_IGNORED, *(f"{part}/*.bin*" if part else "*.bin*" for part in twice)]
    allowed = ["model_index.json", *(f"{part}/*" if part else "*" for part in parts)]
    return Path(snapshot_download(repository, allow_patterns=allowed, ignore_patterns=ignored, local_files_only=local))


def download(name: str, parts: Iterable[str], weighted: Iterable[str], *, get: str, key: str = "model.path") -> Path:
    """`snapshot` with errors as VmcErrors; the setting `key` names the repository, the command `get` downloads it."""
    from huggingface_hub.errors import HFValidationError

    try:
        return snapshot(name, parts, weighted)
    except HFValidationError:
        raise VmcError(f"{key} is {name}, which is neither a folder nor a hub name; check the path") from None
    except Exception as error:
        remedy = f"run `{get}` where there is a network" if get else "check the network"
        told = f"is no local folder and could not be downloaded ({type(error).__name__})"
        raise VmcError(f"{key} is {name}, which {told}; give the path of a local copy, or {remedy}") from error


def find_problem(folder: Path, kind: type, expected: Shapes | None = None) -> str | None:
    """What is wrong with a part, a clause that names the file; None if its files can be read and fit its network.
    `expected` are the shapes of the network's tensors; None builds it on the meta device to find out.
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
        except Exception as error:  # the libraries raise errors of many kinds
            return f"{folder / 'config.json'} is no config of {kind.__name__} ({first_line(error).rstrip('.')})"
    named = {_name_in(expected, name): shape for name, shape in found.items() if not is_position_ids(name)}
    # A file need not hold tied weights twice, such as T5's table of embeddings.
    tied = set(getattr(kind, "_tied_weights_keys", None) or ()) - named.keys()
    reason = shapes_misfit({name: shape for name, shape in expected.items() if name not in tied}, named)
    return reason and f"{files[0] if len(files) == 1 else folder} does not fit its config.json: {reason}"


def read_shapes(file: Path) -> Shapes:
    """Shapes of a file's tensors by name, without reading them; a VmcError says, in a clause, why that fails."""
    if file.open("rb").read(len(_LFS)) == _LFS:
        raise VmcError("it is a mere pointer of Git LFS (`git lfs pull` replaces it by the file)")
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as opened:
                return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        # Mapped in place of being read, which files from before 2020 cannot be.
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


def load_network(folder: Path, kind: Any, dtype: torch.dtype, *, strict: bool, remedy: str) -> Any:
    """Load a network in `dtype`, frozen, in eval mode; a missing or misshaped tensor is an error, never random.

    Args:
        folder: of the part, in the layout of diffusers or transformers.
        kind: its class.
        strict: whether a tensor that the class does not have is an error; else it is logged.
        remedy: what to do about a damaged part, a clause for messages.
    """
    # If there are no safetensors, diffusers would look for them and log an error before it opens the `.bin`.
    safe = None if any(folder.glob("*.safetensors")) else False
    try:
        with quiet_loading():
            module, found = kind.from_pretrained(
                folder, torch_dtype=dtype, output_loading_info=True, use_safetensors=safe
            )
    except Exception as error:  # the libraries raise errors of many kinds
        problem = find_problem(folder, kind)
        problem = problem or f"{folder} does not load as {kind.__name__}: {first_line(error)}"
        raise VmcError(f"{problem}; {remedy}") from error
    unexpected = map(str, found.get("unexpected_keys") or ())
    unknown = sorted(name for name in unexpected if not is_position_ids(name))
    unfit = any(found.get(key) for key in ("missing_keys", "mismatched_keys", "error_msgs"))
    if unfit or (strict and unknown):
        problem = find_problem(folder, kind, shapes_of(module.state_dict()))
        raise VmcError(f"{problem or f'{folder} does not fit {kind.__name__}'}; {remedy}")
    if unknown:
        log.warning("%s holds %d tensors that are not used, the first %s", folder, len(unknown), unknown[0])
    cast(module, dtype)  # not every file is loaded in the dtype asked for
    return module.requires_grad_(False).eval()


def empty_network(kind: Any, config: Mapping[str, Any]) -> Any:
    """A network of diffusers or transformers on the meta device: names and shapes without memory."""
    with torch.device("meta"):
        if hasattr(kind, "config_class"):
            return kind(kind.config_class.from_dict(dict(config)))
        return kind.from_config(dict(config))


def _name_in(expected: Shapes, name: str) -> str:
    """The network's name for a tensor of a file."""
    head, _, leaf = name.rpartition(".")
    block, _, former = head.rpartition(".")
    candidates = (name, name.removeprefix("text_model."), f"text_model.{name}", f"{block}.{_FORMER.get(former)}.{leaf}")
    return next((candidate for candidate in candidates if candidate in expected), name)


def is_position_ids(name: str) -> bool:
    """Whether a tensor is the `position_ids` that older text encoders were saved with and no network reads."""
    return name.endswith(".position_ids")


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Within, no progress bars and no advice to train missing weights, which are an error here."""
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
    """Write a pipeline of diffusers as safetensors, without the paths of this machine in its configs."""
    with quiet_loading():  # diffusers warns that some pipelines are deprecated
        pipeline.save_pretrained(folder, safe_serialization=True)
    for file in folder.glob("*/*config.json"):
        config = json.loads(file.read_text(encoding="utf-8"))
        if config.keys() & PLACES:
            kept = {key: value for key, value in config.items() if key not in PLACES}
            file.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def cast(network: Any, dtype: torch.dtype, names: Container[str] | None = None) -> None:
    """Cast weights to `dtype`, those of `names` or all, except what diffusers keeps in float32 (norms, times)."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if names is None or name in names:
            tensor.data = tensor.data.to(_dtype_of(network, name, tensor, dtype))


def low_precision_copy(network: Any, dtype: torch.dtype) -> Any:
    """A frozen copy of a network with its weights as `cast` would leave them; it shares weights that need no cast, and
    is the network itself if none does.
    """
    memo: dict[int, Any] = {}
    changed = False
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        held, wanted = tensor, _dtype_of(network, name, tensor, dtype)
        if wanted != tensor.dtype:
            held, changed = tensor.detach().to(wanted), True
            held = Parameter(held, requires_grad=False) if isinstance(tensor, Parameter) else held
        memo[id(tensor)] = held
    return deepcopy(network, memo) if changed else network


def _dtype_of(network: Any, name: str, tensor: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
    if not tensor.is_floating_point():
        return tensor.dtype
    kept = getattr(network, "_keep_in_fp32_modules", None) or ()
    return torch.float32 if set(kept).intersection(name.split(".")) else dtype
