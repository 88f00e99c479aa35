import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from attnseg.maskattn_unet import PixelSegmentor
from attnseg.maskattn_unet.assembly import (
    Assembly,
    AssemblyConfig,
    assemble,
    merge_panoptic,
)
from tests.maskattn_unet.factory import sample, segmentor

SIZES = [(32, 32), (64, 48), (64, 64), (97, 131)]


@pytest.mark.parametrize("task", ["panoptic", "instance"])
@pytest.mark.parametrize("size", SIZES)
def test_forward_loss_and_predict_at_any_size(task: str, size: tuple[int, int]) -> None:
    model = segmentor(task)
    inputs = torch.randn(2, 3, *size)
    logits, embedding = model(inputs, mode="tensor")
    assert logits.shape == (2, 5 if task == "panoptic" else 3, *size)
    assert torch.allclose(embedding.norm(dim=1), torch.ones(2, *size), atol=1e-4)
    losses = model(inputs, [sample(size, 2), sample(size, 1)], mode="loss")
    assert set(losses) == {"loss_cls", "loss_instance"}
    assert all(v.isfinite() for v in losses.values())
    model.eval()
    with torch.no_grad():
        results = model(inputs, [sample(size, 2, (70, 51)), sample(size, 0, (20, 33))], "predict")
    for result, ori in zip(results, [(70, 51), (20, 33)], strict=True):
        pred = result.pred_instances
        assert pred.masks.shape == (len(pred.scores), *ori) and pred.masks.dtype == torch.bool
        assert pred.bboxes.shape == (len(pred.scores), 4)
        assert ("pred_panoptic_seg" in result) == (task == "panoptic")
        if task == "panoptic":
            assert result.pred_panoptic_seg.sem_seg.shape == (1, *ori)
            assert result.pred_sem_seg.sem_seg.shape == (1, *ori)


@pytest.mark.parametrize("task", ["panoptic", "instance"])
@pytest.mark.parametrize("objects", [(2, 1), (2, 0), (0, 0)])
def test_every_parameter_gets_a_gradient_with_and_without_objects(
    task: str, objects: tuple[int, int]
) -> None:
    model = segmentor(task)
    losses = model(torch.randn(2, 3, 32, 48), [sample((32, 48), n) for n in objects], mode="loss")
    sum(losses.values()).backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_a_batch_with_one_labelled_pixel_is_finite() -> None:
    data = sample((32, 32), 0)
    data.gt_sem_seg.sem_seg.fill_(255)
    data.gt_sem_seg.sem_seg[0, 3, 3] = 0
    mask = np.zeros((1, 32, 32), dtype=np.uint8)
    mask[0, 3, 3] = 1
    data.gt_instances = InstanceData(
        labels=torch.tensor([0]), masks=BitmapMasks(mask, 32, 32), bboxes=torch.zeros(1, 4)
    )
    losses = segmentor()(torch.randn(1, 3, 32, 32), [data], mode="loss")
    assert losses["loss_instance"] == 0
    assert losses["loss_cls"] > 0


def test_an_all_void_image_gives_zero_losses() -> None:
    data = sample((32, 32), 0)
    data.gt_sem_seg.sem_seg.fill_(255)
    losses = segmentor()(torch.randn(1, 3, 32, 32), [data], mode="loss")
    assert all(v == 0 for v in losses.values())


def test_crowds_and_padding_are_not_background() -> None:
    model = segmentor("instance")
    data = sample((32, 32), 1)
    data.set_metainfo({"img_shape": (32, 24)})
    crowd = np.zeros((1, 32, 24), dtype=np.uint8)
    crowd[0, 20:30, 10:20] = 1
    data.ignored_instances = InstanceData(
        labels=torch.tensor([0]), masks=BitmapMasks(crowd, 32, 24), bboxes=torch.zeros(1, 4)
    )
    semantic, instances = model.head._targets(data, torch.Size((32, 32)), torch.device("cpu"))
    assert (semantic[20:30, 10:20] == 255).all()
    assert (semantic[:, 24:] == 255).all()
    assert semantic[0, 0] == 2 and semantic[0, 3] == 0
    assert (instances >= 0).sum() == 81


