# Real: COCO 2017 for the paper's 1000 images of COCO 2014. "Boundary IoU" and "Hausdorff distance"
# are the published code's: our ContourIoU, and a distance between areas. Sizes are of training
# files in MiB, with both moments of Adam.
title = "NeuralSegmentello, Tables 1 and 2: eight networks, the largest object of each image"
base = "mask_refine/refine-unet_tiny16-32-bce-dice_1xb1-50e_coco-refinement-full"
leaves = {
    "tiny16-32_bce-dice": "tiny16-32-bce-dice",
    "res16-32_bce-dice": "res16-32-bce-dice",
    "tiny16-128_bce-dice": "tiny16-128-bce-dice",
    "res16-128_bce-dice": "res16-128-bce-dice",
    "tiny16-128_bce-dice-bound": "tiny16-128-bound",
    "res16-128_bce-dice-bound": "res16-128-bound",
    "res32-256_bce-dice-bound": "res32-256-bound",
    "attn32-256_bce-dice-bound": "attn32-256-bound",
}
axes = {
    "model": {
        name: f"mask_refine/refine-unet_{leaf}_1xb1-50e_coco-refinement-full"
        for name, leaf in leaves.items()
    }
}
seeds = [0, 1, 2]
options = {"default_hooks.size": dict(type="attnseg.SizeHook")}
columns = [
    *("refine/Acc", "refine/IoU", "refine/ContourIoU", "refine/Hausdorff"),
    "size/training_mib",
]
paper = dict(
    source="NeuralSegmentello, Tables 1 and 2",
    unit="fractions, pixels, MB",
    figures={
        "tiny16-32_bce-dice": (0.9839, 0.8609, 0.1566, 43.10, 1.40),
        "res16-32_bce-dice": (0.9840, 0.8611, 0.1581, 42.73, 1.40),
        "tiny16-128_bce-dice": (0.9833, 0.8528, 0.1485, 46.29, 22.34),
        "res16-128_bce-dice": (0.9830, 0.8534, 0.1416, 43.64, 22.34),
        "tiny16-128_bce-dice-bound": (0.9864, 0.8796, 0.2207, 40.66, 22.34),
        "res16-128_bce-dice-bound": (0.9857, 0.8749, 0.2082, 42.17, 22.34),
        "res32-256_bce-dice-bound": (0.9859, 0.8654, 0.2040, 43.03, 88.97),
        "attn32-256_bce-dice-bound": (0.9866, 0.8792, 0.2210, 40.77, 90.04),
    },
)
small = dict(
    base="mask_refine/refine-unet_tiny16-32-bce-dice-crop_1xb1-2000i_coco-mini-refinement-256x256",
    axes={
        "model": {
            name: f"mask_refine/refine-unet_{leaf}-crop_1xb1-2000i_coco-mini-refinement-256x256"
            for name, leaf in leaves.items()
            if leaf.startswith(("tiny", "res16-32"))
        }
    },
    options=dict(options, **{"val_dataloader.dataset.fraction": 0.1}),
    seeds=[0, 1],
    max_iters=20,
)
del leaves
