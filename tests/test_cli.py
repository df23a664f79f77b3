"""The command: recipes that are made up here, since the command knows nothing of what they do."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import types
from dataclasses import asdict, dataclass, field
from typing import Literal

import pytest

import distilbert
from distilbert import cli
from distilbert.runtime.termination import Terminated


@dataclass(frozen=True)
class Settings:
    """Bake a cake: of so many layers.

    With care.

    Args:
        flour: folder of the flour; 5 % of it is lost.
        minutes: how long.
        heat: how hot, a help
            of two lines: no more.
        layers, spare: which layers.
        cover: whether to cover 100 % of it.
    """

    flour: str
    minutes: int = 30
    heat: float = 5e-4
    layers: tuple[int, ...] = (0, 2)
    toppings: list[str] = field(default_factory=list)
    spare: tuple[int, ...] | None = None
    kind: Literal["round", "square", "no"] = "round"
    name: str | None = None
    cover: bool = True
    dry: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.minutes < 0:
            raise ValueError(f"minutes must be at least 0, got {self.minutes}")


@pytest.fixture
def bake(monkeypatch):
    """Return a function that runs `distilbert bake …` and returns its exit code and settings."""
    seen = []
    module = types.ModuleType("baking_recipe_of_test")
    module.Settings = Settings
    module.main = seen.append
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.RECIPES, "bake", (module.__name__, "a cake"))
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("DISTILBERT_TRACEBACK", raising=False)

    def run(*arguments, fails=None):
        if fails is not None:
            module.main = fails
        code = cli.main(["bake", *arguments])
        return code, seen.pop() if seen else None

    return run


def fail_with(error):
    def main(settings):
        raise error

    return main


def test_what_stdout_cannot_show_is_escaped(bake, monkeypatch):
    """As where a Windows console's encoding is not UTF-8."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", out)
    assert bake("--flour", "a", fails=lambda settings: print("é \N{RIGHTWARDS ARROW}"))[0] == 0
    out.flush()
    assert out.buffer.getvalue().rstrip() == b"\xe9 \\u2192"
    monkeypatch.setattr(sys, "stdout", None)  # a process without a console
    assert bake("--flour", "a")[0] == 0


def test_flags(bake):
    assert bake("--flour", "a") == (0, Settings(flour="a"))
    code, settings = bake(
        *("--flour=b", "--minutes", "5", "--heat", "1e-2", "--layers", "0", "3", "4"),
        *("--toppings", "nut", "plum", "--spare", "7", "--kind", "square", "--name", "x"),
        *("--no_cover", "--dry", "--seed", "9"),
    )
    assert code == 0
    assert settings == Settings(
        flour="b",
        minutes=5,
        heat=0.01,
        layers=(0, 3, 4),
        toppings=["nut", "plum"],
        spare=(7,),
        kind="square",
        name="x",
        cover=False,
        dry=True,
        seed=9,
    )


def test_hyphens_in_the_names_of_flags(bake, monkeypatch, tmp_path):
    assert bake("--flour=a-b", "--name", "c-d", "--no-cover") == (
        0,
        Settings(flour="a-b", name="c-d", cover=False),
    )

    @dataclass
    class Sized:
        batch_size: int = 1

    monkeypatch.setattr(sys.modules["baking_recipe_of_test"], "Settings", Sized)
    assert bake("--batch-size", "8") == bake("--batch-size=8") == (0, Sized(8))
    path = tmp_path / "run.yaml"
    path.write_text("batch-size: 8")
    assert bake("--config", str(path)) == (0, Sized(8))


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_config(bake, tmp_path, kind, capsys):
    path = tmp_path / f"run.{kind}"
    if kind == "yaml":
        path.write_text("flour: a\nlayers: [3, 4]\nspare: null\ncover: false\nheat: 1e-4\n")
    else:
        content = {"flour": "a", "layers": [3, 4], "spare": None, "cover": False, "heat": 1e-4}
        path.write_text(json.dumps(content))
    _, settings = bake("--config", str(path), "--minutes", "1")
    assert settings == Settings(flour="a", layers=(3, 4), cover=False, heat=1e-4, minutes=1)

    with pytest.raises(SystemExit) as caught:
        bake("--config", str(path), "--minutes", "2", "--print_config")
    assert caught.value.code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    _, settings = bake("--config", str(printed))
    assert settings == Settings(flour="a", layers=(3, 4), cover=False, heat=1e-4, minutes=2)


