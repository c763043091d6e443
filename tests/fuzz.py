"""Run the properties of `test_properties.py` on new random cases for so many minutes.

    python tests/fuzz.py [--minutes 10] [--seed 0] [--only NAME]

Prints how many cases of each property ran, the largest parts of error budgets that were
used up, and whatever failed, as the smallest case that hypothesis finds.
"""

import argparse
import collections
import time
import traceback

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from oracle import compared, used
from test_properties import (
    PROPERTIES,
    check_absent,
    check_absent_in_training,
    check_consistency,
    check_embedding,
    check_layer,
    check_supervised,
)

# Most are of embeddings and training. A case of training takes as long as four others.
CASES_OF_A_ROUND = dict.fromkeys(PROPERTIES, 20) | {
    check_embedding: 600,
    check_supervised: 40,
    check_absent: 150,
    check_absent_in_training: 20,
    check_consistency: 150,
    check_layer: 200,
}


def main():
    arguments = parse_arguments()
    checks = [check for check in PROPERTIES if arguments.only in check.__name__]
    end, counts = time.monotonic() + 60 * arguments.minutes, collections.Counter()
    n_failed, round_seed = 0, arguments.seed * 1_000_000
    try:
        while time.monotonic() < end:
            for check in checks:
                n_failed += not run_round(check, round_seed, counts)
            round_seed += 1
    finally:  # after Ctrl-C, too
        print_table(counts, n_failed)
    return int(n_failed > 0)


def print_table(counts, n_failed):
    for check, count in counts.items():
        print(f"{check.__name__:24} {count:9,} cases")
    print(f"{'all':24} {counts.total():9,} cases, {n_failed} rounds failed")
    for what, n_compared in compared.items():
        print(
            f"{what:24} {n_compared:9,} compared, {used[what]:.3f} of a budget used at most"
        )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0, help="each draws other cases")
    parser.add_argument("--only", default="", help="properties with this in their name")
    return parser.parse_args()


def run_round(check, round_seed, counts):
    """Check a number of cases, and return whether all passed."""

    def count_and_check(case):
        counts[check] += 1
        check(*case)

    run = given(st.tuples(*PROPERTIES[check]))(count_and_check)
    of_a_round = settings(
        max_examples=CASES_OF_A_ROUND[check],
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    try:
        of_a_round(seed(round_seed)(run))()
    except KeyboardInterrupt:
        raise
    except BaseException:  # pytest's own failures are no Exception
        print(f"{check.__name__} with seed {round_seed} failed:", flush=True)
        traceback.print_exc()
        return False
    return True


if __name__ == "__main__":
    raise SystemExit(main())
