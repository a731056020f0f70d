"""A program that answers line by line, in a process of its own that is ended where an answer takes too long."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

SECONDS = 10.0
"""For one answer."""


class Watched:
    """Asks a program, and starts it anew where it died or hung.

    Args:
        program: The Python file that answers a line of JSON with a line of JSON.
        folder: Where it runs.
        warm: What it is asked first, without a limit of time, whenever it starts.
    """

    def __init__(self, program: Path, folder: Path, warm: list[Any]) -> None:
        self._program = program
        self._folder = folder
        self._warm = warm
        self._process: subprocess.Popen[str] | None = None

    def ask(self, question: Any) -> dict[str, str]:
        """Return the answer; of a program that gives none, what is wrong with it."""
        process = self._process or self._start()
        answer = self._answer(process, question, SECONDS)
        if answer is None:
            process.kill()
            self.close()
            died = process.returncode
            wrong = f"no answer in {SECONDS:g} s" if died == -9 else f"the process died: {died}"
            return {"told": wrong, "wrong": wrong}
        return answer

    def _start(self) -> subprocess.Popen[str]:
        # Warnings go to nobody, and a message of the interpreter about a death to the terminal.
        self._process = subprocess.Popen(
            [sys.executable, self._program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "WW_STORE": str(self._folder / "own.sqlite")},
        )
        for question in self._warm:
            self._answer(self._process, question, 120.0)
        return self._process

    @staticmethod
    def _answer(process: subprocess.Popen[str], question: Any, seconds: float) -> dict[str, str] | None:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            print(json.dumps(question), file=process.stdin, flush=True)
        except BrokenPipeError:
            return None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            line = process.stdout.readline() if selector.select(seconds) else ""
        answer: dict[str, str] | None = json.loads(line) if line else None
        return answer

    def close(self) -> None:
        """End the program."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.communicate(timeout=60)
            self._process.kill()
            self._process = None
