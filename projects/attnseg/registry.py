"""Child registries of mmengine's, scope ``attnseg``.

Each has a parent in mmengine and the places where its classes live, so that a
config finds ``type='attnseg.X'`` without ``custom_imports`` from any scope.
"""

from mmengine import registry as root
from mmengine.registry import Registry

from attnseg.compat import setup_env

# Whoever names a class of ours, from a notebook or a foreign tool, gets a stack that imports.
setup_env()

_ROOMS = [
    "attnseg.maskattn_unet",
    "attnseg.iaunet",
    "attnseg.cspam_solov2",
    "attnseg.manet",
    "attnseg.mask_refine",
    "attnseg.baselines",
]

MODELS = Registry(
    "model",
    parent=root.MODELS,
    scope="attnseg",
    locations=["attnseg.layers", "attnseg.losses", *_ROOMS],
)
TASK_UTILS = Registry("task util", parent=root.TASK_UTILS, scope="attnseg", locations=_ROOMS)
DATASETS = Registry(
    "dataset", parent=root.DATASETS, scope="attnseg", locations=["attnseg.datasets"]
)
TRANSFORMS = Registry(
    "transform", parent=root.TRANSFORMS, scope="attnseg", locations=["attnseg.datasets"]
)
METRICS = Registry(
    "metric", parent=root.METRICS, scope="attnseg", locations=["attnseg.evaluation.metrics"]
)
HOOKS = Registry(
    "hook",
    parent=root.HOOKS,
    scope="attnseg",
    locations=["attnseg.engine", "attnseg.apis.dependency_hook"],
)
WEIGHT_INITIALIZERS = Registry(
    "weight initializer",
    parent=root.WEIGHT_INITIALIZERS,
    scope="attnseg",
    locations=["attnseg.engine.initializers"],
)
OPTIM_WRAPPERS = Registry(
    "optimizer wrapper", parent=root.OPTIM_WRAPPERS, scope="attnseg", locations=["attnseg.engine"]
)
MODEL_WRAPPERS = Registry(
    "model wrapper", parent=root.MODEL_WRAPPERS, scope="attnseg", locations=["attnseg.engine"]
)
