"""The help of every command: its first sentence fits its line, and it ends with examples that run."""

import json
import shlex

import numpy as np
import pytest
import typer.main
from safetensors.numpy import save_file

from ww_core.cli.main import app

ROOM = 78
"""Columns that a help text takes on a terminal of 80."""

ALONE = {"zoo", "predictor", "serve"}
"""Commands that their own tests run: their examples need a zoo, or serve until somebody ends them."""

SCORES = """model,name,value,direction,source
third,top1_error,20,lower,paper
fourth,top1_error,21,lower,paper
other,top1_error,25,lower,paper
"""

FIRST = ["scores import", "scores add", "series add"]
"""Commands that store what the examples of others ask for."""

LAST = ["scores remove", "series remove", "label", "db distrust", "forget", "rename", "db gc"]
"""Commands that take away what the examples of others ask for, in the order in which their examples can run."""


def walk(command, context, name=()):
    """Yield every group and command below, with its names and the context it is found in."""
    for below in command.list_commands(context):
        found = command.get_command(context, below)
        yield (*name, below), found, command
        if hasattr(found, "list_commands"):
            yield from walk(
                found, found.make_context(below, [], parent=context, resilient_parsing=True), (*name, below)
            )


@pytest.fixture(scope="module")
def commands():
    """Every group and command by its names, with the group that lists it."""
    program = typer.main.get_command(app)
    context = program.make_context("ww", [], resilient_parsing=True)
    return {" ".join(name): (command, group) for name, command, group in walk(program, context)}


def examples_of(command):
    return [line.strip() for line in (command.epilog or "").splitlines() if line.startswith("  ")]


def is_group(command):
    return hasattr(command, "list_commands")


def test_each_first_sentence_fits_its_line(commands):
    for name, (command, _) in commands.items():
        longest = max(len(other.rpartition(" ")[2]) for other in commands if other.count(" ") == name.count(" "))
        shown = command.get_short_help_str(ROOM - 6 - longest)
        assert shown.endswith("."), name
        assert not shown.endswith("..."), name


def test_no_line_of_a_listing_of_commands_is_cut(commands, ww_here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("", *(name for name, (command, _) in commands.items() if is_group(command))):
        _, _, listed = ww_here(*name.split(), "--help").stdout.partition("\nCommands:\n")
        assert listed
        assert not [line for line in listed.splitlines() if line.endswith("...")], name


def test_each_command_has_examples_that_parse(commands):
    program = typer.main.get_command(app)
    for name, (command, _) in commands.items():
        lines = examples_of(command)
        assert is_group(command) or 1 <= len(lines) <= 3, name
        for line in lines:
            assert len(line) <= ROOM - 4, line
            assert line == f"ww {name}" or line.startswith(f"ww {name} "), line
            context = program.make_context("ww", shlex.split(line)[1:])
            while is_group(context.command) and (words := [*context._protected_args, *context.args]):
                first, *rest = words
                context = context.command.get_command(context, first).make_context(first, rest, parent=context)
            assert context.command.name == command.name


def test_examples_are_the_last_lines_of_the_help(ww_here):
    lines = ww_here("metrics", "--help").stdout.rstrip().splitlines()
    assert lines[-3:] == ["  Examples:", "    ww metrics", "    ww metrics alpha"]


@pytest.mark.stress
def test_examples_run(commands, ww_here, weights, tmp_path):
    random = np.random.Generator(np.random.Philox(9))
    save_file(weights, tmp_path / "net.safetensors")
    assert ww_here("analyze", "net.safetensors", "--version", "1").returncode == 0
    for name in ("third", "fourth", "other", "net"):
        changed = {
            key: value + random.standard_normal(value.shape).astype(value.dtype) for key, value in weights.items()
        }
        save_file(changed, tmp_path / f"{name}.safetensors")
        assert name == "net" or ww_here("analyze", f"{name}.safetensors").returncode == 0
    traps = ("--metrics", "alpha,stable_rank,alpha_weighted,log_norm,correlation_traps")
    assert ww_here("analyze", "net.safetensors", "--version", "2", *traps).returncode == 0
    (tmp_path / "report.json").write_text(ww_here("show", "net@1", "--json").stdout)
    (tmp_path / "scores.csv").write_text(SCORES)
    ordered = sorted(commands, key=lambda name: LAST.index(name) if name in LAST else -1 - (name in FIRST))
    for name in ordered:
        if name.partition(" ")[0] in ALONE:
            continue
        for line in examples_of(commands[name][0]):
            done = ww_here(*shlex.split(line)[1:])
            assert done.returncode in ((0, 1) if name == "check" else (0,)), (line, done.stderr)
    assert json.loads(ww_here("show", "--json").stdout)


def test_the_module_is_the_program(ww_program):
    for words in (["--help"], ["show", "--no-such"], ["zoo", "--help"]):
        done = ww_program(*words)
        assert (done.stdout + done.stderr).startswith(
            f"Usage: ww {'' if words[0] == '--help' else words[0] + ' '}[OPTIONS]"
        )
        assert "__main__" not in done.stdout + done.stderr
