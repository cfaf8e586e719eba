"""The choice of learning rates and of the threshold, from made-up runs."""

import csv
import shutil

import numpy as np
import pytest
import yaml

from vmc.mini.card.settings import stack_file
from vmc.rates import main
from vmc.reporting.reading import find_runs
from vmc.tools.rates import SEARCHED, Curve, read_search, write_search
from vmc.utils.errors import VmcError

RATES = {"method": 1e-3, "lora": 5e-3, "custom_diffusion": 1e-3, "custom_diffusion_token": 1e-3}
FLOOR = 0.2


@pytest.fixture
def tried(made_up, scored):
    """Makes a run at a rate, of two seeds where none is given: (step, appearance, how many of 4 videos are right)."""

    def make(arm: str, rate: float, *points, seed=None, token=None, top: float = 0.3, **more):
        keys = SEARCHED[arm]
        rates = RATES | dict(zip(keys, (rate, token) if token else (rate,), strict=True))
        config = {"rates": rates, "optimizer": {"lr": rate}, "token": {"learning_rate": token}}
        evaluations = {
            step: scored(appearance=appearance, correct=[1] * right + [0] * (4 - right))
            for step, appearance, right in ((0, top, 0), *points)
        }
        name = f"{arm}@{rate:g}" + (f"@{token:g}" if token else "")
        more = {"motion": "shaking_hand", "steps": 200, "threshold": FLOOR, "config": config, "reason": "steps"} | more
        for one in (0, 1) if seed is None else (seed,):
            made_up.run(name, evaluations=evaluations, seed=one, **more)

    return make


def scores(search, arm: str) -> dict[str, float]:
    """The mean accuracy of each of an arm's rates, of its first seed."""
    found = search.trials[(search.trials.arm == arm) & (search.trials.seed == search.trials.seed.min())]
    return dict(zip(found.name, found.score.astype(float).round(3), strict=True))


def test_the_rate_of_highest_mean_accuracy_down_to_the_floor_is_chosen(made_up, tried):
    tried("method", 1e-3, (100, 0.25, 2), (200, 0.2, 4))  # evenly from 0 to 1
    tried("method", 2e-3, (100, 0.29, 4), (200, 0.2, 4))  # soon all of it
    tried("method", 4e-3, (100, 0.21, 1), (200, 0.1, 4))  # late; what lies below the floor does not count
    search = read_search(made_up.root)
    expected = {"method 0.001": 0.5, "method 0.002": 0.95, "method 0.004": 0.119 + 0.1 * (0.25 + 0.068 / 2)}
    assert scores(search, "method") == pytest.approx(expected, abs=0.01)
    assert search.rates == {"method": 2e-3} and search.trials.chosen.sum() == 2
    assert search.remarks == []


def test_what_a_run_does_not_come_down_to_counts_with_its_last_accuracy(made_up, tried):
    tried("lora", 1e-3, (100, 0.28, 1), (200, 0.28, 3))  # 0.28 and below: three of four
    tried("lora", 2e-3, (100, 0.25, 1), (200, 0.21, 2))
    search = read_search(made_up.root)
    assert scores(search, "lora")["lora 0.001"] == pytest.approx(0.2 * 0.125 + 0.8 * 0.75, abs=0.01)
    assert search.rates == {"lora": 1e-3}
    assert search.remarks[0] == "lora: lora = 0.001 is the lowest that was tried; search around it too"


def test_appearance_is_fitted_by_a_curve_that_never_rises(made_up, tried):
    tried("method", 1e-3, (100, 0.24, 2), (150, 0.28, 3), (200, 0.22, 4), seed=0)
    curve = Curve(find_runs(made_up.root).runs[0])
    assert curve.appearance_P.tolist() == pytest.approx([0.3, 0.26, 0.26, 0.22])
    assert (curve.top, curve.appearance_at(75)) == (pytest.approx(0.3), pytest.approx(0.27))
    assert curve.mean_accuracy(0.2599) == pytest.approx(0.25, abs=0.01)
    rising = np.diff([curve.mean_accuracy(floor) for floor in (0.2599, 0.25, 0.24, 0.23)])
    assert (rising > 0).all()


