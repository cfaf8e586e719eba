"""A lesson of the text encoder's: a few minutes of training that are not resumed but given whole."""

from collections.abc import Callable

from torch import Tensor, nn
from tqdm import tqdm

from vmc.tools.learning.learner import Learner

SAY_EVERY, MEAN_OF = 100, 50
"""Steps between two lines, and how many losses a line is the mean of."""


def give(name: str, learner: Learner, text_encoder: nn.Module, loss_of: Callable[[int], Tensor]) -> float:
    """Train to the end of the learner's schedule and leave the averaged weights in the encoder.

    Args:
        name: of the lesson, for the bar.
        learner: of the encoder, which is its network `text`, and of what else learns with it.
        text_encoder: the encoder.
        loss_of: the loss of the step with that number, counted from 0.

    Returns:
        The mean loss of the last tenth of the steps.
    """
    losses = list[float]()
    for step in tqdm(range(learner.steps), desc=name, unit="step", disable=None):
        losses.append(learner.learn(loss_of(step)))
        if len(losses) % SAY_EVERY == 0:
            tqdm.write(f"{name}: step {len(losses)}, loss {sum(losses[-MEAN_OF:]) / MEAN_OF:.4f}")
    text_encoder.load_state_dict(learner.average["text"].state_dict())
    last = losses[-max(1, learner.steps // 10) :]
    return sum(last) / len(last)
