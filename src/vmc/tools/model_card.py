"""The page of an exported pipeline, and the pipeline on the Hugging Face hub.

It is a `README.md` with the metadata that the Hugging Face hub reads. No path of the machine stands in it.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

import vmc
from vmc.data.clips import fill
from vmc.data.motion import prompt_of
from vmc.runs.folder import read_config
from vmc.tools.downloads.sources import SOURCES, HubSource
from vmc.utils.errors import VmcError
from vmc.utils.plain_yaml import parse_yaml

CARD = "README.md"
EXAMPLES = 6
"""Prompts of the test set that are shown."""
LICENCES = {"CC BY-NC 4.0": "cc-by-nc-4.0", "CreativeML Open RAIL-M": "creativeml-openrail-m"}
"""Names -> what the hub calls them."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What the page says.

    Args:
        base: the base model, a hub name or a local folder.
        pipeline: the class of diffusers that opens it.
        mark: SHA-256 of what the pipeline was made from, so that the folder is known again.
        frames, size, fps: of the videos that the model makes; size in px.
        sampler: steps and guidance.
        config: the run's; None for the base model itself.
        name: where it can be had; None where that is not known.
        step: of the weights.
        clips: rows of the run's `clips.csv`.
        summary: the evaluation's `summary.json`; None without one.
        prompts: of its test set.
        dtype: the precision that it is to be opened in, by its name in torch.
    """

    base: str
    pipeline: str
    mark: str
    frames: int
    size: int
    fps: float
    sampler: Mapping[str, Any]
    config: Mapping[str, Any] | None = None
    name: str | None = None
    step: int = 0
    clips: Sequence[Mapping[str, str]] = ()
    summary: Mapping[str, Any] | None = None
    prompts: Sequence[str] = field(default=())
    dtype: str = "float16"

    @classmethod
    def of_run(cls, run: Path, *, step: int, **made: Any) -> "Card":
        """The card of a run's weights after `step` steps, with the newest evaluation that came no later."""
        evaluation = _newest_evaluation(run, step)
        return cls(
            config=read_config(run),
            step=step,
            clips=_rows(run / "clips.csv"),
            summary=json.loads((evaluation / "summary.json").read_text()) if evaluation else None,
            prompts=list(dict.fromkeys(row["prompt"] for row in _rows(evaluation / "scores.csv")))
            if evaluation
            else (),
            **made,
        )

    def text(self) -> str:
        """The page."""
        head = yaml.safe_dump(self._metadata(), sort_keys=False, allow_unicode=True)
        parts = [f"---\n{head}---", *self._opening(), *self._use(), *self._licence()]
        if self.config is not None:
            parts += [*self._learned(), *self._made(), *self._measured()]
        made_by = f"Made by vmc {vmc.__version__} from weights with the SHA-256 `{self.mark}`."
        return "\n\n".join([*parts, made_by]) + "\n"

    # --- what the hub reads ------------------------------------------------------------------------------------------

    @property
    def _on_hub(self) -> bool:
        return not Path(self.base).expanduser().exists()

    @property
    def _base_name(self) -> str:
        return self.base if self._on_hub else Path(self.base).name

    def _metadata(self) -> dict[str, Any]:
        short, _ = base_licence(self.base)
        return {
            **({"license": short} if short else {}),
            "library_name": "diffusers",
            "pipeline_tag": "text-to-video",
            **({"base_model": self.base} if self._on_hub else {}),
            "tags": ["text-to-video", "motion-customization"],
        }

    # --- the page's parts --------------------------------------------------------------------------------------------

    def _opening(self) -> Iterator[str]:
        if self.config is None:
            yield f"# {self._base_name}"
            yield "The base model as it is, as a complete pipeline of diffusers."
            return
        exemplars = sum(row["role"] == "exemplar" for row in self.clips)
        yield f"# {self.config['motion']['name']}: a motion for {self._base_name}"
        yield (
            f"A text-to-video model that has learned one motion from {exemplars} clips. In prompts the motion is called"
            f" `{self._word}`."
        )

    def _use(self) -> Iterator[str]:
        yield "## Use it"
        if prompt := self._example():
            yield f"Prompts are written as those it was trained with: “{_line(prompt)}”"
        if self.prompts:
            yield "\n".join(f"- {_line(prompt)}" for prompt in _spread(self.prompts, EXAMPLES))
        steps, guidance, place = self.sampler["steps"], self.sampler["guidance"], self.name or "THIS FOLDER"
        yield (
            "```python\n"
            "import torch\n"
            f"from diffusers import {self.pipeline}\n"
            "from diffusers.utils import export_to_video\n\n"
            f'pipeline = {self.pipeline}.from_pretrained("{place}", torch_dtype=torch.{self.dtype})\n'
            'pipeline = pipeline.to("cuda")\n'
            "video = pipeline(\n"
            f"    {json.dumps(prompt or 'a man', ensure_ascii=False)}, num_frames={self.frames}, height={self.size},"
            f" width={self.size},\n"
            f"    num_inference_steps={steps}, guidance_scale={guidance},\n"
            ").frames[0]\n"
            f'export_to_video(video, "video.mp4", fps={self.fps:g})\n'
            "```"
        )

    def _licence(self) -> Iterator[str]:
        yield "## Licence"
        _, said = base_licence(self.base)
        yield f"These weights are made from those of {self._base_name}, whose licence holds for them too. {said}"

    def _learned(self) -> Iterator[str]:
        yield "## Learned from"
        counts = Counter((row["role"], row["caption"]) for row in self.clips)
        rows = [(f"{count}", role, caption) for (role, caption), count in counts.items()]
        yield _table(("Clips", "Role", "Caption"), rows)

    def _made(self) -> Iterator[str]:
        config = self.config or {}
        chosen = config.get("parameters") or {}
        groups = chosen.get("groups", [_last_name(chosen or None)])  # a subset of another kind has none
        trained = ", ".join(groups) or "the token alone"
        data = config["data"]
        rows = [
            ("base model", self._base_name),
            ("arm", config["arm"]),
            *([("started from", config["init"])] if config.get("init") else []),
            ("trained parameters", trained),
            ("token", f"{self._word}, {'trained' if config['token'].get('trained') else 'frozen'}"),
            ("steps, batch, seed", f"{self.step}, {config['batch_size']}, {config['seed']}"),
            ("learning rate", f"{config['optimizer']['lr']:g}"),
            ("objective", _last_name(config.get("objective") or FIRST_OBJECTIVE)),
            ("timesteps", _last_name(config["timesteps"])),
            ("regularization", _last_name(config["regularization"])),
            ("clips in training", f"{data['frames']} frames of {data['size']} px, {data['fps']:g} a second"),
        ]
        yield "## How it was made"
        yield "Video motion customization (Materzynska et al., arXiv 2312.04966)."
        yield _table(("", ""), rows)

    def _measured(self) -> Iterator[str]:
        yield "## Measured"
        if self.summary is None:
            yield "Not evaluated."
            return
        yield (
            f"At step {self.summary['step']}, on {self.summary['videos']} of {self.summary['of']} videos of the test"
            " set, with 95 % intervals over subjects."
        )
        found = ((name, part) for name, part in self.summary["metrics"].items() if part["value"] is not None)
        yield _table(("Metric", "Value", "Interval"), [(name, *_numbers(part)) for name, part in found])

    @property
    def _word(self) -> str:
        return str((self.config or {})["token"]["word"])

    def _example(self) -> str | None:
        """The motion's prompt with its word and a subject in place."""
        if self.config is None:
            return None
        template = self.config["motion"]["prompt"] or prompt_of(self.config["motion"]["caption"])
        further = self.config["token"].get("further") or {}
        words = {f"{name}_token": token["word"] for name, token in further.items()}
        return fill(template, token=self._word, subject="A firefighter", **words)


