"""What a store says, in one transaction: the words of the domain in, plain data out."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ww_core.domain import answering
from ww_core.domain.answer import report_of
from ww_core.domain.model_values import EVERY_MODEL, EVERY_ROW
from ww_core.store import answers, files, labels, pairing, runs, selections, structures, values
from ww_core.store.records import EVERY_SCORE, Compared
from ww_core.store.rows import readable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ww_core.domain.answer import RunEnd
    from ww_core.domain.answering import AnsweringRun
    from ww_core.domain.columnar import ScoreTable, StoredScore, ValueTable
    from ww_core.domain.expressions.arithmetic import Summary
    from ww_core.domain.history import History, HistoryColumn, LayerContent
    from ww_core.domain.layer import Layer
    from ww_core.domain.layer_spectrum import LayerSpectrum
    from ww_core.domain.model_values import ModelChoice, ModelRow, ModelValues, RowChoice
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import AnalysisReport, RowScope
    from ww_core.domain.run import LayerCoverage, StoredRun
    from ww_core.domain.spectrum import Spectrum, SpectrumKind
    from ww_core.store.place import ReportPlace
    from ww_core.store.records import (
        CheckpointRef,
        ColumnKey,
        ColumnOrigin,
        ScoreFilter,
        SeriesMember,
        StoredLayer,
        StoredRequest,
        StoredStructure,
        StoredSummary,
        StoredTable,
        StoredTensor,
        StoredVersion,
    )


class Reader:
    """Reads one state of a store. Made by `Store.reading`; of no use after that transaction."""

    def __init__(self, connection: Connection, place: ReportPlace) -> None:
        self._connection = connection
        self._place = place

    # --- names --------------------------------------------------------------------------------------------------------

    @readable()
    def find(self, name: str) -> CheckpointRef:
        """Find what ``MODEL``, ``MODEL@VERSION`` or the prefix of a digest names. MODEL alone is its newest version.

        Raises:
            NotStoredError: Nothing carries the name; the message lists near ones.
            UsageError: A digest prefix fits several checkpoints.
        """
        return labels.find_checkpoint(self._connection, name)

    @readable()
    def find_versions(self, name: str = "") -> list[CheckpointRef]:
        """Find every version of MODEL, or what another name stands for; without a name, all there are.

        Models come by name, versions in their order.

        Raises:
            NotStoredError: Nothing carries the name; the message lists near ones.
            UsageError: A digest prefix fits several checkpoints.
        """
        return labels.find_versions(self._connection, name)

    @readable()
    def is_stored(self, ref: CheckpointRef) -> bool:
        """Whether what a name stood on is still there, and the label still stands on it."""
        return labels.is_stored(self._connection, ref)

    @readable()
    def counted_versions(self) -> dict[str, int]:
        """Return how many versions each model has, models by name."""
        return labels.counted_versions(self._connection)

    @readable()
    def versions(self, models: Sequence[str] = ()) -> list[StoredVersion]:
        """List the versions of models, of every model for none: models by name, versions in their order."""
        return labels.stored_versions(self._connection, models)

    # --- weights ------------------------------------------------------------------------------------------------------

    @readable()
    def layers(self, structure: str) -> list[StoredLayer]:
        """List the layers of a structure, named by its digest, in order."""
        return structures.stored_layers(self._connection, structure)

    @readable()
    def tensors(self, structure: str) -> list[StoredTensor]:
        """List the tensors of a structure that belong to no layer, in order."""
        return structures.stored_tensors(self._connection, structure)

    @readable()
    def structure(self, digest: str) -> StoredStructure:
        """Return a structure, which is stored, with what its layers consist of."""
        return structures.stored_structure(self._connection, digest)

    @readable()
    def file_digests(self, host: str, path: str, tensors: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return (stamp, digest) of tensors of a file by name, as they were when it was last read on this host."""
        return files.known_digests(self._connection, host, path, tensors)

    # --- runs ---------------------------------------------------------------------------------------------------------

    @readable()
    def runs(self, ref: CheckpointRef, profile: str = "", variant: str = "") -> Sequence[AnsweringRun]:
        """List the runs that answer for a label, or for a checkpoint without one; the one to be shown first.

        Args:
            ref: The checkpoint under its name.
            profile: Name of the profile; empty for any.
            variant: Label of a column or an extractor that it must show, such as ``alpha[ks=two-sided]``; empty for
                any.

        Raises:
            NotStoredError: There is none; the message lists what there is.
        """
        found = answering.of_profile(runs.stored_runs(self._connection, ref), ref.name, profile)
        if not variant:
            return found
        shown = selections.labels_of_selections(self._connection, {run.selection for run in found})
        return answering.showing(found, ref.name, variant, shown)

    @readable()
    def described_runs(self, ref: CheckpointRef, profile: str = "") -> list[StoredRun]:
        """Return what was asked by the runs that answer for a checkpoint, when, and what became of it.

        Raises:
            NotStoredError: There is none.
        """
        return runs.described_runs(self._connection, self.runs(ref, profile))

    @readable()
    def likest_runs(
        self, first: CheckpointRef, second: CheckpointRef, profile: str = ""
    ) -> tuple[AnsweringRun, AnsweringRun]:
        """Return the runs of two checkpoints that have most in common.

        Raises:
            NotStoredError: One was never analysed under the profile.
        """
        new, old = (self.runs(ref, profile) for ref in (second, first))
        shown = selections.variants_of_selections(self._connection, {run.selection for run in (*new, *old)})
        return answering.likest(old, new, shown)

    @readable()
    def compared(self, first: CheckpointRef, second: CheckpointRef, profile: str = "") -> tuple[Compared, Compared]:
        """Return two checkpoints with those of their analyses that have most in common.

        Raises:
            NotStoredError: One was never analysed under the profile.
        """
        runs = self.likest_runs(first, second, profile)
        old, new = (
            Compared(
                name=ref.name,
                report=self.report(run.number, ref),
                layers=tuple(self.layers(run.structure)),
                others=tuple(self.tensors(run.structure)),
            )
            for run, ref in zip(runs, (first, second), strict=True)
        )
        return old, new

    @readable()
    def requests(self, ref: CheckpointRef) -> list[StoredRequest]:
        """List what was ever asked under a label, or of a checkpoint without one, each once, the newest first."""
        return runs.stored_requests(self._connection, ref)

    @readable()
    def version_of_control(self, network: str, control: str, digest: str, layers: Sequence[Layer]) -> str:
        """Return the version of the control of a network: that of its weights, or the next integer.

        Args:
            network: Name of the network's model.
            control: Name of the control's model.
            digest: Content address of the network's checkpoint.
            layers: The layers of the network.
        """
        return pairing.version_of_control(self._connection, network, control, digest, layers)

    @readable()
    def control_of_model(self, model: str) -> str:
        """Return which control a model is, as ``random-seed1``; empty if it is none, or is not stored."""
        return pairing.control_of_model(self._connection, model)

    @readable()
    def report(self, run: int, ref: CheckpointRef | None = None, end: RunEnd | None = None) -> AnalysisReport:
        """Put together what a run says.

        Args:
            run: Number of the run, which is stored.
            ref: The checkpoint under the name that is to be shown; None for the newest it has.
            end: How the run has just ended, if that is not stored yet.
        """
        analysis = answers.stored_analysis(self._connection, run, end)
        name = ref or labels.newest_name(self._connection, analysis.digest)
        report = report_of(analysis, name.model, name.version)
        return replace(report, store=self._place.location, stored=self._place)

    @readable()
    def origins(self, run: int) -> list[ColumnOrigin]:
        """List who made what a run shows: its columns in order, then spectra; of each the newest run first."""
        return answers.origins_of_run(self._connection, run)

    @readable()
    def layer_coverage(self, run: int) -> list[LayerCoverage]:
        """List what a run made of each layer by each extractor, in its order.

        Raises:
            NotStoredError: There is no such run any more.
        """
        return runs.layer_coverage(self._connection, run)

    # --- results ------------------------------------------------------------------------------------------------------

    @readable()
    def outcomes(
        self, subjects: Sequence[str], columns: Collection[ColumnKey]
    ) -> dict[str, dict[tuple[str, str], Outcome]]:
        """Return what is stored of subjects, by digest, then by (identity, column), of the columns asked for."""
        return values.stored_outcomes(self._connection, subjects, columns)

    @readable()
    def values(
        self, columns: Sequence[str], scope: RowScope = "matrix", profile: str = "default", names: Sequence[str] = ()
    ) -> ValueTable:
        """Return the values of columns, a row for each place of each version. Arguments are those of `Store.values`.

        Raises:
            NotStoredError: Nothing carries a name, or nothing was analysed under the profile.
            UnknownNameError: No analysis has such a column in this scope.
        """
        from ww_core.store import columnar

        return columnar.value_table(self._connection, columns, scope, profile, names)

    @readable()
    def metric_rows(
        self, names: Sequence[str], profile: str, metrics: Sequence[str], scopes: Sequence[str]
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Return what the view ``v_metrics`` shows of versions, in batches of rows; of use until the transaction ends.

        Args:
            names: ``MODEL`` or ``MODEL@VERSION``; empty for all.
            profile: Name of the profile.
            metrics: Labels of columns; empty for all.
            scopes: What the rows speak of.

        Raises:
            NotStoredError: Nothing carries a name, or nothing was analysed under the profile.
            UnknownNameError: No analysis has such a column in these scopes.
        """
        from ww_core.store import metric_rows

        return metric_rows.metric_rows(self._connection, names, profile, metrics, scopes)

    @readable()
    def summaries(self, model: str, variant: str, aggregate: str) -> list[StoredSummary]:
        """List what a variant of a column comes to over each version of a model, in the order of recording.

        Only versions count whose weights could all be read, and whose analysis in force is complete and has a value.

        Args:
            model: Name of the model.
            variant: Digest of the variant.
            aggregate: ``mean``, ``median``, ``min`` or ``max``.
        """
        from ww_core.store import summaries

        return summaries.complete_summaries(self._connection, model, variant, aggregate)

    @readable()
    def history_columns(self, model: str, profile: str = "default") -> list[HistoryColumn]:
        """List the columns of the newest version of a model that has a complete analysis, in order.

        Raises:
            UsageError: The name is not that of a model.
            NotStoredError: There is no such model, or none of its versions has a complete analysis under the profile.
        """
        from ww_core.store import history

        return history.history_columns(self._connection, model, profile)

    @readable()
    def history(self, model: str, columns: Sequence[str], profile: str = "default") -> History:
        """Return columns of numbers of a model over its versions, of the matrices that summaries speak of.

        Raises:
            UsageError: The name is not that of a model, or a column holds texts.
            UnknownNameError: No version has such a column.
            NotStoredError: There is no such model, or none of its versions has a complete analysis under the profile.
        """
        from ww_core.store import history

        return history.history(self._connection, model, profile, columns)

    @readable()
    def layer_contents(self, model: str, layer: str) -> list[LayerContent]:
        """Tell what a layer consists of in each version of a model, in order.

        Raises:
            UsageError: The name is not that of a model.
            NotStoredError: There is no such model.
            UnknownNameError: No version has such a layer.
        """
        from ww_core.store import history

        return history.layer_contents(self._connection, model, layer)

    @readable()
    def scores(self, chosen: ScoreFilter = EVERY_SCORE) -> ScoreTable:
        """Return scores by model, version and name, with what they replaced.

        Raises:
            NotStoredError: A model is neither stored nor reported.
        """
        from ww_core.store import scores

        return scores.stored_scores(self._connection, chosen)

    @readable()
    def computed_values(
        self,
        asked: Collection[Summary],
        profile: str = "default",
        models: ModelChoice = EVERY_MODEL,
        rows: RowChoice = EVERY_ROW,
        *,
        every_version: bool = False,
    ) -> ModelValues:
        """Return what columns come to over stored models, by their analyses in force.

        Args:
            asked: The columns, and what they shall come to.
            profile: Name of the profile.
            models: Which models are meant.
            rows: Which rows of them count.
            every_version: Whether all versions are meant, and not the newest of each model only.

        Raises:
            UnknownNameError: No analysis has such a column, or nothing fits a name of ``models`` or ``rows``.
            UsageError: A column holds texts, or does not speak of what ``rows`` chooses.
            NotStoredError: No model is stored, or none was analysed under the profile.
        """
        from ww_core.store import model_values

        return model_values.computed_values(self._connection, asked, profile, models, rows, every_version=every_version)

    @readable()
    def reported_values(
        self,
        asked: Collection[Summary],
        table: str,
        models: ModelChoice = EVERY_MODEL,
        rows: RowChoice = EVERY_ROW,
    ) -> ModelValues:
        """Return what columns come to over reported models, by a table of others or the tables of a provider.

        Of a provider those tables count that have any of the columns. What a table says of a whole model counts as it
        is. Else the column is summed up over its rows of layers. ``table:column`` names the column of another table or
        provider.

        Args:
            asked: The columns, and what they shall come to.
            table: Source of a table, or a provider.
            models: Which models are meant.
            rows: Which rows of layers count.

        Raises:
            UnknownNameError: There is no such table or column, or nothing fits a name of ``models``.
            UsageError: A model is in several tables of the provider; a column holds texts, or is told of whole models
                where layers are chosen.
            NotStoredError: No reported model is left.
        """
        from ww_core.store import reported_values

        return reported_values.reported_values(self._connection, asked, table, models, rows)

    @readable()
    def reported_origins(self, columns: Collection[str]) -> list[tuple[str, str]]:
        """List the tables that have all of these columns, with their providers; ``table:column`` is of any."""
        from ww_core.store import reported_values

        return reported_values.reported_origins(self._connection, columns)

    @readable()
    def directed_columns(self, profile: str = "", table: str = "") -> list[str]:
        """List the columns of numbers that have a direction: of a profile, or of a table or provider of others."""
        from ww_core.store import model_values, reported_values

        if table:
            return reported_values.directed_columns(self._connection, table)
        return model_values.directed_columns(self._connection, profile)

    @readable()
    def scores_of(
        self, models: Sequence[ModelRow], name: str = "", dataset: str = "", source: str = ""
    ) -> list[StoredScore]:
        """Return the scores of models: of a stored one those of its checkpoint, of a reported one those of its name.

        Args:
            models: The models.
            name: Name of the scores; empty for all.
            dataset: What they were measured on; empty for anything.
            source: Who says so; empty for anybody.
        """
        from ww_core.store import scores

        return scores.scores_of(self._connection, models, name, dataset, source)

    @readable()
    def score_names(self) -> list[str]:
        """List the names of all scores, in order."""
        from ww_core.store import scores

        return scores.score_names(self._connection)

    @readable()
    def series(self, name: str = "") -> list[SeriesMember]:
        """List the members of all series, by name, or of one.

        Raises:
            UnknownNameError: There is no such series.
        """
        from ww_core.store import series

        return series.stored_members(self._connection, name)

    @readable()
    def reported_table(self, table: str, columns: Sequence[str] = ()) -> ValueTable:
        """Return the rows of a table of others, or of all tables of a provider, in order.

        Args:
            table: Source of a table, or a provider.
            columns: Names of columns; empty for all.

        Raises:
            UnknownNameError: There is no such table or column.
        """
        from ww_core.store import reported

        return reported.reported_table(self._connection, table, columns)

    @readable()
    def reported_tables(self) -> list[StoredTable]:
        """List the tables of others that are stored, by source."""
        from ww_core.store import reported

        return reported.stored_tables(self._connection)

    @readable()
    def layer_spectrum(
        self,
        run: int,
        layer: str,
        extractor: str | None = None,
        ref: CheckpointRef | None = None,
        seed: int | None = None,
    ) -> LayerSpectrum:
        """Return the spectra of a layer that a run made or found.

        Args:
            run: Number of the run.
            layer: Name of the layer.
            extractor: Label of the extractor variant; None for the one that summaries speak of.
            ref: The checkpoint under the name that is to be shown; None for the newest it has.
            seed: Seed of the permutations; None for the run's if it has any, else for the newest that is stored.

        Raises:
            UnknownNameError: There is no such layer, or it was not seen through this extractor.
            NotStoredError: There is no spectrum: the run is gone, the layer has none, or they were not kept.
        """
        from ww_core.store import spectra

        return spectra.layer_spectrum(self._connection, run, layer, extractor, ref, seed)

    @readable()
    def spectra(self, subjects: Sequence[str], kind: SpectrumKind) -> dict[str, Spectrum]:
        """Return the stored spectra of one kind by digest of the subject; none where singular values were left out."""
        return values.stored_spectra(self._connection, subjects, kind)

    @readable()
    def with_spectra(self, subjects: Sequence[str], identities: Collection[str]) -> set[str]:
        """Return the digests of those subjects that have a spectrum of these identities, with values or without."""
        return values.with_spectra(self._connection, subjects, identities)
