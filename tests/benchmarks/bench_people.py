"""How fast people are drawn on one core: `python tests/benchmarks/bench_people.py [identities]`."""

import sys
import time

from xmkd_lib import data


def main(identities: int = 100) -> None:
    people = data.create("people", identities=identities, val_identities=2, test_identities=2, heldout_utterances=0)
    rows, spent = people.rows("train"), {}
    for modality in ("image", "speech"):
        start = time.process_time()
        people.inputs(modality, rows)
        spent[modality] = (time.process_time() - start) / len(rows)
        print(f"{modality:>6}: {1e3 * spent[modality]:.2f} ms each, {1 / spent[modality]:.0f} per second")
    print(f" pairs: {1 / sum(spent.values()):.0f} per second of one core")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