def test_one_image_can_be_fitted() -> None:
    model = segmentor()
    inputs, data = torch.randn(1, 3, 32, 32), [sample((32, 32), 2)]
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    history = []
    for _ in range(30):
        losses = model(inputs, data, mode="loss")
        history.append({k: v.item() for k, v in losses.items()})
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert history[-1]["loss_cls"] < 0.5 * history[0]["loss_cls"]
    assert history[-1]["loss_instance"] < history[0]["loss_instance"] - 0.1


@pytest.mark.parametrize("channels", [1, 5])
def test_other_channel_counts_and_bf16(channels: int) -> None:
    model = segmentor(channels=channels)
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(torch.randn(1, channels, 32, 32), [sample((32, 32), 2)], mode="loss")
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def perfect_logits(classes: torch.Tensor, count: int) -> torch.Tensor:
    return 10 * torch.nn.functional.one_hot(classes, count).permute(2, 0, 1).float()


def test_assembly_of_a_perfect_map() -> None:
    classes = torch.full((16, 16), 3)
    classes[2:8, 2:8] = 1
    classes[2:8, 8:14] = 1
    embedding = torch.zeros(2, 16, 16)
    embedding[0, :, :8] = 1
    embedding[1, :, 8:] = 1
    logits = perfect_logits(classes, 5)
    found = assemble(logits, embedding, (16, 16), 2, AssemblyConfig())
    assert found.labels.tolist() == [1, 1]
    assert sorted(map(tuple, found.boxes.tolist())) == [(2, 2, 8, 8), (8, 2, 14, 8)]
    assert found.masks().sum((1, 2)).tolist() == [36, 36]
    merged = assemble(logits, embedding, (16, 16), 2, AssemblyConfig(method="components"))
    assert merged.boxes.tolist() == [[2, 2, 14, 8]]
    limited = assemble(logits, embedding, (16, 16), 2, AssemblyConfig(max_per_img=1))
    assert len(limited.labels) == 1


def test_panoptic_merge_follows_the_coco_convention() -> None:
    semantic = np.array([[0, 0, 2, 2], [0, 0, 2, 2], [3, 1, 2, 2]])
    instances = np.array([[0, 0, -1, -1], [1, 1, -1, -1], [-1, -1, -1, -1]])
    result = Assembly(
        semantic, instances, np.array([0, 0]), np.array([0.9, 0.2], np.float32), np.zeros((2, 4))
    )
    config = AssemblyConfig(stuff_area=2, panoptic_score_thr=0.5)
    merged = merge_panoptic(result, 2, 4, config, 1000)
    assert merged[0, 0] == 1000
    assert merged[1, 0] == 4, "a weak instance is void"
    assert merged[0, 2] == 2
    assert merged[2, 0] == 4, "a small stuff segment is void"
    assert merged[2, 1] == 4, "a thing pixel without instance is void"


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="method 'kmeans' is unknown"):
        segmentor(method="kmeans")
    with pytest.raises(ValueError, match="task 'semantic' is unknown"):
        segmentor("semantic")
    with pytest.raises(ValueError, match="similarity must lie between -1 and 1, got 7"):
        segmentor(similarity=7)
    with pytest.raises(ValueError, match=r"unknown keys \['similarty'\]; known are \['method'"):
        segmentor(similarty=0.5)
    with pytest.raises(ValueError, match="max_per_img must be at least 1, got 0"):
        segmentor(max_per_img=0)


def test_predict_works_with_gradients_on() -> None:
    results = segmentor().eval()(torch.randn(1, 3, 32, 32), [sample((32, 32), 1)], "predict")
    assert not results[0].pred_instances.scores.requires_grad


def test_a_head_of_another_width_is_named() -> None:
    with pytest.raises(ValueError, match=r"head.in_channels is 64, .* 'small'\) has 24 channels"):
        PixelSegmentor(
            {"type": "attnseg.MaskAttnUNet", "preset": "small"},
            {"type": "attnseg.PixelEmbeddingHead", "in_channels": 64, "num_things": 1},
        )
