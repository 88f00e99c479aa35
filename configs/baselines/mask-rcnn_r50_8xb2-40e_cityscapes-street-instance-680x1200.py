# CSPAM-SOLOv2's Table 3.
_base_ = [
    "./base_mask-rcnn_coco.py",
    "../_base_/datasets/sizes/cityscapes_street_instance_680x1200.py",
    "../_base_/schedules/sgd_1e-2_40e.py",
]
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=_base_.num_classes),
        mask_head=dict(num_classes=_base_.num_classes),
    ),
)