def test_the_threshold_is_where_the_chosen_method_stands_after_three_quarters_of_its_steps(made_up, tried):
    tried("method", 1e-3, (100, 0.28, 2), (200, 0.22, 4), seed=0)
    tried("method", 1e-3, (100, 0.26, 2), (200, 0.21, 4), seed=1)
    tried("method", 4e-3, (100, 0.22, 0), (200, 0.2, 1))
    tried("lora", 4e-3, (100, 0.21, 0), (200, 0.2, 1))
    search = read_search(made_up.root)
    assert search.rates["method"] == 1e-3
    assert search.threshold == round((0.25 + 0.235) / 2, 4)


def test_a_run_whose_pictures_come_apart_at_once_does_not_count(made_up, tried):
    tried("params_all", 1e-3, (100, 0.25, 2), (200, 0.2, 3), seed=0)
    tried("params_all", 2e-3, (100, 0.1, 4), seed=0, reason="appearance")
    search = read_search(made_up.root)
    assert search.rates == {"params_all": 1e-3} and search.threshold is None
    assert "at step 100, its first evaluation, it is below 0.2 already; it does not count" in search.remarks[0]


def test_rates_of_differing_seeds_are_not_compared_and_said(made_up, tried):
    tried("method", 1e-3, (100, 0.25, 1), (200, 0.2, 2))
    tried("method", 2e-3, (100, 0.25, 4), (200, 0.2, 4), seed=0)
    tried("method", 4e-3, (100, 0.25, 4), (200, 0.2, 4), seed=0)
    tried("method", 4e-3, (100, 0.25, 4), seed=1, status="failed", reason="loss is NaN")
    search = read_search(made_up.root)
    assert search.rates == {"method": 1e-3}
    lacking = [f"method: method {rate:g} lacks the training seed 1 of the others" for rate in (2e-3, 4e-3)]
    assert all(any(remark.startswith(words) for remark in search.remarks) for words in lacking)
    assert sum("loss is NaN; it does not count" in remark for remark in search.remarks) == 1


def test_rates_that_training_seeds_cannot_tell_apart_are_named(made_up, tried):
    tried("method", 1e-3, (100, 0.25, 1), (200, 0.2, 2))
    for seed, right in ((0, 2), (1, 4)):
        tried("method", 2e-3, (100, 0.25, right), (200, 0.2, right), seed=seed)
    tried("method", 4e-3, (100, 0.25, 3), (200, 0.2, 3))
    search = read_search(made_up.root)
    assert search.rates == {"method": 2e-3}
    assert search.remarks == [
        "method: method 0.001, method 0.004 differ from the chosen rates by less than training seeds of one rate do"
    ]


def test_a_cross_of_two_rates_is_one_choice(made_up, tried):
    for rate, token, right in ((1e-3, 3e-3, 2), (2e-3, 3e-3, 3), (4e-3, 3e-3, 1), (2e-3, 1e-3, 1), (2e-3, 6e-3, 4)):
        tried("custom_diffusion", rate, (100, 0.25, 1), (200, 0.2, right), token=token)
    assert read_search(made_up.root).rates == {"custom_diffusion": 2e-3, "custom_diffusion_token": 6e-3}


