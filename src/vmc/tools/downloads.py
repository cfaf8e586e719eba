"""Published weights: where each is, under which licence, and how it is downloaded.

The file names are those that `conf/metrics/paper.yaml` looks for, the hub names those of `conf/model/`. Both are
downloaded by `huggingface_hub`, which goes on where a download broke off.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vmc.utils.errors import VmcError
from vmc.utils.files import NO_SPACE, explain_unwritable, read_json, sha256_of, write_json

VIT_B_32 = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"  # OpenAI puts the SHA-256 into the path


@dataclass(frozen=True, kw_only=True)
class Source:
    """A published network."""

    title: str
    license: str  # what is known of it, and where from
    size: float  # GB, about


@dataclass(frozen=True, kw_only=True)
class FileSource(Source):
    """A single file."""

    url: str  # ends with the file's name
    sha256: str | None = None  # as published; where nothing is, the first download is recorded
    kind: str  # what `vmc.tools.weight_kinds` checks it as

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class HubSource(Source):
    """A pipeline of a family of models on the Hugging Face hub, and repositories of single networks beside it."""

    repository: str
    family: str = "unet3d"
    beside: tuple[str, ...] = ()


NONCOMMERCIAL = "CC BY-NC 4.0, says its page on the hub: no commercial use"
SOURCES: dict[str, FileSource | HubSource] = {
    "zeroscope": HubSource(
        title="ZeroScope v2 576w, text to video (stack=paper)",
        license=NONCOMMERCIAL,
        size=3.7,
        repository="cerspense/zeroscope_v2_576w",
    ),
    "modelscope": HubSource(
        title="ModelScope text to video 1.7B (model=modelscope)",
        license=NONCOMMERCIAL,
        size=7.4,
        repository="damo-vilab/text-to-video-ms-1.7b",
    ),
    "animatediff": HubSource(
        title="AnimateDiff 1.5-2, motion modules for Stable Diffusion 1.5, and that (model=animatediff)",
        license=(
            "CreativeML Open RAIL-M for Stable Diffusion 1.5, says its page on the hub; Apache 2.0 for AnimateDiff's"
            " repository (github.com/guoyww/AnimateDiff), whether the weights have another is unknown"
        ),
        size=6.1,
        repository="stable-diffusion-v1-5/stable-diffusion-v1-5",
        family="animatediff",
        beside=("guoyww/animatediff-motion-adapter-v1-5-2",),
    ),
    "sscd": FileSource(
        title="SSCD disc_mixup, copy descriptor (ResNet-50)",
        license=(
            "CC BY-NC 4.0 for its repository (github.com/facebookresearch/sscd-copy-detection) in the version that was"
            " read, look there for today's; whether the weights have another is unknown"
        ),
        size=0.1,
        url="https://dl.fbaipublicfiles.com/sscd-copy-detection/sscd_disc_mixup.torchvision.pt",
        kind="sscd",
    ),
    "clip": FileSource(
        title="CLIP ViT-B/32 by OpenAI",
        license="MIT for its repository (github.com/openai/CLIP); whether the weights have another is unknown",
        size=0.35,
        url=f"https://openaipublic.azureedge.net/clip/models/{VIT_B_32}/ViT-B-32.pt",
        sha256=VIT_B_32,
        kind="clip",
    ),
    "trn": FileSource(
        title="TRN on Jester, gesture classifier (BNInception, 8 segments)",
        license=(
            "BSD 2-Clause for its repository (github.com/zhoubolei/TRN-pytorch); of the weights, and of Jester, which"
            " they were trained on, it is unknown here"
        ),
        size=0.05,
        url="http://relation.csail.mit.edu/models/TRN_jester_RGB_BNInception_TRNmultiscale_segment8_best.pth.tar",
        kind="trn",
    ),
}
"""By the name that the command line gives."""


def weights_folder() -> Path:
    """The folder of single files, as in `conf/metrics/paper.yaml`: `$VMC_WEIGHTS`, else `weights` in this folder."""
    return Path(os.environ.get("VMC_WEIGHTS") or "weights").expanduser()


def record_of(path: Path) -> dict[str, Any]:
    """Read address, SHA-256 and size of a downloaded file from its record; empty without one that can be read."""
    return read_json(_record(path)) or {}


def expected_sha256(path: Path, published: str | None) -> tuple[str | None, str]:
    """Find the SHA-256 that a file should have, None where nobody knows, and say where it stands."""
    if published:
        return published, "published"
    return record_of(path).get("sha256"), f"recorded in {_record(path).name}"


def get_file(
    url: str, path: Path, *, sha256: str | None = None, inspect: Callable[[Path], object] = lambda file: None
) -> bool:
    """Download a file, or check the one that is there; return whether it had to be downloaded.

    Args:
        url: where it is published.
        path: where it goes; its record, `NAME.json`, is written beside it.
        sha256: as published; None where nothing is, so that the first file is taken as it comes and recorded.
        inspect: raises `VmcError` for a file of another kind; a downloaded one never gets its name then.

    Raises:
        VmcError: no network, no such file there, no room here, another content than published or recorded.
    """
    with explain_unwritable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(path.with_name(f".{path.name}.lock"), timeout=0):
                there = path.is_file()
                file = path if there else _download(url, path)
                try:
                    _check(url, path, file, sha256, inspect)
                except VmcError:
                    if not there:
                        file.unlink()
                    raise
                file.replace(path)
        except Timeout as error:
            raise VmcError(f"{path} is being downloaded by another process: wait until it is done") from error
    return not there


def _check(url: str, path: Path, file: Path, published: str | None, inspect: Callable[[Path], object]) -> None:
    """Compare a file that is at `path`, or is to go there, with what is known of it, and write its record."""
    expected, origin = expected_sha256(path, published)
    digest, sent = sha256_of(file), file != path
    if expected not in (None, digest):
        told = f"the SHA-256 {digest}, but {expected} is {origin}"
        if not sent:
            raise VmcError(f"{path} has {told}: move it away and get it again")
        changed = "" if published else f", or remove {_record(path)} if the publisher has changed the file"
        raise VmcError(f"{url} sent a file with {told}: it was removed, get it again{changed}")
    if sent or expected is None:
        try:
            inspect(file)
        except VmcError as error:
            told = f"what {url} sent is not what is wanted, and was removed: {error}"
            raise VmcError(told if sent else str(error)) from error
    checksum = "published" if published else "recorded on first use: none is published"
    record = {"url": url, "sha256": digest, "bytes": file.stat().st_size, "checksum": checksum}
    if record_of(path) != record:
        write_json(_record(path), record)


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _download(url: str, path: Path) -> Path:
    """Download the whole file beside `path`, from where an earlier download broke off."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    plain = {"Accept-Encoding": "identity"}  # sizes are those of the file, not of what a server makes of it on the way
    elsewhere = f"get the file elsewhere and put it at {path}"
    if hub_is_offline():
        raise VmcError(f"{url} is not here and HF_HUB_OFFLINE is set: unset it to download it, or {elsewhere}")
    # Of a chunk that breaks off nothing stays.
    constants.DOWNLOAD_CHUNK_SIZE = min(constants.DOWNLOAD_CHUNK_SIZE, 1 << 20)
    part = path.with_name(f"{path.name}.part")
    with part.open("ab") as stream:
        try:
            http_get(url, stream, resume_size=stream.tell(), headers=plain, displayed_filename=path.name)
        except Exception as error:  # the library's own network errors are of many kinds
            if isinstance(error, OSError) and error.errno in NO_SPACE:
                raise
            said = " ".join(str(error).split())
            told, remedy = f"cannot be reached ({said})", f"check the network, or {elsewhere}"
            if have := stream.tell():
                told, remedy = f"broke off at {have / 1e6:,.1f} MB ({said})", "the same command goes on from there"
            else:
                part.unlink()
            if isinstance(error, HfHubHTTPError):
                status = error.response.status_code
                if status == 416 and have:  # the part is as long as the file, or longer
                    stream.truncate(0)
                    return _download(url, path)
                why = "it may have moved" if status in (404, 410) else "try the same command later"
                told, remedy = f"answers {status} {error.response.reason_phrase}", f"{why}, or {elsewhere}"
            raise VmcError(f"{url} {told}: {remedy}") from error
    return part


