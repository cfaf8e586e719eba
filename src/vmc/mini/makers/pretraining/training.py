"""The phases: the autoencoder, then the text encoder, and the UNet.

Axes: B frames or clips, C latent channels, H and W.
"""

from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from vmc.mini.makers import blank
from vmc.mini.makers.pretraining import autoencoder, networks
from vmc.mini.makers.pretraining.clips import FRAMES, SIZE, WINDOWS
from vmc.mini.makers.pretraining.denoiser import RATE, Denoiser, Drawing
from vmc.mini.makers.pretraining.export import write_pipeline
from vmc.mini.makers.pretraining.latents import Latents
from vmc.mini.makers.pretraining.marks import Marking, leave_marks
from vmc.mini.makers.pretraining.preview import sheet_of_prompts, sheet_of_reconstructions
from vmc.mini.makers.pretraining.progress import Session
from vmc.mini.makers.pretraining.reading import Lessons, teach
from vmc.models.latent_diffusion import forward_process
from vmc.tools.learning.learner import Learner
from vmc.tools.learning.training import Task
from vmc.utils.errors import VmcError
from vmc.utils.randomness import generator

_SETTLED_ON = 1024
"""Frames that the latents' mean and deviation are taken from."""


def go_on(session: Session, *, workers: int) -> bool:
    """All that is left, as far as the clock allows; whether everything is done."""
    if not session.prepare_clips(workers):
        return False
    if session.progress.phase == "vae" and not train_autoencoder(session):
        return False
    vae = finished_autoencoder(session)
    validation, *trained = (Latents(clips, vae) for clips in session.all_clips)
    ready = all(latents.prepare(session.clock.over) for latents in (validation, *trained))
    return ready and train_denoiser(session, vae, validation, *trained)


