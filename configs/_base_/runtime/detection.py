_base_ = "./default.py"

default_scope = "mmdet"
visualizer = dict(type="DetLocalVisualizer", vis_backends=_base_.vis_backends, name="visualizer")
custom_hooks = [*_base_.custom_hooks, dict(type="attnseg.PictureHook")]
# tools/test.py --tta makes the pipeline: each image as it is and flipped.
tta_model = dict(type="attnseg.PixelTTAModel")
