"""How often intervals and tests at equal appearance are right, in simulated experiments whose truth is known.

python experiments/matching/simulate.py [trials=1000] [resamples=300] [seed=0] [only=NAME]

An experiment is two arms of motions x training seeds x evaluations x videos, drawn around smooth curves of appearance
and accuracy. The truth is the mean over motions and seeds of the accuracy on the curves where they meet the appearance.

Axes: X places along training, K evaluations, N subjects, S videos of a subject, P points of a quadrature.
"""

import sys
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from vmc.metrics.equal_appearance import Trajectory, lowest_common, resample_trajectories
from vmc.metrics.statistics import Resampled, intervals_of, paired_differences

# Deviations of appearance between subjects, between the videos of one, and of a video from evaluation to evaluation:
# those of the miniature's method on Swiping Down.
PEOPLE, PICTURE, VIDEO = 0.12, 0.055, 0.046
METRIC = "motion_accuracy"
PLACES_X = np.linspace(0, 1, 601)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """How an arm trains: how far its appearance falls from 0.30, and how accurate it becomes, in logits."""

    speed: float = 1.0  # of both, against the other arm
    fall: float = 0.12
    gain: float = 5.0  # from -3 on
    decline: float = 0.0  # of accuracy after two thirds of the training


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is run, and how it varies."""

    one: Arm = Arm()
    other: Arm = Arm()
    motions: int = 4
    seeds: int = 3
    evaluations: int = 6
    subjects: int = 48
    videos: int = 2
    between_motions: float = 0.5  # of both arms alike, in logits
    between_arms: float = 0.4  # of a motion in one arm
    between_seeds: float = 0.3
    falls: float = 0.15  # relative deviation of how far runs fall
    wiggle: float = 0.003  # of appearance from evaluation to evaluation
    threshold: float | None = 0.22
    single: bool = False  # of a single motion


DESIGNS = {
    "as the laptop's": Design(),
    "noisy curves": Design(wiggle=0.01),
    "not monotone": Design(one=Arm(decline=3.0), other=Arm(decline=3.0), wiggle=0.015),
    "coarse evaluations": Design(evaluations=4),
    "few subjects": Design(subjects=12, videos=2),
    "one motion, three seeds": Design(motions=1, single=True),
    "two motions, two seeds": Design(motions=2, seeds=2),
    "motions alike": Design(between_motions=0.0, between_arms=0.0, between_seeds=0.0, falls=0.0),
    "motions far apart": Design(between_motions=1.5, between_arms=1.0),
    "unlike speeds": Design(other=Arm(speed=0.6)),
    "threshold not reached": Design(other=Arm(fall=0.06), threshold=0.10),
    "the same, 9 evaluations": Design(other=Arm(fall=0.06), threshold=0.10, evaluations=9),
    "the same, 13 evaluations": Design(other=Arm(fall=0.06), threshold=0.10, evaluations=13),
    "unlike arms": Design(other=Arm(gain=3.5, fall=0.16)),
    "no threshold": Design(other=Arm(speed=0.6), threshold=None),
    "one run": Design(motions=1, seeds=1, subjects=100, videos=1, single=True, between_seeds=0.0, falls=0.0),
}


@dataclass(frozen=True, kw_only=True)
class Smooth:
    """The curves of one run: its appearance, and the logits of its accuracy for an ordinary subject."""

    appearance_X: np.ndarray
    logits_X: np.ndarray

    def accuracy(self, score: float) -> float:
        """The mean over subjects where appearance has fallen to a score."""
        nodes_P, weights_P = np.polynomial.hermite_e.hermegauss(15)
        logit = np.interp(-score, -self.appearance_X, self.logits_X)
        return float(expit(logit + SPREAD * nodes_P) @ (weights_P / weights_P.sum()))


def expit(logits: np.ndarray) -> np.ndarray:
    """Chances from logits."""
    return 1 / (1 + np.exp(-logits))


EASE, TASTE = 1.0, 0.5  # deviations between subjects of accuracy in logits, for every model and for an arm
SPREAD = float(np.hypot(EASE, TASTE))


def draw_curves(design: Design, rng: np.random.Generator) -> list[tuple[Smooth, Smooth]]:
    """Both arms' curves, of every motion and training seed."""
    pairs = []
    for _ in range(design.motions):
        alike = 0.0 if design.single else 1.0  # of one motion the truth is its own
        level, start = alike * rng.normal(0, design.between_motions), alike * rng.normal(0, 0.01)
        own = alike * rng.normal(0, design.between_arms, 2)
        fall = np.exp(alike * rng.normal(0, design.falls))
        for _ in range(design.seeds):
            runs = []
            for arm, mine in zip((design.one, design.other), own, strict=True):
                times_X = PLACES_X * arm.speed
                deep = arm.fall * fall * np.exp(rng.normal(0, design.falls / 2))
                down_X = (1 - np.exp(-1.5 * times_X)) / (1 - np.exp(-1.5))
                rise_X = expit(6 * (times_X - 0.45)) - expit(-2.7)
                drop_X = arm.decline * np.maximum(times_X - 2 / 3, 0)
                logits_X = -3 + arm.gain * rise_X + (level + mine + rng.normal(0, design.between_seeds)) - drop_X
                runs.append(Smooth(appearance_X=0.30 + start - deep * down_X, logits_X=logits_X))
            pairs.append((runs[0], runs[1]))
    return pairs


