"""Networks whose layers are hard to watch: compiled, checkpointed, scripted, called twice or never."""

from __future__ import annotations

import copy
import logging

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.checkpoint import checkpoint

from expunge.core.errors import InvalidValue
from expunge.curvature import Block, GaussNewton, Hessian, KroneckerFactored, cross_entropy, mean_gradient
from expunge.curvature.watching import compiled, duplicate
from expunge.models import activation_maps, head_inputs
from expunge.models.module_class import ModuleClass
from expunge.predictors.network import NetworkModel
from expunge.scrub.noisy_copies import observe, require_watched, unit_modules
from expunge.training import Learner, Training
from expunge.unlearners.lcodec import Lcodec
from tests.networks import examples, pictures

X, Y = pictures(6)
BATCHES = examples(X, Y, dtype=torch.float32)
SHAPE = (3, 8, 8)


def layers():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convolutions = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True)]
        linear = [nn.Flatten(), nn.Linear(144, 5), nn.ReLU(inplace=True), nn.Linear(5, 3)]
        return nn.Sequential(*convolutions), nn.Sequential(*linear)


class Plain(nn.Module):
    def __init__(self, shape=SHAPE, classes=3):
        super().__init__()
        self.body, self.end = layers()

    def forward(self, x):
        return self.end(self.body(x))


class Checkpointed(Plain):
    def forward(self, x):
        return checkpoint(self.end, checkpoint(self.body, x, use_reentrant=False), use_reentrant=False)


class Reentrant(Plain):
    def forward(self, x):
        return checkpoint(self.end, self.body(x), use_reentrant=True)


class ReentrantFirst(Plain):
    def forward(self, x):
        return self.end(checkpoint(self.body, x, use_reentrant=True))


class ByName(Plain):
    def forward(self, x):
        for part in (*self.body, *self.end):
            x = part(input=x)
        return x


class Functional(Plain):
    """The head's weights are used without calling it; a branch that evaluation never reaches."""

    def __init__(self):
        super().__init__()
        self.extra = nn.ModuleList([nn.Linear(2, 2)])
        self.end.append(self.end.pop(-1))

    def forward(self, x):
        head = self.end[-1]
        return nn.functional.linear(self.end[:-1](self.body(x)), head.weight, head.bias)


class Twice(Plain):
    def forward(self, x):
        features = self.end[:-1](self.body(x))
        return self.end[-1](features) + self.end[-1](features / 2)


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(x.flatten(1, 2)).mean(dim=1)


def run_before(network):
    """With a network that was compiled before anybody watched it."""
    with torch.no_grad():
        network(torch.zeros(6, *SHAPE))
    return network


def whole():
    return run_before(torch.compile(Plain().eval(), backend="eager"))


def in_place():
    network = Plain().eval()
    network.compile(backend="aot_eager")
    return run_before(network)


def a_part():
    network = Plain().eval()
    network.body = torch.compile(network.body, backend="eager")
    return run_before(network)


def its_forward():
    network = Plain().eval()
    network.forward = torch.compile(network.forward, backend="eager")
    return run_before(network)


ALIKE = {
    "eager": whole,
    "in place": in_place,
    "a part": a_part,
    "its forward": its_forward,
    "checkpointed": Checkpointed,
    "by name": ByName,
    "graph": lambda: torch.fx.symbolic_trace(Plain()),
}


def block(network):
    return Block.of(network, {name: range(len(part.weight)) for name, part in unit_modules(network).items()})


def sample(network):
    sample = BATCHES.take([0])
    return observe(network, cross_entropy, sample, 20, 0.1, torch.Generator().manual_seed(0))


def everything(network):
    """All that looks at the layers of a network."""
    units = block(network)
    vector = torch.linspace(-1, 1, units.size, dtype=torch.float64)
    kinds = (KroneckerFactored, GaussNewton, Hessian)
    gradient = mean_gradient(network, cross_entropy, BATCHES)
    return [
        head_inputs(network, BATCHES),
        activation_maps(network, BATCHES),
        torch.from_numpy(sample(network).activations),
        units.gather(gradient),
        *(kind(network, cross_entropy, BATCHES, units)(vector) for kind in kinds),
    ]


EXPECTED = everything(Plain().eval())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ALIKE)
def test_such_networks_are_seen_as_the_plain_one(name):
    network = ALIKE[name]().eval()
    assert compiled(network) == (name in ("eager", "in place", "a part", "its forward"))
    found = everything(network)
    assert len(found) == len(EXPECTED) == 7
    for mine, theirs in zip(found, EXPECTED, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-7)
    require_watched(network, BATCHES.take([0, 1])[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "named"), [(Reentrant, "end.1, end.3 (2 in all)"), (ReentrantFirst, "body.0, body.2 (2 in all)")]
)
def test_reentrant_checkpoints_are_named(make, named):
    network = make().eval()
    with pytest.raises(InvalidValue) as caught:
        require_watched(network, BATCHES.take([0, 1])[0])
    said = f"{named} under torch.utils.checkpoint with use_reentrant=True"
    assert str(caught.value) == f"model: got {said!r}, allowed: use_reentrant=False"


