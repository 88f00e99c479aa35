"""What semantic, instance and panoptic runs share.

A schedule adds what counts epochs or iterations: checkpoints and logs. Inherit
`semantic.py` or `detection.py` beside this file: they add scope and visualizer.
"""

seed = 0

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    # On nodes without CUDA the launcher takes gloo instead.
    dist_cfg=dict(backend="nccl"),
)
randomness = dict(seed=seed, deterministic=False)
custom_hooks = [
    dict(type="mmdet.NumClassCheckHook"),
    dict(type="attnseg.InvalidLossHook"),
    dict(type="attnseg.ResultHook"),
    dict(type="attnseg.RecordHook"),
]
vis_backends = [dict(type="LocalVisBackend")]
log_level = "INFO"
load_from = None
resume = False

# How the run is spread over devices; docs/scale.md has each switch.
scale = dict(
    accumulate=1,  # steps in an update
    precision="fp32",  # or "bf16", "fp16" (a GPU)
    compile=False,
    checkpoint_activations=False,  # True, or a list of modules
    strategy="ddp",  # or "fsdp"
    lr_rule=None,  # "linear" or "sqrt": the rate follows the batch
    base_batch=None,  # what the rate is for; None: GPUs x batch of the leaf's name
)