def base_licence(base: str) -> tuple[str | None, str]:
    """The licence of a base model: as the hub abbreviates it, where that is known, and as a sentence."""
    readme = Path(base).expanduser() / CARD
    if readme.is_file():
        head = readme.read_text(encoding="utf-8", errors="replace").split("---")
        metadata = _yaml(head[1]) if len(head) > 2 and not head[0].strip() else {}
        if isinstance(metadata.get("license"), str):
            return metadata["license"], f"It names {metadata['license']}."
    for source in SOURCES.values():
        if isinstance(source, HubSource) and source.repository == base:
            short = next((short for name, short in LICENCES.items() if source.licence.startswith(name)), None)
            return short, f"It is {source.licence}."
    return None, "It is not known here: look it up before these weights are given to others."


def _yaml(text: str) -> dict[str, Any]:
    try:
        found = parse_yaml(text, plain=False)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _newest_evaluation(run: Path, step: int) -> Path | None:
    """Of the test set with the token, after 1 to `step` steps: step 0 is the base model's."""
    found = sorted(file.parent for file in (run / "evaluation").glob("*/summary.json") if file.parent.name.isdigit())
    return max((folder for folder in found if 0 < int(folder.name) <= step), default=None)


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _spread(texts: Sequence[str], count: int) -> list[str]:
    return [texts[place * len(texts) // count] for place in range(count)] if len(texts) > count else list(texts)


FIRST_OBJECTIVE = {"_target_": "vmc.diffusion.objective.Denoising"}
"""Of runs that name none: the only one there was."""


def _last_name(node: Mapping[str, Any] | None) -> str:
    """What a config's part is: the name of its class and its plain values."""
    if node is None:
        return "none"
    values = {key: value for key, value in node.items() if isinstance(value, int | float | str) and key != "_target_"}
    told = ", ".join(f"{key} {value}" for key, value in values.items() if key != "path")
    return str(node["_target_"]).rpartition(".")[2] + (f" ({told})" if told else "")


def _numbers(part: Mapping[str, float | None]) -> tuple[str, str]:
    interval = "" if part["low"] is None else f"{part['low']:.4f} to {part['high']:.4f}"
    return f"{part['value']:.4f}", interval


def _line(text: str) -> str:
    """A text of several lines in one, as a list or a table of Markdown holds it."""
    return " ".join(text.split())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def check_upload(name: str) -> None:
    """What would keep an upload from working, as far as it can be told without the network.

    Raises:
        VmcError: no name of a repository, offline, or nobody is logged in.
    """
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise VmcError(f"push is {name}, which is no name of a hub repository; give USER/NAME") from error
    if constants.HF_HUB_OFFLINE:
        raise VmcError(f"push is {name}, but HF_HUB_OFFLINE is set; go online, or leave push out")
    if get_token() is None:
        raise VmcError(f"push is {name}, but nobody is logged in to the hub; run `hf auth login` or set HF_TOKEN")


def upload(folder: Path, name: str, *, private: bool) -> str:
    """Put all files of a folder into a repository, which is made where it is not there; its address.

    A repository that is there keeps its visibility, and in its history what it held.

    Raises:
        VmcError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        repository = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository.repo_id, folder_path=folder, commit_message="Pipeline exported by vmc")
    except Exception as error:  # the library's own network errors are of many kinds
        _explain(folder, name, error)
    return str(repository)


def _explain(folder: Path, name: str, error: Exception) -> NoReturn:
    status = getattr(getattr(error, "response", None), "status_code", None)
    first = (str(error).strip().splitlines() or [""])[0]
    if status in (401, 403):
        reason = f"the hub refuses it ({status}); log in with `hf auth login` as somebody who may write there"
    elif status is None:
        reason = f"the hub cannot be reached ({type(error).__name__}: {first})"
    else:
        reason = f"the hub refuses it ({first})"
    raise VmcError(
        f"{folder} is exported but not uploaded to {name}: {reason}; the same command tries again"
    ) from error
