"""What a store is told, in one transaction, in the words of the domain."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from ww_core.domain.name import check_name
from ww_core.domain.score import check_scores
from ww_core.store import families, files, identities, naming, reported, runs, structures, summaries, values
from ww_core.store import scores as score_rows
from ww_core.store import series as series_rows
from ww_core.store.reader import Reader
from ww_core.store.records import CheckpointRef, Labelled
from ww_core.store.rows import readable

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from ww_core.domain.answer import RunEnd
    from ww_core.domain.column import Column
    from ww_core.domain.outcome import Outcome
    from ww_core.domain.report import Aggregate
    from ww_core.domain.reported_table import ReportedTable
    from ww_core.domain.score import Score
    from ww_core.domain.subject import ModelSubject
    from ww_core.store.keys import Keys
    from ww_core.store.place import ReportPlace
    from ww_core.store.records import (
        CheckpointRecord,
        DerivationRecord,
        IdentityRecord,
        ImportedTable,
        LabelRecord,
        OriginRecord,
        Result,
        RunRecord,
        ScoreCounts,
    )
    from ww_core.store.runs import OpenRun


class Writer(Reader):
    """Writes to a store, and reads what it wrote. Made by `Store.writing`; of no use after that transaction.

    All of it may run twice, and in several processes at once: what is there already is found.
    """

    def __init__(self, connection: Connection, place: ReportPlace) -> None:
        super().__init__(connection, place)
        self._keys: dict[str, Keys] = {}

    # --- weights and their names --------------------------------------------------------------------------------------

    @readable()
    def record_checkpoint(self, record: CheckpointRecord, label: LabelRecord) -> Labelled:
        """Store a checkpoint as its source presents it, under a label.

        A label stands on a checkpoint and its structure, and stays there, unless ``label.move`` lets it go; or these
        weights could not all be read before; or more of the same weights is known now, from the same source.

        Raises:
            UsageError: The label stands on something else, or a default name is that of another network.
        """
        structure, keys = self._record_weights(record)
        version, notice = naming.record_label(self._connection, label, record, keys)
        return Labelled(CheckpointRef(record.digest, structure, label.model, version), notice)

    @readable()
    def record_unlabelled(self, record: CheckpointRecord) -> CheckpointRef:
        """Store a checkpoint as its source presents it, without a name: what is stored of it belongs to content."""
        return CheckpointRef(record.digest, self._record_weights(record)[0])

    def _record_weights(self, record: CheckpointRecord) -> tuple[str, Keys]:
        structure, keys = structures.record_checkpoint(self._connection, record)
        self._keys[structure] = keys
        return structure, keys

    @readable()
    def record_digests(self, host: str, path: str, digests: Mapping[str, tuple[str, str]]) -> None:
        """Remember (stamp, digest) of the tensors of a file, by tensor name."""
        files.record_digests(self._connection, host, path, digests)

    @readable()
    def set_step(self, name: str, step: int | None) -> None:
        """Give ``MODEL@VERSION`` its place among the versions of its model; None takes it away.

        Raises:
            UsageError: The name is no ``MODEL@VERSION``, or the step is not a whole number that can be stored.
            NotStoredError: Nothing carries the name.
        """
        naming.set_step(self._connection, name, step)

    # --- a run --------------------------------------------------------------------------------------------------------

    @readable()
    def follow_identities(self, records: Sequence[IdentityRecord]) -> None:
        """Let the columns of stored identities be called and described as they are today; no identity is added."""
        identities.follow_identities(self._connection, records)

    @readable()
    def begin_run(self, record: RunRecord, ref: CheckpointRef) -> OpenRun:
        """Store what was asked, what is covered, and that a run has begun.

        Args:
            record: The run.
            ref: The stored checkpoint, under the name that the run answers for, if it has one.
        """
        keys = self._keys.get(ref.structure) or structures.stored_keys(self._connection, ref.structure)
        return runs.begin_run(self._connection, record, ref, keys)

    @readable()
    def record_results(self, run: OpenRun, results: Sequence[Result], *, keep_spectra: bool, blas: str = "") -> None:
        """Store what was computed. Subjects, spectra and values that are there already stay as they are.

        Args:
            run: The run that computed it.
            results: What was computed.
            keep_spectra: Whether the singular values are stored, too.
            blas: What did the linear algebra.
        """
        values.record_results(self._connection, run, results, keep_spectra=keep_spectra, blas=blas)

    @readable()
    def record_model(self, run: OpenRun, subject: ModelSubject) -> None:
        """Let an analysis point at the subject of its model metrics, which is stored."""
        values.record_model_subject(self._connection, run, subject)

    @readable()
    def record_summaries(self, run: OpenRun, found: Mapping[str, Aggregate], partial: Collection[str]) -> None:
        """Store aggregates by column label, in place of what stood there.

        Args:
            run: The run that made them.
            found: Aggregates by label.
            partial: Labels of which something is missing that a complete run would hold.
        """
        summaries.record_summaries(self._connection, run.analysis, run.selection, found, partial)

    @readable()
    def finish_run(self, run: OpenRun, end: RunEnd) -> None:
        """Write how a run ended, with its failures and warnings; called again, it adds what came later.

        If it is done, its analysis is in force for its label, unless the label has left these weights meanwhile.
        """
        runs.finish_run(self._connection, run.number, end)

    # --- what others say ----------------------------------------------------------------------------------------------

    @readable()
    def record_members(self, series: str, models: Sequence[str]) -> None:
        """Make models members of a series, which is made if it is new. A stored model wins over a reported one.

        Raises:
            UsageError: The name of the series cannot be used.
            NotStoredError: There is no such model, stored or reported.
        """
        check_name("the series", series)
        series_rows.record_members(self._connection, series, models)

    @readable()
    def record_reported_table(self, table: ReportedTable, *, replace: bool = False) -> ImportedTable:
        """Store a table of others, with its models, series and scores, unless it is stored already.

        Args:
            table: The table, whose names and scores can be stored.
            replace: Whether another table of the same source gives way to it.

        Raises:
            UsageError: There is another table of the same source, and ``replace`` is not set.
        """
        return reported.record_reported_table(self._connection, table, replace=replace)

    @readable()
    def remove_reported_table(self, source: str) -> int:
        """Remove the rows of a table of others, and return how many there were.

        Models, series and scores that came with it stay.

        Raises:
            UnknownNameError: There is no such table.
        """
        return reported.remove_reported_table(self._connection, source)

    @readable()
    def record_scores(
        self, scores: Sequence[Score], *, correct: bool = False, without_weights: bool = False
    ) -> ScoreCounts:
        """Store scores of models. A stored model wins over a reported one of its name.

        Args:
            scores: The scores.
            correct: Whether another number for what is stored already replaces it; what it was is kept.
            without_weights: Whether names that are not stored are those of models without weights.

        Raises:
            UsageError: A score cannot be stored.
            ScoreError: A score is given twice; or it is stored with another number, and ``correct`` is not set; or two
                names of the same weights have different numbers; or nothing says which direction is better.
            UnknownModelsError: Models are neither stored nor reported.
        """
        check_scores(scores)
        return score_rows.record_scores(self._connection, scores, correct=correct, without_weights=without_weights)

    @readable()
    def record_pair(self, first: str, second: str) -> str:
        """Store the pair of two subjects, named by their digests, and return its own.

        Raises:
            NotStoredError: One of them is not stored.
        """
        return families.record_pair(self._connection, first, second)

    @readable()
    def record_derivation(self, record: DerivationRecord) -> None:
        """Store how a checkpoint was made.

        Raises:
            NotStoredError: The checkpoint is not stored.
        """
        families.record_derivation(self._connection, record)

    @readable()
    def record_table(
        self,
        subject: str,
        identity: str,
        columns: Sequence[Column],
        rows: Sequence[Mapping[str, Outcome]],
        origin: OriginRecord | None = None,
    ) -> None:
        """Store the rows of named columns that a metric has of a subject, unless it has some already.

        Args:
            subject: Digest of the subject.
            identity: Digest of the metric's identity.
            columns: The columns.
            rows: Outcomes by key of the column, in order.
            origin: Who made them; None if that is not known.

        Raises:
            NotStoredError: The subject or the identity is not stored.
        """
        families.record_table(self._connection, subject, identity, columns, rows, origin)
