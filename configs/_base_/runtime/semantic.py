_base_ = "./default.py"

default_scope = "mmseg"
visualizer = dict(
    type="SegLocalVisualizer", vis_backends=_base_.vis_backends, name="visualizer", alpha=0.6
)
custom_hooks = [*_base_.custom_hooks, dict(type="attnseg.PictureHook")]
# tools/test.py --tta makes the pipeline: each image as it is and flipped.
tta_model = dict(type="SegTTAModel")
