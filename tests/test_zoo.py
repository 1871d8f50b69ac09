"""Every backbone through everything: it trains, gives features, every head fits them, its checkpoint loads."""

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir

from mammo.models.backbones import BACKBONES
from mammo.models.heads import HEADS
from mammo.run_folder import RunFolder
from mammo.runs import settings
from mammo.runs.train import train
from tests.conftest import CONF


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_a_backbone_trains_gives_features_fits_every_head_and_is_evaluated_again(job, name):
    row = BACKBONES[name]
    side = row.min_side + -row.min_side % row.step
    folder, metrics = job(f"model={name}", f"model.image_size={side}", "heads=all", "trainer.max_epochs=1")
    features, rows = RunFolder(folder).features()
    assert features.shape == (len(rows), row.width)
    predictions = pd.read_csv(folder / "predictions.csv")
    assert set(predictions["head"]) == {"softmax", *HEADS, "shortcuts", "majority"}
    assert all(f"test/{head}/auroc" in metrics for head in HEADS)
    lines = ["fit=false", f"ckpt_path={folder}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = settings.effective(compose("config", lines), lines)
    again = folder.parent / f"{folder.name}-again"
    train(cfg, again)
    assert (again / "predictions.csv").read_bytes() == (folder / "predictions.csv").read_bytes()
