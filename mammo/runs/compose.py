"""The settings of a run that is started from Python; they are composed like those of the command line."""

import logging
from collections.abc import Mapping
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mammo import config as configuration
from mammo.config import Config
from mammo.errors import InputError
from mammo.paths import conf
from mammo.runs import settings
from mammo.runs.hydra_words import for_hydra, said_twice

log = logging.getLogger(__name__)


def config_of(line: list[str], chosen: Mapping[str, Any]) -> Config:
    """Return the settings of a run.

    Args:
        line: Words of the command line, say `["data=phantom", "seed=1"]`.
        chosen: Settings that override these words; a group is a dictionary.

    Raises:
        InputError: A word or setting is unknown, or a value is out of range.
    """
    configuration.register()
    for doubled in said_twice(line):
        log.warning(doubled)
    line = for_hydra(line)
    if GlobalHydra.instance().is_initialized():
        GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf()), version_base="1.3"):
            composed = compose("config", overrides=line)
        own: Any = OmegaConf.to_container(composed, resolve=True)
        for key, value in chosen.items():
            own[key] = own[key] | value if key in ("model", "data", "crop") else value  # a task is not a mixture of two
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(configuration.explained(error)) from None
    return settings.resolve(OmegaConf.create(own), line)
