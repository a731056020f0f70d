"""ww beside WeightWatcher: both sides run in turn in one process; medians, minima and ratios are printed.

    make bench
    make bench OPTIONS="models floor resnet20 minilm --minilm model.safetensors --markdown bench.md"

``make bench`` makes the environment of the peer once, in ``.venv-peer``. A name is a section or a model. Without names
everything is measured; models alone go through every section that is of models, sections alone take their own models.

Where no real weights are given, a model has heavy-tailed random weights of the same shapes. BLAS and torch have one
thread, unless the environment says otherwise.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from pathlib import Path

from benchmarks.peer.bench import Bench, Skipped
from benchmarks.peer.models import MODELS
from benchmarks.peer.report import Report, Table
from benchmarks.peer.sections import SECTIONS
from benchmarks.peer.sections.section import Section


def main() -> int:
    """Run what is chosen; the exit code is 1 if some of it failed."""
    options = _options()
    sections = _chosen(options.names)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        report = Report()
        print(report.head(), flush=True)
        failures = 0
        for section in sections:
            table = Table(section.title, section.explanation, section.columns)
            failures += _run(section, bench, table)
            report.tables.append(table)
            print(table.text(), flush=True)
            if options.markdown:
                options.markdown.write_text(report.markdown())
    return int(failures > 0)


def _chosen(names: list[str]) -> list[Section]:
    asked = [section for section in SECTIONS if section.name in names]
    return asked or [section for section in SECTIONS if section.of_models or not names]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*(section.name for section in SECTIONS), *MODELS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(names)}")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there too")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each row, if its rounds are quick (10)")
    parser.add_argument("--rounds", type=int, default=0, help="exactly so many rounds for each row")
    parser.add_argument("--seed", type=int, default=0, help="of random weights (0)")
    parser.add_argument(
        "--checkpoints",
        type=Path,
        default=os.environ.get("WW_BENCH_CHECKPOINTS"),
        metavar="FOLDER",
        help="where resnet20-cifar10.th and resnet56-cifar10.th are (WW_BENCH_CHECKPOINTS)",
    )
    parser.add_argument(
        "--minilm",
        type=Path,
        default=os.environ.get("WW_BENCH_MINILM"),
        metavar="FILE",
        help="model.safetensors of all-MiniLM-L6-v2 (WW_BENCH_MINILM)",
    )
    parser.add_argument("--gpt2-matrices", type=int, default=24, metavar="N", help="of the 48 of GPT-2 small (24)")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in names]
    if unknown:
        parser.error(f"{unknown[0]!r} is no section and no model; there are: {', '.join(names)}")
    return options


def _run(section: Section, bench: Bench, table: Table) -> int:
    """Fill a table with what can be measured, and count what failed."""
    failures = 0
    for name, measure in section.cases(bench):
        print(f"[{section.name}] {name} ...", file=sys.stderr, flush=True)
        try:
            measured = measure()
        except Skipped as reason:
            table.notes.append(f"{name}: skipped, {reason}")
        except Exception as error:  # noqa: BLE001 - one case that fails must not cost the hour of the others
            traceback.print_exc()
            table.notes.append(f"{name}: FAILED, {type(error).__name__}: {' '.join(str(error).split())}")
            failures += 1
        else:
            table.rows += measured.rows
            table.notes += measured.notes
    return failures


if __name__ == "__main__":
    sys.exit(main())
