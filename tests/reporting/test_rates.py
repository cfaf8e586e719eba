"""The choice of learning rates, from made-up runs."""

import csv
import shutil

import pytest
import yaml

from vmc.mini.card.settings import stack_file
from vmc.rates import main
from vmc.tools.rates import SEARCHED, read_search, write_search
from vmc.utils.errors import VmcError

ROW = {"rates": {"method": 1e-3, "lora": 5e-3, "custom_diffusion": 1e-3, "custom_diffusion_token": 1e-3}}


@pytest.fixture
def tried(made_up, scored):
    """Makes a run at a rate: at `step` its appearance has fallen from 0.3 to `end`, `right` of 4 videos are right."""

    def make(arm: str, rate: float, *, end: float = 0.2, right: int = 2, step: int = 100, token=None, **more):
        keys = SEARCHED[arm]
        rates = dict(ROW["rates"]) | dict(zip(keys, (rate, token) if token else (rate,), strict=True))
        config = {"rates": rates, "optimizer": {"lr": rate}, "token": {"learning_rate": token}}
        evaluations = {
            0: scored(appearance=0.3, correct=(0, 0, 0, 0)),
            step: scored(appearance=end, correct=[1] * right + [0] * (4 - right)),
        }
        name = f"{arm}@{rate:g}" + (f"@{token:g}" if token else "")
        more = {"motion": "shaking_hand", "evaluations": evaluations, "config": config} | more
        return made_up.run(name, **more)

    return make


def chosen(search, arm: str):
    """The chosen trial of an arm."""
    (trial,) = search.trials[search.trials.chosen & (search.trials.arm == arm)].itertuples()
    return trial


def test_the_most_accurate_rate_at_the_threshold_is_chosen(made_up, tried):
    tried("method", 1e-3, right=2)
    tried("method", 3e-3, right=4, end=0.1, step=200)  # steeper: a quarter of the way, not half
    tried("method", 3.3e-4, right=3)
    search = read_search(made_up.root)
    best = chosen(search, "method")
    assert search.rates == {"method": 3.3e-4}
    assert (best.reached, best.step, best.accuracy, best.appearance) == (True, 50.0, 0.375, 0.25)
    assert [rates["method"] for rates in search.trials.rates] == [3.3e-4, 1e-3, 3e-3]
    assert search.trials.accuracy.round(4).tolist() == [0.375, 0.25, 0.25]
    assert search.remarks == ["method: method = 0.00033 is the lowest that was tried; search around it too"]


def test_of_equal_rates_the_faster_then_the_lower_one_is_chosen(made_up, tried):
    tried("method", 1e-3, step=200)
    tried("method", 2e-3, step=100)
    tried("method", 4e-3, step=100)
    assert read_search(made_up.root).rates == {"method": 2e-3}


def test_a_rate_that_ruins_appearance_at_once_is_no_better_for_reaching_the_threshold(made_up, tried):
    tried("method", 1e-3, right=3, end=0.26, reason="steps")
    tried("method", 3e-3, right=1)
    tried("method", 2e-3, right=4)
    search = read_search(made_up.root)
    assert (chosen(search, "method").reached, search.rates) == (False, {"method": 1e-3})
    assert "method: the chosen run has not reached the threshold; it stands at its last step" in search.remarks


def test_where_none_reaches_it_the_one_that_moved_furthest_settles_a_tie(made_up, tried):
    tried("lora", 1e-3, right=0, end=0.29, reason="steps")
    tried("lora", 2e-3, right=0, end=0.27, reason="steps")
    tried("lora", 4e-3, right=0, end=0.28, reason="steps")
    search = read_search(made_up.root)
    assert (search.rates, chosen(search, "lora").reached) == ({"lora": 2e-3}, False)
    assert search.remarks == ["lora: the chosen run has not reached the threshold; it stands at its last step"]


