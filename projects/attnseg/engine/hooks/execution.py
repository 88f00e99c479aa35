"""How a training is computed, with nothing of what it computes changed."""

import functools
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from attnseg.engine.blocks import checkpoint_blocks, compile_parts, find_blocks
from attnseg.engine.sharding import ShardedModel
from attnseg.errors import InputError
from attnseg.registry import HOOKS


@HOOKS.register_module()
class ExecutionHook(Hook):
    """Recompute activations, compile and shard a model once its weights are loaded.

    Args:
        compile: Compile encoder, neck and heads; with ``checkpoint_activations`` the blocks alone.
        checkpoint_activations: Keep no inner results of the model's blocks; or the names of the
            modules that this is for.

    Raises:
        InputError: As the training starts, if the model has no such block or module.
    """

    priority = "VERY_HIGH"

    def __init__(
        self, *, compile: bool = False, checkpoint_activations: bool | list[str] = False
    ) -> None:
        self.compile, self.checkpoint = compile, checkpoint_activations

    def before_train(self, runner: Runner) -> None:
        """Change the model where it stands."""
        wrapped = is_model_wrapper(runner.model)
        model = runner.model.module if wrapped else runner.model
        paths = None if isinstance(self.checkpoint, bool) else list(self.checkpoint)
        shards = isinstance(runner.model, ShardedModel)
        units = list(_blocks_or_none(model).values()) if shards else []
        if self.checkpoint:
            count = checkpoint_blocks(model, paths, compiled=self.compile)
            runner.logger.info(f"activations of {count} blocks are computed again, not kept.")
        elif self.compile and (names := compile_parts(model)):
            runner.logger.info(f"compiled {', '.join(names)}: the first steps take long.")
        if shards:
            runner.model.shard(units, runner.optim_wrapper)
            runner.save_checkpoint = _saving_whole(runner)
            runner.logger.info(f"sharded: {len(units)} blocks and the rest.")

    def before_val(self, runner: Runner) -> None:
        """Gather the weights: processes may have different numbers of images to predict."""
        if isinstance(runner.model, ShardedModel) and runner.model.sharded:
            runner.model.gather()

    def after_val(self, runner: Runner) -> None:
        """Let go of them."""
        if isinstance(runner.model, ShardedModel) and runner.model.sharded:
            runner.model.release()


def _blocks_or_none(model: Any) -> dict[str, Any]:
    try:
        return find_blocks(model)
    except InputError:
        return {}


def _saving_whole(runner: Runner) -> Any:
    save = runner.save_checkpoint

    @functools.wraps(save)
    def save_whole(*args: Any, **kwargs: Any) -> None:
        with runner.model.whole_states(runner.optim_wrapper):
            save(*args, **kwargs)

    return save_whole