class Attention(nn.Module):
    """In evaluation torch has a quick way through such a layer, which calls none of those inside.

    With a token of zeros besides, attention is not written out, and its projections are not called.
    """

    def __init__(self, zeros=False):
        super().__init__()
        self.first, self.head = nn.Linear(24, 8), nn.Linear(8, 3)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        layer.self_attn.add_zero_attn = zeros
        self.blocks = nn.TransformerEncoder(layer, 1)

    def forward(self, x):
        return self.head(self.blocks(self.first(x.permute(0, 2, 1, 3).flatten(2))).mean(dim=1))


@pytest.mark.filterwarnings("ignore")
def test_layers_inside_of_attention(caplog):
    inside = {f"blocks.layers.0.{name}" for name in ("linear1", "linear2", "norm1", "norm2")}
    network = Attention().eval()
    require_watched(network, BATCHES.take([0, 1])[0])
    assert not caplog.records
    own = {"blocks.layers.0.self_attn", "blocks.layers.0.self_attn.out_proj"}
    assert {name for name, _ in sample(network).units} == {"first", "head", *inside, *own}
    network = Attention(zeros=True).eval()
    require_watched(network, BATCHES.take([0, 1])[0])
    assert caplog.text.rstrip().endswith(
        "is selected by what it answers: blocks.layers.0.self_attn.out_proj (used without being called)"
    )
    assert {name for name, _ in sample(network).units} == {"first", "head", *inside}


def model_of(make, epochs=10, **settings):
    architecture = ModuleClass(f"{__name__}.{make.__name__}", settings)
    return NetworkModel(Learner(architecture, Training(epochs=epochs), progress=False))


def reentrant(shape, classes):
    return Reentrant(shape, classes)


def pruned(shape, classes, every=True):
    network = Plain(shape, classes)
    for part in [m for m in network.modules() if hasattr(m, "weight")] if every else [network.body[2]]:
        prune.l1_unstructured(part, "weight", 0.5)
    return network


def tied(shape, classes):
    network = Plain(shape, classes)
    network.body[2].bias = network.body[0].bias
    return network


def attention(shape, classes):
    return Attention(zeros=True)


def deaf(shape, classes):
    network = Plain(shape, classes)
    network.forward = torch.no_grad()(network.forward)
    return network


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "settings", "named"),
    [
        (reentrant, {}, "use_reentrant"),
        (pruned, {"selector": "all"}, "not frozen, pruned or parametrised"),
        (tied, {}, "shares no weights"),
        (attention, {"selector": "all"}, "out_proj.*called through its own forward"),
        (attention, {"selector": "one"}, "out_proj.*called through its own forward"),
        (deaf, {}, "outputs that have no gradient"),
    ],
)
def test_a_network_that_cannot_be_scrubbed_is_not_trained_first(make, settings, named):
    model = model_of(make)
    with pytest.raises(InvalidValue, match=named):
        Lcodec(model, **settings).fit(X, Y, 0)
    assert not hasattr(model, "module")


def test_a_network_whose_layers_are_partly_pruned_says_how_much_is_reached(caplog):
    model = model_of(pruned, 1, every=False)
    method = Lcodec(model, selector="all", max_rise=None, val_gap=None)
    method.fit(X, Y, 0)
    outcome = method.remove([0])
    every = sum(p.numel() for p in model.module.parameters())
    left = sum(p.numel() for p in model.module.body[2].parameters())
    assert outcome.figures["weights_reachable"] == (every - left) / every
    assert f"left out: {left:,} of Conv2d" in caplog.text


@pytest.mark.parametrize("curvature", [KroneckerFactored, GaussNewton, Hessian])
def test_a_pruned_bias_leaves_the_weights_in_reach(curvature):
    """The bias is a constant then, as a frozen one is."""
    network, frozen = Plain().eval(), Plain().eval()
    for net in (network, frozen):
        net.end[1].bias.requires_grad_(net is network)
    prune.identity(network.end[1], "bias")
    units = block(network)
    vector = torch.linspace(-1, 1, units.size, dtype=torch.float64)
    assert units.names == block(frozen).names
    found, expected = (curvature(n, cross_entropy, BATCHES, units)(vector) for n in (network, frozen))
    torch.testing.assert_close(found, expected)


def test_what_a_network_keeps_of_a_calculation_is_left_to_it():
    network = Plain()
    network.kept = network.end[1].weight * 2
    other = duplicate(network)
    assert network.kept.requires_grad
    assert torch.equal(other.kept, network.kept)
    assert other.kept.data_ptr() != network.kept.data_ptr()


