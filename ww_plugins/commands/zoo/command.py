"""Train zoos of small networks, and read them in bulk."""

from __future__ import annotations

import typer

from ww_plugins.commands.zoo.analyze import analyze
from ww_plugins.commands.zoo.export import export
from ww_plugins.commands.zoo.features import feature_sets, features
from ww_plugins.commands.zoo.import_zoo import import_zoo
from ww_plugins.commands.zoo.plot import plot
from ww_plugins.commands.zoo.show import show
from ww_plugins.commands.zoo.train import train

app = typer.Typer(
    help="Zoos: many small networks with the same layers.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Train zoos of small networks, and read them in bulk."""


app.command("train")(train)
app.command("import")(import_zoo)
app.command("export")(export)
app.command("show")(show)
app.command("plot")(plot)
app.command("analyze")(analyze)
app.command("features")(features)
app.command("feature-sets")(feature_sets)
