# The paper defines "APs" as AP of small objects, but prints values above AP: read as AP50.
title = "CSPAM-SOLOv2, Table 2: methods with ResNet-101, COCO"
base = "cspam_solov2/cspam-solov2_r101_8xb2-40e_coco-instance-680x1200"
axes = {
    "model": {
        "Mask R-CNN": "baselines/mask-rcnn_r101_8xb2-40e_coco-instance-680x1200",
        "PANet": "baselines/mask-rcnn_r101-pafpn_8xb2-40e_coco-instance-680x1200",
        "MS R-CNN": "baselines/ms-rcnn_r101_8xb2-40e_coco-instance-680x1200",
        "QueryInst": "baselines/queryinst_r101_8xb2-40e_coco-instance-680x1200",
        "MaskFormer": "baselines/maskformer_r101_8xb2-40e_coco-instance-680x1200",
        "YOLACT": "baselines/yolact_r101_8xb2-40e_coco-instance-680x1200",
        "SOLOv2": "cspam_solov2/solov2_r101_8xb2-40e_coco-instance-680x1200",
        "CSPAM-SOLOv2": dict(options={}),
    }
}
seeds = [0, 1, 2]
columns = ["coco/AP", "coco/AP50"]
paper = dict(
    source='CSPAM-SOLOv2, Table 2, its "APs" as AP50',
    unit="%",
    figures={
        "Mask R-CNN": (35.3, 52.3),
        "PANet": (36.6, 53.1),
        "MS R-CNN": (38.3, 54.4),
        "K-Net": (40.1, 58.8),
        "SOTR": (40.2, 73.0),
        "QueryInst": (40.6, 53.8),
        "MaskFormer": (42.4, 63.8),
        "YOLACT": (28.7, 47.2),
        "CenterMask": (38.3, 54.5),
        "PolarMask": (30.4, 42.8),
        "SOLOv2": (38.8, 56.6),
        "CSPAM-SOLOv2": (40.7, 58.5),
    },
    unavailable=dict.fromkeys(
        ("K-Net", "SOTR", "CenterMask", "PolarMask"), "not among mmdet's instance segmentors"
    ),
)
small = dict(
    base="cspam_solov2/cspam-solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256",
    axes={
        "model": {
            "MaskFormer, small": "maskformer_small_1xb4-1200i_coco-mini-instance-144x256",
            "SOLOv2, small": "solov2_r50-small_1xb4-1200i_coco-mini-instance-144x256",
            "CSPAM-SOLOv2, small": dict(options={}),
        }
    },
    options={"val_dataloader.dataset.fraction": 0.2},
    seeds=[0, 1],
    max_iters=20,
)