def test_the_tables_hold_every_run_and_are_equal_again(made_up, tried, tmp_path):
    tried("method", 1e-3, (100, 0.25, 2), (200, 0.2, 4), seed=0)
    tried("method", 3e-3, (100, 0.25, 2), status="failed", reason="loss is NaN", seed=0)
    files = write_search(read_search(made_up.root), tmp_path / "rates")
    before = [file.read_bytes() for file in files]
    first, second = csv.DictReader((tmp_path / "rates" / "mini.csv").open(newline=""))
    assert first == {
        **{"arm": "method", "rate": "0.001", "token_rate": "", "motion": "shaking_hand", "seed": "0"},
        **{"status": "finished", "score": "0.5", "step": "200", "accuracy": "1.0", "appearance": "0.2"},
        **{"videos": "4", "chosen": "true"},
    }
    assert (second["accuracy"], second["chosen"]) == ("", "false") and "loss is NaN" in second["status"]
    page = (tmp_path / "rates" / "mini.md").read_text()
    assert page.startswith("# Learning rates, stack mini, on shaking") and "| chosen |" in page
    assert "The threshold: the method at the chosen rate has come down to 0.225 after 75 % of its steps." in page
    write_search(read_search(made_up.root), tmp_path / "rates")
    assert [file.read_bytes() for file in files] == before


def test_the_command_prints_the_rates_and_writes_them_where_asked(made_up, tried, tmp_path, capsys):
    tried("method", 1.5e-5, (100, 0.25, 2), (200, 0.2, 4))
    tried("custom_diffusion", 2e-3, (100, 0.25, 2), token=5e-4)
    stack = shutil.copy(stack_file(), tmp_path / "mini.yaml")
    before = stack.read_text()
    words = ["--runs", str(made_up.root), "--output", str(tmp_path / "rates"), "--stack", str(stack)]
    assert main(words) == 0
    rates = "rates:\n  method: 1.5e-5\n  custom_diffusion: 0.002\n  custom_diffusion_token: 0.0005\n"
    assert f"{rates}stop: {{appearance: 0.225}}\n" in capsys.readouterr().out
    assert stack.read_text() == before
    known = yaml.safe_load(before)
    assert main([*words, "--threshold"]) == 0
    assert yaml.safe_load(stack.read_text()) == known | {"stop": {"appearance": 0.225}}
    assert main([*words, "--write"]) == 0
    wanted = known["rates"] | {"method": 1.5e-5, "custom_diffusion": 2e-3, "custom_diffusion_token": 5e-4}
    assert yaml.safe_load(stack.read_text()) == known | {"stop": {"appearance": 0.225}, "rates": wanted}
    assert [line.partition("#")[2] for line in stack.read_text().splitlines()] == [
        line.partition("#")[2] for line in before.splitlines()
    ]
    tried("method", 3e-3, (100, 0.25, 2), status="stopped", reason="signal")
    now = stack.read_text()
    assert main([*words, "--write"]) == 2
    assert "finish the search before --write" in capsys.readouterr().err
    assert stack.read_text() == now


@pytest.mark.parametrize(
    ("changes", "words"), [({"motion": "swiping_down"}, "differing motion"), ({"threshold": 0.25}, "stop.appearance")]
)
def test_runs_that_do_not_belong_together_are_refused(made_up, tried, changes, words):
    tried("method", 1e-3, (100, 0.25, 2))
    tried("method", 3e-3, (100, 0.25, 2), **changes)
    with pytest.raises(VmcError, match=words):
        read_search(made_up.root)


def test_other_runs_no_runs_and_no_floor_are_refused(made_up, tried, scored, tmp_path, capsys):
    words = ["--output", str(tmp_path / "rates"), "--stack", str(tmp_path / "mini.yaml")]
    assert main(["--runs", str(tmp_path / "none"), *words]) == 2
    assert "no folder" in capsys.readouterr().err and not (tmp_path / "rates").exists()
    tried("lora", 1e-3, (100, 0.25, 2), threshold=None)
    with pytest.raises(VmcError, match="give --floor"):
        read_search(made_up.root)
    assert read_search(made_up.root, floor=0.24).rates == {"lora": 1e-3}
    assert main(["--runs", str(made_up.root), *words, "--floor", "0.2", "--threshold"]) == 2
    assert "has no finished runs of the method, which set the threshold" in capsys.readouterr().err
    made_up.run("method", evaluations={0: scored(appearance=0.3, correct=(0, 0, 0, 0))})
    with pytest.raises(VmcError, match="is no run of a search"):
        read_search(made_up.root, floor=0.24)
