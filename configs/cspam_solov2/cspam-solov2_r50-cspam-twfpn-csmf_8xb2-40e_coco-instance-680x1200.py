# Table 1, row 5: without the adaptive minimum loss.
_base_ = "./cspam-solov2_r50_8xb2-40e_coco-instance-680x1200.py"
model = dict(mask_head=dict(loss=_base_.solov2_loss))
