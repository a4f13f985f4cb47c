"""Commands run in this process against the servers of a cluster's settings, and what they said."""

from dataclasses import dataclass

import pytest

from foryou.cli import main


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    def refusal(self, code, *words):
        """One sentence on stderr with these words, nothing on stdout, this exit code."""
        assert self.code == code, self.err
        assert self.out == "" and "Traceback" not in self.err
        sentence = self.err.strip()
        assert sentence.endswith(".") and "\n" not in sentence, self.err
        for word in words:
            assert word in sentence, sentence
        return sentence


class Commands:
    """Runs `foryou` commands with the settings of a cluster, less those that a test changes."""

    def __init__(self, capsys, monkeypatch, settings):
        self._capsys, self._settings = capsys, settings
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments, **changed):
        told = {"backends": "cluster", "start_patience_s": 1} | self._settings | changed
        with self._monkeypatch.context() as environment:
            for name, value in told.items():
                environment.setenv(f"FORYOU_{name.upper()}", str(value))
            self._capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        return Said(int(ended.value.code or 0), said.out, said.err)