def truth(design: Design, *, cells: int = 3000) -> tuple[float, float]:
    """The first arm's accuracy at the threshold (where there is one), and its difference from the other's."""
    rng = np.random.default_rng(1)
    pairs = draw_curves(replace(design, motions=cells, seeds=1), rng)
    alone, apart = [], []
    for pair in pairs:
        lowest = max(smooth.appearance_X[-1] for smooth in pair)
        at = lowest if design.threshold is None else max(lowest, design.threshold)
        one, other = (smooth.accuracy(at) for smooth in pair)
        apart.append(one - other)
        alone.append(pair[0].accuracy(design.threshold) if design.threshold is not None else np.nan)
    return float(np.mean(alone)), float(np.mean(apart))


def draw_runs(design: Design, rng: np.random.Generator) -> tuple[list[Trajectory], list[Trajectory]]:
    """What would have been measured of both arms."""
    shape = (design.evaluations, design.subjects, design.videos)
    people_N, ease_N = rng.normal(0, PEOPLE, design.subjects), rng.normal(0, EASE, design.subjects)
    pictures_NS = rng.normal(0, PICTURE, shape[1:])
    taste_AN = rng.normal(0, TASTE, (2, design.subjects))
    places_K = np.linspace(0, len(PLACES_X) - 1, design.evaluations).astype(int)
    names = np.repeat([f"s{number:03d}" for number in range(design.subjects)], design.videos)
    videos = pd.DataFrame({"subject": names, "prompt": names, "seed": np.arange(len(names))})
    arms = ([], [])
    for place, pair in enumerate(draw_curves(design, rng)):
        for arm, smooth, taste_N in zip(arms, pair, taste_AN, strict=True):
            shown_K = smooth.appearance_X[places_K] + rng.normal(0, design.wiggle, design.evaluations)
            pictures_KNS = shown_K[:, None, None] + people_N[:, None] + pictures_NS + rng.normal(0, VIDEO, shape)
            chances_KNS = expit(smooth.logits_X[places_K][:, None, None] + (ease_N + taste_N)[:, None])
            right_KNS = rng.random(shape) < chances_KNS
            arm.append(
                Trajectory(
                    motion=f"m{place // design.seeds}",
                    seed=place % design.seeds,
                    steps_K=places_K,
                    videos=videos,
                    metrics=("motion_accuracy", "appearance"),
                    values_KUV=np.stack([right_KNS, pictures_KNS], axis=-1).reshape(design.evaluations, -1, 2),
                )
            )
    return arms


def measure(
    one: list[Trajectory], other: list[Trajectory], *, threshold: float | None, resamples: int
) -> tuple[Resampled | None, tuple[Resampled, Resampled]]:
    """The first arm at the threshold, where there is one, and both at the appearance at which they are compared."""
    subjects = sorted(set(one[0].videos["subject"]))

    def packed(draws: list[np.ndarray]) -> Resampled:
        return Resampled(
            places=[run.place for run in one],
            metrics=[METRIC],
            draws_QRV=np.stack(draws),
            subjects_V=np.array([len(subjects)]),
            shares=frozenset([METRIC]),
        )

    drawn = [
        resample_trajectories(arm, metrics=[METRIC], subjects=subjects, resamples=resamples) for arm in (one, other)
    ]
    lows = [lowest_common(a.fit, b.fit, threshold=threshold)[:, None] for a, b in zip(*drawn, strict=True)]
    first, second = (packed([run.read(low)[:, 0] for run, low in zip(arm, lows, strict=True)]) for arm in drawn)
    if threshold is None:
        return None, (first, second)
    return packed([run.read(np.full((resamples + 1, 1), threshold))[:, 0] for run in drawn[0]]), (first, second)


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Shares of trials; NaN of what a design does not have."""

    coverage: float  # of the interval of the first arm at the threshold
    difference_coverage: float
    rejected: float  # how often p < 0.05
    bias: float  # of the difference
    deviation: float  # of the difference
    truth: float  # of the difference


def run_design(design: Design, *, trials: int, resamples: int, seed: int) -> Counted:
    """Draw the experiment many times and count."""
    alone_truth, apart_truth = truth(design)
    rng, rows = np.random.default_rng(seed), []
    for _ in range(trials):
        one, other = draw_runs(design, rng)
        alone, pair = measure(one, other, threshold=design.threshold, resamples=resamples)
        row = [np.nan] * 4
        if alone is not None:
            interval = intervals_of(alone)[METRIC]
            row[0] = float(interval.low <= alone_truth <= interval.high)
        if len(one) > 1:
            found = paired_differences(*pair)[METRIC]
            row[1:] = [found.low <= apart_truth <= found.high, found.p < 0.05, found.value - apart_truth]
        rows.append(row)
    table = np.array(rows, dtype=float)
    coverage, apart_coverage, rejected, bias = table.mean(0)
    return Counted(
        coverage=coverage,
        difference_coverage=apart_coverage,
        rejected=rejected,
        bias=bias,
        deviation=table[:, 3].std(),
        truth=apart_truth,
    )


def main() -> None:
    """Print a line of Markdown for each design."""
    given = dict(word.split("=", 1) for word in sys.argv[1:])
    trials, resamples, seed = (int(given.get(key, n)) for key, n in (("trials", 1000), ("resamples", 300), ("seed", 0)))
    print(
        "| Design | Interval covers, % | of the difference, % | p < 0.05, % | True difference | Its bias, deviation |"
    )
    print("|---|---|---|---|---|---|")
    for name, design in DESIGNS.items():
        if given.get("only", name) == name:
            one = run_design(design, trials=trials, resamples=resamples, seed=seed)
            shares = " | ".join(f"{100 * n:.1f}" for n in (one.coverage, one.difference_coverage, one.rejected))
            print(f"| {name} | {shares} | {one.truth:+.3f} | {one.bias:+.3f}, {one.deviation:.3f} |", flush=True)


if __name__ == "__main__":
    main()
