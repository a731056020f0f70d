"""The store of results: open it, read and write it in transactions, close it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from sqlalchemy import Connection, Engine, func, select

from ww_core.domain.answer import AVERAGED
from ww_core.domain.model_values import ModelRow
from ww_core.domain.name import texts_of
from ww_core.domain.report import PLACES, RowScope
from ww_core.domain.score import check_scores
from ww_core.domain.scored import scores_by_model
from ww_core.errors import (
    NotAStoreError,
    NotStoredError,
    ReadOnlyStoreError,
    StoreError,
    UnknownNameError,
    UsageError,
    WWError,
)
from ww_core.store import migrate, naming, tables
from ww_core.store.engine import Location, connect, explained, must_be_immutable, one_at_a_time, prefer_wal
from ww_core.store.journals import check_journals, remove_empty_log
from ww_core.store.new_files import place_of
from ww_core.store.place import ReportPlace
from ww_core.store.reader import Reader
from ww_core.store.records import ScoreFilter
from ww_core.store.rows import readable
from ww_core.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from ww_core.domain.answering import AnsweringRun
    from ww_core.domain.columnar import FeatureTable, ScoreTable, ValueTable
    from ww_core.domain.exchange import FolderExport, FolderImport
    from ww_core.domain.history import History
    from ww_core.domain.layer_spectrum import LayerSpectrum
    from ww_core.domain.report import AnalysisReport
    from ww_core.domain.run import LayerCoverage, StoredRun
    from ww_core.domain.score import Score
    from ww_core.domain.sql_answer import SqlAnswer
    from ww_core.store.exchange.staging import StagedFolder
    from ww_core.store.garbage import Garbage
    from ww_core.store.integrity import Integrity
    from ww_core.store.origins import Distrusted
    from ww_core.store.records import (
        CheckpointRef,
        ColumnOrigin,
        Renamed,
        ScoreCounts,
        SeriesMember,
        StoredLayer,
        StoredTable,
        StoredVersion,
    )

SQLITE_HEADER = 100  # bytes of the smallest file that can be a database


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store is, in numbers.

    Attributes:
        location: Where it lies, without a password.
        dialect: ``sqlite`` or ``postgresql``.
        revision: Revision of its schema.
        size: Bytes on disk, the write-ahead log included; None if it is no file.
        counts: Number of rows by table: model, label, checkpoint, tensor, subject, value, spectrum, run.
    """

    location: str
    dialect: str
    revision: str
    size: int | None
    counts: Mapping[str, int]


