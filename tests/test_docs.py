"""What the pages say can be looked up: links, files, commands, flags, Python calls; and nothing is left out of them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args, get_type_hints

import pytest
import typer

import deeplab
from deeplab import catalog, settings
from deeplab.cli import app
from deeplab.cli._options import completed
from deeplab.training.recipes import RECIPES, with_recipe
from deeplab.weights import shipped

ROOT = Path(__file__).parents[1]

CARDS = "src/deeplab/weights/shipped"

PAGES = {
    file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
    for folder in (".", "docs", CARDS)
    for file in sorted(ROOT.glob(f"{folder}/*.md"))
}

PROGRAMS = [
    file.as_posix() for folder in ("src", "tests", "benchmarks", "examples") for file in ROOT.glob(f"{folder}/**/*.py")
]

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]

SETTINGS = {
    kind.__doc__.split("`")[1].removeprefix("deeplab "): kind
    for kind in vars(settings).values()
    if inspect.isclass(kind) and (kind.__doc__ or "").startswith("The options of `deeplab ")
}
"""By the command whose options they are."""

FLAGS = {
    name: {"--help", *(flag for each in it.params for flag in (*each.opts, *each.secondary_opts))}
    for name, it in COMMANDS.items()
}

SCRIPTS = {
    str(file.relative_to(ROOT)): set(re.findall(r'"(--[\w-]+)"', file.read_text(encoding="utf-8")))
    for folder in ("benchmarks", "examples")
    for file in ROOT.glob(f"{folder}/*.py")
}
"""Their flags."""

FLAGS_OF_OTHERS = {
    *("--nnodes", "--nproc-per-node", "--rdzv-backend", "--rdzv-endpoint"),  # torchrun
    *("--gpus-per-node", "--kill-on-bad-exit", "--ntasks-per-node", "--requeue"),  # SLURM
    *("--constraint", "--editable", "--logdir", "--no-deps", "--strict"),  # pip, TensorBoard, mypy
}


def shell_commands(text: str) -> Iterator[list[str]]:
    """The words of each command in the blocks of a page, with the variables that were set before."""
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        variables: dict[str, str] = {}
        for line in block.replace("\\\n", " ").splitlines():
            for name, value in variables.items():
                line = line.replace(f"${name}", value)
            for joins, each in groupby(shlex.split(line, comments=True), lambda word: word == "&&"):
                words = list(each)
                if re.match(r"\w+=", words[0]):
                    name, _, value = words[0].partition("=")
                    variables[name] = value
                elif not joins:
                    yield words


def deeplab_commands() -> Iterator[tuple[str, list[str]]]:
    """Page and arguments of each `deeplab ...` in a block, also of one that another program starts."""
    for page, text in PAGES.items():
        for words in shell_commands(text):
            if words[0] in ("deeplab", "srun", "torchrun"):
                yield page, words[words.index("deeplab") + 1 :]


def code_spans(text: str) -> list[str]:
    """What stands between single backticks, outside of the blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(text: str) -> set[str]:
    """Of the headings, as a link to them is written."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def linked(page: str) -> Iterator[tuple[str, str]]:
    """File and anchor of each link to another place in this repository."""
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            file = (ROOT / page).parent / path if path else ROOT / page
            yield str(file.resolve().relative_to(ROOT)), anchor


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for file, anchor in linked(page):
        assert (ROOT / file).exists(), f"{page}: no {file}"
        assert not anchor or anchor in anchors(PAGES[file]), f"{page}: no {file}#{anchor}"


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            waiting += [file for file, _ in linked(page) if file in PAGES]
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    for span in code_spans(PAGES[page]):
        for name in re.findall(r"(?:^|(?<= ))[\w/]+\.py\b", span):
            assert any(file.endswith(f"/{name}") for file in PROGRAMS), f"{page}: {name}"


def test_there_are_commands_in_the_pages() -> None:
    assert len(list(deeplab_commands())) > 70


@pytest.mark.parametrize(("page", "arguments"), list(deeplab_commands()))
def test_a_command_of_a_page_can_work(page: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "sys", SimpleNamespace(platform="darwin"))  # where every format can be exported
    name, *rest = completed(arguments)
    given = COMMANDS[name].make_context(name, rest).params
    if name in SETTINGS:
        options = get_type_hints(SETTINGS[name])
        values = {option: value for option, value in given.items() if option in options and value not in (None, (), [])}
        if "config" in options:  # what the file would say
            values = with_recipe({"data": "data", **values})
        settings.build(SETTINGS[name], values)


@pytest.mark.parametrize("page", PAGES)
def test_flags_that_are_named_exist(page: str) -> None:
    anywhere = set().union(*FLAGS.values(), *SCRIPTS.values(), FLAGS_OF_OTHERS)
    for span in code_spans(PAGES[page]):
        command = re.match(r"(?:deeplab )?([\w-]+) ", span)
        known = FLAGS.get(command[1], anywhere) if command else anywhere
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", span):
            assert flag in known, f"{page}: {span}"


@pytest.mark.parametrize("page", PAGES)
def test_scripts_have_the_flags_that_they_are_called_with(page: str) -> None:
    calls = [shlex.split(span) for span in code_spans(PAGES[page]) if span.startswith("python ")]
    for words in [*shell_commands(PAGES[page]), *calls]:
        if words[0] == "python":
            flags = {word for word in words[2:] if re.match("--[a-z]", word)}
            assert flags <= SCRIPTS[words[1]], f"{page}: {words[1]}"


def python_calls() -> Iterator[tuple[str, ast.AST]]:
    """Page and each statement or expression in its blocks of Python."""
    for page, text in PAGES.items():
        for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for node in ast.walk(ast.parse(block)):
                yield page, node


def test_python_calls_of_the_pages_fit_our_functions() -> None:
    for page, node in python_calls():
        match node:
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] == "deeplab":
                for each in node.names:
                    assert hasattr(importlib.import_module(module), each.name), f"{page}: {module}.{each.name}"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="deeplab"), attr=name)):
                keywords = {str(each.arg): None for each in node.keywords}
                inspect.signature(getattr(deeplab, name)).bind(*node.args, **keywords)


@pytest.mark.parametrize("command", ["load", *sorted(SETTINGS.keys() - {"segment", "train"})])
def test_a_python_call_names_its_options(command: str) -> None:
    text = inspect.getdoc(getattr(deeplab, command.replace("-", "_"))) or ""
    options = {each.name for each in fields(SETTINGS.get(command, settings.LoadSettings))}
    if command != "load":  # to which the others refer
        options -= {each.name for each in fields(settings.LoadSettings)}
    assert {option for option in options if not re.search(rf"\b{option}\b", text)} == set()


def listed() -> Mapping[str, tuple[Any, ...]]:
    """By page, what it has to name."""
    return {
        "README.md": (*(f"deeplab {name}" for name in COMMANDS), *(f"| `{name}`" for name in shipped())),
        "docs/convert.md": tuple(f"| `{name}` |" for name in catalog.offering("weights", "convert")),
        "docs/crf.md": tuple(f"`{name}`" for name in get_args(settings.CRFPreset)),
        "docs/data.md": tuple(f"`{name}`" for name in catalog.offering("data/formats", "read")),
        "docs/export.md": tuple(f"| `{name}` | `{end}`" for name, end in settings.EXPORT_SUFFIXES.items()),
        "docs/inference.md": tuple(f"`{name}`" for name in get_args(get_type_hints(settings.UseSettings)["engine"])),
        "docs/losses.md": tuple(f"| `{name}`" for name in settings.LOSSES),
        "docs/networks.md": tuple(f"| `{name}` |" for name in catalog.entries("backbones")),
        "docs/papers.md": tuple(
            f"`{folder}/{file.name}`"
            for folder in ("models", "backbones", "losses")
            for file in ROOT.glob(f"src/deeplab/{folder}/[a-z]*.py")
            if file.stem not in ("cross_entropy", "timm", "upsampled", "weighted_sum")  # of no paper
        ),
        "docs/quickstart.md": tuple(f"| `{name}` |" for name in extras()),
        "docs/training.md": tuple(f"`{name}`" for name in RECIPES),
    }


def extras() -> list[str]:
    """What can be installed beside."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        return list(tomllib.load(file)["project"]["optional-dependencies"])


@pytest.mark.parametrize("page", listed())
def test_a_page_leaves_nothing_out(page: str) -> None:
    assert [each for each in listed()[page] if each not in PAGES[page]] == []


@pytest.mark.parametrize("name", shipped())
def test_the_readme_says_of_a_model_what_its_card_says(name: str) -> None:
    card = PAGES[f"{CARDS}/{name}.md"]
    (row,) = re.findall(rf"^\| `{name}`.*$", PAGES["README.md"], re.MULTILINE)
    size = f"{shipped()[name].stat().st_size / 1e6:.1f} MB"
    assert size in row
    assert size in card
    assert [figure for figure in re.findall(r"0\.\d{3}", row) if figure not in card] == []
