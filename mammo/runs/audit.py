"""The audit of a run before it trains: several data sets, the split that an archive brings, and films of one's own."""

from dataclasses import replace

from mammo.config import Config
from mammo.datasets.base import Chosen, Dataset
from mammo.datasets.registry import BUILT_IN
from mammo.datasets.table import Table
from mammo.training.prepare import Prepared


def audit(prepared: Prepared, config: Config) -> None:
    """Add to the samples of a run what an audit finds: to `audit` the pairs that leak, to `said` all of it in words.

    A run on one built-in data set with a split that is dealt here is not audited: its names tell all that the split
    needs. Nobody knows that of other films: one picture may be there twice, under the names of two patients.
    What is computed of the films is kept, so that the next run reads none of them. All processes of a job come here:
    one of them computes, and the others wait for it, without a limit of time, and find what it kept.

    Args:
        prepared: The samples of the run.
        config: The configuration of the run.
    """
    rows = prepared.rows()
    images = prepared.findings.drop_duplicates("image_id")
    images = images[images["image_id"].isin(rows["image_id"])].reset_index(drop=True)
    members: dict[str, Dataset] = getattr(prepared.dataset, "members", {prepared.dataset.name: prepared.dataset})
    own = {name for name, one in members.items() if isinstance(one, Table) or one.name not in BUILT_IN}
    within = images["dataset"].isin(own) | (config.split.name == "official")
    if images["dataset"].nunique() < 2 and not within.any():
        return
    if not config.data.audit:
        said = "data.audit=false: films were not compared, so the same picture may be in two parts of the split"
        prepared.said = [*prepared.said, said]
        return
    from mammo.auditing.across import audit_across
    from mammo.auditing.sources import films_of

    films = films_of(prepared.dataset, Chosen(images, []))
    parts = rows.groupby("image_id")["split"].agg(lambda of: "+".join(sorted(set(of))))
    films = replace(films, table=films.table.assign(split=images["image_id"].map(parts)))
    found = audit_across(films, images["dataset"], within=within)
    prepared.audit |= {"pixels_in_two_splits": found.pixels, "exams_in_two_splits": found.exams}
    prepared.said = [*prepared.said, *found.notes]
