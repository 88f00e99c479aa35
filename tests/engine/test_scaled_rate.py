"""The learning rate by the batch, however a loader makes its batches."""

from pathlib import Path

import pytest
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from attnseg.engine.hooks import ScaledRateHook
from tests.engine.recorded import loader, make_runner


@pytest.mark.parametrize(("rule", "factor"), [("linear", 1.5), ("sqrt", 1.5**0.5)])
def test_a_batch_sampler_of_its_own_has_the_batch_size(
    rule: str, factor: float, tmp_path: Path
) -> None:
    made = loader(6)
    batches = BatchSampler(SequentialSampler(made["dataset"]), 3, drop_last=False)
    data = DataLoader(made["dataset"], batch_sampler=batches, collate_fn=made["collate_fn"])
    assert data.batch_size is None
    runner = make_runner(tmp_path, (), train_dataloader=data)
    runner.register_hook(ScaledRateHook(base_batch=4, rule=rule, accumulate=2))
    runner.train()
    assert runner.optim_wrapper.param_groups[0]["lr"] == pytest.approx(0.1 * factor)
