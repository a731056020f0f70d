"""``ww check``: judge a candidate by rules, with an exit code for CI servers."""

from __future__ import annotations

import contextlib
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ww_core.command import Output, Session, options, say, store_location, warn
from ww_core.command.examples import examples

if TYPE_CHECKING:
    from ww_core.domain.rules.verdict import CheckReport

BROKEN = 1
"""Exit code if a rule is broken."""


class Format(StrEnum):
    """How a verdict is printed."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"
    GITHUB = "github"
    MARKDOWN = "markdown"


@examples("ww check net@2 --baseline net@1 --rule 'alpha: +5%'", "ww check other.safetensors --rule 'max(alpha): < 8'")
def check(
    ctx: typer.Context,
    candidate: Annotated[
        str,
        typer.Argument(
            metavar="CANDIDATE",
            help="MODEL, MODEL@VERSION, a digest prefix; else a path, analysed now.",
            callback=options.not_empty,
        ),
    ],
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="B",
            help="As CANDIDATE; or previous, best:METRIC, or a file from `ww show MODEL --json`.",
            callback=options.not_empty,
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", metavar="RULE", help="A rule, as 'alpha_weighted: +5%'; repeatable."),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules",
            metavar="FILE",
            help="A TOML file with rules = [...].  [default: [tool.ww.check] of pyproject.toml]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="MODEL",
            help="The model of the versions previous and best.  [default: the candidate's]",
            show_default=False,
            callback=options.not_empty,
        ),
    ] = None,
    profile: options.StoredProfile = None,
    allow_no_baseline: Annotated[
        bool,
        typer.Option(
            "--allow-no-baseline", help="Skip rules that compare if the model has no version for previous or best."
        ),
    ] = False,
    format_: Annotated[
        Format, typer.Option("--format", help="Format of the verdict.", show_default=True)
    ] = Format.TEXT,
    store: options.Store = None,
    as_json: options.AsJson = False,
) -> None:
    """Judge CANDIDATE by rules, alone or against a baseline. Exit code 1: a rule is broken.

    If a name is both a stored name and a path, the stored name is used. A path is analysed and gets no label, so that a
    rejected candidate never becomes the previous version.
    """
    from ww_core.command.progress import progress_observers
    from ww_core.errors import UsageError
    from ww_core.use_cases.check import check as judge

    if as_json and format_ not in {Format.TEXT, Format.JSON}:
        raise UsageError(f"--json and --format {format_.value} exclude each other: give one")
    output = Output(as_json=as_json or format_ is Format.JSON)
    session: Session = ctx.obj
    texts, wanted = _asked(rule, rules, baseline)
    # What a plugin prints while it computes must not stand in the data.
    with progress_observers() as observers, contextlib.redirect_stdout(sys.stderr):
        report = judge(
            candidate,
            rules=texts,
            baseline=wanted,
            store=store_location(store),
            name=name,
            profile=profile,
            allow_no_baseline=allow_no_baseline,
            registry=session.registry,
            observers=observers,
        )
    for warning in report.warnings:
        warn(f"warning: {warning}")
    _print(report, Format.JSON if as_json else format_, output)
    if not report.passed:
        raise typer.Exit(BROKEN)


def _asked(rule: list[str] | None, file: str | None, baseline: str | None) -> tuple[list[str], str | None]:
    """Return the rules and the baseline: from the command line, else from the project's own settings."""
    texts = list(rule or ())
    if texts and file is None:
        return texts, baseline
    from ww_core.use_cases.rule_files import find_project_rules, read_rule_file

    if file is not None:
        told = read_rule_file(file)
        texts = [*(told.rules or ()), *texts]
        return texts, baseline or told.baseline
    project = find_project_rules(Path.cwd())
    if project is None:
        return [], baseline
    say(f"rules and baseline are those of {project.path}" if baseline is None else f"rules are those of {project.path}")
    return list(project.rules or ()), baseline or project.baseline


def _print(report: CheckReport, format_: Format, output: Output) -> None:
    """Print a verdict in a format."""
    match format_:
        case Format.TEXT:
            from ww_core.cli.verdict_formats.text import print_text

            print_text(report, output)
        case Format.JSON:
            output.json(report.to_dict())
        case Format.JUNIT:
            from ww_core.cli.verdict_formats.junit import print_junit

            print_junit(report, output)
        case Format.GITHUB:
            from ww_core.cli.verdict_formats.github import print_github

            print_github(report, output)
        case Format.MARKDOWN:
            from ww_core.cli.verdict_formats.markdown import print_markdown

            print_markdown(report, output)
