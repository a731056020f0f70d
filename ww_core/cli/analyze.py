"""``ww analyze``: from a source to results in the store."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from ww_core.command import Output, Session, options, say, store_location
from ww_core.command.examples import examples


@examples(
    "ww analyze net.safetensors",
    "ww analyze net.safetensors --name net --version 2 --profile fast",
    "ww analyze net.safetensors --extractor slice,fft --metrics alpha",
)
def analyze(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A file, a folder, or an address such as https://... or s3://...")
    ],
    name: options.Name = None,
    version: options.Version = None,
    series: Annotated[
        str | None, typer.Option("--series", help="Family that the model belongs to.", callback=options.not_empty)
    ] = None,
    profile: options.Profile = "default",
    extractor: options.Extractor = None,
    metrics: options.Metrics = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="METRIC.PARAM=VALUE", help="A metric's parameter; repeatable."),
    ] = None,
    layers: options.Layers = None,
    groups: options.Groups = None,
    split: options.Splits = None,
    include_buffers: options.IncludeBuffers = False,
    loader: options.Loader = None,
    jobs: options.Jobs = 0,
    memory: options.Memory = None,
    executor: Annotated[
        str, typer.Option("--executor", metavar="NAME", help="Where the work runs.", callback=options.not_empty)
    ] = "threads",
    device: options.Device = "cpu",
    precision: Annotated[
        str,
        typer.Option(
            "--precision", metavar="NAME", help="Precision of the spectra: float64, or float32 (faster, less accurate)."
        ),
    ] = "float64",
    control: Annotated[
        str | None,
        typer.Option(
            "--control",
            metavar="permuted|random",
            help="Analyse, in place of the network, its control: all elements of each tensor permuted, or weights "
            "drawn at random in the same shapes. It is stored as NAME~permuted or NAME~random.",
            callback=options.not_empty,
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed.")] = 0,
    spectra: Annotated[
        bool, typer.Option("--spectra/--no-spectra", help="Store spectra, so that metrics can be added later.")
    ] = True,
    rehash: Annotated[bool, typer.Option("--rehash", help="Read every tensor, even of an unchanged file.")] = False,
    move_label: Annotated[
        bool, typer.Option("--move-label", help="Move the label from the weights it stands on now.")
    ] = False,
    scope: options.ShownScope = None,
    columns: options.ShownColumns = None,
    sort: options.SortedBy = "",
    store: options.Store = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    raw: options.Raw = False,
) -> None:
    """Analyse the weights of SOURCE, and store every result.

    Stored results are not computed again.
    """
    from ww_core.cli.report import print_report
    from ww_core.command.choice import Choice
    from ww_core.command.progress import progress_observers
    from ww_core.domain.column import ROW_KEYS
    from ww_core.errors import LostResultsError
    from ww_core.use_cases.analyze import analyze as run

    output = Output(as_json=as_json, as_csv=as_csv, raw=raw)
    choice = Choice.of(columns, sort, output)
    session: Session = ctx.obj
    registry = session.registry()
    # Before the work: a wrong name must not cost it. What was selected is known after it.
    choice.without_options().check({*registry.quantities.known(), *ROW_KEYS}, "ww metrics")
    parameters = options.pairs(param, "--param", "METRIC.PARAM=VALUE")
    # What a plugin prints while it computes must not stand in the data.
    with progress_observers() as observers, contextlib.redirect_stdout(sys.stderr):
        report = run(
            source,
            store=store_location(store),
            name=name,
            version=version,
            series=series,
            profile=profile,
            extractors=options.listed(extractor, "--extractor"),
            metrics=options.listed(metrics, "--metrics"),
            parameters=parameters,
            layers=options.listed(layers, "--layers"),
            groups=options.counts_of(groups, "--groups"),
            splits=options.counts_of(split, "--split"),
            include_buffers=include_buffers,
            seed=seed,
            jobs=jobs,
            memory=options.bytes_of(memory, "--memory"),
            executor=executor,
            device=device,
            precision=precision,  # type: ignore[arg-type]  # it is checked where it is used
            control=control,
            loader=loader,
            keep_spectra=spectra,
            rehash=rehash,
            move_label=move_label,
            observers=observers,
            registry=registry,
        )
    print_report(report, output, scope.rows if scope else None, choice)
    if output.format == "table":
        output.line(f"stored in {report.store}")
    elif output.format == "csv":
        say(f"stored in {report.store}")
    lost = [failure for failure in report.failures if failure.stage != "observer"]
    if lost:
        raise LostResultsError(
            f"{len(lost)} of the selected results failed with exceptions (above); the rest is stored"
        )
