"""dlib's face network against a slow one written from the table of its layers, and on real faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from expunge.core.errors import DataError
from expunge.datasets import faces
from expunge.extractors.face import Face
from expunge.metrics.verification import verification_auc
from expunge.models import dlib_face
from expunge.models.dlib_face import Block, DlibFace, Layer, load_dlib_face

SHAPES = {  # of what each step gives for 150 x 150, as the table has it
    "conv32_down": (32, 72, 72),
    **dict.fromkeys(("conv32_1", "conv32_2", "conv32_3"), (32, 35, 35)),
    **dict.fromkeys(("conv64_down", "conv64_1", "conv64_2", "conv64_3"), (64, 17, 17)),
    **dict.fromkeys(("conv128_down", "conv128_1", "conv128_2"), (128, 8, 8)),
    **dict.fromkeys(("conv256_down", "conv256_1", "conv256_2"), (256, 4, 4)),
    "conv256_down_out": (256, 2, 2),
    "fc": (128,),
}


def drawn(module, seed=0):
    """The module with random tensors, scales around 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3 + name.endswith("scale"))
    return module.eval()


def convolved(x, weight, stride, padding):
    """(c, h, w) with (out, c, k, k): one product of a window at a time."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    kernel = weight.shape[2]
    rows, columns = ((side - kernel) // stride + 1 for side in x.shape[1:])
    found = np.empty((len(weight), rows, columns))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            found[:, i, j] = (weight * window).sum(axis=(1, 2, 3))
    return found


def layer(module, x):
    weight, scale, shift = (value.detach().double().numpy() for value in module.parameters())
    return convolved(x, weight, module.stride, module.padding) * scale[:, None, None] + shift[:, None, None]


def block(module, x):
    """A plain or a down block, as the table says it."""
    y = layer(module.conv2, np.maximum(layer(module.conv1, x), 0))
    if module.down:
        h, w = x.shape[1] // 2, x.shape[2] // 2
        x = x[:, : 2 * h, : 2 * w].reshape(len(x), h, 2, w, 2).mean(axis=(2, 4))
    total = np.zeros([max(a, b) for a, b in zip(x.shape, y.shape, strict=True)])
    for one in (x, y):
        total[: one.shape[0], : one.shape[1], : one.shape[2]] += one
    return np.maximum(total, 0)


@pytest.mark.parametrize(
    ("inputs", "outputs", "down", "side"),
    [(3, 3, False, 5), (2, 4, True, 7), (2, 4, True, 8), (3, 3, True, 4), (3, 3, True, 8)],
)
def test_a_block_is_what_the_table_says(inputs, outputs, down, side):
    module = drawn(Block(inputs, outputs, down), seed=side)
    x = np.random.default_rng(0).normal(size=(inputs, side, side))
    with torch.no_grad():
        found = module(torch.from_numpy(x[None]).float())[0].numpy()
    np.testing.assert_allclose(found, block(module, x), rtol=1e-4, atol=1e-5)


def test_a_layer_is_a_convolution_and_an_affine_map():
    module = drawn(Layer(2, 3, 7, 2))
    x = np.random.default_rng(1).normal(size=(2, 13, 11))
    with torch.no_grad():
        found = module(torch.from_numpy(x[None]).float())[0].numpy()
    np.testing.assert_allclose(found, layer(module, x), rtol=1e-4, atol=1e-5)


def test_every_step_has_the_shape_of_the_table_and_the_weights_its_names():
    module, seen = drawn(DlibFace()), {}
    for name, part in module.named_children():
        part.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape[1:])}))
    with torch.no_grad():
        assert module(torch.zeros(2, 3, 150, 150)).shape == (2, 128)
    assert seen == SHAPES
    names = module.state_dict()
    assert len(names) == 88
    assert sum(tensor.numel() for tensor in names.values()) == 5_611_040
    assert {"fc.weight", "conv32_down.scale", "conv256_down_out.conv2.shift"} <= names.keys()


def test_the_whole_network_is_that_of_the_table():
    module = drawn(DlibFace(), seed=2)
    with torch.no_grad():  # of a network of random weights the numbers would grow from block to block
        for name, value in module.named_parameters():
            value.mul_(0.05 if name.endswith("weight") else 1)
    x = np.random.default_rng(2).normal(size=(3, 150, 150))
    y = np.maximum(layer(module.conv32_down, x), 0)
    side = (y.shape[1] - 3) // 2 + 1
    corners = [(i, j) for i in range(side) for j in range(side)]
    y = np.array([y[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max(axis=(1, 2)) for i, j in corners])
    y = y.T.reshape(-1, side, side)
    for name in list(SHAPES)[1:-2]:
        y = block(getattr(module, name), y)
    y = module.fc.weight.detach().double().numpy() @ block(module.conv256_down_out, y).mean(axis=(1, 2))
    with torch.no_grad():
        found = module(torch.from_numpy(x[None]).float())[0].numpy()
    np.testing.assert_allclose(found, y, rtol=1e-3, atol=1e-4 * abs(y).max())


def test_weights_are_taken_from_safetensors_by_their_names_alone(tmp_path):
    module, path = drawn(DlibFace(), seed=3), tmp_path / "face.safetensors"
    save_file(module.state_dict(), path)
    for name, value in load_dlib_face(path).state_dict().items():
        torch.testing.assert_close(value, module.state_dict()[name])


@pytest.mark.parametrize("fault", ["lacks", "more", "shape", "nan", "torch", "text", "folder", "absent"])
def test_weights_of_another_network_are_named_in_one_line(fault, tmp_path):
    state, path = DlibFace().state_dict(), tmp_path / "face.safetensors"
    if fault == "lacks":
        del state["fc.weight"]
    if fault == "more":
        state["classifier.weight"] = torch.zeros(3)
    if fault == "shape":
        state["fc.weight"] = torch.zeros(128, 512)
    if fault == "nan":
        state["fc.weight"][0, 0] = float("nan")
    if fault == "torch":
        torch.save(state, path)
    elif fault == "text":
        path.write_text("weights")
    elif fault == "folder":
        path.mkdir()
    elif fault != "absent":
        save_file(state, path)
    wanted = {
        "lacks": r"not the weights of dlib's face network \(fc.weight is missing\)",
        "more": r"classifier.weight is not part of the network",
        "shape": r"fc.weight has shape \(128, 512\), the network's has \(128, 256\)",
        "nan": "fc.weight holds NaN or infinity",
        "torch": "not a safetensors file, allowed: nothing else",
        "text": "not a safetensors file",
        "folder": "a folder, allowed: a file",
        "absent": "no such file",
    }
    with pytest.raises(DataError, match=wanted[fault]) as error:
        load_dlib_face(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_people_of_orl_are_told_apart(orl, shared_data):
    """With the weights .978 and .942 were published, of padded pictures; these are stretched instead."""
    weights = shared_data / "weights" / "dlib_face_resnet.safetensors"
    if not weights.is_file():
        pytest.skip(f"needs the face network's weights, found none in {shared_data}")
    data = faces.load(orl, folder="att_faces", image_size=None, test_share=0.5)
    extractor = Face(str(weights), crop=1.0, device="cpu", progress=False)
    unit = np.concatenate([rows.dense() for rows in extractor.extract(data)])
    y = np.concatenate([data.y_train, data.y_test])
    near = unit @ unit.T
    np.fill_diagonal(near, -1)
    assert (y[near.argmax(axis=1)] == y).mean() > 0.96
    assert verification_auc(unit, y) > 0.91


def test_the_module_says_what_it_wants_of_a_picture():
    assert (dlib_face.SIDE, dlib_face.FEATURES, dlib_face.UNIT) == (150, 128, 256.0)
