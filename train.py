"""The only Hydra program: trains one classifier, describes its films, fits the heads, writes the report."""

import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from omegaconf import DictConfig

from mammo import InputError, choices, sweep


def train(cfg: dict[str, Any], folder: Path) -> dict[str, float]:
    """Runs one job into its run folder, on every device the same; returns `<part>/<head>/<metric>`: value."""
    import lightning as L

    from mammo import callbacks, devices, guard, run
    from mammo.classifier import Classifier
    from mammo.data.datamodule import MammogramDataModule
    from mammo.evaluation import report

    clock = run.Clock()
    run.quieten()
    L.seed_everything(cfg["seed"], workers=True, verbose=False)
    settings, early = cfg["trainer"], cfg["early_stopping"]
    plan = devices.plan(settings["accelerator"], settings["devices"], settings["precision"])
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
        folder, chooses, early["patience"], progress=plan.progress, resumable=classifier.net.trained_features
    )
    trainer = L.Trainer(
        **settings | plan.trainer_settings(),
        default_root_dir=folder,
        logger=run.tensorboard(folder),
        callbacks=[guard.Guard(cfg["select_on"]), *during_fit, results],
    )
    if plan.main:
        run.open_run(folder, cfg, data, classifier, plan, earlier)
    clock.lap("tables and pictures")
    if cfg["fit"]:
        trainer.fit(classifier, datamodule=data)
        clock.lap("trunk and training")
    trainer.predict(classifier, datamodule=data, ckpt_path=best, weights_only=True, return_predictions=False)
    clock.lap("predictions and heads")
    if not plan.main:
        return {}
    metrics = report.write(folder)
    clock.lap("report")
    run.close_run(folder, trainer, cfg, metrics, clock)
    return metrics


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(cfg: DictConfig) -> float | None:
    """Composes the configuration, runs the job on its devices unless it is done, returns the objective."""
    from mammo import devices, settings

    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        sweep.check_job()
        checked = settings.effective(cfg, list(HydraConfig.get().overrides.task))
        metrics = sweep.finished(folder, checked)
        if metrics is None:
            metrics = devices.launch(train, checked, folder)
            sweep.finish(folder, checked, metrics)
        return settings.objective(checked["objective"], metrics)
    except (InputError, FileNotFoundError) as error:
        raise CompactHydraException(f"error: {error}") from None


if __name__ == "__main__":
    sweep.register()
    try:
        sys.argv[1:] = sweep.resumed(sys.argv[1:])
        choices.check_choices(sys.argv[1:], Path(__file__).parent / "conf")
    except InputError as error:
        sys.exit(f"error: {error}")
    main()