class Store:
    """An open store. Close it, or use it as a context manager. Made by `open_store`.

    Any thread may use it. A thread has one transaction at a time: they do not nest.

    Attributes:
        location: Where it lies, without a password.
        in_memory: Whether it is in memory, and ends with the program.
        read_only: Whether it was opened for reading.
    """

    def __init__(self, location: Location, engine: Engine, *, read_only: bool) -> None:
        self.location = str(location)
        self.in_memory = location.in_memory
        self.read_only = read_only
        self._location = location
        self._engine = engine
        self._closed = False
        self._disconnect = weakref.finalize(self, engine.pool.dispose)  # no new pool, as the engine's own would make
        self._thread = threading.local()
        self._turn = threading.Lock() if location.in_memory else contextlib.nullcontext()
        if engine.dialect.name == "postgresql":
            # One snapshot for all queries of a transaction, as SQLite has it.
            self._reader: Engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        else:
            self._reader = engine
        self._writer = engine.execution_options(sqlite_begin="IMMEDIATE", writers="together")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections. Closing twice is no error."""
        self._closed = True
        self._disconnect()
        if self.read_only and self._location.path is not None:
            remove_empty_log(self._location.path)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """A transaction that sees one state of the store and blocks no writer.

        Raises:
            StoreError: The database could not be read; a subclass or the message says why.
            RuntimeError: This thread has a transaction open already.
        """
        with self._reading() as connection:
            yield Reader(connection, self._place())

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """A transaction that writes: committed at the end, undone if an exception leaves it.

        Raises:
            ReadOnlyStoreError: The store was opened for reading, or cannot be written.
            StoreError: The database could not be written; the message says why.
            RuntimeError: This thread has a transaction open already.
        """
        with self._writing() as connection:
            yield Writer(connection, self._place())

    def _place(self) -> ReportPlace:
        # What is in memory lives as long as what speaks of it; a file is opened again.
        return ReportPlace(self.location, self if self.in_memory else self._location)

    def _reading(self) -> AbstractContextManager[Connection]:
        return self._transaction(self._reader)

    def _writing(self) -> AbstractContextManager[Connection]:
        return self._transaction(self._writable(self._writer))

    @contextlib.contextmanager
    def _writing_alone(self) -> Iterator[Connection]:
        """A transaction that writes while no other one does: what it finds unused is unused until its end."""
        lone = self._engine.execution_options(sqlite_begin="IMMEDIATE", writers="alone")
        with self._transaction(self._writable(lone)) as connection, readable():
            yield connection

    def _writable(self, engine: Engine) -> Engine:
        if self.read_only:
            raise ReadOnlyStoreError(f"{self.location} was opened for reading")
        return engine

    @contextlib.contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        if self._closed:
            raise StoreError(f"{self.location} is closed")
        # In memory there is one connection, and with a rollback journal a thread's reader would block its own writer.
        if getattr(self._thread, "busy", False):
            raise RuntimeError("transactions of a store do not nest: end the open one first")
        self._thread.busy = True
        try:
            with self._turn, explained(self._location), engine.begin() as connection:
                yield connection
        finally:
            self._thread.busy = False

    def versions(self) -> list[StoredVersion]:
        """List every version of every model, models by name, versions in their order.

        Raises:
            StoreError: The database could not be read.
        """
        with self.reading() as reader:
            return reader.versions()

    def layers(self, name: str) -> list[StoredLayer]:
        """List the layers of ``MODEL``, ``MODEL@VERSION`` or a digest prefix, with the digests of their tensors.

        Raises:
            NotStoredError: Nothing carries the name.
            StoreError: The database could not be read.
        """
        with self.reading() as reader:
            ref = reader.find(name)
            # Without a label, as the analysis shows them that answers for it.
            return reader.layers(ref.structure if ref.model else reader.runs(ref)[0].structure)

    def report(
        self, name: str, profile: str | None = None, *, variant: str | None = None, run: int | None = None
    ) -> AnalysisReport:
        """Return the newest analysis of ``MODEL``, ``MODEL@VERSION`` or a digest prefix.

        A label answers with its own runs. One whose variants are not the profile's own, or that was asked for some
        metrics or layers only, is returned where there is no other.

        Args:
            name: What names the checkpoint.
            profile: Name of the profile it was analysed under; None for the newest run's.
            variant: Label of a column or an extractor that the run must show, such as ``alpha[ks=two-sided]``.
            run: Number of the run.

        Raises:
            UsageError: The name, the profile or the variant is empty.
            NotStoredError: There is none.
            StoreError: The database could not be read.
        """
        with self.reading() as reader:
            return reader.report(*self._chosen(reader, name, profile, variant, run))

    def origins(
        self, name: str, profile: str | None = None, *, variant: str | None = None, run: int | None = None
    ) -> list[ColumnOrigin]:
        """Tell who made what `report` returns for the same arguments: by which run, program, plugins and BLAS.

        Returns:
            One for each column and origin, columns in order, then spectra; of each the newest run first.

        Raises:
            UsageError: The name, the profile or the variant is empty.
            NotStoredError: There is none.
            StoreError: The database could not be read.
        """
        with self.reading() as reader:
            return reader.origins(self._chosen(reader, name, profile, variant, run)[0])

    def runs(self, name: str, profile: str | None = None) -> list[StoredRun]:
        """List the runs that answer for ``MODEL``, ``MODEL@VERSION`` or a digest prefix.

        Args:
            name: What names the checkpoint.
            profile: Name of the profile it was analysed under; None for any.

        Returns:
            At least one. The first is the one that `report` returns: the newest that ended, with the profile's own
            variants, of all metrics and layers, before others.

        Raises:
            UsageError: The profile is empty.
            NotStoredError: Nothing carries the name, or it was never analysed under the profile.
            StoreError: The database could not be read.
        """
        if profile == "":
            raise UsageError("the profile is empty: name one, or leave it out")
        with self.reading() as reader:
            return reader.described_runs(reader.find(name), profile or "")

    def layer_coverage(
        self, name: str, profile: str | None = None, *, variant: str | None = None, run: int | None = None
    ) -> list[LayerCoverage]:
        """Tell what the run that `report` returns for the same arguments made of each layer by each extractor.

        Returns:
            One for each layer and extractor, in the order of the layers: how many matrices, or why there are none, how
            many eigenvalues, and how long their spectra took.

        Raises:
            UsageError: The name, the profile or the variant is empty.
            NotStoredError: There is none.
            StoreError: The database could not be read.
        """
        with self.reading() as reader:
            return reader.layer_coverage(self._chosen(reader, name, profile, variant, run)[0])

    def _chosen(
        self, reader: Reader, name: str, profile: str | None, variant: str | None, run: int | None
    ) -> tuple[int, CheckpointRef]:
        """Return the number of the run that answers, and the checkpoint under its name."""
        for what, text in {"the profile": profile, "the variant": variant}.items():
            if text == "":
                raise UsageError(f"{what} is empty: name one, or leave it out")
        ref = reader.find(name)
        runs = reader.runs(ref, profile or "", variant or "")
        chosen = [own for own in runs if run in {None, own.number}]
        if not chosen and name not in {ref.model, ref.name}:
            # A digest names content: runs that no label answers for are its runs too.
            ref = ref._replace(model="", version="")
            runs = reader.runs(ref, profile or "", variant or "")
            chosen = [own for own in runs if own.number == run]
        if not chosen:
            numbers = ", ".join(str(own.number) for own in runs[:12])
            raise NotStoredError(f"run {run} is none of {ref.name}: there is {numbers}")
        return chosen[0].number, ref

    def values(
        self,
        columns: Sequence[str],
        models: Sequence[str] = (),
        *,
        scope: RowScope = "matrix",
        profile: str = "default",
    ) -> ValueTable:
        """Return the values of columns for many versions at once, a row for each place of each version.

        They are those that the view ``v_metrics`` shows: the profile's own variants, of complete analyses in force.

        Args:
            columns: Labels of columns, such as ``alpha``.
            models: ``MODEL``, for all its versions, or ``MODEL@VERSION``; empty for all.
            scope: What the rows speak of: ``matrix``, ``layer`` or ``model``.
            profile: Name of the profile.

        Raises:
            UsageError: A name is empty, or the scope is none.
            NotStoredError: Nothing carries a name, or nothing was analysed under the profile.
            UnknownNameError: No analysis has such a column in this scope.
            StoreError: The database could not be read.
        """
        columns, models = texts_of(columns, "columns"), texts_of(models, "models")
        if not columns or not profile:
            raise UsageError("name one column or more, and a profile that is not empty")
        if scope not in PLACES:
            raise UnknownNameError("scope", scope, PLACES)
        with self.reading() as reader:
            return reader.values(columns, scope, profile, models)

    def features(
        self,
        columns: Sequence[str],
        models: Sequence[str] = (),
        *,
        scope: RowScope = "matrix",
        profile: str = "default",
    ) -> FeatureTable:
        """Return the numbers of `values` side by side: a row for each version, a feature for each place and column.

        Raises:
            UsageError: As of `values`.
            StoreError: As of `values`.
        """
        from ww_core.domain.columnar import features_of

        return features_of(self.values(columns, models, scope=scope, profile=profile))

    def history(
        self,
        model: str,
        metrics: Sequence[str] = (),
        layers: Sequence[str] = (),
        *,
        leave_out: str = "",
        profile: str = "default",
        scores: Sequence[str] = (),
    ) -> History:
        """Tell how columns of a model went over its versions.

        They are the profile's own variants of the analyses in force, as the view ``v_metrics`` shows them, of the
        matrices that summaries speak of. Where an older version has another variant of a column than the newest, it
        has no value.

        Args:
            model: Name of the model.
            metrics: Labels of columns of numbers; empty for those of tables for people.
            layers: Globs that choose layers; then means are taken over these, and the model's own metrics are left out.
            leave_out: Label of a bool column, such as ``short_tail``: a matrix of which it holds in any version is left
                out of all.
            profile: Name of the profile.
            scores: Names of scores that were reported about the versions; empty for all.

        Raises:
            UsageError: A name is empty or that of one version, or a column holds texts.
            UnknownNameError: There is no such column, layer or score.
            NotStoredError: There is no such model, or none of its versions has a complete analysis under the profile,
                or one has a score though some were asked for.
            StoreError: The database could not be read.
        """
        metrics, layers = texts_of(metrics, "metrics"), texts_of(layers, "layers")
        scores = texts_of(scores, "scores")
        if not profile:
            raise UsageError("the profile is empty: name one, or leave it out")
        with self.reading() as reader:
            columns = reader.history_columns(model, profile)
            flags = [column.name for column in columns if column.type == "bool"]
            if leave_out and leave_out not in flags:
                raise UnknownNameError("bool column", leave_out, flags, "ww metrics")
            numbers = [column for column in columns if column.type in AVERAGED]
            shown = sorted((own for own in numbers if own.headline is not None), key=lambda own: own.headline or 0)
            labels = list(dict.fromkeys(metrics or [column.name for column in shown or numbers]))
            found = reader.history(model, [*labels, *({leave_out} - {*labels, ""})], profile)
            rows = [ModelRow(model, own.version, own.digest, ()) for own in found.versions]
            reported = scores_by_model(rows, reader.scores_of(rows))
        flag = found.tracks.get(leave_out)
        chosen = found.of(labels).chosen(layers).with_scores(reported, scores)
        return chosen if flag is None else chosen.without(flag)

    def scores(
        self,
        models: Sequence[str] = (),
        *,
        names: Sequence[str] = (),
        datasets: Sequence[str] = (),
        sources: Sequence[str] = (),
    ) -> ScoreTable:
        """Return the scores that were reported, of stored models and of reported ones; what is empty chooses all.

        Args:
            models: ``MODEL``, for all its versions, ``MODEL@VERSION``, or digest prefixes of stored ones.
            names: Names of scores, such as ``top1_error``.
            datasets: Datasets.
            sources: Who says so.

        Raises:
            NotStoredError: A model is neither stored nor reported.
            StoreError: The database could not be read.
        """
        chosen = _score_filter(models, names, datasets, sources)
        with self.reading() as reader:
            return reader.scores(chosen)

    def add_scores(
        self, scores: Iterable[Score], *, correct: bool = False, without_weights: bool = False
    ) -> ScoreCounts:
        """Store scores of models, all or none. A stored model wins over a reported one of its name.

        Args:
            scores: The scores.
            correct: Whether another number for what is stored already replaces it; what it was is kept.
            without_weights: Whether names that are not stored are those of models without weights.

        Raises:
            UsageError: A score cannot be stored, or is given twice; or it is stored with another number, and
                ``correct`` is not set; or two names of the same weights have different numbers; or nothing says which
                direction is better.
            NotStoredError: Models are neither stored nor reported.
            StoreError: The database could not be written.
        """
        given = tuple(scores)
        check_scores(given)  # before anybody has to wait
        with self.writing() as writer:
            return writer.record_scores(given, correct=correct, without_weights=without_weights)

    def remove_scores(
        self,
        models: Sequence[str] = (),
        *,
        names: Sequence[str] = (),
        datasets: Sequence[str] = (),
        sources: Sequence[str] = (),
    ) -> ScoreTable:
        """Remove scores, with what they replaced, and return them. Arguments are those of `scores`.

        A score belongs to weights: it goes, and is returned, under every name that they have.

        Raises:
            UsageError: Nothing is chosen.
            NotStoredError: A model is neither stored nor reported.
            StoreError: The database could not be written.
        """
        chosen = _score_filter(models, names, datasets, sources)
        if not any(chosen):
            raise UsageError("nothing says which scores to remove: name models, names, datasets or sources")
        from ww_core.store import scores

        with self._writing_alone() as connection:
            return scores.remove_scores(connection, chosen)

    def reported_table(self, table: str, columns: Sequence[str] = ()) -> ValueTable:
        """Return the rows of a table of others, as it was imported, or of all tables of a provider.

        Args:
            table: Source of a table, or a provider.
            columns: Names of columns; empty for all.

        Returns:
            Its places are ``model``, ``version``, ``layer`` (empty for a row that speaks of the whole model),
            ``source`` and ``table_row``; its variants are the definitions of the columns.

        Raises:
            UnknownNameError: There is no such table or column.
            StoreError: The database could not be read.
        """
        with self.reading() as reader:
            return reader.reported_table(table, texts_of(columns, "columns"))

    def reported_tables(self) -> list[StoredTable]:
        """List the tables of others that are stored, by source.

        Raises:
            StoreError: The database could not be read.
        """
        with self.reading() as reader:
            return reader.reported_tables()

    def series(self, name: str = "") -> list[SeriesMember]:
        """List the members of all series, by name, or of one.

        Raises:
            UnknownNameError: There is no such series.
            StoreError: The database could not be read.
        """
        with self.reading() as reader:
            return reader.series(name)

    def add_to_series(self, name: str, models: Sequence[str]) -> None:
        """Make models members of a series, which is made if it is new. A stored model wins over a reported one.

        Raises:
            UsageError: The name of the series cannot be used, or no model is named.
            NotStoredError: There is no such model, stored or reported.
            StoreError: The database could not be written.
        """
        given = texts_of(models, "models")
        if not given:
            raise UsageError("no model is named: name one or more")
        with self.writing() as writer:
            writer.record_members(name, given)

    def remove_from_series(self, name: str, models: Sequence[str] = ()) -> list[SeriesMember]:
        """Take models out of a series, all of them for none, and return those that were members.

        A series that has no member left is gone.

        Raises:
            UnknownNameError: There is no such series.
            NotStoredError: There is no such model, stored or reported.
            StoreError: The database could not be written.
        """
        from ww_core.store import series

        given = texts_of(models, "models")
        with self._writing_alone() as connection:
            return series.remove_members(connection, name, given)

    def spectrum(
        self,
        name: str,
        layer: str,
        extractor: str | None = None,
        *,
        profile: str | None = None,
        seed: int | None = None,
    ) -> LayerSpectrum:
        """Return the spectra of a layer, one for each matrix.

        They are those of the newest analysis that has them, whole analyses before others.

        Args:
            name: What names the checkpoint: ``MODEL``, ``MODEL@VERSION`` or a digest prefix.
            layer: Name of the layer.
            extractor: Label of the extractor variant, such as ``slice``; None for the one that summaries speak of.
            profile: Name of the profile it was analysed under; None for any.
            seed: Seed of the permutations; None for the run's if it has any, else for the newest that is stored.

        Raises:
            UsageError: A name is empty.
            UnknownNameError: There is no such layer, or no analysis saw it through this extractor.
            NotStoredError: Nothing carries the name, or no spectrum is stored; the message says why.
            StoreError: The database could not be read.
        """
        answer = self.spectra(name, [layer], extractor, profile=profile, seed=seed)[layer]
        if isinstance(answer, NotStoredError):
            raise answer
        return answer

    def spectra(
        self,
        name: str,
        layers: Sequence[str],
        extractor: str | None = None,
        *,
        profile: str | None = None,
        seed: int | None = None,
    ) -> dict[str, LayerSpectrum | NotStoredError]:
        """Return the spectra of several layers by their names, each as `spectrum` does, or the error that it has none.

        Args:
            name: As of `spectrum`, as are all others.
            layers: Names of layers.
            extractor: Label of the extractor variant.
            profile: Name of the profile.
            seed: Seed of the permutations.

        Raises:
            UsageError: A name is empty.
            UnknownNameError: There is no such layer, or no analysis saw it through this extractor.
            NotStoredError: Nothing carries the name.
            StoreError: The database could not be read.
        """
        named = [("the extractor", extractor), ("the profile", profile), *(("the layer", layer) for layer in layers)]
        for what, text in named:
            if text == "":
                raise UsageError(f"{what} is empty: name one, or leave it out")
        found: dict[str, LayerSpectrum | NotStoredError] = {}
        with self.reading() as reader:
            ref = reader.find(name)
            runs = reader.runs(ref, profile or "")
            for layer in layers:
                try:
                    found[layer] = _newest_spectrum(reader, runs, layer, extractor, ref, seed)
                except NotStoredError as error:
                    found[layer] = error
        return found

    def sql(self, query: str, *, seconds: float = 10.0, rows: int = 10_000) -> SqlAnswer:
        """Answer a query in SQL, which reads the store and changes nothing.

        The views that ``ww sql`` lists are made for it.

        Args:
            query: One SELECT, in the SQL of the store's database.
            seconds: How long it may take.
            rows: How many rows to return at most; the answer says whether there are more.

        Raises:
            UsageError: The query is not one SELECT, cannot be run, takes longer, or answers more than memory has.
            UnknownNameError: It names a view, table or column that is not there.
            StoreError: The database could not be read.
        """
        from ww_core.store import sql

        with self._reading() as connection:
            return sql.ask(connection, self._location, query, seconds=seconds, rows=rows)

    def set_step(self, name: str, step: int | None) -> None:
        """Give ``MODEL@VERSION`` its place among the versions of the model, which are in the order of their steps.

        Args:
            name: ``MODEL@VERSION``.
            step: The place; None takes it away: versions of which one has none are in the order of recording.

        Raises:
            UsageError: The name is no ``MODEL@VERSION``, or the step is not a whole number that can be stored.
            NotStoredError: Nothing carries the name.
            StoreError: The database could not be written.
        """
        with self.writing() as writer:
            writer.set_step(name, step)

    def forget(self, *names: str) -> list[CheckpointRef]:
        """Take the labels away that ``MODEL``, for all its versions, or ``MODEL@VERSION`` name.

        What was computed belongs to content and stays, until `collect_garbage`.

        Returns:
            The versions that were forgotten.

        Raises:
            NotStoredError: Nothing carries one of the names; nothing is forgotten.
            StoreError: The database could not be written.
        """
        with self._writing_alone() as connection:
            return naming.forget(connection, names)

    def rename(self, old: str, new: str) -> Renamed:
        """Give ``MODEL`` or ``MODEL@VERSION`` another name of the same form; a version may go to another model.

        Raises:
            NotStoredError: Nothing carries the old name.
            UsageError: The new name is in use, cannot be used, or has another form than the old one.
            StoreError: The database could not be written.
        """
        with self._writing_alone() as connection:
            return naming.rename(connection, old, new)

    def count_garbage(self) -> Garbage:
        """Count what `collect_garbage` would remove.

        Raises:
            StoreError: The database could not be read.
        """
        from ww_core.store import garbage

        size = _size(self._location.path)
        with self._reading() as connection:
            return garbage.Garbage(garbage.count_garbage(connection), *garbage.count_runs(connection), size, size)

    def collect_garbage(self) -> Garbage:
        """Remove what nothing points at, and make a file smaller, unless a run is going on.

        Any program may use the store meanwhile, and no run that is going on loses anything.

        Raises:
            StoreError: The database could not be written; or, if the message says so, all was removed, and there is no
                room to make the file smaller.
        """
        from ww_core.store import garbage

        before = _size(self._location.path)
        with self._writing_alone() as connection:
            killed = garbage.mark_killed(connection)
        removed = garbage.remove_garbage(self._reading, self._writing_alone)
        with self._reading() as connection:
            _, going_on = garbage.count_runs(connection)
        # Meanwhile nobody can write, and of a large file it takes longer than other writers wait.
        if self._location.path is not None and not going_on:
            try:
                with explained(self._location):
                    garbage.shrink(self._location.path)
            except StoreError as error:
                raise StoreError(
                    f"what nothing points at was removed, but the file is as large as before: {error}"
                ) from error
        return garbage.Garbage(removed, killed, going_on, before, _size(self._location.path))

    def backup(self, target: str | os.PathLike[str]) -> int:
        """Copy a store, also one that is in use, to a new file; it is a store as well. The file is whole or not there.

        Args:
            target: Path of the copy.

        Returns:
            Bytes of the copy.

        Raises:
            UsageError: There is something at ``target`` already, or the store is on a server.
            StoreError: The copy cannot be made; the message says why.
        """
        from ww_core.store import backup

        if self._location.url is not None:
            raise UsageError(f"{self.location} is on a server: back it up with `pg_dump`")
        with self._reading() as connection:
            return backup.copy_store(connection, place_of(target))

    def export_folder(
        self, path: str | os.PathLike[str], models: Sequence[str] = (), *, replace: bool = False
    ) -> FolderExport:
        """Write what is stored into a folder that another store takes without loss; it is whole or not there.

        Args:
            path: The folder, which is made.
            models: ``MODEL``, for all its versions, or ``MODEL@VERSION``, that go along with all that belongs to them;
                empty for the whole store.
            replace: Whether an export that is there already gives way.

        Raises:
            UsageError: There is something at ``path`` already, and it does not give way.
            NotStoredError: Nothing carries a name.
            OutputError: The folder cannot be written.
            StoreError: The database could not be read.
        """
        from ww_core.store.exchange import writing

        names = texts_of(models, "models")
        with self._reading() as connection:
            return writing.export_folder(connection, place_of(path), names, replace=replace)

    def import_folder(self, path: str | os.PathLike[str], *, rename: Mapping[str, str] | None = None) -> FolderImport:
        """Add what an export folder has, and is missing here; all of it, or nothing.

        What is here stays as it is; of what both have, the newer analysis is in force. The same folder again adds
        nothing. Everything in the folder is checked first, apart from the store.

        Args:
            path: The folder.
            rename: New names of models and versions of the folder, by their names there: ``MODEL`` or
                ``MODEL@VERSION``.

        Returns:
            What was added.

        Raises:
            SourceError: There is no such folder, it cannot be read, or is not as it was exported.
            SchemaTooNewError: It was made by a newer program.
            UsageError: A label of the folder stands on something else here, or a new name cannot be used.
            NotStoredError: The folder has nothing of a name that is to be another one.
            StoreError: The database could not be written.
        """
        from ww_core.store.exchange.staging import staged

        with staged(path, rename) as folder:
            return self.import_staged(folder)

    def import_staged(self, folder: StagedFolder) -> FolderImport:
        """Add what a folder has that was read and checked already. As `import_folder`.

        Raises:
            UsageError: A label of the folder stands on something else here.
            StoreError: The database could not be written.
        """
        from ww_core.domain.exchange import FolderImport
        from ww_core.store.exchange.merging import merge

        with folder.reading() as source, self._writing_alone() as target:
            added = merge(source, target)
        return FolderImport(folder.path, folder.digest, folder.rows, dict(added))

    def verify(self) -> Integrity:
        """Check whether the store holds what it says, as far as it can tell without the weights.

        Raises:
            StoreError: The database could not be read at all.
        """
        from ww_core.store import integrity

        with self._reading() as connection:
            return integrity.verify_store(connection)

    def distrust(self, plugin: str, version: str = "") -> Distrusted:
        """Take back what a plugin had a hand in, so that it is computed again, and what follows from that too.

        ``analyze`` computes it from the weights, and ``backfill`` what follows from the spectra that are left.

        Args:
            plugin: Name of the plugin, or of the distribution that it came with.
            version: Version of the distribution; empty for all.

        Returns:
            How many values and spectra were removed, and how many tensors of files will be read again.

        Raises:
            UsageError: The name is empty.
            NotStoredError: Nothing that is stored came of it; nothing is changed.
            StoreError: The database could not be written.
        """
        from ww_core.store import origins

        if not plugin:
            raise UsageError("the name of the plugin is empty: give PLUGIN or PLUGIN==VERSION")
        with self._writing_alone() as connection:
            removed = origins.distrust(connection, plugin, version)
        self.rebuild_summaries()
        return removed

    def rebuild_summaries(self) -> int:
        """Write summaries anew that are missing or say something else than the values they are made of.

        Returns:
            How many checkpoints had such.

        Raises:
            StoreError: The database could not be written.
        """
        from ww_core.store import integrity

        return integrity.rebuild_summaries(self._reading, self._writing)

    def info(self) -> StoreInfo:
        """Count what is stored.

        Raises:
            StoreError: The database could not be read.
        """
        counted = ("model", "label", "checkpoint", "tensor", "subject", "value", "spectrum", "run")
        counts = [select(func.count()).select_from(tables.metadata.tables[name]).scalar_subquery() for name in counted]
        with self._reading() as connection:
            numbers = connection.execute(select(*counts)).one()
        return StoreInfo(
            location=self.location,
            dialect=self._engine.dialect.name,
            revision=migrate.SCHEMA_HEAD,
            size=_size(self._location.path),
            counts=dict(zip(counted, numbers, strict=True)),
        )


def _score_filter(
    models: Sequence[str], names: Sequence[str], datasets: Sequence[str], sources: Sequence[str]
) -> ScoreFilter:
    given = {"models": models, "names": names, "datasets": datasets, "sources": sources}
    return ScoreFilter(**{what: texts_of(texts, what) for what, texts in given.items()})


def open_store(location: str | os.PathLike[str] | None = None, *, mode: Literal["write", "read"] = "write") -> Store:
    """Open a store.

    For writing, a missing store is made, and an older one is upgraded after a copy of its file was taken. For
    reading, nothing is made or changed.

    Args:
        location: A path, ``sqlite:///path`` or a ``postgresql://`` URL. None is a new store in memory.
        mode: ``"write"`` or ``"read"``.

    Raises:
        NotAStoreError: There is no store to read, or something else is in its place.
        SchemaTooNewError: The store was made by a newer program.
        SchemaTooOldError: It was made by an older one, and is opened for reading.
        ReadOnlyStoreError: The place cannot be written, and is opened for writing.
        StoreError: The store cannot be opened; the message says why.
        MissingExtraError: psycopg is not installed, and the store is on a PostgreSQL server.
    """
    if mode not in {"write", "read"}:
        raise ValueError(f"mode is 'write' or 'read', not {mode!r}")
    where = Location.of(location)
    engine = _open_for_reading(where) if mode == "read" else _open_for_writing(where)
    return Store(where, engine, read_only=mode == "read")


def reopened(where: Location) -> Store:
    """Open a store for reading that was open before.

    Raises:
        NotAStoreError: It is gone, or something else is in its place.
        StoreError: As of `open_store`.
    """
    return Store(where, _open_for_reading(where), read_only=True)


def open_existing_store(location: str | os.PathLike[str]) -> Store:
    """Open a store for writing that is there: where there is none, none is made.

    Raises:
        NotAStoreError: There is no store, or something else is in its place.
        StoreError: As of `open_store`.
        MissingExtraError: As of `open_store`.
    """
    where = Location.of(location)
    if where.path is not None:
        _check_file(where.path)
        _check_writable(where.path, where.path.parent)
    engine = connect(where)
    try:
        with explained(where), engine.connect() as connection:
            migrate.existing_revision(connection, where)
    finally:
        engine.dispose()
    return open_store(location)


def upgrade_store(location: str | os.PathLike[str]) -> tuple[str, str, Path | None]:
    """Bring an existing store to this program's schema.

    Returns:
        Its revision before and after, and the copy of the file as it was, if one was made.

    Raises:
        NotAStoreError: There is no store.
        SchemaTooNewError: The store was made by a newer program.
        StoreError: The store could not be upgraded, and is as it was.
    """
    where = Location.of(location)
    if where.path is not None:
        _check_file(where.path)
        _check_writable(where.path, where.path.parent)
    engine = connect(where)
    try:
        with explained(where), engine.connect() as connection:
            before = migrate.existing_revision(connection, where)
        copy = None if before == migrate.SCHEMA_HEAD else migrate.upgrade(engine, where)
    finally:
        engine.dispose()
    return before, migrate.SCHEMA_HEAD, copy


def _newest_spectrum(
    reader: Reader,
    runs: Sequence[AnsweringRun],
    layer: str,
    extractor: str | None,
    ref: CheckpointRef,
    seed: int | None,
) -> LayerSpectrum:
    first: WWError | None = None
    for run in runs:
        try:
            return reader.layer_spectrum(run.number, layer, extractor, ref, seed)
        except (UnknownNameError, NotStoredError) as error:
            first = first or error
    raise first or AssertionError("runs are at least one")


def _open_for_reading(where: Location) -> Engine:
    if where.in_memory:
        raise NotAStoreError("a new store in memory has nothing to read: open it for writing")
    immutable = False
    if where.path is not None:
        _check_file(where.path)
        with explained(where):
            immutable = must_be_immutable(where.path)
    engine = connect(where, read_only=True, immutable=immutable)
    with _disposed_on_failure(engine), explained(where), engine.connect() as connection:
        migrate.check_readable(connection, where)
    return engine


def _open_for_writing(where: Location) -> Engine:
    if where.path is not None:
        _make_room(where.path)
    engine = connect(where)
    with _disposed_on_failure(engine):
        if where.in_memory:
            migrate.copy_empty_store(engine)
            return engine
        with one_at_a_time(where):
            with explained(where), engine.connect() as connection:
                revision = migrate.current_revision(connection, where)
            if revision is None and where.path is not None:
                with explained(where):
                    prefer_wal(where.path)
            if revision != migrate.SCHEMA_HEAD:
                migrate.upgrade(engine, where)
    return engine


@contextlib.contextmanager
def _disposed_on_failure(engine: Engine) -> Iterator[None]:
    try:
        yield
    except BaseException:
        engine.dispose()
        raise


def _check_file(path: Path) -> None:
    # Only looked at, not opened: closing it again would drop the locks of a store that this process has open there.
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise NotAStoreError(f"there is no store at {path}: `ww analyze` makes one") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise NotAStoreError(f"{path} is a folder or a device: a store is a file")
    if 0 < status.st_size < SQLITE_HEADER:  # SQLite takes a file of one byte for an empty one
        raise NotAStoreError(f"{path} is not a ww store: it is not a SQLite database")
    check_journals(path)


def _make_room(path: Path) -> None:
    """Make the folder of a store that may be missing, and check what is in its place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        missing = not path.exists()
    except OSError as error:
        kind = ReadOnlyStoreError if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS} else StoreError
        raise kind(f"no store can be made at {path}: {error.strerror}") from error
    if missing:
        check_journals(path)
        _check_writable(path.parent)
    else:
        _check_file(path)
        _check_writable(path, path.parent)


def _check_writable(*places: Path) -> None:
    for place in places:  # the folder too: SQLite keeps its journal there
        if not os.access(place, os.W_OK):
            raise ReadOnlyStoreError(f"{place} is read-only for this user: a store is written in place")


def _size(path: Path | None) -> int | None:
    if path is None:
        return None
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)
