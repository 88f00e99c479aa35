title = "CSPAM-SOLOv2, Table 3: street scenes of Cityscapes, five classes"
base = "cspam_solov2/cspam-solov2_r50_8xb2-40e_cityscapes-street-instance-680x1200"
axes = {
    "model": {
        "Mask R-CNN": "baselines/mask-rcnn_r50_8xb2-40e_cityscapes-street-instance-680x1200",
        "YOLACT": "baselines/yolact_r50_8xb2-40e_cityscapes-street-instance-680x1200",
        "SOLOv2": "cspam_solov2/solov2_r50_8xb2-40e_cityscapes-street-instance-680x1200",
        "CSPAM-SOLOv2": dict(options={}),
    }
}
options = {"val_evaluator.classwise": True}
seeds = [0, 1, 2]
columns = [
    *("coco/AP", "coco/AP/car", "coco/AP/pedestrian", "coco/AP/truck", "coco/AP/bus"),
    "coco/AP/rider",
]
paper = dict(
    source="CSPAM-SOLOv2, Table 3",
    unit="%",
    figures={
        "Mask R-CNN": (30.0, 37.1, 16.5, 41.3, 39.2, 15.7),
        "YOLACT": (26.8, 34.1, 12.7, 37.2, 37.6, 12.2),
        "SOLOv2": (28.3, 35.1, 13.5, 39.3, 39.6, 13.8),
        "CSPAM-SOLOv2": (31.5, 38.5, 16.0, 42.4, 44.3, 15.8),
    },
)
small = dict(
    base="cspam_solov2/cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256",
    axes={
        "model": {
            "SOLOv2, small": "cspam_solov2/solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256",
            "CSPAM-SOLOv2, small": dict(options={}),
        }
    },
    options={"val_evaluator.classwise": True, "val_dataloader.dataset.fraction": 0.2},
    columns=["coco/AP", "coco/AP/car", "coco/AP/person", "coco/AP/truck", "coco/AP/bus"],
    seeds=[0, 1],
    max_iters=20,
)
