"""Dense attention over pixels: the one place where queries meet keys.

Every attention of the package (MaskAttn, position attention, pixel updates) goes through
:func:`pixel_attention`, which runs on ``scaled_dot_product_attention`` and therefore never
holds an N x M matrix where a fused kernel exists.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from attnseg.layers.tiled_attention import tiled_attention

# The widest head of a flash kernel on CUDA.
_WIDEST = 256
# Far below every real bias, yet finite and representable in float16.
_DROPPED = -3.0e4


def to_tokens(x: Tensor) -> Tensor:
    """Turn a map (B, C, H, W) into tokens (B, H*W, C), row-major."""
    return x.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Turn tokens (B, H*W, C) back into a map (B, C, H, W); inverse of :func:`to_tokens`.

    Two published codes (MaskAttn-UNet's among them) view the tokens as (B, C, H, W) without
    the transpose and so mix channels with places.

    Raises:
        ValueError: if the number of tokens is not H*W.
    """
    batch, count, channels = tokens.shape
    if count != size[0] * size[1]:
        raise ValueError(f"{count} tokens do not fill a map of {size[0]}x{size[1]}")
    return tokens.transpose(1, 2).reshape(batch, channels, *size)


def pooled_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Size (H, W) of a map after :func:`pool_tokens` with this stride; rounds up."""
    # Not -(-n // stride): exporters divide towards zero.
    return (size[0] + stride - 1) // stride, (size[1] + stride - 1) // stride


def pool_tokens(tokens: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Average tokens (B, H*W, C) over stride x stride cells; border cells may be smaller."""
    if stride == 1:
        return tokens
    x = F.avg_pool2d(to_map(tokens, size), stride, ceil_mode=True, count_include_pad=False)
    return to_tokens(x)


