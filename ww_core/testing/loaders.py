"""The contract of loaders."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ww_core.contracts.budget import LIMITS, WORDS, Budget
from ww_core.domain.rounding import ROUNDINGS, Rounding
from ww_core.errors import SourceError
from ww_core.sources.digests import tensors_of
from ww_core.sources.opening import find_source
from ww_core.testing.metrics import sample_weights
from ww_core.testing.plugins import PluginContract

if TYPE_CHECKING:
    import numpy.typing as npt

    from ww_core.contracts.loader import Checkpoint, Loader
    from ww_core.domain.layer import SkippedTensor, TensorSpec

TRUNCATIONS = 20


class LoaderContract(PluginContract):
    """Tests that a loader must pass. Set ``plugin`` and ``name``, and define ``write``."""

    name: str

    def write(self, weights: Mapping[str, npt.NDArray[Any]], folder: Path) -> Path | object:
        """Write weights in the loader's format, and return the path or the object that a person would name."""
        raise NotImplementedError(f"{type(self).__name__} must define write")

    def others(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return arrays that are written beside the weights and not analysed; none if the format holds no such."""
        return {"steps": np.arange(7), "mask": np.array([[True, False], [False, False]]), "count": np.array(3)}

    def roundings(self) -> Mapping[str, Rounding]:
        """Return how precisely ``write`` stores tensors, by name; none of those whose dtype says it."""
        return {}

    def unprintable_names(self) -> Sequence[str]:
        """Return names of layers that cannot be printed, as far as the format holds such; default several."""
        return ("a\x1b[2J", "b\u202egpj", "c\nd\x9b", "e\u2028\U000e0041", "f\\x1b")

    def tensor_name(self, name: str) -> str:
        """Return the name under which the loader tells of a tensor that was written; default the same."""
        return name

    def layer_name(self, name: str) -> str:
        """Return the name of the layer whose weight was written as ``name``; default that without ``.weight``."""
        return name.removesuffix(".weight")

    def open(self, named: Path | object) -> Checkpoint:
        """Open what was written."""
        return self.loader().open(find_source(named, self.registry()))

    def probe(self, named: Path | object) -> float:
        """Ask the loader how sure it is."""
        return self.loader().probe(find_source(named, self.registry()))

    def loader(self) -> Loader:
        """Return the loader under test."""
        return self.registry().loaders.find(self.name).object

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path | object:
        """A source that holds the sample weights."""
        return self.write(sample_weights(), tmp_path)

    def test_it_knows_its_own(self, source: Path | object) -> None:
        """The probe is sure of its own format, and says no to everything else."""
        assert 0 < self.probe(source) <= 1

    def test_it_says_no_to_others(self, tmp_path: Path) -> None:
        """A text, a folder, an object: no, and no exception."""
        text = tmp_path / "notes.txt"
        text.write_text("nothing of interest\n")
        for other in (text, tmp_path, object(), 3):
            assert self.probe(other) == 0

    def test_it_gives_back_what_was_written(self, source: Path | object) -> None:
        """Every tensor has its shape, dtype and bytes, is read-only, and is the same when read again."""
        weights = {self.tensor_name(name): weight for name, weight in sample_weights().items()}
        with self.open(source) as checkpoint:
            specs = {spec.name: spec for spec in tensors_of(checkpoint)}
            assert set(specs) == set(weights)
            for name, weight in weights.items():
                assert specs[name].shape == weight.shape
                assert specs[name].dtype == str(weight.dtype)
                for _ in range(2):
                    with checkpoint.read(specs[name]) as array:
                        assert array.shape == weight.shape
                        assert not array.flags.writeable
                        assert array.tobytes() == weight.tobytes()

    def test_names_that_cannot_be_printed_are_kept(self, tmp_path: Path) -> None:
        """Such a name refuses no file, and is told as it is: whoever shows it escapes it."""
        names = [f"{name}.weight" for name in self.unprintable_names()]
        weights = {**sample_weights(), **dict.fromkeys(names, sample_weights()["square.weight"])}
        with self.open(self.write(weights, tmp_path)) as checkpoint:
            assert {layer.name for layer in checkpoint.layers} >= set(map(self.layer_name, names))
            assert all(warning.isprintable() for warning in checkpoint.warnings)

    def test_it_tells_how_precisely_numbers_were_stored(self, source: Path | object) -> None:
        """Every tensor has the rounding of its dtype, or the coarser one that it was written with."""
        roundings = {self.tensor_name(name): told for name, told in self.roundings().items()}
        with self.open(source) as checkpoint:
            for spec in tensors_of(checkpoint):
                told = roundings.get(spec.name, Rounding())
                assert spec.rounding == ROUNDINGS[spec.dtype].with_at_least(told), spec.name

    def test_what_is_skipped_is_listed_and_has_its_bytes(self, tmp_path: Path) -> None:
        """No tensor is left out in silence, and the content of one that is readable is a row of bytes, read-only.

        It is the same when it is read again. A tensor that is not readable is not in the digest.
        """
        others = {self.tensor_name(name): array for name, array in self.others().items()}
        with self.open(self.write({**sample_weights(), **self.others()}, tmp_path)) as checkpoint:
            skipped = {tensor.name: tensor for tensor in checkpoint.skipped}
            assert set(others) <= set(skipped)
            for name, tensor in skipped.items():
                assert not (tensor.readable and tensor.tied_to)
                for _ in range(2 if tensor.readable else 0):
                    with checkpoint.read_bytes(tensor) as content:
                        assert content.dtype == np.uint8
                        assert content.ndim == 1
                        assert not content.flags.writeable
                        assert name not in others or content.tobytes() == others[name].tobytes()

    def test_checksums_are_those_of_the_bytes(self, source: Path | object) -> None:
        """What the source says of its bytes is true of what was written: a warning means that it was damaged."""
        with self.open(source) as checkpoint:
            specs: list[TensorSpec | SkippedTensor] = [*tensors_of(checkpoint), *checkpoint.skipped]
            for spec in specs:
                for checksum in checkpoint.checksums(spec):
                    where = checksum.range
                    with where.source.array(where.offset, np.dtype(np.uint8), (where.nbytes,)) as content:
                        assert zlib.crc32(content.tobytes()) == checksum.crc32, checksum.entry

    def test_biases_belong_to_their_layers(self, source: Path | object) -> None:
        """A layer has its bias, and no layer is left out."""
        with self.open(source) as checkpoint:
            layers = {layer.name: layer for layer in checkpoint.layers}
        weights = [name for name in sample_weights() if name.endswith(".weight")]
        assert set(layers) == {self.layer_name(name) for name in weights}
        assert layers[self.layer_name("square.weight")].bias is not None
        assert layers[self.layer_name("tall.weight")].bias is None

    def test_closing_twice_is_no_error(self, source: Path | object) -> None:
        """``close`` may be called again."""
        checkpoint = self.open(source)
        checkpoint.close()
        checkpoint.close()

    def test_it_draws_on_the_budget_of_the_source(self, source: Path | object) -> None:
        """Without a budget for tensors, or for their names, the source is refused by the budget.

        So a small file of any format that names tensors without end is refused before they take memory. Objects are in
        memory already.
        """
        if not isinstance(source, Path):
            pytest.skip("the source is an object in memory")
        for what in ("tensors", "names"):
            found = find_source(source, self.registry())
            found.budget = Budget(found.label, {**LIMITS, what: 0})
            with pytest.raises(SourceError, match=f"it has more than 0 {re.escape(WORDS[what])}"):
                self.loader().open(found)

    def test_what_is_cut_short_is_refused(self, source: Path | object) -> None:
        """A truncated file is a SourceError that names it: when it is opened, or when what is missing is read."""
        if not (isinstance(source, Path) and source.is_file()):
            pytest.skip("the source is no single file")
        whole = source.read_bytes()
        for part in range(TRUNCATIONS):
            source.write_bytes(whole[: len(whole) * part // TRUNCATIONS])
            with pytest.raises(SourceError, match=source.name), self.open(source) as checkpoint:
                for spec in tensors_of(checkpoint):
                    with checkpoint.read(spec):
                        pass
