"""Judge a candidate by rules: the gate of a CI server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ww_core.domain.comparability import Side
from ww_core.domain.name import check_name, texts_of
from ww_core.domain.report import AnalysisReport
from ww_core.domain.rules.judge import judge
from ww_core.domain.rules.reading import parse_rules
from ww_core.domain.rules.verdict import CheckedModel, CheckReport
from ww_core.errors import NotAStoreError, NotStoredError, UsageError
from ww_core.use_cases.baselines import BEST, PREVIOUS, find_baseline, is_sought, report_on
from ww_core.use_cases.naming import Named, installed_plugins, opened_store, opened_with
from ww_core.use_cases.report_files import is_report_file, read_report

if TYPE_CHECKING:
    from ww_core.contracts.observer import RunObserver
    from ww_core.domain.rules.rule import Rule
    from ww_core.plugins.registry import Registry
    from ww_core.store.reader import Reader
    from ww_core.store.store import Store

    Place = Store | str | os.PathLike[str] | None

HOW_TO_GIVE_RULES = (
    "there is no rule: give --rule 'alpha: +5%', or --rules FILE, or write rules = [...] under [tool.ww.check] of "
    "pyproject.toml"
)


def check(
    candidate: object,
    *,
    rules: Sequence[str],
    baseline: object = None,
    store: Store | str | os.PathLike[str] | None = None,
    name: str | None = None,
    profile: str | None = None,
    allow_no_baseline: bool = False,
    registry: Callable[[], Registry] = installed_plugins,
    observers: Sequence[RunObserver] = (),
) -> CheckReport:
    """Judge a candidate by rules, alone or against a baseline.

    Both are named as for `diff`: ``MODEL``, ``MODEL@VERSION`` or a digest prefix; else a path, an address or an object
    such as a dict of arrays, which is analysed and gets no label. A report counts as well: an ``AnalysisReport``, or a
    file that ``ww show MODEL --json`` made.

    Args:
        candidate: What is judged.
        rules: The rules, such as ``"alpha_weighted: +5%"``.
        baseline: What it is compared with: as above; or ``"previous"``, the version before the candidate; or
            ``"best:METRIC"``, the version of the model with the best mean of a column. Rules that do not compare need
            none, and then it is not looked for.
        store: An open store, a path or URL, or None for one in memory.
        name: Name of the model whose versions ``previous`` and ``best`` mean; default that of the candidate.
        profile: Name of the profile; None for that of the newest runs.
        allow_no_baseline: Where the model has no version that ``previous`` or ``best`` could mean, skip what compares.
        registry: Loads plugins, if something is analysed.
        observers: Observers of the analyses.

    Returns:
        The report: what became of each rule.

    Raises:
        UsageError: A rule cannot be read, or there is none, or one that compares and no baseline; or a rule names what
            is not there.
        NotStoredError: Something is neither stored nor a source, or there is no baseline.
        SourceError: Something cannot be read.
        StoreError: The store cannot be read.
    """
    texts = texts_of(rules, "rules")
    if not texts:
        raise UsageError(HOW_TO_GIVE_RULES)
    for what, text in {"the baseline": baseline, "the profile": profile}.items():
        if isinstance(text, str) and not text:
            raise UsageError(f"{what} is empty: name one, or leave it out")
    if name is not None:
        check_name("--name", name)
    parsed = parse_rules(texts)
    wanted = _baseline_of(parsed, baseline)
    second, first, warnings = _sides(
        candidate,
        wanted,
        store=store,
        model=name,
        profile=profile,
        allow_no_baseline=allow_no_baseline,
        registry=registry,
        observers=observers,
    )
    return CheckReport(
        candidate=CheckedModel.of(second),
        baseline=None if first is None else CheckedModel.of(first),
        verdicts=judge(parsed, second, first),
        warnings=warnings,
    )


def _baseline_of(rules: Sequence[Rule], baseline: object) -> object:
    """Return the baseline if a rule needs one.

    Raises:
        UsageError: One does, and there is none.
    """
    comparing = [rule for rule in rules if rule.needs_baseline]
    if not comparing:
        return None
    if baseline is None:
        raise UsageError(
            f"the rule {str(comparing[0])!r} compares with a baseline: give --baseline, as MODEL@VERSION, a path, "
            f"a file of `ww show --json`, {PREVIOUS} or {BEST}METRIC"
        )
    return baseline


def _sides(
    candidate: object,
    baseline: object,
    *,
    store: Place,
    model: str | None,
    profile: str | None,
    allow_no_baseline: bool,
    registry: Callable[[], Registry],
    observers: Sequence[RunObserver],
) -> tuple[Side, Side | None, tuple[str, ...]]:
    """Return the candidate, the baseline if there is one, and what analyses that were made now warned of."""
    second = _given_report(candidate, store)
    first = None if is_sought(baseline) else _given_report(baseline, store)
    if second is not None and is_sought(baseline):
        raise UsageError(f"{second.name} is a report and stands in no order of versions: name the baseline itself")
    if second is not None and (first is not None or baseline is None):
        return second, first, ()
    names = [candidate] if second is None else []
    names += [baseline] if first is None and baseline is not None and not is_sought(baseline) else []
    like = profile or next((side.report.run.profile for side in (first, second) if side is not None), None)
    with (
        opened_with(names, store, profile=like, registry=registry, observers=observers) as (opened, named),
        opened.reading() as reader,
    ):
        warnings = tuple(warning for own in named for warning in own.warnings)
        if second is not None:
            return second, _side(reader, named[0], like), warnings
        own, base = named[0], named[1] if len(named) > 1 else None
        if is_sought(baseline):
            ref = find_baseline(reader, str(baseline), candidate, own, model, profile, registry)
            if ref is None and not allow_no_baseline:
                raise NotStoredError(
                    f"there is no {baseline} version to compare {own.name} with: give another --baseline, "
                    "or --allow-no-baseline for the first version of a model"
                )
            base = None if ref is None else Named(ref.name, ref)
        if base is None:
            return _side(reader, own, like), first, warnings
        old, new = reader.compared(base.ref, own.ref, profile or "")
        return Side(own.name, new.report), Side(base.name, old.report), warnings


def _given_report(what: object, store: Place) -> Side | None:
    """Return a report that is given as such, or by a file whose name is not stored; None for anything else."""
    if isinstance(what, AnalysisReport):
        return Side(f"{what.model}@{what.version}" if what.model else what.source, what)
    path = os.fspath(what) if isinstance(what, str | os.PathLike) else None
    if not isinstance(path, str) or not is_report_file(path) or (isinstance(what, str) and _is_stored(what, store)):
        return None
    return Side(path, read_report(path))


def _is_stored(name: str, store: Place) -> bool:
    with contextlib.suppress(NotStoredError, NotAStoreError):
        with opened_store(store, mode="read") as opened, opened.reading() as reader:
            reader.find(name)
        return True
    return False


def _side(reader: Reader, named: Named, profile: str | None) -> Side:
    return Side(named.name, report_on(reader, named, profile))
