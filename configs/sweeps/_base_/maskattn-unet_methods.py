# Methods of MaskAttn-UNet's Tables 4 and 8; {data} stands for the data set in the leaves' names.
_base_ = "./maskattn-unet_panoptic.py"

ours = "maskattn_unet/maskattn-unet_paper_2xb7-1000e_{data}-panoptic-128x128"
_models = {
    "U-Net": dict(config=ours, options={"model.backbone.attention": "none"}),
    "MaskAttn-UNet": dict(config=ours, options={}),
}
_unavailable = {}
_semantic = {"MaskAttn-UNet": dict(options={})}
small = dict(
    axes={
        "model": {
            "U-Net": dict(options={"model.backbone.attention": "none"}),
            "MaskAttn-UNet": dict(options={}),
        }
    }
)
del ours
