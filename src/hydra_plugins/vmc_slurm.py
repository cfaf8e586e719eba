"""`hydra/launcher=slurm`: a job an arm. Hydra takes launchers from the namespace `hydra_plugins` alone."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from types import FrameType
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, filter_overrides

from vmc.config.sweep import job_state, wait_for_jobs

try:
    from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher
except ImportError:  # `vmc.config.sweep.check_launcher` says which extra is missing
    pass
else:

    class SweepLauncher(SlurmLauncher):
        """Submitit's launcher, for jobs that Slurm takes the machine from.

        - A job that Slurm ends or puts back in the queue leaves no result, so that nothing takes it for done.
        - A job that is gone without a result neither keeps the sweep waiting nor ends it.
        """

        def __call__(self, *arguments: Any) -> JobReturn:
            """Run one arm, inside its job."""
            signal.signal(signal.SIGTERM, _leave)  # submitit passes over it
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
            # Since Slurm 22.05 a step has one CPU unless it asks for those of its job.
            options["srun_args"] = [f"--cpus-per-task={options.get('cpus_per_task', 1)}"]
            shared = {field.name for field in fields(BaseQueueConf)}
            named = {name if name in shared else f"slurm_{name}": value for name, value in options.items()}
            calls = [
                (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", Singleton.get_state())
                for number, overrides in enumerate(job_overrides, initial_job_idx)
            ]
            try:
                # Of one task: further processes of an arm are started by the arm.
                executor.update_parameters(**named, nodes=1, tasks_per_node=1)
                return executor.map_array(self, *zip(*calls, strict=True))
            except (ValueError, submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
                print(f"error: Slurm took no job ({error}); change hydra.launcher", file=sys.stderr)
                sys.exit(1)

    def _leave(number: int, frame: FrameType | None) -> None:
        """Leave no result: Slurm ends the job, and may run it again.

        While it calls the job `RUNNING` it only warns, before preempting it or because somebody sent the signal. A job
        that ended by itself now would not come back, so submitit puts it back in the queue.
        """
        if job_state() == "RUNNING":
            signal.raise_signal(signal.SIGUSR2)
        sys.exit(128 + number)

    def _has_result(job: Any) -> bool:
        # Not `exists`: a file system shared by several machines may remember for long that it did not.
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
        # As an arm that failed says it: an exception would end the sweep.
        return JobReturn(status=JobStatus.COMPLETED, _return_value={"status": "failed", "reason": reason})
