"""Videos that the untouched base model makes, and regularization clips of them (Table 2e).

A set is made once, kept in the shared cache and read by every arm, motion and seed. Its key is what it is made with:
base model, captions, seeds, sampler, latents and frame rate; which device made it is noted and no part of the key. It
is a folder of its own:

    0000-a-person-...-SEED.mp4   a clip
    captions.csv                 file, caption, seed
    set.json                     what it was made with: the model's parts, sampler, latents, frame rate; and SHA-256 of
                                 each file; written last
"""

import gc
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from vmc.data.clips import Clip, fill
from vmc.data.prompts import Prompt
from vmc.diffusion.sampling import Sampler
from vmc.evaluation.generation import TunedModel, video_names
from vmc.models.base import VideoModel
from vmc.training.hardware import Hardware
from vmc.training.regularization import Regularization
from vmc.utils.cache import CachedFiles, cache_key
from vmc.utils.errors import VmcError
from vmc.utils.files import atomic_write, sha256_of, sweep
from vmc.utils.randomness import derive_seed
from vmc.utils.text_files import read_table

log = logging.getLogger(__name__)

CAPTIONS, ABOUT = "captions.csv", "set.json"
TABLE = ("file", "caption", "seed")
FORMAT = "vmc-synthetic-1"


@dataclass(frozen=True, kw_only=True)
class BaseVideos:
    """Videos of the frames, size and rate that a run trains on, by its base model before any training.

    Args:
        base: with the frames, size and rate of the run's clips.
        hardware: where videos are made.
        cache: folder of the shared caches.
        test_seeds: those of the run's test set, which nothing that is trained on may be made from.
    """

    base: VideoModel
    hardware: Hardware
    cache: Path
    test_seeds: frozenset[int] = frozenset()

    def describe(self, sampler: Sampler) -> dict[str, Any]:
        """All that a video depends on besides caption and seed: fingerprints of the model's parts, sampler, window."""
        base = self.base
        # The denoiser may be of a part that lies beside the pipeline, too.
        parts = dict.fromkeys((*base.parts, *base.parts_of("denoiser")))
        return {
            "base": {part: base.fingerprint(part) for part in parts},
            "latents": list(base.latent_shape(frames=base.frames, size=base.size)),
            "fps": base.fps,
            "sampler": sampler.describe(),
        }

    def write(self, prompts: Sequence[Prompt], files: Sequence[Path], *, sampler: Sampler, label: str) -> None:
        """Write each prompt's video to its file, where it is not there yet.

        Each is made by itself, and on a CPU by one thread: so neither an interruption, nor memory, nor
        `trainer.threads` has a part in its bits. On two cores a batch would be a tenth faster.
        """
        if all(file.is_file() for file in files):
            return
        on_cpu, threads = self.hardware.device.type == "cpu", torch.get_num_threads()
        torch.set_num_threads(1 if on_cpu else threads)
        try:
            encoder, denoiser = self.base.text_encoder(), self.base.denoiser()
            model = TunedModel(base=self.base, denoiser=denoiser, encoder=encoder, hardware=self.hardware)
            for _ in model.generator(sampler=sampler, batch_size=1).write(prompts, files, label=label):
                pass
        finally:
            torch.set_num_threads(threads)
        del model, encoder, denoiser
        gc.collect()
        if not on_cpu:
            torch.cuda.empty_cache()


