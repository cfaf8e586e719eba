"""Tables and figures from run folders alone, in five parts.

Load: `load.py` reads run folders, and finds videos that stand in no table, into the classes of `loaded.py`; `checks.py`
refuses what does not belong together.
Compare: `matched.py` takes each run at the matched appearance, `compare.py` sets arms against the method and the values
of the paper (`paper.csv`), in the lines that `catalog.py` lists; `findings.py` says which of the paper's findings
(`findings.csv`) the runs show; `results.py` holds all of it.
Tables and figures: `tables.py`, and a file a figure in `figures/`; `dashboard.py` lays out W&B's page.
Gallery: `gallery/`, a page with its scripts.
User study: `choice.py` makes the page, `answers.py` reads what people chose. `build.py` writes the folder of a report.
"""
