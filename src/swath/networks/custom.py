"""A user's own module as a network: checked before training, and given the outputs that a model file has.

A ``torch.nn.Module``, or a Keras 3 model with the torch backend, maps normalized patches to logits. Features are the
input of its last linear layer; there are no activations, so no exact class activation map.
"""

from __future__ import annotations

import inspect
import sys
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from swath.errors import SettingError
from swath.networks.backbones import misfits
from swath.networks.scratch import Outputs

CUSTOM = "module:"  # before the class's name, where a recipe names its network
_TRIAL = 4  # random patches


class CustomNetwork(nn.Module):
    """A module, and the input of its last linear layer as features.

    Parameters
    ----------
    module : torch.nn.Module
        Maps ``[N, bands, P, P]`` to logits ``[N, K]``. It is trained in place.
    """

    new_modules = ("module",)  # no part of it is a backbone: what is frozen is the module's own business

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.bias: tuple[torch.Tensor, ...] = ()  # of the layer whose output the logits are
        # In tuples, not as attributes: both belong to the module already, and would be listed twice.
        self._head: tuple[nn.Linear, ...] = ()

    def forward(self, x: torch.Tensor) -> Outputs:
        """Map normalized patches ``[N, bands, P, P]`` to :class:`Outputs` without activations."""
        held: list[torch.Tensor] = []
        handles = [
            layer.register_forward_pre_hook(lambda _layer, inputs: held.append(inputs[0])) for layer in self._head
        ]
        try:
            # Row-major, as code written elsewhere expects: ``view`` fails on channels-last tensors.
            logits = self.module(x.contiguous(memory_format=torch.contiguous_format))
        finally:
            for handle in handles:
                handle.remove()
        return Outputs(logits, held[-1] if held else logits.clone(), None)

    def try_module(self, x: torch.Tensor) -> Any:
        """Run the module once, find its last linear layer, and return whatever the module does."""
        calls: list[tuple[nn.Linear, Any, Any]] = []
        with ExitStack() as hooks:
            for layer in self.module.modules():
                if isinstance(layer, nn.Linear):
                    hooks.enter_context(layer.register_forward_hook(lambda *call: calls.append(call)))
            logits = self.module(x)
        for layer, inputs, output in calls[::-1]:
            if inputs and inputs[0].ndim == 2:
                self._head = (layer,)
                self.bias = (layer.bias,) if output is logits and layer.bias is not None else ()
                break
        return logits


class KerasNetwork(CustomNetwork):
    """A Keras model with the torch backend: patches in the layout it expects, and told whether it is training.

    Parameters
    ----------
    module : keras.Model
        Maps ``[N, P, P, bands]``, or ``[N, bands, P, P]``, to logits ``[N, K]``.
    bands : int
        Input channels.
    """

    def __init__(self, module: Any, *, bands: int) -> None:
        super().__init__(module)
        keras: Any = sys.modules["keras"]
        shape: Any = module.input_shape if module.built else ()
        first, last = (shape[1] == bands, shape[-1] == bands) if len(shape) == 4 else (False, False)
        default_last = keras.config.image_data_format() == "channels_last"
        self._channels_last = last if first != last else default_last
        self._takes_training = "training" in inspect.signature(module.call).parameters
        head = module.layers[-1] if getattr(module, "inputs", None) else None
        self._both: tuple[Any, ...] = ()
        if isinstance(head, keras.layers.Dense) and head.activation is keras.activations.linear:
            self._both = (keras.Model(module.inputs, [module.outputs[0], head.input]),)
            self.bias = (head.bias.value,) if head.use_bias else ()

    def forward(self, x: torch.Tensor) -> Outputs:
        """Map normalized patches ``[N, bands, P, P]`` to :class:`Outputs` without activations."""
        if not self._both:
            logits = self.try_module(x)
            return Outputs(logits, logits.clone(), None)
        logits, features = self._both[0](self._laid_out(x), training=self.training)
        return Outputs(logits, features, None)

    def try_module(self, x: torch.Tensor) -> Any:
        """Run the model once, and return whatever it does."""
        options = {"training": self.training} if self._takes_training else {}
        return self.module(self._laid_out(x), **options)

    def _laid_out(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).contiguous() if self._channels_last else x.contiguous()


def custom_network(
    module: object, *, bands: int, size: int, crop: int | None, outputs: int, needs_bias: bool
) -> CustomNetwork:
    """Take a user's module as a network, after a trial with random patches.

    Parameters
    ----------
    module : torch.nn.Module
        Or a ``keras.Model`` with the torch backend; moved to the CPU, and later trained in place.
    bands, size : int
        Input channels, and side of the patches in pixels.
    crop : int or None
        Side of the crops it is trained on, if any.
    outputs : int
        Logits it has to return: one per class, one for the binary task.
    needs_bias : bool
        Whether calibration adds an offset to each logit, as for the binary and multi-label tasks.

    Raises
    ------
    SettingError
        If it is no module, does not take such patches, or returns something other than these logits.
    """
    own, name = check_module(module).cpu(), type(module).__name__
    keras = sys.modules.get("keras")
    is_keras = keras is not None and isinstance(own, keras.Model)
    network = KerasNetwork(own, bands=bands) if is_keras else CustomNetwork(own)
    network.eval()
    for side in (size, crop) if crop is not None and crop < size else (size,):
        try:
            with misfits(name, side), torch.no_grad(), torch.random.fork_rng(devices=[]):
                logits = network.try_module(torch.randn(_TRIAL, bands, side, side))
        except SettingError as error:
            crops = "leave out crops, as with load_recipe(..., augmentation={'crop': None})"
            fix = "set another size, or change the module" if side == size else crops
            raise SettingError(error.problem, fix=fix) from error
        if not isinstance(logits, torch.Tensor):
            raise SettingError(
                f"{name} returns a {type(logits).__name__}", fix=f"return logits [N, {outputs}] as one tensor"
            )
        if tuple(logits.shape) != (_TRIAL, outputs):
            raise SettingError(
                f"{name} maps {_TRIAL} patches of {side} px to {list(logits.shape)}",
                fix=f"return logits [N, {outputs}]: one per class, or one alone for the binary task",
            )
    if outputs > 1 and bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones(_TRIAL)):
        raise SettingError(
            f"{name} returns probabilities", fix="leave out its softmax: logits are calibrated afterwards"
        )
    if needs_bias and not network.bias:
        raise SettingError(
            f"{name} does not end in a linear layer with a bias, which calibration shifts for this task",
            fix=f"end it in torch.nn.Linear(..., {outputs})",
        )
    return network.train()


def check_module(module: object) -> nn.Module:
    """The module; refuses what is none.

    Raises
    ------
    SettingError
        If it is none.
    """
    if not isinstance(module, nn.Module):
        raise SettingError(
            f"network= takes a torch.nn.Module, and a {type(module).__name__} is none",
            fix="give an instance; a Keras model is one if KERAS_BACKEND=torch is set before keras is imported",
        )
    return module
