"""Tables, figures and a gallery from run folders alone.

`reading.py` reads run folders into the classes of `loaded_runs.py`; `checks.py` refuses what does not belong together.
`results.py` reads each run at the matched appearance, `comparisons.py` compares the arms; `table_arms.py` lists what
the paper's tables hold. `report.py` holds all that a report shows.
`tables.py` makes the paper's tables, `comparisons.py` and `other_tables.py` make the others; `figures/` has a file a
figure, `gallery.py` and `web/` make the page with all videos, `dashboard.py` lays out W&B's.
A user study is made by `choice_page.py` and read by `choice_answers.py`. `writing.py` writes the folder of a report.
"""
