"""One job, from its configuration to its report: what each of its processes runs."""

from pathlib import Path
from typing import Any

import lightning as L

from mammo.processes import devices
from mammo.reports import run as report
from mammo.runs import write as run
from mammo.tasks.classification import Classifier
from mammo.training import callbacks, guard
from mammo.training.datamodule import MammogramDataModule


def train(cfg: dict[str, Any], folder: Path) -> dict[str, float]:
    """Runs one job into its run folder, on every device the same; returns `<part>/<head>/<metric>`: value.

    With `ckpt_path=last` it goes on from the folder's `last.ckpt`, where there is one, and comes to what it would have
    come to uncut.
    """
    clock = run.Clock()
    run.quieten()
    kept = folder / "checkpoints" / "last.ckpt"
    last = kept if cfg["ckpt_path"] == "last" and kept.is_file() else None
    L.seed_everything(cfg["seed"], workers=True, verbose=False)
    settings, early = cfg["trainer"], cfg["early_stopping"]
    plan = devices.plan_of(cfg)
    plan.prepare()
    data = MammogramDataModule.of(cfg)
    plan.check_batch(data.batch_size)
    earlier = None if cfg["fit"] else run.find_run(Path(cfg["ckpt_path"]))
    best = earlier.checkpoint if earlier else folder / "checkpoints" / "best.ckpt"
    model = cfg["model"] | ({"frozen_stages": earlier.frozen_stages} if earlier else {})
    classifier = Classifier(model=model, classes=list(data.task.classes), loss=cfg["loss"], **cfg["optim"])
    clock.lap("model")
    data.load()
    clock.lap("films and crops")
    classifier.weigh(data.class_counts())
    if earlier:
        classifier.restore(best)  # before the datamodule asks for what the trunk makes of the films
    results = callbacks.Results(
        folder,
        names=cfg["heads"],
        fold=cfg["data"]["fold"],
        seed=cfg["seed"],
        fitted=earlier.heads if earlier else None,
    )
    chooses = data.watched if data.chooses else None
    during_fit = callbacks.during_fit(
        folder,
        chooses,
        early["patience"],
        progress=plan.progress,
        resumable=classifier.net.trained_features or not data.cache,  # else it is trained again before that is read
    )
    if plan.main:
        run.open_run(folder, cfg, data, classifier, plan, earlier, last)
    trainer = L.Trainer(
        **settings | plan.trainer_settings(),
        default_root_dir=folder,
        logger=run.tensorboard(folder, last),
        callbacks=[guard.Guard(cfg["select_on"]), *during_fit, results],
    )
    clock.lap("tables and pictures")
    if cfg["fit"]:
        trainer.fit(classifier, datamodule=data, ckpt_path=last)
        clock.lap("trunk and training")
    trainer.predict(classifier, datamodule=data, ckpt_path=best, return_predictions=False)
    clock.lap("predictions and heads")
    if not plan.main:
        return {}
    metrics = report.write(folder)
    clock.lap("report")
    run.close_run(folder, trainer, cfg, metrics, clock)
    return metrics
