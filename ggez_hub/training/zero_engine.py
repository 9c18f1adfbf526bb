"""The steps of a model that DeepSpeed's ZeRO-3 shards: its engine, as the training loop takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ggez_hub.training.optimiser import AdamW
from ggez_hub.training.recipe import Optimiser
from ggez_hub.training.zero import MOMENTS, Moment, ZeroSettings, is_gathered, library

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]


class ZeroEngine:
    """A partitioned module in training; it is its own optimiser."""

    def __init__(
        self,
        module: nn.Module,
        settings: Optimiser,
        zero: ZeroSettings,
        accelerator: Accelerator,
    ) -> None:
        # Its groups are parts of groups from here on.
        self._adamw = AdamW(module, settings, accelerator)
        self.learning = self._adamw.learning
        most = settings.max_grad_norm
        self._engine, *_ = library().initialize(
            model=_Autocast(module, accelerator),
            optimizer=self._adamw,
            config=zero.config(0.0 if most == "none" else most),
            dist_init_required=False,
        )
        # Gradients accumulate until `step`, however many times `backward` is called.
        self._engine.set_gradient_accumulation_boundary(is_boundary=True)

    def call(self, **batch: Any) -> Any:
        """What the module's forward returns."""
        return self._engine(**batch)

    def backward(self, loss: Tensor) -> None:
        """Add the gradients, averaged over the processes."""
        self._engine.backward(loss)

    def update(self, factor: float) -> float:
        """Multiply the gradients, clip them and step.

        Returns their norm before it is clipped; if it is not finite, no weight changes.
        """
        zero = self._engine.optimizer
        zero.override_loss_scale(1 / factor)
        self._engine.step()
        zero.override_loss_scale(1.0)
        # What has no gradient in the first batch of a step is added to.
        zero.grad_partitions_flat_buffer.zero_()
        return math.nan if zero.overflow else float(self._engine.get_global_grad_norm())

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """As of an optimiser."""
        groups: list[dict[str, Any]] = self._engine.optimizer.param_groups
        return groups

    def state_dict(self) -> dict[str, Any]:
        """As of AdamW over complete parameters, with Moments for tensors."""
        states = list(self._adamw.state.values())
        if not states:
            return {"state": {}}
        return {
            "state": {
                number: {"step": states[0]["step"], **{key: Moment(p, key) for key in MOMENTS}}
                for number, p in enumerate(self.learning)
            }
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a state with this process's parts of the moments."""
        from deepspeed.utils import safe_set_local_optimizer_state

        found = state["state"]
        step = next(iter(found.values()))["step"]
        for part in self._engine.optimizer.fp32_partitioned_groups_flat:
            self._adamw.state[part] = {
                "step": step.clone(),
                **{key: torch.zeros_like(part) for key in MOMENTS},
            }
        for number, moments in found.items():
            for key in MOMENTS:
                safe_set_local_optimizer_state(self.learning[number], moments[key], key)

    def close(self) -> None:
        """Leave the module as `partition` does, with the weights that it has learnt."""
        self._engine.destroy()
        for parameter in filter(is_gathered, self._engine.module.parameters()):
            parameter.partition()


class _Autocast(nn.Module):
    """DeepSpeed turns off autocast around what it calls: it has to be inside."""

    def __init__(self, module: nn.Module, accelerator: Accelerator) -> None:
        super().__init__()
        self.module, self._accelerator = module, accelerator

    def forward(self, **batch: Any) -> Any:
        with self._accelerator.autocast():
            return self.module(**batch)
