# Methods of MaskAttn-UNet's Table 4; {data} stands for the data set in the leaves' names.
_base_ = "./maskattn-unet_panoptic.py"

_models = {
    name: f"{leaf}_2xb7-1000e_{{data}}-panoptic-128x128"
    for name, leaf in {
        "U-Net": "unet",
        "Mask2Former-R50": "mask2former_r50",
        "Mask2Former-R101": "mask2former_r101",
        "MaskAttn-UNet": "maskattn-unet_paper",
    }.items()
}
_unavailable = {
    "DETR-R50": "mmdet has DETR for boxes alone, without masks",
    "DETR-R101": "mmdet has DETR for boxes alone, without masks",
}
small = dict(
    axes={
        "model": {
            "U-Net": "unet_small_1xb8-400i_dsb2018-panoptic-128x128",
            "Mask2Former, small": "mask2former_small_1xb8-400i_dsb2018-panoptic-128x128",
            "MaskAttn-UNet": "maskattn-unet_small_1xb8-400i_dsb2018-panoptic-128x128",
        }
    }
)
