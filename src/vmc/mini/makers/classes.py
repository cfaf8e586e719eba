"""`python -m vmc.mini classes`: gives the shipped gesture classifier the classes of the stand-ins of internet motions.

All of it stays as it is; of each scale's last layer, rows for the new classes are learned beside those of Jester's 27.
So a video's logits for these are those of the shipped one.

Axes: N videos, F frames, S = 8 segments, D = 896 features (128 of each of the 7 scales), K new classes.
"""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from vmc.data.frames import even_times, window
from vmc.metrics.networks.classifiers import JESTER_LABELS
from vmc.metrics.networks.trn import SEGMENTS, TRN, load_trn, save_trn
from vmc.mini.makers.broken import broken
from vmc.mini.makers.classifier.decoded import Decoder
from vmc.mini.shipped import WEIGHTS, shipped
from vmc.mini.world.internet import PAINTS
from vmc.mini.world.objects import OBJECTS, ObjectSpec, render_object
from vmc.mini.world.people import Pool, generator
from vmc.mini.world.renderer import FPS, Framing
from vmc.mini.world.specs import sample_clip
from vmc.mini.world.unseen import UNSEEN, render_unseen
from vmc.utils.errors import VmcError, check_positive
from vmc.utils.files import atomic_write, cache_root, sha256_of
from vmc.utils.randomness import generator as torch_generator

AROUND, AT_REST = "Camera Around Object", "Object at Rest"
"""The first goes either way, as CO3D's cameras do; eight frames of such objects tell the ways apart too seldom."""
BROKEN = "Nothing Right"
"""Blobs, warped pictures and pieces of arms, as videos of a model that cannot do better show them."""
NEW = (*UNSEEN, AROUND, AT_REST, BROKEN)
ROWS = Path(__file__).parents[1] / "classes.safetensors"
"""The learned rows, which ship with the package."""
SIZE, RATE = 64, 3.0
"""Pixels of a side and frames a second, as the miniature's videos have them."""
FAINT = 0.2
"""Share of clips of new gestures with hands so faint that they are "No gesture", as for the shipped classifier."""
FULL, RESTING = (300.0, 360.0), 25.0
"""Degrees of a turn, and the largest of what is still at rest."""
VALIDATION = 500_000
"""Clips from this number on are never trained on."""
ERRORS, SMEARED = (0.05, 0.2), (0.1, 0.5)
"""Deviation of the noise added to a clip's latents, and to those of a broken one."""
BROKEN_SHARE = 2
"""Broken clips for each of another class."""
STEPS, DECAY = 1500, 1e-3


def class_names() -> list[str]:
    """Jester's 27 and the new ones, in the order of the classifier's rows."""
    return [*JESTER_LABELS, *NEW]


def classifier_file(name: str = "classifier.pth.tar") -> Path:
    """The shipped classifier `name` with the rows of the new classes, put together in the cache.

    Raises:
        VmcError: the rows were learned beside another classifier.
    """
    base, trained = shipped(name), sha256_of(shipped(name))
    with safe_open(str(ROWS), "pt") as file:
        if (file.metadata() or {}).get("classifier") != trained:
            raise VmcError(f"{ROWS} was learned beside another {base}: run `python -m vmc.mini classes` again")
        rows = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    made = cache_root() / "mini" / f"classes-{sha256_of(ROWS)[:12]}-{trained[:12]}.pth.tar"
    if not made.is_file():
        network = load_trn(base, classes=len(JESTER_LABELS))
        for scale, layers in enumerate(network.consensus.fc_fusion_scales):
            last = cast(nn.Linear, cast(nn.Sequential, layers)[-1])
            weight = torch.cat([last.weight.data, rows[f"{scale}.weight"]])
            grown = nn.Linear(weight.shape[1], len(weight))
            grown.weight.data, grown.bias.data = weight, torch.cat([last.bias.data, rows[f"{scale}.bias"]])
            cast(nn.Sequential, layers)[-1] = grown
        with atomic_write(made) as temporary:
            save_trn(network, temporary, arch=network.backbone.__name__, epoch=0, accuracy=0.0)
    return made


# --- clips ------------------------------------------------------------------------------------------------------------


