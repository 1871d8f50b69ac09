"""The command that applies a finished run to films: predict."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammo.errors import InputError
from mammo.wording import number_of

if TYPE_CHECKING:
    from mammo.config import DataConfig
    from mammo.inference.answers import Answers
    from mammo.run_folder import RunFolder

NOTHING = 2  # exit status if no film could be used


def predict(
    run: Annotated[Path, typer.Argument(help="a finished run, a portable folder, or an ONNX file")],
    films: Annotated[
        list[str] | None,
        typer.Argument(
            help="films, folders of films, or a table of films (CSV, TSV, XLSX, Parquet); settings for a table such "
            "as data.columns.patient=PatientID, and data.spacing_mm=<mm> for films that do not give the size of a pixel"
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="the head that answers [default: softmax; of a detector: detector]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="table to write (CSV); it must not exist")] = None,
    json_: Annotated[bool, typer.Option("--json", help="print all as JSON, for programs")] = False,
    at: Annotated[
        str | None, typer.Option(help="a point x,y of one film in pixels, for a run on lesion windows")
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(help="some of image,breast,exam,patient [default: images, and what has several of them]"),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="predict films unlike those of the run too; their rows say why")
    ] = False,
    marks: Annotated[
        Path | None, typer.Option(help="table of a detector's marks (CSV) [default: marks.csv beside --out]")
    ] = None,
    dicom_sr: Annotated[
        Path | None, typer.Option(help="folder for a DICOM structured report of each film that is a DICOM file")
    ] = None,
    dicom_seg: Annotated[
        Path | None,
        typer.Option(help="folder for a DICOM segmentation of each film that is a DICOM file, of a run on regions"),
    ] = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="repeat what the run made of the drawn films in its folder; no films")
    ] = False,
) -> None:
    """Predict films by a finished run.

    Each file has a row: predicted, or left out and why.

    The exit status is 0 (all films were predicted), 1 (some files were left out) or 2 (none could be used). With
    --self-test it is 0 (each stage gives what it gave at the end of training) or 1 (one differs).
    """
    from mammo.inference.build import build_predictor
    from mammo.inference.films import films_of

    folder = _opened(run)
    if self_test or not films:
        if films or not self_test:
            raise InputError("expected films, or --self-test without films; name films, a folder or a table")
        of_films = {"--head": head, "--out": out, "--at": at, "--units": units, "--force": force, "--marks": marks}
        check_idle("--self-test", of_films | {"--dicom-sr": dicom_sr, "--dicom-seg": dicom_seg})
        _self_test(folder, as_json=json_)
        return
    detects = folder.config.task.kind == "detection"
    if marks is not None and not detects:
        raise InputError(f"--marks: {run} is no detector, so it has no marks; leave the option out")
    if marks is None and out is not None and detects:
        marks = out.parent / "marks.csv"
    _check_tables(out, marks)
    dicom = {option: path for option, path in (("--dicom-sr", dicom_sr), ("--dicom-seg", dicom_seg)) if path}
    _check_dicom(folder, dicom)
    named, data = with_settings(films)
    _check_there(named if out is None and not json_ else [])  # programs get a row for each file
    asked = films_of(named, data)

    from mammo.inference.predict import predict as answers_for

    predictor = build_predictor(folder, head)
    chosen = None if units is None else [one.strip() for one in units.split(",")]
    answers = answers_for(predictor, asked, at=point_of(at), units=chosen, partners=head is None, force=force)
    for option, objects in dicom.items():
        answers.notes += _write_dicom(option, answers, list(asked.rows["path"]), objects)
    _write_tables(answers, out, marks)
    if json_:
        typer.echo(json.dumps(answers.as_json(), indent=1, allow_nan=False))
    else:
        written = [f"written: {path}" for path in (out, marks) if path is not None]
        typer.echo("\n".join([*answers.lines(every=out is None), *written]))
    if answers.left_out:
        raise typer.Exit(1 if answers.predicted else NOTHING)


def _opened(path: Path) -> "RunFolder":
    """Return the run, whose own classes are loaded then; refuse one that has not finished."""
    from mammo.inference.build import open_run
    from mammo.runs.plugins import load_plugins_of

    run = open_run(path)
    if not path.is_file():
        from mammo.runs.external_data import check_run  # imports Hydra, which an ONNX file does not need

        check_run(run)
    load_plugins_of(run)
    return run


def _self_test(run: "RunFolder", *, as_json: bool) -> None:
    """Print what each stage makes of the drawn films of a run, and end with 1 if one differs from what is expected."""
    from mammo.inference.self_test import check

    found = check(run)
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else "\n".join(found.lines()))
    if found.first is not None:
        raise typer.Exit(1)


def _check_there(names: list[str]) -> None:
    """Refuse names of which none is there, before anything is loaded; beside others, each has a row with the reason."""
    if names and not any(_is_there(Path(name).expanduser()) for name in names):
        others = f", nor for {number_of(len(names) - 1, 'other name')}" if len(names) > 1 else ""
        raise InputError(f"{names[0]}: no such file or folder{others}; name films, a folder or a table that is there")


def _is_there(path: Path) -> bool:
    """Tell whether a name is there, be it a link that leads nowhere, or what this user may not see."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _check_tables(out: Path | None, marks: Path | None) -> None:
    """Refuse tables that exist, or that cannot be written, before anything is computed for them."""
    from mammo.files import check_new_table
    from mammo.runs.checks import check_writable

    for path in filter(None, (out, marks)):
        check_new_table(path, "--out or --marks")
        check_writable(path.parent, "the folder of the table")
    if out is not None and marks is not None and out.resolve() == marks.resolve():
        raise InputError(f"{out} would hold the answers and the marks; name one file with --out, another with --marks")


