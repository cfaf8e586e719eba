"""The Lightning module: denoiser, loss and optimizer, and nothing else."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from vmc.diffusion.objective import Context, Denoising, Objective, clip_losses, weighted_loss
from vmc.diffusion.sampling import Conditioning
from vmc.models.base import VideoModel
from vmc.models.loading import cast
from vmc.models.lora import adapted_parameter
from vmc.models.parameters import Subset
from vmc.models.text import TextEncoder
from vmc.models.token import SUBJECT
from vmc.training.batches import Batch, ClipGroup
from vmc.training.delta import delta_names, row_name
from vmc.training.graphs import StaticStep
from vmc.training.masters import MasterWeights
from vmc.training.optimizers import Constant, OptimizerFactory, ScheduleFactory, keep_kernels, make_optimizer
from vmc.training.subject import NoSubject, Subject
from vmc.utils.errors import VmcError


class MotionModule(pl.LightningModule):
    """Trains a subset of a denoiser, and the embedding rows of tokens where some are to be trained.

    Args:
        model: the base model.
        denoiser: its denoiser; what the subset leaves out is frozen here, and held in `frozen_dtype`.
        subset: what is trained.
        optimizer: makes the optimizer from parameter groups.
        objective: the loss of a clip; None is Eq. 1.
        lr_schedule: makes what changes the rates of all groups from step to step.
        encoder: the text encoder, given only if a token's row is trained; it then runs in the step.
        subject: whose stills move a part of what is trained.
        inherited: weights of the run that this one starts from: what is trained begins as they are, and those that
            are not trained are written with this one's own.
        frozen_dtype: of the frozen weights.
        master_weights: whether the network holds what is trained in `frozen_dtype`, too, beside weights in float32 that
            the optimizer steps.
        static: whether a step's inputs stay in one place, so that a CUDA graph can be made of it.
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
        subject: Subject | NoSubject | None = None,
        inherited: Mapping[str, Tensor] | None = None,
        frozen_dtype: torch.dtype = torch.float32,
        master_weights: bool = False,
        static: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.process = model, model.process
        self.denoiser = denoiser
        self.trained = subset.select_trainable(denoiser, model.groups)
        self.encoder = encoder
        self.text_encoder = encoder.network if encoder else None  # a submodule, so that Lightning moves it
        self.objective = objective or Denoising()
        self._make_optimizer, self._make_schedule = optimizer, lr_schedule or Constant()
        self.rate: float | None = None  # of the last step and the first group, where a schedule changes it
        self.losses: list[dict[str, Any]] = []  # of the micro-batches since the last step, as `sum_losses` takes them
        self.masters: MasterWeights | None = None
        self.static_step = StaticStep(self._whole_step) if static else None
        if not (trained := self.trained_tensors()):
            raise VmcError("nothing is trained: parameters.groups is empty and token.trained is false; set one")
        for name in trained.keys() & (inherited or {}).keys():
            trained[name].data.copy_((inherited or {})[name])
        self.inherited = {name: tensor for name, tensor in (inherited or {}).items() if name not in trained}
        self._movable = movable(subject or NoSubject(), trained, model)
        self._in_network = trained  # and no masters
        low = {name for name, tensor in denoiser.named_parameters() if master_weights or not tensor.requires_grad}
        if master_weights:
            self.masters = MasterWeights(self.trained.values())
        cast(denoiser, frozen_dtype, low)

    def train(self, mode: bool = True) -> "MotionModule":
        """Stay in eval mode: dropout would draw from the global generator (and the release has it off)."""
        return super().train(False)

    def trained_tensors(self) -> dict[str, Parameter]:
        """Exactly what is trained, under the names of the delta: what the optimizer steps."""
        rows = self.encoder.rows if self.encoder else {}
        trained = {name: row for name, row in rows.items() if row.requires_grad}
        stepped = dict(zip(self.trained, self._stepped(), strict=True))
        return delta_names(stepped, trained, prefix=self.model.prefix)

    def _stepped(self) -> list[Parameter]:
        """Of the denoiser, what the optimizer steps."""
        return list(self.masters.masters if self.masters else self.trained.values())

    def weights(self) -> dict[str, Tensor]:
        """All that differs from the base model, under the names of the delta."""
        return {**self.inherited, **self.trained_tensors()}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a micro-batch (Eq. 1 and 3). It is not read here: a GPU would be waited for."""
        outputs = self.static_step(batch) if self.static_step else self.compute(batch)
        self.losses.append({**{name: part.detach() for name, part in outputs.items()}, "groups": batch.groups})
        return outputs["loss"]

    def compute(self, batch: Batch) -> dict[str, Tensor]:
        """`loss`, of it the parts `loss_NAME` that have a name, and `clips N`, losses_B of the N-th group."""
        losses, outputs = [], {}
        for number, group in enumerate(batch.groups):
            with self._moving(is_still=group.is_still):
                losses_B, named = self._losses(group)
            losses.append(weighted_loss(losses_B, group.weights_B, batch.draws))
            outputs[f"clips {number}"] = losses_B
            for name, part_B in named.items():
                part = weighted_loss(part_B.detach(), group.weights_B, batch.draws)
                outputs[f"loss_{name}"] = outputs[f"loss_{name}"] + part if f"loss_{name}" in outputs else part
        return {"loss": sum(losses[1:], losses[0]), **outputs}

    def sum_losses(self, losses: Mapping[str, Any]) -> dict[str, Tensor]:
        """Sums that add up over micro-batches and ranks to what `train.csv` shows; this reads the losses."""
        kinds = ("motion", "regularization", *([SUBJECT] if True in self._movable else []))
        zero = torch.zeros(())
        sums = {name: zero for kind in kinds for name in (kind, f"{kind} clips")}
        for number, group in enumerate(losses["groups"]):
            parts = _sums(losses[f"clips {number}"].cpu(), group)
            sums |= {name: sums[name] + part for name, part in parts.items()}
        sums |= {name: part.cpu() for name, part in losses.items() if name.startswith("loss")}
        return sums | {"micro_batches": torch.ones(())}

    # --- a step whose inputs stay in one place: it does all that Lightning's loop would do after it -------------------

    def _whole_step(self, batch: Batch) -> dict[str, Tensor]:
        """The losses of a batch, after the optimizer's step."""
        optimizer = self.trainer.optimizers[0]
        outputs = self.compute(batch)
        with torch.autocast(self.device.type, enabled=False):
            optimizer.zero_grad()
            outputs["loss"].backward()
            self.on_after_backward()
            self.configure_gradient_clipping(optimizer, self.trainer.gradient_clip_val)
            optimizer.step()
        return {name: part.detach() for name, part in outputs.items()}

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """As ever, or done already."""
        if not self.static_step:
            super().backward(loss, *args, **kwargs)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """As ever, or done already."""
        if not self.static_step:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """As ever, or the closure alone, in whose training step the optimizer has its own."""
        if self.static_step:
            optimizer_closure()
        else:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def on_after_backward(self) -> None:
        """Hand the gradients of a low precision over."""
        if self.masters:
            self.masters.take_gradients()

    def _losses(self, group: ClipGroup) -> tuple[Tensor, dict[str, Tensor]]:
        """losses_B of clips of one shape, and the parts of them that have a name."""
        # With a trained token the captions come as ids, and the text encoder runs in the step.
        text = group.text
        if self.encoder is not None and not isinstance(text, Conditioning):
            text = self.encoder.encode_ids(text)
        noisy_BCFHW = self.process.add_noise(group.latents_BCFHW, group.noise_BCFHW, group.times_B)
        target_BCFHW = self.process.target(group.latents_BCFHW, group.noise_BCFHW, group.times_B)
        timesteps_B = self.process.timesteps(group.times_B)
        prediction_BCFHW = self.model.predict(self.denoiser, noisy_BCFHW, timesteps_B, text)  # type: ignore[arg-type]
        context = Context(
            process=self.process,
            latents_BCFHW=group.latents_BCFHW,
            noisy_BCFHW=noisy_BCFHW,
            times_B=group.times_B,
            generators_B=[torch.Generator().manual_seed(seed) for seed in group.objective_seeds_B],
        )
        losses = self.objective(prediction_BCFHW.float(), target_BCFHW.float(), context)
        return clip_losses(losses, clips=len(group.weights_B))

    @contextmanager
    def _moving(self, *, is_still: bool) -> Iterator[None]:
        """Within, gradients are recorded for what stills, or else all other clips, may move, and for nothing else.

        What no clip of a step may move so has no gradient at all, and AdamW leaves it alone: of a gradient of zero its
        decay and momentum would still move it. Of several processes one may draw stills and another clips, so DDP must
        find out for itself what has a gradient (`find_unused_parameters`).
        """
        others = [tensor for name, tensor in self._in_network.items() if name not in self._movable[is_still]]
        try:
            for tensor in others:
                tensor.requires_grad_(False)
            yield
        finally:
            for tensor in others:
                tensor.requires_grad_(True)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip the norm of all gradients; Lightning's own refuses fused optimizers in any mixed precision."""
        if gradient_clip_val:
            parameters = [tensor for group in optimizer.param_groups for tensor in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Note the rate of the step."""
        if self.lr_schedulers():
            self.rate = float(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self) -> Any:
        """One group for the denoiser, one without decay for each token's row; the schedule is of all."""
        groups: list[dict[str, Any]] = [{"params": self._stepped()}] if self.trained else []
        if self.encoder and self.encoder.token:
            for name, token in self.encoder.token.tokens.items():
                if token.trained:
                    row = self.encoder.rows[name]
                    groups.append({"params": [row], "lr": token.learning_rate, "weight_decay": 0.0})
        optimizer = make_optimizer(self._make_optimizer, groups)
        optimizer.register_load_state_dict_pre_hook(keep_kernels)
        if self.masters:
            optimizer.register_step_post_hook(self.masters.write_copies)
        if self.static_step:  # a graph steps the optimizer that it was made with
            self.static_step = StaticStep(self._whole_step)
        if (scheduler := self._make_schedule(optimizer)) is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

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
        for name, tensor in tensors.items():
            tensor.data.copy_(state_dict[name])
        if self.masters:
            self.masters.write_copies()


def movable(subject: Subject | NoSubject, trained: Iterable[str], model: VideoModel) -> dict[bool, frozenset[str]]:
    """Names of the trained tensors that stills may move, under True where there are any, and under False those that
    all other clips may: the subject's row is moved by stills alone, and the motion's by the others.
    """
    trained = frozenset(trained)
    if isinstance(subject, NoSubject):
        return {False: trained}
    row = row_name(SUBJECT)
    moved = frozenset(name for name in trained if name == row or _in_groups(name, subject.groups, model))
    if not moved:
        raise VmcError(
            f"subject has stills that move nothing: of subject.groups={list(subject.groups)} nothing is trained, nor is"
            " its word; choose parameters with spatial layers, or token.further.subject.trained=true"
        )
    if trained == {row} and (subject.share < 1 or subject.start):
        raise VmcError(
            "of what is trained the motion's clips move nothing, as the subject's word alone is trained; choose other"
            " parameters or token=trained, or draw stills alone by subject.share=1 subject.start=0"
        )
    return {False: trained - {row}, True: moved}


def _in_groups(name: str, groups: Sequence[str], model: VideoModel) -> bool:
    """Whether a trained tensor of the denoiser, or the layer that an adapter stands beside, is in one of the groups."""
    prefix = f"{model.prefix}."
    parameter = adapted_parameter(name.removeprefix(prefix))
    return name.startswith(prefix) and any(model.groups[group](parameter) for group in groups)


def _sums(losses_B: Tensor, group: ClipGroup) -> dict[str, Tensor]:
    """Sums of each kind of clip, on the CPU."""
    is_exemplar_B = group.is_exemplar_B.cpu()
    if group.is_still:
        kinds = {SUBJECT: losses_B}
    else:
        kinds = {"motion": losses_B[is_exemplar_B], "regularization": losses_B[~is_exemplar_B]}
    sums = {kind: part.sum() for kind, part in kinds.items()}
    return sums | {f"{kind} clips": part.new_tensor(float(len(part))) for kind, part in kinds.items()}