def video(name: str, number: int, *, pool: Pool = "classifier") -> tuple[NDArray[np.uint8], str]:
    """frames_FHWC of 8 frames as the miniature's clips are sampled, and the class that they show."""
    random = generator("classes", name, number)
    if name in (AROUND, AT_REST):
        return _object(name, number, random), name
    if name == BROKEN:
        gestures = tuple(UNSEEN)[number // 6 % len(UNSEEN)], "No gesture"
        people = [partial(_person, gesture, number, random, pool) for gesture in gestures]
        things = (AROUND, AT_REST)
        return broken(number, random, thing=lambda one: _object(things[one % 2], one, random), people=people), name
    faint = name in UNSEEN and random.random() < FAINT
    alpha = float(random.uniform(0.05, 0.5)) if faint else 1.0
    return _person(name, number, random, pool, alpha=alpha), "No gesture" if faint else name


def _object(name: str, number: int, random: Generator) -> NDArray[np.uint8]:
    turn = random.uniform(*FULL) * random.choice((-1, 1))
    turn = random.uniform(-RESTING, RESTING) if name == AT_REST else turn
    spec = ObjectSpec(
        category=tuple(OBJECTS)[int(random.integers(len(OBJECTS)))],
        color=PAINTS[int(random.integers(len(PAINTS)))],
        turn=float(turn),
        frames=SEGMENTS,
        zoom=float(random.uniform(0.85, 1.2)),
        seed=1_000_000 + number,
    )
    return render_object(spec, SIZE)


def _person(name: str, number: int, random: Generator, pool: Pool, *, alpha: float = 1.0) -> NDArray[np.uint8]:
    framing: Framing = "webcam" if random.random() < 0.3 else "web"
    clip = sample_clip(pool, 60_000 + number, gestures=(name,), framing=framing, frames=(28, 40))
    draw = torch_generator("classes", number, "window")
    taken = window(even_times(clip.frames, FPS), frames=SEGMENTS, fps=RATE, start="random", generator=draw).indices
    return render_unseen(replace(clip, hands_alpha=alpha), SIZE)[list(taken)]


def features(network: TRN, frames_NSHWC: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """(features_ND, of which the last layers make logits; logits of Jester's classes)."""
    seen: list[Tensor] = []
    hooks = [
        cast(nn.Sequential, layers)[-1].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
        for layers in network.consensus.fc_fusion_scales
    ]
    with torch.no_grad():
        logits = network(torch.from_numpy(frames_NSHWC).permute(0, 1, 4, 2, 3))
    for hook in hooks:
        hook.remove()
    places = iter(seen)
    summed = [torch.stack([next(places) for _ in tuples]).sum(0) for tuples in network.consensus.tuples]
    return torch.cat(summed, 1), logits


def dataset(names: dict[str, int], first: int, pool: Pool) -> tuple[Tensor, Tensor, Tensor]:
    """Features, Jester's logits and classes of `names[class]` clips each: as rendered, and through the autoencoder."""
    network, decoder = (
        load_trn(shipped("classifier.pth.tar"), classes=len(JESTER_LABELS)),
        Decoder(WEIGHTS / "pipeline"),
    )
    found, known = [], class_names()
    wanted = [(name, first + number) for name, count in names.items() for number in range(count)]
    for name, number in tqdm(wanted, desc="rendering clips", unit="clip", disable=None):
        frames_FHWC, shown = video(name, number, pool=pool)
        error = float(generator("classes error", number).uniform(*(SMEARED if name == BROKEN else ERRORS)))
        both = np.stack([frames_FHWC, decoder(frames_FHWC, error=error, place=number)])
        found.append((*features(network, both), torch.full((2,), known.index(shown))))
    parts = [torch.cat(part) for part in zip(*found, strict=True)]
    return parts[0], parts[1], parts[2]


# --- learning ---------------------------------------------------------------------------------------------------------


def learn(features_ND: Tensor, known_NJ: Tensor, classes_N: Tensor) -> tuple[Tensor, Tensor]:
    """weight_KD and bias_K of the new classes that tell them from Jester's, whose logits stay as they are."""
    scale_D = features_ND.std(0).clamp(min=1e-3)
    weight = torch.zeros(len(NEW), features_ND.shape[1], requires_grad=True)
    bias = torch.zeros(len(NEW), requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=0.01)
    share_K = torch.bincount(classes_N, minlength=len(class_names())).clamp(min=1).reciprocal()
    for _ in range(STEPS):
        logits = torch.cat([known_NJ, F.linear(features_ND / scale_D, weight, bias)], 1)
        loss = F.cross_entropy(logits, classes_N, weight=share_K) + DECAY * weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (weight / scale_D).detach(), bias.detach()


@cache
def _scales() -> list[int]:
    return [len(tuples) for tuples in load_trn(shipped("classifier.pth.tar"), classes=27).consensus.tuples]


def save_rows(weight_KD: Tensor, bias_K: Tensor, path: Path) -> None:
    """Write the rows, a scale's each; a scale's bias counts as often as it has tuples."""
    parts = {f"{scale}.weight": part.contiguous() for scale, part in enumerate(weight_KD.chunk(len(_scales()), 1))}
    total = sum(_scales())
    parts |= {f"{scale}.bias": bias_K / total for scale in range(len(_scales()))}
    with atomic_write(path) as temporary:
        save_file(parts, temporary, {"classifier": sha256_of(shipped("classifier.pth.tar"))})


def add_arguments(parser: ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--clips", type=int, default=120, metavar="N", help="of each new class (120)")
    parser.add_argument("--known", type=int, default=24, metavar="N", help="of each of Jester's classes (24)")
    parser.add_argument("--output", type=Path, default=ROWS, metavar="FILE", help=f"of the rows ({ROWS.name})")


def run(arguments: Namespace) -> None:
    """Learns the rows, writes them, and says how well the classes are told on other persons and objects.

    Raises:
        VmcError: an option below 1.
    """
    check_positive(arguments, "clips", "known")
    counts = dict.fromkeys(JESTER_LABELS, arguments.known) | dict.fromkeys(NEW, arguments.clips)
    counts[BROKEN] *= BROKEN_SHARE
    weight_KD, bias_K = learn(*dataset(counts, 0, "classifier"))
    save_rows(weight_KD, bias_K, arguments.output)
    checked = {name: max(count // 3, 1) for name, count in counts.items()}
    features_ND, known_NJ, classes_N = dataset(checked, VALIDATION, "card")
    before = known_NJ.argmax(1) == classes_N
    right = torch.cat([known_NJ, F.linear(features_ND, weight_KD, bias_K)], 1).argmax(1) == classes_N
    for place, name in enumerate(class_names()):
        chosen = classes_N == place
        told = f" ({before[chosen].float().mean():.1%} before)" if name not in NEW else ""
        print(f"{name:32} {right[chosen].float().mean():6.1%} of {int(chosen.sum())}{told}")
