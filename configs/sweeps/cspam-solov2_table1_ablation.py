# Eight rows: each of the three parts on or off, where off is SOLOv2's part again. They are leaves
# of configs/cspam_solov2/ too, of which rows 1 and 2 have mmdet's own head, with the same loss.
title = "CSPAM-SOLOv2, Table 1: ablation of three parts, ResNet-50, COCO"
base = "cspam_solov2/cspam-solov2_r50_8xb2-40e_coco-instance-680x1200"
fpn = dict(
    _delete_=True,
    type="FPN",
    in_channels=[256, 512, 1024, 2048],
    out_channels=256,
    num_outs=5,
)
mask_features = dict(
    _delete_=True,
    feat_channels=128,
    start_level=0,
    end_level=3,
    out_channels=256,
    mask_stride=4,
    norm_cfg=dict(type="GN", num_groups=32, requires_grad=True),
)
loss = dict(minimum=False, centroid=False, dice="squared")
axes = {
    "CSPAM": {"no": dict(options={"model.backbone.type": "ResNet"}), "yes": dict(options={})},
    "TWFPN + CSMF": {
        "no": dict(options={"model.neck": fpn, "model.mask_head.mask_feature_head": mask_features}),
        "yes": dict(options={}),
    },
    "AML": {"no": dict(options={"model.mask_head.loss": loss}), "yes": dict(options={})},
}
seeds = [0, 1, 2]
columns = ["coco/AP", "coco/APs"]
figures = {  # CSPAM, TWFPN + CSMF, AML
    ("no", "no", "no"): (32.6, 12.2),
    ("yes", "no", "no"): (34.2, 13.0),
    ("no", "yes", "no"): (34.6, 14.5),
    ("no", "no", "yes"): (33.2, 12.9),
    ("yes", "yes", "no"): (34.8, 14.6),
    ("no", "yes", "yes"): (34.3, 14.3),
    ("yes", "no", "yes"): (34.7, 14.5),
    ("yes", "yes", "yes"): (35.6, 14.8),
}
paper = dict(
    source="CSPAM-SOLOv2 (KSII TIIS), Table 1",
    unit="%",
    rows=[
        dict(
            where=dict(zip(axes, parts, strict=True)),
            values=dict(zip(columns, values, strict=True)),
        )
        for parts, values in figures.items()
    ],
)
small = dict(
    base="cspam_solov2/cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256",
    options={"val_dataloader.dataset.fraction": 0.1},
    seeds=[0, 1],
    max_iters=20,
)
del figures, fpn, mask_features, loss
