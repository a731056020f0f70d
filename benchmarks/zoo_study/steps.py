"""The steps of the study: each is a command of ``ww``, or one of the examples, that anybody can run alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SEED = 2020
"""Of every zoo. Defaults of estimators were chosen on a zoo of another seed."""

FEATURES = (
    *("weights[layer=1]", "weights[layer=4]"),
    *("statistics", "statistics[layers=ends]", "statistics[layers=last]", "global-statistics"),
    *("norms", "norms[p=1]", "hyperparameters", "hyperparameters[optimizer=false]", "statistics+hyperparameters"),
)
"""Of tables 1, 5 and 7 of the paper, but for those of thousands of columns, of which trees see a twentieth each."""

GBM, FEW_COLUMNS = "gbm", "gbm[colsample=0.05]"

SPECTRAL = "alpha+stable_rank+log_spectral_norm+log_norm+entropy"

TRANSFERS = {
    "statistics": GBM,
    "statistics[layers=last]": GBM,
    "weights": FEW_COLUMNS,
    "sorted-weights": FEW_COLUMNS,
    "relative-statistics": GBM,
    "norms": GBM,
    SPECTRAL: GBM,
    "statistics+relative-statistics": GBM,
    f"statistics+{SPECTRAL}": GBM,
}
"""Feature sets of which it is seen how what is learned on one zoo holds for another, with their estimators."""


class Amount(NamedTuple):
    """How much of the study is done."""

    data: Sequence[str]  # a zoo each, of the paper's network; on the first most is done
    first: int  # networks of the first zoo
    others: int  # of each other zoo
    mlps: int  # of each width and data set
    widths: Sequence[int]  # of networks of dense layers
    epochs: int
    early: Sequence[int]  # epochs whose checkpoints are asked about
    tables: Sequence[str]  # of which data feature sets and estimators are compared
    features: Sequence[str]
    wide: Sequence[str]  # of thousands of columns, on the first zoo
    flat: Sequence[str]  # that see which unit is which, for which the seed matters
    estimators: Sequence[str]
    transfers: Sequence[str]
    trials: int  # draws of options
    seeds: int  # splits with one seed for all networks, and with fresh ones
    splits: int  # for the coverage of intervals
    importances: Sequence[str]  # what is permuted together
    changed: int  # networks whose weights are changed, or features permuted
    residual: int  # residual networks of each width
    residual_epochs: int
    jobs: int  # processes that train; 0 is one per core


FULL = Amount(
    data=("digits", "textures", "shapes", "clutter"),
    first=2400,
    others=1200,
    mlps=300,
    widths=(8, 16, 32, 64),
    epochs=20,
    early=(0, 1, 2, 3, 5, 7, 10),
    tables=("digits", "textures", "shapes", "clutter"),
    features=FEATURES,
    wide=("weights", "weights[layer=2]", "weights[layer=3]"),
    flat=("weights", "sorted-weights"),
    estimators=("logit-linear", "dnn", "forest", "extra-trees"),
    transfers=tuple(TRANSFERS),
    trials=20,
    seeds=3,
    splits=20,
    importances=("layer", "statistic", "feature"),
    changed=1000,
    residual=48,
    residual_epochs=32,
    jobs=0,
)
SMALL = Amount(
    data=("digits", "textures"),
    first=60,
    others=40,
    mlps=30,
    widths=(8,),
    epochs=2,
    early=(0,),
    tables=("digits",),
    features=("statistics", "norms"),
    wide=("weights[layer=1]",),
    flat=("sorted-weights",),
    estimators=("extra-trees",),
    transfers=("statistics", SPECTRAL),
    trials=1,
    seeds=1,
    splits=2,
    importances=("layer",),
    changed=20,
    residual=1,
    residual_epochs=1,
    jobs=1,
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command.

    Attributes:
        name: Of the file that keeps its answer.
        argv: ``ww`` or a file of examples/, and its arguments; run in the folder of the study.
    """

    name: str
    argv: tuple[str, ...]


def steps_of(amount: Amount) -> Iterator[Step]:
    """Name the steps, in their order."""
    yield from _zoos(amount)
    yield from _tables(amount)
    yield from _transfers(amount)
    yield from _seeds(amount)
    yield from _use(amount)
    yield from _residual(amount)


def _zoos(amount: Amount) -> Iterator[Step]:
    for name in amount.data:
        yield _zoo(name, name, amount.first if name == amount.data[0] else amount.others, amount)
    yield _zoo(fresh(amount), amount.data[0], amount.others, amount, "--fresh-seeds")
    for name, data, width in mlps(amount):
        yield _zoo(name, data, amount.mlps, amount, "--network", "mlp", "--width", str(width))
    for name in amount.data:
        yield Step(f"show-{name}", ("ww", "zoo", "show", f"zoos/{name}", "--plot", f"zoo-{name}.png", "--json"))
        yield Step(f"import-{name}", ("ww", "zoo", "import", f"zoos/{name}", "--json"))
        yield Step(f"analyze-{name}", ("ww", "zoo", "analyze", name, "--json"))


def _zoo(name: str, data: str, count: int, amount: Amount, *more: str) -> Step:
    checkpoints = ",".join(map(str, amount.early)) if name == amount.data[0] else "0"
    told = ("--data", data, "--count", str(count), "--epochs", str(amount.epochs), "--checkpoints", checkpoints, *more)
    out = ("--seed", str(SEED), "--out", f"zoos/{name}", "--name", name, "--jobs", str(amount.jobs), "--json")
    return Step(f"zoo-{name}", ("ww", "zoo", "train", *told, *out))


