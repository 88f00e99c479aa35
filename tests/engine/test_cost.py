"""Meters of a run's cost, and that counting leaves no trace."""

import random
import time

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel, BaseTTAModel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from attnseg.engine.cost import ForwardMeter, count_image, first_image, require_whole, unwrapped
from attnseg.engine.forward import raw_forward


class Net(BaseModel):
    """A convolution, with everything that a count could disturb."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.seconds = seconds
        self.modes: list[str] = []

    def forward(self, inputs: object, data_samples: object = None, mode: str = "tensor") -> object:
        self.modes.append(mode)
        time.sleep(self.seconds)
        images = torch.stack(list(inputs)) if not torch.is_tensor(inputs) else inputs
        noise = torch.rand(1) + random.random() + np.random.rand()
        maps = self.norm(self.conv(images)) + noise
        return list(maps) if mode == "predict" else maps


def _batch(images: int = 2, size: int = 8) -> dict:
    return {"inputs": [torch.rand(3, size, size) for _ in range(images)], "data_samples": None}


def test_forward_times_are_those_of_predictions() -> None:
    model, meter = Net(seconds=0.004).eval(), ForwardMeter(warmup=2)
    meter.start(model)
    for _ in range(6):
        time.sleep(0.01)
        model(_batch()["inputs"], mode="predict")
        model(_batch()["inputs"], mode="tensor")
        meter.end_batch(2)
    meter.stop()
    found = meter.latency()
    assert 4 <= found.p50 <= found.p95
    # The pause and the second pass (18 ms in all) belong to the loop, not to the forward pass.
    assert 0 < meter.images_per_second() < 2 / 0.018
    model(_batch()["inputs"], mode="predict")
    assert len(meter._seconds) == 6 and not model._forward_hooks


def test_the_views_of_an_image_add_up_and_the_warm_up_is_left_out() -> None:
    model, meter = Net().eval(), ForwardMeter(warmup=1)
    meter.start(model)
    for pause in (0.5, 0.0, 0.0, 0.0):
        model.seconds = pause
        model(_batch()["inputs"], mode="predict")
        model.seconds = 0.003
        model(_batch()["inputs"], mode="predict")
        meter.end_batch(2)
    assert 3 <= meter.latency().p50 <= meter.latency().p95 < 400


def test_one_batch_tells_no_time() -> None:
    model, meter = Net().eval(), ForwardMeter()
    assert meter.latency() is None and meter.images_per_second() is None
    meter.start(model)
    model(_batch()["inputs"], mode="predict")
    meter.end_batch(2)
    assert meter.latency() is None and meter.images_per_second() is None


def test_a_count_leaves_everything_as_it_was() -> None:
    model, image = Net().train(), first_image(_batch(3))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    found = count_image(model, image)
    assert (found.params, found.macs, found.input) == (116, 27 * 4 * 64, None)
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert model.training and model.norm.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_the_first_image_is_a_copy() -> None:
    batch = _batch()
    (view,) = first_image(batch | {"data_samples": [{"a": [1]}, {}]})
    assert [len(field) for field in view.values()] == [1, 1]
    view["inputs"][0].zero_()
    assert batch["inputs"][0].any()
    (pair,) = first_image([batch["inputs"], torch.rand(2, 5)])
    assert len(pair[0]) == 1 and pair[1].shape == (1, 5)


def test_each_view_is_counted() -> None:
    class Flips(BaseTTAModel):
        def merge_preds(self, data_samples_list: list) -> list:
            return data_samples_list

    model = Flips(Net())
    views = {"inputs": [_batch()["inputs"]] * 2, "data_samples": [[None, None]] * 2}
    parts = first_image(views, views=True)
    assert len(parts) == 2
    found = count_image(unwrapped(model), parts)
    assert found.macs == 2 * 27 * 4 * 64


def test_a_head_that_asks_for_samples_gets_them() -> None:
    class Head(nn.Module):
        def forward(self, x: torch.Tensor, batch_data_samples: list) -> tuple:
            return x, batch_data_samples

    class Segmentor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decode_head = Head()

        def extract_feat(self, inputs: torch.Tensor) -> torch.Tensor:
            return 2 * inputs

    maps, samples = raw_forward(Segmentor(), torch.ones(1), ["sample"])
    assert maps.item() == 2 and samples == ["sample"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_peak_memory_of_a_gpu() -> None:
    from attnseg.engine.cost import peak_memory_mib

    torch.cuda.reset_peak_memory_stats()
    held = torch.empty(64 * 2**20, dtype=torch.uint8, device="cuda")
    assert peak_memory_mib("cuda") >= held.numel() / 2**20


def test_a_model_that_may_be_sharded_is_not_run_by_one_process() -> None:
    @MODEL_WRAPPERS.register_module(force=True)
    class ShardingWrapper(nn.Module):
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

    net = nn.Conv2d(1, 1, 1)
    assert require_whole(net) and require_whole(nn.DataParallel(net))
    replicated = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(replicated)
    replicated.module = net
    assert require_whole(replicated)
    try:
        for wrapped in (ShardingWrapper(net), nn.DataParallel(ShardingWrapper(net))):
            with pytest.raises(RuntimeError, match="ShardingWrapper may have spread it"):
                require_whole(wrapped)
    finally:
        MODEL_WRAPPERS.module_dict.pop("ShardingWrapper")