def test_help_of_a_recipe(bake, capsys):
    with pytest.raises(SystemExit) as caught:
        bake("--help")
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Bake a cake: of so many layers. With care. options:" in text
    for entry in asdict(Settings(flour="")):
        assert f"--{entry}" in text
    for line in (
        "folder of the flour; 5 % of it is lost. (required, type: str)",
        "how hot, a help of two lines: no more. (type: float, default: 0.0005)",
        "which layers. (type: int, default: [0, 2])",
        "which layers. (type: int, default: null)",
        "--cover, --no_cover whether to cover 100 % of it. (type: bool, default: True)",
    ):
        assert line in text


def usage_error(capsys, call, *arguments):
    with pytest.raises(SystemExit) as caught:
        call(*arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: flour"),
        (("--flour", "a", "--minuets", "3"), "no flag --minuets; did you mean --minutes?"),
        (("--flour", "a", "--no-covers"), "no flag --no-covers; did you mean --no_cover?"),
        (("--flour", "a", "--minute=3"), "no flag --minute; did you mean --minutes?"),
        (("--flour", "a", "--qqqqqq"), "no flag --qqqqqq"),
        (("--flour", "a", "--minutes", "x"), "--minutes takes a whole number, not 'x'"),
        (
            ("--flour", "a", "--kind", "flat"),
            "--kind takes one of 'round', 'square', 'no', not 'flat'",
        ),
        (("--flour", "a", "--layers", "0", "x"), "--layers takes a whole number, not 'x'"),
        (("--flour", "a", "stray"), "unrecognized arguments: stray"),
        (
            ("--flour", "a", "--dry", "true"),
            "arguments: true; a switch takes no value: it is --name",
        ),
        (("--flour", "a", "--cover=no"), "explicit argument 'no'; a switch takes no value"),
        (("--config", "nowhere.yaml"), "error: --config: File does not exist"),
    ],
)
def test_wrong_usage(bake, capsys, arguments, message):
    text = usage_error(capsys, bake, *arguments)
    assert message in text
    assert text.count("\n") == 1
    assert text.endswith(" (see distilbert bake --help)\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flour: 0.1\nname: 2024-01-01", Settings(flour="0.1", name="2024-01-01")),
        ("flour: no\ncover: no\ndry: yes", Settings(flour="no", cover=False, dry=True)),
        ("flour: a\nkind: no", Settings(flour="a", kind="no")),
        ("flour: a\nlayers: 3\ntoppings: nut", Settings("a", layers=(3,), toppings=["nut"])),
        ("flour: a\ntoppings: [1, 2.50, yes]", Settings("a", toppings=["1", "2.50", "yes"])),
        ("flour: a\nlayers: []\nname:\nspare: ~", Settings("a", layers=())),
        (
            '{"flour": 3, "spare": 7, "heat": 1, "dry": true}',
            Settings("3", 30, 1.0, spare=(7,), dry=True),
        ),
    ],
)
def test_a_config_holds_the_words_of_the_flags(bake, tmp_path, text, expected):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert bake("--config", str(path)) == (0, expected)
    assert bake("--config", text) == (0, expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("minuets: 3\nflour: a", "there is no setting 'minuets'; did you mean minutes?"),
        ("no_cover: true\nflour: a", "there is no setting 'no_cover'; did you mean cover?"),
        ("minutes: many\nflour: a", "--minutes takes a whole number, not 'many'"),
        ("minutes: [3, 4]\nflour: a", "--minutes takes one value, not ['3', '4']"),
        ("layers: 0 1\nflour: a", "--layers takes a whole number, not '0 1'"),
        ("cover: maybe\nflour: a", "--cover takes true or false, not 'maybe'"),
        ("toppings: {nut: 1}\nflour: a", "toppings is a value or a list of values"),
        ("layers: [[1]]\nflour: a", "layers is a value or a list of values"),
        ("minutes:\nflour: a", "minutes has no value; give it one, or leave its line out"),
        ("layers: null\nflour: a", "layers has no value"),
        ("flour:", "flour has no value"),
        ("no-cover: true\nflour: a", "there is no setting 'no_cover'; did you mean cover?"),
        ("flour: a\nflour: b", "the file of settings has 'flour' twice"),
        ("flour: [", "the file of settings is neither YAML nor JSON: while parsing"),
        ("flour: " + "[" * 20_000, "the file of settings is neither YAML nor JSON: maximum rec"),
        ("- flour", "a file of settings has a line 'name: value' for each"),
        ("", "a file of settings has a line 'name: value' for each"),
    ],
)
def test_wrong_config(bake, capsys, tmp_path, text, message):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    error = usage_error(capsys, bake, "--config", str(path))
    assert message in error
    assert error.count("\n") == 1


