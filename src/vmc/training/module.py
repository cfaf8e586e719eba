"""The Lightning module: denoiser, loss and optimiser, and nothing else."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from vmc.diffusion.conditioning import Conditioning
from vmc.diffusion.objective import Context, Denoising, Objective, clip_losses, weighted_loss
from vmc.errors import VmcError
from vmc.models.base import VideoModel
from vmc.models.loading import cast
from vmc.models.parameters import Subset
from vmc.models.text import TextEncoder
from vmc.training.batches import Batch
from vmc.training.delta import trained_places
from vmc.training.optimizers import Constant, OptimizerFactory, ScheduleFactory, make_optimizer


class MotionModule(pl.LightningModule):
    """Trains a subset of a denoiser, and the token's embedding row where it has one to train.

    Args:
        model: the base model.
        denoiser: its denoiser; what the subset leaves out is frozen here, and held in `frozen_dtype`.
        subset: what is trained.
        optimizer: makes the optimiser from parameter groups.
        objective: the loss of a clip; None is Eq. 1.
        lr_schedule: makes what changes the rates of all groups from step to step.
        encoder: the text encoder, given only if the token's row is trained; it then runs in the step.
        token_learning_rate: of that row.
        frozen_dtype: of the frozen weights.
    """

    def __init__(
        self,
        *,
        model: VideoModel,
        denoiser: Any,
        subset: Subset,
        optimizer: OptimizerFactory,
        objective: Objective | None = None,
        lr_schedule: ScheduleFactory | None = None,
        encoder: TextEncoder | None = None,
        token_learning_rate: float | None = None,
        frozen_dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.model, self.process = model, model.process
        self.denoiser = denoiser
        self.trained = subset.freeze_rest(denoiser, model.groups)
        cast(denoiser, frozen_dtype, {name for name, tensor in denoiser.named_parameters() if not tensor.requires_grad})
        self.encoder = encoder
        self.text_encoder = encoder.network if encoder else None
        self.token_learning_rate = token_learning_rate
        self.objective = objective or Denoising()
        self._make_optimizer, self._make_schedule = optimizer, lr_schedule or Constant()
        self._scheduled = False
        self.rate: float | None = None  # of the last step and the first group, where a schedule changes it
        self.losses: list[dict[str, Tensor]] = []  # of the micro-batches since the last step
        if not self.trained_tensors():
            raise VmcError("nothing is trained: parameters.groups is empty and token.trained is false; set one")

    def train(self, mode: bool = True) -> "MotionModule":
        """Stay in eval mode: dropout would draw from the global generator (and the release has it off)."""
        return super().train(False)

    def trained_tensors(self) -> dict[str, Tensor]:
        """Exactly what is trained, under the names of the delta."""
        row = self.encoder.token_embedding if self.encoder else None
        return trained_places(
            self.trained, self.model.prefix, row if row is not None and row.row.requires_grad else None
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a micro-batch (Eq. 1 and 3)."""
        text = batch.text if isinstance(batch.text, Conditioning) else self._encoded(batch.text)
        noisy_BCFHW = self.process.add_noise(batch.latents_BCFHW, batch.noise_BCFHW, batch.times_B)
        target_BCFHW = self.process.target(batch.latents_BCFHW, batch.noise_BCFHW, batch.times_B)
        timesteps_B = self.process.timesteps(batch.times_B)
        prediction_BCFHW = self.model.predict(self.denoiser, noisy_BCFHW, timesteps_B, text)
        context = Context(
            process=self.process,
            latents_BCFHW=batch.latents_BCFHW,
            noisy_BCFHW=noisy_BCFHW,
            times_B=batch.times_B,
            generators_B=[torch.Generator().manual_seed(seed) for seed in batch.objective_seeds_B],
        )
        losses = self.objective(prediction_BCFHW.float(), target_BCFHW.float(), context)
        losses_B, named = clip_losses(losses, clips=len(batch.weights_B))
        loss = weighted_loss(losses_B, batch.weights_B, batch.draws)
        parts = {
            f"loss_{name}": weighted_loss(part_B.detach(), batch.weights_B, batch.draws)
            for name, part_B in named.items()
        }
        self.losses.append(_sums(loss, losses_B.detach(), batch.is_exemplar_B) | parts)
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Note the rate of the step."""
        if self._scheduled:
            self.rate = float(optimizer.param_groups[0]["lr"])

    def _encoded(self, ids_BL: Tensor) -> Conditioning:
        if self.encoder is None:
            raise VmcError("a batch of token ids came to a module without a text encoder; give it the encoder")
        return self.encoder.encode_ids(ids_BL)

    def configure_optimizers(self) -> Any:
        """One group for the denoiser, one without decay for the token's row; the schedule is of both."""
        groups: list[dict[str, Any]] = []
        if self.trained:
            groups.append({"params": list(self.trained.values())})
        row = self.trained_tensors().keys() - {f"{self.model.prefix}.{name}" for name in self.trained}
        if row:
            tensors = [self.trained_tensors()[name] for name in row]
            groups.append({"params": tensors, "lr": self.token_learning_rate, "weight_decay": 0.0})
        optimizer = make_optimizer(self._make_optimizer, groups)
        scheduler = self._make_schedule(optimizer)
        self._scheduled = scheduler is not None
        if scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch."""
        return batch.to(device)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The trained tensors alone: the rest is the base model's."""
        return {name: tensor.detach() for name, tensor in self.trained_tensors().items()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Restore the trained tensors; the two sets of names must be equal."""
        tensors = self.trained_tensors()
        if different := tensors.keys() ^ state_dict.keys():
            raise VmcError(
                f"the checkpoint and the model differ in {len(different)} trained tensors, first {min(different)};"
                " it belongs to another parameter subset, choose another output"
            )
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(state_dict[name])


def _sums(loss: Tensor, losses_B: Tensor, is_exemplar_B: Tensor) -> dict[str, Tensor]:
    """Sums that add up over micro-batches and ranks to what `train.csv` shows."""
    motion, others = losses_B[is_exemplar_B], losses_B[~is_exemplar_B]
    count = losses_B.new_tensor
    return {
        "loss": loss.detach(),
        "micro_batches": count(1.0),
        "motion": motion.sum(),
        "exemplars": count(float(len(motion))),
        "regularization": others.sum(),
        "others": count(float(len(others))),
    }
