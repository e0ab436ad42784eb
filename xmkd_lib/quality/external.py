"""A quality that the user brings."""

import math
from typing import Any

import torch
from torch import Tensor

from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.quality.registry import ESTIMATORS


@ESTIMATORS.register("external")
class External:
    """A column of a data set's table as the score, (n,) float64: DNSMOS, a face detector's confidence, ...

    Called with the table (a DataFrame). Higher must be better. In an experiment's settings it is `external.COLUMN`.
    UserError when there is no such column, or naming the first row whose value is no finite number.

    >>> import pandas as pd
    >>> External("dnsmos")(pd.DataFrame({"id": ["a", "b"], "dnsmos": [3.5, 2]}))
    tensor([3.5000, 2.0000], dtype=torch.float64)
    """

    def __init__(self, column: str):
        self.column = column

    def __call__(self, table: Any) -> Tensor:
        if self.column not in table:
            raise unknown_name("column for the quality 'external'", self.column, map(str, table.columns))
        values = list(table[self.column])
        for row, value in enumerate(values):
            if not _is_finite_number(value):
                where = f"row {row}" + (f" (id {table['id'].iloc[row]!r})" if "id" in table else "")
                raise UserError(
                    f"external: column {self.column!r}, {where} is {value!r}. Give every sample a finite number."
                )
        return torch.tensor([float(value) for value in values], dtype=torch.float64)


def _is_finite_number(value: Any) -> bool:
    try:
        return not isinstance(value, str) and math.isfinite(value)
    except TypeError:
        return False