def test_a_config_is_utf8(bake, capsys, tmp_path):
    path = tmp_path / "run.yaml"
    for mark in ("", "\ufeff"):
        path.write_text(f"{mark}flour: año", encoding="utf-8")
        assert bake("--config", str(path)) == (0, Settings("año"))
    path.write_text("flour: año", encoding="latin-1")
    error = usage_error(capsys, bake, "--config", str(path))
    assert f"{path} is not UTF-8: byte 0xf1 at offset 8" in error


def test_wrong_recipe(capsys):
    text = usage_error(capsys, cli.main, ["distil"])
    assert "there is no recipe 'distil'; did you mean distill?" in text
    assert "(there are quickstart, prepare, pretrain" in usage_error(capsys, cli.main, ["zzz"])
    assert "say which recipe: quickstart, prepare, " in usage_error(capsys, cli.main, [])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("a value\n  in two lines"), "a value in two lines"),
        (ValueError("\x1b]0;title\x07 \u202ename"), r"\x1b]0;title\x07 \u202ename"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (TypeError("wrong kind"), "wrong kind"),
        (ImportError("x is not installed: pip install x"), "x is not installed: pip install x"),
        (
            ModuleNotFoundError("No module named 'accelerate'", name="accelerate.utils"),
            "accelerate is not installed: "
            "pip install accelerate (or '.[train]' in the project's folder)",
        ),
        (ModuleNotFoundError("No module named 'zzz'", name="zzz"), "No module named 'zzz'"),
        (ValueError(), "ValueError"),
    ],
)
def test_failures_are_one_line(bake, capsys, monkeypatch, error, line):
    assert bake("--flour", "a", fails=fail_with(error)) == (1, None)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"distilbert: error: {line}\n"
    monkeypatch.setenv("DISTILBERT_TRACEBACK", "1")
    with pytest.raises(type(error)):
        bake("--flour", "a", fails=fail_with(error))


def test_what_a_recipe_logs_is_shown(bake, capsys, monkeypatch):
    logger = logging.getLogger("distilbert")
    before = (logger.level, list(logger.handlers), logger.propagate)

    def talk(settings):
        logging.getLogger("distilbert.part").info("step %d", 3)
        logging.getLogger("distilbert").error("broken")

    bake("--flour", "a", fails=talk)
    assert capsys.readouterr().err == "step 3\nbroken\n"
    name = "a label\n\x1b[2Jstep 4"
    bake("--flour", "a", fails=lambda _: logger.info("no examples of %s", name))
    assert capsys.readouterr().err == r"no examples of a label\n\x1b[2Jstep 4" + "\n"
    monkeypatch.setenv("RANK", "1")
    bake("--flour", "a", fails=talk)
    assert capsys.readouterr().err == "broken\n"
    assert (logger.level, list(logger.handlers), logger.propagate) == before


def test_settings_may_refuse(bake, capsys):
    assert bake("--flour", "a", "--minutes", "-1") == (1, None)
    assert capsys.readouterr().err == "distilbert: error: minutes must be at least 0, got -1\n"


def test_our_own_mistakes_show_where(bake):
    with pytest.raises(ZeroDivisionError):
        bake("--flour", "a", fails=lambda settings: 1 / 0)
    with pytest.raises(TypeError, match=r"has no len\(\)"):
        bake("--flour", "a", fails=lambda settings: len(settings.minutes))


