# IAUNet-R50 as the paper's text has it; leaves choose data, schedule, encoder and variant.
_base_ = ["../_base_/models/resnet50_512x512.py", "../_base_/runtime/detection.py"]

num_queries = 100  # the most objects in an image, or in a window of it

model = dict(
    type="attnseg.IAUNet",
    head=dict(
        type="attnseg.IAUNetHead",
        in_channels=[256, 512, 1024, 2048],
        num_queries=num_queries,
        variant="paper",
        pixel_update="both",
        with_cp=True,  # less memory for more time
        loss=dict(type="attnseg.MaskSetLoss"),
    ),
    test_cfg=dict(score_thr=0.01, nms_iou=0.8, max_per_img=num_queries),
)
