"""How many people are drawn in a second of one core: `python tests/benchmarks/bench_people.py [identities]`."""

import sys
import time

from xmkd_lib import data


def main(identities: int = 100) -> None:
    people = data.create("people", identities=identities, val_identities=2, test_identities=2, heldout_utterances=0)
    rows, spent = people.rows("train"), {}
    for modality, name in (("image", "faces"), ("speech", "voices")):
        start = time.process_time()
        people.inputs(modality, rows)
        spent[name] = (time.process_time() - start) / len(rows)
    spent["pairs"] = sum(spent.values())
    for name, seconds in spent.items():
        print(f"{name:>6}: {1 / seconds:5.0f} per second of processor time ({1e3 * seconds:.2f} ms each)")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