def train_autoencoder(session: Session) -> bool:
    """The first phase; whether it is done and settled."""
    plan, device = session.plan, session.device
    vae = networks.make_vae(plan.seed).to(device)
    learner = Learner({"vae": vae}, rate=autoencoder.RATE, steps=session.progress.vae_steps)
    session.folder.resume(learner, session.tensors, session.progress.vae_step)
    average: Any = learner.average["vae"]
    windows = range(0, len(session.validation), WINDOWS)
    fixed = autoencoder.batch_of(session.validation.frames(windows), [index % FRAMES for index in windows]).to(device)
    latent_shape = (plan.vae_batch, networks.LATENT_CHANNELS, SIZE // 8, SIZE // 8)

    def loss_of(networks: nn.ModuleDict, step: int) -> Tensor:
        batch = autoencoder.draw_batch(session.clips, plan.seed, step, plan.vae_batch).to(device)
        noise_BCHW = torch.randn(latent_shape, generator=generator(plan.seed, step, "vae noise")).to(device)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            return autoencoder.reconstruction_loss(vae, batch, noise_BCHW)

    def show() -> None:
        sheet_of_reconstructions(session.folder.sheets / f"vae-{learner.step:06d}.png", average, session.validation)

    task = Task(
        name="vae",
        networks={"vae": vae},
        rate=autoencoder.RATE,
        steps=learner.steps,
        loss_of=loss_of,
        measure=lambda networks, step: autoencoder.reconstruction_error(average, fixed)[0],
        show=show,
    )
    if not session.train(task, learner, "vae_step", kept={}):
        return False
    show()
    _settle(session, average)
    return True


def _settle(session: Session, vae: AutoencoderKL) -> None:
    """Finish the autoencoder: its average, with latents of unit deviation, is all that is kept of it."""
    random = generator(session.plan.seed, "settle")
    windows = torch.randint(len(session.clips), (_SETTLED_ON,), generator=random).tolist()
    frames = (session.clips.frames([window])[:, index % FRAMES] for index, window in enumerate(windows))
    pixels_BHWC = torch.cat([torch.from_numpy(frame) for frame in frames]).to(session.device).float() / 127.5 - 1
    session.progress.deviation_C = autoencoder.settle(vae, pixels_BHWC.permute(0, 3, 1, 2).contiguous())
    session.progress.scaling_factor = float(vae.config.scaling_factor)
    session.save({f"vae.{name}": tensor.cpu().contiguous() for name, tensor in vae.state_dict().items()})


def finished_autoencoder(session: Session) -> AutoencoderKL:
    """The settled autoencoder that the state holds."""
    vae = networks.make_vae(session.plan.seed)
    try:
        vae.load_state_dict(_autoencoder_tensors(session, prefix=""))
    except RuntimeError as error:
        raise VmcError(f"{session.folder.state} has no whole autoencoder; choose a new --output") from error
    vae.register_to_config(scaling_factor=session.progress.scaling_factor)
    return vae.requires_grad_(False).eval().to(session.device)


def _autoencoder_tensors(session: Session, *, prefix: str = "vae.") -> dict[str, Tensor]:
    found = {name: value for name, value in session.tensors.items() if name.startswith("vae.")}
    return {prefix + name.removeprefix("vae."): value for name, value in found.items()}


def _end_lesson(session: Session, learner: Learner, phase: str, steps: int, loss: float) -> None:
    """Log a lesson of the text encoder, whose average begins anew from what it has learned."""
    session.folder.append(phase=phase, step=steps, loss=f"{loss:.5f}", validation="", seconds="")
    learner.average["text_encoder"].load_state_dict(learner.networks["text_encoder"].state_dict())


def train_denoiser(
    session: Session, vae: AutoencoderKL, validation: Latents, trained: Latents, *others: Latents
) -> bool:
    """The second phase; whether it is done."""
    plan, device, tokenizer = session.plan, session.device, networks.make_tokenizer()
    parts = {
        "text_encoder": networks.make_text_encoder(plan.seed, tokenizer).to(device),
        "unet": networks.make_unet(plan.seed).to(device),
    }
    learner = Learner(parts, rate=RATE, steps=session.progress.steps)
    if not session.progress.step:
        lessons = Lessons(clips=plan.clips, seed=plan.seed)
        loss = teach(learner.networks["text_encoder"], tokenizer, lessons, steps=plan.lessons)
        _end_lesson(session, learner, "text", plan.lessons, loss)
    session.folder.resume(learner, session.tensors, session.progress.step)
    marking = Marking(tokenizer=tokenizer, clips=plan.clips, seed=plan.seed)
    # Before the first step the text encoder is made and taught anew, whatever an earlier call came to.
    if not (session.progress.marked and session.progress.step):
        loss = leave_marks(learner.networks["text_encoder"], marking, steps=plan.marks)
        _end_lesson(session, learner, "marks", plan.marks, loss)
        session.progress.marked = True
    # Trained on with the UNet it would forget all it can read, in hundreds of steps in which the UNet asks it nothing.
    parts["text_encoder"].requires_grad_(False)
    learned, averaged = (_denoiser(tokenizer, nets) for nets in (learner.networks, learner.average))
    own_C = tuple(session.progress.deviation_C or ())
    schedule = forward_process(blank.scheduler())
    lengths: dict[str, Any] = {"images": plan.images, "motion": plan.motion}
    draw = Drawing(trained, own_C, schedule, plan.seed, plan.batch, others, **lengths, unknown=tuple(marking.words))
    fixed = Drawing(validation, own_C, schedule, plan.seed, plan.batch).fixed()

    def show() -> None:
        sheet_of_prompts(session.folder.sheets / f"unet-{learner.step:06d}.png", averaged, vae)

    task = Task(
        name="unet",
        networks=parts,
        rate=RATE,
        steps=learner.steps,
        loss_of=lambda networks, step: learned.loss(draw(step)),
        measure=lambda networks, step: averaged.measure(fixed),
        show=show,
    )

    def export() -> None:
        write_pipeline(session.pipeline, unet=averaged.unet, vae=vae, text_encoder=averaged.text_encoder)

    done = session.train(task, learner, "step", kept=_autoencoder_tensors(session), export=export)
    show()
    return done


def _denoiser(tokenizer: Any, parts: Any) -> Denoiser:
    return Denoiser(tokenizer, parts["text_encoder"], parts["unet"])
