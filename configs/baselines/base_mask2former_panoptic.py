# Mask2Former for panoptic segmentation: one training for PQ, AP and mIoU, at 128x128.
_base_ = "./base_mask2former.py"

# 128x128 is a multiple of 32: nothing is padded.
model = dict(
    data_preprocessor=dict(pad_size_divisor=32, pad_seg=True, seg_pad_value=255),
    test_cfg=dict(panoptic_on=True),
)
