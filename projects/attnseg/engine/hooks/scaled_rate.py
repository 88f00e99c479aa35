"""The learning rate follows the batch."""

import math

from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner

from attnseg.registry import HOOKS

RULES = {"linear": float, "sqrt": math.sqrt}


@HOOKS.register_module()
class ScaledRateHook(Hook):
    """Multiply the learning rate by the batch's size over that which it was chosen for.

    Linearly, as Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 2.1, for SGD; or by
    the square root, as Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient
    Algorithms" (2022), for Adam. The batch is that of one update: processes x images each x
    accumulated steps. Rates that a schedule names itself (``eta_min``) stay.

    Args:
        base_batch: Images of an update that the config's rate is for.
        rule: ``linear`` or ``sqrt``.
        accumulate: Steps in an update.
    """

    def __init__(self, base_batch: int, rule: str = "linear", accumulate: int = 1) -> None:
        self.base_batch, self.rule, self.accumulate = base_batch, rule, accumulate

    def before_run(self, runner: Runner) -> None:
        """Scale rates before a checkpoint is loaded: it has scaled ones."""
        if not isinstance(runner.optim_wrapper, (OptimWrapper, OptimWrapperDict)):  # a test
            return
        # A loader with a batch sampler of its own has no batch size itself.
        batch = runner.train_dataloader.batch_sampler.batch_size
        images = batch * self.accumulate * runner.world_size
        factor = RULES[self.rule](images / self.base_batch)
        wrappers = runner.optim_wrapper
        wrappers = wrappers.values() if isinstance(wrappers, OptimWrapperDict) else [wrappers]
        rates = []
        for wrapper in wrappers:
            for group in wrapper.param_groups:
                old = group.get("initial_lr", group["lr"])
                rates.append(f"{old:.4g} -> {old * factor:.4g}")
                group["lr"] *= factor
                if "initial_lr" in group:
                    group["initial_lr"] *= factor
        schedulers = runner.param_schedulers or []
        named = schedulers.values() if isinstance(schedulers, dict) else [schedulers]
        for scheduler in (item for part in named for item in part):
            if scheduler.param_name == "lr":
                scheduler.base_values = [value * factor for value in scheduler.base_values]
        runner.logger.info(
            f"learning rate for {images} images an update instead of {self.base_batch} "
            f"({self.rule}): {', '.join(dict.fromkeys(rates))}"
        )
