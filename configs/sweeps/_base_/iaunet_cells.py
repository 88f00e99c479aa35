# Rows of IAUNet's tables; {data} stands for the data set in the leaves' names. The peers' leaves
# have ResNet-50: R101 is another depth, and the Swins are those of IAUNet's leaves.
swin = dict(
    _delete_=True,
    type="SwinTransformer",
    depths=[2, 2, 18, 2],
    window_size=7,
    drop_path_rate=0.3,
    out_indices=(0, 1, 2, 3),
)
swin_s = dict(swin, embed_dims=96, num_heads=[3, 6, 12, 24])
swin_b = dict(swin, embed_dims=128, num_heads=[4, 8, 16, 32])
channels_s, channels_b = [96, 192, 384, 768], [128, 256, 512, 1024]
peers = {  # method: leaf, and what reads the channels of the backbone
    "Mask R-CNN": ("mask-rcnn", "model.neck.in_channels"),
    "PointRend": ("point-rend", "model.neck.in_channels"),
    "Mask2Former": ("mask2former", "model.panoptic_head.in_channels"),
}
_models = {}
for encoder, leaf, options in (
    ("R50", "r50", {}),
    ("R101", "r101", {"model.backbone.depth": 101}),
    ("Swin-S", "swin-s", {"model.backbone": swin_s, "in_channels": channels_s}),
    ("Swin-B", "swin-b", {"model.backbone": swin_b, "in_channels": channels_b}),
):
    for method, (name, key) in peers.items():
        _models[f"{method} {encoder}"] = dict(
            config=f"baselines/{name}_r50_1xb8-16000i_{{data}}-instance-512x512",
            options={key if k == "in_channels" else k: v for k, v in options.items()},
        )
    _models[f"IAUNet {encoder}"] = dict(
        config=f"iaunet/iaunet_{leaf}_1xb8-16000i_{{data}}-instance-512x512", options={}
    )
del swin, swin_s, swin_b, channels_s, channels_b, peers
del encoder, leaf, options, method, name, key

_external = "an external program: import its result file into the leaderboard"

seeds = [0, 1, 2]
columns = ["coco/AP", "coco/AP50"]
# Encoder and decoder are small ones of ours for windows: no row of the paper.
small = dict(
    base="iaunet/iaunet_small_1xb4-1200i_dsb2018-instance-128x128",
    axes={
        "model": {
            "IAUNet, small": dict(options={}),
            "IAUNet, small, fast": "iaunet/iaunet_small-fast_1xb4-1200i_dsb2018-instance-128x128",
            "Mask2Former, small": (
                "baselines/mask2former_small_1xb4-1200i_dsb2018-instance-128x128"
            ),
        }
    },
    options={"val_dataloader.dataset.fraction": 0.1},
    seeds=[0, 1],
    max_iters=40,
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
    options={"val_dataloader.dataset.fraction": 0.2},
)
