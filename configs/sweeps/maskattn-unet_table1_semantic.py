title = "MaskAttn-UNet, Table 1: semantic segmentation of three data sets at 128x128"
base = "maskattn_unet/maskattn-unet_paper_2xb4-1000e_coco-semantic-128x128"
axes = {
    "data": {
        "COCO": dict(options={}),
        "ADE20K": "maskattn_unet/maskattn-unet_paper_2xb4-1000e_ade20k-semantic-128x128",
        "Cityscapes": "maskattn_unet/maskattn-unet_paper_2xb4-1000e_cityscapes-semantic-128x128",
    }
}
seeds = [0, 1, 2]
columns = ["semantic/mIoU"]
paper = dict(
    source="MaskAttn-UNet, Table 1",
    unit="%",
    rows=[
        dict(where={"data": "COCO"}, values={"semantic/mIoU": 43.7}),
        dict(where={"data": "ADE20K"}, values={"semantic/mIoU": 44.1}),
        dict(where={"data": "Cityscapes"}, values={"semantic/mIoU": 67.4}),
    ],
)
small = dict(
    base="maskattn_unet/maskattn-unet_small_1xb8-400i_camvid11-semantic-128x128",
    axes={
        "data": {
            "CamVid": dict(options={}),
            "nuclei": "maskattn_unet/maskattn-unet_small_1xb8-400i_dsb2018-semantic-128x128",
        }
    },
    seeds=[0, 1],
    max_iters=40,
)
