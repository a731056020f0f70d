"""The slow loop: one network at a time, with torch's own layers, autograd and optimizers.

``train_slowly`` takes ww's draws, so that it must go the same way. ``train_independently`` draws all by torch's own
functions, so that only distributions can agree.
"""

import numpy as np
import torch
from torch.nn import functional

from ww_plugins.zoos.training.initial import initial_weights
from ww_plugins.zoos.training.stack import dropout_field, images_used, order_of, subset_of


class SlowNetwork(torch.nn.Module):
    def __init__(self, network, activation, weights):
        super().__init__()
        self.network, self.activation = network, getattr(torch, activation)
        tensors = {
            tensor.name.replace("/", "-"): weights[tensor.start : tensor.stop].reshape(tensor.shape).clone()
            for tensor in network.tensors
        }
        self.tensors = torch.nn.ParameterDict({name.replace(".", "_"): own for name, own in tensors.items()})

    def flat(self):
        return torch.cat([own.detach().flatten() for own in self.tensors.values()])

    def kernels(self):
        return [own for name, own in self.tensors.items() if "kernel" in name]

    def forward(self, images, rate=0.0, field=None):
        parameters = list(self.tensors.values())
        start = 0
        maps = images[:, None] if self.network.kind == "cnn" else images.flatten(1)
        for number, layer in enumerate(self.network.layers):
            bias, kernel = parameters[2 * number : 2 * number + 2]
            if kernel.ndim == 4:
                maps = functional.conv2d(maps, kernel.permute(3, 2, 0, 1), bias, stride=2)
            else:
                maps = (maps.mean((2, 3)) if maps.ndim == 4 else maps) @ kernel + bias
            if layer is self.network.layers[-1]:
                return maps
            maps = self.activation(maps)
            if field is not None and rate:
                own = field[start : start + len(images) * layer.units]
                start += len(own)
                kept = torch.from_numpy(own >= round(rate * 256)).view(len(images), *layer.grid, layer.outputs)
                kept = kept.permute(0, 3, 1, 2) if maps.ndim == 4 else kept.flatten(1)
                maps = maps * kept / (1 - rate)
        raise AssertionError


def optimizer_of(chosen, parameters):
    rate = chosen.learning_rate
    match chosen.optimizer:
        case "sgd":
            return torch.optim.SGD(parameters, lr=rate)
        case "adam":
            return torch.optim.Adam(parameters, lr=rate, eps=1e-7)
        case "rmsprop":
            return torch.optim.RMSprop(parameters, lr=rate, alpha=0.9, eps=1e-7)


def train_slowly(network, images, chosen, schedule, dtype=torch.float32, steps=None):
    """Return the weights at each checkpoint, and accuracy and loss on test and train at the end.

    With ``steps``, stop after so many steps and return the weights after each of them.
    """
    weights = torch.from_numpy(initial_weights(network, chosen)).to(dtype)
    model = SlowNetwork(network, chosen.activation, weights)
    optimizer = optimizer_of(chosen, model.parameters())
    x, y = torch.from_numpy(images.x_train).to(dtype), torch.from_numpy(images.y_train)
    used = images_used(chosen, len(x))
    subset = subset_of(chosen.random_seed, len(x), used)
    kept, after, taken = {0: model.flat()}, [], 0
    for epoch in range(1, schedule.epochs + 1):
        order = subset[order_of(chosen.random_seed, epoch, used)]
        fields = dropout_field(chosen.random_seed, epoch)
        for start in range(0, used - schedule.batch + 1, schedule.batch):
            batch = order[start : start + schedule.batch]
            field = fields.bytes(schedule.batch * network.hidden_units) if chosen.dropout else None
            loss = functional.cross_entropy(model(x[batch], chosen.dropout, field), y[batch])
            loss = loss + chosen.l2reg * sum((own**2).sum() for own in model.kernels())
            optimizer.zero_grad()
            loss.backward()
            taken += 1
            if chosen.optimizer == "adam":  # Keras adds epsilon before the bias is corrected
                optimizer.param_groups[0]["eps"] = 1e-7 / np.sqrt(1 - 0.999**taken)
            optimizer.step()
            if steps is not None:
                after.append(model.flat())
                if taken == steps:
                    return after
        kept[epoch] = model.flat()
    x_test, y_test = torch.from_numpy(images.x_test).to(dtype), torch.from_numpy(images.y_test)
    measured = [*measured_by(model, x_test, y_test), *measured_by(model, x[subset], y[subset])]
    return [kept[epoch] for epoch in schedule.checkpoints], measured


def measured_by(model, images, labels):
    """Return accuracy and mean cross entropy."""
    with torch.no_grad():
        logits = model(images)
        right = (logits.argmax(1) == labels).double().mean()
        return float(right), float(functional.cross_entropy(logits, labels))


class OwnDropout(SlowNetwork):
    """The network with torch's dropout."""

    def forward(self, images, rate=0.0):
        parameters = list(self.tensors.values())
        maps = images[:, None]
        for bias, kernel in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            maps = self.activation(functional.conv2d(maps, kernel.permute(3, 2, 0, 1), bias, stride=2))
            maps = functional.dropout(maps, rate)
        return maps.mean((2, 3)) @ parameters[-1] + parameters[-2]


def own_kernel(kernel, chosen):
    """Fill a kernel, (height, width, in, out) or (in, out), by torch's initialisers with the formulas of Keras."""
    as_torch = kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T
    fan_in, fan_out = torch.nn.init._calculate_fan_in_and_fan_out(as_torch)
    match chosen.w_init:
        case "orthogonal":
            torch.nn.init.orthogonal_(kernel.view(-1, kernel.shape[-1]))
        case "RandomNormal":
            torch.nn.init.normal_(kernel, 0, chosen.init_std)
        case name:
            variance = {"he_normal": 2 / fan_in, "glorot_normal": 2 / (fan_in + fan_out)}.get(name)
            std = chosen.init_std if variance is None else variance**0.5 / 0.8796
            torch.nn.init.trunc_normal_(kernel, 0, std, -2 * std, 2 * std)


def train_independently(network, images, chosen, schedule):
    """Train a cnn by torch alone, and return accuracy and loss on test and train at the end."""
    torch.manual_seed(chosen.random_seed)
    model = OwnDropout(network, chosen.activation, torch.zeros(network.parameters))
    with torch.no_grad():
        for kernel in model.kernels():
            own_kernel(kernel, chosen)
    optimizer = optimizer_of(chosen, model.parameters())
    x, y = torch.from_numpy(images.x_train), torch.from_numpy(images.y_train)
    used = images_used(chosen, len(x))
    subset = torch.randperm(len(x))[:used]
    taken = 0
    for _ in range(schedule.epochs):
        for batch in subset[torch.randperm(used)].split(schedule.batch):
            if len(batch) < schedule.batch:
                break
            loss = functional.cross_entropy(model(x[batch], chosen.dropout), y[batch])
            loss = loss + chosen.l2reg * sum((own**2).sum() for own in model.kernels())
            optimizer.zero_grad()
            loss.backward()
            taken += 1
            if chosen.optimizer == "adam":
                optimizer.param_groups[0]["eps"] = 1e-7 / np.sqrt(1 - 0.999**taken)
            optimizer.step()
    x_test, y_test = torch.from_numpy(images.x_test), torch.from_numpy(images.y_test)
    return *measured_by(model, x_test, y_test), *measured_by(model, x[subset], y[subset])
