"""Which teacher input teaches which row: true pairs, and the two controls that break them."""

import numpy as np
import pandas as pd

from xmkd_lib.errors import unknown_name

MODES = {"true": None, "shuffled": ["split"], "shuffled_within_class": ["split", "label"]}


def pair(table: pd.DataFrame, mode: str, seed: int) -> np.ndarray:
    """Row positions (len(table),): row i of the table is taught by the teacher input of row `pair(...)[i]`.

    `true` is the identity. `shuffled` draws one random cycle through all rows of a split, `shuffled_within_class`
    one through the rows of each class of a split: a permutation that leaves no row its own teacher input, except a
    row that is alone. Results equal under `true` and `shuffled_within_class` say that class structure alone was
    transferred. UserError on an unknown mode.

    >>> pair(pd.DataFrame({"split": "train", "label": [0, 0, 1, 1, 2]}), "shuffled_within_class", seed=0).tolist()
    [1, 0, 3, 2, 4]
    """
    if mode not in MODES:
        raise unknown_name("pairing mode", mode, MODES)
    taught_by = np.arange(len(table))
    if mode == "true":
        return taught_by
    generator = np.random.default_rng(seed)
    for rows in table.groupby(MODES[mode]).indices.values():
        cycle = generator.permutation(rows)
        taught_by[cycle] = np.roll(cycle, 1)
    return taught_by