def test_interrupted(bake, capsys):
    assert bake("--flour", "a", fails=fail_with(KeyboardInterrupt())) == (130, None)
    assert capsys.readouterr().err == "distilbert: interrupted\n"


def test_stopped_by_sigterm(bake, capsys):
    assert bake("--flour", "a", fails=fail_with(Terminated("after step 3"))) == (143, None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("flags", "advice"),
    [
        (["batch_tokens"], ". Lower --batch_tokens"),
        (["batch_tokens", "micro_tokens"], ". Lower --micro_tokens"),
        ([], ""),
    ],
)
def test_out_of_memory_advises_a_flag_of_the_recipe(bake, capsys, monkeypatch, flags, advice):
    for flag in flags:
        monkeypatch.setattr(Settings, flag, 4096, raising=False)
    error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. ")
    assert bake("--flour", "a", fails=fail_with(error)) == (1, None)
    assert capsys.readouterr().err == f"distilbert: error: CUDA out of memory{advice}\n"


def test_other_ranks_do_not_repeat(bake, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    waited = []
    monkeypatch.setattr(cli.time, "sleep", waited.append)
    assert usage_error(capsys, bake, "--minuets", "3") == ""
    assert bake("--flour", "a", fails=fail_with(ValueError("bad"))) == (1, None)
    assert capsys.readouterr().err == "distilbert: error: bad (in process 3)\n"
    with pytest.raises(RuntimeError, match="connection closed"):
        bake("--flour", "a", fails=fail_with(RuntimeError("connection closed")))
    assert waited == [5.0, 5.0]
    assert bake("--flour", "a", fails=fail_with(KeyboardInterrupt())) == (130, None)
    assert capsys.readouterr().err == ""


def test_each_machine_says_what_is_wrong_in_its_command(bake, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "8")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert "there is no flag --minuets" in usage_error(capsys, bake, "--minuets", "3")
    monkeypatch.setenv("RANK", "9")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert usage_error(capsys, bake, "--minuets", "3") == ""


def test_a_recipe_that_cannot_be_imported(capsys, monkeypatch, tmp_path):
    (tmp_path / "needy_recipe_of_test.py").write_text("import torch")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(cli.RECIPES, "need", ("needy_recipe_of_test", ""))
    assert cli.main(["need"]) == 1
    line = "torch is not installed: pip install torch (or '.[torch]' in the project's folder)"
    assert capsys.readouterr().err == f"distilbert: error: {line}\n"


def test_help_and_version_import_nothing_heavy():
    code = (
        "import sys\nfrom distilbert.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "heavy = {'torch', 'numpy', 'jsonargparse', 'rich', 'accelerate'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    for flag, expected in (
        ("--version", f"distilbert {distilbert.__version__}\n"),
        ("--help", "distill"),
    ):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, flag],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


def test_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "distilbert", "nothing"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "there is no recipe 'nothing'" in done.stderr


def test_a_reader_that_has_enough_is_no_error():
    code = (
        "import sys, types; from distilbert import cli\n"
        "def main(settings):\n"
        "    for _ in range(100_000): print('an answer')\n"
        "module = types.SimpleNamespace(main=main, Settings=None)\n"
        "cli.import_module = lambda name: module\n"
        "cli.read_settings = lambda *given: None\n"
        "sys.exit(cli.main(['predict']))\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout.readline() == "an answer\n"
        writer.stdout.close()
        assert writer.stderr.read() == ""
    assert writer.returncode == 141


@pytest.mark.skipif(not hasattr(signal, "SIGBUS"), reason="no such signal")
def test_a_signal_that_ends_the_process_says_where():
    """As where a file that is mapped was cut."""
    code = (
        "import os, signal, sys, types; from distilbert import cli\n"
        "def main(settings): os.kill(os.getpid(), signal.SIGBUS)\n"
        "module = types.SimpleNamespace(main=main, Settings=None)\n"
        "cli.import_module = lambda name: module\n"
        "cli.read_settings = lambda *given: None\n"
        "sys.exit(cli.main(['predict']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGBUS
    assert "Fatal Python error: Bus error" in done.stderr
    assert 'File "<string>", line 2 in main' in done.stderr
