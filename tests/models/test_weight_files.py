"""Files of weights as people have them: known by content, taken out of their containers, or refused."""

from __future__ import annotations

import argparse
import collections
import gzip
import io
import logging
import os
import pickle
import re
import tarfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from expunge.core.errors import DataError
from expunge.core.pickles import RecordReader
from expunge.core.records import Record
from expunge.models import Mlp, load_weights
from expunge.models.weights import load_body
from tests import cli

SHAPE = (3, 8, 8)
FORMATS = ("zip", "zip protocol 4", "old", "safetensors")
SUFFIXES = (".ckpt", ".bin", ".pth.tar", ".pt", ".pth", ".pkl", ".safetensors", ".weights", "")
CONTAINERS = ("", "state_dict", "model", "model_state_dict", "module", "ema", "a.b", "a.module", "[0]")
PREFIXES = ("", "module.", "backbone.", "model.", "encoder.", "_orig_mod.", "net.", "module.encoder_q.")


def small():
    """Convolution, BatchNorm and two linear layers, with statistics of their own."""
    net = nn.Sequential()
    net.add_module("conv", nn.Conv2d(3, 4, 3))
    net.add_module("norm", nn.BatchNorm2d(4))
    net.add_module("flat", nn.Flatten())
    net.add_module("hidden", nn.Linear(144, 5))
    net.add_module("head", nn.Linear(5, 3))
    return net


def trained(seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = small()
        net(torch.rand(4, *SHAPE))
    return net


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name].cpu(), other[name].cpu()) for name in one)


@cache
def beside():
    """What training scripts keep with the weights."""
    net = trained(3)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.rand(4, *SHAPE)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "arch": "small",
        "best_acc1": np.float64(71.2),
        "args": argparse.Namespace(lr=0.1, gpu=None),
        "optimizer": optimizer.state_dict(),
        "hyper_parameters": collections.defaultdict(list, {"lr": [0.1]}),
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": torch.tensor(0.5)}},
        "scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 2),
        "rng": (np.random.default_rng(0), np.arange(3)),
    }


def contained(state, container, alone):
    extra = {} if alone else beside()
    for key in reversed([key for key in container.split(".") if key]):
        state = [state, {}] if key == "[0]" else {key: state, **extra}
    return state


def write(content, file, form):
    if form == "safetensors":
        save_file({name: tensor.clone().contiguous() for name, tensor in content.items()}, file)
    elif form == "old":
        torch.save(content, file, _use_new_zipfile_serialization=False)
    else:
        torch.save(content, file, pickle_protocol=4 if "4" in form else 2)


def refusal(file, net=None):
    network = small() if net is None else net
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(DataError) as caught:
        load_weights(network, file)
    assert same(before, network.state_dict()), "a refused file changes nothing"
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"weights: {file}: ")
    return line.removeprefix(f"weights: {file}: ")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from(FORMATS),
    suffix=st.sampled_from(SUFFIXES),
    container=st.sampled_from(CONTAINERS),
    prefix=st.sampled_from(PREFIXES),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64]),
    ordered=st.booleans(),
    alone=st.booleans(),
    counters=st.booleans(),
    parameters=st.booleans(),
)
def test_everyday_files_are_taken(
    tmp_path, form, suffix, container, prefix, dtype, ordered, alone, counters, parameters
):
    net, file = trained(), tmp_path / f"w{suffix}"
    state = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in net.state_dict().items()
        if counters or not name.endswith("num_batches_tracked")
    }
    saved = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    if parameters:
        saved = {
            name: nn.Parameter(tensor, tensor.is_floating_point() and False) for name, tensor in saved.items()
        }
    if ordered:
        saved = collections.OrderedDict(saved)
        saved._metadata = collections.OrderedDict({"": {"version": 1}})
    if form != "safetensors":
        saved = contained(saved, container, alone)
    write(saved, file, form)
    other = small()
    load_weights(other, file)
    found = other.state_dict()
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor.to(found[name].dtype)), name
    assert int(found["norm.num_batches_tracked"]) == (1 if counters else 0)


