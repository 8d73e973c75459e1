"""Dense curvature straight from the equations (method.md, section 3): every matrix is formed, in float64."""

from __future__ import annotations

import torch
from torch.func import functional_call, hessian, jacrev
from torch.nn.attention import SDPBackend, sdpa_kernel


def positions(module, units):
    """Where the block's weights lie in the concatenation of all parameters: the block's order, by number."""
    start, found = 0, []
    parts = dict(module.named_modules(remove_duplicate=False))
    for parameter in module.parameters():
        numbers = torch.arange(start, start + parameter.numel()).view(parameter.shape)
        start += parameter.numel()
        rows = set()
        for name, chosen in units.items():
            if any(parameter is one for one in _own(parts[name])):
                rows |= set(chosen)
        found += [numbers[row].reshape(-1) for row in sorted(rows)]
    return torch.cat(found)


def _own(layer):
    if isinstance(layer, torch.nn.MultiheadAttention):
        return layer.in_proj_weight, layer.in_proj_bias
    return layer.weight, layer.bias


def flat_weights(module):
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


def outputs_at(module, flat, x):
    """The network's outputs at other weights, in evaluation mode."""
    weights, start = {}, 0
    for name, p in module.named_parameters():
        weights[name] = flat[start : start + p.numel()].view(p.shape)
        start += p.numel()
    return functional_call(module, weights, (x,))


def full_hessian(module, losses, x, y, units):
    """Hessian of the mean loss in all parameters, then the block's rows and columns."""
    module.eval()
    at = positions(module, units)
    for name, part in list(module.named_modules()):
        if isinstance(part, (torch.nn.LayerNorm, torch.nn.GroupNorm)):
            module.set_submodule(name, PlainNorm(part))
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
        whole = hessian(lambda flat: losses(outputs_at(module, flat, x), y).mean())(flat_weights(module))
    return whole[at][:, at]


def output_hessians(losses, outputs, y):
    """The Hessian of each example's loss in its outputs, (m, K, K)."""
    found = []
    for i in range(len(y)):
        one = hessian(lambda o, i=i: losses(o[None], y[i : i + 1])[0])(outputs[i])
        found.append(one.reshape(outputs[i].numel(), outputs[i].numel()))
    return torch.stack(found)


def gauss_newton(module, losses, x, y, units):
    """Mean over examples of J_i^T H_i J_i."""
    module.eval()
    at, flat = positions(module, units), flat_weights(module)
    jacobian = jacrev(lambda w: outputs_at(module, w, x))(flat)
    jacobian = jacobian.reshape(len(y), -1, len(flat))[:, :, at]
    curved = output_hessians(losses, outputs_at(module, flat, x).detach(), y)
    return sum(j.T @ h @ j for j, h in zip(jacobian, curved, strict=True)) / len(y)


