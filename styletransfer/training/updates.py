"""Backward passes and optimizer updates of both sides; one whose gradients are no numbers is left out, and said."""

import math
from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from styletransfer.errors import TrainingError

PATIENCE = 3  # updates in a row that may be left out
PATIENCE_FP16 = 20  # there a loss scale that is too high is lowered by just this


class Updates:
    """The two optimizers of a run.

    Args:
        accelerator: of the run.
        sides: networks and their optimizer, all prepared; each network's gradient is clipped by itself.
        max_gradient_norm: where it is clipped.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        sides: Sequence[tuple[Sequence[nn.Module], torch.optim.Optimizer]],
        max_gradient_norm: float,
    ) -> None:
        self.accelerator, self.sides, self.max_gradient_norm = accelerator, sides, max_gradient_norm
        self.left_out = 0  # updates in a row
        self._seen: list[dict[str, Tensor]] = []

    def backward(self, terms: Mapping[str, Tensor]) -> None:
        """Gradients of the sum of a pass's losses."""
        self._seen.append({name: value.detach() for name, value in terms.items()})
        total = sum(terms.values())
        # A rectifier lets no NaN through on its way back. This way every gradient shows it, in every process, since
        # gradients are averaged over them.
        poison = torch.where(total.detach().isfinite(), 1.0, math.nan)
        self.accelerator.backward(total * poison)

    def apply(self, step: int, kept: str) -> bool:
        """Update both sides once the last pass of a step is through; whether that was so and all were numbers.

        Both at the end, so that every pass accumulated into a step meets the same discriminator.

        Args:
            step: the number of this step, for people.
            kept: what is there to go on from, for people.

        Raises:
            TrainingError: several updates in a row had to be left out.
        """
        if not self.accelerator.sync_gradients:
            return False
        norms = [norm for networks, optimizer in self.sides for norm in self._clip(networks, optimizer)]
        healthy = bool(torch.stack(norms).isfinite().all())
        for _, optimizer in self.sides:
            if healthy or self.accelerator.scaler is not None:  # which looks for itself, and lowers its scale
                optimizer.step()
            optimizer.zero_grad()  # after the step, not before the pass: it must not clear what is being accumulated
        self.left_out = 0 if healthy else self.left_out + 1
        if not healthy:
            self._say(step, kept)
        self._seen.clear()
        return healthy

    def _clip(self, networks: Sequence[nn.Module], optimizer: torch.optim.Optimizer) -> list[Tensor]:
        self.accelerator.unscale_gradients(optimizer)  # clip_grad_norm_ of Accelerate would unscale both sides
        return [nn.utils.clip_grad_norm_(network.parameters(), self.max_gradient_norm) for network in networks]

    def _say(self, step: int, kept: str) -> None:
        bad = [name for terms in self._seen for name, value in terms.items() if not value.isfinite()]
        what = f"The loss {bad[0]}" if bad else "A gradient"
        if self.left_out >= (PATIENCE if self.accelerator.scaler is None else PATIENCE_FP16):
            raise TrainingError(
                f"{what} is no number any more since step {step - self.left_out + 1}; {kept}: "
                "continue from there with a lower learning rate."
            )
        if self.accelerator.is_main_process:
            tqdm.write(f"step {step}: {what[0].lower()}{what[1:]} is no number, this update is left out.")