def test_what_was_taken_is_said_in_one_line(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    net = trained()
    state = {f"module.{name}": tensor for name, tensor in net.state_dict().items()}
    state["module.head.weight"], state["module.head.bias"] = torch.zeros(7, 5), torch.zeros(7)
    torch.save({"state_dict": state, **beside()}, tmp_path / "w.pth.tar")
    load_weights(small(), tmp_path / "w.pth.tar")
    (record,) = [record for record in caplog.records if record.name.startswith("expunge")]
    assert record.getMessage() == (
        f"weights: {tmp_path / 'w.pth.tar'} names taken without state_dict.module.; left out: optimizer, "
        "callbacks, epoch, arch, best_acc1, args, hyper_parameters, scheduler, rng; "
        "gives all but head, which begins with random weights"
    )


def test_of_a_plain_state_nothing_is_said(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    torch.save(trained().state_dict(), tmp_path / "w.bin")
    load_weights(small(), tmp_path / "w.bin")
    assert not caplog.records


def wrapped_inside(name):
    """As where only the convolutions were given to DataParallel, and the rest compiled."""
    first, rest = name.split(".", 1)
    return f"{first}.module.{rest}" if first == "conv" else f"{first}._orig_mod.{rest}"


def test_wrappers_inside_of_names(tmp_path):
    net = trained()
    torch.save({wrapped_inside(name): t for name, t in net.state_dict().items()}, tmp_path / "w")
    other = small()
    load_weights(other, tmp_path / "w")
    assert same(net.state_dict(), other.state_dict())


@pytest.mark.parametrize(
    "wrap", [nn.DataParallel, lambda net: torch.compile(net, backend="eager")], ids=["parallel", "compiled"]
)
def test_wrapped_networks_take_plain_weights_and_give_them(wrap, tmp_path):
    net, plain = trained(), small()
    torch.save(wrap(net).state_dict(), tmp_path / "wrapped")
    load_weights(plain, tmp_path / "wrapped")
    assert same(net.state_dict(), plain.state_dict())
    torch.save(net.state_dict(), tmp_path / "plain")
    other = small()
    load_weights(wrap(other), tmp_path / "plain")
    assert same(net.state_dict(), other.state_dict())


def test_momentum_copies_give_way(tmp_path, caplog):
    """MoCo: a query encoder and its slower copy, a queue, a projection in the place of the head."""
    caplog.set_level(logging.INFO)
    query, key = trained(1).state_dict(), trained(2).state_dict()
    state = {}
    for part, own in (("encoder_k", key), ("encoder_q", query)):
        body = {name: tensor for name, tensor in own.items() if not name.startswith("head.")}
        body |= {"head.0.weight": torch.zeros(5, 5), "head.0.bias": torch.zeros(5)}
        body |= {"head.2.weight": torch.zeros(9, 5), "head.2.bias": torch.zeros(9)}
        state |= {f"module.{part}.{name}": tensor for name, tensor in body.items()}
    state |= {"module.queue": torch.zeros(3, 4), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    torch.save({"state_dict": state, "epoch": 200}, tmp_path / "moco.pth.tar")
    net = small()
    load_weights(net, tmp_path / "moco.pth.tar")
    assert torch.equal(net.conv.weight, query["conv.weight"])
    assert "without state_dict.module.encoder_q.; " in caplog.text
    assert (
        "left out: state_dict.module.encoder_k, state_dict.module.queue, state_dict.module.queue_ptr, epoch; "
        "gives all but head," in caplog.text
    )
    torch.save({"model": query, "model_ema": key}, tmp_path / "ema.pt")
    load_weights(net, tmp_path / "ema.pt")
    assert same(net.state_dict(), query)


def test_a_body_without_its_head(tmp_path):
    net, body = trained(), small()
    state = {f"module.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({"state_dict": state, **beside()}, tmp_path / "w.pth.tar")
    body.set_submodule("head", nn.Identity())
    load_body(body, tmp_path / "w.pth.tar", "head")
    expected = {name: t for name, t in net.state_dict().items() if not name.startswith("head.")}
    assert same(body.state_dict(), expected)


def test_there_is_no_guessing_between_states(tmp_path):
    first, second = trained(1).state_dict(), trained(2).state_dict()
    torch.save({"student": first, "teacher": second}, tmp_path / "w.pt")
    assert refusal(tmp_path / "w.pt").startswith("holds several states that fit (student, teacher); save")
    torch.save({"model": first, "state_dict": first}, tmp_path / "w.pt")
    net = small()
    load_weights(net, tmp_path / "w.pt")
    assert same(net.state_dict(), first)


def test_published_names_of_densenet(tmp_path):
    """Those weights are older than the rule that names have no dots: norm.1 for norm1."""
    layer = {"norm1": nn.BatchNorm2d(3), "conv1": nn.Conv2d(3, 2, 1), "norm2": nn.BatchNorm2d(2)}
    net = nn.Sequential(collections.OrderedDict(denselayer1=nn.Sequential(collections.OrderedDict(layer))))
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    old = {re.sub(r"(norm|conv)(\d)", r"\1.\2", name): tensor for name, tensor in state.items()}
    assert "denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "densenet.pth")
    nn.init.zeros_(layer["conv1"].weight)
    load_weights(net, tmp_path / "densenet.pth")
    assert same(net.state_dict(), state)


def test_other_networks_are_no_part_of_it(tmp_path):
    """A layer inside of another network is not this one, though it would fit."""
    state = Mlp((4,)).build(SHAPE, 3).state_dict()
    larger = {f"blocks.7.{name}": tensor for name, tensor in state.items()} | {"x.weight": torch.zeros(2)}
    torch.save(larger, tmp_path / "w.pt")
    assert "1.weight is missing" in refusal(tmp_path / "w.pt", Mlp((4,)).build(SHAPE, 3))
    inside = trained().state_dict() | {"more.weight": torch.zeros(2)}
    torch.save({"state_dict": {f"module.{name}": t for name, t in inside.items()}}, tmp_path / "w.pt")
    assert refusal(tmp_path / "w.pt").startswith("more.weight is not part of the network (among its names")
    sparse = trained().state_dict()
    sparse["conv.weight"] = torch.zeros(4, 27).to_sparse()
    torch.save(sparse, tmp_path / "w.pt")
    assert "conv.weight is missing (the file has a torch._utils._rebuild_sparse" in refusal(tmp_path / "w.pt")


# What is refused


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Touch:
    """Calls what it finds by name."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def evils(touched):
    """Objects that would write a file, in every place where a reader might look."""
    call = Evil(os.system, f"touch {touched}")
    state = trained().state_dict()
    yield {**state, "conv.weight": call}
    yield {"state_dict": call}
    yield call
    yield [call]
    yield Evil(eval, f"open({str(touched)!r}, 'w')")
    yield {"model": state, "args": Evil(getattr, Evil(__import__, "os"), "system"), "touch": Touch(touched)}


@pytest.mark.parametrize("form", FORMATS[:-1])
def test_nothing_that_a_file_names_is_called(form, tmp_path):
    touched = tmp_path / "touched"
    for number, evil in enumerate(evils(touched)):
        write(evil, tmp_path / "w.pt", form)
        if number == 5:  # what is beside the weights is nobody's business
            load_weights(small(), tmp_path / "w.pt")
        else:
            refusal(tmp_path / "w.pt")
        assert not touched.exists()


def test_records_use_no_name():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        content = pickle.dumps([Evil(os.getpid), np.float64(2), collections.OrderedDict(a=1)], protocol)
        call, number, mapping = RecordReader(io.BytesIO(content)).load()
        assert (type(call).asked, call.arguments) == (f"{os.name}.getpid", ())
        assert isinstance(number, Record)
        assert mapping.entries == {"a": 1}


def test_a_tensor_must_lie_within_what_is_stored(tmp_path):
    """A view beyond its storage would read somebody else's memory."""
    torch.save({"weight": torch.ones(5, 9)}, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "w.pt").read_bytes()
    at = content.index(b"weight")
    for outputs, shape in ((6, b"K\x06K\x09"), (65535, b"M\xff\xffK\x09")):
        spoiled = content[:at] + content[at:].replace(b"K\x05K\x09", shape, 1)
        assert spoiled != content
        (tmp_path / "w.pt").write_bytes(spoiled)
        wider = nn.Linear(9, outputs, bias=False)
        assert refusal(tmp_path / "w.pt", wider) == "a tensor that is larger than what is stored of it"


def of(make):
    def content(tmp_path):
        make(tmp_path / "x")
        return (tmp_path / "x").read_bytes()

    return content


def tarred(path):
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("pickle"))


OTHERS = {
    "empty": (lambda _: b"", "empty; allowed: a state dict"),
    "text": (lambda _: b"weights", "not a safetensors file, nor one of torch.save; allowed"),
    "zeros": (lambda _: bytes(5000), "not a safetensors file, nor one of torch.save; allowed"),
    "gzip": (lambda _: gzip.compress(b"x"), "packed by gzip; unpack it; allowed"),
    "tar": (of(tarred), "a tar archive; unpack it"),
    "page": (lambda _: b"<!DOCTYPE html><html>", "a page of the web"),
    "index": (lambda _: b'{"weight_map": {}}', "JSON, such as the index of several files"),
    "lfs": (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
    "pickle": (lambda _: pickle.dumps({"conv.weight": np.zeros(3)}), "a pickle that torch has not written"),
    "npz": (
        of(lambda path: np.savez(path.open("wb"), a=np.zeros(3))),
        "a zip archive of other things (a.npy)",
    ),
    "arrays": (of(lambda path: torch.save({"a": np.zeros(3)}, path)), "its numbers are arrays of NumPy"),
    "tensor": (of(lambda path: torch.save(torch.zeros(3), path)), "not a state dict"),
    "script": (
        of(lambda path: torch.jit.script(nn.Linear(2, 2)).save(path)),
        "a network in TorchScript; save",
    ),
    "network": (
        of(lambda path: torch.save({"model": small(), "epoch": 1}, path)),
        "it holds a whole network (torch.nn.modules.container.Sequential), which is not read; allowed: its "
        "tensors alone, as torch.save(network.state_dict(), FILE)",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_named(kind, tmp_path):
    make, held = OTHERS[kind]
    for name in ("w.pth", "w.safetensors"):
        (tmp_path / name).write_bytes(make(tmp_path))
        assert refusal(tmp_path / name).startswith(held)


def test_folders_and_missing_files(tmp_path):
    assert refusal(tmp_path / "none.ckpt") == "no such file"
    (tmp_path / "model").mkdir()
    assert refusal(tmp_path / "model") == "a folder, allowed: a file"
    (tmp_path / "model" / "pytorch_model.bin").touch()
    assert refusal(tmp_path / "model") == "a folder, allowed: a file, such as pytorch_model.bin in it"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(FORMATS), cut=st.floats(0, 1, exclude_max=True))
def test_truncated_files_are_refused(tmp_path, form, cut):
    file = tmp_path / f"{form}.bin"
    if not file.exists():
        write(trained().state_dict(), file, form)
    content = file.read_bytes()
    (tmp_path / "cut").write_bytes(content[: int(cut * len(content))])
    refusal(tmp_path / "cut")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=st.sampled_from(FORMATS), place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_damaged_files_are_refused_or_whole(tmp_path, form, place, bits):
    """One byte of the names and shapes is another: nothing but the line, or weights that fit."""
    file = tmp_path / f"{form}.bin"
    if not file.exists():
        write(trained().state_dict(), file, form)
    content = bytearray(file.read_bytes())
    content[int(place * min(len(content), 2500))] ^= bits
    (tmp_path / "bad").write_bytes(content)
    line = ""
    try:
        load_weights(small(), tmp_path / "bad")
    except DataError as error:
        line = str(error)
    assert not line or (line.startswith(f"weights: {tmp_path / 'bad'}: ") and "\n" not in line)


# From the command line


def test_a_run_says_what_it_takes_and_refuses_in_one_line(tmp_path):
    net = Mlp((8,)).build((64,), 10)
    torch.save(
        {"state_dict": {f"module.{name}": t for name, t in net.state_dict().items()}, "epoch": 1},
        tmp_path / "best.ckpt",
    )
    (tmp_path / "none.pt").write_bytes(b"<html>")
    run = ("dataset=digits", "model=mlp", "model.hidden=[8]", "training.epochs=0", "unlearner=none")
    run = (*run, "metrics=[accuracy]", "figures=false", "threads=1", "removal.count=1", "hydra.run.dir=run")
    ended = cli.expunge(*run, "model.weights=none.pt", cwd=tmp_path)
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert line.startswith("expunge: model.weights: none.pt: a page of the web")
    assert not (tmp_path / "run" / "removals.jsonl").exists() or not cli.records(tmp_path / "run")
    ended = cli.expunge(*run, "model.weights=best.ckpt", cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert "weights: best.ckpt names taken without state_dict.module.; left out: epoch" in ended.out
