"""Test-time augmentation of a config: each image as it is and flipped."""

from typing import Any

from attnseg.apis.command import UsageError

_FLIP_KEYS = ("flip", "flip_direction")
_OWN_MODEL, _OWN_SEGMENTOR = "attnseg.PixelTTAModel", "attnseg.PixelSegmentor"


def with_tta(cfg: Any) -> None:
    """Evaluate with ``cfg.tta_model`` over ``cfg.tta_pipeline``; changes the config in place.

    Without a ``tta_pipeline``, one is made of the test pipeline: the image and its horizontal
    flip, which costs twice the time.

    Raises:
        UsageError: The config has no ``tta_model``, one for another model, or a test pipeline
            that does not begin by loading and end by packing.
    """
    from mmengine.config import ConfigDict

    tta_model = cfg.get("tta_model")
    if tta_model is None:
        raise UsageError(
            f"--tta: {cfg.filename} has no tta_model; inherit _base_/runtime/semantic.py or "
            "_base_/runtime/detection.py, or name one (SegTTAModel, attnseg.PixelTTAModel)."
        )
    if tta_model.type == _OWN_MODEL and cfg.model.type != _OWN_SEGMENTOR:
        raise UsageError(
            f"--tta: {cfg.model.type} has no test-time augmentation here: leave --tta out, or name "
            f"a tta_model for it in the config, such as mmdet's DetTTAModel for models of boxes "
            f"({_OWN_MODEL} of the runtime base takes {_OWN_SEGMENTOR} alone)."
        )
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    if "pipeline" not in dataset:
        raise UsageError(f"--tta: {cfg.filename} has no test_dataloader.dataset.pipeline.")
    dataset.pipeline = cfg.get("tta_pipeline") or flipped_pipeline(dataset.pipeline)
    cfg.model = ConfigDict({**tta_model, "module": cfg.model})


def flipped_pipeline(pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A test pipeline that gives two views of each image: as it is, and flipped left to right.

    Annotations that the pipeline loads behind Resize are loaded behind the flip too: they stay
    as they are in the file, as the merged predictions do.

    Raises:
        UsageError: The pipeline does not begin by loading and end by packing.
    """
    names = [str(step["type"]).rpartition(".")[2] for step in pipeline]
    if len(names) < 2 or not names[0].startswith("Load") or not names[-1].startswith("Pack"):
        raise UsageError(
            f"--tta: expected a test pipeline from Load... to Pack..., got {', '.join(names)}; "
            "give a tta_pipeline."
        )
    load, *middle, pack = pipeline
    if "meta_keys" in pack:
        pack = {**pack, "meta_keys": tuple(dict.fromkeys((*pack["meta_keys"], *_FLIP_KEYS)))}
    sizing = [step for step, name in zip(middle, names[1:], strict=False) if name == "Resize"]
    rest = [step for step in middle if step not in sizing]
    flips = [{"type": "RandomFlip", "prob": prob} for prob in (0.0, 1.0)]
    views = [*([step] for step in sizing), flips, *([step] for step in rest), [pack]]
    return [load, {"type": "TestTimeAug", "transforms": views}]
