"""Tables, figures and a gallery from run folders alone.

`load.py` reads run folders into the classes of `loaded.py`; `checks.py` refuses what does not belong together.
`compare.py` reads each run at the matched appearance and compares the arms; `catalog.py` lists what the paper's tables
hold. `results.py` holds all that a report shows.
`tables.py` makes the paper's tables, `comparisons.py` and `other_tables.py` make the others; `figures/` has a file a
figure, `gallery.py` and `web/` make the page with all videos, `dashboard.py` lays out W&B's.
A user study is made by `choice.py` and read by `answers.py`. `build.py` writes the folder of a report.
"""
