"""Objectives by name: each is a table of settings over the defaults, and what a user says stands over both.

There is one trainer, and every loss is there whenever its weight is above zero; a preset only says which are.
"""

from collections.abc import Mapping
from typing import Any

_NO_PRETRAINED_NETWORK = {"style_loss_weight": 0.0, "content_loss_weight": 0.0, "tone_weight": 0.0, "grid_weight": 0.02}
_AS_PUBLISHED = {
    "adversarial": "least-squares",
    "adversarial_weight": 1.0,
    "learning_rate": 2e-4,
    "schedule": "linear",
}
_CONTRASTIVE = {
    **_NO_PRETRAINED_NETWORK,
    **_AS_PUBLISHED,
    "contrastive_weight": 1.0,
    "contrastive_identity_weight": 1.0,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    # Sliced Wasserstein style in two networks, calm places, deep content, tones: the defaults themselves.
    "brushwork": {},
    # Johnson 2016: Gram matrices of early layers and content of relu3_1, in VGG-19.
    "perceptual": {
        "style_distance": "gram",
        "style_loss_weight": 10.0,
        "style_octaves": 2,
        "style_patches": 2,
        "style_window": 0,
        "calm_weight": 0.0,
        "tone_weight": 0.0,
        "content_loss_weight": 1.0,
        "content_network": "vgg19",
        "content_layers": ("relu3_1",),
        "content_distance": "energy",
        "total_variation_weight": 0.01,
        "grid_weight": 0.02,
        "learning_rate": 2e-3,
    },
    # CUT (Park 2020, section 4): adversarial, PatchNCE of photos and of paintings, each with weight 1.
    "contrastive": _CONTRASTIVE,
    # FastCUT (Park 2020, section 4): PatchNCE of photos only, with weight 10, and flips.
    "contrastive-fast": {
        **_CONTRASTIVE,
        "contrastive_weight": 10.0,
        "contrastive_identity_weight": 0.0,
        "contrastive_flips": True,
    },
    # Zhu 2017, section 4: cycles with weight 10, identity with half of that, a pool of 50 pictures.
    "cycle": {
        **_NO_PRETRAINED_NETWORK,
        **_AS_PUBLISHED,
        "cycle_weight": 10.0,
        "identity_weight": 5.0,
        "pool_size": 50,
    },
}