def kfac(module, losses, x, y, layer_name, units):
    """A (x) B of one module called once, one example and one position at a time, in the order of the block.

    Rows and columns are those of vec(W) with the units' weights first, unit by unit, and then their biases.
    """
    module.eval()
    layer = dict(module.named_modules())[layer_name]
    if isinstance(layer, (torch.nn.LayerNorm, torch.nn.GroupNorm)):
        return gauss_newton(module, losses, x, y, {layer_name: units})
    for name, part in list(module.named_modules()):
        if isinstance(part, torch.nn.MultiheadAttention):
            module.set_submodule(name, Apart(part))
    if isinstance(layer, torch.nn.MultiheadAttention):
        return _kfac_of_attention(module, losses, x, y, layer_name, units)
    a_sum, b_sum = 0, 0
    for i in range(len(y)):
        seen = {}

        def forward(delta, one=x[i : i + 1], seen=seen):
            def hook(_, inputs, output):
                seen["input"] = inputs[0]
                return output + delta

            handle = layer.register_forward_hook(hook)
            try:
                return module(one)[0]
            finally:
                handle.remove()

        with torch.no_grad():
            outputs = forward(torch.zeros(()))
            places = _inputs(layer, seen["input"][0])
            shape = layer(seen["input"]).shape
        slope = jacrev(forward)(torch.zeros(shape, dtype=x.dtype)).detach()
        slope = slope.reshape(outputs.numel(), *shape[1:])
        if isinstance(layer, torch.nn.Conv2d):
            slope = slope.flatten(2).permute(2, 0, 1)
        else:
            slope = slope.reshape(outputs.numel(), -1, shape[-1]).permute(1, 0, 2)
        assert len(slope) == len(places)
        curved = output_hessians(losses, outputs[None], y[i : i + 1])[0]
        for a, g in zip(places, slope, strict=True):
            a_sum = a_sum + torch.einsum("gi,gj->gij", a, a)
            b_sum = b_sum + g.T @ curved @ g / len(places)
    a, b = a_sum / len(y), b_sum / len(y)
    return _kron(a, b, sorted(units), layer.weight.shape[0] // len(a), layer.bias is not None)


class PlainNorm(torch.nn.Module):
    """A LayerNorm or GroupNorm by its equation: of torch's own, torch.func has wrong second derivatives."""

    def __init__(self, layer):
        super().__init__()
        self.weight, self.bias, self.eps = layer.weight, layer.bias, layer.eps
        self.groups = getattr(layer, "num_groups", None)

    def forward(self, x):
        rows = x if self.groups is None else x.reshape(len(x), self.groups, -1)
        apart = rows - rows.mean(dim=-1, keepdim=True)
        scaled = (apart / (apart.square().mean(dim=-1, keepdim=True) + self.eps).sqrt()).reshape(x.shape)
        shape = (-1,) if self.groups is None else (-1, *[1] * (x.ndim - 2))
        return scaled * self.weight.reshape(shape) + self.bias.reshape(shape)


class Apart(torch.nn.Module):
    """A MultiheadAttention by its weights, with a Linear each for queries, keys and values."""

    def __init__(self, layer):
        super().__init__()
        self.heads, size = layer.num_heads, layer.embed_dim
        self.batch_first = False  # what torch asks before it takes a quick way, past this layer
        self.inner = torch.nn.ModuleList([torch.nn.Linear(size, size).double() for _ in range(3)])
        with torch.no_grad():
            for k, one in enumerate(self.inner):
                one.weight.copy_(layer.in_proj_weight[k * size : (k + 1) * size])
                one.bias.copy_(layer.in_proj_bias[k * size : (k + 1) * size])
        self.out_proj = layer.out_proj

    def forward(self, query, key, value, **_):
        q, k, v = (one(x) for one, x in zip(self.inner, (query, key, value), strict=True))
        size = q.shape[-1] // self.heads
        mixed = [
            torch.softmax(q[..., s] @ k[..., s].mT / size**0.5, dim=-1) @ v[..., s]
            for s in (slice(h * size, (h + 1) * size) for h in range(self.heads))
        ]
        return self.out_proj(torch.cat(mixed, dim=-1)), None


def _kfac_of_attention(module, losses, x, y, layer_name, units):
    """That of queries, keys and values, each alone; nothing between them. Weights first, then all biases."""
    size = module.get_submodule(f"{layer_name}.inner.0").in_features
    own = [{unit - k * size for unit in units if unit // size == k} for k in range(3)]
    parts = [
        kfac(module, losses, x, y, f"{layer_name}.inner.{k}", chosen) if chosen else torch.zeros(0, 0)
        for k, chosen in enumerate(own)
    ]
    whole = torch.block_diag(*(part.double() for part in parts))
    weights, biases, start = [], [], 0
    for chosen in own:
        weights += range(start, start + len(chosen) * size)
        biases += range(start + len(chosen) * size, start + len(chosen) * (size + 1))
        start += len(chosen) * (size + 1)
    at = torch.tensor(weights + biases)
    return whole[at][:, at]


def _inputs(layer, x):
    """a_p of every position of one example, each (groups, inputs of a unit), then 1 for a bias."""
    found = []
    if isinstance(layer, torch.nn.Conv2d):
        height, width = layer.weight.shape[2:]
        down, across = layer.padding
        padded = torch.zeros(x.shape[0], x.shape[1] + 2 * down, x.shape[2] + 2 * across, dtype=x.dtype)
        padded[:, down : down + x.shape[1], across : across + x.shape[2]] = x
        reach = [d * (k - 1) for d, k in zip(layer.dilation, (height, width), strict=True)]
        for top in range(0, padded.shape[1] - reach[0], layer.stride[0]):
            for left in range(0, padded.shape[2] - reach[1], layer.stride[1]):
                rows = slice(top, top + reach[0] + 1, layer.dilation[0])
                columns = slice(left, left + reach[1] + 1, layer.dilation[1])
                found.append(padded[:, rows, columns].reshape(layer.groups, -1))
    else:
        found = [token[None] for token in x.reshape(-1, x.shape[-1])]
    if layer.bias is not None:
        found = [torch.cat([a, torch.ones(len(a), 1, dtype=a.dtype)], dim=1) for a in found]
    return found


def _kron(a, b, units, per_group, bias):
    inputs = a.shape[1] - bias
    entries = [(u, i) for u in units for i in range(inputs)] + [(u, inputs) for u in units if bias]
    whole = torch.zeros(len(entries), len(entries), dtype=torch.float64)
    for row, (u, i) in enumerate(entries):
        for column, (v, j) in enumerate(entries):
            if u // per_group == v // per_group:
                whole[row, column] = b[u, v] * a[u // per_group, i, j]
    return whole


def solve(matrix, rhs, shift):
    return torch.linalg.solve(matrix + shift * torch.eye(len(matrix), dtype=torch.float64), rhs)
