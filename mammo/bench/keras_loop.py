"""The paper's stack, Keras on TensorFlow, with the same backbone, batch, size and optimiser. Needs Keras."""

from typing import Any

import keras
import numpy as np

from mammo.bench.protocol import Action, serve, timed

NETWORKS = {"vgg16": keras.applications.VGG16, "inception": keras.applications.InceptionV3}


def build(settings: dict[str, Any]) -> dict[str, Action]:
    """Return the actions: training and prediction on arrays in memory.

    Args:
        settings: `name` of the backbone, `side` in pixels, `batch` size, and `policy`, Keras's name of the precision.
    """
    keras.mixed_precision.set_global_policy(settings["policy"])
    shape = (settings["side"], settings["side"], 3)
    backbone = NETWORKS[settings["name"]](weights=None, include_top=False, pooling="avg", input_shape=shape)
    dropped = keras.layers.Dropout(0.5)(backbone.output)
    logits = keras.layers.Dense(2, dtype="float32")(dropped)
    model = keras.Model(backbone.input, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-4), loss)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((settings["batch"], *shape), dtype=np.float32)
    y = rng.integers(0, 2, settings["batch"])

    return {
        "train": lambda count: timed(lambda: model.train_on_batch(x, y), count),
        "predict": lambda count: timed(lambda: model.predict_on_batch(x), count),
    }


if __name__ == "__main__":
    serve(build)
