"""Made-up run folders in the layout of vmc.train: what a report is made of."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from vmc.evaluation.score import has_fallen, summarize
from vmc.evaluation.score_files import SUMMARY
from vmc.metrics.scores import COLUMNS, write_scores
from vmc.utils.files import write_json

SUBJECTS = ("A man", "A woman", "A robot", "A chef")
COPY_THRESHOLD = 0.25


class MadeUp:
    """Writes run folders below `root`; every number in them is chosen by the test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(
        self,
        arm: str = "method",
        *,
        motion: str = "swiping_down",
        seed: int = 0,
        evaluations: Mapping[int, Sequence[Mapping[str, Any]]],
        status: str = "finished",
        reason: str | None = "appearance",
        steps: int = 300,
        step: int | None = None,
        threshold: float | None = 0.25,
        folder: str | None = None,
        config: Mapping[str, Any] | None = None,
        protocol: Mapping[str, Any] | None = None,
        of: int | None = None,
    ) -> Path:
        """A run whose evaluations have these rows (see `rows`); `config` and `protocol` change what is written."""
        path = self.root / (folder or f"{arm}/{motion}/seed{seed}")
        path.mkdir(parents=True)
        whole = max(map(len, evaluations.values()), default=0)
        settings = {
            "arm": arm,
            "seed": seed,
            "steps": steps,
            "stack_name": "mini",
            "motion": {"name": motion, "label": motion.replace("_", " ").title()},
            "model": {"path": "pipeline", "frames": 8, "size": 64, "attention": "plain"},
            "data": {"frames": 8, "size": 64, "fps": 3.0},
            "prompts": {"file": "prompts.csv", "limit": None},
            "timesteps": {"_target_": "vmc.diffusion.timesteps.CoarseNoise", "alpha": 0.5},
            "metrics": {"copying": None},
            "stop": {"appearance": threshold},
        }
        (path / "config.yaml").write_text(yaml.safe_dump(settings | dict(config or {})))
        last = max(evaluations, default=0) if step is None else step
        (path / "run.json").write_text(json.dumps({"status": status, "reason": reason, "step": last}))
        updates = "".join(f"{done},{4 * done},0.1,0.1,,{done}.0\n" for done in range(1, last + 1))
        (path / "train.csv").write_text(
            "step,exemplar_updates,loss,loss_motion,loss_regularization,seconds\n" + updates
        )
        made = self.protocol(motion, seed) | dict(protocol or {})
        for done, found in evaluations.items():
            self.evaluation(
                path / "evaluation" / f"{done:06d}",
                found,
                step=done,
                protocol=made,
                threshold=threshold,
                of=of or whole,
            )
        return path

    def evaluation(
        self,
        folder: Path,
        rows: Sequence[Mapping[str, Any]],
        *,
        step: int = 0,
        protocol: Mapping[str, Any],
        threshold: float | None = None,
        of: int | None = None,
    ) -> None:
        """`scores.csv` and `summary.json`, as `vmc.evaluation.score` writes them."""
        folder.mkdir(parents=True)
        table = [{column.name: None for column in COLUMNS} | dict(row) for row in rows]
        write_scores(folder / "scores.csv", table)
        metrics = summarize(table)
        summary = {
            "step": step,
            "videos": len(table),
            "of": of or len(table),
            "metrics": metrics,
            "stop": {"appearance": threshold, "reached": has_fallen(metrics, threshold)},
            "protocol": dict(protocol),
        }
        write_json(folder / SUMMARY, summary)

    @staticmethod
    def protocol(motion: str, seed: int) -> dict[str, Any]:
        """Of the shape that evaluations have."""
        mark = hashlib.sha256(motion.encode()).hexdigest()[:8]
        return {
            "prompts": mark,
            "sampler": {"steps": 12, "guidance": 4.0},
            "latents": [4, 8, 8, 8],
            "fps": 3.0,
            "motion": {"classifier": {"file": "trn.pth.tar", "sha256": "aa"}, "target": motion},
            "appearance": {"model": {"file": "clip", "sha256": "bb"}, "scale": "raw cosine"},
            "copying": {
                "descriptor": {"file": "sscd", "sha256": "cc"},
                "threshold": COPY_THRESHOLD,
                "exemplars": {"clips": 3, "sha256": f"{mark}{seed}"},
            },
        }


def rows(
    *,
    appearance: float,
    correct: Sequence[int],
    copied: Sequence[int] | None = None,
    text: float = 0.2,
    subjects: Sequence[str] = SUBJECTS,
    seeds: Sequence[int] = (1,),
    valid: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """A video a subject and seed; every video has the same appearance and text alignment.

    Without `copied` nobody compared it with the exemplars.
    """
    found = []
    for place, (subject, seed) in enumerate((subject, seed) for subject in subjects for seed in seeds):
        good = valid is None or bool(valid[place])
        similarity = 0.35 if copied and copied[place] else 0.15
        compared = {
            "copy_similarity_first": similarity,
            "copy_similarity_any": similarity + 0.05,
            "copied": similarity > COPY_THRESHOLD,
            "nearest_clip": "clip0.mp4",
            "nearest_frame": place,
        }
        row = {
            "prompt": f"{subject} doing the sks sign.",
            "subject": subject,
            "seed": seed,
            "video": f"{place:04d}.mp4",
            "valid": good,
            "predicted": "Swiping Down" if correct[place] else "No gesture",
            "motion_correct": bool(correct[place]) and good,
        }
        if good:
            row |= {
                "motion_probability": 0.5,
                "appearance": appearance,
                "text_alignment": text,
                "frame_consistency": 0.9,
                "flicker": 0.95,
                "dynamic_degree": 0.5,
                **(compared if copied else {}),
            }
        found.append(row)
    return found


@pytest.fixture
def made_up(tmp_path) -> MadeUp:
    """Writes run folders below `runs` of the test's folder."""
    return MadeUp(tmp_path / "runs")


@pytest.fixture(scope="module")
def lasting(tmp_path_factory) -> Callable[[], MadeUp]:
    """Gives folders of made-up runs that a module's tests share."""
    return lambda: MadeUp(tmp_path_factory.mktemp("made") / "runs")


@pytest.fixture(scope="session")
def scored() -> Callable[..., list[dict[str, Any]]]:
    """Rows of an evaluation."""
    return rows


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if chromium() is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install '.[dev]')")
    with playwright.sync_playwright() as driver:
        # Root may start it without its sandbox alone.
        found = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"] * (os.getuid() == 0))
        yield found
        found.close()