@dataclass(frozen=True, kw_only=True)
class SyntheticRegularization(Regularization):
    """Videos of the untouched base model: one for each real regularization clip, with its caption.

    Args:
        source: the run's data, whose related clips give captions and number; which of them a seed draws does not
            matter.
        seed: of the run; the clips do not depend on it.
        base_videos: makes them.
        sampler: they are made with.
        captions: how many clips of each caption, in place of those of `source`.
        path: a set that was made before, in place of the cache's.
    """

    # A clip is made as long and as fast as a training clip, so it has one window, and every frame is taken.
    variants: int = field(default=1, init=False)
    sampler: Sampler
    captions: Mapping[str, int] | None = None
    path: str | Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for caption, count in (self.captions or {}).items():
            if not isinstance(count, int) or count < 1:
                raise VmcError(f"regularization.captions asks for {count} clips of '{caption}'; give a whole number")

    def clips(self) -> list[Clip]:
        """The clips, made first where they are not there.

        Raises:
            VmcError: no captions; a set of another base model or window, one that is not complete, or one made from
                seeds of the test set.
        """
        about = self.base_videos.describe(self.sampler)
        folder = self._made(about) if self.path is None else Path(self.path).expanduser()
        rows = _read(folder, about)
        if shared := self.base_videos.test_seeds & {int(row["seed"]) for row in rows}:
            raise VmcError(
                f"the synthetic clips in {folder} and the test set share the seed {min(shared)}, so that copies would"
                " look like the model's own; give the test set or the clips other seeds"
            )
        return [Clip(path=folder / row["file"], caption=row["caption"], role="regularization") for row in rows]

    def _prompts(self) -> list[Prompt]:
        """A caption and a seed for each clip."""
        counts = self.captions or Counter(clip.caption for clip in self.source.regularization(seed=self.seed))
        if not counts:
            raise VmcError(
                "regularization=synthetic has no captions: this data offers no related clips; give how many clips of"
                " which caption, as in 'regularization.captions={a person dancing: 100}', or a set that is there as"
                " regularization.path"
            )
        # `fill` without values refuses placeholders: the base model knows neither the motion's token nor a subject's.
        return [
            Prompt(text=fill(caption), seed=derive_seed("synthetic regularization", caption, number))
            for caption, count in sorted(counts.items())
            for number in range(count)
        ]

    def _made(self, about: Mapping[str, Any]) -> Path:
        """The set's folder in the cache, complete."""
        prompts = self._prompts()
        key = cache_key(FORMAT, json.dumps(about, sort_keys=True), *((one.text, one.seed) for one in prompts))[:24]
        entry = CachedFiles(self.base_videos.cache / "synthetic" / key, manifest=ABOUT)
        names = [*video_names(prompts), CAPTIONS]
        if entry.faults(names):
            with entry.only_process():
                if faults := entry.faults(names):
                    self._make(entry, prompts, faults, about)
        return entry.folder

    def _make(
        self, entry: CachedFiles, prompts: Sequence[Prompt], faults: Mapping[str, str], about: Mapping[str, Any]
    ) -> None:
        """Write the clips that are missing or damaged, and what the set says of them."""
        folder, videos = entry.folder, self.base_videos
        sweep(folder)
        noted = entry.read()
        if not noted and (folder / ABOUT).is_file():
            log.warning("%s does not read; it is written anew", folder / ABOUT)
        for name, fault in faults.items():
            if name in noted.get("sha256", {}):
                log.warning("the synthetic clip %s %s; it is made again", folder / name, fault)
                (folder / name).unlink(missing_ok=True)
        files = [folder / name for name in video_names(prompts)]
        missing = sum(not file.is_file() for file in files)
        log.info("the base model makes %d regularization clips for all runs: %s", missing, folder)
        videos.write(prompts, files, sampler=self.sampler, label="synthetic clips")
        rows = [(file.name, prompt.text, prompt.seed) for file, prompt in zip(files, prompts, strict=True)]
        with atomic_write(folder / CAPTIONS) as temporary:
            pd.DataFrame(rows, columns=list(TABLE)).to_csv(temporary, index=False)
        entry.seal(
            {file.name: sha256_of(file) for file in (*files, folder / CAPTIONS)},
            format=FORMAT,
            model=str(videos.base.path),
            clips=len(files),
            made_on={"device": videos.hardware.device.type, "precision": videos.hardware.precision},
            **about,
        )


def _read(folder: Path, wanted: Mapping[str, Any]) -> list[dict[str, str]]:
    """The rows of a set: file, caption, seed.

    Raises:
        VmcError: no complete set, a damaged one, or one that was made by another base model or in another window.
    """
    if not (folder / ABOUT).is_file() or not (folder / CAPTIONS).is_file():
        raise VmcError(
            f"regularization.path is {folder}, which holds no {ABOUT} and {CAPTIONS} of synthetic clips; give a folder"
            " that regularization=synthetic has made, or leave regularization.path null to have one made"
        )
    entry = CachedFiles(folder, manifest=ABOUT)
    about = entry.read()
    about = about if isinstance(about.get("base"), dict) else {}
    problem, remedy = "", "copy the whole folder, or leave regularization.path null to have a set made"
    columns, rows = read_table(folder / CAPTIONS, wanted=TABLE)
    names = [row["file"] for row in rows]
    if lacking := [name for name in ("model", "latents", "fps") if name not in about]:
        problem = f"whose {ABOUT} is damaged (no {lacking[0]})"
    elif different := [part for part, one in wanted["base"].items() if about["base"].get(part) != one]:
        problem = f"which another base model has made ({about['model']}; {different[0]} differs)"
        remedy = "leave regularization.path null to have a set made by this one"
    elif different := [name for name in ("latents", "fps") if about[name] != wanted[name]]:
        there, here = about[different[0]], wanted[different[0]]
        problem = f"whose clips have {different[0]} {there}, and this run's have {here}"
        remedy = "set data.frames, data.size and data.fps as they were, or leave regularization.path null"
    elif not set(TABLE) <= set(columns) or not all(row["seed"].isdecimal() for row in rows):
        problem = f"whose {CAPTIONS} is damaged"
    elif missing := [name for name in names if Path(name).name != name or not (folder / name).is_file()]:
        problem = f"where {len(missing)} of {len(names)} clips are missing, first {missing[0]}"
    # Sets of earlier versions have no checksums.
    elif about.get("sha256") and (damaged := entry.faults([*names, CAPTIONS])):
        problem = f"where {next(iter(damaged))} is not as it was written"
    if problem:
        raise VmcError(f"regularization.path is {folder}, {problem}; {remedy}")
    return rows
