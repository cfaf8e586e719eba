"""The Lightning module: denoiser, loss and optimizer; on a GPU a whole step of it can be one CUDA graph."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from vmc.diffusion.objective import Context, Denoising, Objective, clip_losses
from vmc.diffusion.sampling import Conditioning
from vmc.models.base import VideoModel
from vmc.models.lora import adapted_parameter
from vmc.models.parameters import Subset
from vmc.models.pretrained_weights import cast
from vmc.models.text import TextEncoder
from vmc.models.token import SUBJECT
from vmc.training import optimizers
from vmc.training.batches import Batch, ClipGroup
from vmc.training.subject import NoSubject, Subject
from vmc.training.tuned_weights import delta_names, row_name
from vmc.utils.errors import VmcError
from vmc.utils.graphs import Graph

Outputs = dict[str, Tensor]


class MotionModule(pl.LightningModule):
    """Trains a subset of a denoiser's parameters, and the embedding rows of tokens if any are to be trained.

    Args:
        model: the base model.
        denoiser: its denoiser; parameters outside the subset are frozen here, and held in `frozen_dtype`.
        subset: which parameters are trained.
        optimizer: makes the optimizer from parameter groups.
        objective: the loss of a clip; None is the mean squared error (Eq. 1).
        lr_schedule: makes the schedule of the learning rates; None keeps them constant.
        encoder: the text encoder, given only if a token's row is trained; it then runs in every step.
        subject: the subject whose stills train only some of the parameters.
        inherited: weights of the run that this one starts from, under the names of a delta. Trained parameters start at
            them; the others are written beside this run's own weights.
        frozen_dtype: precision of the frozen weights.
        master_weights: whether the network holds its trained weights in `frozen_dtype` as well, while the optimizer
            steps float32 copies of them.
        static: whether the inputs of a step stay in one place, so that a step can become a CUDA graph.
    """

    def __init__(
        self,
        *,
        model: VideoModel,
        denoiser: Any,
        subset: Subset,
        optimizer: optimizers.OptimizerFactory,
        objective: Objective | None = None,
        lr_schedule: optimizers.ScheduleFactory | None = None,
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
        self._make_optimizer, self._make_schedule = optimizer, lr_schedule or optimizers.Constant()
        self.rate: float | None = None  # learning rate of the first group in the last step, if a schedule changes it
        self.losses: list[dict[str, Any]] = []  # of the micro-batches since the last step, inputs of `sum_losses`
        self.masters: optimizers.MasterWeights | None = None
        self.static_step = StaticStep(self._whole_step) if static else None
        if not (trained := self.trained_tensors()):
            raise VmcError("nothing is trained: parameters.groups is empty and token.trained is false; set one")
        for name in trained.keys() & (inherited or {}).keys():
            trained[name].data.copy_((inherited or {})[name])
        self.inherited = {name: tensor for name, tensor in (inherited or {}).items() if name not in trained}
        self._trained_by = trained_by(subject or NoSubject(), trained, model)
        self._in_network = trained  # never the master weights
        low = {name for name, tensor in denoiser.named_parameters() if master_weights or not tensor.requires_grad}
        if master_weights:
            self.masters = optimizers.MasterWeights(self.trained.values())
        cast(denoiser, frozen_dtype, low)

    def train(self, mode: bool = True) -> "MotionModule":
        """Stay in eval mode: dropout would draw from the global generator (the release has it off, too)."""
        return super().train(False)

    def trained_tensors(self) -> dict[str, Parameter]:
        """The tensors that the optimizer steps, under the names of a delta."""
        rows = self.encoder.rows if self.encoder else {}
        trained = {name: row for name, row in rows.items() if row.requires_grad}
        stepped = dict(zip(self.trained, self._stepped(), strict=True))
        return delta_names(stepped, trained, prefix=self.model.prefix)

    def _stepped(self) -> list[Parameter]:
        """The denoiser's part of the tensors that the optimizer steps."""
        return list(self.masters.masters if self.masters else self.trained.values())

    def weights(self) -> dict[str, Tensor]:
        """All tensors that differ from the base model, under the names of a delta."""
        return {**self.inherited, **self.trained_tensors()}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a micro-batch (Eq. 1 and 3). It is not read here, because reading waits for the GPU."""
        outputs = self.static_step(batch) if self.static_step else self.compute(batch)
        self.losses.append({**{name: part.detach() for name, part in outputs.items()}, "groups": batch.groups})
        return outputs["loss"]

    def compute(self, batch: Batch) -> dict[str, Tensor]:
        """`loss`, its named parts `loss_NAME`, and `clips N`, losses_B of the N-th group."""
        losses, outputs = [], {}
        for number, group in enumerate(batch.groups):
            with self._gradients_of(is_still=group.is_still):
                losses_B, named = self._losses(group)
            losses.append(weighted_loss(losses_B, group.weights_B, batch.draws))
            outputs[f"clips {number}"] = losses_B
            for name, part_B in named.items():
                part = weighted_loss(part_B.detach(), group.weights_B, batch.draws)
                outputs[f"loss_{name}"] = outputs[f"loss_{name}"] + part if f"loss_{name}" in outputs else part
        return {"loss": sum(losses[1:], losses[0]), **outputs}

    def sum_losses(self, losses: Mapping[str, Any]) -> dict[str, Tensor]:
        """Sums over the clips of a micro-batch, which add up over micro-batches and ranks; this reads the losses."""
        kinds = ("motion", "regularization", *([SUBJECT] if True in self._trained_by else []))
        zero = torch.zeros(())
        sums = {name: zero for kind in kinds for name in (kind, f"{kind} clips")}
        for number, group in enumerate(losses["groups"]):
            parts = _sums(losses[f"clips {number}"].cpu(), group)
            sums |= {name: sums[name] + part for name, part in parts.items()}
        sums |= {name: part.cpu() for name, part in losses.items() if name.startswith("loss")}
        return sums | {"micro_batches": torch.ones(())}

    # --- a static step does in `training_step` all that Lightning's loop would do after it ---------------------------

    def _whole_step(self, batch: Batch) -> dict[str, Tensor]:
        """Make a whole step, gradients and optimizer included; the losses of the batch."""
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
        """Compute the gradients, unless a static step has done so."""
        if not self.static_step:
            super().backward(loss, *args, **kwargs)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Clear the gradients, unless a static step has done so."""
        if not self.static_step:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Step the optimizer; a static step does so within the closure."""
        if self.static_step:
            optimizer_closure()
        else:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def on_after_backward(self) -> None:
        """Move gradients of a low precision to the master weights."""
        if self.masters:
            self.masters.take_gradients()

    def _losses(self, group: ClipGroup) -> tuple[Tensor, dict[str, Tensor]]:
        """losses_B of clips of one shape, and their named parts."""
        text = group.text  # with a trained token ids, which the text encoder reads in the step
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
    def _gradients_of(self, *, is_still: bool) -> Iterator[None]:
        """Within, record gradients only for the tensors that stills, or else all other clips, may train.

        A tensor that no clip of a step may train then has no gradient at all, and AdamW leaves it alone; with a
        gradient of zero, weight decay and momentum would still move it. One process may draw stills while another
        draws clips, so DDP must find out which tensors have a gradient (`find_unused_parameters`).
        """
        others = [tensor for name, tensor in self._in_network.items() if name not in self._trained_by[is_still]]
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
        """Clip the norm of all gradients; Lightning's own method refuses fused optimizers in mixed precision."""
        if gradient_clip_val:
            parameters = [tensor for group in optimizer.param_groups for tensor in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Remember the learning rate of the step."""
        if self.lr_schedulers():
            self.rate = float(optimizer.param_groups[0]["lr"])

    def configure_optimizers(self) -> Any:
        """The optimizer of the denoiser and of the tokens' rows, which all follow one schedule."""
        groups = optimizers.parameter_groups(self._stepped() if self.trained else [], self.encoder)
        optimizer = optimizers.make_optimizer(self._make_optimizer, groups)
        optimizer.register_load_state_dict_pre_hook(optimizers.keep_kernels)
        if self.masters:
            optimizer.register_step_post_hook(self.masters.write_copies)
        if self.static_step:  # a graph steps the optimizer that it was made with
            self.static_step = StaticStep(self._whole_step)
        if (scheduler := self._make_schedule(optimizer)) is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The trained tensors alone; all others are the base model's."""
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


def trained_by(subject: Subject | NoSubject, trained: Iterable[str], model: VideoModel) -> dict[bool, frozenset[str]]:
    """Names of the tensors that stills train (key True, only with a subject) and that all other clips train (False):
    only stills train the subject's row, and only the other clips the motion's.
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
    """Whether a trained tensor of the denoiser, or the layer that an adapter belongs to, is in one of the groups."""
    prefix = f"{model.prefix}."
    parameter = adapted_parameter(name.removeprefix(prefix))
    return name.startswith(prefix) and any(model.groups[group](parameter) for group in groups)


def _sums(losses_B: Tensor, group: ClipGroup) -> dict[str, Tensor]:
    """Sum and number of the losses of each kind of clip, on the CPU."""
    is_exemplar_B = group.is_exemplar_B.cpu()
    if group.is_still:
        kinds = {SUBJECT: losses_B}
    else:
        kinds = {"motion": losses_B[is_exemplar_B], "regularization": losses_B[~is_exemplar_B]}
    sums = {kind: part.sum() for kind, part in kinds.items()}
    return sums | {f"{kind} clips": part.new_tensor(float(len(part))) for kind, part in kinds.items()}


class StaticStep:
    """A whole step whose inputs stay in one place, so that a GPU launches all its kernels at once, as a CUDA graph.

    The first steps, the capture and the replays are all steps of the run, on its own batches, so that the weights are
    those of a run without a graph.

    Args:
        step: what is done with a batch: gradients and the optimizer's step too. It must not wait for the GPU.
    """

    def __init__(self, step: Callable[[Batch], Outputs]) -> None:
        self._step = step
        self._first: Batch | None = None

    def __call__(self, batch: Batch) -> Outputs:
        """Copies of the outputs, which the next step would overwrite."""
        given = tensors(batch)
        if self._first is None:
            self._first = first = batch

            def step(**inputs: Tensor) -> Outputs:
                places = iter(inputs.values())
                return self._step(first.map(lambda _: next(places)))

            self._graph = Graph(step, device=given[0].device, name="training steps")
        if [one.shape for one in tensors(self._first)] != [one.shape for one in given]:
            raise VmcError("trainer.cuda_graph is true, and a step has clips of another shape; give false")
        return self._graph(**{f"input{place}": tensor for place, tensor in enumerate(given)})


def tensors(batch: Batch) -> list[Tensor]:
    """All tensors of a batch, in a fixed order."""
    found: list[Tensor] = []
    batch.map(lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found


def weighted_loss(losses_B: Tensor, weights_B: Tensor, draws: int) -> Tensor:
    """Eq. 3 over a batch of `draws` draws.

    `paired`: a draw is an exemplar (weight 1) and a regularization clip (weight lambda), so this is mean(L_m) + lambda
    * mean(L_r). `union`: a draw is one clip of either kind with weight 1, so this is the mean.
    """
    return torch.dot(losses_B, weights_B) / draws
