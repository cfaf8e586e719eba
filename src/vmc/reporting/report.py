"""All that a report shows, worked out once from the runs that were found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from vmc.diffusion.timesteps import TimestepSampler
from vmc.metrics.columns import Measure
from vmc.reporting.checks import check_comparable, check_once, common_threshold
from vmc.reporting.comparisons import Comparison, compare_arms, compared_motions_table, comparisons_table
from vmc.reporting.findings import JudgedFinding, findings_table, judge_findings
from vmc.reporting.loaded_runs import Found, FoundRun
from vmc.reporting.other_tables import forgetting_table, metrics_table, motions_table, runs_table, suites_table
from vmc.reporting.results import Result, all_measures, arm_results, control_result
from vmc.reporting.table_arms import CEILING, FLOOR, LANGUAGE, LAYOUTS
from vmc.reporting.tables import ResultTable, paper_table, result_table
from vmc.utils.tables import TextTable

Descriptor = Callable[[Tensor], Tensor]  # descriptors_ND, of length one, of RGB uint8 frames_NCHW


@dataclass(kw_only=True)
class Report:
    """The results of runs that belong into one table; a VmcError where they do not."""

    found: Found
    chosen_threshold: float | None = None  # appearance score at which arms are compared; None takes the runs' own
    samplers: Mapping[str, TimestepSampler] = field(default_factory=dict)  # by what they are called
    descriptor: Descriptor | None = None  # by which generated frames are compared with exemplars, where it is there
    study: tuple[TextTable, str] | None = None  # the table of what people chose, where there are answers
    threshold: float | None = field(init=False)

    def __post_init__(self) -> None:
        check_once(self.runs)
        check_comparable(self.runs, self.found.controls)
        self.threshold = common_threshold(self.runs, chosen=self.chosen_threshold)

    @property
    def runs(self) -> list[FoundRun]:
        """All runs."""
        return self.found.runs

    @cached_property
    def results(self) -> dict[str, Result]:
        """The result of every arm that has a run which trains something, the method first."""
        return arm_results(self.runs, threshold=self.threshold)

    @cached_property
    def curves(self) -> dict[str, list[FoundRun]]:
        """Runs by how they are drawn together: those that nothing stops (`tradeoff`), and the others (`stopping`)."""
        evaluated = [run for run in self.runs if run.trains and run.evaluations]
        unstopped = [run for run in evaluated if not run.stops]
        stopping = [run for run in evaluated if run.stops]
        kinds = {"tradeoff": unstopped or stopping, "stopping": stopping if unstopped else []}
        return {name: runs for name, runs in kinds.items() if runs}

    @cached_property
    def controls(self) -> list[Result]:
        """Floor and ceiling, measured or not; the untuned model asked in natural language where it was."""
        known = [control_result(kind, self.found.controls) for kind in (FLOOR, LANGUAGE, CEILING)]
        return [one for one in known if one.runs or one.arm != LANGUAGE]

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All measures of the runs and controls."""
        return all_measures([*self.results.values(), *self.controls])

    @cached_property
    def paper_tables(self) -> list[ResultTable]:
        """The paper's tables."""
        return [result_table(layout, self.results, self.controls, threshold=self.threshold) for layout in LAYOUTS]

    @cached_property
    def findings(self) -> list[JudgedFinding]:
        """What the paper finds, with a verdict on each."""
        return judge_findings(self.results, threshold=self.threshold)

    @cached_property
    def compared_measures(self) -> list[Measure]:
        """The measures that the paper's tables have as columns."""
        return [measure for measure in self.measures if measure.tables]

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """The comparison of every arm with the method."""
        metrics = [one.name for one in self.compared_measures]
        found = compare_arms(self.results, arms=list(self.results), metrics=metrics, threshold=self.threshold)
        return list(found.values())

    @cached_property
    def tables(self) -> list[tuple[TextTable, str]]:
        """All tables, the paper's first, each for people and as a CSV for machines."""
        return [
            *map(paper_table, self.paper_tables),
            findings_table(self.findings),
            comparisons_table(self.comparisons, self.compared_measures),
            compared_motions_table(self.comparisons, self.compared_measures),
            *motions_table(self.results, self.runs),
            metrics_table(self.results, self.controls),
            *forgetting_table(self.runs),
            *([self.study] if self.study else []),
            runs_table(self.runs, self.results, self.found.lost),
            *suites_table(self.runs),
        ]

    @property
    def texts(self) -> list[TextTable]:
        """All tables for people."""
        return [text for text, _ in self.tables]
