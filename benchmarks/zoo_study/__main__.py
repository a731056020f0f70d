"""Do the study of arXiv:2002.11448 again, on zoos that are trained here, and what it leaves open besides.

    python -m benchmarks.zoo_study --out FOLDER [--small]

Each step is a command that is printed, and that anybody can run alone. What is done is kept in FOLDER: the same command
goes on where an earlier one was ended. In the end FOLDER has ``study.md`` with all tables, and the figures beside it.
The exit code is 1 if something comes out otherwise than it has to. The numbers of docs/explanation/zoo-study.md come
from here. It needs the extras ``zoo``, ``predictors`` and ``plot``; all of it takes about three quarters of an hour on
one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.zoo_study.goals import goals_of
from benchmarks.zoo_study.running import StepError, answers_of
from benchmarks.zoo_study.steps import FULL, SMALL, steps_of
from benchmarks.zoo_study.tables import page


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo_study", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a new folder, or one begun so")
    parser.add_argument("--small", action="store_true", help="a step of every kind, on zoos too small to say anything")
    options = parser.parse_args()
    amount = SMALL if options.small else FULL
    try:
        answers = answers_of(steps_of(amount), options.out)
    except (StepError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 3
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: the same command goes on from there\n")
        return 130
    (options.out / "study.md").write_text(page(answers, amount))
    print(f"{options.out / 'study.md'}: {sum(own.seconds for own in answers.values()) / 60:.1f} minutes of CPU time")
    if options.small:
        return 0
    goals = list(goals_of(answers, amount))
    for goal in goals:
        print(f"{'yes' if goal.holds else 'NO ':4} {goal.claim}: {goal.told}")
    return int(not all(goal.holds for goal in goals))


if __name__ == "__main__":
    sys.exit(main())
