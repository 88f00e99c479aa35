# CSPAM-SOLOv2's Table 2.
_base_ = [
    "./base_mask-rcnn_coco.py",
    "../_base_/datasets/sizes/coco_instance_680x1200.py",
    "../_base_/schedules/sgd_1e-2_40e.py",
]
model = dict(
    backbone=dict(depth=101),
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
)