def fresh(amount: Amount) -> str:
    """Name the zoo each of whose networks has a seed of its own."""
    return f"{amount.data[0]}-fresh"


def mlps(amount: Amount) -> Iterator[tuple[str, str, int]]:
    """Name the zoos of networks of dense layers, with their data and widths."""
    for data in amount.data[:2]:
        for width in amount.widths:
            yield f"mlp-{data}-{width}", data, width


NO_INTERVALS = ("--calibration", "0.05")
"""A table needs no interval: nearly all of the half that is not held out is learned from."""


def _tables(amount: Amount) -> Iterator[Step]:
    """Tables 1, 2 and 5 to 8: feature sets and estimators, a half held out."""
    for name in amount.tables:
        told = ("ww", "predictor", "compare", f"zoos/{name}", *NO_INTERVALS, "--json")
        wide = amount.wide if name == amount.data[0] else amount.wide[:1]
        yield Step(f"features-{name}", (*told, *_each("--features", amount.features)))
        yield Step(f"wide-{name}", (*told, *_each("--features", wide), "--estimator", FEW_COLUMNS))
        yield Step(f"estimators-{name}", (*told, "--features", "statistics", *_each("--estimator", amount.estimators)))


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [word for own in values for word in (option, own)]


def _transfers(amount: Amount) -> Iterator[Step]:
    """Tables 3, 10 and 11: what is learned on one zoo, asked about another."""
    for number, features in enumerate(amount.transfers):
        told = ("--features", features, "--estimator", TRANSFERS[features], *NO_INTERVALS, "--json")
        yield Step(f"transfer-{number}", ("ww", "predictor", "transfer", *amount.data, *told))
    zoos = (f"zoos/{name}" for name, _, _ in mlps(amount))
    told = ("--estimator", "forest[trees=32]", "--held-out", "0.2", *NO_INTERVALS, "--json")
    yield Step("transfer-mlps", ("ww", "predictor", "transfer", *zoos, *told))


def _seeds(amount: Amount) -> Iterator[Step]:
    """One seed for all networks, or one each; as many networks are learned from."""
    narrow = ("statistics", "relative-statistics", "norms", "weights[layer=4]")
    one_seed = f"{1 - 0.5 * amount.others / amount.first:g}"
    for name, held_out in ((amount.data[0], one_seed), (fresh(amount), "0.5")):
        told = ("ww", "predictor", "compare", f"zoos/{name}", "--held-out", held_out, *NO_INTERVALS, "--json")
        splits = ("--seeds", str(amount.seeds))
        yield Step(f"seeds-{name}-narrow", (*told, *splits, *_each("--features", narrow)))
        flat = _each("--features", amount.flat)
        yield Step(f"seeds-{name}-wide", (*told, *flat, "--estimator", FEW_COLUMNS))


def _use(amount: Amount) -> Iterator[Step]:
    """Predictors, asked: earlier checkpoints, other data, other layers, changed weights."""
    first = f"zoos/{amount.data[0]}"
    yield _fit("statistics", first, "--trials", str(amount.trials))
    yield _fit("weights", first, "--features", "weights", "--estimator", FEW_COLUMNS)
    for epoch in (*amount.early, amount.epochs):
        asked = ("--on", first, "--epoch", str(epoch), "--json")
        yield Step(f"epoch-{epoch}", ("ww", "predictor", "evaluate", "statistics.predictor", *asked))
    for name in amount.data:
        asked = ("--on", f"zoos/{name}", "--plot", f"predicted-{name}.png", "--json")
        yield Step(f"on-{name}", ("ww", "predictor", "evaluate", "statistics.predictor", *asked))
    mlp = next(name for name, _, _ in mlps(amount))
    yield Step("on-mlp", ("ww", "predictor", "evaluate", "statistics.predictor", "--on", f"zoos/{mlp}", "--json"))
    splits = ("--features", "statistics", "--seeds", str(amount.splits), "--json")
    yield Step("coverage", ("ww", "predictor", "compare", first, *splits))
    networks = ("--on", first, "--networks", str(amount.changed), "--json")
    for name in ("statistics", "weights"):
        yield Step(f"invariance-{name}", ("ww", "predictor", "invariance", f"{name}.predictor", *networks))
    for what in amount.importances:
        asked = ("--by", what, "--plot", f"importance-by-{what}.png", *networks)
        yield Step(f"importance-{what}", ("ww", "predictor", "importance", "statistics.predictor", *asked))
    axes = ("--x", "layer1.bias.q100-layer1.bias.q0", "--y", "layer4.bias.q100-layer4.bias.q0")
    yield Step("bias-ranges", ("ww", "zoo", "plot", first, *axes, "--log", "-o", "bias-ranges.png"))


def _fit(name: str, zoo: str, *more: str) -> Step:
    out = ("--out", f"{name}.predictor", "--force", "--json")
    return Step(f"fit-{name}", ("ww", "predictor", "fit", zoo, *more, *out))


def _residual(amount: Amount) -> Iterator[Step]:
    """Table 4: networks of another architecture, ranked by their last layer."""
    size = ("--count", str(amount.residual), "--epochs", str(amount.residual_epochs), "--seed", str(SEED))
    yield Step("residual", ("examples/train_residual_networks.py", *size, "--out", "residual"))
    for name in amount.data:
        yield _fit(f"last-{name}", f"zoos/{name}", "--features", "statistics[layers=last]")
    files = (f"last-{name}.predictor" for name in amount.data)
    yield Step("residual-ranked", ("examples/rank_residual_networks.py", "residual", *files, "--json"))
