"""What each network is asked to do: pure functions of tensors that know no network.

Feature losses return one value per picture, so that styles can be weighed; the others return the mean over the batch.
Nothing mixes pictures, so the mean over processes of equal batches is the loss of the global batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

ADVERSARIAL = ("non-saturating", "hinge", "least-squares")
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def discriminator_loss(real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor], kind: str) -> Tensor:
    """Tell paintings from fake paintings; mean over scales of the discriminator.

    Args:
        real_logits, fake_logits: one (N, 1, h, w) per scale; large means "a real painting".
        kind: "non-saturating" (Goodfellow 2014, eq. 1), "hinge" (Lim & Ye 2017) or "least-squares" (Mao 2017, eq. 9
            without its factor 1/2).
    """
    real_term, fake_term = {
        "non-saturating": (lambda real: F.softplus(-real), F.softplus),
        "hinge": (lambda real: F.relu(1 - real), lambda fake: F.relu(1 + fake)),
        "least-squares": (lambda real: (real - 1).square(), torch.square),
    }[kind]
    per_scale = [
        real_term(r.float()).mean() + fake_term(f.float()).mean() for r, f in zip(real_logits, fake_logits, strict=True)
    ]
    return torch.stack(per_scale).mean()


def generator_loss(fake_logits: Sequence[Tensor], kind: str) -> Tensor:
    """Pass for a painting: the generator's side of `discriminator_loss`, same kinds, mean over scales."""
    term = {
        "non-saturating": lambda fake: F.softplus(-fake),
        "hinge": torch.neg,
        "least-squares": lambda fake: (fake - 1).square(),
    }[kind]
    return torch.stack([term(logits.float()).mean() for logits in fake_logits]).mean()


