"""run.py: its arguments, its environment, and what it says when something is in the way."""

import sys

import pytest


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run` as a module, at home in an empty folder, with commands that are only noted down."""
    import run

    (tmp_path / "constraints.txt").write_text("numpy==2.0\ntorch==2.9.9\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run, "PYTHON", tmp_path / ".venv" / "python")
    monkeypatch.setattr(run, "INSTALLED", tmp_path / ".venv" / "installed")
    monkeypatch.setattr(run, "INPUTS", [tmp_path / "pyproject.toml", tmp_path / "constraints.txt"])
    monkeypatch.setattr(run, "environment_works", lambda: run.PYTHON.exists())
    for variable in run.DEFAULTS:
        monkeypatch.setenv(variable, "as it was")
    return run


@pytest.fixture
def calls(run, monkeypatch):
    """The commands that were called. `fail` on it holds the words of those that fail."""

    class Calls(list):
        fail = ()

        def __call__(self, command):
            words = [str(word) for word in command[1:]]
            self.append(" ".join(words))
            if words[:2] == ["-m", "venv"]:
                run.VENV.mkdir(exist_ok=True)
                run.PYTHON.touch()
            return int(any(word in words for word in self.fail))

    calls = Calls()
    monkeypatch.setattr(run, "call", calls)
    return calls


SET_UP = [
    "-m venv --clear {}",
    "-m pip install torch==2.9.9",
    "-m pip install -c constraints.txt -e .[dev]",
]


def test_run_installs_once_and_hands_arguments_on(run, calls):
    set_up = [line.format(run.VENV) for line in SET_UP]
    assert run.main(["test", "--slow", "-k", "a b"]) == 0
    assert calls == [*set_up, "-m pytest --slow -k a b"]
    calls.clear()
    assert run.main(["demo"]) == 0
    assert calls == ["-m spacy project run demo"]


def test_run_installs_again_when_the_constraints_changed(run, calls):
    run.main(["demo"])
    calls.clear()
    (run.ROOT / "constraints.txt").write_text("torch==3.0.0\n")
    run.main(["demo"])
    assert calls[0] == "-m pip install torch==3.0.0"
    assert len(calls) == 3


def test_run_takes_up_an_interrupted_installation(run, calls, capsys):
    calls.fail = ("-e",)
    assert run.main(["demo"]) == 2
    assert "[R3]" in capsys.readouterr().out
    calls.fail = ()
    calls.clear()
    assert run.main(["demo"]) == 0
    assert calls == [*SET_UP[1:], "-m spacy project run demo"]


def test_run_lint_stops_at_the_first_failure(run, calls, capsys):
    calls.fail = ("--check",)
    assert run.main(["lint"]) == 1
    assert calls[-2:] == ["-m ruff check", "-m ruff format --check"]
    assert "python run.py lint" in capsys.readouterr().out


def test_run_says_when_it_was_interrupted(run, monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "install", interrupted)
    assert run.main(["demo"]) == 130
    assert "goes on from here" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["dance"], ["demo", "--fast"], ["--help"]])
def test_run_explains_its_usage(run, calls, arguments, capsys):
    assert run.main(arguments) == 2
    assert "[R1]" in capsys.readouterr().out
    assert calls == []


@pytest.mark.parametrize("version", [(3, 8), (3, 9), (3, 14)])
def test_run_refuses_an_unsupported_python(run, version):
    with pytest.raises(run.Stop, match=r"R2.*3\.\d+"):
        run.check_python(version)


@pytest.mark.parametrize("version", [(3, 10), (3, 13)])
def test_run_accepts_a_supported_python(run, version):
    run.check_python(version)


def test_run_calls_in_the_root_and_echoes(run, capfd):
    assert run.call([sys.executable, "-c", "import os; print(os.getcwd())"]) == 0
    printed = capfd.readouterr().out
    assert "$ " in printed
    assert str(run.ROOT) in printed
    assert run.call([sys.executable, "-c", "raise SystemExit(5)"]) == 5


def test_run_pins_are_those_of_the_repository(root, monkeypatch):
    import run

    assert run.torch_pin().startswith("torch==")
    assert all(path.exists() for path in run.INPUTS)
