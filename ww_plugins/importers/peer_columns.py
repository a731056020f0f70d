"""What the columns of WeightWatcher mean, version by version.

The definitions are ww's own words for what each version computes. A column whose meaning changed stands here once for
each meaning, with the first version that has it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Version = tuple[int, ...]

PROGRAM = "weightwatcher"

ALPHA_CAVEAT = "The plain mean of alpha does not rank networks of one series that differ in depth."

SCALED = "weights are scaled by sqrt(slices / 2)"
SCALED_MORE = "weights are scaled by sqrt(slices)"
HALVED = "eigenvalues of a convolution are halved, or multiplied by half the kernel's area if each slice has a row"


@dataclass(frozen=True, slots=True)
class PeerColumn:
    """A meaning of a column.

    Attributes:
        name: Name of the column, as later versions have it.
        first: First version in which it means this; it is the version of the definition.
        definition: What it is, without the point at the end.
        type: Type of its values.
        better: Which direction is better.
        unit: Unit or log base; empty for none.
        key: Last part of the key of the definition; empty for the name.
        old_name: Another name that it had in frames of 0.2 and 0.3; empty for none.
        failed: Whether -1 in it means that a fit failed.
        caveat: Why models must not be ranked by its plain mean.
        empty_text: Whether an empty cell of a text is a value.
    """

    name: str
    first: str
    definition: str
    type: Literal["float", "int", "bool", "text"] = "float"
    better: Literal["lower", "higher", "none"] = "none"
    unit: str = ""
    key: str = ""
    old_name: str = ""
    failed: bool = False
    caveat: str = ""
    empty_text: bool = False

    @property
    def metric(self) -> str:
        """Key of the definition."""
        return f"{PROGRAM}:{self.key or self.name}"


_WRITTEN = (
    # What the rows are.
    PeerColumn("layer_type", "0.2", "Kind of the layer, as the program called it", "text"),
    PeerColumn("N", "0.2", "Larger side of the slice", "int"),
    PeerColumn("M", "0.2", "Smaller side of the slice", "int"),
    PeerColumn("N", "0.4", "Larger side of the matrix or of a slice; of a convolution with an even kernel it may be the smaller", "int"),
    PeerColumn("M", "0.4", "Smaller side of the matrix or of a slice; of a convolution with an even kernel it may be the larger", "int"),
    PeerColumn("Q", "0.6", "N divided by M"),
    PeerColumn("NxM", "0.2", "N times M", "int"),
    PeerColumn("slice_id", "0.2", "Number of the slice in its layer", "int", old_name="slice"),
    PeerColumn("rf", "0.4", "Area of the kernel; 1 for other layers than convolutions", "int"),
    PeerColumn("num_evals", "0.4", "Eigenvalues that were computed, over all slices", "int", unit="count"),
    PeerColumn("has_esd", "0.4", "Whether eigenvalues were computed", "bool"),
    PeerColumn("Xflag", "0.4", "Whether the row describes a matrix across two layers", "bool"),
    PeerColumn("peft", "0.7", "Whether the row describes merged low-rank adapters", "bool"),
    # Norms.
    PeerColumn("norm", "0.2", "Frobenius norm, not squared", better="lower", unit="weight", key="frobenius_norm"),
    PeerColumn("norm", "0.2.6", f"Frobenius norm, not squared; {SCALED}", better="lower", unit="weight", key="frobenius_norm"),
    PeerColumn("norm", "0.3", f"Sum of all eigenvalues, the squared Frobenius norm; {SCALED}", better="lower", unit="weight^2"),
    PeerColumn("norm", "0.4", f"Sum of all eigenvalues, the squared Frobenius norm; {HALVED}", better="lower", unit="weight^2"),
    PeerColumn("log_norm", "0.2", "Log10 of the Frobenius norm, not squared", better="lower", unit="log10 weight", key="log_frobenius_norm", old_name="lognorm"),
    PeerColumn("log_norm", "0.2.6", f"Log10 of the Frobenius norm, not squared; {SCALED}", better="lower", unit="log10 weight", key="log_frobenius_norm", old_name="lognorm"),
    PeerColumn("log_norm", "0.3", f"Log10 of the squared Frobenius norm; {SCALED}", better="lower", unit="log10 weight^2", old_name="lognorm"),
    PeerColumn("log_norm", "0.4", f"Log10 of the squared Frobenius norm; {HALVED}", better="lower", unit="log10 weight^2"),
    PeerColumn("normX", "0.2", f"Frobenius norm of the product of the slice's transpose and the slice; {SCALED}", better="lower", unit="weight^2"),
    PeerColumn("lognormX", "0.2", f"Log10 of the Frobenius norm of the product of the slice's transpose and the slice; {SCALED}", better="lower", unit="log10 weight^2"),
    PeerColumn("spectral_norm", "0.2", "Largest eigenvalue, the squared largest singular value", better="lower", unit="weight^2", old_name="spectralnorm"),
    PeerColumn("spectral_norm", "0.2.6", f"Largest eigenvalue, the squared largest singular value; {SCALED}", better="lower", unit="weight^2", old_name="spectralnorm"),
    PeerColumn("spectral_norm", "0.4", f"Largest eigenvalue, the squared largest singular value; {HALVED}", better="lower", unit="weight^2"),
    PeerColumn("log_spectral_norm", "0.2", "Log10 of the largest eigenvalue", better="lower", unit="log10 weight^2", old_name="logspectralnorm"),
    PeerColumn("log_spectral_norm", "0.2.6", f"Log10 of the largest eigenvalue; {SCALED}", better="lower", unit="log10 weight^2", old_name="logspectralnorm"),
    PeerColumn("log_spectral_norm", "0.4", f"Log10 of the largest eigenvalue; {HALVED}", better="lower", unit="log10 weight^2"),
    PeerColumn("lambda_max", "0.4", f"Largest eigenvalue; {HALVED}", unit="weight^2"),
    PeerColumn("lambda_min", "0.2", "Smallest eigenvalue that was computed", unit="weight^2"),
    PeerColumn("sv_max", "0.4", f"Largest singular value over all slices; {HALVED}", unit="weight"),
    PeerColumn("sv_min", "0.7", f"Largest of the slices' smallest singular values; {HALVED}", unit="weight"),
    # Ranks and entropy.
    PeerColumn("stable_rank", "0.2", "Frobenius norm, in published tables of 0.2.3 not squared, over the largest eigenvalue", better="lower", old_name="softrank"),
    PeerColumn("stable_rank", "0.2.4", "Squared Frobenius norm over the squared largest singular value", better="lower", old_name="softrank"),
    PeerColumn("stable_rank", "0.3", "Square of the squared Frobenius norm over the largest eigenvalue; this is not a rank", key="stable_rank_squared", old_name="softrank"),
    PeerColumn("stable_rank", "0.4", "Sum of all eigenvalues over the largest one", better="lower"),
    PeerColumn("log_stable_rank", "0.2", "Log10 of the stable rank", better="lower", unit="log10", old_name="softranklog"),
    PeerColumn("log_stable_rank", "0.3", "Log10 of the column stable_rank of that version; this is not a rank", unit="log10", key="log_stable_rank_squared", old_name="softranklog"),
    PeerColumn("softranklogratio", "0.2", "Log10 of the squared Frobenius norm over log10 of the largest eigenvalue"),
    PeerColumn("softranklogratio", "0.2.6", f"Log10 of the Frobenius norm over log10 of the largest singular value; {SCALED}"),
    PeerColumn("softranklogratio", "0.3", f"Log10 of the squared Frobenius norm over log10 of the largest singular value; {SCALED}"),
    PeerColumn("rank_loss", "0.4", "Always 0: this version does not count lost ranks", "int", unit="count", key="rank_loss_unused"),
    PeerColumn("rank_loss", "0.4.8", "Singular values of all slices at or below the rounding: largest one of the slice times N times epsilon", "int", unit="count"),
    PeerColumn("weak_rank_loss", "0.6", "Eigenvalues below 1e-6, or below a given tolerance", "int", unit="count"),
    PeerColumn("matrix_rank", "0.4.8", "Eigenvalues with roots above the rounding: largest root times N times epsilon", "int", unit="count"),
    PeerColumn("entropy", "0.4.8", "Entropy of the eigenvalues over their sum, over the natural log of the matrix rank", unit="ln"),
    # Fits of a power law.
    PeerColumn("alpha", "0.2", "Exponent of the power law fitted by powerlaw, with xmax at the largest of the M - 1 largest eigenvalues of the slice", better="lower", failed=True, caveat=ALPHA_CAVEAT),
    PeerColumn("alpha", "0.3", "Exponent of the power law fitted by powerlaw, with xmax at the largest eigenvalue of all slices", better="lower", failed=True, caveat=ALPHA_CAVEAT),
    PeerColumn("alpha", "0.6.5", "Exponent of the power law fitted to the density of the eigenvalues of all slices above 1e-5, by the smallest distance, without xmax", better="lower", failed=True, caveat=ALPHA_CAVEAT),
    PeerColumn("raw_alpha", "0.6.4", "Exponent before the largest eigenvalues were clipped", better="lower", failed=True),
    PeerColumn("alpha_weighted", "0.2", "Alpha times log10 of the largest eigenvalue", better="lower", unit="log10 weight^(2 alpha)"),
    PeerColumn("alpha_weighted", "0.2.6", f"Alpha times log10 of the largest eigenvalue; {SCALED}", better="lower", unit="log10 weight^(2 alpha)"),
    PeerColumn("alpha_weighted", "0.4", f"Alpha times log10 of the largest eigenvalue; {HALVED}", better="lower", unit="log10 weight^(2 alpha)"),
    PeerColumn("log_alpha_norm", "0.2", "Log10 of the sum of the M - 1 largest eigenvalues to the power alpha", better="lower", unit="log10 weight^(2 alpha)", old_name="logpnorm"),
    PeerColumn("log_alpha_norm", "0.2.6", f"Log10 of the sum of the M - 1 largest eigenvalues to the power alpha; {SCALED}", better="lower", unit="log10 weight^(2 alpha)", old_name="logpnorm"),
    PeerColumn("log_alpha_norm", "0.3", f"Log10 of the sum of all eigenvalues to the power alpha; {SCALED}", better="lower", unit="log10 weight^(2 alpha)", old_name="logpnorm"),
    PeerColumn("log_alpha_norm", "0.4", f"Log10 of the sum of all eigenvalues to the power alpha; {HALVED}", better="lower", unit="log10 weight^(2 alpha)"),
    PeerColumn("D", "0.2", "Kolmogorov-Smirnov distance of the tail from the fit, as powerlaw computes it", better="lower", failed=True),
    PeerColumn("D", "0.6.5", "Kolmogorov-Smirnov distance of the tail from the fit, on the lower side of each step only", better="lower", failed=True),
    PeerColumn("sigma", "0.3", "Standard error of alpha: alpha - 1 over the root of the count of the tail", failed=True),
    PeerColumn("xmin", "0.3", "Smallest eigenvalue of the tail", unit="weight^2", failed=True),
    PeerColumn("xmax", "0.3", "Largest eigenvalue of the fitted tail", unit="weight^2", failed=True),
    PeerColumn("num_pl_spikes", "0.4", "Eigenvalues not below xmin", "int", unit="count", failed=True),
    PeerColumn("num_fingers", "0.6.4", "Step at which clipping stopped: one less than the eigenvalues clipped, and 0 for none", "int", unit="count"),
    PeerColumn("Lambda", "0.6", "Rate of the exponential cut-off of a truncated power law; -1 if none was fitted", failed=True),
    PeerColumn("best_fit", "0.5", "Name of the distribution that fits best, by likelihood ratios", "text"),
    PeerColumn("fit_entropy", "0.6.5", "Entropy of the fitted tail"),
    PeerColumn("status", "0.7", "Whether the fit succeeded", "text"),
    PeerColumn("warning", "0.5", "over-trained if alpha is below 2, under-trained if it is above 6, else empty", "text", empty_text=True),
    PeerColumn("warning", "0.6", "over-trained if alpha is below 2, under-trained if it is above 6, else the state of the fit", "text", empty_text=True),
    PeerColumn("warning", "0.7", "over-trained if alpha is below 2, under-trained if it is above 6, else empty", "text", empty_text=True),
    # Fits of the bulk.
    PeerColumn("sigma_mp", "0.2", "Sigma of the Marchenko-Pastur law fitted to the eigenvalues", failed=True),
    PeerColumn("sigma_mp", "0.4.8", "Sigma of the Marchenko-Pastur law fitted to the eigenvalues scaled to a mean of 1", failed=True),
    PeerColumn("num_spikes", "0.2", "Eigenvalues above the edge of the fitted bulk", "int", unit="count", key="numofSpikes", old_name="numofSpikes", failed=True),
    PeerColumn("num_spikes", "0.4", "Eigenvalues above the edge of the fitted bulk and a margin", "int", unit="count", failed=True),
    PeerColumn("ratio_numofSpikes", "0.2", "Eigenvalues above the edge of the fitted bulk over M - 1"),
    PeerColumn("mp_softrank", "0.2", "Edge of the fitted bulk over the largest eigenvalue", old_name="softrank_mp", failed=True),
    PeerColumn("W_scale", "0.4.8", "Factor that scales the weights so that the eigenvalues have a mean of 1", failed=True),
    PeerColumn("bulk_max", "0.4.8", "Upper edge of the fitted bulk", unit="weight^2", failed=True),
    PeerColumn("bulk_min", "0.4.8", "Lower edge of the fitted bulk", unit="weight^2", failed=True),
    # Randomised weights.
    PeerColumn("max_rand_eval", "0.4", "Largest eigenvalue of the shuffled weights", unit="weight^2"),
    PeerColumn("rand_distance", "0.5", "Jensen-Shannon distance of the sorted eigenvalues from those of shuffled weights, both read as probabilities", unit="ln"),
    PeerColumn("ww_softrank", "0.6", "Largest eigenvalue of shuffled weights over the largest eigenvalue"),
    PeerColumn("ww_maxdist", "0.6", "Largest eigenvalue minus that of shuffled weights", unit="weight^2"),
    PeerColumn("rand_num_spikes", "0.4", "Eigenvalues of the shuffled weights above the edge of their fitted bulk and a margin", "int", unit="count", failed=True),
    PeerColumn("rand_sigma_mp", "0.4", "Sigma of the Marchenko-Pastur law fitted to the shuffled weights", failed=True),
    PeerColumn("rand_mp_softrank", "0.4", "Edge of the bulk fitted to the shuffled weights over the largest eigenvalue", failed=True),
    PeerColumn("rand_W_scale", "0.4.8", "Factor that scales the shuffled weights so that their eigenvalues have a mean of 1", failed=True),
    PeerColumn("rand_bulk_max", "0.4.8", "Upper edge of the bulk fitted to the shuffled weights", unit="weight^2", failed=True),
    PeerColumn("rand_bulk_min", "0.4.8", "Lower edge of the bulk fitted to the shuffled weights", unit="weight^2", failed=True),
    PeerColumn("num_traps", "0.7.7", "Same as rand_num_spikes", "int", unit="count", key="rand_num_spikes", failed=True),
    # Determinants.
    PeerColumn("detX_num", "0.6", "Number of largest eigenvalues, scaled to a mean of 1, at which their product first falls below 1", "int", unit="count"),
    PeerColumn("detX_val", "0.6", "Eigenvalue at which that product falls below 1, in the unit of the weights", unit="weight^2"),
    PeerColumn("detX_val_unrescaled", "0.7", "Eigenvalue at which that product falls below 1, scaled to a mean of 1"),
    PeerColumn("num_ERG_spikes", "0.7.7", "Same as detX_num", "int", unit="count", key="detX_num"),
    PeerColumn("ERG_gap", "0.7.7", "detX_num minus num_pl_spikes", "int", unit="count"),
    # The check of 0.2.
    PeerColumn("check", "0.2", "Frobenius norm over its value under Glorot's initialisation, or over the root of N times M"),
    PeerColumn("checkTF", "0.2", "Whether check lies between 0.5 and 1.5", "bool"),
    # Eigenvectors.
    *(
        PeerColumn(
            f"{part}_{statistic}_{name}",
            "0.5",
            f"{'Mean' if statistic == 'mean' else 'Variance'} of the {meaning} of the eigenvectors in the {part}",
        )
        for part in ("bulk", "tail")
        for statistic in ("mean", "var")
        for name, meaning in {
            "vec_entropy": "entropy, in nats,",
            "loc_ratio": "localisation ratio, the 1-norm over the largest element,",
            "part_ratio": "participation ratio, the 2-norm over the 4-norm,",
        }.items()
    ),
)  # fmt: skip

COLUMNS = tuple(
    meaning
    for own in _WRITTEN
    for meaning in (
        # Versions 0.2.4 and 0.2.5 scaled by another factor what 0.2.6 and 0.2.7 scale.
        *(
            [replace(own, first="0.2.4", definition=own.definition.replace(SCALED, SCALED_MORE))]
            if own.first == "0.2.6"
            else []
        ),
        own,
    )
)
"""Every meaning of every column; of one name in the order of versions."""

IDENTIFYING = ("layer_id", "name", "longname", "slice", "slice_id", "model", "model_name", "model_filename", "version")
"""Columns that say what a row speaks of; the number of a slice is a value too."""

WITHOUT_CONTENT = ("", "Unnamed: 0", "index", "level", "comment", "layer_count", "slice_count")
"""Columns that are read and say nothing of their own: numbers of rows, and what kind a row is."""

STATISTICS = ("_min", "_max", "_avg")
"""Ends of columns of the row of a whole network in frames of 0.2 and 0.3."""


_NAMES = {name for own in COLUMNS for name in (own.name, own.old_name) if name}


def version_of(text: str) -> Version:
    """Return a version as numbers that compare: ``0.2.7`` is (0, 2, 7).

    Raises:
        ValueError: It is none.
    """
    return tuple(int(part) for part in text.split("."))


def meaning_of(name: str, version: Version) -> PeerColumn | None:
    """Return what a column means in a version; None if nobody knows."""
    known = [own for own in COLUMNS if name in {own.name, own.old_name}]
    before = [own for own in known if version_of(own.first) <= version]
    return before[-1] if before else None


def is_known(name: str) -> bool:
    """Whether any version has a column of this name."""
    return name in _NAMES


def recognised_version(header: Iterable[str]) -> str:
    """Return the first version whose frames have columns such as these."""
    names = set(header)
    if "level" in names or names & {"lognorm", "logspectralnorm", "softranklog"}:
        if names & {"sigma", "xmin", "xmax", "D"}:
            return "0.3"
        return "0.2.7" if names & {"normX", "check"} else "0.2"
    if "longname" in names and "best_fit" not in names and not names & SIGNS["0.7.7"]:
        return "0.7"
    return next((version for version, columns in SIGNS.items() if names & columns), "0.4")


SIGNS = {
    "0.7.7": {"num_traps", "num_ERG_spikes", "ERG_gap"},
    "0.7": {"status", "sv_min", "peft", "detX_val_unrescaled"},
    "0.6.5": {"fit_entropy"},
    "0.6.4": {"num_fingers", "raw_alpha"},
    "0.6": {"weak_rank_loss", "ww_softrank", "ww_maxdist", "detX_num", "Lambda", "Q"},
    "0.5": {"warning", "best_fit", "rand_distance"},
    "0.4.8": {"matrix_rank", "entropy", "W_scale", "bulk_max"},
}
"""Columns that came with a version, the newest first."""
