"""Brushwork: 0 is the photo in other colors, 1 the painting; calm places are where the photo is calm."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styletransfer.evaluation.brushwork import DEEP_LAYERS, BrushworkMeter, calm_places
from styletransfer.models.features import Features


class Filters(Features):
    """SqueezeNet with random filters in the place of VGG, which needs no file: its first layers under VGG's names."""

    def forward(self, picture: Tensor, layers: tuple[str, ...] | None = None) -> list[Tensor]:
        return super().forward(picture)


@pytest.fixture(scope="module")
def meter() -> BrushworkMeter:
    early = Filters("squeezenet1_1", ("relu1", "fire2"), weights="random")
    return BrushworkMeter(early, Features("squeezenet1_1", DEEP_LAYERS, weights="random"), torch.device("cpu"))


def picture(seed: int, cell: int, height: int = 192, width: int = 256) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    values = torch.rand(1, 3, height // cell, width // cell, generator=source)
    return F.interpolate(values, (height, width), mode="bicubic").clamp(0, 1) * 2 - 1


PAINTING, PHOTO = picture(1, cell=4), picture(2, cell=32)


def closed(meter: BrushworkMeter, painted: Tensor, photo: Tensor = PHOTO) -> dict[str, float]:
    target, calm = meter.target(PAINTING), calm_places(photo)
    return meter.distances(photo, target, calm).closed(meter.distances(painted, target, calm))


def test_the_photo_itself_and_the_photo_in_other_colors_have_no_brushwork(meter: BrushworkMeter) -> None:
    assert closed(meter, PHOTO) == {"flat": 0, "deep": 0, "strokes": 0}
    luminance = (PHOTO * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    sepia = 0.4 * luminance.expand(-1, 3, -1, -1) + torch.tensor([0.2, 0.0, -0.3]).view(1, 3, 1, 1)
    assert closed(meter, sepia) == pytest.approx({"flat": 0, "deep": 0, "strokes": 0}, abs=1e-3)


def test_the_painting_itself_has_all_of_it(meter: BrushworkMeter) -> None:
    found = closed(meter, PAINTING)
    assert (found["deep"], found["strokes"]) == pytest.approx((1, 1), abs=1e-4)
    assert 0.7 < found["flat"] <= 1  # some places of it, compared with all
    grayer = closed(meter, 0.5 * PAINTING - 0.2)
    assert (grayer["deep"], grayer["strokes"]) == pytest.approx((1, 1), abs=1e-3)


def test_strokes_in_the_sky_count_as_flat(meter: BrushworkMeter) -> None:
    photo = PHOTO.clone()
    photo[:, :, :64] *= 0.05
    everywhere, below = photo + 0.5 * PAINTING, photo.clone()
    below[:, :, 64:] += 0.5 * PAINTING[:, :, 64:]
    assert closed(meter, everywhere, photo)["flat"] > closed(meter, below, photo)["flat"] + 0.1


def test_calm_places_are_the_calmest_quarter_of_whole_cells() -> None:
    photo = torch.rand(1, 3, 150, 200, generator=torch.Generator().manual_seed(0)) * 2 - 1
    photo[:, :, 64:128, 64:128] *= 0.1
    calm = calm_places(photo)
    assert calm.shape == (150, 200) and calm[64:128, 64:128].all()
    assert calm.sum() == 2 * 64 * 64  # a quarter of six cells, counted up; the incomplete cells are none
    assert not calm_places(photo[..., :60, :60]).any()
