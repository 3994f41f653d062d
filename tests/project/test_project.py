"""project.yml, the config and constraints.txt: loadable, complete, and true to the files."""

import re
from hashlib import md5
from importlib.metadata import requires

import pytest
import spacy
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from weasel.cli.document import project_document
from weasel.cli.run import project_run
from weasel.util import load_project_config

# The bundled model, which is part of the package: tests also run in a copy without the sources.
EMBEDDED = "spacy_modernbert/models/gliner-minilm"


@pytest.fixture
def project(root):
    return load_project_config(root)


@pytest.fixture
def commands(project):
    return {command["name"]: command for command in project["commands"]}


def test_project_workflows_name_commands(project, commands):
    workflows = project["workflows"]
    parts = {"demo", "ner", "textcat", "shared", "package"}
    assert {*parts, "benchmark", "all"} <= set(workflows)
    assert not set(workflows) & set(commands)
    for steps in workflows.values():
        assert set(steps) <= set(commands)
    everything = {step for name in parts for step in workflows[name]}
    assert sorted(workflows["all"]) == sorted(everything)


def test_project_demo_needs_no_network(project, commands):
    scripts = [line for step in project["workflows"]["demo"] for line in commands[step]["script"]]
    assert not [
        line for line in scripts if "minilm.py" in line or "--build" in line or "pip" in line
    ]


def test_project_section_of_the_readme_is_up_to_date(root, tmp_path):
    """If not: python -m spacy project document --no-emoji --output README.md."""
    import shutil

    shutil.copy(root / "README.md", tmp_path)
    project_document(root, tmp_path / "README.md", no_emoji=True)
    content = (tmp_path / "README.md").read_text(encoding="utf8")
    assert "few-shot-small" in content
    assert content == (root / "README.md").read_text(encoding="utf8")


def test_project_assets_from_the_network_are_extra(project):
    for asset in project["assets"]:
        assert ("url" in asset) == asset.get("extra", False)
        assert asset.get("url", "https://").startswith("https://")


def test_project_every_command_has_help_and_is_described(root, commands, capsys):
    assert all(command["help"] for command in commands.values())
    project_document(root, "-", no_emoji=True)
    printed = capsys.readouterr().out
    assert all(f"`{name}`" in printed for name in commands)


def test_project_deps_exist_or_are_made_by_an_earlier_step(root, project, commands):
    for name, steps in project["workflows"].items():
        made = set()
        for step in steps:
            for path in commands[step].get("deps", []):
                ours = path.split("/")[0] in ("assets", "configs", "scripts", "constraints.txt")
                there = path == EMBEDDED or (ours and (root / path).exists())
                assert path in made or there, f"{name}, {step}: {path}"
            made |= set(commands[step].get("outputs", []))


def test_project_outputs_are_made_by_one_step_only(commands):
    outputs = [path for command in commands.values() for path in command.get("outputs", [])]
    assert len(outputs) == len(set(outputs))


def test_project_scripts_and_configs_exist_and_are_deps(root, commands):
    unlisted = {"clean", "public", "ner-sets"}
    for command in commands.values():
        for line in command["script"]:
            for path in re.findall(r"(?:scripts|configs|assets|spacy_modernbert)/[\w./-]+", line):
                if command["name"] not in unlisted:
                    assert path == EMBEDDED or (root / path).exists()
                    assert path in command.get("deps", []), f"{command['name']}: {path}"


def test_project_assets_have_their_checksums(root, project):
    for asset in [asset for asset in project["assets"] if "url" not in asset]:
        content = (root / asset["dest"]).read_bytes()
        assert asset["checksum"] == md5(content).hexdigest(), asset["dest"]


def test_project_outputs_are_ignored_by_git(root, commands):
    ignored = (root / ".gitignore").read_text(encoding="utf8").splitlines()
    outputs = [path for command in commands.values() for path in command.get("outputs", [])]
    assert outputs
    for path in outputs:
        assert f"/{path.split('/')[0]}/" in ignored


def test_project_runs_dry(root, project, capfd):
    for name in project["workflows"]:
        project_run(root, name, dry=True, force=True)
        printed = capfd.readouterr().out
        assert "python" in printed
        assert "${" not in printed


