"""Grad-CAM: maps of the evidence in networks that have no exact class activation map.

Selvaraju, Cogswell, Das, Vedantam, Parikh and Batra 2017, "Grad-CAM: visual explanations from deep networks
via gradient-based localization" (ICCV): the channels of one layer, weighted by the mean gradient of the
class's logit. Tests compare it with captum's. Two things differ from the paper. Signs are kept, so that
evidence against the class shows as well; and maps are multiplied by the number of places, which makes them
what the logit changes by, to first order. So for a network that ends in global average pooling and one
linear layer, Grad-CAM at the last activations *is* the class activation map.

The layer is :func:`swath.networks.cam_layer`'s: at 64 pixels the last stage of a ResNet has 2 x 2 places,
and a map of four squares explains nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from swath.errors import ModelFileError
from swath.explain.evidence import Evidence, class_numbers, explained_classes
from swath.explain.faithful import Part, layers_of
from swath.imagery import resize
from swath.inference import Classifier, load
from swath.model import Record
from swath.networks import build_network
from swath.networks.layers import cam_layer, layer_maps
from swath.training.recipe import load_recipe

BATCH = 64
MODEL, WEIGHTS, RECIPE = "model.onnx", "weights.safetensors", "recipe.yaml"


class GradCam:
    """Makes Grad-CAM maps of one network; an :class:`swath.explain.Explainer`.

    Parameters
    ----------
    classifier : Classifier
        The run's model file, which gives the answers.
    network : torch.nn.Module
        The same network in torch.
    """

    def __init__(self, classifier: Classifier, network: nn.Module) -> None:
        self.classifier = classifier
        self.network = network.eval()
        spec = classifier.record.input
        self.layer = cam_layer(network, bands=len(spec.bands), size=spec.size).layer

    def __call__(self, pixels: npt.NDArray[Any], *, classes: Sequence[str] | None = None) -> Evidence:
        """Map the evidence in pixels ``[N, bands, H, W]`` as decoded; see :func:`grad_cam`."""
        record = self.classifier.record
        names = record.class_names
        wanted = class_numbers(names, classes, images=len(pixels))
        decision = self.classifier.decide(self.classifier.run(pixels)["probabilities"])
        explained = explained_classes(record, decision.probabilities) if wanted is None else wanted
        maps = [
            self._maps(pixels[start : start + BATCH], explained[start : start + BATCH])
            for start in range(0, len(pixels), BATCH)
        ]
        return Evidence(
            np.concatenate(maps),
            tuple(names[k] for k in explained),
            tuple(decision.named),
            decision.confidence,
            method="grad-cam",
        )

    def randomized_explainer(self, part: Part, seed: int) -> GradCam:
        """The same with weights drawn again, as :func:`swath.explain.faithful.randomized` does it."""
        other = copy.deepcopy(self.network)
        layers = [module for module in other.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        rng = np.random.default_rng(seed)
        with torch.no_grad():
            for layer in layers[-layers_of(part, len(layers)) :]:
                spread = float(layer.weight.std(correction=0))
                drawn = rng.normal(0, spread, tuple(layer.weight.shape)).astype(np.float32)
                layer.weight.copy_(torch.from_numpy(drawn))
        return GradCam(self.classifier, other)

    def _maps(self, pixels: npt.NDArray[Any], numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        record = self.classifier.record
        binary = record.task == "binary"  # one logit: for the positive class, and against the negative one
        target = np.zeros_like(numbers) if binary else numbers
        values, gradients = self._at_layer(_normalized(pixels, record), torch.from_numpy(target))
        weights = gradients.mean(dim=(2, 3), keepdim=True) * values[0, 0].numel()
        maps = (weights * values).sum(dim=1).numpy()
        sign = np.where(numbers == 0, -1, 1)[:, None, None] if binary else 1
        return np.asarray(maps * sign, np.float32)

    def _at_layer(self, patches: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps ``[N, C, h, w]`` of the layer, and the gradient of each patch's logit there."""
        held: list[torch.Tensor] = []

        def hold(_layer: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
            held.append(output)
            return output.clone()  # what comes after may change its input in place

        with self.layer.register_forward_hook(hold), torch.enable_grad():
            logits = self.network(patches).logits
        (gradient,) = torch.autograd.grad(logits.gather(1, target[:, None]).sum(), held[0])
        maps = [layer_maps(self.network, tensor) for tensor in (held[0].detach(), gradient)]
        if maps[0] is None or maps[1] is None:
            raise TypeError(f"the layer {type(self.layer).__name__} gives no maps")
        return maps[0], maps[1]


def grad_cam(run: Path, pixels: npt.NDArray[Any], *, classes: Sequence[str] | None = None) -> Evidence:
    """Map the evidence for a class with the network of a training run.

    Parameters
    ----------
    run : Path
        The run's folder, with ``model.onnx``, ``weights.safetensors`` and ``recipe.yaml``.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16, as decoded.
    classes : sequence of str, optional
        The class to explain, one name per image; by default the predicted one.

    Returns
    -------
    Evidence
        Its maps are on the layer's grid, in units of the logit to first order.

    Raises
    ------
    ModelFileError
        If the folder lacks one of the files, or its weights are not those of its recipe's network.
    SettingError
        If a class is not one of the model's, or there is not one name per image.
    """
    return grad_cam_of(load(run / MODEL), run)(pixels, classes=classes)


def grad_cam_of(classifier: Classifier, run: Path) -> GradCam:
    """Make Grad-CAM maps of a loaded model with the network in its run's folder.

    Raises
    ------
    ModelFileError
        As :func:`grad_cam`.
    """
    missing = [name for name in (WEIGHTS, RECIPE) if not (run / name).is_file()]
    if missing:
        raise ModelFileError(
            f"Grad-CAM needs the torch network, and {run} has no {missing[0]}",
            fix="give the folder of a training run, or use --method cam or occlusion",
        )
    record = classifier.record
    recipe = load_recipe(str(run / RECIPE))
    spec = record.input
    network = build_network(recipe.network, bands=len(spec.bands), outputs=record.outputs, size=spec.size)
    try:
        network.load_state_dict(load_file(run / WEIGHTS))
    except (RuntimeError, SafetensorError) as error:
        raise ModelFileError(
            f"{run / WEIGHTS} does not hold the weights of network '{recipe.network.name}'",
            fix="give the folder of a training run as it was written",
        ) from error
    return GradCam(classifier, network)


def _normalized(pixels: npt.NDArray[Any], record: Record) -> torch.Tensor:
    """What the model file's graph does to pixels before the network sees them."""
    spec = record.input
    values = torch.from_numpy(np.array(resize(pixels, spec.size), np.float32))
    mean, sd = (torch.tensor(v, dtype=torch.float32)[None, :, None, None] for v in (spec.mean, spec.sd))
    return (values - mean) / sd
