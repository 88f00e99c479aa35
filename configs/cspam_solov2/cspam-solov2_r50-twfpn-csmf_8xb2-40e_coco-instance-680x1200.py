# Table 1, row 3: TWFPN and CSMF alone.
_base_ = "./cspam-solov2_r50_8xb2-40e_coco-instance-680x1200.py"
model = dict(backbone=dict(type="ResNet"), mask_head=dict(loss=_base_.solov2_loss))