def test_project_takes_variables(root, capfd):
    changes = {
        "vars.gliner": "urchade/gliner_small-v2.1",
        "vars.progress": "null",
        "vars.gpu_id": 0,
    }
    project_run(root, "ner", dry=True, force=True, overrides=changes)
    printed = capfd.readouterr().out
    assert "--paths.gliner urchade/gliner_small-v2.1" in printed
    assert "progress_bar null" in printed
    assert "--gpu-id 0" in printed


@pytest.mark.parametrize(
    ("name", "pipes"),
    [
        ("ner_textcat", ["transformer", "ner", "textcat"]),
        ("setfit", ["setfit_textcat"]),
        ("textcat", ["textcat"]),
        ("gliner", ["gliner"]),
        ("shared", ["transformer", "ner", "gliner", "setfit_textcat"]),
    ],
)
def test_project_config_is_complete(root, name, pipes):
    """No setting is left to a default, and every registered name resolves."""
    config = spacy.util.load_config(root / "configs" / f"{name}.cfg", interpolate=False)
    nlp = spacy.util.load_model_from_config(config, auto_fill=False, validate=True)
    assert nlp.pipe_names == pipes
    filled = spacy.util.load_model_from_config(config, auto_fill=True).config
    assert {name: set(filled[name]) for name in filled} == {
        name: set(config[name]) for name in filled
    }


def test_setfit_config_holds_the_defaults(root):
    """The config is a page to read the settings on; what it says must not fall behind."""
    config = spacy.util.load_config(root / "configs" / "setfit.cfg", interpolate=False)
    ours = config["components"]["setfit_textcat"]
    nlp = spacy.blank("en")
    nlp.add_pipe("setfit_textcat")
    defaults = nlp.config["components"]["setfit_textcat"]
    assert {**ours, "model": defaults["model"]} == dict(defaults)
    assert config["training"]["max_steps"] == ours["training"]["optimizer"]["total_steps"]


def test_compare_prints_a_column_a_pipeline(tmp_path, capsys):
    import srsly
    from compare import main

    for name, value in (("one", 0.5), ("other", 0.25)):
        scores = {"cats_macro_f": value, "cats_f_per_type": {"noise": {"f": value / 2}}}
        srsly.write_json(tmp_path / f"{name}.json", scores)
    main("cats_macro_f", [tmp_path / "one.json", tmp_path / "other.json"])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["cats_macro_f", "one", "other"] in rows
    assert ["noise", "25.0", "12.5"] in rows
    assert ["all", "50.0", "25.0"] in rows


def test_project_constraints_pin_every_dependency(root):
    pins = {}
    for line in (root / "constraints.txt").read_text(encoding="utf8").splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            assert str(pin.specifier).startswith("=="), line
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    for text in requires("spacy-modernbert"):
        requirement = Requirement(text)
        if str(requirement.specifier).startswith("=="):  # the extra of peers pins them itself
            continue
        found = pins[canonicalize_name(requirement.name)]
        for pin in found:
            version = str(pin.specifier).removeprefix("==")
            assert requirement.specifier.contains(version), f"{text} is pinned to {version}"


def test_clean_removes_only_what_is_inside(tmp_path, monkeypatch):
    import typer
    from clean import main

    (tmp_path / "here" / "corpus").mkdir(parents=True)
    (tmp_path / "here" / "project.lock").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    paths = [tmp_path / "here" / name for name in ("corpus", "project.lock", "never-made")]
    main(paths)
    assert not any(path.exists() for path in paths)
    with pytest.raises(typer.BadParameter, match="not inside"):
        main([tmp_path / "elsewhere"])
    assert (tmp_path / "elsewhere").exists()


def test_annotate_describes_a_doc():
    from annotate import describe

    nlp = spacy.blank("en")
    doc = nlp.make_doc("Maria Lopez went to Porto and back to Porto.")
    assert "(no entities)" in describe(doc)
    doc.set_ents([doc.char_span(20, 25, "PLACE"), doc.char_span(38, 43, "PLACE")])
    doc.cats = {"news": 0.2, "travel": 0.8}
    lines = describe(doc).splitlines()
    assert lines[0] == "travel (0.80)"
    assert ["PLACE", "Porto"] in [line.split() for line in lines]
