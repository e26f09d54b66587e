"""The commands, one file each; only these rooms print."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

import typer

from deeplab.cli._options import Debug, command, completed
from deeplab.cli.benchmark import benchmark
from deeplab.cli.compare import compare
from deeplab.cli.convert import convert
from deeplab.cli.doctor import doctor
from deeplab.cli.evaluate import evaluate
from deeplab.cli.explain import explain
from deeplab.cli.export import export
from deeplab.cli.models import models
from deeplab.cli.segment import segment
from deeplab.cli.train import train
from deeplab.cli.tune_crf import tune_crf
from deeplab.errors import SettingsError
from deeplab.settings import (
    BenchmarkSettings,
    CompareSettings,
    ConvertSettings,
    DoctorSettings,
    EvaluateSettings,
    ExplainSettings,
    ExportSettings,
    SegmentSettings,
    TrainSettings,
    TuneCRFSettings,
)

__all__ = ["run"]

ClickException: type[Exception] = typer.BadParameter.__mro__[2]
"""What a wrong flag raises; typer keeps it in a private module."""

app = typer.Typer(
    name="deeplab",
    help="DeepLab: semantic segmentation of photos.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("segment")(command(SegmentSettings, segment))
app.command("train")(command(TrainSettings, train))
app.command("evaluate")(command(EvaluateSettings, evaluate))
app.command("compare")(command(CompareSettings, compare))
app.command("explain")(command(ExplainSettings, explain))
app.command("doctor")(command(DoctorSettings, doctor))
app.command("tune-crf")(command(TuneCRFSettings, tune_crf))
app.command("convert")(command(ConvertSettings, convert))
app.command("export")(command(ExportSettings, export))
app.command("models")(models)
app.command("benchmark")(command(BenchmarkSettings, benchmark))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status.

    Raises:
        DeepLabError: A user's mistake, wrong flags among them.
        KeyboardInterrupt: Ctrl-C.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong with an image has its line
    warnings.filterwarnings("ignore", module="PIL")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name must not end a run
    try:
        status = app(completed(arguments) or ["--help"], prog_name="deeplab", standalone_mode=False)
    except ClickException as error:
        context = getattr(error, "ctx", None)
        way_out = f"; see {context.command_path} --help" if context else ""
        message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        raise SettingsError(f"{message}{way_out}") from error
    if status == 130:  # how typer tells of Ctrl-C
        raise KeyboardInterrupt
    return int(status or 0)


def _print_version(wanted: bool) -> None:
    if wanted:
        import deeplab

        print(f"deeplab {deeplab.__version__}")
        raise typer.Exit


@app.callback()
def _deeplab(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Debug = False,
) -> None:
    pass
