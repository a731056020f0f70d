"""The stored spectra of one layer, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from ww_core.domain.spectrum import Spectrum


@dataclass(frozen=True, slots=True, eq=False)
class PermutedSpectrum:
    """The spectrum of a matrix with all its elements permuted.

    Attributes:
        number: Which permutation it is, from 0.
        seed: Seed of the permutations.
        digest: Key of the permutation, 32 hex digits: of n elements, over all entries and in the order of memory,
            it is ``ww_core.spectral.permutation(n, bytes.fromhex(digest))``.
        spectrum: The spectrum.
    """

    number: int
    seed: int
    digest: str
    spectrum: Spectrum


@dataclass(frozen=True, slots=True, eq=False)
class MatrixSpectrum:
    """The spectrum of one matrix of a layer: its position among them, and the sides of an entry.

    ``permutations`` are those of the matrix with all its elements permuted, as far as metrics asked for them, all of
    one seed, in the order of their numbers.
    """

    index: int
    rows: int
    cols: int
    spectrum: Spectrum
    permutations: tuple[PermutedSpectrum, ...] = ()

    @property
    def permuted(self) -> Spectrum | None:
        """The spectrum of the first permutation, number 0; None where no metric asked for it."""
        return next((own.spectrum for own in self.permutations if own.number == 0), None)


@dataclass(frozen=True, slots=True, eq=False)
class LayerSpectrum:
    """The spectra of a layer under one extractor, a matrix at a time.

    Attributes:
        model: Name of the model; empty for weights without a name.
        version: Its version.
        digest: Content address of the checkpoint.
        profile: Name of the profile: under ``weightwatcher`` and ``trends-2020`` extractors scale their matrices.
        run: Number of the run that made or found them.
        layer: Name of the layer.
        extractor: Label of the extractor variant.
        extractor_identity: Digest of its identity: the same label may stand for others under another profile.
        matrices: Its matrices in order. Singular values are float64, descending, in the unit of the weights times the
            scale of the extractor, which is 1 under ``default``; eigenvalues are their squares, never divided by N.
        run_seed: Seed that the run was asked with.
        stored_seeds: Seeds of which permutations of the layer are stored: the run's first, then the newest first.
    """

    model: str
    version: str
    digest: str
    profile: str
    run: int
    layer: str
    extractor: str
    extractor_identity: str
    matrices: tuple[MatrixSpectrum, ...]
    run_seed: int = 0
    stored_seeds: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers."""
        return {
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "profile": self.profile,
            "run": self.run,
            "layer": self.layer,
            "extractor": self.extractor,
            "extractor_identity": self.extractor_identity,
            "matrices": [
                {
                    "index": own.index,
                    "N": max(own.rows, own.cols),
                    "M": min(own.rows, own.cols),
                    "noise_floor": own.spectrum.noise_floor,
                    "resolution": own.spectrum.resolution,
                    "precision": own.spectrum.precision,
                    "singular_values": own.spectrum.singular_values.tolist(),
                    "permuted": None if own.permuted is None else own.permuted.singular_values.tolist(),
                    "permutations": [
                        {
                            "number": each.number,
                            "seed": each.seed,
                            "digest": each.digest,
                            "singular_values": each.spectrum.singular_values.tolist(),
                        }
                        for each in own.permutations
                    ],
                }
                for own in self.matrices
            ],
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dict per singular value, the largest of each matrix first.

        An eigenvalue that float64 cannot hold is None.
        """
        import numpy as np

        return [
            {
                "layer": self.layer,
                "extractor": self.extractor,
                "index": own.index,
                "rank": rank,
                "singular_value": value,
                "eigenvalue": square if np.isfinite(square) else None,
                "above_noise": value > own.spectrum.noise_floor,
            }
            for own in self.matrices
            for rank, (value, square) in enumerate(
                zip(own.spectrum.singular_values.tolist(), own.spectrum.eigenvalues.tolist(), strict=True), 1
            )
        ]

    def to_pandas(self) -> pd.DataFrame:
        """Return ``rows()`` as a data frame. Needs the extra ``pandas``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from ww_core.domain.frames import data_frame

        return data_frame(self.rows())