# --- pipelines of the hub ---


def hub_is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def get_repository(repository: str, family: str | None) -> Path:
    """Find the local folder of a hub repository, and download what is missing in the hub's cache.

    Args:
        repository: its name.
        family: the family of models whose pipeline it is; None for a single network's folder.

    Raises:
        VmcError: offline, no network, no such repository, no room, or a part is missing.
    """
    from huggingface_hub.errors import LocalEntryNotFoundError

    from vmc.models.base import families
    from vmc.models.pretrained_weights import snapshot, weight_files

    kind = families()[family] if family else None
    try:
        folder = snapshot(repository, kind.parts if kind else [""], kind.networks if kind else [""])
    except LocalEntryNotFoundError as error:
        reason = "HF_HUB_OFFLINE is set" if hub_is_offline() else "the hub cannot be reached"
        told = f"{repository} is not in the hub's cache and {reason}: go online and run the same command, or set"
        field = "model.path" if kind else "its field of the model"
        raise VmcError(f"{told} {field} to a local copy of the folder") from error
    except Exception as error:  # the library's own network errors are of many kinds, and say what is wrong
        raise VmcError(f"{repository} cannot be downloaded ({error}): run the same command to go on") from error
    lack = kind.incomplete(folder) if kind else None if weight_files(folder) else "has no weights"
    if lack:
        remedy = "unset HF_HUB_OFFLINE" if hub_is_offline() else "go online"
        told = f"{repository} is not whole in the hub's cache ({folder} {lack})"
        raise VmcError(f"{told}: {remedy} and run this again")
    return folder


def cached_folder(repository: str, family: str) -> Path | None:
    """Find a pipeline in the hub's cache; None where a part or its weights are missing, or nobody can tell."""
    from vmc.models.base import families
    from vmc.models.pretrained_weights import snapshot

    try:
        kind = families()[family]
        folder = snapshot(repository, kind.parts, kind.networks, local=True)
        return folder if kind.incomplete(folder) is None else None
    except Exception:
        return None


def check_contents(folder: Path) -> int:
    """Compare the large files of a cached repository with the SHA-256 that the hub publishes, and count them.

    In the cache a large file is a link to one that is named by its SHA-256.

    Raises:
        VmcError: a file's content is another.
    """
    links = [(file, file.resolve()) for file in sorted(folder.rglob("*")) if file.is_symlink()]
    large = [(file, stored) for file, stored in links if re.fullmatch(r"[0-9a-f]{64}", stored.name)]
    for file, stored in large:
        if sha256_of(stored) != stored.name:
            told = f"{file} is damaged (its SHA-256 is not {stored.name})"
            raise VmcError(f"{told}: remove {stored} and get it again")
    return len(large)
