# MaskAttn-UNet for panoptic segmentation; thing/stuff merge after the COCO convention.
_base_ = "./base_instance.py"

model = dict(
    head=dict(num_stuff=53, task="panoptic"),
    test_cfg=dict(stuff_area=4096, panoptic_score_thr=0.0),
)