def test_a_pair_of_rates_and_what_does_not_count(made_up, tried):
    for rate, token in ((1e-3, 1e-3), (1e-3, 3e-3), (3e-3, 1e-3)):
        tried("custom_diffusion", rate, token=token, right=1 + (token > rate))
    tried("custom_diffusion", 3e-3, token=3e-3, right=4, status="failed", reason="loss is NaN")
    tried("method", 1e-3, status="failed", reason="loss is NaN")
    search = read_search(made_up.root)
    assert search.rates == {"custom_diffusion": 1e-3, "custom_diffusion_token": 3e-3}
    assert sum("loss is NaN; it does not count" in remark for remark in search.remarks) == 2
    assert "method: no rate can be chosen" in search.remarks


def test_the_tables_hold_every_run_and_are_equal_again(made_up, tried, tmp_path):
    tried("method", 1e-3)
    tried("method", 3e-3, status="failed", reason="loss is NaN")
    files = write_search(read_search(made_up.root), tmp_path / "rates")
    before = [file.read_bytes() for file in files]
    rows = list(csv.DictReader((tmp_path / "rates" / "mini.csv").open(newline="")))
    first, second = rows
    assert first == {
        **{"arm": "method", "rate": "0.001", "token_rate": "", "motion": "shaking_hand", "seed": "0"},
        **{"status": "finished", "reached": "true", "step": "50.0", "accuracy": "0.25", "appearance": "0.25"},
        **{"videos": "4", "chosen": "true"},
    }
    assert (second["accuracy"], second["chosen"]) == ("", "false") and "loss is NaN" in second["status"]
    page = (tmp_path / "rates" / "mini.md").read_text()
    assert page.startswith("# Learning rates, stack mini, on shaking") and "| chosen |" in page
    write_search(read_search(made_up.root), tmp_path / "rates")
    assert [file.read_bytes() for file in files] == before


def test_the_command_prints_the_rates_and_writes_them_where_asked(made_up, tried, tmp_path, capsys):
    tried("method", 1.5e-5)
    tried("custom_diffusion", 2e-3, token=5e-4)
    stack = shutil.copy(stack_file(), tmp_path / "mini.yaml")
    before = stack.read_text()
    words = ["--runs", str(made_up.root), "--output", str(tmp_path / "rates"), "--stack", str(stack)]
    assert main(words) == 0
    assert (
        "rates:\n  method: 1.5e-5\n  custom_diffusion: 0.002\n  custom_diffusion_token: 0.0005\n"
        in capsys.readouterr().out
    )
    assert stack.read_text() == before
    assert main([*words, "--write"]) == 0
    known = {**yaml.safe_load(before)["rates"]}
    wanted = known | {"method": 1.5e-5, "custom_diffusion": 2e-3, "custom_diffusion_token": 5e-4}
    assert yaml.safe_load(stack.read_text()) == yaml.safe_load(before) | {"rates": wanted}
    assert [line.partition("#")[2] for line in stack.read_text().splitlines()] == [
        line.partition("#")[2] for line in before.splitlines()
    ]
    tried("method", 3e-3, status="stopped", reason="signal")
    now = stack.read_text()
    assert main([*words, "--write"]) == 2
    assert "finish the search before --write" in capsys.readouterr().err
    assert stack.read_text() == now


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"motion": "swiping_down"}, "differing motion"),
        ({"seed": 1}, "differing seed"),
        ({"threshold": 0.2}, "stop.appearance"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(made_up, tried, changes, words):
    tried("method", 1e-3)
    tried("method", 3e-3, **changes)
    with pytest.raises(VmcError, match=words):
        read_search(made_up.root)


def test_other_runs_no_runs_and_no_threshold_are_refused(made_up, tried, scored, tmp_path, capsys):
    assert main(["--runs", str(tmp_path / "none"), "--output", str(tmp_path / "rates")]) == 2
    assert "no folder" in capsys.readouterr().err and not (tmp_path / "rates").exists()
    tried("method", 1e-3, threshold=None)
    with pytest.raises(VmcError, match="give --threshold"):
        read_search(made_up.root)
    assert read_search(made_up.root, threshold=0.25).rates == {"method": 1e-3}
    made_up.run("method", evaluations={0: scored(appearance=0.3, correct=(0, 0, 0, 0))})
    with pytest.raises(VmcError, match="is no run of a search"):
        read_search(made_up.root, threshold=0.25)
