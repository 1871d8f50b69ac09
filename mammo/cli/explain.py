"""The command that shows where a finished run looks: explain."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from mammo.cli.predict import NOTHING, check_idle, point_of, with_settings
from mammo.errors import InputError
from mammo.wording import number_of


def explain(
    run: Annotated[Path, typer.Argument(help="the folder of a finished run")],
    films: Annotated[
        list[str] | None,
        typer.Argument(
            help="films, folders or tables of films, or images of the run's data set by their image_id; and settings "
            "as of mammo predict, such as data.spacing_mm=<mm>"
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="the head to explain [default: softmax; of a detector: detector]")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for the pictures [default: explained]")] = None,
    at: Annotated[
        str | None, typer.Option(help="a point x,y of one film in pixels, for a run on lesion windows")
    ] = None,
    score: Annotated[
        bool, typer.Option("--score", help="score the maps against the lesions of the test part, into the run's report")
    ] = False,
) -> None:
    """Show where a finished run looks on films, or score its maps.

    Each film gets a picture: the film, and beside it the map of what speaks for the class.

    The exit status is 0 (all films were explained), 1 (some were left out) or 2 (none could be used).
    """
    from mammo.run_folder import RunFolder
    from mammo.runs.checks import check_writable
    from mammo.runs.external_data import check_run
    from mammo.runs.plugins import load_plugins_of

    folder = RunFolder(run)
    check_run(folder)
    if bool(films) == score:
        raise InputError("name films to explain, or --score to score the maps of the test part, and not both")
    if score:
        check_idle("--score", {"--out": out, "--at": at})
    out = out or Path("explained")
    if not score:
        check_writable(out, "--out")
    load_plugins_of(folder)

    from mammo.inference.build import build_predictor  # imports torch, which bad input should not wait for

    if score:
        from mammo.explaining.scoring import score_maps
        from mammo.reports import explained
        from mammo.reports import run as report

        table = score_maps(folder, head)
        folder.write_explained(table)
        report.write(run)
        typer.echo("\n".join([*explained.lines(table), "", f"written: {run / 'explained.csv'}, {run / 'report.md'}"]))
        return
    from mammo.errors import UnreadableFilm
    from mammo.explaining.films import explanations, picture_path
    from mammo.explaining.picture import save

    done, left_out, named = 0, 0, Counter[str]()
    sources, data = with_settings(films or [])
    for one in explanations(build_predictor(folder, head), sources, point_of(at), data, out):
        if isinstance(one, UnreadableFilm):
            typer.echo(f"left out: {one}")
            left_out += 1
            continue
        save(one, path := picture_path(out, one, named))
        typer.echo(f"{one}; written: {path}")
        done += 1
    typer.echo(f"{number_of(done, 'film')} explained, {left_out} left out. Not for diagnostic use.")
    if left_out:
        raise typer.Exit(1 if done else NOTHING)
