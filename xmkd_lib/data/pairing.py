"""Which teacher input teaches which row: true pairs, and the two controls that break them."""

import numpy as np
import pandas as pd

from xmkd_lib.errors import unknown_name

MODES = {"true": None, "shuffled": ["split"], "shuffled_within_class": ["split", "label"]}


def pair(table: pd.DataFrame, mode: str, seed: int, inputs: pd.Series | None = None) -> np.ndarray:
    """Row positions (len(table),): row i of the table is taught by the teacher input of row `pair(...)[i]`.

    `true` is the identity. `shuffled` draws one random cycle through all rows of a split, `shuffled_within_class`
    one through the rows of each class of a split: a permutation that leaves no row its own teacher input, except a
    row that is alone. inputs (len(table)): rows with equal values have the same teacher input, which then none of them
    gets; where one input fills more than half of a group, some must. Results equal under `true` and
    `shuffled_within_class` say that class structure alone was transferred. UserError on an unknown mode.

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
        step = 1
        if inputs is not None:  # rows of one input side by side, and a step over the largest block
            block, place = np.unique(inputs.to_numpy()[cycle], return_index=True, return_inverse=True)[1:]
            cycle = cycle[np.argsort(block[place], kind="stable")]
            step = int(np.bincount(place).max())
        taught_by[cycle] = np.roll(cycle, step)
    return taught_by
