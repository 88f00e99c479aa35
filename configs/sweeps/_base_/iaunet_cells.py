# Rows of IAUNet's tables; {data} stands for the data set in the leaves' names.
_models = {
    f"{method} {encoder}": f"{leaf}_{encoder.lower()}_1xb8-16000i_{{data}}-instance-512x512"
    for encoder in ("R50", "R101", "Swin-S", "Swin-B")
    for method, leaf in {
        "Mask R-CNN": "baselines/mask-rcnn",
        "PointRend": "baselines/point-rend",
        "Mask2Former": "baselines/mask2former",
        "IAUNet": "iaunet/iaunet",
    }.items()
}
_external = "an external program: tools/import_results.py measures its result file"

seeds = [0, 1, 2]
columns = ["coco/AP", "coco/AP50"]
# Encoder and decoder are small ones of ours for windows: no row of the paper.
small = dict(
    base="iaunet/iaunet_small_1xb4-1200i_dsb2018-instance-128x128",
    axes={
        "model": {
            "IAUNet, small": dict(options={}),
            "Mask2Former, small": (
                "baselines/mask2former_small_1xb4-1200i_dsb2018-instance-128x128"
            ),
        }
    },
    options={"train_dataloader.batch_size": 2, "val_dataloader.dataset.fraction": 0.05},
    seeds=[0, 1],
    max_iters=20,
)
_usiigaci = dict(
    base="iaunet/iaunet_small_1xb4-1200i_usiigaci-instance-128x128",
    axes={
        "model": {
            "IAUNet, small": dict(options={}),
            "Mask2Former, small": (
                "baselines/mask2former_small_1xb4-1200i_usiigaci-instance-128x128"
            ),
        }
    },
    options={"train_dataloader.batch_size": 2, "val_dataloader.dataset.fraction": 0.2},
)