def r1_penalty(real_logits: Sequence[Tensor], paintings: Tensor) -> Tensor:
    """Squared gradient norm of the logits at real paintings (Mescheder 2018, eq. 9, without gamma / 2).

    Args:
        real_logits: one (N, 1, h, w) per scale, computed from `paintings`.
        paintings: (N, 3, H, W), float32, requiring gradients.
    """
    score = torch.stack([logits.float().mean(dim=(1, 2, 3)) for logits in real_logits]).mean(dim=0)
    (gradient,) = torch.autograd.grad(score.sum(), paintings, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def sliced_wasserstein_loss(places: Tensor, target: Tensor, directions: Tensor) -> Tensor:
    """Sliced Wasserstein-1 distance of two clouds of feature vectors: (N,) (Rabin 2011; Heitz 2021, eq. 4).

    Both clouds are projected on each direction and sorted; what is compared are the sorted values, one by one. Unlike a
    Gram matrix this sees the whole distribution of a feature, and colors are a small part of it. Heitz takes the square
    of each difference. We take its absolute value: squares are mostly the few strongest responses, so a square asks
    for a few loud strokes where the painting has many, and cost more of the photo for the same brushwork.

    Args:
        places: (N, P, C), features of the fake paintings at P places, in the units of `target`.
        target: (N, P, C), features of the paintings at as many places.
        directions: (C, D) of unit length.
    """
    with torch.autocast(places.device.type, enabled=False):
        ours, theirs = ((x.float() @ directions).transpose(1, 2).contiguous() for x in (places, target))
        return (ours.sort(dim=2).values - theirs.sort(dim=2).values).abs().mean(dim=(1, 2))


def tone_loss(painting: Tensor, photo: Tensor, cells: Sequence[int] = (4, 16)) -> Tensor:
    """How far the painting's lights and darks are from lying where the photo's lie: 1 - correlation, in [0, 2]: (N,).

    Correlation of mean luminance in cells of 4 and of 16 pixels. It does not mind how strong the contrast is, which
    the style decides, nor what happens inside a cell, where the strokes are; it keeps eyes dark and faces light.

    Args:
        painting, photo: (N, 3, H, W) in [-1, 1].
        cells: sides of the cells in pixels.
    """
    per_size = []
    for cell in cells:
        ours, theirs = (F.avg_pool2d(luminance(x.float()), cell).flatten(1) for x in (painting, photo))
        ours, theirs = (x - x.mean(dim=1, keepdim=True) for x in (ours, theirs))
        # A blank photo has no lights and darks: the small number makes its correlation 1 with a calm painting.
        product, *squares = ((a * b).mean(dim=1) + 0.002 for a, b in ((ours, theirs), (ours, ours), (theirs, theirs)))
        per_size.append(1 - product / (squares[0] * squares[1]).sqrt())
    return torch.stack(per_size).mean(dim=0)


def luminance(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, 1, H, W), weights of ITU-R BT.601."""
    return (pictures * pictures.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def gram_matrix(features: Tensor, centered: bool = False) -> Tensor:
    """(N, C, H, W) -> (N, C, C): products of channels, averaged over positions, in float32 (Gatys 2016, eq. 3).

    With `centered` the products are those of the deviations from each channel's mean: their covariance. Channel means
    are mostly color and most of a Gram matrix's energy; without them strokes count.
    """
    with torch.autocast(features.device.type, enabled=False):
        flat = features.float().flatten(2)
        return _Gram.apply(flat - flat.mean(dim=2, keepdim=True) if centered else flat)


def gram_style_loss(
    features: Sequence[Tensor], target_grams: Sequence[Tensor], patches: int = 1, centered: bool = False
) -> Tensor:
    """Distance of Gram matrices in units of the target's energy, mean over layers: (N,) (after Gatys 2016, eq. 5).

    Args:
        features: one (N, C, h, w) per layer, of the fake paintings.
        target_grams: one (N, C, C) per layer.
        patches: with n > 1 half of the loss asks each of n x n patches for the style. A Gram matrix is a mean over
            places: asked of the whole only, strokes may crowd where the photo is busy and leave its sky bare.
        centered: compare covariances; `target_grams` are centered, too.
    """
    per_layer = []
    for layer, target in zip(features, target_grams, strict=True):
        grams = gram_matrix(_cut_patches(layer, patches), centered).unflatten(0, (-1, patches**2))
        loss = _relative_energy(grams.mean(dim=1) - target, target)
        if patches > 1:
            local = torch.stack([_relative_energy(gram - target, target) for gram in grams.unbind(1)]).mean(dim=0)
            loss = (loss + local) / 2
        per_layer.append(loss)
    return torch.stack(per_layer).mean(dim=0)


def _cut_patches(features: Tensor, n: int) -> Tensor:
    """(N, C, H, W) -> (N * n * n, C, H // n, W // n), patches of one picture together."""
    height, width = features.shape[2] // n, features.shape[3] // n
    cut = features[:, :, : n * height, : n * width].unflatten(3, (n, width)).unflatten(2, (n, height))
    return cut.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def content_loss(features: Sequence[Tensor], photo_features: Sequence[Tensor]) -> Tensor:
    """Squared distance of features in units of the photo's energy, mean over layers: (N,) (Johnson 2016, eq. 2)."""
    per_layer = [
        _relative_energy(f.float() - p.float(), p.float()) for f, p in zip(features, photo_features, strict=True)
    ]
    return torch.stack(per_layer).mean(dim=0)


def perceptual_distance(features: Sequence[Tensor], photo_features: Sequence[Tensor], eps: float = 1e-6) -> Tensor:
    """Squared distance of channel-normalized features, mean over positions and layers: (N,), in [0, 4].

    LPIPS with all its linear weights at one (Zhang 2018, section 3.2): it asks which features fire where, and does not
    mind how strongly, so a painting may be paler or stronger than the photo and still keep its content.
    """
    per_layer = []
    for layers in zip(features, photo_features, strict=True):
        f, p = (x.float() / (x.float().square().sum(dim=1, keepdim=True) + eps).sqrt() for x in layers)
        per_layer.append((f - p).square().sum(dim=1).mean(dim=(1, 2)))
    return torch.stack(per_layer).mean(dim=0)


def learned_perceptual_distance(
    features: Sequence[Tensor], photo_features: Sequence[Tensor], heads: Sequence[Tensor], eps: float = 1e-6
) -> Tensor:
    """LPIPS over some of its layers, summed: (N,) (Zhang 2018, eq. 1).

    Its heads know which channels people go by when they call pictures alike: contours and faces more than textures.

    Args:
        features, photo_features: one (N, C, h, w) per layer.
        heads: one (1, C, 1, 1) per layer.
    """
    per_layer = []
    for *layers, head in zip(features, photo_features, heads, strict=True):
        f, p = (x.float() / (x.float().square().sum(dim=1, keepdim=True) + eps).sqrt() for x in layers)
        per_layer.append(((f - p).square() * head).sum(dim=1).mean(dim=(1, 2)))
    return torch.stack(per_layer).sum(dim=0)


def feature_matching_loss(features: Sequence[Tensor], target_means: Sequence[Tensor]) -> Tensor:
    """Distance of mean activations in units of the target's energy, mean over layers: (N,).

    Salimans 2016, section 3.1, in fixed features, not in the discriminator's: what a collection looks like on average,
    where a Gram matrix of early layers knows palette and strokes alone.

    Args:
        features: one (N, C, h, w) per layer, of the fake paintings.
        target_means: one (N, C) per layer.
    """
    per_layer = [
        _relative_energy(f.float().mean(dim=(2, 3)) - target, target)
        for f, target in zip(features, target_means, strict=True)
    ]
    return torch.stack(per_layer).mean(dim=0)


def patch_nce_loss(queries: Sequence[Tensor], keys: Sequence[Tensor], temperature: float = 0.07) -> Tensor:
    """Each place of a painting tells its own place in the photo from the others: (N,) (Park 2020, eq. 4).

    Cross-entropy of the cosines over `temperature`, the mean over places and layers, as the authors' code has it. The
    negatives of a place are the other places of the same photo. No gradient reaches the keys.

    Args:
        queries: one (N, P, D) per layer, of unit length, from P places of the fake paintings.
        keys: the same of the photos, at the same places.
        temperature: the paper's tau.
    """
    per_layer = []
    with torch.autocast(queries[0].device.type, enabled=False):
        for query, key in zip(queries, keys, strict=True):
            cosines = query.float() @ key.detach().float().transpose(1, 2) / temperature
            own = cosines.diagonal(dim1=1, dim2=2)
            per_layer.append((cosines.logsumexp(dim=2) - own).mean(dim=1))
    return torch.stack(per_layer).mean(dim=0)


def l1_loss(painting: Tensor, photo: Tensor) -> Tensor:
    """Mean absolute difference of pixels (Isola 2017, eq. 3); identity and cycle losses are this, too (Zhu 2017)."""
    return (painting.float() - photo.float()).abs().mean()


def color_loss(painting: Tensor, photo: Tensor, blur: int = 16) -> Tensor:
    """L1 between mean colors of `blur` x `blur` pixel cells: colors stay in their place, strokes are free."""
    return l1_loss(*(F.avg_pool2d(x.float(), blur, ceil_mode=True, count_include_pad=False) for x in (painting, photo)))


def total_variation(painting: Tensor) -> Tensor:
    """Mean squared difference of neighboring pixels (Johnson 2016, section 3.2)."""
    painting = painting.float()
    across = (painting[..., :, 1:] - painting[..., :, :-1]).square().mean()
    down = (painting[..., 1:, :] - painting[..., :-1, :]).square().mean()
    return across + down


def grid_loss(painting: Tensor) -> Tensor:
    """How far the spectrum stands out at the periods that upsampling leaves: 4, 8/3 and 2 pixels; in gray levels.

    Amplitudes of the Fourier transform of rows and columns of each gray picture, averaged over them; at each period the
    amplitude less the mean of its neighbors, where that is positive, summed over periods and both directions.

    Args:
        painting: (N, 3, H, W) in [-1, 1], H and W multiples of 8, at least 64.
    """
    gray = painting.float().mean(dim=1) * 127.5
    total = torch.zeros((), device=painting.device)
    for lines in (gray, gray.transpose(1, 2)):
        size = lines.shape[2]
        spectrum = torch.fft.rfft(lines).abs().mean(dim=1) * 2 / size
        for bin_ in (size // 4, 3 * size // 8, size // 2):
            around = torch.cat([spectrum[:, bin_ - 6 : bin_ - 1], spectrum[:, bin_ + 2 : bin_ + 7]], dim=1)
            peak = spectrum[:, bin_ - 1 : bin_ + 2].amax(dim=1)
            total = total + F.relu(peak - around.mean(dim=1)).mean()
    return total


def border_loss(painting: Tensor, photo: Tensor) -> Tensor:
    """How much a painting's rim differs from what is beside it, over the same of its photo: 1 is no rim of its own.

    Args:
        painting, photo: (N, 3, H, W) in [-1, 1], whole pictures as they were painted, sides at least 20.
    """
    return ((border_steps(painting) + 0.01) / (border_steps(photo) + 0.01)).mean()


def border_steps(pictures: Tensor) -> Tensor:
    """|mean(outer 4-pixel ring) - mean(next 4 pixels)| + |the same of standard deviations|, values in [0, 1]: (N,).

    Args:
        pictures: (N, 3, H, W) in [-1, 1], sides at least 20.
    """
    values = (pictures if pictures.dtype == torch.float64 else pictures.float()) / 2
    outer, inner = _ring(values, 0, 4), _ring(values, 4, 8)
    means = outer.mean(dim=(1, 2)) - inner.mean(dim=(1, 2))
    # A root has no slope at 0, where a ring is of one color.
    deviations = [ring.var(dim=(1, 2)).clamp_min(1e-10).sqrt() for ring in (outer, inner)]
    return means.abs() + (deviations[0] - deviations[1]).abs()


def halo_loss(painting: Tensor, photo: Tensor) -> Tensor:
    """How much brighter a painting is beside the photo's contours than on the rest of the same surface, (N,).

    Both pictures in cells of 4x4 pixels. A cell belongs with those within 16 cells that are as bright as it in the
    photo (the weights of a joint bilateral filter, Petschnigg 2004); its excess is how much brighter than their mean it
    was painted, within 3 cells of a contour, in the mean over 5x5 cells. Strokes and dark contours are free.

    Args:
        painting, photo: (N, 3, H, W) in [-1, 1], sides at least 64.

    Returns:
        The mean excess over the cells beside contours, in luminance of [-1, 1]; 0 where there is no contour.
    """
    painted, seen = (F.avg_pool2d(luminance(x.float()), 4) for x in (painting, photo))
    beside = _beside_contours(seen)
    excess = beside * (painted - _mean_of_surface(painted, seen))
    # Along the contour strokes are light and dark in turn, and a halo is light throughout.
    along = F.avg_pool2d(excess, 5, 1, 2) / F.avg_pool2d(beside, 5, 1, 2).clamp_min(1e-3)
    return (beside * F.relu(along)).flatten(1).sum(dim=1) / beside.flatten(1).sum(dim=1).clamp_min(1)


def _beside_contours(seen: Tensor, contrast: float = 0.5, reach: int = 3) -> Tensor:
    """(N, 1, h, w): 1 on the brighter side of a contour, within `reach` cells of it."""
    darkest = -F.max_pool2d(-seen, 2 * reach + 1, stride=1, padding=reach)
    return (seen - darkest > contrast).float()


def _mean_of_surface(painted: Tensor, seen: Tensor, reach: int = 16, alike: float = 0.1) -> Tensor:
    """(N, 1, h, w) -> the same: of each cell the mean of what was painted on cells that are as bright in the photo.

    Every fourth cell in each direction is looked at, which is enough for a mean.
    """
    offsets = range(-reach, reach + 1, 4)
    around = F.pad(torch.cat([painted, seen], dim=1), [reach] * 4, mode="reflect")
    height, width = seen.shape[-2:]
    total, weights = torch.zeros_like(painted), torch.zeros_like(painted)
    for down in offsets:
        for right in offsets:
            top, left = reach + down, reach + right
            there = around[..., top : top + height, left : left + width]
            weight = torch.exp(-((there[:, 1:] - seen) / alike).square() / 2)
            total, weights = total + weight * there[:, :1], weights + weight
    return total / weights.clamp_min(1e-6)


def _ring(values: Tensor, start: int, stop: int) -> Tensor:
    """(N, 3, H, W) -> (N, 3, P), the pixels that are `start` to `stop` - 1 away from the border."""
    height, width = values.shape[2:]
    inside = torch.zeros(height, width, dtype=torch.bool, device=values.device)
    inside[start : height - start, start : width - start] = True
    inside[stop : height - stop, stop : width - stop] = False
    return values[:, :, inside]


class _Gram(torch.autograd.Function):
    """X X^T / positions, with the one product its gradient needs (autograd, not knowing the symmetry, takes two)."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, flat: Tensor) -> Tensor:
        ctx.save_for_backward(flat)
        return flat @ flat.transpose(1, 2) / flat.shape[2]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        (flat,) = ctx.saved_tensors
        return ((gradient + gradient.transpose(1, 2)) / flat.shape[2]) @ flat


def _relative_energy(difference: Tensor, target: Tensor) -> Tensor:
    energy = target.square().flatten(1).sum(dim=1).clamp_min(1e-12)
    return difference.square().flatten(1).sum(dim=1) / energy
