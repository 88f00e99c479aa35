"""A training that was interrupted ends with the weights of one that was not."""

from typing import Any

from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from attnseg.engine.data_order import EndlessBatches, place_samples
from attnseg.engine.step_seed import seed_everything
from attnseg.registry import HOOKS

_STOPPING = "early_stopping"


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make randomness and data depend on the step alone, and begin again exactly where it ended.

    - Each training step draws under a seed made of the run's seed, the process and the step;
      each sample under one of the run's seed and its place in the data (``engine.data_order``).
    - Data of finished steps are skipped without being loaded, also in the midst of an epoch.
    - The validation that was due behind the checkpoint's step is run (again): it may move the best
      score, early stopping, and schedulers that watch a metric.
    - What early stopping has counted goes into checkpoints.

    On CPUs the weights are then equal bit for bit, with the same number of processes. Gradients
    that are being accumulated are in no checkpoint: save at multiples of the accumulation.
    Transforms that remember earlier samples (``CachedMosaic``) begin anew.
    """

    # Behind all others: before_train then finds every hook's state restored.
    priority = "LOWEST"

    def __init__(self) -> None:
        self._resumed = False

    def before_run(self, runner: Runner) -> None:
        """Give each sample its seed, before the first is read."""
        loop = runner.train_loop
        place_samples(loop.dataloader, runner.seed, runner.rank, runner.world_size)
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = EndlessBatches(loop.dataloader)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Restore early stopping."""
        self._resumed = bool(runner._resume)
        if self._resumed:
            saved = checkpoint.get("meta", {}).get(_STOPPING) or []
            for hook, state in zip(_stopping_hooks(runner), saved, strict=False):
                hook.best_score, hook.wait_count = state["best_score"], state["wait_count"]

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep early stopping."""
        if hooks := _stopping_hooks(runner):
            checkpoint["meta"][_STOPPING] = [
                {"best_score": hook.best_score, "wait_count": hook.wait_count} for hook in hooks
            ]

    def before_train(self, runner: Runner) -> None:
        """Go to where the checkpoint was saved."""
        loop = runner.train_loop
        if not self._resumed or loop.iter == 0:
            return
        self._resumed = False
        if isinstance(loop, EpochBasedTrainLoop):
            done = loop.iter - loop.epoch * len(loop.dataloader)
            if done > 0:
                _enter_epoch(loop, done)
                return
            step, last = loop.epoch, loop.max_epochs
        else:
            step, last = loop.iter, loop.max_iters
        loop._decide_current_val_interval()
        due = step >= loop.val_begin and (step % loop.val_interval == 0 or step == last)
        if due and runner.val_loop is not None:
            runner.logger.info(f"The validation behind step {step} comes first.")
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the step; the runner's seed may be that of the checkpoint."""
        seed_everything(runner.seed, runner.rank, runner.iter)


def _stopping_hooks(runner: Runner) -> list[EarlyStoppingHook]:
    return [hook for hook in runner.hooks if isinstance(hook, EarlyStoppingHook)]


def _enter_epoch(loop: EpochBasedTrainLoop, done: int) -> None:
    """Have the loop's next epoch begin behind ``done`` batches."""

    def run_rest() -> None:
        del loop.run_epoch
        loop.runner.call_hook("before_train_epoch")
        loop.runner.model.train()
        loop.dataloader.batch_sampler.start_at(done)
        for index, batch in enumerate(loop.dataloader, start=done):
            loop.run_iter(index, batch)
        loop.runner.call_hook("after_train_epoch")
        loop._epoch += 1

    loop.run_epoch = run_rest
