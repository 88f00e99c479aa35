# The small Mask2Former on whole images: all tasks at 128x128, from scratch.
_base_ = "./base_mask2former_small.py"

model = dict(
    _delete_=True,
    **_base_.model.detector,
    data_preprocessor=dict(**_base_.model.data_preprocessor, pad_seg=True, seg_pad_value=255),
)
