"""`hydra/launcher=slurm`: a job per arm. Hydra finds launchers only in the namespace `hydra_plugins`."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from types import FrameType
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides

from vmc.config.launchers import job_state, wait_for_jobs

try:
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
except ImportError:  # `vmc.config.launchers.check_launcher` says which extra is missing
    pass
else:

    class SweepLauncher(SlurmLauncher):
        """Submitit's launcher, for jobs that Slurm may preempt.

        - A job that Slurm ends or requeues leaves no result, so that nothing takes it for done.
        - A job that is gone without a result neither blocks the sweep nor ends it.
        """

        def __call__(self, *arguments: Any) -> JobReturn:
            """Run one arm, inside its job."""
            signal.signal(signal.SIGTERM, _leave)  # which submitit ignores
            return super().__call__(*arguments)

        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
            """Submit an array of jobs and wait for them."""
            jobs = self._submit(job_overrides, initial_job_idx)
            common = set(job_overrides[0]).intersection(*job_overrides) if len(jobs) > 1 else set()
            for job, overrides in zip(jobs, job_overrides, strict=True):
                own = [text for text in filter_overrides(overrides) if text not in common]
                print(f"slurm job {job.job_id}: {' '.join(own)}")
            array = jobs[0].job_id.partition("_")[0]
            print(f"the jobs write to {jobs[0].paths.folder.parent}; scancel {array} ends them", flush=True)
            by_id = {job.job_id: job for job in jobs}
            try:
                gone = wait_for_jobs(by_id, lambda job_id: _has_result(by_id[job_id]))
            except KeyboardInterrupt:
                print(f"the jobs go on without this command; scancel {array} ends them", file=sys.stderr)
                sys.exit(130)
            return [_result(job, lost=job.job_id in gone) for job in jobs]

        def _submit(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
            import submitit

            options = {name: value for name, value in self.params.items() if value is not None}
            folder, timeouts = options.pop("submitit_folder"), options.pop("max_num_timeout")
            executor = submitit.AutoExecutor(cluster="slurm", folder=folder, slurm_max_num_timeout=timeouts)
            # Since Slurm 22.05 a step has one CPU unless it asks for more.
            options["srun_args"] = [f"--cpus-per-task={options.get('cpus_per_task', 1)}"]
            shared = {field.name for field in fields(BaseQueueConf)}
            named = {name if name in shared else f"slurm_{name}": value for name, value in options.items()}
            calls = [
                (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", Singleton.get_state())
                for number, overrides in enumerate(job_overrides, initial_job_idx)
            ]
            try:
                # One task, because an arm starts its further processes itself.
                executor.update_parameters(**named, nodes=1, tasks_per_node=1)
                return executor.map_array(self, *zip(*calls, strict=True))
            except (ValueError, submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
                print(f"error: Slurm took no job ({error}); change hydra.launcher", file=sys.stderr)
                sys.exit(1)

    def _leave(number: int, frame: FrameType | None) -> None:
        """Exit without a result, because Slurm ends the job and may run it again.

        If its state is still `RUNNING`, the signal is only a warning before preemption, or somebody sent it. A job that
        exits now would not be run again, so submitit requeues it.
        """
        if job_state() == "RUNNING":
            signal.raise_signal(signal.SIGUSR2)
        sys.exit(128 + number)

    def _has_result(job: Any) -> bool:
        # Not `exists`, because a shared file system may cache for long that a file was missing.
        return any(file.name == job.paths.result_pickle.name for file in job.paths.folder.iterdir())

    def _result(job: Any, *, lost: bool) -> JobReturn:
        import submitit

        try:
            if not lost:
                return job.results()[0]
            reason = f"slurm job {job.job_id} ended without a result"
        except submitit.core.utils.UncompletedJobError as error:
            reason = f"slurm job {job.job_id} failed: {error}"
        print(f"error: {reason}; see {job.paths.stderr}", file=sys.stderr)
        # Returned like a failed arm, because an exception would end the sweep.
        return JobReturn(status=JobStatus.COMPLETED, _return_value={"status": "failed", "reason": reason})
