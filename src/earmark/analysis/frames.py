"""The tables of a comparison as pandas DataFrames, where pandas is installed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from earmark.analysis.aggregate import Aggregate
from earmark.analysis.tables import comparisons_csv, confusion_csv, groups_csv, results_csv, slices_csv
from earmark.runtime.errors import EarmarkError

if TYPE_CHECKING:
    from pandas import DataFrame

TABLES = {
    "results": results_csv,
    "comparisons": comparisons_csv,
    "groups": groups_csv,
    "confusion": confusion_csv,
    "slices": slices_csv,
}
"""What `earmark aggregate` writes: a row per variant and metric, per comparison and metric, per variant and group, per
variant, true and predicted class, per estimate in a slice."""


def frames(comparison: Aggregate) -> dict[str, DataFrame]:
    """The tables of a comparison as pandas DataFrames: `results`, `comparisons`, `groups`, `confusion` and `slices`.

    They have the columns of the CSV files, and fractions.

    Raises:
        EarmarkError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise EarmarkError("pandas is not installed; run `pip install pandas`") from None
    names = ("variant", "baseline", "group", "mark", "value", "label", "prediction")
    text = dict.fromkeys(names, str)
    options = {"dtype": text, "keep_default_na": False, "na_values": [""]}  # a variant may be called "None"
    return {name: pandas.read_csv(io.StringIO(write(comparison)), **options) for name, write in TABLES.items()}
