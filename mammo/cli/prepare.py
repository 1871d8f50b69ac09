"""The command `mammo data prepare`, which cuts the samples of a run before it, in one go or in shards."""

import logging
import re
import sys
from typing import Annotated

import typer

from mammo.errors import InputError
from mammo.wording import number_of


def prepare(
    words: Annotated[list[str], typer.Argument(help="settings as in training, data=<name> first")],
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="cut one shard of the images, say 3/64; counted from 1")
    ] = None,
) -> None:
    """Cut the samples that a training with these settings needs, or one shard of them, into the cache.

    --shard 3/64 cuts the third of 64 shards, on any machine that sees MAMMO_HOME; without it, all is cut that no
    shard has cut. The exit status is 0, 1 (more films are unreadable than data.max_unreadable allows) or 2 (a setting
    is wrong).
    """
    from mammo.cli.options import check_choices
    from mammo.paths import conf
    from mammo.runs import checks
    from mammo.runs.compose import config_of
    from mammo.runs.hydra_words import for_hydra

    own = shard_of(shard)
    check_choices(for_hydra(words), conf())
    config = config_of(words, {})
    checks.check(config)
    if not config.data.cache:
        raise InputError("data.cache=false keeps no crops, so there is nothing to prepare; leave it out")

    from mammo.datasets.registry import open_dataset
    from mammo.processes.peers import peers
    from mammo.training.prepare import choose, split_of
    from mammo.training.shard import cut_shard

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    dataset = open_dataset(config.data)
    dataset.prepare()
    config, chosen = choose(dataset, config)
    found = cut_shard(dataset, chosen.findings, split_of(chosen.findings, config), config, own)

    together = peers()
    who = f"shard {own[0] + 1} of {own[1]}: " if own else ""
    if own is None and together is not None:
        who = f"process {together.rank + 1} of {together.world}: "
    speed = f" ({found.cut / found.seconds:.1f} a second)" if found.cut else ""
    there = found.images - found.cut - len(found.unreadable)
    cut = f"{found.cut} cut{speed}, " + (f"{there} were there, " if there >= 0 else "")
    typer.echo(f"{who}{found.images} of {number_of(found.of, 'image')}: {cut}{len(found.unreadable)} unreadable")
    for image_id, reason in found.unreadable.items():
        typer.echo(f"unreadable: {reason if image_id in reason else f'{image_id}: {reason}'}")
    absent = number_of(found.missing, "image of other shards is", "images of other shards are")
    if found.goes_on:
        typer.echo(
            f"{absent} not there yet, and crop={config.crop.name} may ask for more "
            "when they are; run this again when all shards have ended"
        )
    elif found.missing:
        typer.echo(f"{absent} not there yet; this one is done")
    else:
        typer.echo("all squares are in the cache; a training with these settings cuts nothing")
    if len(found.unreadable) > (allowed := config.data.max_unreadable * found.images + 1e-9):
        typer.echo(f"error: data.max_unreadable={config.data.max_unreadable:g} allows {int(allowed)} of them", err=True)
        raise typer.Exit(1)


def shard_of(shard: str | None) -> tuple[int, int] | None:
    """Return the shard that `I/N` names, counted from 0, and the number of shards.

    Raises:
        InputError: It cannot be read, or is out of range.
    """
    if shard is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", shard)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"--shard {shard}: expected I/N, say 3/64, with a number I from 1 to the number of shards N")
    return int(match[1]) - 1, int(match[2])
