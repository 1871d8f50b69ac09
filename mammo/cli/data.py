"""Films: fetch, init, check, prepare, example. Also verify, summary, cache."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mammo.cli.verbs import Verbs
from mammo.errors import InputError
from mammo.wording import number_of

if TYPE_CHECKING:
    from mammo.config import Config
    from mammo.datasets.base import Dataset

app = Verbs(help=__doc__)
LISTED = 50  # files passed over that are named with their reason
SUMMARY, CHECK = "mammo data summary", "mammo data check"  # the titles of their pictures
Name = Annotated[str, typer.Argument(help="mias, phantom, or a class of your own, for example my_lab.Films")]
Root = Annotated[str | None, typer.Option(help="folder of the films [default: below MAMMO_HOME]")]
Archive = Annotated[str | None, typer.Option(help="mias: path of all-mias.tar.gz [default: MAMMO_MIAS_ARCHIVE]")]
Patients = Annotated[int | None, typer.Option(help="phantom: the number of patients that are drawn, two films each")]
FilmSeed = Annotated[int | None, typer.Option(help="phantom: the seed from which the films are drawn")]


def opened(name: str, **settings: object) -> "Dataset":
    """Return the data set of a name or of a class `module.Class`, with all settings that are not None."""
    from mammo.config import DataConfig
    from mammo.datasets.registry import open_dataset

    given = {key: value for key, value in settings.items() if value is not None}
    return open_dataset(DataConfig(**({"_target_": name} if "." in name else {"name": name}), **given))  # type: ignore[arg-type]


def config_of_source(source: str, words: list[str]) -> "Config":
    """Return the settings for a data set's name, a class `module.Class`, or else a table; words as in training follow.

    A folder or file that is named like a data set does not hide it; `./mias` is the folder.
    """
    from mammo.cli.options import check_choices
    from mammo.datasets.registry import DATASETS
    from mammo.paths import conf
    from mammo.runs.compose import config_of
    from mammo.runs.hydra_words import for_hydra
    from mammo.targets import find_target

    check_choices(for_hydra(words), conf())
    if source in DATASETS:
        return config_of([f"data={source}", *words], {})
    if "." in source and all(part.isidentifier() for part in source.split(".")) and not Path(source).exists():
        try:
            find_target(source, "data")
        except InputError:  # then it is a table that does not exist, and the error says so
            pass
        else:
            return config_of([f"data._target_={source}", *words], {})
    return config_of(["data=table", *words], {"data": {"table": source}})  # no word: Hydra would split it at a comma


@app.command()
def fetch(
    name: Name = "mias",
    root: Root = None,
    archive: Archive = None,
    patients: Patients = None,
    film_seed: FilmSeed = None,
) -> None:
    """Unpack the films from an archive, or download them; those of the phantom are drawn."""
    dataset = opened(name, root=root, archive=archive, patients=patients, film_seed=film_seed)
    dataset.prepare()
    typer.echo(f"{number_of(dataset.findings()['image_id'].nunique(), 'film')} in {_place(dataset)}")
    _say_notes(dataset)


@app.command()
def verify(name: Name = "mias", root: Root = None, patients: Patients = None, film_seed: FilmSeed = None) -> None:
    """Read every film on disk, compare its pixels with the manifest if there is one, and list all films that differ."""
    dataset = opened(name, root=root, patients=patients, film_seed=film_seed)
    if not Path(root := str(_place(dataset))).is_dir() and hasattr(dataset, "root"):
        raise InputError(f"no films in {root}; run `python -m mammo data fetch {name}`")
    images, wrong = sorted(set(dataset.findings()["image_id"])), 0
    for image_id in images:
        try:
            dataset.read(image_id)
        except InputError as error:
            wrong += 1
            typer.echo(str(error))
    if wrong:
        raise InputError(f"{wrong} of {len(images)} films are missing or altered; fetch the data set again")
    typer.echo(f"{number_of(len(images), 'film')} in {_place(dataset)} are in order")
    _say_notes(dataset)


def _say_notes(dataset: "Dataset") -> None:
    for note in getattr(dataset, "notes", ()):
        typer.echo(f"note: {note}")


def _place(dataset: "Dataset") -> object:
    return getattr(dataset, "root", dataset.name)


@app.command()
def summary(
    name: Name = "mias",
    root: Root = None,
    patients: Patients = None,
    film_seed: FilmSeed = None,
    picture: Annotated[Path | None, typer.Option(help="PNG to write [default: <name>-films.png]")] = None,
) -> None:
    """Count classes, densities, severities and patients; draw sample films with their circles."""
    from mammo import figures
    from mammo.datasets import summary as summaries
    from mammo.datasets.base import load_findings
    from mammo.files import check_own_picture

    path = picture or Path(f"{name}-films.png")
    check_own_picture(path, SUMMARY, "--picture")
    dataset = opened(name, root=root, patients=patients, film_seed=film_seed)
    table = load_findings(dataset)
    for title, counts in summaries.counts(table).items():
        typer.echo(f"{title + ':':19}" + ", ".join(f"{count} {value}" for value, count in counts.items()))
    figures.save(summaries.picture(dataset, table), path, Title=SUMMARY)
    typer.echo(f"{'picture:':19}{path}")


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="the folder of your films; folders in it are searched too")],
    out: Annotated[Path | None, typer.Option(help="the table to write [default: films.csv in the folder]")] = None,
    patient_from: Annotated[
        str | None, typer.Option(help="regular expression that finds the patient in the path, for example '(P\\d+)_'")
    ] = None,
) -> None:
    """Write a first table of a folder of films from their headers, or their names; its labels are yours to fill in."""
    from mammo.datasets.first_table import first_table, write_first_table
    from mammo.files import check_new_table
    from mammo.runs.hydra_words import written

    out = out or folder / "films.csv"
    check_new_table(out, "--out")
    made = first_table(folder, patient_from)
    write_first_table(made, folder, out)
    for path, why in list(made.passed_over.items())[:LISTED]:
        typer.echo(f"passed over: {why if path in why else f'{path}: {why}'}")
    if (more := len(made.passed_over) - LISTED) > 0:
        typer.echo(f"passed over: {more} more files")
    if made.hidden:
        hidden = number_of(made.hidden, "hidden file or folder", "hidden files and folders")
        typer.echo(f"passed over: {hidden}, with a dot at the beginning of the name")
    for note in made.notes:
        typer.echo(note)
    patients = made.rows["patient"].nunique()
    without = int(made.rows["patient"].isna().sum())
    of = number_of(patients, "patient") + (f" and {without} without a patient" if without else "")
    typer.echo(
        f"{number_of(len(made.rows), 'film')} of {of}, {number_of(len(made.passed_over), 'file')} "
        f"passed over; see {out}"
    )
    train = ["data=table", written("data.table", str(out)), "task=label", "task.column=label"]
    first = "fill in patient, look:    " if without else "look at them:             "
    typer.echo(f"{first}{shlex.join(['mammo', 'data', 'check', str(out)])}")
    typer.echo(f"fill in the column label: {shlex.join(['mammo', 'train', *train])}")


@app.command()
def example(
    folder: Annotated[Path, typer.Argument(help="a new folder")],
    patients: Annotated[int, typer.Option(help="the number of patients, two films each")] = 20,
    film_seed: Annotated[int, typer.Option(help="the seed of the drawing; another one draws other patients")] = 0,
) -> None:
    """Write drawn films as a lab has them, DICOM, PNG and TIFF, with a table as a spreadsheet saves it."""
    from mammo.datasets.example import write_example
    from mammo.runs.checks import check_writable

    check_writable(folder, "the folder of the films")
    table = write_example(folder, patients, film_seed)
    look = shlex.join(["mammo", "data", "check", str(table)])
    typer.echo(f"{number_of(2 * patients, 'film')} and {table}; look at them with `{look}`")


@app.command()
def check(
    source: Annotated[
        str,
        typer.Argument(help="a data set's name, a class module.Class, or a table of films (CSV, TSV, XLSX, Parquet)"),
    ],
    words: Annotated[
        list[str] | None,
        typer.Argument(help="settings as in training, for example data.columns.patient=PatientID task=label"),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="PNG to write [default: <name>-check.png]")] = None,
    all_: Annotated[bool, typer.Option("--all", help="read every film, not only 500 from all over the table")] = False,
) -> None:
    """Say what was understood of a table and its films, what is wrong with them, and draw some of them.

    The exit status is 0 (nothing wrong), 1 (something is wrong) or 2 (the table cannot be used).
    """
    from mammo.datasets.base import choose_images
    from mammo.datasets.labels import Labels, check_task
    from mammo.datasets.registry import DATASETS, open_dataset
    from mammo.files import check_own_picture

    _refuse_folder(source)
    path = picture or Path(f"{Path(source).stem}-check.png")
    check_own_picture(path, CHECK, "--picture")
    config = config_of_source(source, words or [])
    if config.data.table == source and not Path(source).expanduser().exists():
        raise InputError(
            f"{source}: no such file, and no data set; expected a table of films (CSV, XLSX or Parquet), or one of "
            f"{', '.join(name for name in DATASETS if name != 'table')}"
        )
    dataset, labels = open_dataset(config.data), None
    dataset.prepare()
    if any(word.partition("=")[0].partition(".")[0] == "task" for word in words or []):
        from mammo.training.prepare import choose

        config, chosen = choose(dataset, config)
        labels = Labels.from_config(config.task)
        check_task(labels, chosen.findings, config.task.kind)
    else:
        chosen = choose_images(dataset, config.data)

    from mammo import figures  # the films are read only if the table can be used
    from mammo.auditing.check import check as checked

    found = checked(dataset, chosen.findings, chosen.notes, None if all_ else 500, labels)
    typer.echo("\n".join(found.lines()).replace("**", ""))
    if hasattr(dataset, "understood"):
        typer.echo("".join(f"alike:      {doubt}\n" for doubt in dataset.understood.doubts()), nl=False)
    if found.sheet is not None:
        figures.save(found.sheet, path, Title=CHECK)
        typer.echo(f"picture: {path}")
    if found.faults:
        raise typer.Exit(1)


def _refuse_folder(source: str) -> None:
    """Refuse a folder, whose films need a table."""
    from mammo.datasets.registry import DATASETS

    if source not in DATASETS and Path(source).expanduser().is_dir():
        first = Path(source) / "films.csv"
        do = f"mammo data check {first}" if first.is_file() else f"mammo data init {source}, which writes one"
        raise InputError(f"{source} is a folder; expected a table of its films: {do}")


@app.command("cache")
def cache_(
    clear: Annotated[bool, typer.Option("--clear", help="remove all cached files")] = False,
    limit: Annotated[
        str | None, typer.Option(help="keep at most this much, for example 5GB; files used longest ago are removed")
    ] = None,
) -> None:
    """Show the caches of crops, frozen features, GANs and audits. Everything in them can be computed again."""
    from mammo.paths import home
    from mammo.preprocessing import cache

    kept = cache.clear(home()) if clear else []
    if limit is not None:
        kept = cache.bound(home(), cache.parse_bytes(limit))
    for folder in kept:
        typer.echo(f"kept: {folder}, which a running program uses; repeat this when it has ended")
    for kind, (files, size) in cache.sizes(home()).items():
        typer.echo(f"{kind + ':':8}{size / 1e6:10,.1f} MB in {number_of(files, 'file')}  {home() / kind}")