def _write_tables(answers: "Answers", out: Path | None, marks: Path | None) -> None:
    """Write the table of answers, and that of a detector's marks, where they have a path."""
    from mammo.cells import for_people
    from mammo.files import write_table

    for path, table in ((out, answers.table), (marks, answers.marks)):
        if path is not None and table is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_table(for_people(table), path, new=True)


def _check_dicom(run: "RunFolder", folders: dict[str, Path]) -> None:
    """Refuse folders of DICOM objects, by option, if one cannot be written, or a package or regions are missing."""
    from mammo.runs.checks import check_writable

    for option, path in folders.items():
        if importlib.util.find_spec("highdicom") is None:
            raise InputError(f"{option} needs another package: pip install 'mammo[dicom-out]'")
        if option == "--dicom-seg" and run.config.task.kind != "segmentation":
            raise InputError(f"{option}: {run.path} finds no regions, as task=segmentation does; leave the option out")
        check_writable(path, option)


def _write_dicom(option: str, answers: "Answers", films: list[str], folder: Path) -> list[str]:
    """Write the DICOM objects that an option asks for; return notes."""
    if option == "--dicom-seg":
        from mammo.inference.dicom_segments import write_segments

        return write_segments(answers, films, folder)
    from mammo.inference.dicom_report import write_reports

    return write_reports(answers, films, folder)


def with_settings(words: list[str]) -> tuple[list[str], "DataConfig | None"]:
    """Return which words of the command line name films, and the settings that the others give; None without any.

    Raises:
        InputError: A setting is unknown, or has nothing to do with the films that are named.
    """
    from mammo.inference.films import OF_TABLES, SPACING, TABLES

    settings = [word for word in words if word.startswith("data.") and "=" in word and not Path(word).exists()]
    films = [word for word in words if word not in settings]
    if not settings:
        return films, None
    from mammo.runs.compose import config_of

    data = config_of(["data=table", *settings], {}).data
    for word in settings:
        name = word.partition("=")[0].split(".")[1]
        if name not in (*OF_TABLES, SPACING):
            read = ", ".join(f"data.{one}" for one in (*OF_TABLES, SPACING))
            raise InputError(
                f"{word} does nothing here: films are read as the run read its own, and of the settings of data {read} "
                "are looked at; leave it out"
            )
        if name in OF_TABLES and not any(one.lower().endswith(TABLES) for one in films):
            raise InputError(f"{word} is for a table of films, and none is named; name one, or leave it out")
    return films, data


def check_idle(option: str, others: Mapping[str, object]) -> None:
    """Refuse an option, by its name, that does nothing beside another one."""
    if idle := [name for name, value in others.items() if value]:
        raise InputError(f"{idle[0]} does nothing with {option}; leave it out")


def point_of(text: str | None) -> tuple[float, float] | None:
    """Return the point that `--at` names; None without one."""
    if text is None:
        return None
    try:
        x, y = map(float, text.split(","))
    except ValueError:
        raise InputError(f"--at {text}: expected x,y in pixels from the top left, say --at 512,300") from None
    return x, y