def _pool_heads(x: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    batch, heads, count, width = x.shape
    pooled = pool_tokens(x.reshape(batch * heads, count, width), size, stride)
    return pooled.reshape(batch, heads, -1, width)


def _per_head(x: Tensor, heads: int) -> Tensor:
    """Bring a key-wise tensor (B, M) or (B, 1 | heads, M) to (B, heads, M)."""
    if x.dim() == 2:
        x = x[:, None]
    return x.expand(-1, heads, -1)


def _gather_kept(
    k: Tensor, v: Tensor, bias: Tensor | None, keep: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Drop keys that are not kept; rows with fewer keys than the fullest are padded."""
    counts = keep.sum(-1)
    width = int(counts.max())
    # A stable descending sort moves the kept keys to the front without reordering them.
    index = keep.to(torch.uint8).argsort(dim=-1, descending=True, stable=True)[..., :width]
    k, v = (t.gather(2, index[..., None].expand(-1, -1, -1, t.shape[-1])) for t in (k, v))
    bias = None if bias is None else bias.gather(-1, index)
    if int(counts.min()) < width:
        padding = torch.arange(width, device=k.device) >= counts[..., None]
        zeros = torch.zeros_like(padding, dtype=k.dtype) if bias is None else bias
        bias = zeros.masked_fill(padding, _DROPPED)
    return k, v, bias


def _append_bias(q: Tensor, k: Tensor, bias: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Carry a key bias in one more channel: (q, 1/scale) . (k, bias) * scale = s + bias."""
    ones = q.new_full((*q.shape[:-1], 1), 1.0 / scale)
    return torch.cat([q, ones], -1), torch.cat([k, bias.to(k.dtype)[..., None]], -1)


def _attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Choose the form that suits the widths of queries and values, and the device.

    Values of twice the queries' width and more: on a CPU tiles, which pad nothing. Slices of the
    values' columns need as many products as padding does, so they serve only where no kernel is
    wide enough.
    """
    if _exporting():
        return _fused(q, k, v, scale)
    # Counting on meta, where nothing is computed, sees the same products as on a CPU.
    if q.device.type in ("cpu", "meta") and v.shape[-1] >= 2 * q.shape[-1]:
        return tiled_attention(q, k, v, scale)
    if v.shape[-1] > _WIDEST >= q.shape[-1]:
        return _in_slices(q, k, v, scale, _WIDEST)
    return _fused(q, k, v, scale)


def _in_slices(q: Tensor, k: Tensor, v: Tensor, scale: float, width: int) -> Tensor:
    """Attend to at most ``width`` columns of the values at a time, as heads of one call."""
    heads, depth = q.shape[1], v.shape[-1]
    parts = -(-depth // width)
    v = F.pad(v, (0, -depth % parts)).unflatten(-1, (parts, -1))
    v = v.permute(0, 1, 3, 2, 4).flatten(1, 2)
    q, k = q.repeat_interleave(parts, 1), k.repeat_interleave(parts, 1)
    out = _fused(q, k, v, scale).unflatten(1, (heads, parts))
    return out.transpose(2, 3).flatten(-2)[..., :depth]


def _fused(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Run the fused kernel, with queries cut up where its backward would starve threads.

    On a CPU that kernel shares out (batch, head) pairs alone. With fewer pairs than threads its
    small inner products are threaded instead, which is slower by far than one thread: 5 s
    in place of 0.1 s for one head of 4096 pixels on a busy machine.
    """
    # Fused kernels want one width for queries, keys and values, on CUDA a multiple of 8.
    depth = v.shape[-1]
    width = (max(q.shape[-1], depth) + 7) // 8 * 8
    q, k, v = (_kernel_form(t, width) for t in (q, k, v))
    parts, count = 1, q.shape[2]
    needs_grad = torch.is_grad_enabled() and any(t.requires_grad for t in (q, k, v))
    if q.device.type == "cpu" and needs_grad and not _exporting():
        pairs = max(q.shape[0] * q.shape[1], 1)
        parts = min(-(-torch.get_num_threads() // pairs), max(count, 1))
    if parts > 1:
        q = F.pad(q, (0, 0, 0, -count % parts)).unflatten(2, (parts, -1)).flatten(1, 2)
        k, v = k.repeat_interleave(parts, 1), v.repeat_interleave(parts, 1)
    out = F.scaled_dot_product_attention(q, k, v, scale=scale)
    if parts > 1:
        out = out.unflatten(1, (-1, parts)).flatten(2, 3)[:, :, :count]
    return out[..., :depth]


def _kernel_form(x: Tensor, width: int) -> Tensor:
    # Padding by nothing would still copy.
    if x.shape[-1] < width:
        return F.pad(x, (0, width - x.shape[-1]))
    # Where the channels of a token lie apart, torch takes the N x M form on a CPU.
    return x if x.stride(-1) == 1 else x.contiguous()


def _exporting() -> bool:
    return torch.onnx.is_in_onnx_export() or torch.compiler.is_compiling()


def pixel_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    key_bias: Tensor | None = None,
    key_keep: Tensor | None = None,
    kv_stride: int = 1,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Softmax(q k^T * scale + M) v with a mask M that depends on the keys alone.

    M never becomes an N x M tensor: a bias goes into one extra channel of queries and keys
    (exact), a hard mask gathers the kept keys.

    Args:
        q: queries (B, heads, N, d).
        k: keys (B, heads, M, d).
        v: values (B, heads, M, c); c may differ from d.
        key_bias: logits added to every row, (B, M) or (B, 1 | heads, M); finite, and above
            -3e4, which stands for "dropped".
        key_keep: True where a key may be attended, (B, M) or (B, 1 | heads, M). A row that
            keeps nothing attends to all keys, so that no output is undefined.
        kv_stride: side of the cells over which keys, values and ``key_bias`` are averaged;
            a cell is kept if one of its pixels is.
        scale: factor of the dot products; 1/sqrt(d) if None.
        size: (H, W) of the key map with H*W = M, needed for ``kv_stride`` above 1.

    Returns:
        (B, heads, N, c).

    Raises:
        ValueError: if ``kv_stride`` is above 1 and ``size`` is missing.

    Source:
        MaskAttn-UNet, Eq. 1.
    """
    heads = q.shape[1]
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    bias = None if key_bias is None else _per_head(key_bias, heads)
    keep = None if key_keep is None else _per_head(key_keep, heads)
    if kv_stride > 1:
        if size is None:
            raise ValueError("kv_stride above 1 needs size=(H, W) of the key map")
        k, v = _pool_heads(k, size, kv_stride), _pool_heads(v, size, kv_stride)
        if bias is not None:
            bias = _pool_heads(bias[..., None], size, kv_stride)[..., 0]
        if keep is not None:
            share = _pool_heads(keep[..., None].to(q.dtype), size, kv_stride)[..., 0]
            keep = share > 0
    if keep is not None:
        keep = keep | ~keep.any(-1, keepdim=True)
        if _exporting():
            bias = torch.zeros_like(keep, dtype=q.dtype) if bias is None else bias
            bias = bias.masked_fill(~keep, _DROPPED)
        elif not bool(keep.all()):
            k, v, bias = _gather_kept(k, v, bias, keep)
    if bias is not None:
        q, k = _append_bias(q, k, bias, scale)
    return _attend(q, k, v, scale)