@pytest.mark.filterwarnings("ignore")
def test_reentrant_checkpoints_have_gradients_but_no_curvature():
    network = Reentrant().eval()
    kept = network.end[1].weight.grad = torch.ones_like(network.end[1].weight)
    gradient, expected = (mean_gradient(net, cross_entropy, BATCHES) for net in (network, Plain().eval()))
    for name, found in gradient.items():
        torch.testing.assert_close(found, expected[name])
    assert network.end[1].weight.grad is kept
    assert network.body[0].weight.grad is None
    units = block(network)
    for kind in (KroneckerFactored, GaussNewton, Hessian):
        with pytest.raises(
            InvalidValue, match=r"^model: .*use_reentrant=True', allowed: use_reentrant=False"
        ):
            kind(network, cross_entropy, BATCHES, units)(torch.ones(units.size, dtype=torch.float64))


def test_a_head_that_runs_never_or_twice_is_named():
    cases = [
        (Functional(), r"got 'extra\.0, the last linear layer, which runs 0 times for 6 examples"),
        (Twice(), r"got 'end\.3, the last linear layer, which runs 2 times for 6 examples"),
        (Tokens(), r"got 'head, the last linear layer, which has inputs of shape \(6, 24, 8\)"),
    ]
    for network, got in cases:
        with pytest.raises(InvalidValue, match=f"^model: {got}.*, allowed: a network that calls it once"):
            head_inputs(network, BATCHES)
        assert not any(part._forward_pre_hooks for part in network.modules())


def test_layers_that_never_answer_are_named(caplog):
    network = Functional()
    require_watched(network, BATCHES.take([0, 1])[0])
    said = "no unit of these layers is selected by what it answers: end.3 (used without being called), "
    assert f"{said}extra.0 (not reached)" in caplog.text
    assert {name for name, _ in sample(network).units} == {"body.0", "body.2", "end.1"}
    caplog.clear()
    require_watched(Twice(), BATCHES.take([0, 1])[0])
    assert not caplog.records

    class Hidden(Plain):
        def forward(self, x):
            return nn.functional.linear(x.flatten(1)[:, :5], self.end[3].weight)

    with pytest.raises(
        InvalidValue, match=r"body\.0 \(not reached\), .*end\.3 \(used without being called\)"
    ):
        require_watched(Hidden(), BATCHES.take([0, 1])[0])
    with pytest.raises(InvalidValue, match="calls its Conv2d or Linear"):
        sample(Hidden())
    assert activation_maps(Hidden(), BATCHES) is None
    assert "none of them is called as a layer" in caplog.text


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "script", [torch.jit.script, lambda network: torch.jit.trace(network, torch.zeros(2, *SHAPE))]
)
def test_torchscript_is_named(script):
    network = script(Plain().eval())
    for look in (
        unit_modules,
        lambda net: head_inputs(net, BATCHES),
        lambda net: activation_maps(net, BATCHES),
    ):
        with pytest.raises(
            InvalidValue, match=r"^model: got 'a network in TorchScript .*allowed: the module"
        ):
            look(network)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "change",
    [
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        lambda part: prune.l1_unstructured(part, "weight", 0.5),
    ],
)
def test_computed_weights(change):
    """They are no units, and named where they would be; seen where they are looked at, and copied."""
    network = Plain().eval()
    change(network.body[2])
    mean_gradient(network, cross_entropy, BATCHES)
    assert "body.2" not in unit_modules(network)
    with pytest.raises(InvalidValue, match=r"^units: got 'body\.2', .*parametrised"):
        Block.of(network, {"body.2": [0]})
    x, _ = BATCHES.take([0])
    maps = activation_maps(network, [(x, None)])
    expected = network.body(x).double().square().sum(dim=1)
    torch.testing.assert_close(maps, expected.detach())
    other = duplicate(network)
    assert torch.equal(other(x), network(x))
    assert {id(p) for p in other.parameters()}.isdisjoint(id(p) for p in network.parameters())


def parallel(shape, classes):
    network = Plain(shape, classes)
    network.body = nn.DataParallel(network.body)
    return nn.DataParallel(network)


def test_data_parallel_is_taken_off(caplog):
    caplog.set_level(logging.INFO)
    network = ModuleClass(f"{__name__}.parallel").build(SHAPE, 3)
    assert network.state_dict().keys() == Plain().state_dict().keys()
    assert "Plain: taken out of DataParallel, for it runs on one device" in caplog.text
    wrapped = nn.DataParallel(Plain())
    units = block(wrapped)
    with pytest.raises(InvalidValue, match=r"^model: got 'DataParallel', allowed: the network inside of it"):
        KroneckerFactored(wrapped, cross_entropy, BATCHES, units)


class Lazy(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.LazyConv2d(2, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(classes))


def test_lazy_layers_are_there_once_the_network_is_built():
    network = ModuleClass(f"{__name__}.Lazy").build(SHAPE, 3)
    assert list(unit_modules(network)) == ["0", "3"]
    assert head_inputs(network, BATCHES).shape == (6, 72)
    assert copy.deepcopy(network) is not None
    np.testing.assert_array_equal(sample(network).activations.shape, (20, 5))
