"""The public door: what ``ww_core`` names, it has."""

import re

import ww_core
from ww_core import errors


def test_every_public_name_resolves_and_is_listed():
    assert set(ww_core.__all__) == set(ww_core._HOME_OF)
    for name in ww_core.__all__:
        assert getattr(ww_core, name) is not None
    assert set(ww_core.__all__) <= set(dir(ww_core))


def test_every_error_is_public():
    assert set(errors.__all__) <= set(ww_core.__all__)


def test_the_error_tree_is_drawn_as_it_is():
    drawn = {re.sub(r"^[ │├└─]*", "", line).split(" ")[0]: line for line in errors.__doc__.splitlines() if line.strip()}
    for name in errors.__all__:
        assert name in drawn
        code = getattr(getattr(errors, name), "exit_code", None)
        if code is not None:
            assert re.search(rf"{name} +{code}\b", drawn[name])
